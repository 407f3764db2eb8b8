/** Fields of a log line: numbers and names. Prompts, tokens and ciphertext bytes never go through here. */
export type LogFields = Record<string, string | number | boolean>;

export type Logger = (event: string, fields?: LogFields) => void;

/** Writes each event as one line of JSON. */
export function lineLogger(write: (line: string) => void, now: () => Date = () => new Date()): Logger {
  return (event, fields = {}) =>
    write(`${JSON.stringify({ time: now().toISOString(), event, ...fields })}\n`);
}

export const silentLogger: Logger = () => {};

/**
 * What may be logged of an unforeseen error: its class and where it arose. The message is left out, it may hold data.
 */
export function describeUnforeseen(error: unknown): LogFields {
  if (!(error instanceof Error)) return { error: typeof error };
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  const places = frames.slice(0, 8).map((line) => line.trim().replace(/^at /, ''));
  return { error: error.name, stack: places.join(' < ') };
}
