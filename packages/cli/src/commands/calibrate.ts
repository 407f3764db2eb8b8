import { writeFile } from 'node:fs/promises';
import { ProgressMeter, SottoError } from '@sotto/base';
import {
  type CalibrationStep,
  calibrateInSteps,
  defaultCalibrateOptions,
  keepCalibration,
  writeCalibration,
} from '@sotto/engine';
import { readModelFile, readTokenizerFile, type Tokenizer } from '@sotto/model';
import type { Command, Options } from '../command.js';
import { readCorpus } from '../corpus.js';
import { exitCodes } from '../exit-codes.js';
import { modelFilesOf, modelOptions } from '../options.js';
import { ProgressRenderer } from '../progress-renderer.js';

const MOST_TEXTS = 1_000_000;

/** Tokens of a public prefix as a template would write it, BOS in front. */
function prefixTokens(tokenizer: Tokenizer, text: string): number[] {
  const tokens = tokenizer.encode(text, { bos: false, special: true });
  return tokens[0] === tokenizer.bosToken ? tokens : [tokenizer.bosToken, ...tokens];
}

async function corporaOf(options: Options, tokenizer: Tokenizer, maxTokens: number) {
  const first = options.text('corpus');
  const paths = first === undefined ? options.positionals : [first, ...options.positionals];
  const most = options.integer('corpus-texts', 1, MOST_TEXTS) ?? MOST_TEXTS;
  const corpora = [];
  for (const path of paths) corpora.push(await readCorpus(path, tokenizer, maxTokens, most));
  return corpora;
}

/** Progress of a calibration in the form of other long operations. */
function progressOf(renderer: ProgressRenderer): (step: CalibrationStep) => void {
  let meter = new ProgressMeter('', 1, 'operations');
  let phase = '';
  let done = 0;
  return (step) => {
    const name = `${step.phase} ${step.total}`;
    if (name !== phase || step.done < done) {
      phase = name;
      done = 0;
      meter = new ProgressMeter(step.phase, step.total, 'operations', renderer.listener);
    }
    meter.advance(step.done - done, step.label);
    done = step.done;
  };
}

export const command: Command = {
  name: 'calibrate',
  description:
    'Measures every range of a model, on text that the model writes itself and on files with texts of yours, chooses a public\n' +
    'prefix that absorbs massive activations, and scans texts it did not measure until they stay inside.',
  example:
    'sotto calibrate --model ./model.gguf --corpus letters.txt questions.jsonl --out model.calibration.json',
  positionals: ['[FILE...]'],
  options: {
    ...modelOptions,
    corpus: {
      value: 'FILE',
      help: 'Texts to measure, one a line, or JSON lines (.jsonl); also .gz. More files may follow.',
    },
    'corpus-texts': { value: 'N', help: 'Take at most this many texts of a file.' },
    texts: { value: 'N', help: "The model's own texts; fewer for larger models when absent." },
    tokens: { value: 'N', help: 'Tokens of a text at most, public prefix included (default 128).' },
    scan: {
      value: 'N',
      help: 'Texts in a row that must stay inside every window; twice the own texts when absent.',
    },
    seed: { value: 'N', default: '1', help: 'The same seed gives the same calibration.' },
    prefix: {
      value: 'TEXT',
      help: 'Public text in front of every prompt, special tokens by name; sinks are appended where that helps.',
    },
    'skip-probe': {
      help: 'Only tokens of the texts may be private later; saves time for large vocabularies.',
    },
    out: {
      value: 'FILE',
      help: 'Write the calibration here; it is kept in the cache of this user when absent.',
    },
  },
  async run(options, output) {
    const files = modelFilesOf(options);
    const { name, weights } = await readModelFile(files);
    const tokenizer = await readTokenizerFile(files, weights.config.vocabSize);
    const defaults = defaultCalibrateOptions(weights);
    const tokens = options.integer('tokens', 8, weights.config.contextLength) ?? defaults.tokens;
    const texts = options.integer('texts', 0, MOST_TEXTS) ?? defaults.texts;
    const prefix = options.text('prefix');
    const progress = new ProgressRenderer(output.err, output.interactive);
    const calibration = await calibrateInSteps(
      weights,
      {
        texts,
        tokens,
        seed: options.integer('seed', 0, 2 ** 31)!,
        corpora: await corporaOf(options, tokenizer, tokens),
        scanTexts: options.integer('scan', 0, MOST_TEXTS) ?? Math.max(2 * texts, defaults.scanTexts!),
        skipProbe: options.flag('skip-probe') || defaults.skipProbe === true,
        ...(prefix === undefined ? {} : { publicPrefixes: [prefixTokens(tokenizer, prefix)] }),
      },
      { onProgress: progressOf(progress), signal: output.signal },
    );
    progress.clear();
    const out = options.text('out');
    if (out === undefined) await keepCalibration(calibration);
    else await writeTo(out, writeCalibration(calibration));
    const { made, publicPrefix, knownTokens } = calibration;
    const report = {
      model: name,
      modelDigest: weights.digest,
      ...made,
      publicPrefix,
      knownTokens: knownTokens.length,
      vocabSize: weights.config.vocabSize,
      out: out ?? null,
    };
    if (options.flag('json')) output.out(`${JSON.stringify(report)}\n`);
    else {
      const { scan } = made;
      output.out(
        `${name}: ${made.texts} own texts, ${made.corpora.map((c) => `${c.texts} of ${c.name}, `).join('')}` +
          `${publicPrefix.length} public tokens in front, ${knownTokens.length} of ${weights.config.vocabSize} tokens may be private.\n` +
          `Scan: ${scan.escapes} of ${scan.texts} texts left a window and widened it; the last ${scan.clean} stayed inside.\n`,
      );
    }
    return exitCodes.ok;
  },
};

async function writeTo(path: string, text: string): Promise<void> {
  try {
    await writeFile(path, text);
  } catch (cause) {
    throw new SottoError('The calibration cannot be written.', {
      code: 'FILE_UNWRITABLE',
      facts: { reason: (cause as NodeJS.ErrnoException).code ?? 'unknown' },
      fix: 'Check the folder and its permissions.',
      cause,
    });
  }
}
