// Repeatable draws for the benchmarks on SST-2.
import { meanVector } from './sst2-head.mjs';

/** A fast generator with a seed: repeatable figures matter here, secrecy does not. */
export function seeded(seed) {
  let state = seed >>> 0;
  return {
    u32() {
      state = (state + 0x6d2b79f5) >>> 0;
      let t = Math.imul(state ^ (state >>> 15), 1 | state);
      t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
      return (t ^ (t >>> 14)) >>> 0;
    },
  };
}

/** Sanitized copies of sentences; words are visited one after the other, so that each row is made once. */
export function sanitize(vocabulary, mechanism, offset, sentences, copies, seed) {
  const source = seeded(seed);
  const out = Array.from({ length: copies }, () =>
    sentences.map((sentence) => ({ ...sentence, items: sentence.items.slice() })),
  );
  const places = new Map();
  let [changed, total] = [0, 0];
  sentences.forEach(({ items }, s) => {
    items.forEach((id, t) => {
      total++;
      if (id === null || (id >= 0 && id < offset)) return;
      if (!places.has(id)) places.set(id, []);
      places.get(id).push([s, t]);
    });
  });
  for (const [id, list] of places) {
    const size = vocabulary.words.length - offset;
    const row = id < 0 ? null : mechanism.row(id - offset);
    const cumulative = row === null ? null : Float64Array.from(row.probabilities);
    if (cumulative !== null) for (let j = 1; j < cumulative.length; j++) cumulative[j] += cumulative[j - 1];
    for (let copy = 0; copy < copies; copy++) {
      for (const [s, t] of list) {
        const u = source.u32() / 2 ** 32;
        const output =
          row === null
            ? Math.floor(u * size)
            : row.outputs[Math.min(lowerBound(cumulative, u), row.outputs.length - 1)];
        out[copy][s].items[t] = output + offset;
        if (output + offset !== id) changed++;
      }
    }
  }
  return { copies: out, changedShare: changed / (total * copies) };
}

/** The text of a sentence: words of the vocabulary, what passes in clear as it was, and a word without a vector as it was. */
export function textOf({ tokens, items }, { words }) {
  return items.map((id, t) => (id === null || id < 0 ? tokens[t] : words[id])).join(' ');
}

/** Words a sentence that are drawn, on average and at most: what epsilon a word is multiplied by for a sentence. */
export function sanitizedWords(sentences, offset) {
  const counts = sentences.map(
    ({ items }) => items.filter((id) => id !== null && (id < 0 || id >= offset)).length,
  );
  const total = counts.reduce((sum, count) => sum + count, 0);
  return {
    wordsASentence: Math.round((100 * total) / counts.length) / 100,
    mostWordsASentence: Math.max(...counts),
  };
}

/** Cosine of the mean word vector of a sentence with that of its sanitized copies, on average. */
export function similarity(sentences, copies, vocabulary) {
  let [sum, count] = [0, 0];
  sentences.forEach(({ items }, s) => {
    const own = meanVector(items, vocabulary);
    for (const copy of copies) {
      const other = meanVector(copy[s].items, vocabulary);
      // The last number is the constant of the classifier.
      let [both, a, b] = [0, 0, 0];
      for (let d = 0; d < vocabulary.dimension; d++) {
        both += own[d] * other[d];
        a += own[d] ** 2;
        b += other[d] ** 2;
      }
      if (a === 0 || b === 0) continue;
      sum += both / Math.sqrt(a * b);
      count++;
    }
  });
  return sum / count;
}

function lowerBound(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
