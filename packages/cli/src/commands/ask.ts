import { loadLocalModel, Session, tokenizePrompt } from '@sotto/client';
import type { RefreshMode } from '@sotto/protocol';
import { clientKeyOf, keyOptions } from '../client-key.js';
import type { Command, Options, Output } from '../command.js';
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
import { askReport } from '../report.js';
import { askWithRetry, retryOf, retryOption } from '../retry.js';
import { askSanitized, sanitizedReport, sanitizedSummary } from '../sanitized-answer.js';
import { modeOption, sanitizedOptions } from '../sanitizer-options.js';
import { askUpstream, requireSanitizedMode, upstreamOptions } from '../upstream-answer.js';

async function askInClear(options: Options, output: Output): Promise<number> {
  const json = options.flag('json');
  const result = await askSanitized(options, output, {
    url: options.required('server'),
    files: modelFilesOf(options),
    texts: await promptTextsOf(options),
    maxTokens: options.integer('tokens', 1, 4096) ?? 32,
    onPrepared: ({ sent }) => output.err(`Leaves this machine: ${sent}\n`),
    onText: (text) => {
      if (!json) output.out(text);
    },
  });
  const report = sanitizedReport(result);
  output.err(`\n${sanitizedSummary(report)}`);
  output.out(json ? `${JSON.stringify(report)}\n` : '\n');
  return exitCodes.ok;
}

export const command: Command = {
  name: 'ask',
  description:
    'Asks a running server one question. Mode fhe makes keys and sends them (with --key only once), encrypts the private part\n' +
    'here and decrypts the answer here. Mode sanitized replaces words of the private part here, sends the rest in clear, and\n' +
    'puts your words back into the answer: much faster, and a weaker protection of another kind.',
  example: 'sotto ask --public "Once upon a time, there was" --private "a little girl named Lily" --tokens 4',
  options: {
    server: { value: 'URL', default: 'http://127.0.0.1:8417', help: 'Address of the server.' },
    ...modeOption,
    ...questionOptions,
    ...draftOptions,
    ...retryOption,
    ...sanitizedOptions,
    ...upstreamOptions,
    ...parameterOptions,
    ...modelOptions,
    ...calibrationOptions,
    ...machineOptions,
    ...keyOptions,
    compare: { help: 'Run the clear model here too, and show how far the answer is from its answer.' },
  },
  async run(options, output) {
    requireSanitizedMode(options);
    if (options.text('upstream') !== undefined) return await askUpstream(options, output);
    if (options.required('mode') === 'sanitized') return await askInClear(options, output);
    const machine = machineOf(options);
    const maxTokens = options.integer('tokens', 1, 4096) ?? 4;
    const texts = await promptTextsOf(options);
    const model = await loadLocalModel(modelFilesOf(options));
    // A prompt that cannot be asked is refused before keys are made for it.
    const { publicTokens } = tokenizePrompt(model.tokenizer, texts);
    output.err(`The server reads: ${JSON.stringify(model.tokenizer.decode(publicTokens))}\n`);
    const drafting = await draftingOf(options, model);
    const key = await clientKeyOf(options);
    const progress = new ProgressRenderer(output.err, output.interactive);
    const question = {
      ...texts,
      maxTokens,
      compare: options.flag('compare'),
      ...(drafting === undefined ? {} : { drafting }),
    };
    const connect = async (refresh: RefreshMode) => {
      const session = await Session.connect(options.required('server'), {
        model,
        calibrationPath: options.text('calibration'),
        refresh,
        parameters: parametersOf(options),
        ...machine,
        firstQuestion: question,
        // A kept secret belongs to the ring of its refresh; another one is for this answer only.
        ...(key === undefined || refresh !== refreshOf(options) ? {} : { key }),
        onProgress: progress.listener,
        signal: output.signal,
      });
      progress.clear();
      return session;
    };
    const wanted = { refresh: refreshOf(options), retry: retryOf(options), question };
    const { session, answer, retried } = await askWithRetry(connect, wanted, output, progress);
    try {
      const report = { ...askReport(session, answer, machine.threads, question.compare), retried };
      output.out(options.flag('json') ? `${JSON.stringify(report)}\n` : `${answer.text.trim()}\n`);
      return exitCodes.ok;
    } finally {
      await session.close().catch(() => {});
    }
  },
};
