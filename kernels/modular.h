// Arithmetic modulo primes q < 2^30 in the lanes of a vector, and the scalar forms that fill tables.
#pragma once
#include "vector.h"

// x < 2m -> [0, m), by the smaller of x and x - m as unsigned words.
INLINE V reduce_once(V x, V m) { return v_min(x, v_sub(x, m)); }

// Vectors of one prime. `inverse` is q^-1 mod 2^32. Montgomery (1985) with R = 2^32.
typedef struct { V q, q2, inverse; } Modulus;

INLINE Modulus modulus(u32 q, u32 inverse) { return (Modulus){v_set(q), v_set(2 * q), v_set(inverse)}; }

// Upper half of (low half of p * q^-1) * q: what a Montgomery reduction subtracts from the upper half of p.
#if LOG_LANES > 2
INLINE V montgomery_excess(Wide p, const Modulus *m) {
  return v_high_words(v_mul_even(v_mul_even(p.a, m->inverse), m->q), v_mul_even(v_mul_even(p.b, m->inverse), m->q));
}
#else
INLINE V montgomery_excess(Wide p, const Modulus *m) {
  return v_high(v_mul_wide(v_mul(v_low_words(p.a, p.b), m->inverse), v_opaque(&m->q)));
}
#endif

// p < q*2^32 -> p*2^-32 mod q in [0, q).
INLINE V montgomery(Wide p, const Modulus *m) {
  V r = v_sub(v_high(p), montgomery_excess(p, m));
  return v_min(r, v_add(r, m->q));
}

// p < 4q*2^32 -> p*2^-32 mod q in (0, 3q).
INLINE V montgomery_lazy(Wide p, const Modulus *m) {
  return v_add(v_sub(reduce_once(v_high(p), m->q2), montgomery_excess(p, m)), m->q);
}

// p < 4q*2^32 -> [0, q).
INLINE V montgomery_full(Wide p, const Modulus *m) {
  return reduce_once(reduce_once(montgomery_lazy(p, m), m->q2), m->q);
}

// x*w mod q in [0, 2q) for any 32-bit x and quotient = floor(w*2^32/q) (Shoup; Harvey 2014, algorithm 4).
INLINE V shoup(V x, V w, V quotient, V q) {
  return v_sub(v_mul(x, w), v_mul(v_high(v_mul_wide(x, quotient)), q));
}

// As shoup for factors whose lanes are all equal; the quotient is read from memory (see v_opaque).
INLINE V shoup_by(V x, V w, const V *quotient, V q) {
  return v_sub(v_mul(x, w), v_mul(v_high(v_mul_wide_by(x, v_opaque(quotient))), q));
}

INLINE u32 mul_mod(u32 a, u32 b, u32 q) { return (u32)((u64)a * b % q); }
INLINE u32 shoup_quotient(u32 w, u32 q) { return (u32)(((u64)w << 32) / q); }

static inline u32 pow_mod(u32 base, u32 exponent, u32 q) {
  u32 result = 1;
  for (; exponent; exponent >>= 1, base = mul_mod(base, base, q))
    if (exponent & 1) result = mul_mod(result, base, q);
  return result;
}

static inline u32 inv_mod(u32 a, u32 q) { return pow_mod(a % q, q - 2, q); }

static inline u32 bit_reverse(u32 x, u32 bits) {
  x = x >> 16 | x << 16;
  x = (x & 0xff00ff00u) >> 8 | (x & 0x00ff00ffu) << 8;
  x = (x & 0xf0f0f0f0u) >> 4 | (x & 0x0f0f0f0fu) << 4;
  x = (x & 0xccccccccu) >> 2 | (x & 0x33333333u) << 2;
  x = (x & 0xaaaaaaaau) >> 1 | (x & 0x55555555u) << 1;
  return bits ? x >> (32 - bits) : 0;
}
