import { randomBytes, SottoError } from '@sotto/base';
import {
  type AnswerMode,
  decodeFrame,
  decodeRows,
  encodeRows,
  errorBodyOf,
  FRAME_HEADER_BYTES,
  type ModelInfo,
  openApiDocument,
  PROTOCOL_VERSION,
  parseMessage,
  publicRequestSchema,
  sessionRequestSchema,
  statusOfCode,
} from '@sotto/protocol';
import { type Context, Hono } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { addAnswerRoutes } from './http/answer-routes.js';
import { frameResponse, readBody, readJson } from './http/body.js';
import { bearerToken, guardBrowser } from './http/guard.js';
import { jobStream } from './http/job-stream.js';
import { addKeyRoutes } from './http/key-routes.js';
import { Metrics } from './http/metrics.js';
import { limitRate } from './http/rate-limit.js';
import type { KeyStore } from './keys/key-store.js';
import { describeUnforeseen, type Logger } from './log.js';
import type { SessionStore } from './state/session-store.js';
import { requireMode, type TextService } from './text/text-service.js';

const CONTROL_LIMIT_BYTES = 1 << 20;
/** A block or a refreshed ciphertext; the largest secure ones are below 40 MB. */
const CIPHERTEXT_LIMIT_BYTES = 256 << 20;

export interface AppOptions {
  readonly model: ModelInfo;
  readonly sessions: SessionStore;
  /** Answers prompts in clear; null when the server does not answer in mode `sanitized`. */
  readonly text: TextService | null;
  /** Modes in which the server answers. */
  readonly modes: readonly AnswerMode[];
  /** Names by which this server may be addressed, lower case. */
  readonly allowedHosts: ReadonlySet<string>;
  /** Origins of pages that may call; none when absent. */
  readonly allowedOrigins?: ReadonlySet<string>;
  readonly log: Logger;
  readonly keyStore: KeyStore | null;
  /** Requests a second from one address, on average; four times as many at once. */
  readonly requestsPerSecond: number;
}

/** A path parameter that is a small number. @throws the given code when it is not. */
function indexParameter(value: string, code: string): number {
  if (/^\d{1,9}$/.test(value)) return Number(value);
  throw new SottoError('The path has no valid number.', { code, fix: 'Use the numbers of the protocol.' });
}

function requireIndex(found: number, expected: number): void {
  if (found === expected) return;
  throw new SottoError('The frame belongs to another request.', {
    code: 'FRAME_INDEX',
    facts: { index: found, expected },
    fix: 'Send each frame to its own address.',
  });
}

