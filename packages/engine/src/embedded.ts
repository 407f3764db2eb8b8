/** Calibration of the model that ships with `@sotto/model`: 64 of its own texts of 192 tokens, seed 1. */
export const embeddedCalibration: URL = new URL('../data/stories260K.calibration.json', import.meta.url);
