// Negacyclic number-theoretic transform of one row, natural order in, bit-reversed order out, and back.
//
// Butterflies are lazy (Harvey 2014): values stay below 4q going forward and below 2q going back. Levels run two at a time
// (radix 4) and depth first below 2^BLOCK_LOG words, so that a block stays in the first-level cache. Levels whose
// butterflies are closer than a vector run on LANES transposed vectors. Tree node n at level l (2^l <= n < 2^(l+1)) has the
// factor psi^bitReverse(n - 2^l) of Longa and Naehrig (2016); its children are 2n and 2n+1.
#pragma once
#include "ring.h"

#define BLOCK_LOG 12

INLINE void forward_butterfly(V *x, V *y, V t, V q2) {
  V s = reduce_once(*x, q2);
  *x = v_add(s, t);
  *y = v_sub(v_add(s, q2), t);
}

typedef struct { V w, quotient; } Factor;
INLINE Factor factor_at(const u32 *nodes, size_t node) { return (Factor){v_set(nodes[2 * node]), v_set(nodes[2 * node + 1])}; }

INLINE void forward_by(V *x, V *y, const Factor *f, V q, V q2) {
  forward_butterfly(x, y, shoup_by(*y, f->w, &f->quotient, q), q2);
}

INLINE void backward_by(V *x, V *y, const Factor *f, V q, V q2) {
  V sum = v_add(*x, *y), difference = v_add(v_sub(*x, *y), q2);
  *x = reduce_once(sum, q2);
  *y = shoup_by(difference, f->w, &f->quotient, q);
}

// Lines of the leaf table that a forward radix-4 step fetches for the leaves that come after it, so that memory is busy all the time.
#define LINE_WORDS 16
#define FETCH_LINES (LANES / 8)
INLINE const u32 *fetch_leaves(const u32 *leaves) {
  UNROLL for (int line = 0; line < FETCH_LINES; line++) PREFETCH(leaves + LINE_WORDS * line);
  return leaves + LINE_WORDS * FETCH_LINES;
}

// `leaves` is what to fetch meanwhile, x where nothing is wanted; returns where it goes on.
static const u32 *forward_4(u32 *x, size_t t, size_t node, const u32 *nodes, const u32 *leaves, V q, V q2) {
  const Factor f[3] = {factor_at(nodes, node), factor_at(nodes, 2 * node), factor_at(nodes, 2 * node + 1)};
  for (size_t i = 0; i < t; i += LANES) {
    V a = v_load(x + i), b = v_load(x + t + i), c = v_load(x + 2 * t + i), d = v_load(x + 3 * t + i);
    forward_by(&a, &c, &f[0], q, q2);
    forward_by(&b, &d, &f[0], q, q2);
    forward_by(&a, &b, &f[1], q, q2);
    forward_by(&c, &d, &f[2], q, q2);
    leaves = fetch_leaves(leaves);
    v_store(x + i, a);
    v_store(x + t + i, b);
    v_store(x + 2 * t + i, c);
    v_store(x + 3 * t + i, d);
  }
  return leaves;
}

static void forward_2(u32 *x, size_t t, size_t node, const u32 *nodes, V q, V q2) {
  const Factor f = factor_at(nodes, node);
  for (size_t i = 0; i < t; i += LANES) {
    V a = v_load(x + i), b = v_load(x + t + i);
    forward_by(&a, &b, &f, q, q2);
    v_store(x + i, a);
    v_store(x + t + i, b);
  }
}

static void backward_4(u32 *x, size_t t, size_t node, const u32 *nodes, V q, V q2) {
  const Factor f[3] = {factor_at(nodes, node), factor_at(nodes, 2 * node), factor_at(nodes, 2 * node + 1)};
  for (size_t i = 0; i < t; i += LANES) {
    V a = v_load(x + i), b = v_load(x + t + i), c = v_load(x + 2 * t + i), d = v_load(x + 3 * t + i);
    backward_by(&a, &b, &f[1], q, q2);
    backward_by(&c, &d, &f[2], q, q2);
    backward_by(&a, &c, &f[0], q, q2);
    backward_by(&b, &d, &f[0], q, q2);
    v_store(x + i, a);
    v_store(x + t + i, b);
    v_store(x + 2 * t + i, c);
    v_store(x + 3 * t + i, d);
  }
}

