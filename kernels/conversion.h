// Base conversion: residues of k source primes -> residues of many target primes.
//
// With y_j the source residues already multiplied by (Q/q_j)^-1 mod q_j, the centred value is sum_j y_j*(Q/q_j) - v*Q, where
// v = round(sum_j y_j/q_j). So every target row is a product of a constant matrix with the rows y_0..y_(k-1), v. The work is cut
// in chunks of coefficients that fit the first-level cache, and in tiles of targets whose 64-bit sums stay in registers.
//
// v is computed in 27-bit fixed point, in 32-bit words (see `quotient`), so all machines agree on every bit. Halevi, Polyakov
// and Shoup (2019, section 2.3) do the same in floating point.
#pragma once
#include "ring.h"

#define MAX_SOURCES 24
// Rows that one 64-bit sum can hold: 15 sources of 30 bits and the quotient row stay below 4p*2^32.
#define SEGMENT 15
#if LOG_LANES == 4
#define TILE 12
#elif LOG_LANES == 3
#define TILE 6
#else
#define TILE 4
#endif
// Constants are read as ready-made vectors where broadcasting from memory costs (see v_opaque).
#if LOG_LANES == 2
#define CONSTANT_WORDS 4
INLINE V constant_at(const u32 *at) { return v_load(at); }
#else
#define CONSTANT_WORDS 1
INLINE V constant_at(const u32 *at) { return v_set(*at); }
#endif

typedef struct {
  u32 sources, targets;
  const Prime *source[MAX_SOURCES];
  u32 shift[MAX_SOURCES], reciprocal[MAX_SOURCES];
  const Prime **target;
  u32 *constants; // for each tile: for each row (the quotient last): TILE constants in Montgomery form
} Conversion;

// Logarithm of the coefficients converted at a time: the rows of a chunk fit the first-level cache.
INLINE u32 chunk_log(const Conversion *c) { return c->sources < 13 ? 9 : 8; }

INLINE u32 tile_size(u32 targets, u32 at) { return targets - at < TILE ? targets - at : TILE; }

// Constant of source row `row` (row == sources: of the quotient) for target number t.
static u32 *constant_place(const Conversion *c, u32 t, u32 row) {
  u32 tile = t / TILE * TILE, size = tile_size(c->targets, tile);
  return c->constants + ((size_t)tile * (c->sources + 1) + (size_t)row * size + (t - tile)) * CONSTANT_WORDS;
}

static void set_constant(const Conversion *c, u32 t, u32 row, u32 value) {
  const Prime *p = c->target[t];
  u32 *at = constant_place(c, t, row);
  for (u32 i = 0; i < CONSTANT_WORDS; i++) at[i] = mul_mod(value % p->q, p->r, p->q);
}

static void set_source(Conversion *c, u32 j, const Prime *p) {
  c->source[j] = p;
  c->shift[j] = (u32)__builtin_clz(p->q);
  c->reciprocal[j] = (u32)(((u64)1 << 59) / ((u64)p->q << c->shift[j]));
}

// round(sum_j y_j/q_j). Each term is the upper half of (y_j << shift) * reciprocal, 27 fractional bits, too small by less
// than 2 units; 24 terms and the half stay below 2^32.
static void quotient_row(const Conversion *c, const u32 *y, size_t stride, u32 *v, size_t n) {
  V reciprocal[MAX_SOURCES];
  for (u32 j = 0; j < c->sources; j++) reciprocal[j] = v_set(c->reciprocal[j]);
  for (size_t i = 0; i < n; i += LANES) {
    V sum = v_set(1u << 26);
    for (u32 j = 0; j < c->sources; j++) {
      V shifted = v_shift_left(v_load(y + j * stride + i), c->shift[j]);
      sum = v_add(sum, v_high(v_mul_wide_by(shifted, v_opaque(&reciprocal[j]))));
    }
    v_store(v + i, v_shift_right(sum, 27));
  }
}

enum { STORE_LAZY = 0, STORE_FULL = 1, ADD_OLD = 2 };

