// docs/reliability.md, from what the drills saw.
import { writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const page = fileURLToPath(new URL('../../docs/reliability.md', import.meta.url));
const GROWTH_PERCENT = 5;
const HEALTH_P99_MS = 100;
const SENT_RATIO = 1.1;

const verdict = (met) => (met ? 'met' : '**missed**');
const all = (...conditions) => verdict(conditions.every(Boolean));
/** What the kinds of half-open connections are called in the page. */
const openNames = {
  silent: 'before a request',
  withinHeaders: 'within headers',
  withinUpload: 'within an upload',
  withinMessage: 'within a message',
  afterAnswer: 'after an answer',
  answerUnread: 'with an unread answer',
};
const thousands = (count) => count.toLocaleString('en-US');
const yes = (value) => (value ? 'yes' : '**no**');

/** A drill that has not run, or could not, is not met. */
const row = (what, must, seen, tell) => {
  if (!seen) return `| ${what} | ${must} | not run | **missed** |`;
  if (seen.skipped) return `| ${what} | ${must} | ${seen.skipped} | **missed** |`;
  const [text, met] = tell(seen);
  return `| ${what} | ${must} | ${text} | ${met} |`;
};

function rows(results) {
  const {
    uploads,
    jobs,
    fullDisk,
    readOnlyDisk,
    clock,
    slowClients,
    halfOpen,
    decoders,
    requests,
    clients,
    clientsAlone,
  } = results;
  return [
    row(
      'an upload is broken off at a random byte, 50 times',
      `bytes sent ≤ ${SENT_RATIO}×, digests equal`,
      uploads,
      (seen) => [
        `${seen.kills} uploads of ${(seen.setBytes / 1e6).toFixed(0)} MB, ${seen.serverKills} by SIGKILL of the server, the others by cut connections: ` +
          `${seen.sentRatio.mean}× on average, ${seen.sentRatio.worst}× at worst; ${seen.wrongDigests} keys differ`,
        all(seen.kills >= 50, seen.sentRatio.worst <= SENT_RATIO, seen.wrongDigests === 0),
      ],
    ),
    row(
      'SIGKILL of the server at a random moment of a job, 20 times',
      'every job ends with the bit-identical result',
      jobs,
      (seen) => [
        `${seen.identical} of ${seen.kills} identical, fetched twice (refresh: ${seen.refreshes}); ${thousands(seen.keysSentAgain)} key bytes sent again; ` +
          `killed while ${Object.entries(seen.states)
            .map(([state, count]) => `${state}: ${count}`)
            .join(', ')}`,
        all(
          seen.kills - (seen.states.done ?? 0) >= 20,
          seen.identical === seen.kills,
          seen.keysSentAgain === 0,
        ),
      ],
    ),
    row('full disk', 'typed errors, nothing lost', fullDisk, (seen) => [
      `upload: \`${seen.uploadCode}\`, block: \`${seen.blockCode}\`; the job that ran finished: ${yes(seen.jobFinishedWhileFull)}; stored key intact: ` +
        `${yes(seen.storedKeyIntact)}; with room the upload went on with the last ${Math.round(100 * seen.sentAfterShare)} %: ${yes(seen.uploadFinishedWithRoom)}`,
      all(
        ...[
          seen.uploadCode === 'KEYS_DISK_FULL',
          seen.blockCode === 'STATE_DISK_FULL',
          seen.healthyWhileFull,
        ],
        ...[seen.jobFinishedWhileFull, seen.storedKeyIntact, seen.uploadFinishedWithRoom, seen.serverAlive],
      ),
    ]),
    row('read-only disk', 'typed errors, nothing lost', readOnlyDisk, (seen) => [
      `upload: \`${seen.uploadCode}\`, block: \`${seen.blockCode}\`; the job that ran finished: ${yes(seen.jobFinishedWhileReadOnly)}; stored key ` +
        `intact: ${yes(seen.storedKeyIntact)}; uploads work again afterwards: ${yes(seen.uploadFinishedAfterwards)}`,
      all(
        ...[seen.uploadCode === 'KEYS_DISK', seen.blockCode === 'STATE_DISK', seen.healthyWhileReadOnly],
        ...[
          seen.jobFinishedWhileReadOnly,
          seen.storedKeyIntact,
          seen.uploadFinishedAfterwards,
          seen.serverAlive,
        ],
      ),
    ]),
    row('clock jumps', 'survival, nothing in use lost', clock, ({ jumps }) => [
      jumps
        .map(
          ({ days, jobFinished, sessionStays, keysKeptOverRestart, jobFinishedAfterRestart }) =>
            `${days > 0 ? '+' : ''}${days} days: job finished ${yes(jobFinished)}, session stays ${yes(sessionStays)}; over a restart: ` +
            `keys kept ${yes(keysKeptOverRestart)}, job finished ${yes(jobFinishedAfterRestart)}`,
        )
        .join('; '),
      all(...jumps.flatMap(({ days, ...jump }) => Object.values(jump))),
    ]),
    row('clients that send 1 kB/s', 'served, nothing lost', slowClients, (seen) => [
      `${seen.clients} clients for ${seen.seconds} s, then cut: ${thousands(seen.keptBytes)} of ${thousands(seen.sentBytes)} bytes kept, ` +
        `${seen.sentAgainBytes} sent again, ${seen.intact} sets whole; ${seen.othersUploaded} uploads of others meanwhile`,
      all(
        seen.keptBytes === seen.sentBytes,
        seen.sentAgainBytes === 0,
        seen.intact === seen.clients,
        seen.serverAlive,
      ),
    ]),
    row('half-open connections', 'freed', halfOpen, (seen) => [
      `${seen.each} of each kind; the last one freed after ${Object.entries(seen.freedAfterSeconds)
        .map(([kind, seconds]) => `${seconds} s (${openNames[kind]})`)
        .join(', ')}; left open: ${Object.values(seen.leftOpen).reduce((sum, count) => sum + count, 0)}`,
      all(Object.keys(seen.leftOpen).length === 0, seen.serverAlive),
    ]),
    row(
      '10^6 damaged messages to every decoder',
      '0 crashes, 0 hangs, 0 unbounded memory',
      decoders,
      (seen) => [
        `${thousands(seen.cases)} cases, ${thousands(seen.refused)} refused with ${Object.keys(seen.codes).length} different codes, ${seen.crashes.length} ` +
          `crashes; the slowest took ${seen.slowestMs} ms; memory grew by ${seen.residentGrowthMB} MB`,
        all(seen.cases >= 1e6, seen.crashes.length === 0, seen.residentGrowthMB < 200),
      ],
    ),
    row(
      'damaged, mixed up and made up requests',
      '0 crashes, 0 hangs, 0 secret bytes in answers',
      requests,
      (seen) => [
        `${thousands(seen.cases)} requests, ${seen.faultCount} answers outside the protocol or with bytes of another user, ${seen.hangs} hangs; ` +
          `memory ${seen.residentMB.afterAQuarter} MB after a quarter, ${seen.residentMB.atEnd} MB at the end; jobs of other users that finished right meanwhile: ${seen.othersFinished}, lost: ${seen.othersLost}`,
        all(
          seen.faultCount === 0,
          seen.hangs === 0,
          seen.serverAlive,
          seen.othersLost === 0,
          seen.cases >= 10_000,
        ),
      ],
    ),
    row(
      `50 clients upload, 8 jobs wait, ${clients ? `${clients.minutes} minutes` : 'an hour'}`,
      `resident memory grows ≤ ${GROWTH_PERCENT} % after warm-up`,
      clients,
      (seen) => [
        `${thousands(seen.uploads)} uploads (${seen.dropped} of them dropped once), ${seen.jobs} jobs, ${seen.queued.median} waiting (median); resident ` +
          `${seen.residentMB.first} → ${seen.residentMB.last} MB (${seen.residentMB.growthPercent} %); ${seen.wrongResults} wrong results, ${seen.wrongKeys} wrong keys, ${seen.errors.length} errors`,
        all(
          ...[seen.residentMB.growthPercent <= GROWTH_PERCENT, seen.wrongResults === 0, seen.wrongKeys === 0],
          ...[seen.errors.length === 0, seen.serverAlive],
        ) + (seen.minutes < 60 ? `, for ${seen.minutes} minutes` : ''),
      ],
    ),
    row('the same: order', 'owners take turns', clients, (seen) => [
      `${seen.overtakings} jobs begun before another owner's turn; waited ${seen.waitSeconds.median} s (median), ${seen.waitSeconds.worst} s (worst)`,
      all(seen.overtakings === 0),
    ]),
    row('the same: `/health`', `p99 ≤ ${HEALTH_P99_MS} ms`, clients, (seen) => [
      `p99 ${seen.health.p99Ms} ms, median ${seen.health.medianMs} ms of ${thousands(seen.health.count)}; an idle listener in the same group of processes: ` +
        `p99 ${seen.idleListener.p99Ms} ms, median ${seen.idleListener.medianMs} ms; timers of the asking process late by ${seen.ownLag.p99Ms} ms (p99)`,
      all(seen.health.p99Ms <= HEALTH_P99_MS, seen.health.unanswered === 0),
    ]),
    row(
      'the same for 5 minutes with nothing else on the machine: `/health`',
      `p99 ≤ ${HEALTH_P99_MS} ms`,
      clientsAlone,
      (seen) => [
        `p99 ${seen.health.p99Ms} ms, median ${seen.health.medianMs} ms, worst ${seen.health.worstMs} ms of ${thousands(seen.health.count)}; ` +
          `${thousands(seen.uploads)} uploads, ${seen.jobs} jobs, ${seen.queued.median} waiting meanwhile`,
        all(seen.health.p99Ms <= HEALTH_P99_MS, seen.health.unanswered === 0),
      ],
    ),
  ];
}

/** Writes the page. */
export function writeDocs(results) {
  const dates = [...new Set(Object.values(results).map(({ startedAt }) => startedAt.slice(0, 10)))].join(
    ', ',
  );
  const { machine, node } = Object.values(results)[0];
  const text = `# Reliability

What a server survives that is left running: drills against real processes, with toy rings (insecure parameters) and a tiny model or an
engine without mathematics, because not the mathematics is on trial here. \`npm run soak\` repeats them all (about two hours),
\`npm run soak -- --only NAME --minutes N\` one of them; \`npm test\` runs each in a short form (\`tests/faults.test.ts\`,
\`tests/soak.test.ts\`, \`tests/restart.test.ts\`, \`tests/key-upload.test.ts\`). Figures: \`bench/results/reliability.json\`, from which
\`npm run soak -- --docs\` writes this page.

Measured ${dates} on ${machine}, Node ${node}. **The machine was busy with other work** (load averages of 5 to 35), except in the
run that says so: counts do not suffer from that, times do: see the idle listener beside \`/health\`. The revision that each drill ran on stands in the figures.

| what | must | seen | |
|---|---|---|---|
${rows(results).join('\n')}
| two users | neither reads, uses or deletes what is the other's | every route with every credential of the other: \`tests/two-users.test.ts\` | a test |

## How it is done

- *Uploads* go through a proxy that counts every byte, headers too, and cuts all connections at a random one, or kills the server, which
  starts again on the same folder. Afterwards each key is fetched and compared. What is sent twice is what was on its way: four requests
  of 256 KB at most.
- *Jobs* are recorded once (keys, block, the client's answers to refreshes, result) and replayed as bytes, so that the result must be the
  same to the last bit. The server gets SIGKILL at a moment drawn evenly from the time that the job takes; kills after its end are not
  among the twenty.
- *Disks* are file systems of their own that are filled, made read-only and given room again under the running server. A job whose state
  cannot be kept is not lost by that: it finishes, and the log says that its state was not kept.
- *Clocks*: the server's \`Date\` is moved while it runs, and before it starts on what an earlier run left. Time-outs use a monotonic
  clock. A key set that a session uses is not removed, however old it seems.
- *Half-open connections* say nothing more before a request, within its headers, within an upload, within a message, after an answer, or
  while they do not read an answer of 6 MB. Headers get 15 s, a pause within a body 30 s, and a connection on which nothing moves one
  minute, unless its request is being worked on; what the system takes into its buffers counts as movement.
- *Damaged messages* go to the decoders of frames, rows, event streams, control messages and errors, and, with checksums made right again,
  to those of keys and ciphertexts and on into the memory of the native kernels. What is read must be what was sent.
- *Damaged requests* are made from the route table: methods, identifiers (one's own, the other user's, odd ones), tokens, headers, bodies
  and, for some, bytes of the HTTP text itself. Tokens, key bytes and ciphertexts of the other user are looked for in every answer, as bytes, hex and
  base64; every refusal must be a typed error other than \`INTERNAL\`.
- *The long run* keeps one job running and eight waiting, of seven owners of whom one has three sessions; 50 more clients upload, drop
  connections, read back, compare and remove. Memory is that of all processes of the server, first quarter after the warm-up against
  last quarter. The server and its clients had a low share of the processor.

## Not covered

Power loss (the folder is synced, but nobody pulled a plug), a disk that returns wrong bytes other than damaged files, networks with loss
and reordering, and more than one machine. An answer is held in memory until its client has read it or its connection is given up: a client that asks for many large keys and reads slowly can make the server hold that many.
`;
  writeFileSync(page, text);
}
