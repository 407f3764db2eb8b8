import { SottoError } from '@sotto/base';
import {
  Desanitizer,
  type Receipt,
  type Sanitizer,
  type SanitizerTimes,
  type Substitution,
} from '@sotto/privacy';
import {
  joinParts,
  placesIn,
  requirePrivateText,
  requireTokens,
  type SanitizedQuestion,
} from './question.js';
import { chatDeltas } from './upstream-stream.js';

export interface UpstreamOptions {
  readonly sanitizer: Sanitizer;
  /** Name of the model at the upstream. */
  readonly model: string;
  /** Sent as a bearer token to this upstream only; stands in no error and no log. */
  readonly key?: string;
  /** Replaces the platform's fetch. */
  readonly fetch?: typeof globalThis.fetch;
}

/** A question that was sanitized and paid for, and has not left yet. */
export interface PreparedUpstreamQuestion {
  /** All that the upstream will read of it, but for the system message. */
  readonly sent: string;
  /** Sent as it is. */
  readonly system?: string;
  readonly maxTokens: number;
  readonly receipt: Receipt;
  readonly times: SanitizerTimes;
  /** Secret: holds the user's words. */
  readonly substitutions: readonly Substitution[];
}

export interface UpstreamSummary {
  /** Why the answer ended, in the words of the upstream: `stop`, `length`, ... */
  readonly reason: string;
  /** The answer as it came: about the replaced words. */
  readonly answerAsSent: string;
  readonly seconds: {
    readonly firstText: number;
    readonly total: number;
    readonly sanitize: number;
    readonly ledger: number;
    readonly restore: number;
  };
  /** Words of the user that were put back, and how many of them had to be chosen among several ({@link Desanitizer}). */
  readonly restored: { readonly words: number; readonly chosenByPlace: number };
  readonly bytes: { readonly up: number; readonly down: number };
}

/**
 * Asks any server with an OpenAI-compatible endpoint (`/chat/completions`) in mode `sanitized`: replaced text leaves, the user's words are
 * put back into the answer as it streams in. Such a server knows nothing of sanitizing; what it learns beside the text is whatever it
 * asks of its customers (account, address, times).
 */
export class UpstreamSession {
  readonly model: string;
  readonly #endpoint: string;
  readonly #sanitizer: Sanitizer;
  readonly #key: string | undefined;
  readonly #fetch: typeof globalThis.fetch;

  /**
   * @param url base address, as other clients take it, e.g. `https://api.example.com/v1`; without TLS on this machine only
   * @throws `UPSTREAM_ADDRESS`, `UPSTREAM_KEY`
   */
  constructor(url: string, options: UpstreamOptions) {
    this.#endpoint = endpointOf(url);
    if (options.key !== undefined && !/^[\x21-\x7e]{1,4096}$/.test(options.key)) {
      throw new SottoError('The key of the upstream cannot be sent in a header.', {
        code: 'UPSTREAM_KEY',
        fix: 'Give the key alone, without spaces or line breaks.',
      });
    }
    this.model = options.model;
    this.#sanitizer = options.sanitizer;
    this.#key = options.key;
    this.#fetch = options.fetch ?? globalThis.fetch;
  }

  /**
   * Sanitizes a question and pays for it; nothing is sent.
   * @throws `PROMPT_PRIVATE_EMPTY`, `PROMPT_TOKENS`, `BUDGET_SPENT`, and the other errors of the sanitizer
   */
  prepare(question: SanitizedQuestion): PreparedUpstreamQuestion {
    const { publicText = '', privateText, maxTokens, context = '', system } = question;
    requirePrivateText(privateText);
    requireTokens(maxTokens);
    const sanitized = this.#sanitizer.sanitize(privateText.trim(), context);
    const { receipt, times } = sanitized;
    const sent = joinParts(publicText, sanitized.text);
    return {
      ...{ sent, maxTokens, receipt, times, substitutions: placesIn(sent, sanitized) },
      ...(system === undefined ? {} : { system }),
    };
  }

