import { readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { SottoError } from '@sotto/base';
import { tableDigest } from './table/format.js';

/** A table that comes with this package. */
export interface ShippedTable {
  readonly name: string;
  /** SHA-256 that the file must have. */
  readonly digest: string;
  /** In a sentence, for choosing. */
  readonly about: string;
}

const LARGEST_TABLE_BYTES = 16 * 1024 * 1024;

async function readData(name: string): Promise<Uint8Array> {
  return await readFile(new URL(`../data/${name}`, import.meta.url));
}

/** The tables of this package with their digests. */
export async function shippedTables(): Promise<readonly ShippedTable[]> {
  return JSON.parse(new TextDecoder().decode(await readData('tables.json'))) as ShippedTable[];
}

/** The shipped table of this name; a family (`neutral` of `neutral-1` and `neutral-3`) stands for its smallest epsilon. */
async function findTable(name: string): Promise<ShippedTable> {
  const tables = await shippedTables();
  const epsilonOf = (table: ShippedTable) => Number(table.name.slice(table.name.lastIndexOf('-') + 1));
  const family = tables
    .filter((table) => table.name.slice(0, table.name.lastIndexOf('-')) === name)
    .sort((a, b) => epsilonOf(a) - epsilonOf(b));
  const table = tables.find((candidate) => candidate.name === name) ?? family[0];
  if (table !== undefined) return table;
  throw new SottoError('There is no sanitizer table of this name.', {
    code: 'TABLE_UNKNOWN',
    facts: { known: tables.map((known) => known.name).join(', ') },
    fix: 'Choose one of the known names.',
  });
}

/** The bytes of a shipped table, by name or family. @throws `TABLE_UNKNOWN`, `TABLE_CORRUPT` */
export async function readShippedTable(name: string): Promise<Uint8Array> {
  const table = await findTable(name);
  try {
    const bytes = new Uint8Array(
      gunzipSync(await readData(`${table.name}.san.gz`), { maxOutputLength: LARGEST_TABLE_BYTES }),
    );
    if (tableDigest(bytes) === table.digest) return bytes;
  } catch {
    // Absent or not to be unpacked: the same as another digest.
  }
  throw new SottoError('A sanitizer table of this package is missing or damaged.', {
    code: 'TABLE_CORRUPT',
    facts: { name: table.name },
    fix: 'Install the package again.',
  });
}
