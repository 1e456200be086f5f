// Products of matrices that are small enough to stay in the cache, their sizes known: out = a b, row by row.
//
// Blocks of results stay in registers, of which there are V::MOST for them; what is beyond whole vectors is masked.
// Each result is its own sum over the depth, from the first to the last, one fused addition after the other: so
// neither blocks nor the width of vectors show in it, and a processor without wide ones gives the same numbers. A
// second factor whose columns do not lie side by side is transposed once into scratch, PADDED there.
template <class number, class V, bool PADDED, int ROWS, int COLUMNS, i64 A_ROW, i64 A_DEPTH, i64 B_ROW, i64 WIDTH>
static inline void block(const number* a, const number* b, number* out, i64 depth) {
  constexpr int LANES = V::LANES, WHOLE = COLUMNS / LANES, REST = COLUMNS % LANES, VECTORS = WHOLE + (REST > 0);
  constexpr int FULL = PADDED ? VECTORS : WHOLE;
  const typename V::mask rest = V::first(REST);
  typename V::vector sum[ROWS][VECTORS];
  UNROLLED for (int m = 0; m < ROWS; ++m) {
    UNROLLED for (int n = 0; n < VECTORS; ++n) sum[m][n] = typename V::vector{};
  }
  for (i64 k = 0; k < depth; ++k) {
    typename V::vector right[VECTORS];
    UNROLLED for (int n = 0; n < FULL; ++n) right[n] = *(const typename V::loose*)(b + k * B_ROW + n * LANES);
    if (FULL < VECTORS) right[VECTORS - 1] = V::load(b + k * B_ROW + WHOLE * LANES, rest);
    UNROLLED for (int m = 0; m < ROWS; ++m) {
      const number left = a[m * A_ROW + k * A_DEPTH];
      UNROLLED for (int n = 0; n < VECTORS; ++n) sum[m][n] += left * right[n];
    }
  }
  UNROLLED for (int m = 0; m < ROWS; ++m) {
    UNROLLED for (int n = 0; n < WHOLE; ++n) *(typename V::loose*)(out + m * WIDTH + n * LANES) = sum[m][n];
    if constexpr (REST > 0) {  // stores with masks take some processors as long as ten others
      const typename V::vector last = sum[m][VECTORS - 1];
      __builtin_memcpy(out + m * WIDTH + WHOLE * LANES, &last, REST * sizeof(number));
    }
  }
}

// The fewest blocks that fit into registers, as equal as can be.
template <class number, class V, bool PADDED, i64 ROWS, int COLUMNS, i64 A_ROW, i64 A_DEPTH, i64 B_ROW, i64 WIDTH>
static inline void strip(const number* a, const number* b, number* out, i64 depth) {
  constexpr i64 MOST = V::MOST / ((COLUMNS - 1) / V::LANES + 1);
  constexpr i64 BLOCKS = (ROWS - 1) / MOST + 1, FEW = ROWS / BLOCKS, LARGER = ROWS % BLOCKS;
  for (i64 i = 0; i < BLOCKS - LARGER; ++i, a += FEW * A_ROW, out += FEW * WIDTH)
    block<number, V, PADDED, FEW, COLUMNS, A_ROW, A_DEPTH, B_ROW, WIDTH>(a, b, out, depth);
  if constexpr (LARGER > 0)
    for (i64 i = 0; i < LARGER; ++i, a += (FEW + 1) * A_ROW, out += (FEW + 1) * WIDTH)
      block<number, V, PADDED, FEW + 1, COLUMNS, A_ROW, A_DEPTH, B_ROW, WIDTH>(a, b, out, depth);
}

// Some columns of a product, by strips of two vectors; the last one may have one or three.
template <class number, class V, bool PADDED, i64 ROWS, i64 COLUMNS, i64 A_ROW, i64 A_DEPTH, i64 B_ROW, i64 WIDTH>
static inline void strips(const number* a, const number* b, number* out, i64 depth) {
  constexpr i64 VECTORS = (COLUMNS - 1) / V::LANES + 1;
  constexpr i64 WHOLE = VECTORS == 1 ? 0 : (VECTORS / 2 - 1) * 2 * V::LANES;
  for (i64 n = 0; n < WHOLE; n += 2 * V::LANES)
    strip<number, V, PADDED, ROWS, 2 * V::LANES, A_ROW, A_DEPTH, B_ROW, WIDTH>(a, b + n, out + n, depth);
  strip<number, V, PADDED, ROWS, COLUMNS - WHOLE, A_ROW, A_DEPTH, B_ROW, WIDTH>(a, b + WHOLE, out + WHOLE, depth);
}

template <class number, bool PADDED, i64 ROWS, i64 DEPTH, i64 COLUMNS, i64 A_ROW, i64 A_DEPTH, i64 B_ROW>
static void product(const number* a, const number* b, number* out) {
#ifdef __AVX512F__
  // What fills no more than half of a wide vector is left to a narrow one.
  constexpr i64 LANES = Wide<number>::LANES, REST = COLUMNS % LANES;
  constexpr i64 NARROW = REST <= Vectors<number>::LANES ? REST : 0, WIDE = COLUMNS - NARROW;
  if constexpr (WIDE > 0)
    strips<number, Wide<number>, PADDED, ROWS, WIDE, A_ROW, A_DEPTH, B_ROW, COLUMNS>(a, b, out, DEPTH);
#else
  constexpr i64 NARROW = COLUMNS, WIDE = 0;
#endif
  if constexpr (NARROW > 0)
    strips<number, Vectors<number>, PADDED, ROWS, NARROW, A_ROW, A_DEPTH, B_ROW, COLUMNS>(
        a, b + WIDE, out + WIDE, DEPTH);
}