static void backward_2(u32 *x, size_t t, size_t node, const u32 *nodes, V q, V q2) {
  const Factor f = factor_at(nodes, node);
  for (size_t i = 0; i < t; i += LANES) {
    V a = v_load(x + i), b = v_load(x + t + i);
    backward_by(&a, &b, &f, q, q2);
    v_store(x + i, a);
    v_store(x + t + i, b);
  }
}

// The two upper levels backward with a constant folded into the root: every output leaves multiplied by it, in [0, q).
static void backward_root(u32 *x, size_t t, const u32 *nodes, const Factor *sum, const Factor *difference, V q, V q2) {
  const Factor f[2] = {factor_at(nodes, 2), factor_at(nodes, 3)};
  for (size_t i = 0; i < t; i += LANES) {
    V a = v_load(x + i), b = v_load(x + t + i), c = v_load(x + 2 * t + i), d = v_load(x + 3 * t + i);
    backward_by(&a, &b, &f[0], q, q2);
    backward_by(&c, &d, &f[1], q, q2);
    V ac = v_add(v_sub(a, c), q2), bd = v_add(v_sub(b, d), q2);
    v_store(x + i, reduce_once(shoup_by(v_add(a, c), sum->w, &sum->quotient, q), q));
    v_store(x + t + i, reduce_once(shoup_by(v_add(b, d), sum->w, &sum->quotient, q), q));
    v_store(x + 2 * t + i, reduce_once(shoup_by(ac, difference->w, &difference->quotient, q), q));
    v_store(x + 3 * t + i, reduce_once(shoup_by(bd, difference->w, &difference->quotient, q), q));
  }
}

// Last LOG_LANES levels: LANES vectors of consecutive words are transposed, so that a butterfly joins whole vectors and the
// factors of LANES neighbouring subtrees lie side by side.
static void forward_leaves(u32 *x, size_t length, const u32 *leaves, V q, V q2) {
  for (size_t i = 0; i < length; i += LANES * LANES) {
    V r[LANES];
    UNROLL for (int k = 0; k < LANES; k++) r[k] = v_load(x + i + LANES * k);
    v_transpose(r);
    UNROLL for (int level = 0; level < LOG_LANES; level++) {
      const int half = LANES >> (level + 1);
      UNROLL for (int start = 0; start < LANES; start += 2 * half, leaves += 2 * LANES) {
        V w = v_load(leaves), quotient = v_load(leaves + LANES);
        UNROLL for (int k = start; k < start + half; k++)
          forward_butterfly(&r[k], &r[k + half], shoup(r[k + half], w, quotient, q), q2);
      }
    }
    UNROLL for (int k = 0; k < LANES; k++) r[k] = reduce_once(reduce_once(r[k], q2), q);
    v_transpose(r);
    UNROLL for (int k = 0; k < LANES; k++) v_store(x + i + LANES * k, r[k]);
  }
}

static void backward_leaves(u32 *x, const u32 *source, size_t length, const u32 *leaves, V q, V q2) {
  for (size_t i = 0; i < length; i += LANES * LANES) {
    V r[LANES];
    UNROLL for (int k = 0; k < LANES; k++) r[k] = v_load(source + i + LANES * k);
    v_transpose(r);
    UNROLL for (int level = 0; level < LOG_LANES; level++) {
      const int half = 1 << level;
      UNROLL for (int start = 0; start < LANES; start += 2 * half, leaves += 2 * LANES) {
        V w = v_load(leaves), quotient = v_load(leaves + LANES);
        UNROLL for (int k = start; k < start + half; k++) {
          V sum = v_add(r[k], r[k + half]), difference = v_add(v_sub(r[k], r[k + half]), q2);
          r[k] = reduce_once(sum, q2);
          r[k + half] = shoup(difference, w, quotient, q);
        }
      }
    }
    v_transpose(r);
    UNROLL for (int k = 0; k < LANES; k++) v_store(x + i + LANES * k, r[k]);
  }
}

// Words of the leaf table for LANES subtrees, that is for LANES*LANES words of the row.
#define LEAF_WORDS (2 * LANES * (LANES - 1))

