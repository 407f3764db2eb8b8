import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { themedVectors } from '../../test-support/vectors.js';
import { buildStaircase } from '../build/staircase.js';
import { compareRatios, type Ratio } from '../exact/ratio.js';
import { certify } from './certificate.js';
import { decodeTable, encodeTable, tableDigest } from './format.js';
import { expandBlock, type SanitizerTable } from './table.js';

const base = buildStaircase(themedVectors(120), {
  name: 'test',
  provenance: 'made up',
  notion: 'ldp-within-block',
  epsilon: '1',
  k: 20,
  m: 5,
});

/** The same table with its first block written out, after a change of its weights. */
function withDense(change: (rows: Uint32Array, k: number) => void, table = base): SanitizerTable {
  const [first, ...rest] = table.blocks;
  const rows = expandBlock(table, first!).slice();
  change(rows, first!.members.length);
  return { ...table, blocks: [{ members: first!.members, weights: { kind: 'dense', rows } }, ...rest] };
}

/** Every output and every ordered pair of inputs, one inequality each. */
function holdsNaively(table: SanitizerTable, claimed: Ratio): boolean {
  for (const block of table.blocks) {
    const k = block.members.length;
    const rows = [...expandBlock(table, block)].map(BigInt);
    const sums = Array.from({ length: k }, (_, x) =>
      rows.slice(x * k, (x + 1) * k).reduce((sum, weight) => sum + weight, 0n),
    );
    for (let y = 0; y < k; y++)
      for (let x = 0; x < k; x++)
        for (let z = 0; z < k; z++) {
          const left = rows[x * k + y]! * sums[z]! * claimed.denominator;
          if (left > rows[z * k + y]! * sums[x]! * claimed.numerator) return false;
        }
  }
  return true;
}

describe('certify', () => {
  it('accepts what the builder made, whether packed or written out', () => {
    expect(certify(base).holds).toBe(true);
    expect(certify(withDense(() => {})).holds).toBe(true);
    expect(certify(base).worst).toEqual(base.claimed);
  });

  it('rejects one weight that is one too large and names the pair', () => {
    const table = withDense((rows, k) => {
      const at = rows.subarray(3 * k, 4 * k).indexOf(base.high);
      rows[3 * k + at]!++;
    });
    const certificate = certify(table);
    expect(certificate.holds).toBe(false);
    expect(certificate.pair.likely).toBe(table.words[table.blocks[0]!.members[3]!]);
  });

  it('rejects a support that differs between inputs', () => {
    const certificate = certify(
      withDense((rows) => {
        rows[7] = 0;
      }),
    );
    expect(certificate).toMatchObject({ holds: false, worst: null, epsilon: Number.POSITIVE_INFINITY });
  });

  it('accepts an output that no input gives', () => {
    const certificate = certify(
      withDense((rows, k) => {
        for (let x = 0; x < k; x++) rows.fill(1, x * k, (x + 1) * k);
        for (let x = 0; x < k; x++) rows[x * k] = 0;
      }),
    );
    expect(certificate.holds).toBe(true);
  });

  it('agrees with the check of every single inequality on random tables', () => {
    const weights = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 16, maxLength: 16 });
    fc.assert(
      fc.property(weights, fc.bigInt(1n, 12n), fc.bigInt(1n, 4n), (values, numerator, denominator) => {
        fc.pre(numerator >= denominator);
        const table: SanitizerTable = {
          ...base,
          words: ['a', 'b', 'c', 'd'],
          claimed: { numerator, denominator },
          blocks: [
            {
              members: Uint32Array.of(0, 1, 2, 3),
              weights: { kind: 'dense', rows: Uint32Array.from(values) },
            },
          ],
        };
        const certificate = certify(table);
        expect(certificate.holds).toBe(holdsNaively(table, table.claimed));
        expect(holdsNaively(table, certificate.worst!)).toBe(true);
        expect(certificate.holds).toBe(compareRatios(certificate.worst!, table.claimed) <= 0);
      }),
      { numRuns: 300 },
    );
  });

  it('agrees with the written-out distribution of a whole-vocabulary table', () => {
    const table = buildStaircase(themedVectors(60), {
      name: 'whole',
      provenance: 'made up',
      notion: 'ldp-whole-vocabulary',
      epsilon: '3',
      epsilonWithin: '1',
      k: 10,
      m: 3,
      nearBlocks: 2,
    });
    const stage = table.stage!;
    const count = table.blocks.length;
    const stageTotal = BigInt(stage.near * stage.high + (count - stage.near) * stage.low);
    const rows: Ratio[][] = [];
    table.blocks.forEach((block, own) => {
      const k = block.members.length;
      const weights = expandBlock(table, block);
      for (let x = 0; x < k; x++) {
        const total = BigInt(weights.subarray(x * k, (x + 1) * k).reduce((sum, weight) => sum + weight, 0));
        const row: Ratio[] = [];
        table.blocks.forEach((other, b) => {
          const near = stage.support.subarray(own * stage.near, (own + 1) * stage.near).includes(b);
          const share = BigInt(near ? stage.high : stage.low);
          other.members.forEach((word, y) => {
            row[word] =
              b === own
                ? { numerator: share * BigInt(weights[x * k + y]!), denominator: stageTotal * total }
                : { numerator: share, denominator: stageTotal * BigInt(other.members.length) };
          });
        });
        rows.push(row);
      }
    });
    const unknown: Ratio[] = [];
    for (const { members } of table.blocks) {
      for (const word of members)
        unknown[word] = { numerator: 1n, denominator: BigInt(count * members.length) };
    }
    rows.push(unknown);
    for (const row of rows) {
      const sum = row.reduce((total, p) => total + Number(p.numerator) / Number(p.denominator), 0);
      expect(sum).toBeCloseTo(1, 12);
    }
    let worst: Ratio = { numerator: 1n, denominator: 1n };
    for (const p of rows)
      for (const q of rows)
        for (let y = 0; y < 60; y++) {
          const ratio = {
            numerator: p[y]!.numerator * q[y]!.denominator,
            denominator: p[y]!.denominator * q[y]!.numerator,
          };
          if (compareRatios(ratio, worst) > 0) worst = ratio;
        }
    const certificate = certify(table);
    expect(compareRatios(certificate.worst!, worst)).toBe(0);
    expect(certificate.holds).toBe(true);
  });
});

