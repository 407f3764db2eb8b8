// Automorphism X -> X^g in the bit-reversed evaluation order.
//
// Output i holds the value at psi^(2j+1), j = bitReverse(i), which is the input's value at index j' = g*j + (g-1)/2 mod N.
// Write j = high * (N/LANES) + low: the low part of j' depends only on low, so aligned blocks of LANES words go to aligned
// blocks, and inside a block high' = carry + g*high mod LANES: one of LANES lane permutations. No gathers.
#pragma once
#include "ring.h"

typedef struct {
  const u32 *blocks;     // of each output block: source block * LANES + carry
  u32 lanes[LANES][LANES]; // lane permutation of each carry
} Permutation;

static void fill_permutation(const Ring *ring, u32 galois, Permutation *p, u32 *blocks) {
  u32 low_bits = ring->log_n - LOG_LANES, low_mask = (1u << low_bits) - 1;
  for (u32 block = 0; block <= low_mask; block++) {
    u64 j = (u64)galois * bit_reverse(block, low_bits) + galois / 2;
    blocks[block] = bit_reverse((u32)j & low_mask, low_bits) * LANES + ((u32)(j >> low_bits) & (LANES - 1));
  }
  p->blocks = blocks;
  for (u32 carry = 0; carry < LANES; carry++)
    for (u32 lane = 0; lane < LANES; lane++)
      p->lanes[carry][lane] = bit_reverse((carry + galois * bit_reverse(lane, LOG_LANES)) & (LANES - 1), LOG_LANES);
}

#if LOG_LANES > 2
typedef V LaneIndex;
INLINE LaneIndex lane_index(const u32 *lanes) { return v_load(lanes); }
#elif defined(__wasm_simd128__)
typedef V LaneIndex;
INLINE LaneIndex lane_index(const u32 *lanes) {
  return v_add(v_mul(v_load(lanes), v_set(0x04040404)), v_set(0x03020100));
}
INLINE V v_permute_lanes(V a, LaneIndex index) { return wasm_i8x16_swizzle(a, index); }
#else
typedef const u32 *LaneIndex;
INLINE LaneIndex lane_index(const u32 *lanes) { return lanes; }
INLINE V v_permute_lanes(V a, LaneIndex index) { return (V){a[index[0]], a[index[1]], a[index[2]], a[index[3]]}; }
#endif

// Blocks come from all over the row, where processors do not look ahead: each is fetched this many steps before.
#define BLOCKS_AHEAD (1024 / LANES)

static void permute_row(u32 *o, const u32 *a, size_t n, const Permutation *p) {
  LaneIndex index[LANES];
  for (u32 carry = 0; carry < LANES; carry++) index[carry] = lane_index(p->lanes[carry]);
  for (size_t block = 0; block < n / LANES; block++) {
    u32 source = p->blocks[block];
    PREFETCH(a + p->blocks[(block + BLOCKS_AHEAD) & (n / LANES - 1)]);
    v_store(o + block * LANES, v_permute_lanes(v_load(a + (source & ~(u32)(LANES - 1))), index[source & (LANES - 1)]));
  }
}
