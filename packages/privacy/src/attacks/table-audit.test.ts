import { describe, expect, it } from 'vitest';
import { readBlockVectors } from '../build/block-vectors.js';
import { Ledger } from '../ledger/ledger.js';
import { MemoryStorage } from '../ledger/storage.js';
import { tableMechanism } from '../mechanisms/mechanism.js';
import { ReplyMemo } from '../memo.js';
import { SystemSource } from '../random/source.js';
import { Sanitizer } from '../sanitizer.js';
import { readShippedTable, shippedTables } from '../shipped.js';
import { decodeTable } from '../table/format.js';
import { auditRivals, blocksWithVectors } from './rivals-audit.js';
import { auditTable, type TableAudit } from './table-audit.js';

const source = new SystemSource();
const tableOf = async (name: string) => decodeTable(await readShippedTable(name));
const leakOf = ({ attributes }: TableAudit, name: string) =>
  attributes.find(({ attribute }) => attribute === name)!;

describe('audit of the shipped tables', async () => {
  const names = (await shippedTables()).map(({ name }) => name);
  const found = new Map<string, TableAudit>();
  for (const name of names) {
    found.set(
      name,
      auditTable(await tableOf(name), {
        source,
        draws: 60_000,
        trials: 30,
        vectors: await readBlockVectors(),
      }),
    );
  }

  it('agrees with every certificate', () => {
    for (const [name, { certificate, drawn, holds, kept, guess }] of found) {
      expect(holds, name).toBe(true);
      expect(drawn.epsilonAtLeast).toBeLessThanOrEqual(certificate.epsilon);
      expect(drawn.epsilonAtLeast).toBeGreaterThan(0.5 * certificate.epsilon);
      expect(guess.uniform).toBeLessThan(guess.zipf);
      if (kept.ceiling !== null) expect(kept.rate).toBeLessThan(kept.ceiling);
    }
  });

  it('finds the word among those nearest to its substitute more often than at random', () => {
    for (const name of names) {
      const { inversion, kept } = found.get(name)!;
      if (name.startsWith('whole')) {
        expect(inversion).toBeNull();
        continue;
      }
      const [one, five, ten] = inversion!.success as [number, number, number];
      // Of one guess it is the share of words that stay; near words have high weights, so five guesses beat five in twenty.
      expect(one).toBeCloseTo(kept.rate, 2);
      expect(five).toBeGreaterThan(0.3);
      expect(ten).toBeGreaterThan(five + 0.1);
      expect(ten).toBeLessThan(1);
    }
  });

  it('finds what blocks tell of a property, at any epsilon', () => {
    for (const attribute of ['sentiment', 'gender', 'illness']) {
      for (const name of names) {
        const { blind, fromBlock, fromOutput } = leakOf(found.get(name)!, attribute);
        if (name.startsWith('whole')) expect(fromBlock).toBe(blind);
        else expect(fromBlock).toBeGreaterThan(blind);
        expect(fromOutput).toBeGreaterThan(fromBlock - 1e-9);
      }
      // The same division into blocks: epsilon does not matter to what they tell.
      for (const family of ['neutral', 'lexicon']) {
        const [one, three] = [`${family}-1`, `${family}-3`].map((name) =>
          leakOf(found.get(name)!, attribute),
        );
        expect(one!.fromBlock).toBeCloseTo(three!.fromBlock, 12);
      }
    }
    const sentiment = (name: string) => leakOf(found.get(name)!, 'sentiment').fromBlock;
    expect(sentiment('lexicon-1')).toBeGreaterThan(sentiment('neutral-1'));
    // Whether a word is an illness is no secret with visible blocks.
    expect(leakOf(found.get('neutral-1')!, 'illness').fromBlock).toBeGreaterThan(0.95);
    // Where the block is drawn too, epsilon bounds what a property loses; without a bound on blocks it is nearly all.
    const whole = leakOf(found.get('whole-10')!, 'illness');
    expect(whole.fromOutput).toBeGreaterThan(whole.blind);
    expect(whole.fromOutput).toBeLessThan(leakOf(found.get('neutral-1')!, 'illness').fromOutput);
  });
});

