import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { cpus, homedir } from 'node:os';
import { join } from 'node:path';
import { sha256, toHex } from '@sotto/base';
import type { Backend } from '@sotto/he/ring';
import type { Parameters } from '@sotto/he/rlwe';
import type { KernelTiming } from './measure-kernels.js';

/** Version of what is measured and how: older files are not read. */
const FORMAT = 1;

function pathOf(backend: Backend, parameters: Parameters): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  const machine = [
    cpus()[0]?.model ?? 'unknown',
    process.version,
    backend.name,
    backend.isa,
    backend.threads,
    parameters.logN,
  ];
  const name = toHex(sha256(new TextEncoder().encode(JSON.stringify(machine)))).slice(0, 24);
  return join(cache, 'sotto', 'kernels', `${name}-${FORMAT}.json`);
}

const isTiming = (value: unknown): value is KernelTiming => {
  const { kernel, shape, ms, cpuMs } = (value ?? {}) as Partial<KernelTiming>;
  const number = (x: unknown): boolean => typeof x === 'number' && Number.isFinite(x) && x >= 0;
  return (
    typeof kernel === 'string' && Array.isArray(shape) && shape.every(number) && number(ms) && number(cpuMs)
  );
};

/** Timings kept for this machine, backend and ring degree; none when there are none, or when the file is damaged. */
export async function findTimings(backend: Backend, parameters: Parameters): Promise<KernelTiming[]> {
  try {
    const found: unknown = JSON.parse(await readFile(pathOf(backend, parameters), 'utf8'));
    return Array.isArray(found) && found.every(isTiming) ? found : [];
  } catch (error) {
    if (error instanceof SyntaxError || (error as NodeJS.ErrnoException).code !== undefined) return [];
    throw error;
  }
}

/** Keeps timings for the next time; where nothing can be written they are measured again. */
export async function keepTimings(
  backend: Backend,
  parameters: Parameters,
  timings: readonly KernelTiming[],
): Promise<void> {
  const path = pathOf(backend, parameters);
  const temporary = `${path}.${randomUUID()}`;
  try {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(temporary, JSON.stringify(timings));
    await rename(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
  }
}
