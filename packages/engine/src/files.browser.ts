// What `files.ts` is in a browser: a page has its calibrations beside its models, and keeps none of its own.
import { SottoError } from '@sotto/base';
import type { Calibration } from './calibration.js';

export const findCalibration = async (_modelDigest: string): Promise<Calibration | null> => null;
export const keepCalibration = async (_calibration: Calibration): Promise<void> => {};

export const dataFolder = new URL('/models/', globalThis.location?.origin ?? 'http://localhost');

/** @throws `FILE_UNREADABLE`. */
export async function readText(place: string | URL): Promise<string> {
  const response = await fetch(new URL(place, globalThis.location.origin));
  if (response.ok) return response.text();
  throw new SottoError('The calibration cannot be read.', {
    code: 'FILE_UNREADABLE',
    facts: { place: String(place), httpStatus: response.status },
    fix: 'Copy the folder `data` of @sotto/engine to /models/ of the page, or name a calibration.',
  });
}