describe('audit of published methods on shipped blocks', async () => {
  const vectors = await readBlockVectors();
  const blocks = blocksWithVectors(await tableOf('neutral-1'), vectors);
  const rivals = [1, 3].map((epsilon) => auditRivals(vectors, blocks, { epsilon, draws: 400_000, source }));
  const named = (start: string) =>
    rivals.map((list) => list.find(({ mechanism }) => mechanism.startsWith(start))!);

  it('has vectors of twenty blocks', () => {
    expect(blocks.length).toBe(20);
  });

  it('finds report-noisy-max with D/eps at 1.2 to 1.5 times what it states, by rows and by draws', () => {
    for (const { nominal, found, drawnAtLeast } of named('report-noisy-max, Laplace D/eps, these blocks')) {
      expect(found / nominal).toBeGreaterThan(1.2);
      expect(found / nominal).toBeLessThan(1.5);
      expect(drawnAtLeast!).toBeGreaterThan(nominal);
      expect(drawnAtLeast!).toBeLessThan(found);
    }
  });

  it('finds it at twice that on a block made for it', () => {
    for (const { nominal, found, drawnAtLeast } of named('report-noisy-max, Laplace D/eps, block of 100')) {
      expect(found / nominal).toBeGreaterThan(1.95);
      expect(found / nominal).toBeLessThan(2.0000001);
      expect(drawnAtLeast!).toBeGreaterThan(nominal);
    }
  });

  it('finds no epsilon where lists or kept words differ, and the stated one where it is kept', () => {
    for (const start of [
      'report-noisy-max, Laplace D/eps, list',
      'CUSTEXT aggressive',
      'CUSTEXT+',
      'SANTEXT+',
    ]) {
      for (const { found } of named(start)) expect(found, start).toBe(Number.POSITIVE_INFINITY);
    }
    for (const start of ['report-noisy-max, Laplace, calibrated', 'CUSTEXT']) {
      for (const { found, nominal } of named(start)) expect(found).toBeLessThanOrEqual(nominal);
    }
  });
});

describe('one prompt a thousand times', async () => {
  const tableBytes = await readShippedTable('neutral-1');
  const table = decodeTable(tableBytes);
  const mechanism = tableMechanism(table);
  // Words whose substitutes all stand alone between spaces.
  const plain = table.blocks.filter(({ members }) =>
    members.every((id) => /^[a-z-]+$/.test(table.words[id]!)),
  );
  const words = Array.from({ length: 40 }, (_, i) => plain[13 * i]!.members[i % 20]!);
  const prompt = words.map((id) => table.words[id]!).join(' ');
  const idOf = new Map(table.words.map((word, id) => [word, id]));

  /** Share of the words that the likeliest guess finds after 1, 30 and 1000 texts. */
  function attack(memo: boolean): number[] {
    const ledger = new Ledger(new MemoryStorage());
    ledger.setBudget('ada', { epoch: 1e6, lifetime: 1e6, delta: 0 });
    const replies = memo ? { memo: new ReplyMemo(ReplyMemo.newKey(), 0) } : {};
    const sanitizer = new Sanitizer({ tableBytes, ledger, user: 'ada', ...replies });
    const scores = words.map((id) => new Float64Array(mechanism.row(id).outputs.length));
    const found: number[] = [];
    for (let text = 1; text <= 1000; text++) {
      sanitizer
        .sanitize(prompt)
        .text.split(' ')
        .forEach((output, at) => {
          const inputs = mechanism.row(words[at]!).outputs;
          inputs.forEach((input, x) => {
            const { outputs, probabilities } = mechanism.row(input);
            scores[at]![x]! += Math.log(probabilities[outputs.indexOf(idOf.get(output)!)]!);
          });
        });
      if (![1, 30, 1000].includes(text)) continue;
      const hits = words.filter((id, at) => {
        const best = scores[at]!.indexOf(Math.max(...scores[at]!));
        return mechanism.row(id).outputs[best] === id;
      });
      found.push(hits.length / words.length);
    }
    return found;
  }

  it('shows its words without a memo and nothing new with one', () => {
    const fresh = attack(false);
    expect(fresh[0]).toBeLessThan(0.4);
    expect(fresh[1]).toBeGreaterThan(fresh[0]! + 0.2);
    expect(fresh[2]).toBeGreaterThan(0.7);
    const kept = attack(true);
    expect(kept[0]).toBeLessThan(0.4);
    expect(kept[2]).toBe(kept[0]);
  });
});
