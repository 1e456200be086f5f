// Products of many small matrices in float32: out[t] = a[t] b[t], row by row, with AVX2 and FMA.
//
// Blocks of 6 x 16 results stay in registers; columns beyond a multiple of 8 are masked. A second factor
// whose columns do not lie side by side is transposed once into scratch that stays in the cache.
#include <cstdint>
#include <immintrin.h>
#include <stdexcept>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>
#include <torch/csrc/stable/c/shim.h>
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

void check(AOTITorchError error) {
  if (error) throw std::runtime_error("phasediag::products: torch failed");
}

// A tensor that torch hands to an operator, which has to let go of it.
class Given {
 public:
  explicit Given(StableIValue value) : handle_(reinterpret_cast<AtenTensorHandle>(value)) {
    void* data;
    check(aoti_torch_get_data_ptr(handle_, &data));
    check(aoti_torch_get_sizes(handle_, &sizes));
    check(aoti_torch_get_strides(handle_, &strides));
    at = static_cast<const float*>(data);
  }
  Given(const Given&) = delete;
  ~Given() { aoti_torch_delete_tensor_object(handle_); }

  const float* at;
  int64_t *sizes, *strides;

 private:
  AtenTensorHandle handle_;
};

void all_products(const Given& a, const Given& b, float* out, uint32_t threads) {
  const int64_t batch = a.sizes[0], rows = a.sizes[1], depth = a.sizes[2], columns = b.sizes[2];
#pragma omp parallel num_threads(threads) if (threads > 1)
  {
    std::vector<float> scratch(b.strides[2] == 1 ? 0 : depth * columns);
#pragma omp for
    for (int64_t t = 0; t < batch; ++t) {
      Right right{b.at + t * b.strides[0], b.strides[1]};
      if (b.strides[2] != 1) {
        pack(right.at, b.strides, scratch.data(), depth, columns);
        right = {scratch.data(), columns};
      }
      Left left{a.at + t * a.strides[0], a.strides[1], a.strides[2]};
      product(left, right, out + t * rows * columns, rows, depth, columns);
    }
  }
}

void on_the_cpu(StableIValue* stack, uint64_t, uint64_t) {
  const Given a(stack[0]), b(stack[1]);
  const int64_t batch = a.sizes[0], rows = a.sizes[1], columns = b.sizes[2];
  const int64_t sizes[] = {batch, rows, columns}, strides[] = {rows * columns, columns, 1};
  AtenTensorHandle result;
  check(aoti_torch_empty_strided(3, sizes, strides, aoti_torch_dtype_float32(), aoti_torch_device_type_cpu(),
                                 /*device_index=*/-1, &result));
  void* out;
  uint32_t threads;
  check(aoti_torch_get_data_ptr(result, &out));
  check(torch_get_num_threads(&threads));
  all_products(a, b, static_cast<float*>(out), threads);
  stack[0] = reinterpret_cast<StableIValue>(result);
}

// Tells torch's dispatcher of the kernel when the library is loaded.
struct Registration {
  Registration() {
    check(aoti_torch_library_init_impl("phasediag", "CPU", __FILE__, __LINE__, &library));
    check(aoti_torch_library_impl(library, "products", on_the_cpu));
  }
  TorchLibraryHandle library;
} registration;

}  // namespace
