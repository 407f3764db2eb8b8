/** Calibration of stories260K: 64 of its own texts of 192 tokens, seed 1. */
export const embeddedCalibration: URL = new URL('../data/stories260K.calibration.json', import.meta.url);

/** Calibration of sotto-stories-2x128: 500 of its own texts of 160 tokens, seed 1, and a scan until 1,000 in a row stay inside. */
export const defaultCalibration: URL = new URL(
  '../data/sotto-stories-2x128.calibration.json',
  import.meta.url,
);

/** Those of all models that ship with `@sotto/model`. */
export const embeddedCalibrations: readonly URL[] = [defaultCalibration, embeddedCalibration];
