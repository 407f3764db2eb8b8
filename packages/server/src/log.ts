import { pino } from 'pino';

/** Fields of a log line: numbers and names. Prompts, tokens and ciphertext bytes never go through here. */
export type LogFields = Record<string, string | number | boolean>;

export type Logger = (event: string, fields?: LogFields) => void;

/** Fields that would be secrets or content, should one ever be logged by mistake. */
const redacted = [
  'token',
  'authorization',
  'secret',
  'key',
  'passphrase',
  'prompt',
  'text',
  'tokens',
  'body',
];

/**
 * Writes each event as one line of JSON with time and name; fields that could hold secrets or content are blanked.
 *
 * @param write takes one line with its end.
 */
export function lineLogger(write: (line: string) => void): Logger {
  const logger = pino(
    {
      base: null,
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (level) => ({ level }) },
      redact: { paths: redacted, censor: '[redacted]' },
    },
    { write },
  );
  return (event, fields = {}) => logger.info(fields, event);
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
