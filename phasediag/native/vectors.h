// Vectors of 32 or 64 bytes, whole or in part. With AVX-512 there are wide ones besides.
#ifdef __clang__
#define SHUFFLED(a, b, kind, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#else
#define SHUFFLED(a, b, kind, ...) __builtin_shuffle(a, b, kind{__VA_ARGS__})
#endif

template <class number> struct Vectors;

// `low` and `high` interleave two vectors within each 16 bytes; `lower` and `upper` join their halves, `even` and
// `odd` every second 16 bytes of them.
template <> struct Vectors<float> {
  typedef float vector __attribute__((vector_size(32)));
  typedef vector loose __attribute__((aligned(4), may_alias));
  typedef int mask __attribute__((vector_size(32)));
  static constexpr i64 LANES = 8, MOST = 12;
  static mask first(int n) { return mask{0, 1, 2, 3, 4, 5, 6, 7} < n; }
  static vector load(const float* from, mask lanes) { return __builtin_ia32_maskloadps256((const vector*)from, lanes); }
  static vector low(vector a, vector b) { return SHUFFLED(a, b, mask, 0, 8, 1, 9, 4, 12, 5, 13); }
  static vector high(vector a, vector b) { return SHUFFLED(a, b, mask, 2, 10, 3, 11, 6, 14, 7, 15); }
  static vector lower(vector a, vector b) { return SHUFFLED(a, b, mask, 0, 1, 2, 3, 8, 9, 10, 11); }
  static vector upper(vector a, vector b) { return SHUFFLED(a, b, mask, 4, 5, 6, 7, 12, 13, 14, 15); }
};

template <> struct Vectors<double> {
  typedef double vector __attribute__((vector_size(32)));
  typedef vector loose __attribute__((aligned(8), may_alias));
  typedef i64 mask __attribute__((vector_size(32)));
  static constexpr i64 LANES = 4, MOST = 12;
  static mask first(i64 n) { return mask{0, 1, 2, 3} < n; }
  static vector load(const double* from, mask lanes) { return __builtin_ia32_maskloadpd256((const vector*)from, lanes); }
  static vector low(vector a, vector b) { return SHUFFLED(a, b, mask, 0, 4, 2, 6); }
  static vector high(vector a, vector b) { return SHUFFLED(a, b, mask, 1, 5, 3, 7); }
  static vector lower(vector a, vector b) { return SHUFFLED(a, b, mask, 0, 1, 4, 5); }
  static vector upper(vector a, vector b) { return SHUFFLED(a, b, mask, 2, 3, 6, 7); }
};

#ifdef __AVX512F__
template <class number> struct Wide;
#define WIDEST Wide

template <> struct Wide<float> {
  typedef float vector __attribute__((vector_size(64)));
  typedef vector loose __attribute__((aligned(4), may_alias));
  typedef unsigned short mask;
  static constexpr i64 LANES = 16, MOST = 24;
  static mask first(int n) { return (1 << n) - 1; }
  static vector load(const float* from, mask lanes) { return __builtin_ia32_loadups512_mask(from, vector{}, lanes); }
  typedef int kind __attribute__((vector_size(64)));
  static vector low(vector a, vector b) {
    return SHUFFLED(a, b, kind, 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29);
  }
  static vector high(vector a, vector b) {
    return SHUFFLED(a, b, kind, 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31);
  }
  static vector lower(vector a, vector b) {
    return SHUFFLED(a, b, kind, 0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23);
  }
  static vector upper(vector a, vector b) {
    return SHUFFLED(a, b, kind, 8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31);
  }
  static vector even(vector a, vector b) {
    return SHUFFLED(a, b, kind, 0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27);
  }
  static vector odd(vector a, vector b) {
    return SHUFFLED(a, b, kind, 4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31);
  }
};

template <> struct Wide<double> {
  typedef double vector __attribute__((vector_size(64)));
  typedef vector loose __attribute__((aligned(8), may_alias));
  typedef unsigned char mask;
  static constexpr i64 LANES = 8, MOST = 24;
  static mask first(int n) { return (1 << n) - 1; }
  static vector load(const double* from, mask lanes) { return __builtin_ia32_loadupd512_mask(from, vector{}, lanes); }
  typedef i64 kind __attribute__((vector_size(64)));
  static vector low(vector a, vector b) { return SHUFFLED(a, b, kind, 0, 8, 2, 10, 4, 12, 6, 14); }
  static vector high(vector a, vector b) { return SHUFFLED(a, b, kind, 1, 9, 3, 11, 5, 13, 7, 15); }
  static vector lower(vector a, vector b) { return SHUFFLED(a, b, kind, 0, 1, 2, 3, 8, 9, 10, 11); }
  static vector upper(vector a, vector b) { return SHUFFLED(a, b, kind, 4, 5, 6, 7, 12, 13, 14, 15); }
  static vector even(vector a, vector b) { return SHUFFLED(a, b, kind, 0, 1, 4, 5, 8, 9, 12, 13); }
  static vector odd(vector a, vector b) { return SHUFFLED(a, b, kind, 2, 3, 6, 7, 10, 11, 14, 15); }
};
#else
#define WIDEST Vectors
#endif
