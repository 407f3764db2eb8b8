import { SottoError } from '@sotto/base';

/** Something whose memory an {@link Arena} may free. */
export interface Releasable {
  release(): void;
}

/**
 * A stack of scopes. What is made while a scope is open belongs to it and is freed when it closes, unless the body returns it:
 * then it belongs to the scope around, or to the caller when there is none.
 */
export class Arena {
  readonly #scopes: Set<Releasable>[] = [];

  /** Enters an object into the innermost open scope. */
  adopt(item: Releasable): void {
    this.#scopes.at(-1)?.add(item);
  }

  /** Takes an object out of every open scope: only an explicit release frees it. */
  forget(item: Releasable): void {
    for (const scope of this.#scopes) scope.delete(item);
  }

  /**
   * Runs `body` in a scope of its own. The result keeps what it is, or what it holds as elements of an array or direct values
   * of a record.
   * @throws `HE_SCOPE_ASYNC` when the body returns a promise: its ciphertexts would be freed while it runs.
   */
  scope<T>(body: () => T): T {
    const scope = new Set<Releasable>();
    this.#scopes.push(scope);
    let kept: Releasable[] = [];
    try {
      const result = body();
      if (typeof (result as { then?: unknown } | null)?.then === 'function') {
        throw new SottoError('A scope cannot wait.', {
          code: 'HE_SCOPE_ASYNC',
          fix: 'Await outside of the scope, or release the ciphertexts by hand.',
        });
      }
      kept = reachable(result).filter((item) => scope.has(item));
      return result;
    } finally {
      this.#scopes.pop();
      for (const item of kept) scope.delete(item);
      for (const item of scope) item.release();
      for (const item of kept) this.adopt(item);
    }
  }
}

function reachable(result: unknown): Releasable[] {
  if (isReleasable(result)) return [result];
  if (typeof result !== 'object' || result === null) return [];
  return (Array.isArray(result) ? result : Object.values(result)).filter(isReleasable);
}

function isReleasable(value: unknown): value is Releasable {
  return (
    typeof value === 'object' &&
    value !== null &&
    typeof (value as Partial<Releasable>).release === 'function'
  );
}
