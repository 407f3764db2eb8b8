import { parseArgs } from 'node:util';
import { SottoError } from '@sotto/base';

/** One option of a command; every option but a flag takes a value. */
export interface OptionSpec {
  readonly help: string;
  /** Name of the value in the help, e.g. `PATH`; a flag has none. */
  readonly value?: string;
  readonly choices?: readonly string[];
  readonly default?: string;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** Where a command writes. */
export interface Output {
  /** Results. */
  out(text: string): void;
  /** Progress and warnings. */
  err(text: string): void;
  /** The error stream is a terminal that can redraw a line. */
  readonly interactive: boolean;
  readonly signal: AbortSignal;
}

/** Parsed options of a command. */
export class Options {
  readonly #values: Record<string, string | boolean | undefined>;
  /** Words that belong to no option; empty unless the command takes some. */
  readonly positionals: readonly string[];

  constructor(values: Record<string, string | boolean | undefined>, positionals: readonly string[] = []) {
    this.#values = values;
    this.positionals = positionals;
  }

  flag(name: string): boolean {
    return this.#values[name] === true;
  }

  text(name: string): string | undefined {
    const value = this.#values[name];
    return typeof value === 'string' ? value : undefined;
  }

  /** @throws `USAGE_MISSING`. */
  required(name: string): string {
    const value = this.text(name);
    if (value !== undefined) return value;
    throw new SottoError(`--${name} is missing.`, { code: 'USAGE_MISSING', fix: `Add --${name}.` });
  }

  /** @throws `USAGE_NUMBER` unless it is a whole number in the range. */
  integer(name: string, smallest: number, largest: number): number | undefined {
    const value = this.text(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (/^\d+$/.test(value) && number >= smallest && number <= largest) return number;
    throw new SottoError(`--${name} is not a number that can be used.`, {
      code: 'USAGE_NUMBER',
      facts: { smallest, largest },
      fix: `Give a whole number from ${smallest} to ${largest}.`,
    });
  }
}

export interface Command {
  readonly name: string;
  readonly description: string;
  readonly example: string;
  readonly options: OptionSpecs;
  /** Names of the words that may follow the command, for the help. */
  readonly positionals?: readonly string[];
  /** @returns the exit code. */
  run(options: Options, output: Output): Promise<number>;
}

const common: OptionSpecs = {
  json: { help: 'Print the result as one JSON object, the last line of the output.' },
  help: { help: 'Show this help.' },
};

/** Reads arguments strictly. @throws `USAGE_ARGUMENTS`, `USAGE_CHOICE`. */
export function parseOptions(command: Command, args: readonly string[]): Options {
  const specs = { ...command.options, ...common };
  let values: Record<string, string | boolean | undefined>;
  let positionals: readonly string[] = [];
  try {
    const config = Object.fromEntries(
      Object.entries(specs).map(([name, spec]) => [
        name,
        { type: spec.value === undefined ? ('boolean' as const) : ('string' as const) },
      ]),
    );
    const allowPositionals = command.positionals !== undefined;
    const parsed = parseArgs({ args: [...args], options: config, strict: true, allowPositionals });
    values = parsed.values;
    positionals = parsed.positionals;
  } catch (error) {
    // The message may repeat an argument, and an argument may be private text: only the kind is told.
    const reason = (error as { code?: string }).code ?? 'unknown';
    throw new SottoError('The arguments cannot be read.', {
      code: 'USAGE_ARGUMENTS',
      facts: { reason },
      fix: `See \`sotto ${command.name} --help\`; text with spaces needs quotes, and text that starts with - needs --option=TEXT.`,
      cause: error,
    });
  }
  for (const [name, spec] of Object.entries(specs)) {
    values[name] ??= spec.default;
    const value = values[name];
    if (spec.choices && value !== undefined && !spec.choices.includes(String(value))) {
      throw new SottoError(`--${name} has no such value.`, {
        code: 'USAGE_CHOICE',
        facts: { choices: spec.choices.join(', ') },
        fix: `Give one of: ${spec.choices.join(', ')}.`,
      });
    }
  }
  return new Options(values, positionals);
}

/** Help of one command. */
export function helpOf(command: Command): string {
  const rows = Object.entries({ ...command.options, ...common }).map(([name, spec]) => {
    const value = spec.choices ? ` ${spec.choices.join('|')}` : spec.value ? ` ${spec.value}` : '';
    const fallback = spec.default === undefined ? '' : ` (default ${spec.default})`;
    return [`--${name}${value}`, `${spec.help}${fallback}`] as const;
  });
  const width = Math.min(34, Math.max(...rows.map(([left]) => left.length)));
  const lines = rows.map(([left, right]) =>
    left.length > width ? `  ${left}\n  ${' '.repeat(width)}  ${right}` : `  ${left.padEnd(width)}  ${right}`,
  );
  return [
    `Usage: sotto ${[command.name, ...(command.positionals ?? [])].join(' ')} [options]`,
    '',
    command.description,
    '',
    'Options:',
    ...lines,
    '',
    'Example:',
    `  ${command.example}`,
    '',
  ].join('\n');
}
