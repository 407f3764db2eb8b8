// Plans of base extensions and rational divisions: which rows are converted, copied and added, with their constants.
#pragma once
#include "pool.h"
#include "ntt.h"
#include "pointwise.h"
#include "conversion.h"

INLINE size_t align_up(size_t size) { return (size + 63) & ~(size_t)63; }

// Addresses in a list are 64-bit on every machine.
INLINE u32 *address(const u64 *list, u32 i) { return (u32 *)(uintptr_t)list[i]; }

#define NO_ROW 0xffffffffu

typedef struct {
  Conversion conversion;
  u32 source_row[MAX_SOURCES]; // row in `from`
  u32 scale[MAX_SOURCES];      // factor folded into the source's inverse transform
  u32 kept;                    // rows copied instead (extension only)
  u32 *target_row;             // row in `to`
  u32 *kept_row;               // row in `from` that is added (division) or NO_ROW
  u32 *factor, *quotient;      // what the added row is multiplied by
  u32 *copy_to, *copy_from;
} Plan;

static u32 product_mod(const Ring *ring, Basis basis, u32 count, u32 q, u32 skip) {
  u32 product = 1;
  for (u32 i = 0; i < count; i++)
    if (basis[i] != skip) product = mul_mod(product, ring->primes[basis[i]].q % q, q);
  return product;
}

EXPORT size_t sotto_plan_bytes(u32 sources, u32 targets) {
  return align_up(sizeof(Plan)) + align_up(targets * sizeof(Prime *)) + 6 * align_up(4 * targets) +
         align_up(4 * CONSTANT_WORDS * (size_t)(sources + 1) * targets);
}

static Plan *place_plan(void *memory, u32 sources, u32 targets) {
  char *at = memory;
  Plan *plan = (Plan *)at;
  __builtin_memset(plan, 0, sizeof *plan);
  at += align_up(sizeof(Plan));
  plan->conversion.target = (const Prime **)at;
  at += align_up(targets * sizeof(Prime *));
  u32 **lists[6] = {&plan->target_row, &plan->kept_row, &plan->factor, &plan->quotient, &plan->copy_to, &plan->copy_from};
  for (int i = 0; i < 6; i++, at += align_up(4 * targets)) *lists[i] = (u32 *)at;
  plan->conversion.constants = (u32 *)at;
  plan->conversion.sources = sources;
  return plan;
}

static void add_target(const Ring *ring, Plan *plan, u32 index, u32 row, u32 kept_row) {
  u32 t = plan->conversion.targets++;
  plan->conversion.target[t] = &ring->primes[index];
  plan->target_row[t] = row;
  plan->kept_row[t] = kept_row;
}

INLINE u32 find(Basis basis, u32 count, u32 index) {
  for (u32 row = 0; row < count; row++)
    if (basis[row] == index) return row;
  return NO_ROW;
}

// `rows`: row of each source in the polynomial that is extended.
EXPORT void sotto_plan_extend(const Ring *ring, void *memory, Basis to, u32 to_count, Basis from, u32 from_count, const u32 *rows) {
  Plan *plan = place_plan(memory, from_count, to_count);
  Conversion *c = &plan->conversion;
  for (u32 j = 0; j < from_count; j++) {
    const Prime *p = &ring->primes[from[j]];
    set_source(c, j, p);
    plan->source_row[j] = rows[j];
    plan->scale[j] = mul_mod(inv_mod(product_mod(ring, from, from_count, p->q, from[j]), p->q), p->n_inverse, p->q);
  }
  for (u32 row = 0; row < to_count; row++) {
    u32 kept = find(from, from_count, to[row]);
    if (kept == NO_ROW) add_target(ring, plan, to[row], row, NO_ROW);
    else {
      plan->copy_to[plan->kept] = row;
      plan->copy_from[plan->kept++] = rows[kept];
    }
  }
  for (u32 t = 0; t < c->targets; t++) {
    u32 q = c->target[t]->q;
    for (u32 j = 0; j < from_count; j++) set_constant(c, t, j, product_mod(ring, from, from_count, q, from[j]));
    set_constant(c, t, from_count, q - product_mod(ring, from, from_count, q, NO_ROW));
  }
}

// With D = from \ to, E = to \ from and z = the centred residue of x*E mod D: (x*E - z)/D. Modulo a target t that is
// x*(E/D) - sum_j y_j/d_j + v, where z = sum_j y_j*(D/d_j) - v*D. `sources` is the size of D.
EXPORT void sotto_plan_divide(const Ring *ring, void *memory, Basis to, u32 to_count, Basis from, u32 from_count, u32 sources) {
  Plan *plan = place_plan(memory, sources, to_count);
  Conversion *c = &plan->conversion;
  u32 divisor[MAX_SOURCES];
  for (u32 row = 0, j = 0; row < from_count; row++)
    if (find(to, to_count, from[row]) == NO_ROW) {
      divisor[j] = from[row];
      plan->source_row[j++] = row;
    }
  for (u32 row = 0; row < to_count; row++) add_target(ring, plan, to[row], row, find(from, from_count, to[row]));
  for (u32 j = 0; j < sources; j++) {
    const Prime *p = &ring->primes[divisor[j]];
    u32 weight = mul_mod(inv_mod(product_mod(ring, divisor, sources, p->q, divisor[j]), p->q), p->n_inverse, p->q);
    for (u32 t = 0; t < to_count; t++)
      if (plan->kept_row[t] == NO_ROW) weight = mul_mod(weight, c->target[t]->q % p->q, p->q);
    set_source(c, j, p);
    plan->scale[j] = weight;
  }
  for (u32 t = 0; t < to_count; t++) {
    u32 q = c->target[t]->q;
    for (u32 j = 0; j < sources; j++) set_constant(c, t, j, q - inv_mod(c->source[j]->q % q, q));
    set_constant(c, t, sources, 1);
    u32 factor = inv_mod(product_mod(ring, divisor, sources, q, NO_ROW), q);
    for (u32 e = 0; e < to_count; e++)
      if (plan->kept_row[e] == NO_ROW) factor = mul_mod(factor, c->target[e]->q % q, q);
    plan->factor[t] = factor;
    plan->quotient[t] = shoup_quotient(factor, q);
  }
}
