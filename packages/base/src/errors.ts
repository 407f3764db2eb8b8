/** A fact attached to an error: numbers and names only, never data a user typed or a key byte. */
export type Fact = string | number | boolean | null | undefined;

export interface SottoErrorOptions {
  /** Stable identifier in UPPER_SNAKE form, e.g. `HE_LEVEL_EXHAUSTED`. */
  code: string;
  /** Got and expected values, small and free of secrets. */
  facts?: Record<string, Fact>;
  /** What the reader can do about it. */
  fix?: string;
  /** True when the same call may succeed later unchanged. */
  retryable?: boolean;
  cause?: unknown;
}

const marker = Symbol.for('sotto.error');

/**
 * The one error class of the project. The message has three parts: what happened, the facts, the fix.
 * Out-of-range data is left out on purpose: it may be secret.
 */
export class SottoError extends Error {
  readonly code: string;
  readonly facts: Record<string, Fact>;
  readonly fix: string | undefined;
  readonly retryable: boolean;
  readonly short: string;
  readonly [marker] = true;

  constructor(short: string, options: SottoErrorOptions) {
    const facts = options.facts ?? {};
    const lines = [short];
    for (const [name, value] of Object.entries(facts)) lines.push(`- ${name}: ${String(value)}`);
    if (options.fix) lines.push(`Fix: ${options.fix}`);
    lines.push(`Code: ${options.code}`);
    super(lines.join('\n'), options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SottoError';
    this.short = short;
    this.code = options.code;
    this.facts = facts;
    this.fix = options.fix;
    this.retryable = options.retryable ?? false;
  }

  /** Recognises errors of any installed copy of this package. */
  static is(value: unknown): value is SottoError {
    return typeof value === 'object' && value !== null && marker in value;
  }

  /** The form that crosses a process boundary: no stack, no cause. */
  toJSON(): { code: string; short: string; facts: Record<string, Fact>; fix?: string; retryable: boolean } {
    return {
      code: this.code,
      short: this.short,
      facts: this.facts,
      ...(this.fix === undefined ? {} : { fix: this.fix }),
      retryable: this.retryable,
    };
  }
}