describe('table files', () => {
  const bytes = encodeTable(base);

  it('come back as they were', () => {
    expect(decodeTable(bytes)).toEqual(base);
    const dense = withDense(() => {});
    expect(decodeTable(encodeTable(dense))).toEqual(dense);
    const whole = buildStaircase(themedVectors(60), {
      name: 'whole',
      provenance: 'made up',
      notion: 'ldp-whole-vocabulary',
      epsilon: '3',
      k: 10,
      m: 3,
    });
    expect(decodeTable(encodeTable(whole))).toEqual(whole);
    expect(tableDigest(bytes)).toMatch(/^[0-9a-f]{64}$/);
  });

  it('are refused when truncated or with any bit flipped', () => {
    for (let length = 0; length < bytes.length; length += 97) {
      expect(() => decodeTable(bytes.subarray(0, length))).toThrow(/TABLE_CORRUPT/);
    }
    for (let at = 0; at < bytes.length; at += 61) {
      const damaged = bytes.slice();
      damaged[at]! ^= 1 << (at & 7);
      expect(() => decodeTable(damaged)).toThrow(/TABLE_CORRUPT/);
    }
  });

  it('are refused when well signed but badly formed', () => {
    const reject = (table: SanitizerTable) => expect(() => decodeTable(encodeTable(table))).toThrow(/Code: /);
    const [first, ...rest] = base.blocks;
    const weights = first!.weights as { kind: 'staircase'; near: number; support: Uint16Array };
    reject({ ...base, words: base.words.map((word, i) => (i === 1 ? base.words[0]! : word)) });
    reject({ ...base, commonWords: 7 });
    reject({ ...base, low: 0 });
    reject({ ...base, high: 2 ** 31 });
    reject({ ...base, claimed: { numerator: 1n, denominator: 2n } });
    reject({ ...base, notion: 'ldp-whole-vocabulary' });
    reject({
      ...base,
      blocks: [
        { members: first!.members, weights: { ...weights, support: weights.support.map(() => 0) } },
        ...rest,
      ],
    });
    reject({ ...base, blocks: [{ ...first!, members: first!.members.map(() => 5000) }, ...rest] });
    expect(() => certify({ ...base, blocks: rest })).toThrow(/TABLE_STRUCTURE/);
  });
});
