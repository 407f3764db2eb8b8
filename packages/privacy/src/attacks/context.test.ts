import { describe, expect, it } from 'vitest';
import { testRandom, themedVectors } from '../../test-support/vectors.js';
import { buildStaircase } from '../build/staircase.js';
import { wordVectors } from '../build/vectors.js';
import { tableMechanism } from '../mechanisms/mechanism.js';
import { sanitizeForAttack, textWith, wordIds } from './attack-texts.js';
import { mechanismChannel, tableChannel } from './channel.js';
import { type AttackModel, auditContext } from './context.js';
import { BigramModel } from './hmm.js';

const drawn = testRandom(17);
const source = { u32: () => Math.floor(drawn() * 2 ** 32) };
const count = 120;
const names = Array.from(
  { length: count },
  (_, i) => `w${String.fromCharCode(97 + (i % 26), 97 + Math.floor(i / 26))}`,
);
const table = buildStaircase(wordVectors(names, 8, themedVectors(count).values), {
  ...{ name: 'ours', provenance: 'made up', notion: 'ldp-within-block', epsilon: '1' },
  ...{ k: 20, m: 5 },
});
const mechanism = tableMechanism(table);
const channel = mechanismChannel(mechanism);
const attacked = (text: string, through = channel, most?: number) =>
  sanitizeForAttack(text, through, table.words, idOf, source, most);
const ids = new Map(table.words.map((word, id) => [word, id]));
const idOf = (word: string) => ids.get(word) ?? -1;

// A language in which every word has three successors, one of them likelier than the others.
const random = testRandom(3);
const successors = (word: number) => [0, 1, 2].map((turn) => (7 * word + 13 + 29 * turn) % count);
const chances = [0.6, 0.2, 0.2];
function sentence(length: number): string {
  const words = [Math.floor(random() * count)];
  while (words.length < length) {
    const draw = random();
    words.push(successors(words.at(-1)!)[draw < 0.6 ? 0 : draw < 0.8 ? 1 : 2]!);
  }
  return words.map((id) => table.words[id]!).join(' ');
}

/** That language, known exactly but for one text in a hundred that is anything. */
const model: AttackModel = {
  logProbability(text) {
    const words = wordIds(text, idOf);
    let sum = words.length === 0 ? 0 : -Math.log(count);
    for (let t = 1; t < words.length; t++) {
      const turn = successors(words[t - 1]!).indexOf(words[t]!);
      sum += Math.log(0.99 * (chances[turn] ?? 0) + 0.01 / count);
    }
    return sum;
  },
  nextWord(text) {
    const last = wordIds(text, idOf).at(-1);
    return last === undefined ? '' : table.words[successors(last)[0]!]!;
  },
};

const bigrams = new BigramModel(
  Array.from({ length: 300 }, () => wordIds(sentence(20), idOf)),
  count,
);
const options = { words: table.words, bigrams, candidates: 20 };

describe('attacks in context', () => {
  it('find the more, the more they read together, and nothing in a text of random words', () => {
    const texts = Array.from({ length: 30 }, () => attacked(sentence(20)));
    const found = auditContext(channel, { ...options, texts, model });
    expect(found.words).toBe(600);
    expect(found.kept.rate).toBeLessThan(0.2);
    const attacks = found.model!;
    expect(attacks.reconstruction.low).toBeGreaterThan(0.7);
    expect(found.hmmMarginal.low).toBeGreaterThan(0.6);
    expect(found.bayes.high).toBeLessThan(found.hmmPath.low);
    // Its neighbours were replaced too: a word alone is found less often than the text as a whole.
    expect(attacks.bayesContext.high).toBeLessThan(attacks.reconstruction.low);
    expect(attacks.maskTokenInBlock.rate).toBeLessThanOrEqual(attacks.reconstruction.low);
    expect(attacks.maskToken.high).toBeLessThan(0.4);

    const shuffled = Array.from({ length: 30 }, () => {
      const text = Array.from({ length: 20 }, () => table.words[Math.floor(random() * count)]!).join(' ');
      return attacked(text);
    });
    const none = auditContext(channel, { ...options, texts: shuffled, model });
    expect(none.model!.reconstruction.rate).toBeLessThan(0.25);
    expect(none.bayes.rate).toBeLessThan(0.25);
  });

  it('find everything where nothing is hidden', () => {
    const open = { ...mechanism, sample: (input: number) => input };
    const texts = [attacked(sentence(20), mechanismChannel(open))];
    const found = auditContext(mechanismChannel(open), { ...options, texts, model: null });
    expect(found.kept.rate).toBe(1);
    expect(found.model).toBeNull();
    const sure = {
      ...open,
      row: (input: number) => ({ outputs: Uint32Array.of(input), probabilities: Float64Array.of(1) }),
    };
    const certain = auditContext(mechanismChannel(sure), { ...options, texts, model });
    expect(certain.bayes.rate).toBe(1);
    expect(certain.model!.reconstruction.rate).toBe(1);
    expect(certain.model!.bayesContext.rate).toBe(1);
  });
});

