// Uniform residues from a ChaCha20 key stream (RFC 8439), and residues of rounded doubles.
#pragma once
#include "ring.h"

INLINE void quarter_round(V *a, V *b, V *c, V *d) {
  *a = v_add(*a, *b);
  *d = v_xor(*d, *a);
  *d = v_rotl(*d, 16);
  *c = v_add(*c, *d);
  *b = v_xor(*b, *c);
  *b = v_rotl(*b, 12);
  *a = v_add(*a, *b);
  *d = v_xor(*d, *a);
  *d = v_rotl(*d, 8);
  *c = v_add(*c, *d);
  *b = v_xor(*b, *c);
  *b = v_rotl(*b, 7);
}

// LANES consecutive blocks: 16*LANES words of key stream, from block number `counter`.
static void chacha20_blocks(u32 *out, const u32 *key, const u32 *nonce, u32 counter) {
  static const u32 constants[4] = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574};
  u32 lane[LANES];
  V s[16], start[16];
  for (u32 i = 0; i < LANES; i++) lane[i] = counter + i;
  UNROLL for (int i = 0; i < 4; i++) start[i] = v_set(constants[i]);
  UNROLL for (int i = 0; i < 8; i++) start[4 + i] = v_set(key[i]);
  start[12] = v_load(lane);
  UNROLL for (int i = 0; i < 3; i++) start[13 + i] = v_set(nonce[i]);
  UNROLL for (int i = 0; i < 16; i++) s[i] = start[i];
  for (int round = 0; round < 10; round++) {
    UNROLL for (int i = 0; i < 4; i++) quarter_round(&s[i], &s[4 + i], &s[8 + i], &s[12 + i]);
    UNROLL for (int i = 0; i < 4; i++) quarter_round(&s[i], &s[4 + (i + 1) % 4], &s[8 + (i + 2) % 4], &s[12 + (i + 3) % 4]);
  }
  UNROLL for (int i = 0; i < 16; i++) s[i] = v_add(s[i], start[i]);
  UNROLL for (int group = 0; group < 16; group += LANES) {
    v_transpose(s + group);
    UNROLL for (int block = 0; block < LANES; block++) v_store(out + 16 * block + group, s[group + block]);
  }
}

static void uniform_row(u32 *o, size_t n, const Prime *p, const u32 *seed, u32 domain) {
  u32 words[16 * LANES], nonce[3] = {domain, p->index, 0}, mask = 0xffffffffu >> __builtin_clz(p->q);
  V masks = v_set(mask), q = v_set(p->q);
  size_t i = 0;
  for (u32 counter = 0; i < n; counter += LANES) {
    chacha20_blocks(words, seed, nonce, counter);
    for (u32 k = 0; k < 16 * LANES && i < n; k += LANES) {
      V x = v_and(v_load(words + k), masks);
#if defined(V_STORE_LESS)
      if (i + LANES <= n) {
        i += v_store_less(o + i, x, q);
        continue;
      }
#else
      if (i + LANES <= n && v_all_less(x, q)) {
        v_store(o + i, x);
        i += LANES;
        continue;
      }
#endif
      for (u32 lane = k; lane < k + LANES && i < n; lane++) {
        u32 word = words[lane] & mask;
        o[i] = word;
        i += word < p->q;
      }
    }
  }
}

// |x| < 2^62 -> the nearest integer, ties to even, plus 2^62, as upper and lower 32-bit words.
static void round_doubles(const double *x, u32 *high, u32 *low, size_t n) {
  const double large = 4503599627370496.0; // 2^52: above it a double is an integer
  for (size_t i = 0; i < n; i++) {
    double c = x[i];
    if (c >= 0 && c < large) c = (c + large) - large;
    else if (c < 0 && c > -large) c = (c - large) + large;
    u64 shifted = (u64)((i64)c + ((i64)1 << 62));
    high[i] = (u32)(shifted >> 32);
    low[i] = (u32)shifted;
  }
}