INLINE const u32 *leaves_of(const Ring *ring, const Twiddles *t, size_t first_leaf_node) {
  size_t subtree = first_leaf_node - ((size_t)ring->n >> LOG_LANES);
  return t->leaves + subtree / LANES * LEAF_WORDS;
}

// All levels under a node whose block has 2^log words.
static void forward_tree(const Ring *ring, const Twiddles *t, u32 *x, u32 log, size_t node, V q, V q2) {
  size_t length = (size_t)1 << log;
  if (log > BLOCK_LOG) {
    u32 step = log - BLOCK_LOG >= 2 ? 2 : 1;
    if (step == 2) forward_4(x, length >> 2, node, t->nodes, x, q, q2);
    else forward_2(x, length >> 1, node, t->nodes, q, q2);
    for (size_t k = 0; k < (size_t)1 << step; k++)
      forward_tree(ring, t, x + k * (length >> step), log - step, (node << step) + k, q, q2);
    return;
  }
  u32 left = log;
  size_t first = node, count = 1;
  const u32 *ahead = leaves_of(ring, t, node << (log - LOG_LANES));
  while (left > LOG_LANES) {
    u32 step = (left - LOG_LANES) % 2 ? 1 : 2;
    size_t block = (size_t)1 << left;
    for (size_t k = 0; k < count; k++) {
      if (step == 2) ahead = forward_4(x + k * block, block >> 2, first + k, t->nodes, ahead, q, q2);
      else forward_2(x + k * block, block >> 1, first + k, t->nodes, q, q2);
    }
    first <<= step;
    count <<= step;
    left -= step;
  }
  forward_leaves(x, length, leaves_of(ring, t, first), q, q2);
}

// All levels under a node, the node's own included; of the root's tree the two upper levels are left to backward_root.
static void backward_tree(const Ring *ring, const Twiddles *t, u32 *x, const u32 *source, u32 log, size_t node, V q, V q2) {
  size_t length = (size_t)1 << log;
  if (log > BLOCK_LOG) {
    u32 step = node == 1 || log - BLOCK_LOG >= 2 ? 2 : 1;
    for (size_t k = 0; k < (size_t)1 << step; k++)
      backward_tree(ring, t, x + k * (length >> step), source + k * (length >> step), log - step, (node << step) + k, q, q2);
    if (node == 1) return;
    if (step == 2) backward_4(x, length >> 2, node, t->nodes, q, q2);
    else backward_2(x, length >> 1, node, t->nodes, q, q2);
    return;
  }
  u32 levels = node == 1 ? log - 2 : log;
  u32 done = LOG_LANES;
  size_t first = node << (log - LOG_LANES), count = (size_t)1 << (log - LOG_LANES);
  backward_leaves(x, source, length, leaves_of(ring, t, first), q, q2);
  while (done < levels) {
    u32 step = (levels - done) % 2 ? 1 : 2;
    done += step;
    first >>= step;
    count >>= step;
    size_t block = (size_t)1 << done;
    for (size_t k = 0; k < count; k++) {
      if (step == 2) backward_4(x + k * block, block >> 2, first + k, t->nodes, q, q2);
      else backward_2(x + k * block, block >> 1, first + k, t->nodes, q, q2);
    }
  }
}

// A row is small when it has no LANES x LANES block: then one word at a time.
INLINE int is_small(const Ring *ring) { return ring->n < LANES * LANES; }

static void small_forward(const Ring *ring, const Prime *p, u32 *x) {
  u32 q = p->q;
  for (u32 i = 0; i < ring->n; i++) x[i] %= q;
  for (u32 count = 1, half = ring->n / 2; half; count *= 2, half /= 2)
    for (u32 k = 0; k < count; k++)
      for (u32 i = 2 * k * half; i < (2 * k + 1) * half; i++) {
        u32 a = x[i], b = mul_mod(x[i + half], p->forward.nodes[2 * (count + k)], q);
        x[i] = (a + b) % q;
        x[i + half] = (a + q - b) % q;
      }
}

