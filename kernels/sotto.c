// The kernels of a ring, one call for all rows of a basis. Addresses, counts and constants arrive checked.
#include "ring.h"
#include "pool.h"
#include "ntt.h"
#include "pointwise.h"
#include "permute.h"
#include "key-switch.h"
#include "sample.h"
#include "embed.h"

// Changes whenever a function here changes its meaning.
EXPORT u32 sotto_abi(void) { return 4; }

// 0 portable, 1 simd128, 2 avx2, 3 avx512.
EXPORT u32 sotto_isa(void) { return SOTTO_ISA; }

// ---- ring

static size_t table_bytes(u32 log_n) { return align_up(4 * node_words(log_n)) + align_up(4 * leaf_words(log_n)); }

EXPORT size_t sotto_ring_bytes(u32 log_n, u32 primes) {
  return align_up(sizeof(Ring)) + align_up(primes * sizeof(Prime)) + 2 * primes * table_bytes(log_n);
}

typedef struct { Ring *ring; const u32 *roots; } TableJob;

static void table_job(u32 item, const void *context) {
  const TableJob *job = context;
  Prime *p = &job->ring->primes[item / 2];
  u32 root = job->roots[item / 2];
  if (item % 2) fill_twiddles(job->ring, &p->backward, inv_mod(root, p->q), p->q, 1);
  else fill_twiddles(job->ring, &p->forward, root, p->q, 0);
}

// `memory` has sotto_ring_bytes bytes, 64-byte aligned. `roots` are roots of unity of order 2N.
EXPORT void sotto_ring_init(Ring *memory, u32 log_n, u32 count, const u32 *primes, const u32 *roots, Pool *pool) {
  char *at = (char *)memory + align_up(sizeof(Ring));
  *memory = (Ring){.log_n = log_n, .n = 1u << log_n, .prime_count = count, .pool = pool, .primes = (Prime *)at};
  at += align_up(count * sizeof(Prime));
  for (u32 i = 0; i < count; i++) {
    Prime *p = &memory->primes[i];
    u32 q = primes[i], inverse = 1;
    for (int step = 0; step < 5; step++) inverse *= 2 - q * inverse;
    u32 r = (u32)(((u64)1 << 32) % q);
    *p = (Prime){.q = q, .inverse = inverse, .r = r, .r2 = mul_mod(r, r, q), .n_inverse = inv_mod(memory->n, q), .index = i};
    p->w_inverse = inv_mod(pow_mod(roots[i], memory->n / 2, q), q);
    Twiddles *both[2] = {&p->forward, &p->backward};
    for (int d = 0; d < 2; d++) {
      both[d]->nodes = (u32 *)at;
      at += align_up(4 * node_words(log_n));
      both[d]->leaves = (u32 *)at;
      at += align_up(4 * leaf_words(log_n));
    }
  }
  TableJob job = {memory, roots};
  parallel(memory, 2 * count, table_job, &job);
}

// ---- element-wise kernels: every row is cut in pieces, so that few rows still feed all threads

#define PIECE_LOG 13

typedef struct Rows {
  const Ring *ring;
  Basis basis;
  u32 *o;
  const u32 *a, *b, *constants;
  int accumulate;
  // Works on n words at `at` of row `row`.
  void (*kernel)(const struct Rows *rows, const Prime *p, u32 row, size_t at, size_t n);
  const void *more;
} Rows;

static void rows_job(u32 item, const void *context) {
  const Rows *rows = context;
  u32 log_n = rows->ring->log_n, piece_log = log_n < PIECE_LOG ? log_n : PIECE_LOG, split = log_n - piece_log;
  u32 row = item >> split;
  size_t in_row = (size_t)(item & ((1u << split) - 1)) << piece_log;
  rows->kernel(rows, &rows->ring->primes[rows->basis[row]], row, ((size_t)row << log_n) + in_row, (size_t)1 << piece_log);
}

static void run_rows(const Rows *rows, u32 count) {
  u32 log_n = rows->ring->log_n;
  parallel(rows->ring, log_n > PIECE_LOG ? count << (log_n - PIECE_LOG) : count, rows_job, rows);
}

