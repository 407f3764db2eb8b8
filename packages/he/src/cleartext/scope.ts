import { SottoError } from '@sotto/base';

/** Nested owners: what is made inside the innermost scope is freed at its end, unless it is returned. */
export class ScopeStack<C extends object> {
  readonly #stack: Set<C>[] = [];
  readonly #free: (value: C) => void;
  readonly #is: (value: unknown) => value is C;

  constructor(free: (value: C) => void, is: (value: unknown) => value is C) {
    this.#free = free;
    this.#is = is;
  }

  add(value: C): void {
    this.#stack.at(-1)?.add(value);
  }

  /** Takes the value out of whatever scope owns it. */
  forget(value: C): void {
    for (let i = this.#stack.length - 1; i >= 0; i--) if (this.#stack[i].delete(value)) return;
  }

  run<T>(body: () => T): T {
    const owned = new Set<C>();
    this.#stack.push(owned);
    let returned: C[] = [];
    try {
      const result = body();
      if (typeof (result as { then?: unknown } | null)?.then === 'function') {
        throw new SottoError('A scope cannot wait.', {
          code: 'HE_SCOPE_ASYNC',
          fix: 'Await outside of the scope, or release the ciphertexts by hand.',
        });
      }
      returned = this.#within(result);
      return result;
    } finally {
      this.#stack.pop();
      for (const value of returned) {
        if (owned.delete(value)) this.add(value);
      }
      for (const value of [...owned]) this.#free(value);
    }
  }

  #within(result: unknown): C[] {
    if (this.#is(result)) return [result];
    if (Array.isArray(result)) return result.filter(this.#is);
    if (typeof result === 'object' && result !== null) return Object.values(result).filter(this.#is);
    return [];
  }
}
