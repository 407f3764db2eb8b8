import type { Session } from '@sotto/client';
import type { Answer } from './answer.js';
import { duration } from './progress-renderer.js';

const round = (value: number, digits: number) => Number(value.toFixed(digits));
const megabytes = (bytes: number) => round(bytes / 1e6, 1);

/** The object that `sotto demo --json` prints. */
export function demoReport(session: Session, answer: Answer, threads: number) {
  const { ring, info, model, server } = session;
  const { seconds, bytes } = session.costs;
  const perToken = answer.tokens.slice(1).map((token) => round(token.seconds, 3));
  return {
    mode: 'fhe',
    refresh: info.refresh,
    model: model.name,
    modelDigest: model.weights.digest,
    ring: {
      logN: ring.logN,
      logQP: round(ring.logQP, 1),
      secretWeight: ring.secretWeight ?? 'uniform-ternary',
      ephemeralWeight: ring.ephemeralWeight,
      securityBits: ring.securityBits,
    },
    answer: answer.text,
    clearAnswer: answer.clearText,
    tokens: answer.tokens.map(({ token }) => token),
    clearTokens: answer.tokens.flatMap(({ clear }) => (clear ? [clear.token] : [])),
    logitsMaxAbsError: answer.maxAbsError,
    logitsRmsError: answer.rmsError,
    bootstraps: answer.status.bootstraps,
    ...answer.drafts,
    tokensPerPass: round(answer.tokens.length / Math.max(1, answer.drafts.passes), 3),
    seconds: {
      keygen: round(seconds.keygen, 3),
      upload: round(seconds.upload, 3),
      prefill: round(answer.tokens[0]?.seconds ?? 0, 3),
      perToken,
    },
    bytes,
    peakMB: {
      client: megabytes(process.resourceUsage().maxRSS * 1024),
      server: megabytes(answer.status.peakRssBytes),
    },
    backend: server.backend.name,
    threads,
  };
}

/** The object that `sotto ask --json` prints: what only a comparison with the clear model tells is null without one. */
export function askReport(session: Session, answer: Answer, threads: number, compared: boolean) {
  const { serverSaw } = answer.status;
  const report = { ...demoReport(session, answer, threads), serverSaw };
  if (compared) return report;
  return { ...report, clearAnswer: null, clearTokens: null, logitsMaxAbsError: null, logitsRmsError: null };
}

export type DemoReport = ReturnType<typeof demoReport>;

/** The same for people. */
export function demoSummary(session: Session, answer: Answer, report: DemoReport): string {
  const { ring, seconds, bytes, peakMB } = report;
  const { serverSaw, clientRefreshes } = answer.status;
  const weights = `secret ${ring.secretWeight}${ring.ephemeralWeight === null ? '' : `, ephemeral weight ${ring.ephemeralWeight}`}`;
  const tokenTimes = seconds.perToken.map((s) => duration(1000 * s)).join(', ') || 'none';
  const rows: [string, string][] = [
    [
      'mode',
      `${report.mode}, refresh by ${report.refresh === 'bootstrap' ? 'bootstrapping at the server' : 'the client'}`,
    ],
    ['model', `${report.model} (${report.modelDigest.slice(0, 16)}...)`],
    ['ring', `N = 2^${ring.logN}, log QP ${ring.logQP}, ${weights} (${session.ring.parametersName})`],
    [
      'security',
      ring.securityBits >= 128 ? `${ring.securityBits} bits claimed` : `INSECURE: ${ring.securityBits} bits`,
    ],
    [
      'passes',
      `${report.passes}, ${report.tokensPerPass} tokens each; ${report.accepted} of ${report.drafted} drafted tokens accepted`,
    ],
    ['refreshes', `${report.bootstraps} bootstraps, ${clientRefreshes} by the client`],
    [
      'bytes',
      `keys up ${megabytes(bytes.keysUp)} MB, up ${megabytes(bytes.up)} MB, down ${megabytes(bytes.down)} MB`,
    ],
    ['keys', `made in ${duration(1000 * seconds.keygen)}, sent in ${duration(1000 * seconds.upload)}`],
    ['time', `first token ${duration(1000 * seconds.prefill)}, each following ${tokenTimes}`],
    ['memory', `client ${peakMB.client} MB, server ${peakMB.server} MB at most`],
    [
      'logits error',
      `${report.logitsMaxAbsError.toExponential(2)} at most, ${report.logitsRmsError.toExponential(2)} rms`,
    ],
    [
      'server saw',
      `${serverSaw.publicTokens} public tokens, ${serverSaw.privateRows} encrypted rows (${serverSaw.droppedRows} dropped), ${serverSaw.messages} messages, ` +
        `${megabytes(serverSaw.keyBytes)} MB of keys, ${megabytes(serverSaw.ciphertextBytes)} MB of ciphertext; no private text`,
    ],
    ['kernels', `${report.backend} at the server, ${report.threads} threads`],
  ];
  return rows.map(([name, value]) => `${name.padEnd(13)}${value}\n`).join('');
}
