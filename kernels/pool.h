// Threads that run the items of one parallel region at a time. The caller takes part.
//
// `ticket` holds the number of the region and the next item in one word, so that a thread that comes late can never take an
// item of a region whose job it has not seen. Waiting spins for a while, because kernels follow each other within
// microseconds, then sleeps.
#pragma once
#include "ring.h"

#if defined(__wasm__) && !defined(__wasm_atomics__)

static void parallel(const Ring *ring, u32 items, Job job, const void *context) {
  (void)ring;
  for (u32 i = 0; i < items; i++) job(i, context);
}

#else

struct Pool {
  u64 ticket;  // region << 32 | next item
  u32 items, done, workers, stop;
  u32 wake;    // bumped when a region opens
  u32 sleepers, caller_sleeps;
  Job job;
  const void *context;
#if !defined(__wasm__)
  void *threads;
#endif
};

#define SPINS 4000
// Below this degree waking a thread costs as much as the work.
#define LEAST_PARALLEL_LOG_N 12
#define CLOSED 0xffffffffu

#if defined(__wasm__)
static void sleep_while(u32 *word, u32 value) { __builtin_wasm_memory_atomic_wait32((int *)word, (int)value, -1); }
static void wake_all(u32 *word) { __builtin_wasm_memory_atomic_notify((int *)word, 0xffffffffu); }
INLINE void pause_cpu(void) {}
#else
#include <pthread.h>
#include <stdlib.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>
static void sleep_while(u32 *word, u32 value) { syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, 0, 0, 0); }
static void wake_all(u32 *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, 1 << 30, 0, 0, 0); }
#else
static pthread_mutex_t sleep_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t sleep_signal = PTHREAD_COND_INITIALIZER;
static void sleep_while(u32 *word, u32 value) {
  pthread_mutex_lock(&sleep_lock);
  while (__atomic_load_n(word, __ATOMIC_SEQ_CST) == value) pthread_cond_wait(&sleep_signal, &sleep_lock);
  pthread_mutex_unlock(&sleep_lock);
}
static void wake_all(u32 *word) {
  (void)word;
  pthread_mutex_lock(&sleep_lock);
  pthread_cond_broadcast(&sleep_signal);
  pthread_mutex_unlock(&sleep_lock);
}
#endif
#if defined(__x86_64__)
INLINE void pause_cpu(void) { __builtin_ia32_pause(); }
#else
INLINE void pause_cpu(void) {}
#endif
#endif