describe('a table that shows no block', () => {
  const whole = buildStaircase(wordVectors(names, 8, themedVectors(count).values), {
    ...{ name: 'whole', provenance: 'made up', notion: 'ldp-whole-vocabulary', epsilon: '6' },
    ...{ k: 20, m: 5 },
  });
  const channel = tableChannel(whole);

  it('is known to the attacker word by word', () => {
    const outputs = Array.from({ length: count }, (_, output) => channel.behind(output));
    for (let word = 0; word < count; word++) {
      let sum = 0;
      for (const { chances } of outputs) sum += chances[word]!;
      expect(sum).toBeCloseTo(1, 9);
    }
    // Draws come as often as the attacker expects.
    const drawn = new Float64Array(count);
    for (let i = 0; i < 40_000; i++) drawn[channel.sample(7, source)]! += 1 / 40_000;
    drawn.forEach((share, output) => {
      const expected = outputs[output]!.chances[7]!;
      expect(Math.abs(share - expected)).toBeLessThan(5 * Math.sqrt(expected / 40_000));
    });
  });

  it('hides class and letter case, and is read in context all the same', () => {
    const [first] = [attacked(`${names[5]!.toUpperCase()} 4711 ${names[6]}`, channel)];
    expect(first!.written).toEqual([names[5], names[6]]);
    expect(first!.between[1]).toMatch(/^ w[a-z]+ $/);
    const texts = Array.from({ length: 30 }, () => attacked(sentence(20), channel));
    const found = auditContext(channel, { ...options, texts, model });
    expect(found.hmmPath.low).toBeGreaterThan(found.bayes.high);
    expect(found.model!.reconstruction.low).toBeGreaterThan(found.bayes.high);
    // Few candidates make a weaker attacker, none that fails.
    const weak = auditContext(channel, { ...options, texts, model: null, states: 5 });
    expect(weak.hmmPath.rate).toBeLessThanOrEqual(found.hmmPath.high);
    expect(weak.bayes.rate).toBe(found.bayes.rate);
  });
});

describe('a text under attack', () => {
  it('keeps what stands between its words, their letter case, and neither names nor numbers', () => {
    const written = `${names[5]!.toUpperCase()}, ${names[6]}; Xyzzy 4711 ${names[7]}'s ${names[8]}!`;
    const text = attacked(written);
    expect(text.originals.map((id) => table.words[id])).toEqual([5, 6, 8].map((i) => names[i]));
    expect(text.between[1]).toBe(', ');
    expect(text.between[2]).not.toMatch(/Xyzzy|4711/);
    expect(text.between[2]).toContain(`${names[7]}'s `);
    expect(text.between[3]).toBe('!');
    const asWritten = textWith(text, table.words, 2, (t) => text.originals[t]!);
    expect(asWritten).toBe(`${names[5]!.toUpperCase()}, ${names[6]}`);
    expect(attacked(written, channel, 1).originals).toHaveLength(1);
  });
});
