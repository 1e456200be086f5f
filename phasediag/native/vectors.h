// Vectors of eight floats or four doubles, whole or in part.
#ifdef __clang__
#define SHUFFLED(a, b, kind, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLED(a, b, kind, ...) __builtin_shuffle(a, b, kind{__VA_ARGS__})
#endif

template <class number> struct Vectors;

template <> struct Vectors<float> {
  typedef float vector __attribute__((vector_size(32)));
  typedef vector loose __attribute__((aligned(4), may_alias));
  typedef int mask __attribute__((vector_size(32)));
  static constexpr i64 LANES = 8;
  static mask first(int n) { return mask{0, 1, 2, 3, 4, 5, 6, 7} < n; }
  static vector load(const float* from, mask lanes) { return __builtin_ia32_maskloadps256((const vector*)from, lanes); }
  static void store(float* to, vector value, mask lanes) { __builtin_ia32_maskstoreps256((vector*)to, lanes, value); }
  static vector low(vector a, vector b) { return SHUFFLED(a, b, mask, 0, 8, 1, 9, 2, 10, 3, 11); }
  static vector high(vector a, vector b) { return SHUFFLED(a, b, mask, 4, 12, 5, 13, 6, 14, 7, 15); }
};

template <> struct Vectors<double> {
  typedef double vector __attribute__((vector_size(32)));
  typedef vector loose __attribute__((aligned(8), may_alias));
  typedef i64 mask __attribute__((vector_size(32)));
  static constexpr i64 LANES = 4;
  static mask first(i64 n) { return mask{0, 1, 2, 3} < n; }
  static vector load(const double* from, mask lanes) { return __builtin_ia32_maskloadpd256((const vector*)from, lanes); }
  static void store(double* to, vector value, mask lanes) { __builtin_ia32_maskstorepd256((vector*)to, lanes, value); }
  static vector low(vector a, vector b) { return SHUFFLED(a, b, mask, 0, 4, 1, 5); }
  static vector high(vector a, vector b) { return SHUFFLED(a, b, mask, 2, 6, 3, 7); }
};
