import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SottoError } from '@sotto/base';
import { describe, expect, it, vi } from 'vitest';
import { withinTest } from '../../../tests/fixtures/command-line.js';
import { exitCodeOf } from './exit-codes.js';
import { duration, ProgressRenderer, progressText } from './progress-renderer.js';
import { run } from './run.js';

// Needs engine processes, which exist as built only: `tests/measure-exchange.test.ts`.
vi.mock('./measure-exchange.js', () => ({
  measureExchange: async () => ({ messageSeconds: 0.01, keygenSeconds: 1, keysSentSeconds: 2 }),
}));

const sotto = withinTest(run);

const names = [
  'demo',
  'serve',
  'ask',
  'keys',
  'sanitizer',
  'ledger',
  'audit',
  'plan',
  'cost',
  'trace',
  'run',
  'models',
  'doctor',
];

describe('help', () => {
  it('lists the commands', async () => {
    const { code, out } = await sotto('--help');
    expect(code).toBe(0);
    for (const name of names) expect(out).toMatch(new RegExp(`^  ${name} +\\S`, 'm'));
    expect((await sotto()).code).toBe(2);
  });

  it.each(names)('shows options and an example of %s', async (name) => {
    const { code, out } = await sotto(name, '--help');
    expect(code).toBe(0);
    expect(out).toContain(`Usage: sotto ${name}`);
    expect(out).toMatch(/Example:\n {2}sotto /);
    expect(out).toContain('--json');
  });
});

describe('a wrong command line', () => {
  it.each([
    [['nothing'], 'USAGE_COMMAND'],
    [['demo', '--privat', 'canary words'], 'USAGE_ARGUMENTS'],
    [['demo', 'canary words'], 'USAGE_ARGUMENTS'],
    [['demo', '--private'], 'USAGE_ARGUMENTS'],
    [['demo', '--tokens', 'canary'], 'USAGE_NUMBER'],
    [['demo', '--tokens', '0'], 'USAGE_NUMBER'],
    [['serve', '--port', '70000'], 'USAGE_NUMBER'],
    [['demo', '--refresh', 'canary'], 'USAGE_CHOICE'],
    [['demo', '--backend', 'canary'], 'USAGE_CHOICE'],
    [['ask'], 'USAGE_MISSING'],
    [['keys', 'canary'], 'USAGE_ACTION'],
    [['keys', 'rm'], 'USAGE_ACTION'],
    [['keys', 'list'], 'USAGE_MISSING'],
  ])('%j gives exit code 2 and does not repeat what was typed', async (args, code) => {
    const result = await sotto(...args, '--json');
    expect(result.code).toBe(2);
    expect(result.err).toContain(`Code: ${code}`);
    expect(result.err).not.toContain('canary');
    expect(JSON.parse(result.out.trim().split('\n').at(-1)!)).toMatchObject({ error: { code } });
  });
});

describe('exit codes', () => {
  it('tell bad input from an absent server', async () => {
    expect((await sotto('run', '--prompt', 'x', '--system', 'y')).err).toContain('PROMPT_SYSTEM_UNUSED');
    expect((await sotto('demo', '--model', '/nowhere.bin')).code).toBe(3);
    expect((await sotto('serve', '--model', new URL(import.meta.url).pathname)).code).toBe(3);
    expect((await sotto('ask', '--private', 'x', '--server', 'http://127.0.0.1:9')).code).toBe(5);
  }, 30_000);

  it('have a class for every kind of error', () => {
    const of = (code: string) => exitCodeOf(new SottoError('x', { code }));
    expect(of('USAGE_CHOICE')).toBe(2);
    expect(of('DATA_TRUNCATED')).toBe(3);
    expect(of('PROMPT_TOO_LONG')).toBe(3);
    expect(of('MODEL_MISMATCH')).toBe(3);
    expect(of('BACKEND_UNAVAILABLE')).toBe(4);
    expect(of('MEMORY_INSUFFICIENT')).toBe(4);
    expect(of('HE_OUT_OF_MEMORY')).toBe(4);
    expect(of('SERVER_ADDRESS')).toBe(4);
    expect(of('ENGINE_OUTPUT_ESCAPED')).toBe(6);
    expect(of('SERVER_UNREACHABLE')).toBe(5);
    expect(of('WORKER_LOST')).toBe(5);
    expect(of('RESULT_WRONG')).toBe(6);
    expect(exitCodeOf(new Error('x'))).toBe(1);
    expect(exitCodeOf(new DOMException('x', 'AbortError'))).toBe(130);
  });
});

describe('progress', () => {
  const event = {
    phase: 'keys',
    label: 'galois',
    done: 50e6,
    total: 200e6,
    unit: 'bytes',
    elapsedMs: 1,
    remainingMs: 95_500,
  };

  it('shows share, amount, time left and what is being done', () => {
    expect(progressText(event)).toBe(
      'keys     [######..................] 50.0 MB of 200.0 MB, 96 s left  galois',
    );
    expect(progressText({ ...event, unit: 'operations', done: 199e6, label: 'layer 2' })).toMatch(
      / 99 %.*layer 2$/,
    );
    expect(duration(1234)).toBe('1.2 s');
    expect(duration(125_000)).toBe('2 min 05 s');
  });

  it('is throttled to lines when it is piped, and redrawn in place on a terminal', () => {
    const lines: string[] = [];
    const piped = new ProgressRenderer((text) => lines.push(text), false);
    for (let i = 1; i <= 1000; i++) piped.listener({ ...event, done: i, total: 1000 });
    expect(lines).toHaveLength(2);
    expect(lines.join('')).not.toContain('\x1b');
    const drawn: string[] = [];
    const terminal = new ProgressRenderer((text) => drawn.push(text), true, 40);
    for (let i = 1; i <= 1000; i++) terminal.listener({ ...event, done: i, total: 1000 });
    terminal.clear();
    expect(drawn.length).toBeLessThan(10);
    expect(drawn.every((text) => text.startsWith('\r\x1b[2K') && text.length < 50)).toBe(true);
  });
});

