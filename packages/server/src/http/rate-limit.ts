import { SottoError } from '@sotto/base';
import type { Context, MiddlewareHandler } from 'hono';

/** Addresses that are remembered; the oldest is forgotten first. */
const MOST_ADDRESSES = 4096;

interface Bucket {
  tokens: number;
  atMs: number;
}

/** Address of the peer; the same for all when the server does not run on Node's own HTTP. */
export const addressOf = (c: Context): string =>
  (c.env as { incoming?: { socket?: { remoteAddress?: string } } } | undefined)?.incoming?.socket
    ?.remoteAddress ?? '';

/**
 * A token bucket an address: `perSecond` requests on average, `burst` at once. `/health` is always answered.
 *
 * @throws `RATE_LIMITED`.
 */
export function limitRate(
  perSecond: number,
  burst: number,
  now = () => performance.now(),
): MiddlewareHandler {
  const buckets = new Map<string, Bucket>();
  return async (c, next) => {
    if (c.req.path !== '/health') take(addressOf(c));
    await next();
  };

  function take(address: string): void {
    const atMs = now();
    const before = buckets.get(address) ?? { tokens: burst, atMs };
    const tokens = Math.min(burst, before.tokens + ((atMs - before.atMs) / 1000) * perSecond);
    buckets.delete(address);
    buckets.set(address, { tokens: Math.max(0, tokens - 1), atMs });
    if (buckets.size > MOST_ADDRESSES) buckets.delete(buckets.keys().next().value!);
    if (tokens >= 1) return;
    throw new SottoError('Too many requests came from this address.', {
      code: 'RATE_LIMITED',
      facts: { perSecond, burst },
      fix: 'Wait a second, then send fewer at a time.',
      retryable: true,
    });
  }
}
