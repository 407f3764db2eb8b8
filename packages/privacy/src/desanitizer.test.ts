import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Desanitizer, type Substitution } from './desanitizer.js';

/** A sent text of words, each with what the user wrote; null for a word in clear. */
function sentOf(words: readonly { original: string | null; substitute: string }[]) {
  const substitutions: Substitution[] = [];
  let sent = '';
  for (const { original, substitute } of words) {
    if (sent !== '') sent += ' ';
    if (original !== null) substitutions.push({ original, substitute, at: sent.length });
    sent += substitute;
  }
  return { sent, make: () => new Desanitizer(substitutions, sent) };
}

const { make } = sentOf([
  { original: 'Ödön', substitute: 'Smith' },
  { original: 'cancer', substitute: 'flu' },
  { original: 'ada@home.example', substitute: 'user00001@example.org' },
  { original: 'York', substitute: 'New York City' },
  { original: 'Jersey', substitute: 'New' },
  { original: '秘密', substitute: '东西' },
  { original: '🚀', substitute: '★' },
  { original: "n't", substitute: "'s" },
]);

describe('Desanitizer', () => {
  it('puts whole words back, the longest first', () => {
    const restore = (text: string) => make().restore(text);
    expect(restore('Mr Smith has flu.')).toBe('Mr Ödön has cancer.');
    expect(restore('Flu, FLU, influenza, flux, a_flu')).toBe('Cancer, CANCER, influenza, flux, a_flu');
    expect(restore('New York City, New York, Newer')).toBe('York, Jersey York, Newer');
    expect(restore('mail user00001@example.org now')).toBe('mail ada@home.example now');
    expect(restore('东西 ★ it\u0027s')).toBe("秘密 🚀 itn't");
    expect(restore('')).toBe('');
  });

  it('gives the same for every split of the text', () => {
    const text =
      'Smith met New York City ★ 东西 in New 😀flu flu😀 Yo user00001@example.orgs user00001@example.org';
    const whole = make().restore(text);
    for (let i = 0; i <= text.length; i++) {
      for (let j = i; j <= text.length; j++) {
        const stream = make();
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
    const whole = make().restore(text);
    for (let i = 0; i <= bytes.length; i++) {
      const stream = make();
      expect(stream.push(bytes.slice(0, i)) + stream.push(bytes.slice(i)) + stream.finish()).toBe(whole);
    }
  });

  it('gives the same for random texts, maps and splits', () => {
    const piece = fc.constantFrom('a', 'b', 'ab', ' ', 'A', '😀', '\ud83d', 'é', '-', '_', '1');
    const word = fc.array(piece, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''));
    fc.assert(
      fc.property(
        fc.array(fc.record({ original: fc.option(word), substitute: word }), { maxLength: 8 }),
        fc.array(piece, { maxLength: 30 }),
        (words, parts) => {
          const whole = sentOf(words).make().restore(parts.join(''));
          const stream = sentOf(words).make();
          expect(parts.map((part) => stream.push(part)).join('') + stream.finish()).toBe(whole);
        },
      ),
      { numRuns: 500 },
    );
  });

  it('holds back no more than a substitute may still need', () => {
    const stream = make();
    expect(stream.push('plain text, ')).toBe('plain text, ');
    expect(stream.push('New Yor')).toBe('');
    expect(stream.push('k! fl')).toBe('Jersey York! ');
    expect(stream.push('y flu')).toBe('fly ');
    expect(stream.finish()).toBe('cancer');
  });

  const of = (original: string | null, substitute: string) => ({ original, substitute });
  // Anna and Maria both became Julia, and the public part has a Julia of its own.
  const shared = sentOf([
    ...[of(null, 'Julia'), of(null, 'wrote:'), of(null, 'aunt'), of('Anna', 'Julia'), of(null, 'called')],
    ...[of('Maria', 'Julia'), of(null, 'and'), of('Berlin', 'Rome'), of('Anna', 'Julia'), of('flu', 'cold')],
  ]);

  it('restores a text that comes back as it was sent, though words share a substitute', () => {
    const desanitizer = shared.make();
    expect(desanitizer.restore(shared.sent)).toBe('Julia wrote: aunt Anna called Maria and Berlin Anna flu');
    expect([desanitizer.restored, desanitizer.chosenByPlace]).toEqual([5, 4]);
    // Used again, it begins again.
    expect(desanitizer.restore(shared.sent)).toBe('Julia wrote: aunt Anna called Maria and Berlin Anna flu');
  });

  it('chooses among words that share a substitute by what stands in front, else by their order', () => {
    const restore = (text: string) => shared.make().restore(text);
    expect(restore('You called Julia. Is aunt Julia well?')).toBe('You called Maria. Is aunt Anna well?');
    expect(restore('Then Rome Julia called JULIA')).toBe('Then Berlin Anna called Maria');
    const two = sentOf([of('Anna', 'Julia'), of('Maria', 'julia'), of('Eva', 'Julia')]).make();
    expect(two.restore('Dear Julia, dear Julia; hello Julia!')).toBe('Dear Anna, dear Maria; hello Eva!');
  });

  it('chooses by place for every split of the text', () => {
    const text = `${'😀 '.repeat(90)}called Julia, aunt Julia; Julia wrote: Julia`;
    const whole = shared.make().restore(text);
    for (let i = 0; i <= text.length; i++) {
      const stream = shared.make();
      expect(stream.push(text.slice(0, i)) + stream.push(text.slice(i)) + stream.finish()).toBe(whole);
    }
  });

  it('takes two spellings of a word for one word', () => {
    const { make } = sentOf([
      of('Doctor', 'Nurse'),
      of('doctor', 'nurse'),
      of('Lily', 'Rose'),
      of('LILY', 'ROSE'),
    ]);
    const desanitizer = make();
    expect(desanitizer.restore('A nurse. Nurse! NURSE; Rose')).toBe('A doctor. Doctor! DOCTOR; Lily');
    expect(desanitizer.chosenByPlace).toBe(0);
  });

  it('leaves a substitute that any text has where other words are in front', () => {
    const make = () =>
      new Desanitizer(
        [
          { original: 'gin', substitute: 'time', at: 16, wordsInFront: 2 },
          { original: '7', substitute: '3', at: 24, wordsInFront: 1 },
        ],
        'She drinks much time at 3, all the time.',
      );
    const answer = '3. At 3 the time comes. Drinks much time; much time, all the time at 3';
    expect(make().restore(answer)).toBe(
      '3. At 7 the time comes. Drinks much gin; much time, all the time at 7',
    );
    for (let i = 0; i <= answer.length; i++) {
      const stream = make();
      const out = stream.push(answer.slice(0, i)) + stream.push(answer.slice(i)) + stream.finish();
      expect(out).toBe(make().restore(answer));
    }
  });
});
