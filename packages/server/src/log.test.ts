import { expect, it } from 'vitest';
import { describeUnforeseen, lineLogger } from './log.js';

it('writes one line of JSON an event, and blanks what could be a secret', () => {
  const lines: string[] = [];
  const log = lineLogger((line) => lines.push(line));
  log('request', { route: '/v1/model', status: 200 });
  log('careless', { token: 'canary-token', authorization: 'Bearer canary', text: 'canary words', status: 1 });
  expect(lines).toHaveLength(2);
  expect(lines.every((line) => line.endsWith('\n'))).toBe(true);
  const [first, second] = lines.map((line) => JSON.parse(line));
  expect(first).toMatchObject({ level: 'info', event: 'request', route: '/v1/model', status: 200 });
  expect(Date.parse(first.time)).toBeGreaterThan(0);
  expect(second).toMatchObject({ event: 'careless', token: '[redacted]', status: 1 });
  expect(lines.join('')).not.toContain('canary');
});

it('tells where an unforeseen error arose, not what it said', () => {
  const fields = describeUnforeseen(new TypeError('canary-message'));
  expect(fields.error).toBe('TypeError');
  expect(fields.stack).toContain('log.test');
  expect(JSON.stringify(fields)).not.toContain('canary-message');
});
