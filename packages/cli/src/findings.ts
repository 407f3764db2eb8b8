import { constants } from 'node:fs';
import { access, readFile, stat, statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname } from 'node:path';
import { SottoError } from '@sotto/base';
import { embeddedCalibrations, findCalibration, readCalibrationFile } from '@sotto/engine';
import { type ModelFiles, readModelFile, readTokenizerFile } from '@sotto/model';

/** Instruction sets that the native kernels ask of an x86 processor. */
const WANTED_FLAGS = ['avx2', 'avx512f', 'avx512dq', 'avx512vl', 'avx512ifma', 'bmi2'];
const PAGE_BYTES = 65536;
/** What one WebAssembly memory may have at most, as the kernels ask for it. */
const MOST_PAGES = 65536;
const PROBE_TIMEOUT_MS = 1000;

/** Of the instruction sets that matter here, those that the processor has; null where the system does not tell. */
export async function processorFeatures(): Promise<string[] | null> {
  try {
    const text = await readFile('/proc/cpuinfo', 'utf8');
    const flags = /^flags\s*:(.*)$/m.exec(text)?.[1];
    if (flags === undefined) return null;
    const known = new Set(flags.trim().split(/\s+/));
    return WANTED_FLAGS.filter((flag) => known.has(flag));
  } catch {
    return null;
  }
}

/** Megabytes that one WebAssembly memory may reserve here: 4295 where nothing limits it, 0 without WebAssembly. */
export function wasmMemoryMB(shared: boolean): number {
  for (let pages = MOST_PAGES; pages >= 256; pages /= 2) {
    try {
      new WebAssembly.Memory({ initial: 1, maximum: pages, shared });
      return Math.round((pages * PAGE_BYTES) / 1e6);
    } catch {
      // A limit of the address space.
    }
  }
  return 0;
}

/** A folder that the server or client writes to. */
export interface FolderState {
  readonly path: string;
  readonly exists: boolean;
  /** It can be written, or be made. */
  readonly writable: boolean;
  readonly freeMB: number | null;
}

/** Looks without making anything: what is not there yet can be made where its nearest parent can be written. */
export async function folderState(path: string): Promise<FolderState> {
  const reachable = (at: string, mode: number) =>
    access(at, mode).then(
      () => true,
      () => false,
    );
  const exists = await reachable(path, constants.F_OK);
  let at = path;
  while (!(await reachable(at, constants.F_OK)) && dirname(at) !== at) at = dirname(at);
  const folder = await stat(at).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const writable = folder && (await reachable(at, constants.W_OK | constants.X_OK));
  const space = await statfs(at).catch(() => null);
  return { path, exists, writable, freeMB: space && Math.round((space.bavail * space.bsize) / 1e6) };
}

/** What answers at a port of this machine. */
export type PortState = 'free' | 'sotto' | 'taken' | 'forbidden';

export async function portState(port: number): Promise<PortState> {
  const reason = await new Promise<string | null>((resolve) => {
    const probe = createServer();
    probe.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'unknown'));
    probe.listen(port, '127.0.0.1', () => probe.close(() => resolve(null)));
  });
  if (reason === null) return 'free';
  if (reason === 'EACCES') return 'forbidden';
  try {
    const response = await fetch(`http://127.0.0.1:${port}/health`, {
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    });
    const { status, protocol } = (await response.json()) as { status?: unknown; protocol?: unknown };
    return status === 'ok' && typeof protocol === 'number' ? 'sotto' : 'taken';
  } catch {
    return 'taken';
  }
}

/** Whether a model can be used as it is. */
export interface ModelState {
  readonly name: string;
  readonly path: string;
  readonly digest: string;
  /** Where its ranges are from: the package, a file, the cache of an earlier time; null when they would be measured first. */
  readonly calibration: 'shipped' | 'file' | 'cache' | null;
}

/** Reads the model as server and client would. Gives the error when they could not. */
export async function modelState(
  files: ModelFiles,
  calibrationPath: string | undefined,
): Promise<ModelState | SottoError> {
  try {
    const { name, path, weights } = await readModelFile(files);
    await readTokenizerFile(files, weights.config.vocabSize);
    const { digest } = weights;
    const base = { name, path, digest };
    if (calibrationPath !== undefined) {
      await readCalibrationFile(calibrationPath, weights);
      return { ...base, calibration: 'file' };
    }
    for (const url of embeddedCalibrations) {
      if ((await readFile(url, 'utf8')).includes(digest)) return { ...base, calibration: 'shipped' };
    }
    return { ...base, calibration: (await findCalibration(digest)) === null ? null : 'cache' };
  } catch (error) {
    if (SottoError.is(error)) return error;
    throw error;
  }
}