  /**
   * Sends a prepared question and yields the answer as it grows, with the user's words put back. Its return value is the summary.
   *
   * @throws `SERVER_UNREACHABLE`, `SERVER_REFUSED`, `RESULT_MISMATCH`; no message of the upstream is repeated in them
   */
  async *send(
    prepared: PreparedUpstreamQuestion,
    signal?: AbortSignal,
  ): AsyncGenerator<{ readonly text: string }, UpstreamSummary, undefined> {
    const startMs = performance.now();
    const body = JSON.stringify({
      model: this.model,
      messages: [
        ...(prepared.system === undefined ? [] : [{ role: 'system', content: prepared.system }]),
        { role: 'user', content: prepared.sent },
      ],
      max_tokens: prepared.maxTokens,
      stream: true,
    });
    const response = await this.#post(body, signal);
    const desanitizer = new Desanitizer(prepared.substitutions, prepared.sent);
    let [answerAsSent, reason, restoreMs, downBytes] = ['', '', 0, 0];
    let firstMs: number | undefined;
    for await (const delta of chatDeltas(response, (bytes) => (downBytes += bytes))) {
      reason = delta.reason ?? reason;
      if (delta.text === '') continue;
      firstMs ??= performance.now();
      answerAsSent += delta.text;
      const restoreStartMs = performance.now();
      const text = desanitizer.push(delta.text);
      restoreMs += performance.now() - restoreStartMs;
      yield { text };
    }
    const rest = desanitizer.finish();
    if (rest !== '') yield { text: rest };
    const endMs = performance.now();
    return {
      reason,
      answerAsSent,
      seconds: {
        firstText: ((firstMs ?? endMs) - startMs) / 1000,
        total: (endMs - startMs) / 1000,
        sanitize: prepared.times.sanitizeMs / 1000,
        ledger: prepared.times.ledgerMs / 1000,
        restore: restoreMs / 1000,
      },
      restored: { words: desanitizer.restored, chosenByPlace: desanitizer.chosenByPlace },
      bytes: { up: new TextEncoder().encode(body).length, down: downBytes },
    };
  }

  async #post(body: string, signal: AbortSignal | undefined): Promise<Response> {
    let response: Response;
    try {
      response = await this.#fetch(this.#endpoint, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          accept: 'text/event-stream',
          ...(this.#key === undefined ? {} : { authorization: `Bearer ${this.#key}` }),
        },
        body,
        // A key goes to the address that it was given for, nowhere else.
        redirect: 'error',
        ...(signal === undefined ? {} : { signal }),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new SottoError('The upstream does not answer.', {
        code: 'SERVER_UNREACHABLE',
        facts: { origin: new URL(this.#endpoint).origin },
        fix: 'Check the address and the network. Redirections are not followed.',
        retryable: true,
      });
    }
    if (response.ok) return response;
    await response.body?.cancel().catch(() => {});
    throw new SottoError('The upstream refuses the question.', {
      code: 'SERVER_REFUSED',
      facts: { httpStatus: response.status },
      fix:
        response.status === 401 || response.status === 403
          ? 'Check the key of the upstream and what it is allowed to do.'
          : 'Check address, model name and limits of the upstream.',
      retryable: response.status === 429 || response.status >= 500,
    });
  }
}

const LOOPBACK = new Set(['localhost', '127.0.0.1', '[::1]']);

function endpointOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  const safe = url?.protocol === 'https:' || (url?.protocol === 'http:' && LOOPBACK.has(url.hostname));
  if (
    url === null ||
    !safe ||
    url.username !== '' ||
    url.password !== '' ||
    url.search !== '' ||
    url.hash !== ''
  ) {
    throw new SottoError('The address of the upstream cannot be used.', {
      code: 'UPSTREAM_ADDRESS',
      fix: 'Give https://HOST/v1; http:// on this machine only; no user, password or query.',
    });
  }
  const base = url.href.replace(/\/+$/, '');
  return base.endsWith('/chat/completions') ? base : `${base}/chat/completions`;
}
