// Products of many small matrices in float32: out[t] = a[t] b[t], row by row, with AVX2 and FMA; as they
// are, or, while a product is still in the cache, its tanh, its product with the derivative of tanh, or the
// weights that it is the gradient of after a step.
//
// TANH_BOUND, TANH_ABOVE and TANH_BELOW come from elementary.py.
// Blocks of 6 x 16 results stay in registers; columns beyond a multiple of 8 are masked. A second factor
// whose columns do not lie side by side is transposed once into scratch that stays in the cache.
#include <algorithm>
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

// The fewest blocks of at most 6 rows, as equal as can be: one of 2 rows takes as long as one of 4.
template <int VECTORS, bool MASKED>
inline void strip(Left a, Right b, float* out, int64_t width, int64_t rows, int64_t depth, __m256i mask) {
  const int64_t blocks = (rows + 5) / 6;
  for (int64_t i = 0, m = 0; i < blocks; ++i) {
    const Left left{a.at + m * a.row, a.row, a.depth};
    float* const to = out + m * width;
    const int64_t count = (rows + i) / blocks;
    switch (count) {
      case 6: block<6, VECTORS, MASKED>(left, b, to, width, depth, mask); break;
      case 5: block<5, VECTORS, MASKED>(left, b, to, width, depth, mask); break;
      case 4: block<4, VECTORS, MASKED>(left, b, to, width, depth, mask); break;
      case 3: block<3, VECTORS, MASKED>(left, b, to, width, depth, mask); break;
      case 2: block<2, VECTORS, MASKED>(left, b, to, width, depth, mask); break;
      default: block<1, VECTORS, MASKED>(left, b, to, width, depth, mask);
    }
    m += count;
  }
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

template <int64_t SIZE>
inline __m256 polynomial(__m256 x, const float (&coefficients)[SIZE]) {
  __m256 value = _mm256_set1_ps(coefficients[SIZE - 1]);
  for (int64_t i = SIZE - 2; i >= 0; --i) value = _mm256_fmadd_ps(value, x, _mm256_set1_ps(coefficients[i]));
  return value;
}

// Of a NaN, min and max give their second operand.
inline __m256 clamped(__m256 x, float bound) {
  return _mm256_max_ps(_mm256_set1_ps(-bound), _mm256_min_ps(_mm256_set1_ps(bound), x));
}

inline __m256 tanh_of(__m256 x) {
  x = clamped(x, TANH_BOUND);
  const __m256 square = _mm256_mul_ps(x, x);
  const __m256 above = _mm256_mul_ps(x, polynomial(square, TANH_ABOVE));
  return clamped(_mm256_div_ps(above, polynomial(square, TANH_BELOW)), 1.0f);
}

// 1 - y² for y = tanh(x)
inline __m256 slope_of(__m256 y) { return _mm256_fnmadd_ps(y, y, _mm256_set1_ps(1.0f)); }

template <class Function>
inline void in_place(float* at, const float* other, int64_t count, Function function) {
  int64_t i = 0;
  for (; i + LANES <= count; i += LANES)
    _mm256_storeu_ps(at + i, function(_mm256_loadu_ps(at + i), _mm256_loadu_ps(other + i)));
  if (i == count) return;
  const __m256i rest = mask_of(count - i);
  const __m256 value = function(_mm256_maskload_ps(at + i, rest), _mm256_maskload_ps(other + i, rest));
  _mm256_maskstore_ps(at + i, rest, value);
}

void check(bool fine) {
  if (!fine) throw std::runtime_error("phasediag::products: a tensor that it does not take");
}

// A tensor that torch hands to an operator, which has to let go of it.
class Given {
 public:
  explicit Given(StableIValue value) : handle_(reinterpret_cast<AtenTensorHandle>(value)) {
    void* data;
    check(!aoti_torch_get_data_ptr(handle_, &data));
    check(!aoti_torch_get_sizes(handle_, &sizes));
    check(!aoti_torch_get_strides(handle_, &strides));
    at = static_cast<const float*>(data);
  }
  Given(const Given&) = delete;
  ~Given() { aoti_torch_delete_tensor_object(handle_); }

  const float* at;
  int64_t *sizes, *strides;

 private:
  AtenTensorHandle handle_;
};

template <class After>
void all_products(const Given& a, const Given& b, float* out, uint32_t threads, After after) {
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
      float* const to = out + t * rows * columns;
      product(left, right, to, rows, depth, columns);
      after(to, t, rows * columns);
    }
  }
}

