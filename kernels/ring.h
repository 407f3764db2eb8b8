// A ring: degree, primes, and their tables. All memory comes from the caller.
#pragma once
#include "modular.h"

typedef struct Pool Pool;

// One direction of the transform: (w, Shoup quotient) of each tree node whose butterflies take whole vectors, then the
// factors of the last LOG_LANES levels in the order in which ntt.h reads them.
typedef struct { u32 *nodes, *leaves; } Twiddles;

typedef struct {
  u32 q;
  u32 inverse;     // q^-1 mod 2^32
  u32 r;           // 2^32 mod q
  u32 r2;          // 2^64 mod q
  u32 n_inverse;   // N^-1 mod q
  u32 w_inverse;   // inverse of the root's power at tree node 1
  u32 index;       // place in the ring
  Twiddles forward, backward;
} Prime;

typedef struct {
  u32 log_n, n, prime_count;
  Pool *pool;
  Prime *primes;
} Ring;

// Rows of a basis: prime indices in order.
typedef const u32 *Basis;

typedef void (*Job)(u32 item, const void *context);
// Runs job(0..items-1), on all threads of the pool when there is one.
static void parallel(const Ring *ring, u32 items, Job job, const void *context);

INLINE u32 *row_at(const Ring *ring, u32 *x, u32 row) { return x + (size_t)row * ring->n; }
INLINE const u32 *row_of(const Ring *ring, const u32 *x, u32 row) { return x + (size_t)row * ring->n; }

#if defined(__wasm__)
#define EXPORT __attribute__((visibility("default"), used))
#else
#define EXPORT __attribute__((visibility("default")))
#endif
