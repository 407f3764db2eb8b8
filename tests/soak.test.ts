// Short forms of the drills of `npm run soak`, and the arithmetic that judges the long ones.
import { expect, it } from 'vitest';
import { overtakings } from '../bench/soak/fairness.mjs';
import { longRun } from '../bench/soak/long-run.mjs';
import { growth, quantile } from '../bench/soak/statistics.mjs';
import { uploadKills } from '../bench/soak/upload-kills.mjs';

it('counts turns that were taken before others had theirs', () => {
  const jobs = (order: string) => [...order].map((owner, i) => ({ owner, submittedMs: 0, startedMs: i + 1 }));
  expect(overtakings(jobs('cabcab'))).toBe(0);
  expect(overtakings(jobs('caabcb'))).toBe(1);
  expect(overtakings(jobs('caaabb'))).toBe(2);
  // Who came after the choice was made has not been passed over.
  expect(overtakings([...jobs('caa'), { owner: 'b', submittedMs: 1.5, startedMs: 9 }])).toBe(0);
});

it('compares the ends of a time, without its beginning', () => {
  const samples = [900, 100, 100, 100, 100, 100, 100, 110, 110].map((value, atMs) => ({ atMs, value }));
  expect(growth(samples, 1)).toEqual({ samples: 8, first: 100, last: 110, percent: 10 });
  expect(quantile([5, 1, 4, 2, 3], 0.99)).toBe(5);
  expect(quantile([5, 1, 4, 2, 3], 0.5)).toBe(3);
});

it('brings a set whole over an upload that was cut and one whose server was killed', async () => {
  const seen = await uploadKills({ kills: 2, serverKillsEvery: 2, keySizes: [9 << 20, 3_000_001] });
  expect(seen).toMatchObject({ kills: 2, serverKills: 1, wrongDigests: 0 });
  expect(seen.sentRatio.worst).toBeLessThan(1.2);
}, 60_000);

it('serves many uploads beside a queue of jobs, in turns and without a mistake', async () => {
  const load = { uploaders: 8, owners: 3, greedy: 2, pauseMs: 500, answerMs: 50 };
  const seen = await longRun({ minutes: 0.25, ...load });
  expect(seen).toMatchObject({
    serverAlive: true,
    wrongKeys: 0,
    wrongResults: 0,
    overtakings: 0,
    errors: [],
  });
  expect(seen.health.unanswered).toBe(0);
  expect(seen.uploads).toBeGreaterThan(0);
}, 120_000);
