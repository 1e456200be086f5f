// Products of many small matrices in float32: out[t] = a[t] b[t], row by row, with AVX2 and FMA.
//
// Blocks of 6 x 16 results stay in registers; columns beyond a multiple of 8 are masked. A second factor
// whose columns do not lie side by side is transposed once into scratch that stays in the cache.
#include <cstdint>
#include <immintrin.h>
#include <vector>

namespace {

constexpr int64_t LANES = 8;

__m256i mask_of(int64_t columns) {
  alignas(32) int32_t lanes[LANES];
  for (int64_t i = 0; i < LANES; ++i) lanes[i] = i < columns ? -1 : 0;
  return _mm256_load_si256(reinterpret_cast<const __m256i*>(lanes));
}

template <bool MASKED>
inline __m256 load(const float* from, __m256i mask) {
  return MASKED ? _mm256_maskload_ps(from, mask) : _mm256_loadu_ps(from);
}

template <bool MASKED>
inline void store(float* to, __m256i mask, __m256 value) {
  if (MASKED) _mm256_maskstore_ps(to, mask, value);
  else _mm256_storeu_ps(to, value);
}

struct Left { const float* at; int64_t row, depth; };
struct Right { const float* at; int64_t depth; };

template <int ROWS, int VECTORS, bool MASKED>
inline void block(Left a, Right b, float* out, int64_t width, int64_t depth, __m256i mask) {
  __m256 sum[ROWS][VECTORS];
  for (int m = 0; m < ROWS; ++m)
    for (int n = 0; n < VECTORS; ++n) sum[m][n] = _mm256_setzero_ps();
  for (int64_t k = 0; k < depth; ++k) {
    __m256 right[VECTORS];
    for (int n = 0; n < VECTORS - 1; ++n) right[n] = _mm256_loadu_ps(b.at + k * b.depth + n * LANES);
    right[VECTORS - 1] = load<MASKED>(b.at + k * b.depth + (VECTORS - 1) * LANES, mask);
    for (int m = 0; m < ROWS; ++m) {
      __m256 left = _mm256_broadcast_ss(a.at + m * a.row + k * a.depth);
      for (int n = 0; n < VECTORS; ++n) sum[m][n] = _mm256_fmadd_ps(left, right[n], sum[m][n]);
    }
  }
  for (int m = 0; m < ROWS; ++m) {
    for (int n = 0; n < VECTORS - 1; ++n) _mm256_storeu_ps(out + m * width + n * LANES, sum[m][n]);
    store<MASKED>(out + m * width + (VECTORS - 1) * LANES, mask, sum[m][VECTORS - 1]);
  }
}

template <int VECTORS, bool MASKED>
inline void strip(Left a, Right b, float* out, int64_t width, int64_t rows, int64_t depth, __m256i mask) {
  int64_t m = 0;
  auto left = [&] { return Left{a.at + m * a.row, a.row, a.depth}; };
  for (; m + 6 <= rows; m += 6) block<6, VECTORS, MASKED>(left(), b, out + m * width, width, depth, mask);
  for (; m + 4 <= rows; m += 4) block<4, VECTORS, MASKED>(left(), b, out + m * width, width, depth, mask);
  for (; m + 2 <= rows; m += 2) block<2, VECTORS, MASKED>(left(), b, out + m * width, width, depth, mask);
  for (; m < rows; ++m) block<1, VECTORS, MASKED>(left(), b, out + m * width, width, depth, mask);
}

inline void transpose_8(const float* from, int64_t column, float* to, int64_t row) {
  __m256 r[8], t[8];
  for (int i = 0; i < 8; ++i) r[i] = _mm256_loadu_ps(from + i * column);
  for (int i = 0; i < 4; ++i) {
    t[2 * i] = _mm256_unpacklo_ps(r[2 * i], r[2 * i + 1]);
    t[2 * i + 1] = _mm256_unpackhi_ps(r[2 * i], r[2 * i + 1]);
  }
  for (int i = 0; i < 2; ++i) {
    r[4 * i] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0x44);
    r[4 * i + 1] = _mm256_shuffle_ps(t[4 * i], t[4 * i + 2], 0xEE);
    r[4 * i + 2] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0x44);
    r[4 * i + 3] = _mm256_shuffle_ps(t[4 * i + 1], t[4 * i + 3], 0xEE);
  }
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * row, _mm256_permute2f128_ps(r[i], r[i + 4], 0x31));
  }
}

void pack(const float* b, const int64_t* stride, float* to, int64_t depth, int64_t columns) {
  int64_t n = 0;
  if (stride[1] == 1)
    for (; n + 8 <= columns; n += 8) {
      int64_t k = 0;
      for (; k + 8 <= depth; k += 8) transpose_8(b + n * stride[2] + k, stride[2], to + k * columns + n, columns);
      for (; k < depth; ++k)
        for (int j = 0; j < 8; ++j) to[k * columns + n + j] = b[(n + j) * stride[2] + k];
    }
  for (; n < columns; ++n)
    for (int64_t k = 0; k < depth; ++k) to[k * columns + n] = b[k * stride[1] + n * stride[2]];
}

void product(Left a, Right b, float* out, int64_t rows, int64_t depth, int64_t columns) {
  int64_t n = 0;
  auto right = [&] { return Right{b.at + n, b.depth}; };
  const __m256i all = mask_of(LANES);
  for (; n + 16 <= columns; n += 16) strip<2, false>(a, right(), out + n, columns, rows, depth, all);
  const int64_t left = columns - n;
  if (left > 8) strip<2, true>(a, right(), out + n, columns, rows, depth, mask_of(left - 8));
  else if (left == 8) strip<1, false>(a, right(), out + n, columns, rows, depth, all);
  else if (left > 0) strip<1, true>(a, right(), out + n, columns, rows, depth, mask_of(left));
}

}  // namespace

extern "C" void products(const int64_t* sizes, const float* a, const int64_t* a_stride, const float* b,
                         const int64_t* b_stride, float* out, int64_t threads) {
  const int64_t batch = sizes[0], rows = sizes[1], depth = sizes[2], columns = sizes[3];
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    std::vector<float> scratch(b_stride[2] == 1 ? 0 : depth * columns);
#pragma omp for
    for (int64_t t = 0; t < batch; ++t) {
      Right right{b + t * b_stride[0], b_stride[1]};
      if (b_stride[2] != 1) {
        pack(right.at, b_stride, scratch.data(), depth, columns);
        right = {scratch.data(), columns};
      }
      Left left{a + t * a_stride[0], a_stride[1], a_stride[2]};
      product(left, right, out + t * rows * columns, rows, depth, columns);
    }
  }
}
