// Sums for sparse matrices on many right-hand sides, in double precision.
#include <wasm_simd128.h>

#define EXPORT __attribute__((visibility("default")))

typedef const double *restrict doubles;

static v128_t mul_add(v128_t sum, v128_t a, v128_t b) { return wasm_f64x2_add(sum, wasm_f64x2_mul(a, b)); }

// For each row i of weights: out[i][0][r] = sum_j re[j] x[inputs[j]][r] over j of the row, out[i][1][r] the same with im.
// `lanes` right-hand sides, a multiple of 8; starts[i] .. starts[i + 1] are the weights of a row.
EXPORT void sums(int rows, const int *starts, const int *inputs, doubles re, doubles im, doubles x, int lanes,
                 double *restrict out) {
  for (int i = 0; i < rows; i++) {
    for (int lane = 0; lane < lanes; lane += 8) {
      v128_t s[8];
      for (int k = 0; k < 8; k++) s[k] = wasm_f64x2_splat(0);
      for (int j = starts[i]; j < starts[i + 1]; j++) {
        const double *at = x + inputs[j] * lanes + lane;
        v128_t a = wasm_v128_load64_splat(re + j), b = wasm_v128_load64_splat(im + j);
#pragma clang loop unroll(full)
        for (int k = 0; k < 4; k++) {
          v128_t v = wasm_v128_load(at + 2 * k);
          s[k] = mul_add(s[k], a, v);
          s[4 + k] = mul_add(s[4 + k], b, v);
        }
      }
      double *to = out + 2 * i * lanes + lane;
      for (int k = 0; k < 4; k++) {
        wasm_v128_store(to + 2 * k, s[k]);
        wasm_v128_store(to + lanes + 2 * k, s[4 + k]);
      }
    }
  }
}
