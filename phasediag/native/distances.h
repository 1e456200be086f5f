// Distances of the neurons of a layer, trial after trial.
static inline float root(float square) { return __builtin_sqrtf(square); }
static inline double root(double square) { return __builtin_sqrt(square); }

// Squares of a row's distances from the neurons of a strip; with flips the smaller one of both signs.
template <class number, int ROWS, bool FLIPS>
static inline void strip_of_squares(const number* rows, i64 numbers, const number* columns, i64 across,
                                    typename Vectors<number>::vector (*found)[2]) {
  typedef typename Vectors<number>::vector vector;
  typedef typename Vectors<number>::loose loose;
  vector same[ROWS][2], turned[ROWS][2];
  UNROLLED for (int m = 0; m < ROWS; ++m) {
    UNROLLED for (int n = 0; n < 2; ++n) same[m][n] = turned[m][n] = vector{};
  }
  for (i64 k = 0; k < numbers; ++k) {
    UNROLLED for (int n = 0; n < 2; ++n) {
      const vector column = *(const loose*)(columns + k * across + n * Vectors<number>::LANES);
      UNROLLED for (int m = 0; m < ROWS; ++m) {
        const number row = rows[m * numbers + k];
        const vector difference = row - column, sum = row + column;
        same[m][n] += difference * difference;
        if (FLIPS) turned[m][n] += sum * sum;
      }
    }
  }
  UNROLLED for (int m = 0; m < ROWS; ++m) {
    UNROLLED for (int n = 0; n < 2; ++n)
      found[m][n] = !FLIPS ? same[m][n] : same[m][n] < turned[m][n] ? same[m][n] : turned[m][n];
  }
}

// Distances of ROWS neurons from `row` on to those of a strip; of earlier strips' neurons both ways.
template <class number, int ROWS, bool FLIPS>
static inline void rows_of_strip(const number* vectors, i64 row, i64 numbers, const number* columns, i64 strip,
                                 i64 width, number* out) {
  constexpr i64 STRIP = 2 * Vectors<number>::LANES;
  const i64 held = width - strip < STRIP ? width - strip : STRIP;
  typename Vectors<number>::vector found[ROWS][2];
  strip_of_squares<number, ROWS, FLIPS>(vectors + row * numbers, numbers, columns, STRIP, found);
  UNROLLED for (int m = 0; m < ROWS; ++m) {
    number* distances = (number*)found[m];
    for (i64 n = 0; n < STRIP; ++n) distances[n] = root(distances[n]);
    __builtin_memcpy(out + (row + m) * width + strip, distances, held * sizeof(number));
    if (row < strip)
      for (i64 n = 0; n < held; ++n) out[(strip + n) * width + row + m] = distances[n];
  }
}

// Of the pairs of each strip of neurons with those before it and among themselves, both ways; strips `first` to
// `last` of all trials'. Out has the shape (trials, width, width), scratch holds a strip side by side. Of one trial
// early strips, which have few pairs, alternate with late ones: parts of equally many are equally long.
template <class number, bool FLIPS>
static void pairs(i64 first, i64 last, i64 width, i64 numbers, const number* vectors, number* out, number* scratch) {
  constexpr i64 STRIP = 2 * Vectors<number>::LANES;
  const i64 strips = (width + STRIP - 1) / STRIP;
  for (i64 i = 0; i < numbers * STRIP; ++i) scratch[i] = 0;
  for (i64 unit = first; unit < last; ++unit) {
    const i64 trial = unit / strips, turn = unit % strips;
    const i64 strip = STRIP * (turn % 2 ? strips - 1 - turn / 2 : turn / 2);
    const i64 end = width < strip + STRIP ? width : strip + STRIP;
    const number* own = vectors + trial * width * numbers;
    number* found = out + trial * width * width;
    for (i64 n = strip; n < end; ++n)
      for (i64 k = 0; k < numbers; ++k) scratch[k * STRIP + n - strip] = own[n * numbers + k];
    i64 row = 0;
    for (; row + 2 <= end; row += 2)
      rows_of_strip<number, 2, FLIPS>(own, row, numbers, scratch, strip, width, found);
    if (row < end) rows_of_strip<number, 1, FLIPS>(own, row, numbers, scratch, strip, width, found);
  }
}

