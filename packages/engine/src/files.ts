import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';

export { findCalibration, keepCalibration } from './calibration-store.js';

/** Where the calibrations of this package lie. */
export const dataFolder = new URL('../data/', import.meta.url);

/** A calibration with every token of a large vocabulary is a few MB. */
const MOST_TEXT_BYTES = 256 << 20;

/** Text of a file, which may be compressed with gzip; what is no gzip behind its first bytes is given as it is. */
export async function readText(place: string | URL): Promise<string> {
  const bytes = await readFile(place);
  if (bytes[0] !== 0x1f || bytes[1] !== 0x8b) return bytes.toString('utf8');
  try {
    return gunzipSync(bytes, { maxOutputLength: MOST_TEXT_BYTES }).toString('utf8');
  } catch {
    // The reader of the text refuses it, as it refuses any other file that is damaged.
    return bytes.toString('utf8');
  }
}
