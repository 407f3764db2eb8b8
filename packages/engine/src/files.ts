import { readFile } from 'node:fs/promises';

export { findCalibration, keepCalibration } from './calibration-store.js';

/** Where the calibrations of this package lie. */
export const dataFolder = new URL('../data/', import.meta.url);

export const readText = (place: string | URL): Promise<string> => readFile(place, 'utf8');
