import { loadLocalModel, Session, tokenizePrompt } from '@sotto/client';
import { printAnswer } from '../answer.js';
import { clientKeyOf, keyOptions } from '../client-key.js';
import type { Command } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import {
  machineOf,
  machineOptions,
  modelFilesOf,
  modelOptions,
  parameterOptions,
  parametersOf,
  privateTextOf,
  questionOptions,
  refreshOf,
} from '../options.js';
import { ProgressRenderer } from '../progress-renderer.js';
import { askReport } from '../report.js';

export const command: Command = {
  name: 'ask',
  description:
    'Makes keys, sends them to a running server and asks one question; with --key, keys are made and sent only once.\n' +
    'The private part is encrypted here; the answer is decrypted here.',
  example: 'sotto ask --public "Once upon a time, there was" --private "a little girl named Lily" --tokens 4',
  options: {
    server: { value: 'URL', default: 'http://127.0.0.1:8417', help: 'Address of the server.' },
    ...questionOptions,
    ...parameterOptions,
    ...modelOptions,
    ...machineOptions,
    ...keyOptions,
    compare: { help: 'Run the clear model here too, and show how far the answer is from its answer.' },
  },
  async run(options, output) {
    const machine = machineOf(options);
    const maxTokens = options.integer('tokens', 1, 4096) ?? 4;
    const privateText = await privateTextOf(options);
    const model = await loadLocalModel(modelFilesOf(options));
    const publicText = options.text('public') ?? '';
    // A prompt that cannot be asked is refused before keys are made for it.
    tokenizePrompt(model.tokenizer, publicText, privateText);
    const key = await clientKeyOf(options);
    const progress = new ProgressRenderer(output.err, output.interactive);
    const session = await Session.connect(options.required('server'), {
      model,
      refresh: refreshOf(options),
      parameters: parametersOf(options),
      ...machine,
      ...(key === undefined ? {} : { key }),
      onProgress: progress.listener,
      signal: output.signal,
    });
    try {
      progress.clear();
      const question = { publicText, privateText, maxTokens, compare: options.flag('compare') };
      const answer = await printAnswer(session, question, output, progress);
      output.out(
        options.flag('json')
          ? `${JSON.stringify(askReport(session, answer, machine.threads, question.compare))}\n`
          : `${answer.text.trim()}\n`,
      );
      return exitCodes.ok;
    } finally {
      await session.close().catch(() => {});
    }
  },
};
