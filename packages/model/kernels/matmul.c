// Float32 matrix products for the clear model. Sums run in sixteen lanes, so that rounding stays near 2^-22 of the sum of magnitudes.
#include <wasm_simd128.h>

#define EXPORT __attribute__((visibility("default")))

typedef const float *restrict floats;

static float sum4(v128_t a, v128_t b, v128_t c, v128_t d) {
  v128_t s = wasm_f32x4_add(wasm_f32x4_add(a, b), wasm_f32x4_add(c, d));
  return (wasm_f32x4_extract_lane(s, 0) + wasm_f32x4_extract_lane(s, 1)) +
         (wasm_f32x4_extract_lane(s, 2) + wasm_f32x4_extract_lane(s, 3));
}

static v128_t mul_add(v128_t sum, v128_t a, v128_t b) { return wasm_f32x4_add(sum, wasm_f32x4_mul(a, b)); }

static float dot(floats w, floats x, int n) {
  v128_t a = wasm_f32x4_splat(0), b = a, c = a, d = a;
  int j = 0;
  for (; j + 16 <= n; j += 16) {
    a = mul_add(a, wasm_v128_load(w + j), wasm_v128_load(x + j));
    b = mul_add(b, wasm_v128_load(w + j + 4), wasm_v128_load(x + j + 4));
    c = mul_add(c, wasm_v128_load(w + j + 8), wasm_v128_load(x + j + 8));
    d = mul_add(d, wasm_v128_load(w + j + 12), wasm_v128_load(x + j + 12));
  }
  float sum = sum4(a, b, c, d);
  for (; j < n; j++) sum += w[j] * x[j];
  return sum;
}

// Four rows of x against two rows of w: each weight is loaded once for four rows.
static void tile(floats w0, floats w1, floats x, int n, float *restrict y, int stride) {
  v128_t s[8];
  for (int k = 0; k < 8; k++) s[k] = wasm_f32x4_splat(0);
  int j = 0;
  for (; j + 4 <= n; j += 4) {
    v128_t a = wasm_v128_load(w0 + j), b = wasm_v128_load(w1 + j);
#pragma clang loop unroll(full)
    for (int r = 0; r < 4; r++) {
      v128_t v = wasm_v128_load(x + r * n + j);
      s[2 * r] = mul_add(s[2 * r], a, v);
      s[2 * r + 1] = mul_add(s[2 * r + 1], b, v);
    }
  }
  v128_t zero = wasm_f32x4_splat(0);
  for (int r = 0; r < 4; r++) {
    float a = sum4(s[2 * r], zero, zero, zero), b = sum4(s[2 * r + 1], zero, zero, zero);
    for (int k = j; k < n; k++) {
      a += w0[k] * x[r * n + k];
      b += w1[k] * x[r * n + k];
    }
    y[r * stride] = a;
    y[r * stride + 1] = b;
  }
}

// y[r][i] = sum_j w[i][j] x[r][j] for rows r, outputs i, inputs j; all row-major and dense.
EXPORT void matmul(floats w, floats x, float *restrict y, int outputs, int inputs, int rows) {
  int r = 0;
  for (; r + 4 <= rows; r += 4) {
    int i = 0;
    for (; i + 2 <= outputs; i += 2)
      tile(w + i * inputs, w + (i + 1) * inputs, x + r * inputs, inputs, y + r * outputs + i, outputs);
    for (; i < outputs; i++)
      for (int k = r; k < r + 4; k++) y[k * outputs + i] = dot(w + i * inputs, x + k * inputs, inputs);
  }
  for (; r < rows; r++)
    for (int i = 0; i < outputs; i++) y[r * outputs + i] = dot(w + i * inputs, x + r * inputs, inputs);
}