#define TILE_FUNCTION(T) \
  static void tile_##T(u32 *const *out, size_t offset, const u32 *y, size_t stride, u32 rows, const u32 *constants, \
                       const Prime **target, size_t n, int mode) { \
    Modulus m[T]; \
    for (int t = 0; t < T; t++) m[t] = modulus(target[t]->q, target[t]->inverse); \
    for (size_t i = 0; i < n; i += LANES) { \
      Wide sum[T]; \
      UNROLL for (int t = 0; t < T; t++) sum[t] = wide_zero(); \
      const u32 *c = constants; \
      for (u32 j = 0; j < rows; j++, c += T * CONSTANT_WORDS) { \
        V x = v_load(y + j * stride + i); \
        SPLIT(x) \
        UNROLL for (int t = 0; t < T; t++) sum[t] = wide_add(sum[t], PRODUCT(x, constant_at(c + t * CONSTANT_WORDS))); \
      } \
      UNROLL for (int t = 0; t < T; t++) { \
        u32 *o = out[t] + offset + i; \
        V r = montgomery_lazy(sum[t], &m[t]); \
        if (mode & STORE_FULL) r = reduce_once(reduce_once(r, m[t].q2), m[t].q); \
        if (mode & ADD_OLD) r = v_add(r, v_load(o)); \
        v_store(o, r); \
      } \
    } \
  }
#if LOG_LANES > 2
#define SPLIT(x) V x##_odd = v_odd(x);
#define PRODUCT(x, c) ((Wide){v_mul_even(x, c), v_mul_even(x##_odd, c)})
#else
#define SPLIT(x)
#define PRODUCT(x, c) v_mul_wide(x, c)
#endif
TILE_FUNCTION(1) TILE_FUNCTION(2) TILE_FUNCTION(3) TILE_FUNCTION(4)
#if TILE > 4
TILE_FUNCTION(5) TILE_FUNCTION(6)
#endif
#if TILE > 6
TILE_FUNCTION(7) TILE_FUNCTION(8) TILE_FUNCTION(9) TILE_FUNCTION(10) TILE_FUNCTION(11) TILE_FUNCTION(12)
#endif

typedef void (*TileFunction)(u32 *const *, size_t, const u32 *, size_t, u32, const u32 *, const Prime **, size_t, int);
static const TileFunction tile_functions[TILE + 1] = {
    0, tile_1, tile_2, tile_3, tile_4,
#if TILE > 4
    tile_5, tile_6,
#endif
#if TILE > 6
    tile_7, tile_8, tile_9, tile_10, tile_11, tile_12,
#endif
};

// Words [offset, offset + n) of every target row from `sources + 1` rows in `y`, `stride` words apart, the quotient row last.
// Results are below 4p, or in [0, p) when `full`, which is for at most 16 rows. While it works it fetches the `ahead` words behind
// each row of `y` into the caches.
static void convert_chunk(const Conversion *c, u32 *const *out, size_t offset, const u32 *y, size_t stride, size_t n, size_t ahead,
                          int full) {
  u32 rows = c->sources + 1;
  for (u32 t = 0; t < c->targets; t += TILE) {
    // A share of the rows with each tile.
    u32 tiles = (c->targets + TILE - 1) / TILE, tile = t / TILE;
    for (u32 j = rows * tile / tiles; j < rows * (tile + 1) / tiles; j++)
      for (size_t i = 0; i < ahead; i += 16) PREFETCH(y + j * stride + n + i);
    u32 size = tile_size(c->targets, t);
    const u32 *constants = constant_place(c, t, 0);
    for (u32 start = 0; start < rows;) {
      u32 left = rows - start, now = left <= SEGMENT + 1 ? left : SEGMENT;
      int last = now == left, mode = (start ? ADD_OLD : 0) | (last && !full ? STORE_LAZY : STORE_FULL);
      tile_functions[size](out + t, offset, y + start * stride, stride, now, constants + (size_t)start * size * CONSTANT_WORDS,
                           c->target + t, n, mode);
      start += now;
    }
  }
}
