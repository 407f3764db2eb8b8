import { readFile } from 'node:fs/promises';
import { SottoError } from '@sotto/base';
import {
  type Drafter,
  type Drafting,
  DraftTable,
  type LocalModel,
  modelDrafter,
  ngramDrafter,
  tableDrafter,
} from '@sotto/client';
import { accelerate, embeddedModel, embeddedModels, readModelFile } from '@sotto/model';
import type { OptionSpecs, Options } from './command.js';

export const draftOptions: OptionSpecs = {
  draft: {
    choices: ['none', 'ngram', 'table', 'model'],
    value: 'HOW',
    default: 'none',
    help: 'Guess the answer here and have several guesses checked in one pass: from its own words, a table, or a model in the clear. The server learns how many guesses were right.',
  },
  'draft-model': {
    value: 'PATH',
    help: 'Model that drafts, with the same vocabulary; the model itself when absent.',
  },
  'draft-table': {
    value: 'PATH',
    help: 'Table that drafts (scripts/make-draft-table.mjs); the one that comes with an embedded model when absent.',
  },
  'draft-rows': { value: 'N', help: 'Rows of a pass, guesses included; as many as a pass has when absent.' },
  'draft-fixed': { help: 'Fill every pass to the same number of rows, whether there are guesses or not.' },
};

async function tableOf(options: Options, model: LocalModel): Promise<DraftTable> {
  const own = embeddedModels.find(({ name }) => name === model.name) ?? embeddedModel;
  const table = DraftTable.read(await readFile(options.text('draft-table') ?? own.drafts));
  if (table.modelDigest === model.weights.digest) return table;
  throw new SottoError('The table of drafts was made from another model.', {
    code: 'DRAFT_TABLE_MISMATCH',
    facts: { model: model.weights.digest, table: table.modelDigest },
    fix: 'Make one with scripts/make-draft-table.mjs, or use --draft ngram.',
  });
}

async function drafterOf(options: Options, model: LocalModel): Promise<Drafter | null> {
  switch (options.required('draft')) {
    case 'ngram':
      return ngramDrafter();
    case 'table':
      return tableDrafter(await tableOf(options, model));
    case 'model': {
      const path = options.text('draft-model');
      const { weights } = path === undefined ? model : await readModelFile({ model: path });
      return modelDrafter(accelerate(weights), model.weights.config.vocabSize);
    }
    default:
      return null;
  }
}

/** How the answer is drafted; undefined when it is not. @throws `DRAFT_TABLE_MISMATCH`, `DRAFT_VOCABULARY`, `USAGE_DRAFT`. */
export async function draftingOf(options: Options, model: LocalModel): Promise<Drafting | undefined> {
  const rows = options.integer('draft-rows', 2, 4096);
  const fixed = options.flag('draft-fixed');
  const drafter = await drafterOf(options, model);
  if (drafter !== null) return { drafter, fixed, ...(rows === undefined ? {} : { rows }) };
  if (!fixed && rows === undefined) return undefined;
  throw new SottoError('There are no drafts to set rows for.', {
    code: 'USAGE_DRAFT',
    fix: 'Say how to draft, e.g. --draft ngram, or leave --draft-rows and --draft-fixed out.',
  });
}
