// Slot values to the real coefficients of their polynomial: the inverse of the canonical embedding on the powers of 5, in doubles.
// The order of operations is that of ring/slot-transform.ts and nothing is contracted, so every instruction set gives the same bits.
#pragma once
#include "ring.h"

#define DOUBLES 8
typedef double D __attribute__((vector_size(8 * DOUBLES)));
typedef double D_unaligned __attribute__((vector_size(8 * DOUBLES), aligned(8)));

INLINE D d_load(const double *at) { return *(const D_unaligned *)at; }
INLINE void d_store(double *at, D x) { *(D_unaligned *)at = x; }

// Twiddles of the stage with blocks of 2h values lie at h .. 2h-1, so one table serves all lengths.
typedef struct { const double *cos, *sin; } Roots;

INLINE u32 reverse_bits(u32 x, u32 bits) {
  u32 out = 0;
  for (u32 i = 0; i < bits; i++) out |= (x >> i & 1) << (bits - 1 - i);
  return out;
}

// One butterfly of the inverse transform: (a, b) -> (a + b, (a - b) / w).
#define BUTTERFLY(ar, ai, br, bi, c, s) do { \
    D x_ = ar - br, y_ = ai - bi; \
    ar = ar + br; \
    ai = ai + bi; \
    br = x_ * c + y_ * s; \
    bi = y_ * c - x_ * s; \
  } while (0)

static void wide_stage(double *re, double *im, u32 n, u32 half, Roots roots) {
  for (u32 block = 0; block < n; block += 2 * half) {
    for (u32 j = 0; j < half; j += DOUBLES) {
      u32 a = block + j, b = a + half;
      D ar = d_load(re + a), ai = d_load(im + a), br = d_load(re + b), bi = d_load(im + b);
      D c = d_load(roots.cos + half + j), s = d_load(roots.sin + half + j);
      BUTTERFLY(ar, ai, br, bi, c, s);
      d_store(re + a, ar);
      d_store(im + a, ai);
      d_store(re + b, br);
      d_store(im + b, bi);
    }
  }
}

// Two stages in one pass over memory: blocks of 2*half, then of half.
static void wide_stages(double *re, double *im, u32 n, u32 half, Roots roots) {
  u32 quarter = half / 2;
  for (u32 block = 0; block < n; block += 2 * half) {
    for (u32 j = 0; j < quarter; j += DOUBLES) {
      D r[4], i[4];
      UNROLL for (u32 k = 0; k < 4; k++) {
        r[k] = d_load(re + block + j + k * quarter);
        i[k] = d_load(im + block + j + k * quarter);
      }
      D c0 = d_load(roots.cos + half + j), s0 = d_load(roots.sin + half + j);
      D c1 = d_load(roots.cos + half + quarter + j), s1 = d_load(roots.sin + half + quarter + j);
      D c = d_load(roots.cos + quarter + j), s = d_load(roots.sin + quarter + j);
      BUTTERFLY(r[0], i[0], r[2], i[2], c0, s0);
      BUTTERFLY(r[1], i[1], r[3], i[3], c1, s1);
      BUTTERFLY(r[0], i[0], r[1], i[1], c, s);
      BUTTERFLY(r[2], i[2], r[3], i[3], c, s);
      UNROLL for (u32 k = 0; k < 4; k++) {
        d_store(re + block + j + k * quarter, r[k]);
        d_store(im + block + j + k * quarter, i[k]);
      }
    }
  }
}

#define LEAF 16
#define LOG_LEAF 4

// The last four stages of blocks of 16 values, eight blocks side by side: those whose results lie beside each other.
static void leaves(const double *re, const double *im, double *out_re, double *out_im, u32 log_n, u32 log_gap, double unit,
                   double scale, Roots roots) {
  u32 blocks = 1u << (log_n - LOG_LEAF);
  for (u32 first = 0; first < blocks; first += DOUBLES) {
    double lanes[2][LEAF][DOUBLES] __attribute__((aligned(64)));
    for (u32 lane = 0; lane < DOUBLES; lane++) {
      size_t from = (size_t)reverse_bits(first + lane, log_n - LOG_LEAF) * LEAF;
      UNROLL for (u32 j = 0; j < LEAF; j++) {
        lanes[0][j][lane] = re[from + j];
        lanes[1][j][lane] = im[from + j];
      }
    }
    D r[LEAF], i[LEAF];
    UNROLL for (u32 j = 0; j < LEAF; j++) {
      r[j] = d_load(lanes[0][j]);
      i[j] = d_load(lanes[1][j]);
    }
    UNROLL for (u32 half = LEAF / 2; half >= 1; half /= 2) {
      UNROLL for (u32 block = 0; block < LEAF; block += 2 * half) {
        UNROLL for (u32 j = 0; j < half; j++) {
          double c = roots.cos[half + j], s = roots.sin[half + j];
          u32 a = block + j, b = a + half;
          BUTTERFLY(r[a], i[a], r[b], i[b], c, s);
        }
      }
    }
    UNROLL for (u32 j = 0; j < LEAF; j++) {
      size_t to = (size_t)reverse_bits(j, LOG_LEAF) * blocks + first;
      D x = r[j] * unit * scale, y = i[j] * unit * scale;
      if (log_gap == 0) {
        d_store(out_re + to, x);
        d_store(out_im + to, y);
        continue;
      }
      for (u32 lane = 0; lane < DOUBLES; lane++) {
        out_re[(to + lane) << log_gap] = x[lane];
        out_im[(to + lane) << log_gap] = y[lane];
      }
    }
  }
}

static void narrow(double *re, double *im, double *out_re, double *out_im, u32 log_n, u32 log_gap, double unit, double scale,
                   Roots roots) {
  u32 n = 1u << log_n;
  for (u32 half = n / 2; half >= 1; half /= 2) {
    for (u32 block = 0; block < n; block += 2 * half) {
      for (u32 j = 0; j < half; j++) {
        u32 a = block + j, b = a + half;
        double c = roots.cos[half + j], s = roots.sin[half + j], x = re[a] - re[b], y = im[a] - im[b];
        re[a] += re[b];
        im[a] += im[b];
        re[b] = x * c + y * s;
        im[b] = y * c - x * s;
      }
    }
  }
  for (u32 i = 0; i < n; i++) {
    size_t to = (size_t)reverse_bits(i, log_n) << log_gap;
    out_re[to] = re[i] * unit * scale;
    out_im[to] = im[i] * unit * scale;
  }
}

// re and im, 2^log_n values each, are spent; out has 2^(log_n + log_gap) real parts, then as many imaginary ones.
static void embed(double *re, double *im, double *out, u32 log_n, u32 log_gap, double scale, Roots roots) {
  u32 n = 1u << log_n;
  double unit = 1.0 / n, *out_im = out + ((size_t)n << log_gap);
  if (log_gap > 0) __builtin_memset(out, 0, (size_t)16 * n << log_gap);
  if (n < LEAF * DOUBLES) {
    narrow(re, im, out, out_im, log_n, log_gap, unit, scale, roots);
    return;
  }
  u32 half = n / 2;
  for (; half >= 2 * LEAF; half /= 4) wide_stages(re, im, n, half, roots);
  for (; half >= LEAF; half /= 2) wide_stage(re, im, n, half, roots);
  leaves(re, im, out, out_im, log_n, log_gap, unit, scale, roots);
}
