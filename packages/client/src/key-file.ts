import { ByteReader, ByteWriter, SottoError, toHex } from '@sotto/base';

/** What identifies a client at a server and lets it decrypt: the contents of a key file. */
export interface ClientKey {
  /** Bearer token that owns key sets at servers: 256 random bits, hex. */
  readonly token: string;
  /** The serialised secret key; absent until the first session made one. */
  readonly secret?: Uint8Array;
  /** Stores a secret that a session has just made, before any of its keys leave. */
  keep?(secret: Uint8Array): Promise<void>;
}

const FORMAT = 'sotto-secret-key';
/** Anybody else may do nothing with the file. */
const OPEN_TO_OTHERS = 0o077;
/** scrypt (RFC 7914) with 128 MiB of memory, about half a second. */
const SCRYPT = { N: 1 << 17, r: 8, p: 1 };
const LARGEST_SCRYPT_N = 1 << 20;
const LARGEST_FILE_BYTES = 16 << 20;

interface Contents {
  readonly format: typeof FORMAT;
  readonly version: 1;
  /** Null when the file has no passphrase. */
  readonly kdf: { name: 'scrypt'; N: number; r: number; p: number; salt: string } | null;
  readonly nonce: string | null;
  readonly tag: string | null;
  readonly data: string;
}

const hexBytes = (text: string) =>
  Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));

// Only Node has these modules; a browser that never opens a file does not need them.
const nodeCrypto = () => import('node:crypto');
const nodeFiles = () => import('node:fs/promises');

async function wrappingKey(
  passphrase: string,
  kdf: NonNullable<Contents['kdf']>,
): Promise<Uint8Array<ArrayBuffer>> {
  const { scrypt } = await nodeCrypto();
  const { N, r, p, salt } = kdf;
  return new Promise((resolve, reject) => {
    const options = { N, r, p, maxmem: 256 * N * r };
    scrypt(passphrase.normalize('NFC'), Buffer.from(salt, 'base64'), 32, options, (error, key) =>
      error ? reject(error) : resolve(Uint8Array.from(key)),
    );
  });
}

/** Everything but the ciphertext is authenticated too. */
const associated = (contents: Omit<Contents, 'data' | 'tag'>) =>
  Buffer.from(JSON.stringify([contents.format, contents.version, contents.kdf, contents.nonce]));

/**
 * Writes a key file that only its owner may read. With a passphrase, scrypt makes a key from it and AES-256-GCM seals the contents.
 *
 * @throws `KEY_FILE_EXISTS`: a secret key is never overwritten; `KEY_FILE`.
 */
export async function writeKeyFile(
  path: string,
  key: { readonly token: string; readonly secret: Uint8Array },
  passphrase?: string,
): Promise<void> {
  const { createCipheriv, randomBytes } = await nodeCrypto();
  const plain = new ByteWriter().bytes(hexBytes(key.token)).u32(key.secret.length).bytes(key.secret).finish();
  let contents: Contents = {
    format: FORMAT,
    version: 1,
    kdf: null,
    nonce: null,
    tag: null,
    data: Buffer.from(plain).toString('base64'),
  };
  if (passphrase !== undefined) {
    const kdf = { name: 'scrypt' as const, ...SCRYPT, salt: randomBytes(16).toString('base64') };
    const nonce = randomBytes(12);
    const head = { format: FORMAT, version: 1, kdf, nonce: nonce.toString('base64') } as const;
    const wrapping = await wrappingKey(passphrase, kdf);
    const cipher = createCipheriv('aes-256-gcm', wrapping, nonce).setAAD(associated(head));
    const data = Buffer.concat([cipher.update(plain), cipher.final()]).toString('base64');
    contents = { ...head, tag: cipher.getAuthTag().toString('base64'), data };
    wrapping.fill(0);
  }
  plain.fill(0);
  const { open } = await nodeFiles();
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(`${JSON.stringify(contents)}\n`);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error);
  }
}

/** Whether a key file is there, and whether it needs a passphrase. @throws as {@link readKeyFile}. */
export async function inspectKeyFile(path: string): Promise<'absent' | 'plain' | 'sealed'> {
  const contents = await readContents(path);
  if (!contents) return 'absent';
  return contents.kdf ? 'sealed' : 'plain';
}

