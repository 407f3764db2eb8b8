// Key switching: the extensions of all digits and their inner products with a key, a row of all digits at a time.
#pragma once
#include "run-plan.h"

typedef struct {
  const Ring *ring;
  const Input *inputs;
  u32 digits;
  Basis basis;
  u32 *o0, *o1;        // 0: only the digits are wanted
  const u32 *key, *key_row;
  u32 key_digits;
} SwitchJob;

// Target number of a row of `to`, or NO_ROW; targets are in the order of their rows.
INLINE u32 target_of(const Plan *plan, u32 row) {
  u32 low = 0, high = plan->conversion.targets;
  while (low < high) {
    u32 middle = (low + high) / 2;
    if (plan->target_row[middle] < row) low = middle + 1;
    else high = middle;
  }
  return low < plan->conversion.targets && plan->target_row[low] == row ? low : NO_ROW;
}

static void switch_job(u32 row, const void *context) {
  const SwitchJob *job = context;
  const Ring *ring = job->ring;
  const Prime *p = &ring->primes[job->basis[row]];
  const u32 *digit[SEGMENT];
  for (u32 d = 0; d < job->digits; d++) {
    const Input *input = &job->inputs[d];
    u32 *out = row_at(ring, input->out, row);
    digit[d] = out;
    if (target_of(input->plan, row) != NO_ROW) {
      ntt_row(ring, p, out);
      continue;
    }
    u32 kept = 0;
    while (input->plan->copy_to[kept] != row) kept++;
    const u32 *source = row_of(ring, input->x, input->plan->copy_from[kept]);
    if (job->o0) digit[d] = source;
    else __builtin_memcpy(out, source, 4 * (size_t)ring->n);
  }
  if (!job->o0) return;
  Modulus m = modulus(p->q, p->inverse);
  const u32 *key = job->key + (size_t)job->key_row[row] * job->key_digits * 2 * ring->n;
  inner_product_row(row_at(ring, job->o0, row), row_at(ring, job->o1, row), digit, job->digits, key, ring->n, ring->n, &m, 0);
}

// Rows of scratch for the digits of a list of plans.
EXPORT u32 sotto_switch_rows(const Ring *ring, const u64 *plans, u32 digits) {
  size_t words = 0;
  for (u32 d = 0; d < digits; d++) words += source_words(ring, (const Plan *)address(plans, d));
  return (u32)((words + ring->n - 1) / ring->n);
}

// `list`: the plans of the digits, then where each digit goes; `basis`: its `rows` rows. With o0 = 0 the digits are all that is
// wanted; else (o0, o1) are their inner products with the key, whose row of each row is in `key_rows`, and of the digits only
// garbage remains. `scratch`: sotto_switch_rows rows.
EXPORT void sotto_switch(const Ring *ring, const u64 *list, u32 digits, const u32 *x, Basis basis, u32 rows, u32 *o0, u32 *o1,
                         const u32 *key, const u32 *key_rows, u32 key_digits, u32 *scratch) {
  Input inputs[MAX_INPUTS];
  for (u32 d = 0; d < digits; d++) {
    const Plan *plan = (const Plan *)address(list, d);
    inputs[d] = (Input){plan, x, address(list, digits + d), scratch};
    scratch += source_words(ring, plan);
  }
  run_sources(ring, inputs, digits, 0);
  SwitchJob job = {ring, inputs, digits, basis, o0, o1, key, key_rows, key_digits};
  parallel(ring, rows, switch_job, &job);
}
