import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkedDetector } from './detector.js';
import { findSensitive } from './sensitive.js';

const found = (text: string) =>
  findSensitive(text).map(({ kind, start, end }) => `${kind}:${text.slice(start, end)}`);

describe('findSensitive', () => {
  it('tells kinds apart', () => {
    expect(
      found('Please call Dr. Clara R. Dickson at +44 7700 900 123 before 12:30 on May 3, 2024.'),
    ).toEqual([
      'title:Dr.',
      'name:Clara R. Dickson',
      'phone:+44 7700 900 123',
      'date:12:30',
      'date:May 3, 2024',
    ]);
    expect(
      found(
        'card 4111-1111-1111-1111, iban DE89 3704 0044 0532 0130 00, server 10.0.0.7, ada.l@mail.example.org',
      ),
    ).toEqual([
      'card:4111-1111-1111-1111',
      'iban:DE89 3704 0044 0532 0130 00',
      'ip:10.0.0.7',
      'email:ada.l@mail.example.org',
    ]);
    expect(
      found('a 36 year old norwegian lives at 727 Gesterby Road, and has cancer; see www.example.com'),
    ).toEqual([
      'age:36 year old',
      'nationality:norwegian',
      'address:727 Gesterby Road',
      'topic:cancer',
      'url:www.example.com',
    ]);
  });

  it('takes words with a capital for names, but for those that usually begin a sentence', () => {
    expect(
      found('The weather is nice. What did Quentin say? New Zealand is far. New shoes. I know, and will go.'),
    ).toEqual(['name:Quentin', 'name:New Zealand']);
    expect(found('Quentin went. Ursula too.')).toEqual(['name:Quentin', 'name:Ursula']);
    expect(found('')).toEqual([]);
  });

  it('gives spans in order that lie in the text and do not overlap, for any text', () => {
    const word = fc.constantFrom(
      'Dr.',
      'Ann',
      ' ',
      '12',
      '.',
      'May',
      '\n',
      'I',
      '\ud83d',
      '秘密',
      'a@b.co',
      'of',
      '-',
      '10 Main Street',
      '(',
      'x',
    );
    fc.assert(
      fc.property(
        fc.array(fc.oneof(word, fc.string({ unit: 'binary', maxLength: 4 })), { maxLength: 30 }),
        (parts) => {
          const text = parts.join('');
          let last = 0;
          for (const { start, end } of findSensitive(text)) {
            expect(start).toBeGreaterThanOrEqual(last);
            expect(end).toBeGreaterThan(start);
            last = end;
          }
          expect(last).toBeLessThanOrEqual(text.length);
        },
      ),
      { numRuns: 400 },
    );
  });

  it('is linear on hostile input', () => {
    for (const unit of [
      'a',
      'A',
      '1',
      '1 ',
      'A ',
      '1.',
      'a.',
      '-',
      '1-',
      'a@',
      'I. ',
      '12 Ab ',
      'Aa ',
      '+1 ',
      ': ',
      'DE12 ',
      '秘',
      '😀',
    ]) {
      const text = unit.repeat(100_000 / unit.length);
      const startedMs = performance.now();
      findSensitive(text);
      expect(performance.now() - startedMs, unit).toBeLessThan(5000);
    }
  });
});

describe('checkedDetector', () => {
  it('refuses detectors that find nothing, fail, or point outside the text', () => {
    expect(() => checkedDetector(() => [])).toThrow(/DETECTOR_BROKEN/);
    let calls = 0;
    const failing = checkedDetector((text) => {
      if (calls++ > 6) throw new Error(`cannot read ${text}`);
      return findSensitive(text);
    });
    expect(() => Array.from({ length: 9 }, () => failing('canary'))).toThrow(/DETECTOR_BROKEN/);
    try {
      failing('canary words');
      expect.unreachable();
    } catch (error) {
      expect(`${(error as Error).stack} ${String((error as Error).cause)}`).not.toContain('canary');
    }
    for (const span of [
      { kind: 'name', start: 0, end: 1000 },
      { kind: 'name', start: -1, end: 3 },
      { kind: 'name', start: 2, end: 2 },
      { kind: 'name', start: Number.NaN, end: 3 },
    ] as const)
      expect(() => checkedDetector((text) => [...findSensitive(text), span])).toThrow(/DETECTOR_BROKEN/);
    expect(checkedDetector(findSensitive)('call Ann Lee')).toEqual([{ kind: 'name', start: 5, end: 12 }]);
  });
});

const data = fileURLToPath(
  new URL('../../../../../shared/data/pii/presidio-synth_dataset_v2.json.gz', import.meta.url),
);

interface Sample {
  readonly full_text: string;
  readonly spans: readonly { entity_type: string; start_position: number; end_position: number }[];
}

describe('findSensitive on 1,500 texts with marked personal data', () => {
  it.skipIf(!existsSync(data))('covers nearly all of their words, if the data is here', () => {
    const samples = JSON.parse(gunzipSync(readFileSync(data)).toString('utf8')) as Sample[];
    const words = new Map<string, { all: number; hit: number }>();
    for (const { full_text: text, spans } of samples) {
      const detected = findSensitive(text);
      for (const { entity_type, start_position, end_position } of spans) {
        const count = words.get(entity_type) ?? { all: 0, hit: 0 };
        words.set(entity_type, count);
        for (const match of text.slice(start_position, end_position).matchAll(/[\p{L}\p{M}\p{N}]+/gu)) {
          const start = start_position + match.index;
          count.all++;
          if (detected.some((span) => span.start <= start && span.end >= start + match[0].length))
            count.hit++;
        }
      }
    }
    const recall = (kind: string) => words.get(kind)!.hit / words.get(kind)!.all;
    for (const kind of [
      'CREDIT_CARD',
      'US_SSN',
      'EMAIL_ADDRESS',
      'PHONE_NUMBER',
      'IBAN_CODE',
      'IP_ADDRESS',
      'DOMAIN_NAME',
      'ZIP_CODE',
      'AGE',
    ])
      expect(recall(kind), kind).toBe(1);
    for (const kind of ['PERSON', 'GPE', 'ORGANIZATION', 'STREET_ADDRESS', 'DATE_TIME', 'NRP'])
      expect(recall(kind), kind).toBeGreaterThan(0.9);
  });
});
