import { SottoError } from '@sotto/base';
import { errorBodyOf } from '@sotto/protocol';
import { type Command, helpOf, type Output, parseOptions } from './command.js';
import { exitCodeOf, exitCodes } from './exit-codes.js';

/** Loaded one at a time: the server's process never loads the client's code. */
const commands: Readonly<Record<string, () => Promise<{ readonly command: Command }>>> = {
  demo: () => import('./commands/demo.js'),
  serve: () => import('./commands/serve.js'),
  ask: () => import('./commands/ask.js'),
  keys: () => import('./commands/keys.js'),
  sanitizer: () => import('./commands/sanitizer.js'),
  ledger: () => import('./commands/ledger.js'),
  audit: () => import('./commands/audit.js'),
  plan: () => import('./commands/plan.js'),
  calibrate: () => import('./commands/calibrate.js'),
  cost: () => import('./commands/cost.js'),
  trace: () => import('./commands/trace.js'),
  run: () => import('./commands/run.js'),
  models: () => import('./commands/models.js'),
  doctor: () => import('./commands/doctor.js'),
};

const summaries: Readonly<Record<string, string>> = {
  demo: 'server and client on this machine, with the answer checked',
  serve: 'run the server',
  ask: 'ask a server a private question',
  keys: 'show or remove the keys that a server keeps for you',
  sanitizer: 'list, show, check or build tables of mode sanitized',
  ledger: 'what mode sanitized has spent of your privacy budget',
  audit: 'attack a sanitizer table, and published methods beside it',
  plan: 'what a model needs: ring, levels, refreshes, keys, memory',
  calibrate: 'measure the ranges of a model on its own text and yours',
  cost: 'seconds, memory and bytes of a conversation, before it runs',
  trace: 'bits of every step of the circuit, against their forecast',
  run: 'run a model here, in the clear',
  models: 'models that can be used, and what they are',
  doctor: 'what this machine offers and which kernels it will use',
};

const help = [
  'Ask a language model a question without showing it to whoever runs the model.',
  '',
  'Usage: sotto <command> [options]',
  '',
  'Commands:',
  ...Object.entries(summaries).map(([name, summary]) => `  ${name.padEnd(11)}${summary}`),
  '',
  'Example:',
  '  sotto demo --tokens 2 --refresh client',
  '',
  'Every command has --help and --json. Exit codes: 0 done, 2 usage, 3 bad input or data, 4 environment,',
  '5 server or job failed, 6 wrong result.',
  '',
].join('\n');

/** Runs one command line. @returns the exit code. */
export async function run(args: readonly string[], output: Output): Promise<number> {
  const [name, ...rest] = args;
  try {
    if (name === undefined || name === '--help' || name === 'help') {
      output.out(help);
      return name === undefined ? exitCodes.usage : exitCodes.ok;
    }
    if (!Object.hasOwn(commands, name)) {
      throw new SottoError('There is no such command.', {
        code: 'USAGE_COMMAND',
        facts: { commands: Object.keys(commands).join(', ') },
        fix: 'See `sotto --help`.',
      });
    }
    const { command } = await commands[name]!();
    if (rest.includes('--help')) {
      output.out(helpOf(command));
      return exitCodes.ok;
    }
    return await command.run(parseOptions(command, rest), output);
  } catch (error) {
    if (error instanceof Error && error.name === 'AbortError') {
      output.err('Stopped.\n');
    } else if (SottoError.is(error)) {
      output.err(`${error.message}\n`);
      if (rest.includes('--json')) output.out(`${JSON.stringify(errorBodyOf(error))}\n`);
    } else {
      output.err(`This is a defect in sotto:\n${error instanceof Error ? error.stack : String(error)}\n`);
    }
    return exitCodeOf(error);
  }
}
