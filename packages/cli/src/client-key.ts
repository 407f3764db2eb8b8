import { randomBytes, SottoError, toHex } from '@sotto/base';
import { type ClientKey, readKeyFile, writeKeyFile } from '@sotto/client';
import type { OptionSpecs, Options } from './command.js';
import { passphraseFor, passphraseOptions } from './passphrase.js';

export const keyOptions: OptionSpecs = {
  key: {
    value: 'FILE',
    help: 'Secret key file, made when it does not exist: its keys stay at the server and are sent only once.',
  },
  ...passphraseOptions,
};

/** The client's lasting key, if one was asked for; a new file is written once its secret was made. */
export async function clientKeyOf(options: Options): Promise<ClientKey | undefined> {
  const path = options.text('key');
  if (path === undefined) return undefined;
  const passphrase = await passphraseFor(path, options);
  const key = await readKeyFile(path, passphrase);
  if (key) return key;
  const token = toHex(randomBytes(32));
  return { token, keep: (secret) => writeKeyFile(path, { token, secret }, passphrase) };
}

/** The key of an existing file. @throws `KEY_FILE_ABSENT` and the errors of {@link readKeyFile}. */
export async function existingKeyOf(options: Options): Promise<ClientKey> {
  const path = options.required('key');
  const key = await readKeyFile(path, await passphraseFor(path, options));
  if (key) return key;
  throw new SottoError('There is no such key file.', {
    code: 'KEY_FILE_ABSENT',
    fix: 'Make one with `sotto ask --key FILE`.',
  });
}
