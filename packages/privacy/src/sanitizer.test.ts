import { describe, expect, it } from 'vitest';
import { themedVectors } from '../test-support/vectors.js';
import { buildStaircase, type StaircaseOptions } from './build/staircase.js';
import { wordVectors } from './build/vectors.js';
import { Desanitizer } from './desanitizer.js';
import { Ledger } from './ledger/ledger.js';
import { MemoryStorage } from './ledger/storage.js';
import { ReplyMemo } from './memo.js';
import { Sanitizer, type SanitizerOptions } from './sanitizer.js';
import { encodeTable } from './table/format.js';
import { findSensitive, type SensitiveDetector } from './text/sensitive.js';

const words = 'the a is was has of flu cold fever cough doctor nurse paris london berlin rome good bad'.split(
  ' ',
);
const vectors = wordVectors(words, 8, themedVectors(words.length).values);
const options: StaircaseOptions = {
  name: 'small',
  provenance: 'made up',
  notion: 'ldp-within-block',
  epsilon: '1',
  k: 6,
  m: 2,
  commonShare: 0.34,
};
const table = buildStaircase(vectors, options);

function setUp(more: Partial<SanitizerOptions> = {}, budget = 1e6) {
  const ledger = new Ledger(new MemoryStorage());
  ledger.setBudget('ada', { epoch: budget, lifetime: budget, delta: 0 });
  const sanitizer = new Sanitizer({ tableBytes: encodeTable(table), ledger, user: 'ada', ...more });
  return { ledger, sanitizer };
}
const memo = () => new ReplyMemo(new Uint8Array(32).fill(5), 0);

