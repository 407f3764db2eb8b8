import { open, rename, rm } from 'node:fs/promises';
import { ByteWriter, SottoError } from '@sotto/base';
import type { KeySets } from '@sotto/client';
import { encodeFrame, type KeySetInfo } from '@sotto/protocol';

/** "SOTK" in little-endian bytes. */
const MAGIC = 0x4b544f53;
const VERSION = 1;

/**
 * Copies a key set from a server to a file: magic u32, version u16, length u32 and JSON of what the set is, then each key as the
 * frame it was sent in. One key is in memory at a time; the file appears whole or not at all, readable by its owner alone.
 *
 * @returns its size.
 * @throws `KEYS_EXPORT_FILE` when it exists or cannot be written; the errors of {@link KeySets.key}.
 */
export async function exportKeySet(
  sets: KeySets,
  set: KeySetInfo,
  path: string,
  signal?: AbortSignal,
): Promise<number> {
  const temporary = `${path}.partial`;
  const file = await open(temporary, 'w', 0o600).catch((error) => {
    throw unwritable(error);
  });
  let sizeBytes = 0;
  try {
    const write = async (bytes: Uint8Array) => {
      await file.writeFile(bytes).catch((error) => {
        throw unwritable(error);
      });
      sizeBytes += bytes.length;
    };
    const about = new TextEncoder().encode(JSON.stringify(set));
    await write(new ByteWriter().u32(MAGIC).u16(VERSION).u32(about.length).bytes(about).finish());
    for (let index = 0; index < set.keys; index++) {
      await write(encodeFrame('key', index, await sets.key(set.id, index, signal)));
    }
    await file.sync();
    await file.close();
    await rename(temporary, path);
    return sizeBytes;
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error;
  }
}

const unwritable = (error: unknown) =>
  new SottoError('The file for the keys cannot be written.', {
    code: 'KEYS_EXPORT_FILE',
    facts: { reason: (error as NodeJS.ErrnoException).code ?? 'unknown' },
    fix: 'Choose a folder that exists, is writable and has room.',
    cause: error,
  });
