import {
  months,
  nameStarts,
  nationalities,
  ordinaryStarts,
  sensitiveTopics,
  streetWords,
  titles,
  topDomains,
} from './sensitive-lists.js';

/** What a part of a text seems to be. `name` is a person, place, organisation or anything else that is written with a capital. */
export type SensitiveKind =
  | 'email'
  | 'url'
  | 'ip'
  | 'card'
  | 'iban'
  | 'phone'
  | 'date'
  | 'age'
  | 'number'
  | 'title'
  | 'nationality'
  | 'name'
  | 'address'
  | 'topic';

export interface SensitiveSpan {
  readonly kind: SensitiveKind;
  /** UTF-16 units, `end` excluded. */
  readonly start: number;
  readonly end: number;
}

/** Finds what shall not leave in clear. */
export type SensitiveDetector = (text: string) => readonly SensitiveSpan[];

const alternatives = (words: readonly string[]) => words.join('|');
const MONTH = alternatives(months);
const WORD_END = String.raw`(?![\p{L}\p{M}\p{N}_])`;
const WORD_START = String.raw`(?<![\p{L}\p{M}\p{N}_])`;
/** All of one letter case, or a word with a capital first. */
const CAPITAL = String.raw`[\p{Lu}\p{Lt}][\p{L}\p{M}'\u2019]{0,63}`;

