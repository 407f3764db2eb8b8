import { randomUUID } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { CALIBRATION_VERSION, type Calibration, readCalibration, writeCalibration } from './calibration.js';

function pathOf(modelDigest: string): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(cache, 'sotto', 'calibration', `${modelDigest}-${CALIBRATION_VERSION}.json`);
}

/** The calibration kept for a model, or null. A file that is damaged or of another model counts as absent. */
export async function findCalibration(modelDigest: string): Promise<Calibration | null> {
  try {
    const found = readCalibration(await readFile(pathOf(modelDigest), 'utf8'));
    return found.modelDigest === modelDigest ? found : null;
  } catch (error) {
    if (SottoError.is(error) || (error as NodeJS.ErrnoException).code !== undefined) return null;
    throw error;
  }
}

/** Keeps a calibration for the next time; where nothing can be written it is measured again. */
export async function keepCalibration(calibration: Calibration): Promise<void> {
  const path = pathOf(calibration.modelDigest);
  const temporary = `${path}.${randomUUID()}`;
  try {
    await mkdir(join(path, '..'), { recursive: true });
    await writeFile(temporary, writeCalibration(calibration));
    await rename(temporary, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
  }
}
