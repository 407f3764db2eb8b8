/**
 * The printable alphabet of byte-level vocabularies (GPT-2): bytes that are printable in Latin-1 stand for themselves, the
 * others, in order, for the characters from U+0100.
 */
const characters: readonly string[] = (() => {
  const printable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : next++));
})();

const bytes = new Map(characters.map((character, byte) => [character, byte]));

/** Bytes of a piece; null when it has a character outside of the alphabet. */
export function bytesOfPiece(piece: string): Uint8Array | null {
  const out = new Uint8Array(piece.length);
  for (let i = 0; i < piece.length; i++) {
    const byte = bytes.get(piece[i]!);
    if (byte === undefined) return null;
    out[i] = byte;
  }
  return out;
}

/** The characters that stand for bytes. */
export function pieceOfBytes(raw: Uint8Array): string {
  return Array.from(raw, (byte) => characters[byte]).join('');
}
