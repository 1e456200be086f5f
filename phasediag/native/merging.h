// Neurons of layers of homogeneity 1, merged along their rays, network after network.
//
// A cluster is a direction of norm 1 and a mass. What separates two from lying on one ray is, of equal masses, the
// distance of the vectors of that squared norm, of unequal ones sqrt(2) times the second singular value of the two
// vectors; but where the smaller one is nearer to being dead, its norm.
struct Rays {
  i64 width, numbers, turned;  // how many leading numbers flip together
  double *units;               // by number, then by cluster
  double *masses;              // 0 of those that are gone
  double *pairs;               // infinite of those that are gone, and on the diagonal
  double *nearest;             // of each cluster, its distance from the nearest other
  double *same, *other, *rest; // squares, of the leading numbers as they are and flipped, and of the others
  i64 *nearest_to;
};

// Squares of the differences of a cluster's direction from all others.
static inline void chords(const Rays& rays, i64 one) {
  const i64 width = rays.width;
  double *same = rays.same, *other = rays.other, *rest = rays.rest;
  for (i64 n = 0; n < width; ++n) same[n] = other[n] = rest[n] = 0;
  for (i64 k = 0; k < rays.numbers; ++k) {
    const double* column = rays.units + k * width;
    const double own = column[one];
    if (k < rays.turned) {
      for (i64 n = 0; n < width; ++n) {
        same[n] += (own - column[n]) * (own - column[n]);
        other[n] += (own + column[n]) * (own + column[n]);
      }
    } else {
      for (i64 n = 0; n < width; ++n) rest[n] += (own - column[n]) * (own - column[n]);
    }
  }
}

// The square of what separates two clusters from one ray, of which the squared chord is known.
static inline double from_one_ray(double p, double q, double chord) {
  const double sine = chord < 2 ? chord * (1 - chord / 4) : 1, sum = p + q, product = 4 * p * q * sine;
  const double root = sum * sum - product, below = sum + __builtin_sqrt(root > 0 ? root : 0);
  return product / (below > 0 ? below : 1);
}

static inline double chord_to(const Rays& rays, i64 n) {
  return rays.rest[n] + (rays.other[n] < rays.same[n] ? rays.other[n] : rays.same[n]);
}

static inline void measure_row(const Rays& rays, i64 one) {
  chords(rays, one);
  const double p = rays.masses[one];
  double* row = rays.pairs + one * rays.width;
  for (i64 n = 0; n < rays.width; ++n) {
    const double q = rays.masses[n], least = p < q ? p : q, square = from_one_ray(p, q, chord_to(rays, n));
    row[n] = __builtin_sqrt(square < least ? square : least);
  }
  row[one] = __builtin_inf();
}

static inline void find_nearest(const Rays& rays, i64 one) {
  const double* row = rays.pairs + one * rays.width;
  double least = __builtin_inf();
  i64 place = one ? 0 : 1;
  for (i64 n = 0; n < rays.width; ++n)
    if (row[n] < least) least = row[n], place = n;
  rays.nearest[one] = least;
  rays.nearest_to[one] = place;
}

// Puts the sum of both vectors, each its direction times its mass, in the place of the first; or where the smaller is
// nearer to being dead, leaves the larger as it is. Returns which one is gone.
static inline i64 merge(const Rays& rays, i64 one, i64 other) {
  const i64 width = rays.width;
  const double p = rays.masses[one], q = rays.masses[other], least = p < q ? p : q;
  chords(rays, one);
  if (least > 0 && from_one_ray(p, q, chord_to(rays, other)) >= least) return p < q ? one : other;
  const double sign = rays.other[other] < rays.same[other] ? -1 : 1;
  double square = 0;
  for (i64 k = 0; k < rays.numbers; ++k) {
    double* column = rays.units + k * width;
    column[one] = p * column[one] + (k < rays.turned ? sign : 1) * q * column[other];
    square += column[one] * column[one];
  }
  const double mass = __builtin_sqrt(square);
  for (i64 k = 0; k < rays.numbers; ++k) rays.units[k * width + one] /= mass > 0 ? mass : 1;
  rays.masses[one] = mass;
  return other;
}

static inline void update(const Rays& rays, i64 merged, i64 gone, const double* held) {
  const i64 width = rays.width;
  measure_row(rays, merged);
  for (i64 n = 0; n < width; ++n) {
    double* row = rays.pairs + merged * width;
    row[n] = held[n] > 0 ? __builtin_inf() : row[n];
    rays.pairs[n * width + merged] = row[n];
    rays.pairs[n * width + gone] = __builtin_inf();
  }
  rays.nearest[gone] = __builtin_inf();
  find_nearest(rays, merged);
  for (i64 n = 0; n < width; ++n) {
    if (held[n] > 0 || n == merged) continue;
    const double distance = rays.pairs[n * width + merged];
    if (rays.nearest_to[n] == merged || rays.nearest_to[n] == gone) {
      find_nearest(rays, n);
    } else if (distance < rays.nearest[n]) {
      rays.nearest[n] = distance;
      rays.nearest_to[n] = merged;
    }
  }
}

// Distances at which clusters are merged, the nearest two first, and the norm of the last one; ascending, shape
// (trials, width). Scratch: width * (numbers + width + 6) numbers, and as many whole ones as the width.
extern "C" void merge_rays(i64 first, i64 last, i64 width, i64 numbers, i64 turned, const double* vectors, double* out,
                           double* scratch, i64* nearest_to) {
  double* rows = scratch + width * (numbers + width);
  const Rays rays{width, numbers, turned, scratch, rows, scratch + width * numbers, rows + width,
                  rows + 2 * width, rows + 3 * width, rows + 4 * width, nearest_to};
  double* held = rows + 5 * width;  // positive of those that are gone
  for (i64 trial = first; trial < last; ++trial) {
    for (i64 n = 0; n < width; ++n) {
      const double* own = vectors + (trial * width + n) * numbers;
      double mass = 0;
      for (i64 k = 0; k < numbers; ++k) mass += own[k] * own[k];
      const double norm = __builtin_sqrt(mass);
      for (i64 k = 0; k < numbers; ++k) rays.units[k * width + n] = own[k] / (norm > 0 ? norm : 1);
      rays.masses[n] = mass;
      held[n] = 0;
    }
    for (i64 n = 0; n < width; ++n) measure_row(rays, n);
    for (i64 n = 0; n < width; ++n) find_nearest(rays, n);
    double height = 0;
    for (i64 turn = 0; turn + 1 < width; ++turn) {
      i64 one = 0;
      for (i64 n = 1; n < width; ++n)
        if (rays.nearest[n] < rays.nearest[one]) one = n;
      const i64 two = rays.nearest_to[one], low = one < two ? one : two, high = one < two ? two : one;
      height = rays.nearest[one] > height ? rays.nearest[one] : height;
      out[trial * width + turn] = height;
      const i64 gone = merge(rays, low, high);
      held[gone] = 1;
      rays.masses[gone] = 0;
      update(rays, gone == low ? high : low, gone, held);
    }
    double mass = 0;
    for (i64 n = 0; n < width; ++n) mass = rays.masses[n] > mass ? rays.masses[n] : mass;
    out[trial * width + width - 1] = mass > height * height ? __builtin_sqrt(mass) : height;
  }
}