describe('the clear model', () => {
  it('continues a text greedily, the same each time', async () => {
    const args = ['run', '--mode', 'plain', '--raw', '--temperature', '0', '--tokens', '8', '--json'];
    const [a, b] = await Promise.all([1, 2].map(() => sotto(...args, '--prompt', 'Once upon a time')));
    const report = JSON.parse(a!.out);
    expect(report.promptTokens).toEqual([1, 403, 407, 261, 378]);
    expect(report.text).toBe(', there was a little girl');
    expect(JSON.parse(b!.out).tokens).toEqual(report.tokens);
  });

  it.each([
    [['run'], 'USAGE_MISSING'],
    [['run', '--prompt', 'canary', '--temperature', 'hot'], 'USAGE_NUMBER'],
    [['run', '--prompt', 'canary', '--model', '/nonexistent'], 'FILE_UNREADABLE'],
    [['models', '--folder', '/nonexistent'], 'FILE_UNREADABLE'],
  ])('%j gives an error that does not repeat the prompt', async (args, code) => {
    const result = await sotto(...args);
    expect(result.code).not.toBe(0);
    expect(result.err).toContain(`Code: ${code}`);
    expect(result.err).not.toContain('canary');
  });

  it('is listed with its shape and digest', async () => {
    const { code, out } = await sotto('models', '--json');
    expect(code).toBe(0);
    expect(JSON.parse(out).models).toMatchObject([
      {
        name: 'sotto-stories-2x128',
        format: 'safetensors',
        license: 'Apache-2.0',
        config: { dim: 128, layerCount: 2, attention: 'kernel4-rms', gate: 'bilinear' },
        blockRows: { bootstrap: 16, client: 16 },
      },
      {
        name: 'stories260K',
        format: 'llama2.c',
        digest: 'b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696',
        config: { dim: 64, layerCount: 5, vocabSize: 512 },
        blockRows: { bootstrap: 16, client: 16 },
      },
    ]);
  });
});

describe('trace', () => {
  it.each([
    ['sotto-stories-2x128', 10],
    ['stories260K', 60],
  ])(
    'tells the bits of every step of %s and plots them',
    async (model, steps) => {
      const folder = await mkdtemp(join(tmpdir(), 'sotto-trace-'));
      try {
        const svg = join(folder, 'bits.svg');
        const args = [
          '--model',
          model,
          '--params',
          'insecure-toy',
          '--refresh',
          'client',
          '--tokens',
          '1',
          '--svg',
          svg,
          '--json',
        ];
        const { code, out } = await sotto('trace', ...args);
        expect(code).toBe(0);
        const report = JSON.parse(out) as { steps: { name: string; bits: number }[]; first: unknown };
        expect(report.first).toBeNull();
        expect(report.steps.length).toBeGreaterThanOrEqual(steps);
        expect((await readFile(svg, 'utf8')).match(/<polyline/g)).toHaveLength(3);
        const unwritable = await sotto('trace', ...args.slice(0, 8), '--svg', join(folder, 'no', 'x.svg'));
        expect(unwritable.code).toBe(3);
      } finally {
        await rm(folder, { recursive: true });
      }
    },
    60_000,
  );
});

describe('cost', () => {
  const toy = [
    'cost',
    '--params',
    'insecure-toy',
    '--refresh',
    'client',
    '--backend',
    'wasm',
    '--threads',
    '1',
  ];

  it('forecasts seconds, bytes and memory, and keeps what it measured', async () => {
    const cache = await mkdtemp(join(tmpdir(), 'sotto-cost-'));
    vi.stubEnv('XDG_CACHE_HOME', cache);
    try {
      const few = [...toy, '--private-tokens', '4'];
      const { code, out } = await sotto(...few, '--json');
      expect(code).toBe(0);
      const cost = JSON.parse(out);
      expect(cost.seconds.firstToken).toBeGreaterThan(cost.seconds.followingToken);
      expect(cost.seconds.answer).toBeGreaterThan(7 * cost.seconds.followingToken);
      expect(cost.refreshes).toHaveLength(3);
      expect(cost.bytes.up).toBe(8 * cost.bytes.passUp);
      expect(cost.measuredKernels).toBeGreaterThan(20);
      const again = await sotto(...few, '--json');
      expect(JSON.parse(again.out).measuredKernels).toBe(0);
    } finally {
      vi.unstubAllEnvs();
      await rm(cache, { recursive: true });
    }
  }, 60_000);

  it('refuses what does not fit the window, and says what would', async () => {
    const { code, err } = await sotto(...toy, '--private-tokens', '5000');
    expect(code).toBe(3);
    expect(err).toMatch(/PLAN_WINDOW_EXCEEDED/);
    expect(err).toMatch(/mostPrivateTokens: \d+/);
  });
});
