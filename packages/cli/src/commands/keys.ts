import { SottoError } from '@sotto/base';
import { Connection, KeySets } from '@sotto/client';
import type { KeySetInfo } from '@sotto/protocol';
import { existingKeyOf, keyOptions } from '../client-key.js';
import type { Command } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { exportKeySet } from '../key-export.js';

const megabytes = (bytes: number) => `${(bytes / 1e6).toFixed(1)} MB`;
const day = (time: string) => time.slice(0, 10);

const line = (set: KeySetInfo) =>
  `${set.id}  ${set.parametersName}, refresh by ${set.refresh === 'client' ? 'client' : 'server'}, ` +
  `${megabytes(set.storedBytes)} of ${megabytes(set.sizeBytes)}, until ${day(set.expiresAt)}, can decrypt: no\n`;

const details = (set: KeySetInfo) =>
  [
    ['key set', set.id],
    ['parameters', set.parametersName],
    ['model', `${set.modelDigest.slice(0, 16)}...`],
    ['refresh by', set.refresh === 'client' ? 'client' : 'server'],
    ['keys', `${set.keys - set.missing.length} of ${set.keys} at the server`],
    ['size', `${megabytes(set.storedBytes)} of ${megabytes(set.sizeBytes)}`],
    ['made', set.createdAt],
    ['kept until', `${set.expiresAt} unless it is used`],
    ['can decrypt', 'no'],
  ]
    .map(([name, value]) => `${name!.padEnd(13)}${value}\n`)
    .join('');

/** How many words follow each action. */
const argumentsOf: Record<string, number> = { list: 0, show: 1, rm: 1, export: 2 };

export const command: Command = {
  name: 'keys',
  description:
    'Shows, removes or copies to a file the key sets that a server keeps for the key file: evaluation keys, which compute and\n' +
    'cannot decrypt.\n' +
    'The secret key is in the file and never leaves this machine.',
  example: 'sotto keys list --key my.key',
  positionals: ['list|show|rm|export', '[SET]', '[FILE]'],
  options: {
    server: { value: 'URL', default: 'http://127.0.0.1:8417', help: 'Address of the server.' },
    ...keyOptions,
  },
  async run(options, output) {
    const [action = 'list', id, file, ...more] = options.positionals;
    const arguments_ = [id, file].filter((argument) => argument !== undefined).length;
    if (more.length > 0 || argumentsOf[action] !== arguments_) {
      throw new SottoError('The keys command takes list, show SET, rm SET or export SET FILE.', {
        code: 'USAGE_ACTION',
        fix: 'See `sotto keys --help`.',
      });
    }
    const { token } = await existingKeyOf(options);
    const sets = new KeySets(new Connection(options.required('server')), token);
    const json = options.flag('json');
    const { signal } = output;
    if (action === 'list') {
      const list = await sets.list(signal);
      const text = list.map(line).join('') || 'The server keeps no keys for this key file.\n';
      output.out(json ? `${JSON.stringify({ keySets: list })}\n` : text);
    } else if (action === 'show') {
      const set = await sets.show(id!, signal);
      output.out(json ? `${JSON.stringify(set)}\n` : details(set));
    } else if (action === 'export') {
      const set = await sets.show(id!, signal);
      const sizeBytes = await exportKeySet(sets, set, file!, signal);
      const text = `${set.keys} evaluation keys, ${megabytes(sizeBytes)}, in ${file}. Can decrypt: no.\n`;
      output.out(json ? `${JSON.stringify({ exported: id, file, sizeBytes, canDecrypt: false })}\n` : text);
    } else {
      await sets.remove(id!, signal);
      output.out(
        json ? `${JSON.stringify({ removed: id })}\n` : 'Removed. The next question sends the keys again.\n',
      );
    }
    return exitCodes.ok;
  },
};