// A square whose sides are a vector. Rows interleave within 16 bytes of each, by fours or pairs, until those 16 bytes
// are right; then these are put where they belong. Of its rows the first N are there, with K numbers each: the others
// become zeros, or are left out.
template <class number, int N, int K>
static inline void square(const number* from, i64 column, number* to, i64 row) {
  typedef WIDEST<number> V;
  typedef typename V::vector vector;
  constexpr int SIDE = V::LANES, GROUP = 16 / sizeof(number), GROUPS = SIDE / GROUP;
  vector lines[SIDE], next[SIDE];
  UNROLLED for (int i = 0; i < SIDE; ++i) {
    if (i >= N) lines[i] = vector{};
    else if (K < SIDE) lines[i] = V::load(from + i * column, V::first(K));
    else lines[i] = *(const typename V::loose*)(from + i * column);
  }
  UNROLLED for (int round = 1; round < GROUP; round *= 2) {
    UNROLLED for (int i = 0; i < SIDE; i += 2) {
      const int one = i / GROUP * GROUP + i % GROUP / 2;
      next[i] = V::low(lines[one], lines[one + GROUP / 2]);
      next[i + 1] = V::high(lines[one], lines[one + GROUP / 2]);
    }
    UNROLLED for (int i = 0; i < SIDE; ++i) lines[i] = next[i];
  }
  UNROLLED for (int i = 0; i < SIDE / 2; ++i) {  // groups of rows 0 and 1, and of rows 2 and 3 if there are four
    const int one = i / GROUP * GROUP * 2 + i % GROUP;
    next[i] = V::lower(lines[one], lines[one + GROUP]);
    next[i + SIDE / 2] = V::upper(lines[one], lines[one + GROUP]);
  }
  if constexpr (GROUPS == 4) {
    UNROLLED for (int i = 0; i < SIDE / 2; ++i) {
      const int one = i / GROUP * GROUP * 2 + i % GROUP;
      lines[one] = V::even(next[one], next[one + GROUP]);
      lines[one + GROUP] = V::odd(next[one], next[one + GROUP]);
    }
  } else {
    UNROLLED for (int i = 0; i < SIDE; ++i) lines[i] = next[i];
  }
  UNROLLED for (int i = 0; i < K; ++i) *(typename V::loose*)(to + i * row) = lines[i];
}

template <class number, int N, i64 DEPTH>
static inline void squares(const number* from, i64 column, number* to, i64 row) {
  constexpr i64 SIDE = WIDEST<number>::LANES, WHOLE = DEPTH / SIDE * SIDE;
  for (i64 k = 0; k < WHOLE; k += SIDE) square<number, N, SIDE>(from + k, column, to + k * row, row);
  if constexpr (WHOLE < DEPTH) square<number, N, DEPTH - WHOLE>(from + WHOLE, column, to + WHOLE * row, row);
}

// Rows of scratch are whole lines of the cache, so that vectors need no masks.
template <class number, i64 COLUMNS>
constexpr i64 padded() {
  constexpr i64 LINE = 64 / sizeof(number);
  return (COLUMNS + LINE - 1) / LINE * LINE;
}

template <class number, i64 DEPTH, i64 COLUMNS, i64 ROW, i64 COLUMN>
static void transposed(const number* b, number* to) {
  constexpr i64 SIDE = WIDEST<number>::LANES, WHOLE = COLUMNS / SIDE * SIDE, ACROSS = padded<number, COLUMNS>();
  if constexpr (ROW == 1) {
    for (i64 n = 0; n < WHOLE; n += SIDE) squares<number, SIDE, DEPTH>(b + n * COLUMN, COLUMN, to + n, ACROSS);
    if constexpr (WHOLE < COLUMNS)
      squares<number, COLUMNS - WHOLE, DEPTH>(b + WHOLE * COLUMN, COLUMN, to + WHOLE, ACROSS);
  } else {
    for (i64 k = 0; k < DEPTH; ++k)
      for (i64 n = 0; n < COLUMNS; ++n) to[k * ACROSS + n] = b[k * ROW + n * COLUMN];
  }
}

template <class number, i64 MATRICES, i64 ROWS, i64 DEPTH, i64 COLUMNS, i64 A_MATRIX, i64 A_ROW, i64 A_DEPTH,
          i64 B_MATRIX, i64 B_ROW, i64 B_COLUMN>
static void products(const number* a, const number* b, number* out, number* scratch) {
  for (i64 i = 0; i < MATRICES; ++i, a += A_MATRIX, b += B_MATRIX, out += ROWS * COLUMNS) {
    if constexpr (B_COLUMN == 1) {
      product<number, false, ROWS, DEPTH, COLUMNS, A_ROW, A_DEPTH, B_ROW>(a, b, out);
    } else {
      transposed<number, DEPTH, COLUMNS, B_ROW, B_COLUMN>(b, scratch);
      product<number, true, ROWS, DEPTH, COLUMNS, A_ROW, A_DEPTH, padded<number, COLUMNS>()>(a, scratch, out);
    }
  }
}