template <class After>
StableIValue computed(const Given& a, const Given& b, After after) {
  const int64_t rows = a.sizes[1], columns = b.sizes[2];
  const int64_t sizes[] = {a.sizes[0], rows, columns}, strides[] = {rows * columns, columns, 1};
  AtenTensorHandle result;
  check(!aoti_torch_empty_strided(3, sizes, strides, aoti_torch_dtype_float32(),
                                  aoti_torch_device_type_cpu(), /*device_index=*/-1, &result));
  void* out;
  uint32_t threads;
  check(!aoti_torch_get_data_ptr(result, &out));
  check(!torch_get_num_threads(&threads));
  all_products(a, b, static_cast<float*>(out), threads, after);
  return reinterpret_cast<StableIValue>(result);
}

void products(StableIValue* stack, uint64_t, uint64_t) {
  const Given a(stack[0]), b(stack[1]);
  stack[0] = computed(a, b, [](float*, int64_t, int64_t) {});
}

void products_tanh(StableIValue* stack, uint64_t, uint64_t) {
  const Given a(stack[0]), b(stack[1]);
  stack[0] = computed(a, b, [](float* out, int64_t, int64_t count) {
    in_place(out, out, count, [](__m256 x, __m256) { return tanh_of(x); });
  });
}

void products_tanh_backward(StableIValue* stack, uint64_t, uint64_t) {
  const Given a(stack[0]), b(stack[1]), y(stack[2]);
  const int64_t columns = y.sizes[2];
  check(y.strides[2] == 1 && y.strides[1] == columns && y.strides[0] == y.sizes[1] * columns);
  stack[0] = computed(a, b, [&](float* out, int64_t t, int64_t count) {
    const float* const at = y.at + t * count;
    in_place(out, at, count, [](__m256 x, __m256 y) { return _mm256_mul_ps(x, slope_of(y)); });
  });
}

// w - rate (product + decay w) where a trial is active, w elsewhere
void products_descent(StableIValue* stack, uint64_t, uint64_t) {
  const Given a(stack[0]), b(stack[1]), w(stack[2]), active(stack[3]), rate(stack[4]), decay(stack[5]);
  const int64_t rows = w.sizes[1], columns = w.sizes[2];
  check(w.strides[2] == 1 && w.strides[1] == columns && w.strides[0] == rows * columns);
  for (const Given* each : {&active, &rate, &decay}) check(each->strides[0] == 1 || each->sizes[0] == 1);
  const bool* const moves = reinterpret_cast<const bool*>(active.at);
  stack[0] = computed(a, b, [&](float* out, int64_t t, int64_t count) {
    const float* const old = w.at + t * count;
    if (!moves[t]) {
      std::copy(old, old + count, out);
      return;
    }
    const __m256 step = _mm256_set1_ps(rate.at[t]), pull = _mm256_set1_ps(decay.at[t]);
    in_place(out, old, count, [&](__m256 gradient, __m256 w) {
      return _mm256_fnmadd_ps(step, _mm256_fmadd_ps(pull, w, gradient), w);
    });
  });
}

// Tells torch's dispatcher of the kernels when the library is loaded.
struct Registration {
  Registration() {
    check(!aoti_torch_library_init_impl("phasediag", "CPU", __FILE__, __LINE__, &library));
    check(!aoti_torch_library_impl(library, "products", products));
    check(!aoti_torch_library_impl(library, "products_tanh", products_tanh));
    check(!aoti_torch_library_impl(library, "products_tanh_backward", products_tanh_backward));
    check(!aoti_torch_library_impl(library, "products_descent", products_descent));
  }
  TorchLibraryHandle library;
} registration;

}  // namespace
