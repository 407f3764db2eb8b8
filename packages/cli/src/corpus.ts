import { createReadStream } from 'node:fs';
import { basename } from 'node:path';
import { createInterface } from 'node:readline';
import { createGunzip } from 'node:zlib';
import { SottoError } from '@sotto/base';
import type { CalibrationCorpus } from '@sotto/engine';
import type { Tokenizer } from '@sotto/model';

/** Names under which a JSON line may hold its text, the first that is there. */
const textFields = ['text', 'full_text', 'prompt', 'content', 'dialogue'];

/** Text of one line: itself, or of a JSON object its text field, or null. */
function textOf(line: string, json: boolean): string | null {
  if (!json) return line.trim() === '' ? null : line.trim();
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return null;
  }
  if (typeof value === 'string') return value;
  if (typeof value !== 'object' || value === null) return null;
  const fields = value as Record<string, unknown>;
  const field = textFields.find((name) => typeof fields[name] === 'string');
  return field === undefined ? null : (fields[field] as string);
}

/**
 * Reads texts from a file, one a line: plain text, or JSON lines (`.jsonl`: strings, or objects with a field `text`, `full_text`,
 * `prompt`, `content` or `dialogue`); with `.gz` at the end, compressed. Lines that the tokenizer cannot write are left out; texts
 * are cut at `maxTokens`.
 *
 * @throws `FILE_UNREADABLE`, `CORPUS_EMPTY`.
 */
export async function readCorpus(
  path: string,
  tokenizer: Tokenizer,
  maxTokens: number,
  maxTexts: number,
): Promise<CalibrationCorpus> {
  const name = basename(path);
  const json = /\.jsonl(\.gz)?$/.test(path);
  const texts: number[][] = [];
  let lines = 0;
  try {
    const file = createReadStream(path);
    const input = path.endsWith('.gz') ? file.pipe(createGunzip()) : file;
    file.on('error', (error) => input.destroy(error));
    for await (const line of createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })) {
      if (texts.length === maxTexts) break;
      const text = textOf(line, json);
      if (text === null) continue;
      lines++;
      const tokens = encode(tokenizer, text);
      if (tokens !== null && tokens.length > 0) texts.push(tokens.slice(0, maxTokens));
    }
  } catch (cause) {
    throw new SottoError('A corpus cannot be read.', {
      code: 'FILE_UNREADABLE',
      facts: { name, reason: (cause as NodeJS.ErrnoException).code ?? 'unknown' },
      fix: 'Check the path and its permissions.',
      cause,
    });
  }
  if (texts.length > 0) return { name, texts };
  throw new SottoError('A corpus has no text that the tokenizer can write.', {
    code: 'CORPUS_EMPTY',
    facts: { name, lines },
    fix: 'Give plain text with one text a line, or JSON lines (.jsonl) with a field "text".',
  });
}

function encode(tokenizer: Tokenizer, text: string): number[] | null {
  try {
    return tokenizer.encode(text, { bos: false });
  } catch (error) {
    if (SottoError.is(error) && error.code === 'TOKENIZER_CHARACTER_UNKNOWN') return null;
    throw error;
  }
}
