// Vectors of 32-bit words: 16 lanes (AVX-512), 8 (AVX2), 4 (WebAssembly SIMD128, and GCC vectors for every other machine).
#pragma once
#include <stddef.h>
#include <stdint.h>

typedef uint32_t u32;
typedef uint64_t u64;
typedef int64_t i64;

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 16")

#if defined(__wasm__)
#define PREFETCH(at) (void)(at)
#else
#define PREFETCH(at) __builtin_prefetch(at, 0, 2)
#endif

#if defined(__AVX512F__) && !defined(SOTTO_PORTABLE)
#include <immintrin.h>
#define SOTTO_ISA 3
#define LOG_LANES 4
typedef __m512i V;
INLINE V v_load(const void *p) { return _mm512_loadu_si512(p); }
INLINE void v_store(void *p, V a) { _mm512_storeu_si512(p, a); }
INLINE V v_set(u32 a) { return _mm512_set1_epi32((int)a); }
INLINE V v_add(V a, V b) { return _mm512_add_epi32(a, b); }
INLINE V v_sub(V a, V b) { return _mm512_sub_epi32(a, b); }
INLINE V v_min(V a, V b) { return _mm512_min_epu32(a, b); }
INLINE V v_mul(V a, V b) { return _mm512_mullo_epi32(a, b); }
INLINE V v_xor(V a, V b) { return _mm512_xor_si512(a, b); }
INLINE V v_and(V a, V b) { return _mm512_and_si512(a, b); }
#define v_rotl(a, bits) _mm512_rol_epi32(a, bits)
INLINE V v_shift_left(V a, u32 bits) { return _mm512_sll_epi32(a, _mm_cvtsi32_si128((int)bits)); }
INLINE V v_shift_right(V a, u32 bits) { return _mm512_srl_epi32(a, _mm_cvtsi32_si128((int)bits)); }
INLINE V v_add_64(V a, V b) { return _mm512_add_epi64(a, b); }
INLINE V v_mul_even(V a, V b) { return _mm512_mul_epu32(a, b); }
INLINE V v_odd(V a) { return _mm512_srli_epi64(a, 32); }
INLINE V v_high_words(V even, V odd) { return _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_DDBB); }
INLINE V v_permute_lanes(V a, V index) { return _mm512_permutexvar_epi32(index, a); }
// Stores the lanes of x that are below those of limit, in order, and garbage after them; returns how many.
#define V_STORE_LESS
INLINE u32 v_store_less(void *at, V x, V limit) {
  __mmask16 keep = _mm512_cmplt_epu32_mask(x, limit);
  v_store(at, _mm512_maskz_compress_epi32(keep, x));
  return (u32)__builtin_popcount(keep);
}

#elif defined(__AVX2__) && !defined(SOTTO_PORTABLE)
#include <immintrin.h>
#define SOTTO_ISA 2
#define LOG_LANES 3
typedef __m256i V;
INLINE V v_load(const void *p) { return _mm256_loadu_si256((const V *)p); }
INLINE void v_store(void *p, V a) { _mm256_storeu_si256((V *)p, a); }
INLINE V v_set(u32 a) { return _mm256_set1_epi32((int)a); }
INLINE V v_add(V a, V b) { return _mm256_add_epi32(a, b); }
INLINE V v_sub(V a, V b) { return _mm256_sub_epi32(a, b); }
INLINE V v_min(V a, V b) { return _mm256_min_epu32(a, b); }
INLINE V v_mul(V a, V b) { return _mm256_mullo_epi32(a, b); }
INLINE V v_xor(V a, V b) { return _mm256_xor_si256(a, b); }
INLINE V v_and(V a, V b) { return _mm256_and_si256(a, b); }
#define v_rotl(a, bits) _mm256_or_si256(_mm256_slli_epi32(a, bits), _mm256_srli_epi32(a, 32 - (bits)))
INLINE V v_shift_left(V a, u32 bits) { return _mm256_sll_epi32(a, _mm_cvtsi32_si128((int)bits)); }
INLINE V v_shift_right(V a, u32 bits) { return _mm256_srl_epi32(a, _mm_cvtsi32_si128((int)bits)); }
INLINE V v_add_64(V a, V b) { return _mm256_add_epi64(a, b); }
INLINE V v_mul_even(V a, V b) { return _mm256_mul_epu32(a, b); }
INLINE V v_odd(V a) { return _mm256_srli_epi64(a, 32); }
INLINE V v_high_words(V even, V odd) { return _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA); }
INLINE V v_permute_lanes(V a, V index) { return _mm256_permutevar8x32_epi32(a, index); }
// Whether every lane of a is below the same lane of b.
INLINE int v_all_less(V a, V b) {
  return _mm256_testz_si256(_mm256_cmpeq_epi32(_mm256_max_epu32(a, b), a), _mm256_set1_epi32(-1));
}

