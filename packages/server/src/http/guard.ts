import { SottoError } from '@sotto/base';
import type { Context, MiddlewareHandler } from 'hono';

/** `host:port` or `[v6]:port` to the bare host in lower case. */
function hostName(header: string): string {
  const match = /^(\[[0-9a-fA-F:]+\]|[^:]+)(:\d+)?$/.exec(header.trim());
  return match ? match[1]!.toLowerCase() : '';
}

/** What the client sends besides simple headers, and what it reads of answers. */
const REQUEST_HEADERS =
  'authorization, content-type, last-event-id, upload-offset, upload-length, tus-resumable';
const ANSWER_HEADERS = 'upload-offset, upload-length, tus-resumable, location, retry-after';
const PREFLIGHT_SECONDS = '600';

/**
 * Refuses requests that a web page could have caused: a foreign Host header (DNS rebinding), or an Origin that was not allowed by
 * name. Pages of allowed origins get the headers of the fetch standard's CORS protocol; credentials of the browser are never used.
 *
 * @param allowedHosts names by which this server may be addressed, lower case.
 * @param allowedOrigins e.g. `https://page.example`; none when absent.
 */
export function guardBrowser(
  allowedHosts: ReadonlySet<string>,
  allowedOrigins: ReadonlySet<string> = new Set(),
): MiddlewareHandler {
  return async (c, next) => {
    const host = c.req.header('host');
    if (host !== undefined && !allowedHosts.has(hostName(host))) {
      throw new SottoError('The server is not addressed by one of its names.', {
        code: 'HOST_NOT_ALLOWED',
        fix: 'Use the address that the server printed, or start it with --host.',
      });
    }
    const origin = c.req.header('origin');
    if (origin === undefined) return next();
    if (!allowedOrigins.has(origin)) {
      throw new SottoError('Requests from web pages are refused.', {
        code: 'ORIGIN_NOT_ALLOWED',
        fix: 'Use the Sotto client, or start the server with --origin and the origin of the page.',
      });
    }
    if (c.req.method === 'OPTIONS') c.res = new Response(null, { status: 204 });
    else await next();
    const { headers } = c.res;
    headers.set('access-control-allow-origin', origin);
    headers.append('vary', 'origin');
    if (c.req.method !== 'OPTIONS') {
      headers.set('access-control-expose-headers', ANSWER_HEADERS);
      return;
    }
    headers.set('access-control-allow-methods', 'GET, HEAD, POST, PUT, PATCH, DELETE');
    headers.set('access-control-allow-headers', REQUEST_HEADERS);
    headers.set('access-control-max-age', PREFLIGHT_SECONDS);
    if (c.req.header('access-control-request-private-network') === 'true')
      headers.set('access-control-allow-private-network', 'true');
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
