// Repeatable draws for the benchmarks on SST-2.

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
    sentences.map(({ items, label }) => ({ items: items.slice(), label })),
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

function lowerBound(sorted, value) {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle] <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}