/**
 * Reads a key file; undefined when there is none.
 *
 * @throws `KEY_FILE_OPEN` when others may read or write it, `KEY_FILE_PASSPHRASE` for a wrong or missing passphrase,
 *   `KEY_FILE_FORMAT` when it is something else, `KEY_FILE` when it cannot be read.
 */
export async function readKeyFile(
  path: string,
  passphrase?: string,
): Promise<Required<Omit<ClientKey, 'keep'>> | undefined> {
  const contents = await readContents(path);
  if (!contents) return undefined;
  const plain = await unseal(contents, passphrase);
  try {
    const reader = new ByteReader(plain, 'key file');
    const token = toHex(reader.bytes(32));
    const secret = reader.bytes(reader.u32()).slice();
    reader.end();
    return { token, secret };
  } finally {
    plain.fill(0);
  }
}

async function unseal(contents: Contents, passphrase: string | undefined): Promise<Uint8Array> {
  const { kdf, nonce, tag, data } = contents;
  if (!kdf) return Uint8Array.from(Buffer.from(data, 'base64'));
  const wrong = (short: string) =>
    new SottoError(short, {
      code: 'KEY_FILE_PASSPHRASE',
      fix: 'Give the passphrase at the prompt or with --passphrase-fd; without it the key is lost.',
    });
  if (passphrase === undefined) throw wrong('The key file is sealed with a passphrase.');
  const { createDecipheriv } = await nodeCrypto();
  const wrapping = await wrappingKey(passphrase, kdf);
  try {
    const decipher = createDecipheriv('aes-256-gcm', wrapping, Buffer.from(nonce!, 'base64'), {
      authTagLength: 16,
    })
      .setAAD(associated(contents))
      .setAuthTag(Buffer.from(tag!, 'base64'));
    return Uint8Array.from(Buffer.concat([decipher.update(Buffer.from(data, 'base64')), decipher.final()]));
  } catch {
    throw wrong('The passphrase is wrong, or the key file is damaged.');
  } finally {
    wrapping.fill(0);
  }
}

async function readContents(path: string): Promise<Contents | undefined> {
  const { open } = await nodeFiles();
  let text: string;
  try {
    const file = await open(path, 'r');
    try {
      const { mode, size } = await file.stat();
      if (process.platform !== 'win32' && (mode & OPEN_TO_OTHERS) !== 0) {
        throw new SottoError('Others may read or change the key file.', {
          code: 'KEY_FILE_OPEN',
          facts: { mode: (mode & 0o777).toString(8), expected: '600' },
          fix: 'Run `chmod 600` on it. If others may have read it, make a new key.',
        });
      }
      if (size > LARGEST_FILE_BYTES) throw formatError();
      text = await file.readFile('utf8');
    } finally {
      await file.close();
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw fileError(error);
  }
  try {
    return checked(JSON.parse(text));
  } catch {
    throw formatError();
  }
}

function checked(value: Contents): Contents {
  const { format, version, kdf, nonce, tag, data } = value;
  const sealed =
    kdf !== null &&
    kdf.name === 'scrypt' &&
    [kdf.N, kdf.r, kdf.p].every(Number.isSafeInteger) &&
    kdf.N <= LARGEST_SCRYPT_N &&
    kdf.r <= 32 &&
    kdf.p <= 16 &&
    typeof kdf.salt === 'string' &&
    typeof nonce === 'string' &&
    typeof tag === 'string';
  if (format === FORMAT && version === 1 && typeof data === 'string' && (kdf === null || sealed))
    return value;
  throw formatError();
}

const formatError = () =>
  new SottoError('This is not a Sotto key file.', {
    code: 'KEY_FILE_FORMAT',
    fix: 'Name a file that `sotto ask --key` made, or one that does not exist yet.',
  });

function fileError(error: unknown): unknown {
  if (SottoError.is(error)) return error;
  const reason = (error as NodeJS.ErrnoException).code ?? 'unknown';
  const exists = reason === 'EEXIST';
  return new SottoError(exists ? 'The key file exists already.' : 'The key file cannot be used.', {
    code: exists ? 'KEY_FILE_EXISTS' : 'KEY_FILE',
    facts: { reason },
    fix: exists
      ? 'Name another file; a secret key is never overwritten.'
      : 'Check the path and its permissions.',
    cause: error,
  });
}