/** All routes of the server. Handlers only parse, hand over and answer; the work is the engine's. */
export function createApp(options: AppOptions): Hono {
  const { model, sessions, text, modes, allowedHosts, log, keyStore, requestsPerSecond } = options;
  const app = new Hono();
  const metrics = new Metrics(gauges(sessions, text, keyStore));
  const sessionOf = (c: Context) => sessions.get(c.req.param('id') ?? '', bearerToken(c));
  const jobOf = (c: Context) => sessions.findJob(c.req.param('job') ?? '', bearerToken(c));

  app.use(async (c, next) => {
    const startMs = performance.now();
    await next();
    const seconds = (performance.now() - startMs) / 1000;
    metrics.countRequest(c.req.method, c.req.routePath, c.res.status, seconds);
    log('request', {
      method: c.req.method,
      route: c.req.routePath,
      status: c.res.status,
      ms: Math.round(1000 * seconds),
      bodyBytes: Number(c.req.header('content-length') ?? 0),
    });
  });
  app.use(guardBrowser(allowedHosts, options.allowedOrigins));
  app.use(limitRate(requestsPerSecond, 4 * requestsPerSecond));

  app.get('/health', (c) => c.json({ status: 'ok', protocol: PROTOCOL_VERSION, sessions: sessions.size }));
  app.get('/metrics', (c) =>
    c.body(metrics.text(), 200, { 'content-type': 'text/plain; version=0.0.4; charset=utf-8' }),
  );
  const textWindow = text === null ? {} : { textWindow: text.window };
  app.get('/openapi.json', (c) => c.json(openApiDocument(String(PROTOCOL_VERSION))));
  app.get('/v1/model', (c) => c.json({ ...model, keyStore: keyStore !== null, modes, ...textWindow }));
  addKeyRoutes(app, keyStore);
  addAnswerRoutes(app, text);

  app.post('/v1/sessions', async (c) => {
    const body = await readJson(c.req.raw, CONTROL_LIMIT_BYTES);
    const request = parseMessage(sessionRequestSchema, body, 'session request');
    requireMode(modes, 'fhe');
    const { session, token } = await sessions.open(request, () => bearerToken(c));
    return c.json({ protocol: PROTOCOL_VERSION, ...session.info, token }, 201);
  });
  app.get('/v1/sessions/:id', (c) => c.json(sessionOf(c).status()));
  app.delete('/v1/sessions/:id', async (c) => {
    await sessions.close(sessionOf(c));
    return c.body(null, 204);
  });

  app.get('/v1/sessions/:id/keys', (c) => c.json(sessionOf(c).keysLoaded()));
  app.put('/v1/sessions/:id/keys/:index', async (c) => {
    const session = sessionOf(c);
    const index = indexParameter(c.req.param('index'), 'KEY_UNKNOWN');
    const body = await readBody(c.req.raw, session.keySizeBytes(index) + FRAME_HEADER_BYTES);
    const frame = decodeFrame(body, 'key');
    requireIndex(frame.index, index);
    return c.json(await session.putKey(index, frame.payload));
  });

  app.post('/v1/sessions/:id/public', async (c) => {
    const session = sessionOf(c);
    const body = await readJson(c.req.raw, CONTROL_LIMIT_BYTES);
    const { tokens } = parseMessage(publicRequestSchema, body, 'public part');
    await session.putPublic(tokens, model.config.vocabSize);
    return c.json({ tokens: tokens.length });
  });

  app.post('/v1/sessions/:id/reset', async (c) => {
    await sessionOf(c).reset();
    return c.body(null, 204);
  });

  app.post('/v1/sessions/:id/blocks', async (c) => {
    const session = sessionOf(c);
    const frame = decodeFrame(await readBody(c.req.raw, CIPHERTEXT_LIMIT_BYTES), 'block');
    const rows = decodeRows(frame.payload);
    requireIndex(frame.index, rows.position);
    sessions.requireRunning();
    const jobId = Buffer.from(randomBytes(16)).toString('hex');
    return c.json({ jobId: (await session.startBlock(rows, jobId)).id }, 202);
  });

  app.get('/v1/jobs/:job', (c) => {
    const { job, session } = jobOf(c);
    const { id, state, seconds } = job;
    const waitingFor = session.waitingFor(job);
    return c.json({ jobId: id, state, seconds, ...(waitingFor ? { waitingFor } : {}) });
  });
  app.delete('/v1/jobs/:job', (c) => {
    jobOf(c).job.cancel();
    return c.body(null, 204);
  });
  app.get('/v1/jobs/:job/events', (c) => {
    const { job } = jobOf(c);
    const last = Number(c.req.header('last-event-id') ?? 0);
    return jobStream(job, Number.isSafeInteger(last) && last > 0 ? last : 0);
  });
  app.get('/v1/jobs/:job/result', async (c) => {
    const rows = await jobOf(c).job.result();
    return frameResponse('result', rows.position, encodeRows(rows));
  });
  app.get('/v1/jobs/:job/refresh/:refresh', (c) => {
    const refreshId = indexParameter(c.req.param('refresh'), 'REFRESH_UNKNOWN');
    return frameResponse('refreshRequest', refreshId, jobOf(c).job.refreshRequest(refreshId));
  });
  app.put('/v1/jobs/:job/refresh/:refresh', async (c) => {
    const { job, session } = jobOf(c);
    const refreshId = indexParameter(c.req.param('refresh'), 'REFRESH_UNKNOWN');
    job.refreshRequest(refreshId);
    const frame = decodeFrame(await readBody(c.req.raw, CIPHERTEXT_LIMIT_BYTES), 'refreshReply');
    requireIndex(frame.index, refreshId);
    session.countCiphertextBytes(frame.payload.length);
    job.refreshReply(refreshId, frame.payload);
    return c.body(null, 204);
  });

  app.notFound((c) => {
    const error = new SottoError('There is no such route.', {
      code: 'ROUTE_UNKNOWN',
      fix: 'Use the same Sotto version at client and server.',
    });
    metrics.countError(error.code);
    return c.json(errorBodyOf(error), 404);
  });
  app.onError((error, c) => {
    const body = errorBodyOf(error);
    const { code } = body.error;
    metrics.countError(code);
    log('request failed', {
      method: c.req.method,
      route: c.req.routePath,
      code,
      ...(SottoError.is(error) ? {} : describeUnforeseen(error)),
    });
    if (code === 'RATE_LIMITED' || code === 'SERVER_BUSY') c.header('retry-after', '1');
    if (code === 'PART_OFFSET') c.header('upload-offset', String(body.error.facts.expected));
    return c.json(body, statusOfCode(code) as ContentfulStatusCode);
  });
  return app;
}

const gauges = (sessions: SessionStore, text: TextService | null, keyStore: KeyStore | null) => [
  { name: 'sotto_sessions', help: 'Open sessions.', value: () => sessions.size },
  { name: 'sotto_jobs_running', help: 'Blocks that run.', value: () => sessions.queue.running },
  { name: 'sotto_jobs_queued', help: 'Blocks that wait.', value: () => sessions.queue.queued },
  {
    name: 'sotto_engines',
    help: 'Engines in memory.',
    value: () => sessions.residency.count,
  },
  {
    name: 'sotto_engines_waiting',
    help: 'Sessions that wait for memory.',
    value: () => sessions.residency.waiting,
  },
  {
    name: 'sotto_engine_memory_planned_bytes',
    help: 'Planned memory of the engines.',
    value: () => sessions.residency.heldBytes,
  },
  {
    name: 'sotto_engine_memory_budget_bytes',
    help: 'Memory that engines may take.',
    value: () => sessions.residency.budgetBytes,
  },
  { name: 'sotto_answers', help: 'Answers in clear that ended well.', value: () => text?.answers ?? 0 },
  { name: 'sotto_answer_tokens', help: 'Tokens of these answers.', value: () => text?.answerTokens ?? 0 },
  { name: 'sotto_answers_queued', help: 'Answers in clear that wait.', value: () => text?.queue.queued ?? 0 },
  { name: 'sotto_key_sets', help: 'Key sets on disk.', value: () => keyStore?.count ?? 0 },
  {
    name: 'sotto_key_set_bytes',
    help: 'Bytes that key sets may take.',
    value: () => keyStore?.sizeBytes ?? 0,
  },
  {
    name: 'process_resident_memory_bytes',
    help: 'Memory of the process.',
    value: () => process.memoryUsage.rss(),
  },
  { name: 'process_uptime_seconds', help: 'Time since the start.', value: () => process.uptime() },
];