describe('Sanitizer', () => {
  it('never starts on a table that breaks its claim or is damaged', () => {
    const lying = encodeTable({ ...table, claimed: { numerator: 2n, denominator: 1n } });
    expect(() => setUp({ tableBytes: lying })).toThrow(/TABLE_UNCERTIFIED/);
    expect(() => setUp({ tableBytes: lying.subarray(1) })).toThrow(/TABLE_CORRUPT/);
    expect(() => setUp({ memo: new ReplyMemo(ReplyMemo.newKey(), 3) })).toThrow(/MEMO_EPOCH/);
  });

  it('sends nothing that was not paid for', () => {
    const { sanitizer, ledger } = setUp({}, 3.5);
    const text = 'flu fever cough';
    expect(sanitizer.sanitize(text).receipt.epsilonDocument).toBeCloseTo(3, 4);
    expect(() => sanitizer.sanitize(text)).toThrow(/BUDGET_SPENT/);
    expect(ledger.statement('ada').draws).toBe(3);
    const poor = new Sanitizer({
      tableBytes: encodeTable(table),
      ledger: new Ledger(new MemoryStorage()),
      user: 'ada',
    });
    expect(() => poor.sanitize(text)).toThrow(/BUDGET_MISSING/);
  });

  it('lets no canary through: unknown words, names, numbers, addresses, ids, emoji, CJK', () => {
    const canaries = [
      'Xyzzyqux',
      'plughword',
      '8675309',
      'eve@secret.example',
      'K9-ID77',
      '🦄',
      '秘密計画',
      'ZQQZ',
      '1999-12-31',
    ];
    const { sanitizer } = setUp({ memo: memo() });
    for (let i = 0; i < 20; i++) {
      const { text, receipt } = sanitizer.sanitize(
        `The ${canaries.join(' has ')}. https://secret.example/xyzzy`,
        String(i),
      );
      for (const canary of canaries) expect(text).not.toContain(canary);
      expect(text).not.toContain('secret');
      expect(JSON.stringify(receipt)).not.toMatch(/xyzzy|plugh|8675309|secret/i);
    }
    try {
      setUp({}, 0.5).sanitizer.sanitize('flu Xyzzyqux');
      expect.unreachable();
    } catch (error) {
      expect(String(error)).not.toMatch(/flu|Xyzzyqux/);
    }
  });

  it('answers a repeated text the same with a memo, and anew without', () => {
    const text = 'fever flu paris cough cold doctor Quentin 12345';
    const { sanitizer, ledger } = setUp({ memo: memo() });
    const first = sanitizer.sanitize(text, 'talk');
    for (let i = 0; i < 50; i++) expect(sanitizer.sanitize(text, 'talk').text).toBe(first.text);
    expect(ledger.statement('ada').draws).toBe(6);
    expect(first.receipt).toMatchObject({ draws: 6, newDraws: 6, piecesReplaced: 8 });
    expect(
      new Set(Array.from({ length: 20 }, (_, i) => sanitizer.sanitize(text, `other ${i}`).text)).size,
    ).toBeGreaterThan(10);
    ledger.rotate('ada');
    expect(() => sanitizer.sanitize(text, 'talk')).toThrow(/MEMO_EPOCH/);
    const fresh = setUp().sanitizer;
    expect(new Set(Array.from({ length: 20 }, () => fresh.sanitize(text).text)).size).toBeGreaterThan(10);
  });

  it('keeps or separates repetitions as asked', () => {
    const text = Array(30).fill('paris').join(' ');
    const distinct = (sanitized: string) => new Set(sanitized.split(' ')).size;
    const same = setUp({ memo: memo() }).sanitizer.sanitize(text);
    expect(distinct(same.text)).toBe(1);
    expect(same.receipt.draws).toBe(1);
    const { sanitizer } = setUp({ memo: memo(), repetitions: 'independent' });
    const independent = sanitizer.sanitize(text);
    expect(distinct(independent.text)).toBeGreaterThan(1);
    expect(independent.receipt.draws).toBe(30);
    expect(sanitizer.sanitize(text).text).toBe(independent.text);
  });

  it('leaves common words in clear only when the policy says so, and says so', () => {
    const { sanitizer } = setUp({ policy: { scope: 'sensitive-words', userWords: ['of'] } });
    const seen = new Set<string>();
    for (let i = 0; i < 60; i++) {
      const { text, receipt } = sanitizer.sanitize('The doctor is of Rome');
      expect(text).toMatch(/^The \w+ is \w+ [A-Z]\w+$/);
      expect(receipt.wordsInClear).toBe(2);
      expect(receipt.caveats.join()).toContain('common words are sent in clear');
      seen.add(text.split(' ')[3]!);
    }
    expect(seen.size).toBeGreaterThan(1);
  });

  it('sends nothing when the detector of sensitive words does not work', () => {
    const policy = (detect: SensitiveDetector) => ({ policy: { scope: 'sensitive-words' as const, detect } });
    expect(() => setUp(policy(() => []))).toThrow(/DETECTOR_BROKEN/);
    let works = true;
    const { sanitizer, ledger } = setUp(
      policy((text) => {
        if (!works) throw new Error(text);
        return findSensitive(text);
      }),
    );
    sanitizer.sanitize('The flu');
    works = false;
    const before = ledger.statement('ada').draws;
    expect(() => sanitizer.sanitize('The flu canary')).toThrow(/DETECTOR_BROKEN/);
    expect(() => sanitizer.sanitize('The flu canary')).not.toThrow(/canary/);
    expect(ledger.statement('ada').draws).toBe(before);
  });

  it('replaces common words where the detector finds them', () => {
    const { sanitizer } = setUp({ policy: { scope: 'sensitive-words' } });
    // "Of" is common, but with a capital within a sentence it may be a name.
    const { text, receipt } = sanitizer.sanitize('The flu has a cold Of fever.');
    expect(receipt).toMatchObject({ wordsInClear: 3, draws: 4 });
    expect(text).toMatch(/^The \w+ has a \w+ [A-Z]\w* \w+\.$/);
    expect(sanitizer.sanitize('The flu has a cold of fever.').receipt).toMatchObject({
      wordsInClear: 4,
      draws: 3,
    });
    expect(receipt.notion).toContain('among sensitive words only');
    expect(setUp().sanitizer.sanitize('flu').receipt.notion).not.toContain('sensitive');
  });

  it('keeps spaces, punctuation and letter case', () => {
    const { sanitizer } = setUp();
    expect(sanitizer.sanitize('Paris, FLU;\n\tcold!').text).toMatch(/^[A-Z][a-z]*, [A-Z]+;\n\t[a-z]+!$/);
    expect(sanitizer.sanitize('').text).toBe('');
    expect(sanitizer.sanitize("It isn't").text.split(' ').length).toBeGreaterThan(1);
  });

  it('hides class and case under the whole-vocabulary notion', () => {
    const whole = buildStaircase(vectors, {
      ...options,
      commonShare: 0,
      notion: 'ldp-whole-vocabulary',
      epsilon: '2',
    });
    const { sanitizer } = setUp({ tableBytes: encodeTable(whole) });
    const { text, receipt } = sanitizer.sanitize('Paris 1234 a@b.example Zzyzx 😀');
    for (const word of text.split(' ')) expect(words).toContain(word);
    expect(receipt.draws).toBe(5);
    expect(receipt.blockBits).toBe(0);
  });

  it('gives the words back in the answer', () => {
    const { sanitizer } = setUp({ memo: memo() });
    const { text, substitutions } = sanitizer.sanitize('Quentin has id X1Y2Z3');
    const answer = `Dear ${text.split(' ')[0]}, your id is ${text.split(' ')[3]}.`;
    expect(new Desanitizer(substitutions, text).restore(answer)).toBe('Dear Quentin, your id is X1Y2Z3.');
  });

  it('gives back every word of a text that returns as it left, whatever the lot made equal', () => {
    const { sanitizer } = setUp({ memo: memo() });
    // Six words of two blocks, five names of 64: equal substitutes are common.
    const text =
      'Flu, cold and fever: Paris, London (Berlin) met Quentin, Zyzzyva, Xanthippe, Wolkowysk; 7 of 8 fled Rome. FLU!';
    let shared = 0;
    for (let i = 0; i < 200; i++) {
      const { text: sent, substitutions } = sanitizer.sanitize(text, String(i));
      const desanitizer = new Desanitizer(substitutions, sent);
      expect(desanitizer.restore(sent)).toBe(text);
      shared += Math.sign(desanitizer.chosenByPlace);
    }
    expect(shared).toBeGreaterThan(20);
  });

  it('takes 10 MB', () => {
    const { sanitizer } = setUp({}, 1e9);
    const lines = 'Paris is good; flu 12 Zzyzx 今 '.repeat(100_000);
    const { text, receipt } = sanitizer.sanitize(lines + 'x'.repeat(7_000_000));
    expect(receipt.piecesReplaced).toBe(7 * 100_000 + 1);
    expect(text.length).toBeLessThan(2 * lines.length);
  });
});
