const WORD_CHARACTER = /^[\p{L}\p{M}\p{N}_]$/u;
const ASCII_WORD = Uint8Array.from({ length: 128 }, (_, code) =>
  /\w/.test(String.fromCharCode(code)) ? 1 : 0,
);

/** Whether a code point belongs to words: a letter, mark or number of any script, or an underscore. */
export function isWordCharacter(codePoint: number): boolean {
  return codePoint < 128 ? ASCII_WORD[codePoint] === 1 : WORD_CHARACTER.test(String.fromCodePoint(codePoint));
}

/** Whether a text ends in one. */
export function endsInWord(text: string): boolean {
  if (text === '') return false;
  const last = text.charCodeAt(text.length - 1);
  const pair = last >= 0xdc00 && last < 0xe000 && text.length > 1;
  return isWordCharacter(pair ? text.codePointAt(text.length - 2)! : last);
}
