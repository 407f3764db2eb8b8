import { SottoError } from '@sotto/base';
import { loadLocalModel, messageTokens, TextAssembler } from '@sotto/client';
import { accelerate, generate } from '@sotto/model';
import type { Command, Options } from '../command.js';
import { exitCodes } from '../exit-codes.js';
import { chatOptions, modelFilesOf, modelOptions } from '../options.js';

const MAX_TEMPERATURE = 10;

function temperatureOf(options: Options): number {
  const value = Number(options.required('temperature'));
  if (Number.isFinite(value) && value >= 0 && value <= MAX_TEMPERATURE) return value;
  throw new SottoError('--temperature is not a number that can be used.', {
    code: 'USAGE_NUMBER',
    facts: { smallest: 0, largest: MAX_TEMPERATURE },
    fix: `Give a number from 0 to ${MAX_TEMPERATURE}.`,
  });
}

export const command: Command = {
  name: 'run',
  description:
    'Runs a model on this machine in the clear: nothing is sent and nothing is encrypted. What an encrypted answer is\n' +
    'compared with.',
  example: 'sotto run --mode plain --model model.gguf --prompt "What is a ciphertext?" --tokens 40',
  options: {
    mode: { choices: ['plain'], value: 'NAME', default: 'plain', help: 'How to run it.' },
    prompt: { value: 'TEXT', help: 'What to say to the model.' },
    ...chatOptions,
    temperature: { value: 'T', default: '0', help: 'Randomness of the choice; 0 takes the likeliest token.' },
    seed: { value: 'N', help: 'Seed of the choice.' },
    tokens: { value: 'N', help: 'Tokens of the answer.' },
    ...modelOptions,
  },
  async run(options, output) {
    const prompt = options.required('prompt');
    const maxTokens = options.integer('tokens', 1, 1048576) ?? 64;
    const seed = options.integer('seed', 0, 2 ** 32 - 1) ?? 1;
    const temperature = temperatureOf(options);
    const local = await loadLocalModel(modelFilesOf(options));
    const { tokenizer, name } = local;
    const tokens = messageTokens(tokenizer, prompt, {
      raw: options.flag('raw'),
      system: options.text('system'),
    });
    // A text of no tokens begins with BOS: the model needs something to continue.
    if (tokens.length === 0) tokens.push(tokenizer.bosToken);
    const weights = accelerate(local.weights);
    const json = options.flag('json');
    const assembler = new TextAssembler(tokenizer);
    const answer: number[] = [];
    let text = '';
    const startedMs = performance.now();
    let firstMs = startedMs;
    for (const token of generate(weights, tokens, {
      maxTokens,
      temperature,
      seed,
      endTokens: tokenizer.endTokens,
    })) {
      if (answer.length === 0) firstMs = performance.now();
      answer.push(token);
      const piece = assembler.push(token);
      text += piece;
      if (!json) output.out(piece);
      output.signal.throwIfAborted();
    }
    const seconds = (performance.now() - firstMs) / 1000;
    const firstTokenSeconds = (firstMs - startedMs) / 1000;
    const tokensPerSecond = answer.length > 1 && seconds > 0 ? (answer.length - 1) / seconds : null;
    if (json) {
      const report = {
        model: name,
        modelDigest: weights.digest,
        mode: 'plain',
        promptTokens: tokens,
        tokens: answer,
        text,
        firstTokenSeconds: Number(firstTokenSeconds.toFixed(3)),
        tokensPerSecond: tokensPerSecond === null ? null : Number(tokensPerSecond.toFixed(2)),
      };
      output.out(`${JSON.stringify(report)}\n`);
    } else {
      output.out('\n');
      const speed = tokensPerSecond === null ? '' : `, ${tokensPerSecond.toFixed(1)} tokens/s`;
      output.err(`${name}, in the clear: first token after ${firstTokenSeconds.toFixed(2)} s${speed}.\n`);
    }
    return exitCodes.ok;
  },
};
