// Products of matrices that are small enough to stay in the cache, their sizes known: out = a b, row by row.
//
// Blocks of 12 vectors of results or fewer stay in registers; what is beyond whole vectors is
// masked. A second factor whose columns do not lie side by side is transposed once into scratch.
template <class number, int ROWS, int COLUMNS, i64 A_ROW, i64 A_DEPTH, i64 B_ROW, i64 WIDTH>
static inline void block(const number* a, const number* b, number* out, i64 depth) {
  typedef Vectors<number> V;
  constexpr int LANES = V::LANES, WHOLE = COLUMNS / LANES, REST = COLUMNS % LANES, VECTORS = WHOLE + (REST > 0);
  const typename V::mask rest = V::first(REST);
  typename V::vector sum[ROWS][VECTORS];
  UNROLLED for (int m = 0; m < ROWS; ++m) {
    UNROLLED for (int n = 0; n < VECTORS; ++n) sum[m][n] = typename V::vector{};
  }
  for (i64 k = 0; k < depth; ++k) {
    typename V::vector right[VECTORS];
    UNROLLED for (int n = 0; n < WHOLE; ++n) right[n] = *(const typename V::loose*)(b + k * B_ROW + n * LANES);
    if (REST) right[VECTORS - 1] = V::load(b + k * B_ROW + WHOLE * LANES, rest);
    UNROLLED for (int m = 0; m < ROWS; ++m) {
      const number left = a[m * A_ROW + k * A_DEPTH];
      UNROLLED for (int n = 0; n < VECTORS; ++n) sum[m][n] += left * right[n];
    }
  }
  UNROLLED for (int m = 0; m < ROWS; ++m) {
    UNROLLED for (int n = 0; n < WHOLE; ++n) *(typename V::loose*)(out + m * WIDTH + n * LANES) = sum[m][n];
    if (REST) V::store(out + m * WIDTH + WHOLE * LANES, sum[m][VECTORS - 1], rest);
  }
}

// The fewest blocks that fit into registers, as equal as can be: a cycle's two additions wait for 8 others.
template <class number, i64 ROWS, int COLUMNS, i64 A_ROW, i64 A_DEPTH, i64 B_ROW, i64 WIDTH>
static inline void strip(const number* a, const number* b, number* out, i64 depth) {
  constexpr i64 VECTORS = (COLUMNS - 1) / Vectors<number>::LANES + 1, MOST = VECTORS == 1 ? 8 : 12 / VECTORS;
  constexpr i64 BLOCKS = (ROWS - 1) / MOST + 1, FEW = ROWS / BLOCKS, LARGER = ROWS % BLOCKS;
  for (i64 i = 0; i < BLOCKS - LARGER; ++i, a += FEW * A_ROW, out += FEW * WIDTH)
    block<number, FEW, COLUMNS, A_ROW, A_DEPTH, B_ROW, WIDTH>(a, b, out, depth);
  if constexpr (LARGER > 0)
    for (i64 i = 0; i < LARGER; ++i, a += (FEW + 1) * A_ROW, out += (FEW + 1) * WIDTH)
      block<number, FEW + 1, COLUMNS, A_ROW, A_DEPTH, B_ROW, WIDTH>(a, b, out, depth);
}

// By strips of two vectors; the last one may have one or three.
template <class number, i64 ROWS, i64 DEPTH, i64 COLUMNS, i64 A_ROW, i64 A_DEPTH, i64 B_ROW>
static void product(const number* a, const number* b, number* out) {
  constexpr i64 LANES = Vectors<number>::LANES, VECTORS = (COLUMNS - 1) / LANES + 1;
  constexpr i64 STRIPS = VECTORS == 1 ? 0 : VECTORS / 2 - 1, WHOLE = STRIPS * 2 * LANES;
  for (i64 n = 0; n < WHOLE; n += 2 * LANES)
    strip<number, ROWS, 2 * LANES, A_ROW, A_DEPTH, B_ROW, COLUMNS>(a, b + n, out + n, DEPTH);
  strip<number, ROWS, COLUMNS - WHOLE, A_ROW, A_DEPTH, B_ROW, COLUMNS>(a, b + WHOLE, out + WHOLE, DEPTH);
}

// A square whose sides are a vector: rounds in which the rows of its halves interleave.
template <class number>
static inline void square(const number* from, i64 column, number* to, i64 row) {
  typedef Vectors<number> V;
  constexpr int SIDE = V::LANES;
  typename V::vector lines[SIDE], next[SIDE];
  UNROLLED for (int i = 0; i < SIDE; ++i) lines[i] = *(const typename V::loose*)(from + i * column);
  UNROLLED for (int round = 1; round < SIDE; round *= 2) {
    UNROLLED for (int i = 0; i < SIDE / 2; ++i) {
      next[2 * i] = V::low(lines[i], lines[i + SIDE / 2]);
      next[2 * i + 1] = V::high(lines[i], lines[i + SIDE / 2]);
    }
    UNROLLED for (int i = 0; i < SIDE; ++i) lines[i] = next[i];
  }
  UNROLLED for (int i = 0; i < SIDE; ++i) *(typename V::loose*)(to + i * row) = lines[i];
}

template <class number, i64 DEPTH, i64 COLUMNS, i64 ROW, i64 COLUMN>
static void transposed(const number* b, number* to) {
  constexpr i64 SIDE = Vectors<number>::LANES;
  constexpr i64 WHOLE_N = ROW == 1 ? COLUMNS / SIDE * SIDE : 0, WHOLE_K = WHOLE_N > 0 ? DEPTH / SIDE * SIDE : 0;
  for (i64 n = 0; n < WHOLE_N; n += SIDE)
    for (i64 k = 0; k < WHOLE_K; k += SIDE) square(b + n * COLUMN + k, COLUMN, to + k * COLUMNS + n, COLUMNS);
  for (i64 k = WHOLE_K; k < DEPTH; ++k)
    for (i64 n = 0; n < WHOLE_N; ++n) to[k * COLUMNS + n] = b[k * ROW + n * COLUMN];
  for (i64 k = 0; k < DEPTH; ++k)
    for (i64 n = WHOLE_N; n < COLUMNS; ++n) to[k * COLUMNS + n] = b[k * ROW + n * COLUMN];
}

template <class number, i64 MATRICES, i64 ROWS, i64 DEPTH, i64 COLUMNS, i64 A_MATRIX, i64 A_ROW, i64 A_DEPTH,
          i64 B_MATRIX, i64 B_ROW, i64 B_COLUMN>
static void products(const number* a, const number* b, number* out, number* scratch) {
  for (i64 i = 0; i < MATRICES; ++i, a += A_MATRIX, b += B_MATRIX, out += ROWS * COLUMNS) {
    if constexpr (B_COLUMN == 1) {
      product<number, ROWS, DEPTH, COLUMNS, A_ROW, A_DEPTH, B_ROW>(a, b, out);
    } else {
      transposed<number, DEPTH, COLUMNS, B_ROW, B_COLUMN>(b, scratch);
      product<number, ROWS, DEPTH, COLUMNS, A_ROW, A_DEPTH, COLUMNS>(a, scratch, out);
    }
  }
}
