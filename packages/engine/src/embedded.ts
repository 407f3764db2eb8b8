import { dataFolder } from '#engine/files';

/**
 * Calibration of stories260K: 300 of its own texts over its whole window, seed 1, and a scan of texts of 64 to 512 tokens until 1,000 in a row
 * stay inside.
 */
export const embeddedCalibration: URL = new URL('stories260K.calibration.json', dataFolder);

/** Calibration of sotto-stories-2x128: 500 of its own texts of 160 tokens, seed 1, and a scan until 1,000 in a row stay inside. */
export const defaultCalibration: URL = new URL('sotto-stories-2x128.calibration.json', dataFolder);

/** Those of all models that ship with `@sotto/model`. */
export const embeddedCalibrations: readonly URL[] = [defaultCalibration, embeddedCalibration];
