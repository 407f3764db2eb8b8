/** A page serves the models of this package under its own `/models/`: a copy of the folder `data`. */
export const dataFolder = new URL('/models/', globalThis.location?.origin ?? 'http://localhost');
