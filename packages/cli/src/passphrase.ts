import { createReadStream } from 'node:fs';
import { SottoError } from '@sotto/base';
import { inspectKeyFile } from '@sotto/client';
import type { OptionSpecs, Options } from './command.js';

const LONGEST_BYTES = 4096;
const STDIN = 0;

/** A passphrase is never an argument nor in the environment: both are visible to others. */
export const passphraseOptions: OptionSpecs = {
  passphrase: { help: 'Ask for a passphrase at the terminal; a new key file is sealed with it.' },
  'passphrase-fd': {
    value: 'N',
    help: 'Read the passphrase from this file descriptor, up to the first line break.',
  },
};

/** The passphrase for a key file: asked for when the options say so, or when the file turns out sealed. */
export async function passphraseFor(path: string, options: Options): Promise<string | undefined> {
  const fd = options.integer('passphrase-fd', 0, 1024);
  const state = await inspectKeyFile(path);
  if (fd !== undefined) return requireText(await readFirstLine(fd));
  if (!options.flag('passphrase') && state !== 'sealed') return undefined;
  const first = requireText(await prompt('Passphrase of the key file: '));
  if (state === 'absent' && (await prompt('Once more: ')) !== first) {
    throw new SottoError('The passphrases differ.', { code: 'USAGE_PASSPHRASE', fix: 'Try again.' });
  }
  return first;
}

function requireText(text: string): string {
  if (text.length > 0) return text;
  throw new SottoError('The passphrase is empty.', {
    code: 'USAGE_PASSPHRASE',
    fix: 'Give one, or leave the option out for a key file without.',
  });
}

async function readFirstLine(fd: number): Promise<string> {
  const pieces: Buffer[] = [];
  let length = 0;
  try {
    for await (const piece of createReadStream('', { fd, autoClose: fd !== STDIN })) {
      pieces.push(piece as Buffer);
      length += (piece as Buffer).length;
      if (length > LONGEST_BYTES || (piece as Buffer).includes(10)) break;
    }
  } catch {
    throw new SottoError('The file descriptor of the passphrase cannot be read.', {
      code: 'USAGE_PASSPHRASE',
      facts: { fd },
      fix: 'Open it in the shell, for instance with 3< <(pass show sotto).',
    });
  }
  return Buffer.concat(pieces).toString('utf8').split(/\r?\n/)[0]!.slice(0, LONGEST_BYTES);
}

/** Reads a line from the terminal without showing it. */
function prompt(question: string): Promise<string> {
  const { stdin, stderr } = process;
  if (!stdin.isTTY) {
    throw new SottoError('There is no terminal to ask for the passphrase.', {
      code: 'USAGE_PASSPHRASE',
      fix: 'Use --passphrase-fd.',
    });
  }
  return new Promise((resolve, reject) => {
    let text = '';
    const end = () => {
      stdin.off('data', read);
      stdin.setRawMode(false);
      stdin.pause();
      stderr.write('\n');
    };
    const read = (piece: string) => {
      for (const char of piece) {
        if (char === '\r' || char === '\n') {
          end();
          resolve(text);
          return;
        }
        if (char === '\u0003' || char === '\u0004') {
          end();
          reject(new DOMException('Stopped.', 'AbortError'));
          return;
        }
        text = char === '\u007f' || char === '\b' ? text.slice(0, -1) : text + char;
      }
    };
    stderr.write(question);
    stdin.setEncoding('utf8').setRawMode(true);
    stdin.on('data', read);
    stdin.resume();
  });
}
