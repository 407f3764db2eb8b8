// Running plans: INTT of the sources, conversion, NTT of the targets. Several polynomials run together, and rows of one prime
// follow each other, because the factors of a transform are twice as large as a row.
#pragma once
#include "plan.h"

// Rows of scratch lie a little more than n words apart, so that the same column of many rows does not fall into one cache set.
INLINE size_t scratch_stride(const Ring *ring) { return ring->n < 4096 ? ring->n : ring->n + 80; }
INLINE size_t source_words(const Ring *ring, const Plan *plan) { return (plan->conversion.sources + 1) * scratch_stride(ring); }

// One polynomial under one plan: `y` receives its sources in coefficient form, then the quotients.
typedef struct { const Plan *plan; const u32 *x; u32 *out, *y; } Input;

typedef struct {
  const Ring *ring;
  const Input *inputs;
  u32 count;
  int alike; // all of one plan
} InputJob;

static void source_job(u32 item, const void *context) {
  const InputJob *job = context;
  const Input *input = job->inputs;
  u32 j = item;
  if (job->alike) {
    input += item % job->count;
    j = item / job->count;
  } else
    for (; j >= input->plan->conversion.sources; input++) j -= input->plan->conversion.sources;
  const Plan *plan = input->plan;
  intt_row(job->ring, plan->conversion.source[j], input->y + j * scratch_stride(job->ring),
           row_of(job->ring, input->x, plan->source_row[j]), plan->scale[j]);
}

#define MAX_TARGETS 512

static void convert_job(u32 item, const void *context) {
  const InputJob *job = context;
  const Input *input = job->inputs;
  const Conversion *c;
  u32 log;
  for (;; input++) {
    c = &input->plan->conversion;
    log = job->ring->log_n < chunk_log(c) ? job->ring->log_n : chunk_log(c);
    u32 chunks = c->targets ? 1u << (job->ring->log_n - log) : 0;
    if (item < chunks) break;
    item -= chunks;
  }
  u32 *out[MAX_TARGETS];
  size_t n = (size_t)1 << log, offset = item * n, stride = scratch_stride(job->ring);
  u32 *y = input->y + offset;
  for (u32 t = 0; t < c->targets; t++) out[t] = row_at(job->ring, input->out, input->plan->target_row[t]);
  quotient_row(c, y, stride, y + c->sources * stride, n);
  convert_chunk(c, out, offset, y, stride, n, offset + 2 * n <= job->ring->n ? n : 0, 0);
}

// The targets of every input in coefficient form, below 4p.
static void run_sources(const Ring *ring, const Input *inputs, u32 count, int alike) {
  InputJob job = {ring, inputs, count, alike};
  u32 sources = 0, chunks = 0;
  for (u32 i = 0; i < count; i++) {
    const Conversion *c = &inputs[i].plan->conversion;
    u32 log = ring->log_n < chunk_log(c) ? ring->log_n : chunk_log(c);
    sources += c->targets ? c->sources : 0;
    chunks += c->targets ? 1u << (ring->log_n - log) : 0;
  }
  if (!sources) return;
  parallel(ring, sources, source_job, &job);
  parallel(ring, chunks, convert_job, &job);
}

static void target_job(u32 item, const void *context) {
  const InputJob *job = context;
  const Plan *plan = job->inputs[0].plan;
  const Conversion *c = &plan->conversion;
  size_t row_bytes = 4 * (size_t)job->ring->n;
  for (u32 i = 0; i < job->count; i++) {
    const Input *input = &job->inputs[i];
    if (item >= c->targets) {
      u32 copy = item - c->targets;
      const u32 *source = row_of(job->ring, input->x, plan->copy_from[copy]);
      __builtin_memcpy(row_at(job->ring, input->out, plan->copy_to[copy]), source, row_bytes);
      continue;
    }
    const Prime *p = c->target[item];
    u32 *o = row_at(job->ring, input->out, plan->target_row[item]);
    if (c->sources) ntt_row(job->ring, p, o);
    else __builtin_memset(o, 0, row_bytes);
    if (plan->kept_row[item] == NO_ROW) continue;
    const u32 *kept = row_of(job->ring, input->x, plan->kept_row[item]);
    mul_const_add_row(o, kept, job->ring->n, plan->factor[item], plan->quotient[item], p->q);
  }
}

#define MAX_INPUTS 16

// Rows of scratch for `count` polynomials.
EXPORT u32 sotto_plan_rows(const Ring *ring, const Plan *plan, u32 count) {
  return (u32)((count * source_words(ring, plan) + ring->n - 1) / ring->n);
}

// `list`: out and x of each of `count` polynomials. `scratch`: sotto_plan_rows rows.
EXPORT void sotto_run_plan(const Ring *ring, const Plan *plan, const u64 *list, u32 count, u32 *scratch) {
  Input inputs[MAX_INPUTS];
  for (u32 i = 0; i < count; i++)
    inputs[i] = (Input){plan, address(list, 2 * i + 1), address(list, 2 * i), scratch + i * source_words(ring, plan)};
  run_sources(ring, inputs, count, 1);
  InputJob job = {ring, inputs, count, 1};
  parallel(ring, plan->conversion.targets + plan->kept, target_job, &job);
}