extern "C" void same_sign(i64 first, i64 last, i64 width, i64 numbers, const NUMBER* vectors, NUMBER* out,
                          NUMBER* scratch) {
  pairs<NUMBER, false>(first, last, width, numbers, vectors, out, scratch);
}

extern "C" void either_sign(i64 first, i64 last, i64 width, i64 numbers, const NUMBER* vectors, NUMBER* out,
                            NUMBER* scratch) {
  pairs<NUMBER, true>(first, last, width, numbers, vectors, out, scratch);
}

// Insertion distances of the farthest-first traversal that starts at the origin, shape (trials, width). Of those
// as far as `tied` times the farthest, the first in order is taken. Scratch: the distance of each neuron from the
// nearest centre.
extern "C" void farthest_first(i64 first, i64 last, i64 width, NUMBER tied, const NUMBER* pairs,
                               const NUMBER* norms, const i64* order, NUMBER* out, NUMBER* nearest) {
  for (i64 trial = first; trial < last; ++trial) {
    const i64* place = order + trial * width;
    for (i64 n = 0; n < width; ++n) nearest[n] = norms[trial * width + n];
    for (i64 turn = 0; turn < width; ++turn) {
      NUMBER farthest = 0;
      for (i64 n = 0; n < width; ++n) farthest = nearest[n] > farthest ? nearest[n] : farthest;
      const NUMBER bound = farthest * tied;
      i64 next = 0;
      while (next < width - 1 && nearest[place[next]] < bound) ++next;
      const NUMBER* row = pairs + (trial * width + place[next]) * width;
      for (i64 n = 0; n < width; ++n) nearest[n] = row[n] < nearest[n] ? row[n] : nearest[n];
      out[trial * width + turn] = farthest;
    }
  }
}

// A step of Prim's algorithm: with the distances from the neuron that was added, what is left of `nearest`, and the
// least of it. `held` is 0 for neurons outside the tree and infinity inside; both are whole vectors long.
static inline NUMBER nearer(const NUMBER* row, const NUMBER* held, NUMBER* nearest, i64 across) {
  typedef Vectors<NUMBER>::vector vector;
  constexpr i64 LANES = Vectors<NUMBER>::LANES;
  vector least = vector{} + (NUMBER)__builtin_inf();
  for (i64 n = 0; n < across; n += LANES) {
    const vector before = *(const Vectors<NUMBER>::loose*)(nearest + n);
    const vector now = *(const Vectors<NUMBER>::loose*)(row + n), out = *(const Vectors<NUMBER>::loose*)(held + n);
    const vector closer = now < before ? now : before;
    const vector left = out > closer ? out : closer;
    *(Vectors<NUMBER>::loose*)(nearest + n) = left;
    least = left < least ? left : least;
  }
  NUMBER result = least[0];
  for (i64 n = 1; n < LANES; ++n) result = least[n] < result ? least[n] : result;
  return result;
}

// Lengths of the edges of the minimum spanning tree of the neurons, shape (trials, width - 1), in the order in which
// Prim's algorithm adds them from neuron 0 on. Scratch: three times the width, in whole vectors.
extern "C" void spanning_tree(i64 first, i64 last, i64 width, const NUMBER* pairs, NUMBER* out, NUMBER* scratch) {
  const NUMBER infinity = (NUMBER)__builtin_inf();
  const i64 across = (width + Vectors<NUMBER>::LANES - 1) / Vectors<NUMBER>::LANES * Vectors<NUMBER>::LANES;
  NUMBER *nearest = scratch, *held = scratch + across, *row = scratch + 2 * across;
  for (i64 n = width; n < across; ++n) row[n] = infinity;
  for (i64 trial = first; trial < last; ++trial) {
    for (i64 n = 0; n < across; ++n) nearest[n] = infinity, held[n] = 0;
    i64 added = 0;
    for (i64 turn = 0; turn + 1 < width; ++turn) {
      held[added] = infinity;
      __builtin_memcpy(row, pairs + (trial * width + added) * width, width * sizeof(NUMBER));
      const NUMBER shortest = nearer(row, held, nearest, across);
      for (added = 0; nearest[added] != shortest;) ++added;
      out[trial * (width - 1) + turn] = shortest;
    }
  }
}
