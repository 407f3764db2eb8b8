import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Desanitizer } from './desanitizer.js';

const map = [
  { original: 'Ödön', substitute: 'Smith' },
  { original: 'cancer', substitute: 'flu' },
  { original: 'ada@home.example', substitute: 'user00001@example.org' },
  { original: 'York', substitute: 'New York City' },
  { original: 'Jersey', substitute: 'New' },
  { original: '秘密', substitute: '东西' },
  { original: '🚀', substitute: '★' },
  { original: "n't", substitute: "'s" },
];

describe('Desanitizer', () => {
  it('puts whole words back, the longest first', () => {
    const restore = (text: string) => new Desanitizer(map).restore(text);
    expect(restore('Mr Smith has flu.')).toBe('Mr Ödön has cancer.');
    expect(restore('Flu, FLU, influenza, flux, a_flu')).toBe('Cancer, Cancer, influenza, flux, a_flu');
    expect(restore('New York City, New York, Newer')).toBe('York, Jersey York, Newer');
    expect(restore('mail user00001@example.org now')).toBe('mail ada@home.example now');
    expect(restore('东西 ★ it\u0027s')).toBe("秘密 🚀 itn't");
    expect(restore('')).toBe('');
  });

  it('gives the same for every split of the text', () => {
    const text =
      'Smith met New York City ★ 东西 in New 😀flu flu😀 Yo user00001@example.orgs user00001@example.org';
    const whole = new Desanitizer(map).restore(text);
    for (let i = 0; i <= text.length; i++) {
      for (let j = i; j <= text.length; j++) {
        const stream = new Desanitizer(map);
        const out =
          stream.push(text.slice(0, i)) +
          stream.push(text.slice(i, j)) +
          stream.push(text.slice(j)) +
          stream.finish();
        expect(out).toBe(whole);
      }
    }
  });

  it('gives the same for every split of the bytes', () => {
    const text = 'Smith 东西 ★ Ödön 😀 flu';
    const bytes = new TextEncoder().encode(text);
    const whole = new Desanitizer(map).restore(text);
    for (let i = 0; i <= bytes.length; i++) {
      const stream = new Desanitizer(map);
      expect(stream.push(bytes.slice(0, i)) + stream.push(bytes.slice(i)) + stream.finish()).toBe(whole);
    }
  });

  it('gives the same for random texts, maps and splits', () => {
    const piece = fc.constantFrom('a', 'b', 'ab', ' ', 'A', '😀', '\ud83d', 'é', '-', '_', '1');
    const word = fc.array(piece, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(
        fc.array(fc.record({ original: word, substitute: word }), { maxLength: 5 }),
        fc.array(piece, { maxLength: 30 }),
        (substitutions, parts) => {
          const whole = new Desanitizer(substitutions).restore(parts.join(''));
          const stream = new Desanitizer(substitutions);
          expect(parts.map((part) => stream.push(part)).join('') + stream.finish()).toBe(whole);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('holds back no more than a substitute may still need', () => {
    const stream = new Desanitizer(map);
    expect(stream.push('plain text, ')).toBe('plain text, ');
    expect(stream.push('New Yor')).toBe('');
    expect(stream.push('k! fl')).toBe('Jersey York! ');
    expect(stream.push('y flu')).toBe('fly ');
    expect(stream.finish()).toBe('cancer');
  });
});
