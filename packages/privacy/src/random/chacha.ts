/** A word with its bits turned to the left. */
const rotated = (x: number, bits: number): number => (x << bits) | (x >>> (32 - bits));

/**
 * One block of the ChaCha20 function (RFC 8439, 2.3): 16 words from a key of 8, a counter and a nonce of 3. Written out, because one is
 * computed for every word of a text.
 */
export function chachaBlock(
  key: Uint32Array,
  counter: number,
  nonce: readonly [number, number, number],
): Uint32Array {
  const out = Uint32Array.of(
    0x61707865,
    0x3320646e,
    0x79622d32,
    0x6b206574,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    counter,
    nonce[0],
    nonce[1],
    nonce[2],
  );
  out.set(key, 4);
  let x0 = out[0]! | 0;
  let x1 = out[1]! | 0;
  let x2 = out[2]! | 0;
  let x3 = out[3]! | 0;
  let x4 = out[4]! | 0;
  let x5 = out[5]! | 0;
  let x6 = out[6]! | 0;
  let x7 = out[7]! | 0;
  let x8 = out[8]! | 0;
  let x9 = out[9]! | 0;
  let x10 = out[10]! | 0;
  let x11 = out[11]! | 0;
  let x12 = out[12]! | 0;
  let x13 = out[13]! | 0;
  let x14 = out[14]! | 0;
  let x15 = out[15]! | 0;
  for (let round = 0; round < 20; round += 2) {
    x0 = (x0 + x4) | 0;
    x12 = rotated(x12 ^ x0, 16);
    x8 = (x8 + x12) | 0;
    x4 = rotated(x4 ^ x8, 12);
    x0 = (x0 + x4) | 0;
    x12 = rotated(x12 ^ x0, 8);
    x8 = (x8 + x12) | 0;
    x4 = rotated(x4 ^ x8, 7);
    x1 = (x1 + x5) | 0;
    x13 = rotated(x13 ^ x1, 16);
    x9 = (x9 + x13) | 0;
    x5 = rotated(x5 ^ x9, 12);
    x1 = (x1 + x5) | 0;
    x13 = rotated(x13 ^ x1, 8);
    x9 = (x9 + x13) | 0;
    x5 = rotated(x5 ^ x9, 7);
    x2 = (x2 + x6) | 0;
    x14 = rotated(x14 ^ x2, 16);
    x10 = (x10 + x14) | 0;
    x6 = rotated(x6 ^ x10, 12);
    x2 = (x2 + x6) | 0;
    x14 = rotated(x14 ^ x2, 8);
    x10 = (x10 + x14) | 0;
    x6 = rotated(x6 ^ x10, 7);
    x3 = (x3 + x7) | 0;
    x15 = rotated(x15 ^ x3, 16);
    x11 = (x11 + x15) | 0;
    x7 = rotated(x7 ^ x11, 12);
    x3 = (x3 + x7) | 0;
    x15 = rotated(x15 ^ x3, 8);
    x11 = (x11 + x15) | 0;
    x7 = rotated(x7 ^ x11, 7);
    x0 = (x0 + x5) | 0;
    x15 = rotated(x15 ^ x0, 16);
    x10 = (x10 + x15) | 0;
    x5 = rotated(x5 ^ x10, 12);
    x0 = (x0 + x5) | 0;
    x15 = rotated(x15 ^ x0, 8);
    x10 = (x10 + x15) | 0;
    x5 = rotated(x5 ^ x10, 7);
    x1 = (x1 + x6) | 0;
    x12 = rotated(x12 ^ x1, 16);
    x11 = (x11 + x12) | 0;
    x6 = rotated(x6 ^ x11, 12);
    x1 = (x1 + x6) | 0;
    x12 = rotated(x12 ^ x1, 8);
    x11 = (x11 + x12) | 0;
    x6 = rotated(x6 ^ x11, 7);
    x2 = (x2 + x7) | 0;
    x13 = rotated(x13 ^ x2, 16);
    x8 = (x8 + x13) | 0;
    x7 = rotated(x7 ^ x8, 12);
    x2 = (x2 + x7) | 0;
    x13 = rotated(x13 ^ x2, 8);
    x8 = (x8 + x13) | 0;
    x7 = rotated(x7 ^ x8, 7);
    x3 = (x3 + x4) | 0;
    x14 = rotated(x14 ^ x3, 16);
    x9 = (x9 + x14) | 0;
    x4 = rotated(x4 ^ x9, 12);
    x3 = (x3 + x4) | 0;
    x14 = rotated(x14 ^ x3, 8);
    x9 = (x9 + x14) | 0;
    x4 = rotated(x4 ^ x9, 7);
  }
  out[0]! += x0;
  out[1]! += x1;
  out[2]! += x2;
  out[3]! += x3;
  out[4]! += x4;
  out[5]! += x5;
  out[6]! += x6;
  out[7]! += x7;
  out[8]! += x8;
  out[9]! += x9;
  out[10]! += x10;
  out[11]! += x11;
  out[12]! += x12;
  out[13]! += x13;
  out[14]! += x14;
  out[15]! += x15;
  return out;
}
