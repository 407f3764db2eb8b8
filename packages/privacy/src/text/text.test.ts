import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { SystemSource } from '../random/source.js';
import { classBits, classOf, drawFromClass, type FormatClass } from './classes.js';
import { type PieceKind, pieces } from './segment.js';

const cut = (text: string) =>
  [...pieces(text)]
    .filter(({ kind }) => kind !== 'public')
    .map(({ kind, text: piece }) => `${kind}:${piece}`);

describe('pieces', () => {
  it('tells formats apart', () => {
    expect(cut("Dr. Müller doesn't pay 3,450.20 EUR before 2024-05-01, or 1/2/25.")).toEqual([
      'word:Dr',
      'word:Müller',
      'word:does',
      "word:n't",
      'word:pay',
      'number:3,450.20',
      'word:EUR',
      'word:before',
      'date:2024-05-01',
      'word:or',
      'date:1/2/25',
    ]);
    expect(cut('ada.l+x@mail.example.co.uk; see https://a.b/c?d=1, id A7X_99 😀')).toEqual([
      'email:ada.l+x@mail.example.co.uk',
      'word:see',
      'url:https://a.b/c?d=1',
      'word:id',
      'id:A7X_99',
      'symbol:😀',
    ]);
    expect(cut("it's we’ll o'clock 4111111111111111")).toEqual([
      'word:it',
      "word:'s",
      'word:we',
      'word:’ll',
      'word:o',
      'word:clock',
      'id:4111111111111111',
    ]);
  });

  it('gives back any text when joined', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
        expect([...pieces(text)].map((piece) => piece.text).join('')).toBe(text);
      }),
      { numRuns: 500 },
    );
    for (const text of ['', '\ud800', 'a\udc00', '\u0000', '今日は晴れ', '👨‍👩‍👧']) {
      expect([...pieces(text)].map((piece) => piece.text).join('')).toBe(text);
    }
  });

  it('cuts plain text into its words and what stands between them', () => {
    const part = fc.constantFrom(
      'word',
      'X',
      '. ',
      '.',
      ': ',
      ':',
      ' ',
      '\n',
      ', ',
      '! ',
      '"',
      '(',
      '-',
      '/',
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 14 }), (parts) => {
        const text = parts.join('');
        const expected = (text.match(/[A-Za-z]+|[^A-Za-z]+/g) ?? []).map((piece) => ({
          kind: /[A-Za-z]/.test(piece) ? 'word' : 'public',
          text: piece,
        }));
        expect([...pieces(text)]).toEqual(expected);
      }),
      { numRuns: 1000 },
    );
  });

  it('is linear on hostile input', () => {
    for (const unit of ['a', '1', 'a.', '1.', "a'", '@', '1-', 'a@', '😀', ' ']) {
      const text = unit.repeat(200_000 / unit.length);
      const started = performance.now();
      let length = 0;
      for (const piece of pieces(text)) length += piece.text.length;
      expect(length).toBe(text.length);
      expect(performance.now() - started).toBeLessThan(5000);
    }
  });
});

describe('classes', () => {
  const source = new SystemSource();
  const samples: readonly (readonly [Exclude<PieceKind, 'public'>, string])[] = [
    ['number', '42'],
    ['number', '3,450.20'],
    ['date', '2024-05-01'],
    ['date', '1.12.99'],
    ['date', '12/24/2024'],
    ['email', 'ada@mail.example.com'],
    ['url', 'https://clinic.example/x'],
    ['id', 'A7X99'],
    ['word', 'Wolkowysk'],
    ['word', 'xylophagous'],
    ['word', 'NATO'],
    ['word', 'привет'],
    ['word', '肿瘤科'],
    ['word', 'ひみつ'],
    ['word', 'ກ'],
    ['symbol', '😀'],
  ];

  it('draws substitutes that fall into the same class', () => {
    for (const [kind, text] of samples) {
      const format = classOf(kind, text);
      for (let i = 0; i < 50; i++) {
        const [again, ...more] = cut(drawFromClass(format, source));
        expect(more).toEqual([]);
        expect(again!.slice(0, kind.length)).toBe(kind);
        if (kind === 'number' || kind === 'date') {
          expect(classOf(kind, again!.slice(kind.length + 1))).toBe(format);
        }
      }
    }
  });

  it('draws independently of the piece: only class and shape are left', () => {
    expect(classOf('number', '911')).toBe(classOf('number', '007'));
    expect(classOf('id', 'A1')).toBe(classOf('id', 'secret_99_x'));
    expect(classOf('word', 'Zuckermann')).toBe(classOf('word', 'Ødegaard'));
    const formats: FormatClass[] = samples.map(([kind, text]) => classOf(kind, text));
    for (const format of formats) {
      const seen = new Set(Array.from({ length: 400 }, () => drawFromClass(format, source)));
      expect(seen.size).toBeGreaterThan(Math.min(12, 2 ** classBits(format) / 2));
      expect(classBits(format)).toBeGreaterThan(3);
    }
  });
});