#elif defined(__wasm_simd128__)
#include <wasm_simd128.h>
#define SOTTO_ISA 1
#define LOG_LANES 2
typedef v128_t V;
INLINE V v_load(const void *p) { return wasm_v128_load(p); }
INLINE void v_store(void *p, V a) { wasm_v128_store(p, a); }
INLINE V v_set(u32 a) { return wasm_i32x4_splat((int)a); }
INLINE V v_add(V a, V b) { return wasm_i32x4_add(a, b); }
INLINE V v_sub(V a, V b) { return wasm_i32x4_sub(a, b); }
INLINE V v_min(V a, V b) { return wasm_u32x4_min(a, b); }
INLINE V v_mul(V a, V b) { return wasm_i32x4_mul(a, b); }
INLINE V v_xor(V a, V b) { return wasm_v128_xor(a, b); }
INLINE V v_and(V a, V b) { return wasm_v128_and(a, b); }
#define v_rotl(a, bits) wasm_v128_or(wasm_i32x4_shl(a, bits), wasm_u32x4_shr(a, 32 - (bits)))
INLINE V v_shift_left(V a, u32 bits) { return wasm_i32x4_shl(a, bits); }
INLINE V v_shift_right(V a, u32 bits) { return wasm_u32x4_shr(a, bits); }
INLINE V v_add_64(V a, V b) { return wasm_i64x2_add(a, b); }
INLINE V v_mul_low_half(V a, V b) { return wasm_u64x2_extmul_low_u32x4(a, b); }
INLINE V v_mul_high_half(V a, V b) { return wasm_u64x2_extmul_high_u32x4(a, b); }
INLINE V v_high_words(V low, V high) { return wasm_i32x4_shuffle(low, high, 1, 3, 5, 7); }
INLINE V v_low_words(V low, V high) { return wasm_i32x4_shuffle(low, high, 0, 2, 4, 6); }
INLINE int v_all_less(V a, V b) { return wasm_i32x4_all_true(wasm_u32x4_lt(a, b)); }

#else
#define SOTTO_ISA 0
#define LOG_LANES 2
typedef u32 V __attribute__((vector_size(16)));
typedef u64 V64 __attribute__((vector_size(16)));
#ifndef __has_builtin
#define __has_builtin(name) 0
#endif
INLINE V v_load(const void *p) { V a; __builtin_memcpy(&a, p, 16); return a; }
INLINE void v_store(void *p, V a) { __builtin_memcpy(p, &a, 16); }
INLINE V v_set(u32 a) { return (V){a, a, a, a}; }
INLINE V v_add(V a, V b) { return a + b; }
INLINE V v_sub(V a, V b) { return a - b; }
INLINE V v_min(V a, V b) { V less = (V)(a < b); return (a & less) | (b & ~less); }
INLINE V v_mul(V a, V b) { return a * b; }
INLINE V v_xor(V a, V b) { return a ^ b; }
INLINE V v_and(V a, V b) { return a & b; }
#define v_rotl(a, bits) (((a) << (bits)) | ((a) >> (32 - (bits))))
INLINE V v_shift_left(V a, u32 bits) { return a << bits; }
INLINE V v_shift_right(V a, u32 bits) { return a >> bits; }
INLINE V v_add_64(V a, V b) { return (V)((V64)a + (V64)b); }
#if __has_builtin(__builtin_shufflevector) && __has_builtin(__builtin_convertvector)
// Forms that compilers turn into a widening multiplication and an unzip (umull, uzp on ARM).
#define WIDEN(a, i, j) __builtin_convertvector(__builtin_shufflevector(a, a, i, j), V64)
INLINE V v_mul_low_half(V a, V b) { return (V)(WIDEN(a, 0, 1) * WIDEN(b, 0, 1)); }
INLINE V v_mul_high_half(V a, V b) { return (V)(WIDEN(a, 2, 3) * WIDEN(b, 2, 3)); }
INLINE V v_high_words(V low, V high) { return __builtin_shufflevector(low, high, 1, 3, 5, 7); }
INLINE V v_low_words(V low, V high) { return __builtin_shufflevector(low, high, 0, 2, 4, 6); }
#else
INLINE V v_mul_low_half(V a, V b) { return (V)((V64){a[0], a[1]} * (V64){b[0], b[1]}); }
INLINE V v_mul_high_half(V a, V b) { return (V)((V64){a[2], a[3]} * (V64){b[2], b[3]}); }
INLINE V v_high_words(V low, V high) { return (V){low[1], low[3], high[1], high[3]}; }
INLINE V v_low_words(V low, V high) { return (V){low[0], low[2], high[0], high[2]}; }
#endif
INLINE int v_all_less(V a, V b) { return a[0] < b[0] && a[1] < b[1] && a[2] < b[2] && a[3] < b[3]; }
#endif

#define LANES (1 << LOG_LANES)

// 64-bit products of all lanes, in two vectors: even and odd lanes on x86, lower and upper half elsewhere.
typedef struct { V a, b; } Wide;

INLINE V v_high(Wide p) { return v_high_words(p.a, p.b); }
INLINE Wide wide_add(Wide x, Wide y) { return (Wide){v_add_64(x.a, y.a), v_add_64(x.b, y.b)}; }
INLINE Wide wide_zero(void) { return (Wide){v_set(0), v_set(0)}; }

