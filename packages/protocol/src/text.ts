import { z } from 'zod';

/** Text for people: no control characters but line breaks and tabs, so that whoever sends it cannot steer a terminal. */
export const printable = (maxLength: number) =>
  z
    .string()
    .max(maxLength)
    .regex(/^[\n\t\P{Cc}]*$/u);
