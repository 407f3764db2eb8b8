// Features of texts, kept on disk: a text that was seen before is not computed again.
import { appendFileSync, closeSync, existsSync, mkdirSync, openSync, readFileSync, readSync } from 'node:fs';

/** Tokens of one batch; lists of one batch share common prefixes. */
const BATCH_TOKENS = 3000;

/** @param width numbers a text */
export function openStore(folder, name, width) {
  mkdirSync(folder, { recursive: true });
  const [textPath, dataPath] = [`${folder}/${name}.txt`, `${folder}/${name}.f32`];
  const known = new Map();
  if (existsSync(textPath)) {
    const texts = readFileSync(textPath, 'utf8').split('\n').slice(0, -1);
    const file = openSync(dataPath, 'r');
    texts.forEach((text, i) => {
      const row = new Float32Array(width);
      if (readSync(file, row, 0, 4 * width, 4 * width * i) === 4 * width) known.set(text, row);
    });
    closeSync(file);
  }

  /**
   * Computes what is missing.
   *
   * @param texts those of one original sentence one after the other, so that a batch shares their prefixes
   */
  async function fill(texts, encode, forward, report = () => {}) {
    const missing = [...new Set(texts)].filter((text) => !known.has(text));
    const started = performance.now();
    let tokens = 0;
    for (let at = 0; at < missing.length; ) {
      const lists = [];
      let size = 0;
      while (at + lists.length < missing.length && size < BATCH_TOKENS) {
        const list = encode(missing[at + lists.length]);
        lists.push(list);
        size += list.length;
      }
      const rows = await forward.features(lists);
      appendFileSync(
        dataPath,
        Buffer.concat(rows.map(({ buffer, byteLength }) => Buffer.from(buffer, 0, byteLength))),
      );
      appendFileSync(textPath, rows.map((_, i) => `${missing[at + i]}\n`).join(''));
      rows.forEach((row, i) => {
        known.set(missing[at + i], row);
      });
      at += lists.length;
      tokens += size;
      report({
        done: at,
        of: missing.length,
        tokensPerSecond: Math.round((1000 * tokens) / (performance.now() - started)),
      });
    }
  }
  return { fill, get: (text) => known.get(text), size: () => known.size };
}