#define KERNEL(name) static void name##_piece(const Rows *r, const Prime *p, u32 row, size_t at, size_t n)
#define UNUSED_ROW (void)row, (void)p
#define RUN(name, ...) \
  Rows rows = {.ring = ring, .basis = basis, .kernel = name##_piece, __VA_ARGS__}; \
  run_rows(&rows, count)

KERNEL(copy) { UNUSED_ROW; __builtin_memcpy(r->o + at, r->a + at, 4 * n); }
KERNEL(zero) { UNUSED_ROW; __builtin_memset(r->o + at, 0, 4 * n); }
KERNEL(add) { (void)row; add_row(r->o + at, r->a + at, r->b + at, n, v_set(p->q)); }
KERNEL(sub) { (void)row; sub_row(r->o + at, r->a + at, r->b + at, n, v_set(p->q)); }
KERNEL(neg) { (void)row; neg_row(r->o + at, r->a + at, n, v_set(p->q)); }
KERNEL(montgomery_form) { (void)row; mul_const_row(r->o + at, r->a + at, n, p->r, p->q, 0); }
KERNEL(mul) {
  (void)row;
  Modulus m = modulus(p->q, p->inverse);
  if (r->accumulate) mul_add_row(r->o + at, r->a + at, r->b + at, n, &m);
  else mul_row(r->o + at, r->a + at, r->b + at, n, &m);
}
KERNEL(mul_const) { mul_const_row(r->o + at, r->a + at, n, r->constants[row], p->q, r->accumulate); }
KERNEL(add_const) { add_const_row(r->o + at, r->a + at, n, r->constants[row], v_set(p->q)); }

EXPORT void sotto_copy(const Ring *ring, u32 *o, const u32 *a, Basis basis, u32 count) {
  if (o != a) { RUN(copy, .o = o, .a = a); }
}
EXPORT void sotto_zero(const Ring *ring, u32 *o, Basis basis, u32 count) { RUN(zero, .o = o); }
EXPORT void sotto_add(const Ring *ring, u32 *o, const u32 *a, const u32 *b, Basis basis, u32 count) {
  RUN(add, .o = o, .a = a, .b = b);
}
EXPORT void sotto_sub(const Ring *ring, u32 *o, const u32 *a, const u32 *b, Basis basis, u32 count) {
  RUN(sub, .o = o, .a = a, .b = b);
}
EXPORT void sotto_neg(const Ring *ring, u32 *o, const u32 *a, Basis basis, u32 count) { RUN(neg, .o = o, .a = a); }
EXPORT void sotto_to_montgomery(const Ring *ring, u32 *o, const u32 *a, Basis basis, u32 count) {
  RUN(montgomery_form, .o = o, .a = a);
}
EXPORT void sotto_mul(const Ring *ring, u32 *o, const u32 *a, const u32 *b, Basis basis, u32 count, int accumulate) {
  RUN(mul, .o = o, .a = a, .b = b, .accumulate = accumulate);
}
EXPORT void sotto_mul_const(const Ring *ring, u32 *o, const u32 *a, const u32 *constants, Basis basis, u32 count,
                            int accumulate) {
  RUN(mul_const, .o = o, .a = a, .constants = constants, .accumulate = accumulate);
}
EXPORT void sotto_add_const(const Ring *ring, u32 *o, const u32 *a, const u32 *constants, Basis basis, u32 count) {
  RUN(add_const, .o = o, .a = a, .constants = constants);
}

typedef struct { const u64 *list; u32 terms; } Terms;

KERNEL(mul_sum) {
  (void)row;
  const Terms *t = r->more;
  Modulus m = modulus(p->q, p->inverse);
  for (u32 start = 0; start < t->terms; start += SUM_TERMS) {
    const u32 *a[SUM_TERMS], *b[SUM_TERMS];
    u32 log_run[SUM_TERMS], now = t->terms - start < SUM_TERMS ? t->terms - start : SUM_TERMS, plain = 0, end = now;
    for (u32 k = 0; k < now; k++) {
      u32 term = 3 * (start + k), run = (u32)t->list[term + 2], place = run ? --end : plain++;
      a[place] = address(t->list, term) + at;
      b[place] = address(t->list, term + 1) + (at >> run);
      log_run[place] = run;
    }
    mul_sum_row(r->o + at, a, b, log_run, plain, now, n, &m, r->accumulate || start);
  }
}

// `list`: for each term a, b and the logarithm of b's run length: 0, or at least that of LEAST_RUN, and then b holds
// n >> log_run words a row. The output may not be an input unless there are at most 16 terms, nor a b of runs.
EXPORT void sotto_mul_sum(const Ring *ring, u32 *o, const u64 *list, u32 terms, Basis basis, u32 count, int accumulate) {
  Terms t = {list, terms};
  RUN(mul_sum, .o = o, .accumulate = accumulate, .more = &t);
}

KERNEL(tensor) {
  (void)row;
  const Tensor *t = r->more;
  Modulus m = modulus(p->q, p->inverse);
  Tensor moved = {t->d0 + at, t->d1 + at, t->d2 + at, t->a0 + at, t->a1 + at, t->b0 + at, t->b1 + at};
  tensor_row(moved, n, &m, p->r2, r->accumulate);
}

// `list`: d0, d1, d2, a0, a1, b0, b1.
EXPORT void sotto_tensor(const Ring *ring, const u64 *list, Basis basis, u32 count, int accumulate) {
  Tensor t = {address(list, 0), address(list, 1), address(list, 2), address(list, 3),
              address(list, 4), address(list, 5), address(list, 6)};
  RUN(tensor, .accumulate = accumulate, .more = &t);
}

typedef struct { const u64 *digits; u32 count; const u32 *key; u32 key_digits; const u32 *key_row; u32 *o1; } InnerProduct;

KERNEL(inner_product) {
  const InnerProduct *ip = r->more;
  Modulus m = modulus(p->q, p->inverse);
  const u32 *digits[SEGMENT];
  for (u32 d = 0; d < ip->count; d++) digits[d] = address(ip->digits, d) + at;
  size_t row_words = r->ring->n, in_row = at - row * row_words;
  const u32 *key = ip->key + (size_t)ip->key_row[row] * ip->key_digits * 2 * row_words + in_row;
  inner_product_row(r->o + at, ip->o1 + at, digits, ip->count, key, row_words, n, &m, r->accumulate);
}

// `key_rows`: for each row of the basis its row in the key.
EXPORT void sotto_inner_product(const Ring *ring, u32 *o0, u32 *o1, const u64 *digits, u32 digit_count, Basis basis, u32 count,
                                const u32 *key, const u32 *key_rows, u32 key_digits, int accumulate) {
  InnerProduct ip = {digits, digit_count, key, key_digits, key_rows, o1};
  RUN(inner_product, .o = o0, .accumulate = accumulate, .more = &ip);
}

typedef struct { const Ring *ring; u32 *o; const u32 *a; const u32 *rows; const Permutation *permutation; } RowJob;

static void select_job(u32 row, const void *context) {
  const RowJob *job = context;
  __builtin_memcpy(row_at(job->ring, job->o, row), row_of(job->ring, job->a, job->rows[row]), 4 * (size_t)job->ring->n);
}

// out row i = input row rows[i]; in place the rows are ascending.
EXPORT void sotto_select(const Ring *ring, u32 *o, const u32 *a, const u32 *rows, u32 count) {
  RowJob job = {.ring = ring, .o = o, .a = a, .rows = rows};
  if (o != a) parallel(ring, count, select_job, &job);
  else
    for (u32 row = 0; row < count; row++)
      if (rows[row] != row) select_job(row, &job);
}

static void permute_job(u32 row, const void *context) {
  const RowJob *job = context;
  permute_row(row_at(job->ring, job->o, row), row_of(job->ring, job->a, row), job->ring->n, job->permutation);
}

// `blocks`: scratch of n words.
EXPORT void sotto_permute(const Ring *ring, u32 *o, const u32 *a, u32 galois, u32 count, u32 *blocks) {
  Permutation permutation;
  fill_permutation(ring, galois, &permutation, blocks);
  RowJob job = {.ring = ring, .o = o, .a = a, .permutation = &permutation};
  parallel(ring, count, permute_job, &job);
}

// ---- transforms

typedef struct { const Ring *ring; u32 *x; Basis basis; } TransformJob;

static void ntt_job(u32 row, const void *context) {
  const TransformJob *job = context;
  ntt_row(job->ring, &job->ring->primes[job->basis[row]], row_at(job->ring, job->x, row));
}

static void intt_job(u32 row, const void *context) {
  const TransformJob *job = context;
  const Prime *p = &job->ring->primes[job->basis[row]];
  u32 *x = row_at(job->ring, job->x, row);
  intt_row(job->ring, p, x, x, p->n_inverse);
}

EXPORT void sotto_ntt(const Ring *ring, u32 *x, Basis basis, u32 count) {
  TransformJob job = {ring, x, basis};
  parallel(ring, count, ntt_job, &job);
}

EXPORT void sotto_intt(const Ring *ring, u32 *x, Basis basis, u32 count) {
  TransformJob job = {ring, x, basis};
  parallel(ring, count, intt_job, &job);
}

// ---- samples

// A conversion from the "primes" 2^32 and 1: high word, low word, and one row that takes the offset of 2^62 away.
EXPORT void sotto_plan_lift(const Ring *ring, void *memory, Basis basis, u32 count) {
  Plan *plan = place_plan(memory, 2, count);
  for (u32 row = 0; row < count; row++) add_target(ring, plan, basis[row], row, NO_ROW);
  for (u32 t = 0; t < count; t++) {
    const Prime *p = plan->conversion.target[t];
    set_constant(&plan->conversion, t, 0, p->r);
    set_constant(&plan->conversion, t, 1, 1);
    set_constant(&plan->conversion, t, 2, p->q - (u32)(((u64)1 << 62) % p->q));
  }
}

typedef struct { const Ring *ring; const Plan *plan; u32 *out; const double *x; } LiftJob;

static void lift_job(u32 item, const void *context) {
  const LiftJob *job = context;
  const Conversion *c = &job->plan->conversion;
  u32 y[3 * 512] __attribute__((aligned(64)));
  u32 *out[MAX_TARGETS];
  size_t n = job->ring->n < 512 ? job->ring->n : 512, offset = item * n;
  for (u32 t = 0; t < c->targets; t++) out[t] = row_at(job->ring, job->out, t);
  round_doubles(job->x + offset, y, y + n, n);
  for (size_t i = 0; i < n; i++) y[2 * n + i] = 1;
  convert_chunk(c, out, offset, y, n, n, 0, 1);
}

EXPORT void sotto_lift(const Ring *ring, const Plan *plan, u32 *out, const double *x) {
  LiftJob job = {ring, plan, out, x};
  parallel(ring, ring->n < 512 ? 1 : ring->n / 512, lift_job, &job);
}

typedef struct { const Ring *ring; u32 *out; Basis basis; const u32 *seed; u32 domain; } UniformJob;

static void uniform_job(u32 row, const void *context) {
  const UniformJob *job = context;
  uniform_row(row_at(job->ring, job->out, row), job->ring->n, &job->ring->primes[job->basis[row]], job->seed, job->domain);
}

// `seed`: 8 little-endian words.
EXPORT void sotto_uniform(const Ring *ring, u32 *out, const u32 *seed, u32 domain, Basis basis, u32 count) {
  UniformJob job = {ring, out, basis, seed, domain};
  parallel(ring, count, uniform_job, &job);
}

// `values`: 2^log_n real parts, and from N/2 doubles on as many imaginary ones; spent. `roots`: N/2 cosines, then sines. `out`: N doubles.
EXPORT void sotto_embed(const Ring *ring, double *out, double *values, u32 log_n, const double *scale, const double *roots) {
  u32 slots = ring->n / 2;
  embed(values, values + slots, out, log_n, ring->log_n - 1 - log_n, *scale, (Roots){roots, roots + slots});
}

#if !defined(__wasm__)
#include "native.h"
#endif