/** Patterns in order: what an earlier one found, a later one may only surround. Every repetition is bounded, so time is linear. */
const patterns: readonly (readonly [SensitiveKind, RegExp])[] = [
  ['email', /[\p{L}\p{N}._%+-]{1,64}@[\p{L}\p{N}-]{1,63}(?:\.[\p{L}\p{N}-]{1,63}){1,8}/gu],
  ['url', /https?:\/\/[^\s<>"]{1,2048}/gu],
  ['ip', /(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?![\d.]\d)/gu],
  ['ip', /(?<![\p{L}\p{N}:])(?:[0-9a-f]{1,4}:){4,7}[0-9a-f]{1,4}(?![\p{L}\p{N}:])/giu],
  [
    'url',
    new RegExp(`${WORD_START}(?:[a-z0-9-]{1,63}\\.){1,4}(?:${alternatives(topDomains)})${WORD_END}`, 'giu'),
  ],
  ['iban', /(?<![\p{L}\p{N}])[A-Z]{2}\d{2}(?: ?[A-Z0-9]{2,4}){3,8}(?![\p{L}\p{N}])/gu],
  ['card', /(?<!\d)\d(?:[ -]?\d){11,18}(?!\d)/gu],
  [
    'date',
    /(?<![\p{L}\p{N}])(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{2,4}|\d{1,2}:\d{2}(?::\d{2})?(?: ?[ap]m)?)(?![\p{L}\p{N}])/giu,
  ],
  [
    'date',
    new RegExp(
      `${WORD_START}(?:\\d{1,2}(?:st|nd|rd|th)?(?: of)? )?(?:${MONTH})${WORD_END}\\.?(?: \\d{1,2}(?:st|nd|rd|th)?${WORD_END})?(?:,? \\d{4}${WORD_END})?`,
      'gu',
    ),
  ],
  [
    'phone',
    /(?<![\p{L}\p{N}])(?:\+|\(|00)?\d[\d]{0,14}(?:[ ()./-]{1,2}\d{2,12}){1,6}(?:x\d{1,6})?(?![\p{L}\p{N}])/gu,
  ],
  [
    'age',
    /(?<![\p{L}\p{N}])(?:aged? (?:of )?\d{1,3}|\d{1,3}(?:[ -]year(?:s)?[ -]old| years of age))(?![\p{L}\p{N}])/giu,
  ],
  ['title', new RegExp(`${WORD_START}(?:${alternatives(titles)})${WORD_END}\\.?`, 'gu')],
  ['nationality', new RegExp(`${WORD_START}(?:${alternatives(nationalities)})s?${WORD_END}`, 'giu')],
  [
    'address',
    new RegExp(
      `(?<![\\p{L}\\p{M}\\p{N}_:./-])\\d{1,6}[A-Za-z]?[ ,]{1,2}(?:(?:rue|via|de|la|le|du|des|van|der|den|ul|av)\\.? ){0,3}${CAPITAL}(?:[ ,.]{1,2}(?:${CAPITAL}|\\d{1,6}[A-Za-z]?|${alternatives(streetWords)})${WORD_END}){0,8}`,
      'gu',
    ),
  ],
  ['address', new RegExp(`${WORD_START}(?:${alternatives(streetWords)})${WORD_END}\\.? \\d{1,6}`, 'giu')],
  [
    'number',
    /(?<![\p{L}\p{N}])[\p{L}]{0,3}\d[\p{L}\d]{0,40}(?:[-.,/ ]\d[\p{L}\d]{0,12}){0,4}(?![\p{L}\p{N}])/gu,
  ],
  ['topic', new RegExp(`${WORD_START}(?:${alternatives(sensitiveTopics)})${WORD_END}`, 'giu')],
];

const WORD = /[\p{L}\p{M}][\p{L}\p{M}\p{N}'\u2019_-]*/gu;
const ENDS_SENTENCE = /(?:^|[.!?:;>"\u201c\u201d\n\r(\u2022*]|- )[\s"'\u201c\u2018(>*-]*$/u;
const HAS_CAPITAL = /^[\p{Lu}\p{Lt}]/u;
/** Letters before a word that tell whether a sentence begins there. */
const LOOK_BACK = 8;

/**
 * Finds identifying and delicate parts of a text by patterns and small lists: addresses of all kinds, numbers, dates, ages, titles,
 * nationalities, words of delicate topics, and as names all words with a capital, at the beginning of a sentence those only
 * that do not usually stand there. Made to miss little and to say too much rather: what is found is replaced, no more. It knows English;
 * names in lower case and descriptions ("my neighbour the mayor") are not found. How well it does: docs/sanitized.md.
 */
export function findSensitive(text: string): SensitiveSpan[] {
  const found: SensitiveSpan[] = [];
  for (const [kind, pattern] of patterns) {
    for (const match of text.matchAll(pattern)) {
      if (kind === 'phone' && match[0].replace(/\D/g, '').length < 6) continue;
      found.push({ kind, start: match.index, end: match.index + match[0].length });
    }
  }
  for (const match of text.matchAll(WORD)) {
    const [word, start] = [match[0], match.index];
    if (!isName(text, word, start)) continue;
    found.push({ kind: 'name', start, end: start + word.length });
  }
  return joinedNames(text, withoutInner(found));
}

function isName(text: string, word: string, start: number): boolean {
  // Other scripts have no capitals, and their words are in no vocabulary.
  if (!HAS_CAPITAL.test(word)) return false;
  const plain = word.toLowerCase().replace(/['\u2019].*$/, '');
  // "I" is no name, but for an initial with a dot inside one.
  if (plain === 'i')
    return (
      /^\. [\p{Lu}\p{Lt}]/u.test(text.slice(start + 1, start + 4)) &&
      /\p{L} $/u.test(text.slice(Math.max(0, start - 2), start))
    );
  const begins = ENDS_SENTENCE.test(text.slice(Math.max(0, start - LOOK_BACK), start));
  if (!begins || !ordinaryStarts.has(plain)) return true;
  const end = start + word.length;
  return nameStarts.has(plain) && /^ [\p{Lu}\p{Lt}]\p{L}/u.test(text.slice(end, end + 3));
}

/** Spans in order without what lies in an earlier one. */
function withoutInner(spans: readonly SensitiveSpan[]): SensitiveSpan[] {
  const sorted = [...spans].sort((a, b) => a.start - b.start || b.end - a.end);
  const kept: SensitiveSpan[] = [];
  let end = 0;
  for (const span of sorted) {
    if (span.end <= end) continue;
    kept.push(span.start < end ? { ...span, start: end } : span);
    end = span.end;
  }
  return kept;
}

/** Words of a name as one span, with what stands between them: "Clara R. Dickson", "Bank of Sweden". */
function joinedNames(text: string, spans: readonly SensitiveSpan[]): SensitiveSpan[] {
  const joined: SensitiveSpan[] = [];
  for (const span of spans) {
    const last = joined.at(-1);
    const between = last === undefined ? '' : text.slice(last.end, span.start);
    if (
      last?.kind === 'name' &&
      span.kind === 'name' &&
      /^(?:[.]? |-|[.]? (?:of|de|van|von|der|la|le|bin|al|and|&) )$/.test(between)
    ) {
      joined[joined.length - 1] = { kind: 'name', start: last.start, end: span.end };
    } else joined.push(span);
  }
  return joined;
}
