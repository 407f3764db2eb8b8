import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { SottoError } from '@sotto/base';

export interface ServerProcess {
  readonly url: string;
  /** What the server logged so far. */
  log(): string;
  stop(): Promise<void>;
}

const LOG_KEPT = 1 << 20;
const START_TIMEOUT_MS = 60_000;

/**
 * Starts `sotto serve` as a process of its own. It ends with this one: its standard input closes then. Keys stay
 * in memory unless `args` names a folder.
 *
 * @throws `SERVER_START` with its last words when it does not come up.
 */
export async function startServerProcess(args: readonly string[]): Promise<ServerProcess> {
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const child = spawn(
    process.execPath,
    [main, 'serve', '--port', '0', '--json', '--stop-with-stdin', '--keys', 'none', ...args],
    {
      stdio: ['pipe', 'pipe', 'pipe'],
      // Ctrl-C in a terminal reaches the whole process group; this process decides when the server stops.
      detached: process.platform !== 'win32',
    },
  );
  let log = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    log = (log + text).slice(-LOG_KEPT);
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const url = await new Promise<string>((resolve, reject) => {
    let head = '';
    const fail = () =>
      reject(
        new SottoError('The server process did not start.', {
          code: 'SERVER_START',
          facts: { lastWords: log.slice(-1000) || 'none' },
          fix: 'Run `sotto serve` to see why.',
        }),
      );
    const timer = setTimeout(() => {
      child.kill();
      fail();
    }, START_TIMEOUT_MS);
    child.once('error', fail);
    child.once('exit', fail);
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      head += text;
      const line = head.split('\n').find((candidate) => candidate.startsWith('{"url"'));
      if (!line || !head.includes('\n')) return;
      clearTimeout(timer);
      child.off('exit', fail);
      resolve((JSON.parse(line) as { url: string }).url);
    });
  });
  return {
    url,
    log: () => log,
    async stop() {
      child.stdin.end();
      const timer = setTimeout(() => child.kill('SIGKILL'), 30_000);
      await exited;
      clearTimeout(timer);
    },
  };
}
