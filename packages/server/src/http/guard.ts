import { SottoError } from '@sotto/base';
import type { Context, MiddlewareHandler } from 'hono';

/** `host:port` or `[v6]:port` to the bare host in lower case. */
function hostName(header: string): string {
  const match = /^(\[[0-9a-fA-F:]+\]|[^:]+)(:\d+)?$/.exec(header.trim());
  return match ? match[1]!.toLowerCase() : '';
}

/**
 * Refuses requests that a web page could have caused: a foreign Host header (DNS rebinding) or any Origin.
 *
 * @param allowedHosts names by which this server may be addressed, lower case.
 */
export function guardBrowser(allowedHosts: ReadonlySet<string>): MiddlewareHandler {
  return async (c, next) => {
    const host = c.req.header('host');
    if (host !== undefined && !allowedHosts.has(hostName(host))) {
      throw new SottoError('The server is not addressed by one of its names.', {
        code: 'HOST_NOT_ALLOWED',
        fix: 'Use the address that the server printed, or start it with --host.',
      });
    }
    if (c.req.header('origin') !== undefined) {
      throw new SottoError('Requests from web pages are refused.', {
        code: 'ORIGIN_NOT_ALLOWED',
        fix: 'Use the Sotto client.',
      });
    }
    await next();
  };
}

/** The bearer token of a request. @throws `AUTH_REQUIRED`. */
export function bearerToken(c: Context): string {
  const match = /^Bearer ([0-9a-f]{64})$/.exec(c.req.header('authorization') ?? '');
  if (match) return match[1]!;
  throw new SottoError('The request has no session token.', {
    code: 'AUTH_REQUIRED',
    fix: 'Send "Authorization: Bearer <token>" with the token that the session was opened with.',
  });
}