static void small_backward(const Ring *ring, const Prime *p, u32 *x, u32 scale) {
  u32 q = p->q;
  for (u32 count = ring->n / 2, half = 1; count; count /= 2, half *= 2)
    for (u32 k = 0; k < count; k++)
      for (u32 i = 2 * k * half; i < (2 * k + 1) * half; i++) {
        u32 a = x[i], b = x[i + half];
        x[i] = (a + b) % q;
        x[i + half] = mul_mod((a + q - b) % q, p->backward.nodes[2 * (count + k)], q);
      }
  for (u32 i = 0; i < ring->n; i++) x[i] = mul_mod(x[i], scale, q);
}

// Values below 4q in, [0, q) out.
static void ntt_row(const Ring *ring, const Prime *p, u32 *x) {
  if (is_small(ring)) small_forward(ring, p, x);
  else forward_tree(ring, &p->forward, x, ring->log_n, 1, v_set(p->q), v_set(2 * p->q));
}

// Coefficients of `source` times `scale`; scale = N^-1 mod q is the plain inverse. [0, q) in and out; x may be the source.
static void intt_row(const Ring *ring, const Prime *p, u32 *x, const u32 *source, u32 scale) {
  if (is_small(ring)) {
    for (u32 i = 0; i < ring->n; i++) x[i] = source[i];
    small_backward(ring, p, x, scale);
    return;
  }
  V q = v_set(p->q), q2 = v_set(2 * p->q);
  u32 w = mul_mod(p->w_inverse, scale, p->q);
  Factor sum = {v_set(scale), v_set(shoup_quotient(scale, p->q))};
  Factor difference = {v_set(w), v_set(shoup_quotient(w, p->q))};
  backward_tree(ring, &p->backward, x, source, ring->log_n, 1, q, q2);
  backward_root(x, ring->n / 4, p->backward.nodes, &sum, &difference, q, q2);
}

// ---- tables

// Powers of a root by two table look-ups and one product.
typedef struct { u32 low[512], high[512], q; } Powers;

static void powers_of(Powers *t, u32 root, u32 q) {
  t->q = q;
  t->low[0] = t->high[0] = 1;
  for (u32 i = 1; i < 512; i++) t->low[i] = mul_mod(t->low[i - 1], root, q);
  u32 step = mul_mod(t->low[511], root, q);
  for (u32 i = 1; i < 512; i++) t->high[i] = mul_mod(t->high[i - 1], step, q);
}

// Factor of a tree node: the root to the power bitReverse(node) over log_n bits, which is bitReverse(node - 2^l) of its level.
INLINE u32 node_factor(const Powers *t, u32 node, u32 log_n) {
  u32 e = bit_reverse(node, log_n);
  return mul_mod(t->low[e & 511], t->high[e >> 9], t->q);
}

static size_t node_words(u32 log_n) {
  size_t n = (size_t)1 << log_n;
  Ring ring = {.log_n = log_n, .n = (u32)n};
  return is_small(&ring) ? 2 * n : 2 * n >> LOG_LANES;
}

static size_t leaf_words(u32 log_n) {
  size_t n = (size_t)1 << log_n;
  Ring ring = {.log_n = log_n, .n = (u32)n};
  return is_small(&ring) ? 0 : n / (LANES * LANES) * LEAF_WORDS;
}

static void put_factor(u32 *at, size_t stride, u32 w, u32 q) {
  at[0] = w;
  at[stride] = shoup_quotient(w, q);
}

// `backward` orders the leaf factors from the last level up.
static void fill_twiddles(const Ring *ring, Twiddles *t, u32 root, u32 q, int backward) {
  Powers powers;
  powers_of(&powers, root, q);
  u32 nodes = (u32)(node_words(ring->log_n) / 2);
  t->nodes[0] = t->nodes[1] = 0;
  for (u32 node = 1; node < nodes; node++) put_factor(t->nodes + 2 * node, 1, node_factor(&powers, node, ring->log_n), q);
  if (is_small(ring)) return;
  u32 subtrees = ring->n >> LOG_LANES;
  for (u32 s = 0; s < subtrees; s++) {
    u32 *at = t->leaves + (size_t)(s / LANES) * LEAF_WORDS + s % LANES;
    for (u32 i = 0; i < LOG_LANES; i++) {
      u32 level = backward ? LOG_LANES - 1 - i : i;
      for (u32 k = 0; k < 1u << level; k++, at += 2 * LANES)
        put_factor(at, LANES, node_factor(&powers, ((subtrees + s) << level) + k, ring->log_n), q);
    }
  }
}
