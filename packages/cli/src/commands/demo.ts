import { SottoError } from '@sotto/base';
import { loadLocalModel, Session, tokenizePrompt } from '@sotto/client';
import { calibrationOf } from '@sotto/engine';
import { type Answer, printAnswer } from '../answer.js';
import type { Command } from '../command.js';
import { draftingOf, draftOptions } from '../draft-options.js';
import { exitCodes } from '../exit-codes.js';
import {
  calibrationOptions,
  machineOf,
  machineOptions,
  modelFilesOf,
  modelOptions,
  parameterOptions,
  parametersOf,
  questionOptions,
  refreshOf,
} from '../options.js';
import { ProgressRenderer } from '../progress-renderer.js';
import { promptTextsOf } from '../prompt-options.js';
import { demoReport, demoSummary } from '../report.js';
import { sanitizedDemo } from '../sanitized-demo.js';
import { modeOption, sanitizedOptions } from '../sanitizer-options.js';
import { startServerProcess } from '../server-process.js';

const DEFAULT_PUBLIC = 'Lily told the doctor';
const DEFAULT_PRIVATE = 'that she was very sad and her head hurt';

/** Below this distance between two tokens the clear model itself is undecided. */
const DECIDED_GAP = 0.1;

function requireRightAnswer(answer: Answer): void {
  const wrong = answer.tokens.findIndex(
    ({ clear }) => clear && !clear.error.sameChoice && clear.error.clearGap > DECIDED_GAP,
  );
  if (wrong < 0 && Number.isFinite(answer.rmsError)) return;
  throw new SottoError("The encrypted answer is not the clear model's.", {
    code: 'RESULT_WRONG',
    facts: { token: wrong + 1, maxAbsError: answer.maxAbsError, rmsError: answer.rmsError },
    fix: 'Report this with the output of `sotto doctor --json`.',
  });
}

export const command: Command = {
  name: 'demo',
  description:
    'Starts a server process with the model, asks it a prompt of which a part is private, prints the answer as it grows\n' +
    'next to what the clear model says, then what it cost and what the server saw. With --mode sanitized: what leaves in place\n' +
    'of the private part, the answer, and the answer with your words put back.',
  example:
    'sotto demo --public "Once upon a time, there was" --private "a small dragon" --tokens 2 --refresh client',
  options: {
    ...modeOption,
    ...questionOptions,
    ...draftOptions,
    ...sanitizedOptions,
    ...parameterOptions,
    ...modelOptions,
    ...calibrationOptions,
    ...machineOptions,
  },
  async run(options, output) {
    if (options.required('mode') === 'sanitized') return await sanitizedDemo(options, output);
    const machine = machineOf(options);
    const maxTokens = options.integer('tokens', 1, 4096) ?? 4;
    const texts = await promptTextsOf(options, { publicText: DEFAULT_PUBLIC, privateText: DEFAULT_PRIVATE });
    const files = modelFilesOf(options);
    const model = await loadLocalModel(files);
    // A prompt that cannot be asked is refused before anything is started.
    const { publicTokens } = tokenizePrompt(model.tokenizer, texts);
    const drafting = await draftingOf(options, model);
    const question = {
      ...texts,
      maxTokens,
      compare: true,
      ...(drafting === undefined ? {} : { drafting }),
    };
    const parameters = parametersOf(options);
    if (parameters !== 'secure') output.err('Warning: insecure toy parameters. Nothing is protected.\n');
    const calibrationPath = options.text('calibration');
    await calibrationOf(model.weights, {
      path: calibrationPath,
      signal: output.signal,
      onMeasure: () => output.err('Measuring the ranges of this model: minutes, once.\n'),
    });
    const server = await startServerProcess([
      ...(files.model === undefined ? [] : ['--model', files.model]),
      ...(calibrationPath === undefined ? [] : ['--calibration', calibrationPath]),
      '--backend',
      machine.backend,
      '--threads',
      String(machine.threads),
      ...(parameters === 'secure' ? [] : ['--allow-insecure']),
    ]);
    const progress = new ProgressRenderer(output.err, output.interactive);
    try {
      output.err(`Server with ${model.name} at ${server.url}, process of its own. Making keys here.\n`);
      const session = await Session.connect(server.url, {
        model,
        calibrationPath,
        refresh: refreshOf(options),
        parameters,
        ...machine,
        firstQuestion: question,
        onProgress: progress.listener,
        signal: output.signal,
      });
      try {
        progress.clear();
        const read = model.tokenizer.decode(publicTokens);
        output.err(`Public: ${JSON.stringify(read)}  Private: [${texts.privateText}]\n`);
        const answer = await printAnswer(session, question, output, progress);
        const report = demoReport(session, answer, machine.threads);
        if (!options.flag('json')) {
          output.out(
            `\n${texts.publicText} [${texts.privateText}]${answer.text}\n\n${demoSummary(session, answer, report)}`,
          );
        } else {
          output.err(`\n${demoSummary(session, answer, report)}`);
          output.out(`${JSON.stringify(report)}\n`);
        }
        requireRightAnswer(answer);
        return exitCodes.ok;
      } finally {
        await session.close().catch(() => {});
      }
    } finally {
      progress.clear();
      await server.stop();
    }
  },
};
