import type { PromptTexts } from '@sotto/client';
import type { Options } from './command.js';
import { privateTextOf, publicTextOf } from './options.js';

/** What is asked, and how it is written for the model. */
export async function promptTextsOf(
  options: Options,
  fallback: { readonly publicText?: string; readonly privateText?: string } = {},
): Promise<PromptTexts & { readonly publicText: string }> {
  return {
    publicText: await publicTextOf(options, fallback.publicText),
    privateText: await privateTextOf(options, fallback.privateText),
    system: options.text('system'),
    raw: options.flag('raw'),
  };
}