// Takes items until the region has none left.
static void drain(Pool *pool) {
  u64 ticket = __atomic_load_n(&pool->ticket, __ATOMIC_ACQUIRE);
  for (;;) {
    u32 item = (u32)ticket;
    if (item == CLOSED || item >= __atomic_load_n(&pool->items, __ATOMIC_RELAXED)) return;
    // These may already belong to the next region; then the ticket has changed and the exchange fails.
    Job job = __atomic_load_n(&pool->job, __ATOMIC_RELAXED);
    const void *context = __atomic_load_n(&pool->context, __ATOMIC_RELAXED);
    if (!__atomic_compare_exchange_n(&pool->ticket, &ticket, ticket + 1, 0, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) continue;
    job(item, context);
    __atomic_add_fetch(&pool->done, 1, __ATOMIC_SEQ_CST);
    if (__atomic_load_n(&pool->caller_sleeps, __ATOMIC_SEQ_CST)) wake_all(&pool->done);
    ticket = __atomic_load_n(&pool->ticket, __ATOMIC_ACQUIRE);
  }
}

static void work(Pool *pool) {
  u32 seen = 0;
  for (;;) {
    for (u32 spins = 0; __atomic_load_n(&pool->wake, __ATOMIC_ACQUIRE) == seen;) {
      if (++spins < SPINS) {
        pause_cpu();
        continue;
      }
      __atomic_add_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
      sleep_while(&pool->wake, seen);
      __atomic_sub_fetch(&pool->sleepers, 1, __ATOMIC_SEQ_CST);
    }
    seen = __atomic_load_n(&pool->wake, __ATOMIC_ACQUIRE);
    if (__atomic_load_n(&pool->stop, __ATOMIC_ACQUIRE)) return;
    drain(pool);
  }
}

static void parallel(const Ring *ring, u32 items, Job job, const void *context) {
  Pool *pool = ring->pool;
  if (!pool || __atomic_load_n(&pool->workers, __ATOMIC_RELAXED) == 0 || items < 2 || ring->log_n < LEAST_PARALLEL_LOG_N) {
    for (u32 i = 0; i < items; i++) job(i, context);
    return;
  }
  u64 region = (__atomic_load_n(&pool->ticket, __ATOMIC_RELAXED) >> 32) + 1;
  __atomic_store_n(&pool->ticket, region << 32 | CLOSED, __ATOMIC_SEQ_CST);
  __atomic_store_n(&pool->job, job, __ATOMIC_RELAXED);
  __atomic_store_n(&pool->context, context, __ATOMIC_RELAXED);
  __atomic_store_n(&pool->items, items, __ATOMIC_RELAXED);
  __atomic_store_n(&pool->done, 0, __ATOMIC_RELAXED);
  __atomic_store_n(&pool->ticket, (region + 1) << 32, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&pool->wake, 1, __ATOMIC_SEQ_CST);
  if (__atomic_load_n(&pool->sleepers, __ATOMIC_SEQ_CST)) wake_all(&pool->wake);
  drain(pool);
  for (u32 spins = 0;;) {
    u32 done = __atomic_load_n(&pool->done, __ATOMIC_ACQUIRE);
    if (done == items) return;
    if (++spins < SPINS) {
      pause_cpu();
      continue;
    }
    __atomic_store_n(&pool->caller_sleeps, 1, __ATOMIC_SEQ_CST);
    sleep_while(&pool->done, done);
    __atomic_store_n(&pool->caller_sleeps, 0, __ATOMIC_SEQ_CST);
  }
}

#if defined(__wasm__)
// `pool` is zeroed memory. A worker joins by calling this and returns after sotto_pool_stop.
EXPORT void sotto_pool_work(Pool *pool) {
  __atomic_add_fetch(&pool->workers, 1, __ATOMIC_SEQ_CST);
  work(pool);
}

EXPORT u32 sotto_pool_bytes(void) { return sizeof(Pool); }

EXPORT void sotto_pool_stop(Pool *pool) {
  __atomic_store_n(&pool->stop, 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&pool->wake, 1, __ATOMIC_SEQ_CST);
  wake_all(&pool->wake);
}
#else
static void *thread_main(void *pool) {
  work(pool);
  return 0;
}

// A pool of `threads` threads, the caller included; fewer when the system gives fewer (see sotto_pool_threads).
EXPORT Pool *sotto_pool_create(u32 threads) {
  Pool *pool = calloc(1, sizeof(Pool));
  if (!pool) return 0;
  pthread_t *handles = calloc(threads ? threads : 1, sizeof(pthread_t));
  pool->threads = handles;
  while (handles && pool->workers + 1 < threads) {
    if (pthread_create(&handles[pool->workers], 0, thread_main, pool)) break;
    pool->workers++;
  }
  return pool;
}

EXPORT u32 sotto_pool_threads(const Pool *pool) { return pool->workers + 1; }

EXPORT void sotto_pool_destroy(Pool *pool) {
  __atomic_store_n(&pool->stop, 1, __ATOMIC_SEQ_CST);
  __atomic_add_fetch(&pool->wake, 1, __ATOMIC_SEQ_CST);
  wake_all(&pool->wake);
  for (u32 i = 0; i < pool->workers; i++) pthread_join(((pthread_t *)pool->threads)[i], 0);
  free(pool->threads);
  free(pool);
}
#endif
#endif
