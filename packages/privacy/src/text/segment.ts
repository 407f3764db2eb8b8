/** What a piece of text is, as far as the sanitizer cares. `public` pieces (spaces, ASCII punctuation) stay as they are. */
export type PieceKind = 'public' | 'word' | 'number' | 'date' | 'email' | 'url' | 'id' | 'symbol';

export interface Piece {
  readonly kind: PieceKind;
  readonly text: string;
}

const EMAIL = String.raw`[\p{L}\p{N}._%+-]{1,64}@[\p{L}\p{N}-]{1,63}(?:\.[\p{L}\p{N}-]{1,63}){1,8}`;
const URL_ = String.raw`https?:\/\/[^\s<>"]{1,2048}`;
const DATE = String.raw`(?:\d{4}-\d{1,2}-\d{1,2}|\d{1,2}(?<between>[./-])\d{1,2}\k<between>(?:\d{4}|\d{2}))(?![\p{L}\p{N}])`;
const NUMBER = String.raw`\d{1,12}(?:[.,]\d{1,12}){0,4}(?![\p{L}\p{M}\p{N}_])`;
const RUN = String.raw`[\p{L}\p{M}\p{N}_]+`;
const SEPARATORS = String.raw`[\s!-\/:-@\[-^\x60{-~\u2010-\u2027]+`;

const PIECE = new RegExp(
  `(?<email>${EMAIL})|(?<url>${URL_})|(?<date>${DATE})|(?<number>${NUMBER})|(?<run>${RUN})|(?<open>${SEPARATORS})|(?<symbol>[^])`,
  'uy',
);

const CONTRACTION = /^(.+)(n['\u2019]t|['\u2019](?:s|re|ve|ll|d|m))$/iu;
const APOSTROPHE_TAIL = /['\u2019](?:t|s|re|ve|ll|d|m)(?![\p{L}\p{M}\p{N}_])/iuy;
const ONLY_LETTERS = /^[\p{L}\p{M}]+$/u;
const TRAILING_DOTS = /[.,;:!?)\]}'"]+$/;

function isLetter(unit: number): boolean {
  const lower = unit | 32;
  return lower >= 97 && lower <= 122;
}

/** Characters that end a plain word: space, tab, line ends and ! " ( ) , ; ? */
const ENDS_WORD = new Set([9, 10, 13, 32, 33, 34, 40, 41, 44, 59, 63]);

/** One of these, or a full stop or colon that a space or nothing follows. */
function endsWord(text: string, at: number): boolean {
  const unit = text.charCodeAt(at);
  if (unit !== 46 && unit !== 58) return ENDS_WORD.has(unit);
  return at + 1 === text.length || text.charCodeAt(at + 1) === 32;
}

/** End of a run of ASCII letters, or of spaces and marks, that needs no closer look; `at` itself when it may need one. */
function plainEnd(text: string, at: number): number {
  let end = at;
  if (endsWord(text, at)) {
    while (end < text.length && endsWord(text, end)) end++;
    return isLetter(text.charCodeAt(end)) ? end : at;
  }
  while (isLetter(text.charCodeAt(end))) end++;
  return end === text.length || endsWord(text, end) ? end : at;
}

/**
 * Cuts text into pieces that give it back when joined. Time is linear in the length: every alternative is bounded or consumes what it
 * scans. Contractions are cut as in "do" + "n't", so that both parts have vectors.
 */
export function* pieces(text: string): Generator<Piece> {
  let at = 0;
  while (at < text.length) {
    const end = plainEnd(text, at);
    if (end > at) {
      yield { kind: isLetter(text.charCodeAt(at)) ? 'word' : 'public', text: text.slice(at, end) };
      at = end;
      continue;
    }
    PIECE.lastIndex = at;
    const groups = PIECE.exec(text)!.groups!;
    const run = groups.run;
    if (run !== undefined) {
      if (ONLY_LETTERS.test(run)) {
        APOSTROPHE_TAIL.lastIndex = at + run.length;
        const tail = APOSTROPHE_TAIL.exec(text)?.[0] ?? '';
        const whole = run + tail;
        const cut = tail === '' ? null : CONTRACTION.exec(whole);
        if (cut !== null) {
          yield { kind: 'word', text: cut[1]! };
          yield { kind: 'word', text: cut[2]! };
        } else yield { kind: 'word', text: whole };
        at += whole.length;
      } else {
        yield { kind: 'id', text: run };
        at += run.length;
      }
      continue;
    }
    const kind = groups.email
      ? 'email'
      : groups.url
        ? 'url'
        : groups.date
          ? 'date'
          : groups.number
            ? 'number'
            : groups.open
              ? 'public'
              : 'symbol';
    let found = (groups.email ?? groups.url ?? groups.date ?? groups.number ?? groups.open ?? groups.symbol)!;
    // Punctuation behind an address belongs to the sentence.
    if (kind === 'url') found = found.replace(TRAILING_DOTS, '') || found;
    yield { kind, text: found };
    at += found.length;
  }
}