#if LOG_LANES > 2
INLINE Wide v_mul_wide(V a, V b) { return (Wide){v_mul_even(a, b), v_mul_even(v_odd(a), v_odd(b))}; }
// As v_mul_wide for a factor whose lanes are all equal.
INLINE Wide v_mul_wide_by(V a, V same) { return (Wide){v_mul_even(a, same), v_mul_even(v_odd(a), same)}; }
#else
INLINE Wide v_mul_wide(V a, V b) { return (Wide){v_mul_low_half(a, b), v_mul_high_half(a, b)}; }
INLINE Wide v_mul_wide_by(V a, V same) { return v_mul_wide(a, same); }
#endif

// A vector of equal lanes kept in memory. LLVM recognises a WebAssembly extended multiplication by a splat and replaces it by
// a full 64-bit multiplication, twice as slow; reading the splat through a pointer it cannot see through prevents that.
#if defined(__wasm__)
INLINE V v_opaque(const V *at) {
  __asm__("" : "+r"(at));
  return *at;
}
// As v_set(*at), likewise unrecognisable.
INLINE V v_splat(const u32 *at) {
  return wasm_i8x16_swizzle(wasm_v128_load32_zero(at), wasm_u32x4_const_splat(0x03020100));
}
#else
INLINE V v_opaque(const V *at) { return *at; }
INLINE V v_splat(const u32 *at) { return v_set(*at); }
#endif

// Transposes LANES vectors in registers.
#if LOG_LANES == 4
INLINE void v_transpose(V *r) {
  V s[16];
  UNROLL for (int i = 0; i < 16; i += 4) {
    V a = _mm512_unpacklo_epi32(r[i], r[i + 1]), b = _mm512_unpackhi_epi32(r[i], r[i + 1]);
    V c = _mm512_unpacklo_epi32(r[i + 2], r[i + 3]), d = _mm512_unpackhi_epi32(r[i + 2], r[i + 3]);
    s[i] = _mm512_unpacklo_epi64(a, c);
    s[i + 1] = _mm512_unpackhi_epi64(a, c);
    s[i + 2] = _mm512_unpacklo_epi64(b, d);
    s[i + 3] = _mm512_unpackhi_epi64(b, d);
  }
  UNROLL for (int i = 0; i < 4; i++) {
    V a = _mm512_shuffle_i32x4(s[i], s[i + 4], 0x88), b = _mm512_shuffle_i32x4(s[i + 8], s[i + 12], 0x88);
    V c = _mm512_shuffle_i32x4(s[i], s[i + 4], 0xDD), d = _mm512_shuffle_i32x4(s[i + 8], s[i + 12], 0xDD);
    r[i] = _mm512_shuffle_i32x4(a, b, 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(a, b, 0xDD);
    r[i + 4] = _mm512_shuffle_i32x4(c, d, 0x88);
    r[i + 12] = _mm512_shuffle_i32x4(c, d, 0xDD);
  }
}
#elif LOG_LANES == 3
INLINE void v_transpose(V *r) {
  V s[8];
  UNROLL for (int i = 0; i < 8; i += 4) {
    V a = _mm256_unpacklo_epi32(r[i], r[i + 1]), b = _mm256_unpackhi_epi32(r[i], r[i + 1]);
    V c = _mm256_unpacklo_epi32(r[i + 2], r[i + 3]), d = _mm256_unpackhi_epi32(r[i + 2], r[i + 3]);
    s[i] = _mm256_unpacklo_epi64(a, c);
    s[i + 1] = _mm256_unpackhi_epi64(a, c);
    s[i + 2] = _mm256_unpacklo_epi64(b, d);
    s[i + 3] = _mm256_unpackhi_epi64(b, d);
  }
  UNROLL for (int i = 0; i < 4; i++) {
    r[i] = _mm256_permute2x128_si256(s[i], s[i + 4], 0x20);
    r[i + 4] = _mm256_permute2x128_si256(s[i], s[i + 4], 0x31);
  }
}
#elif defined(__wasm_simd128__)
INLINE void v_transpose(V *r) {
  V a = wasm_i32x4_shuffle(r[0], r[1], 0, 4, 1, 5), b = wasm_i32x4_shuffle(r[0], r[1], 2, 6, 3, 7);
  V c = wasm_i32x4_shuffle(r[2], r[3], 0, 4, 1, 5), d = wasm_i32x4_shuffle(r[2], r[3], 2, 6, 3, 7);
  r[0] = wasm_i64x2_shuffle(a, c, 0, 2);
  r[1] = wasm_i64x2_shuffle(a, c, 1, 3);
  r[2] = wasm_i64x2_shuffle(b, d, 0, 2);
  r[3] = wasm_i64x2_shuffle(b, d, 1, 3);
}
#else
INLINE void v_transpose(V *r) {
  V a = r[0], b = r[1], c = r[2], d = r[3];
  for (int i = 0; i < 4; i++) r[i] = (V){a[i], b[i], c[i], d[i]};
}
#endif
