// Element-wise kernels over one row of n words, values in [0, q) in and out unless said otherwise.
#pragma once
#include "ring.h"

static void add_row(u32 *o, const u32 *a, const u32 *b, size_t n, V q) {
  for (size_t i = 0; i < n; i += LANES) v_store(o + i, reduce_once(v_add(v_load(a + i), v_load(b + i)), q));
}

static void sub_row(u32 *o, const u32 *a, const u32 *b, size_t n, V q) {
  for (size_t i = 0; i < n; i += LANES) {
    V d = v_sub(v_load(a + i), v_load(b + i));
    v_store(o + i, v_min(d, v_add(d, q)));
  }
}

// q - a is q for a = 0, which one more reduction turns into 0.
static void neg_row(u32 *o, const u32 *a, size_t n, V q) {
  for (size_t i = 0; i < n; i += LANES) v_store(o + i, reduce_once(v_sub(q, v_load(a + i)), q));
}

static void mul_row(u32 *o, const u32 *a, const u32 *b, size_t n, const Modulus *m) {
  for (size_t i = 0; i < n; i += LANES) v_store(o + i, montgomery(v_mul_wide(v_load(a + i), v_load(b + i)), m));
}

static void mul_add_row(u32 *o, const u32 *a, const u32 *b, size_t n, const Modulus *m) {
  for (size_t i = 0; i < n; i += LANES) {
    V product = montgomery(v_mul_wide(v_load(a + i), v_load(b + i)), m);
    v_store(o + i, reduce_once(v_add(v_load(o + i), product), m->q));
  }
}

static void mul_const_row(u32 *o, const u32 *a, size_t n, u32 c, u32 prime, int accumulate) {
  V q = v_set(prime), w = v_set(c), quotient = v_set(shoup_quotient(c, prime));
  for (size_t i = 0; i < n; i += LANES) {
    V product = reduce_once(shoup_by(v_load(a + i), w, &quotient, q), q);
    v_store(o + i, accumulate ? reduce_once(v_add(v_load(o + i), product), q) : product);
  }
}

// o += a*c with the Shoup quotient at hand.
static void mul_const_add_row(u32 *o, const u32 *a, size_t n, u32 c, u32 quotient_word, u32 prime) {
  V q = v_set(prime), w = v_set(c), quotient = v_set(quotient_word);
  for (size_t i = 0; i < n; i += LANES) {
    V product = reduce_once(shoup_by(v_load(a + i), w, &quotient, q), q);
    v_store(o + i, reduce_once(v_add(v_load(o + i), product), q));
  }
}

static void add_const_row(u32 *o, const u32 *a, size_t n, u32 c, V q) {
  V constant = v_set(c);
  for (size_t i = 0; i < n; i += LANES) v_store(o + i, reduce_once(v_add(v_load(a + i), constant), q));
}

INLINE V accumulate_if(int accumulate, const u32 *o, V x, V q) {
  return accumulate ? reduce_once(v_add(v_load(o), x), q) : x;
}

// A product of two residues is below q^2 <= q*2^30, so 16 of them stay below 4q*2^32.
#define SUM_TERMS 16

#define LEAST_RUN 16

// The first `plain` factors b have n words; of the others each word stands for 2^log_run, at least LEAST_RUN, equal ones.
static void mul_sum_row(u32 *o, const u32 *const *a, const u32 *const *b, const u32 *log_run, u32 plain, u32 terms, size_t n,
                        const Modulus *m, int accumulate) {
  for (size_t i = 0; i < n; i += LEAST_RUN) {
    Wide sum[LEAST_RUN / LANES];
    UNROLL for (int v = 0; v < LEAST_RUN / LANES; v++) sum[v] = wide_zero();
    for (u32 k = 0; k < plain; k++) {
      const u32 *x = a[k] + i, *y = b[k] + i;
      UNROLL for (int v = 0; v < LEAST_RUN / LANES; v++)
        sum[v] = wide_add(sum[v], v_mul_wide(v_load(x + v * LANES), v_load(y + v * LANES)));
    }
    for (u32 k = plain; k < terms; k++) {
      const u32 *x = a[k] + i;
      V y = v_splat(b[k] + (i >> log_run[k]));
      UNROLL for (int v = 0; v < LEAST_RUN / LANES; v++)
        sum[v] = wide_add(sum[v], v_mul_wide_by(v_load(x + v * LANES), y));
    }
    UNROLL for (int v = 0; v < LEAST_RUN / LANES; v++) {
      u32 *at = o + i + v * LANES;
      v_store(at, accumulate_if(accumulate, at, montgomery_full(sum[v], m), m->q));
    }
  }
}

typedef struct { u32 *d0, *d1, *d2; const u32 *a0, *a1, *b0, *b1; } Tensor;

static void tensor_row(Tensor t, size_t n, const Modulus *m, u32 r2, int accumulate) {
  V lift = v_set(r2);
  for (size_t i = 0; i < n; i += LANES) {
    V a0 = montgomery(v_mul_wide_by(v_load(t.a0 + i), v_opaque(&lift)), m);
    V a1 = montgomery(v_mul_wide_by(v_load(t.a1 + i), v_opaque(&lift)), m);
    V b0 = v_load(t.b0 + i), b1 = v_load(t.b1 + i);
    V d0 = montgomery(v_mul_wide(a0, b0), m);
    V d1 = montgomery(wide_add(v_mul_wide(a0, b1), v_mul_wide(a1, b0)), m);
    V d2 = montgomery(v_mul_wide(a1, b1), m);
    v_store(t.d0 + i, accumulate_if(accumulate, t.d0 + i, d0, m->q));
    v_store(t.d1 + i, accumulate_if(accumulate, t.d1 + i, d1, m->q));
    v_store(t.d2 + i, accumulate_if(accumulate, t.d2 + i, d2, m->q));
  }
}

// (o0, o1) = sum_d digit[d] * (b[d], a[d]); key rows of digit d: b at key + 2*d*stride, a one stride further.
static void inner_product_row(u32 *o0, u32 *o1, const u32 *const *digit, u32 digits, const u32 *key, size_t stride, size_t n,
                              const Modulus *m, int accumulate) {
  for (size_t i = 0; i < n; i += LANES) {
    V x = v_load(digit[0] + i);
    Wide s0 = v_mul_wide(x, v_load(key + i)), s1 = v_mul_wide(x, v_load(key + stride + i));
    for (u32 d = 1; d < digits; d++) {
      const u32 *k = key + 2 * d * stride + i;
      x = v_load(digit[d] + i);
      s0 = wide_add(s0, v_mul_wide(x, v_load(k)));
      s1 = wide_add(s1, v_mul_wide(x, v_load(k + stride)));
    }
    v_store(o0 + i, accumulate_if(accumulate, o0 + i, montgomery_full(s0, m), m->q));
    v_store(o1 + i, accumulate_if(accumulate, o1 + i, montgomery_full(s1, m), m->q));
  }
}
