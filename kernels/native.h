// What a process needs besides kernels: memory from the system and copies across the language border.
#pragma once
#include <string.h>
#if defined(_WIN32)
EXPORT void *sotto_reserve(u64 size) { (void)size; return 0; }
EXPORT void sotto_release(void *at, u64 size) { (void)at, (void)size; }
EXPORT u32 sotto_store_map(u32 file, void *at, u64 offset, u64 size) { (void)file, (void)at, (void)offset, (void)size; return 0; }
EXPORT void sotto_store_unmap(u32 file, void *at, u64 offset, u64 size) { (void)file, (void)at, (void)offset, (void)size; }
#else
#if defined(__linux__)
#include <fcntl.h>
#include <linux/falloc.h>
int fallocate(int file, int mode, off_t offset, off_t size);
#endif
#include <sys/mman.h>

#define HUGE_PAGE ((u64)2 << 20)
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

// Address space that becomes memory when touched, 2 MiB aligned, in huge pages where the system has them; 0 on failure.
// `size` is a multiple of 2 MiB.
EXPORT void *sotto_reserve(u64 size) {
  char *at = mmap(0, size + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (at == MAP_FAILED) return 0;
  char *start = (char *)(((uintptr_t)at + HUGE_PAGE - 1) & ~(uintptr_t)(HUGE_PAGE - 1));
  if (start > at) munmap(at, (size_t)(start - at));
  if (start < at + HUGE_PAGE) munmap(start + size, (size_t)(at + HUGE_PAGE - start));
#if defined(MADV_HUGEPAGE)
  madvise(start, size, MADV_HUGEPAGE);
#endif
  return start;
}

EXPORT void sotto_release(void *at, u64 size) { munmap(at, size); }

// Puts part of a file in place of memory, so that the system can write it out and read it again. Its blocks are reserved first:
// a full disk shows here and not at a later write. 0 on failure. All sizes are multiples of the page.
EXPORT u32 sotto_store_map(u32 file, void *at, u64 offset, u64 size) {
#if defined(__linux__)
  if (fallocate((int)file, 0, (off_t)offset, (off_t)size) != 0) return 0;
  return mmap(at, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, (int)file, (off_t)offset) != MAP_FAILED;
#else
  (void)file, (void)at, (void)offset, (void)size;
  return 0;
#endif
}

// Memory again where the file was; the file's blocks are given back.
EXPORT void sotto_store_unmap(u32 file, void *at, u64 offset, u64 size) {
  mmap(at, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
#if defined(__linux__)
  fallocate((int)file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)size);
#else
  (void)file, (void)offset;
#endif
}
#endif

EXPORT void sotto_bytes_copy(void *to, const void *from, u64 size) { memcpy(to, from, size); }

// The best library this processor runs: 0 portable, 2 avx2, 3 avx512.
EXPORT u32 sotto_best_isa(void) {
#if defined(__x86_64__)
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
      __builtin_cpu_supports("avx512vl"))
    return 3;
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return 2;
#endif
  return 0;
}
