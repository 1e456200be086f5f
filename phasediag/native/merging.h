// Neurons of layers of homogeneity 1, merged along their rays, network after network.
//
// A cluster is a direction of norm 1 and a mass. What separates two from lying on one ray is, of equal masses, the
// distance of the vectors of that squared norm, of unequal ones sqrt(2) times the second singular value of the two
// vectors; but where the smaller one is nearer to being dead, its norm.
struct Rays {
  i64 width, numbers, turned;  // how many leading numbers flip together
  double *units, *masses, *pairs, *nearest;
  i64 *nearest_to, *alive;
};

static inline double squared(const double* a, const double* b, double sign, i64 from, i64 to) {
  double sum = 0;
  for (i64 k = from; k < to; ++k) sum += (a[k] - sign * b[k]) * (a[k] - sign * b[k]);
  return sum;
}

// The sign by which b's leading numbers are nearer to those of a.
static inline double nearer_sign(const Rays& rays, const double* a, const double* b) {
  return squared(a, b, -1, 0, rays.turned) < squared(a, b, 1, 0, rays.turned) ? -1 : 1;
}

// The square of what separates two from one ray; `least` becomes the smaller mass.
static inline double from_one_ray(const Rays& rays, i64 one, i64 other, double& least) {
  const double *a = rays.units + one * rays.numbers, *b = rays.units + other * rays.numbers;
  const double p = rays.masses[one], q = rays.masses[other];
  least = p < q ? p : q;
  if (least <= 0) return 0;
  const double e = squared(a, b, nearer_sign(rays, a, b), 0, rays.turned) + squared(a, b, 1, rays.turned, rays.numbers);
  const double sine = e < 2 ? e * (1 - e / 4) : 1, sum = p + q, root = sum * sum - 4 * p * q * sine;
  return 4 * p * q * sine / (sum + __builtin_sqrt(root > 0 ? root : 0));
}

static inline double apart(const Rays& rays, i64 one, i64 other) {
  double least;
  const double square = from_one_ray(rays, one, other, least);
  return __builtin_sqrt(square < least ? square : least);
}

static inline void find_nearest(const Rays& rays, i64 one) {
  rays.nearest[one] = __builtin_inf();
  rays.nearest_to[one] = -1;
  for (i64 n = 0; n < rays.width; ++n) {
    if (!rays.alive[n] || n == one || !(rays.pairs[one * rays.width + n] < rays.nearest[one])) continue;
    rays.nearest[one] = rays.pairs[one * rays.width + n];
    rays.nearest_to[one] = n;
  }
}

// Puts the sum of both vectors, each its direction times its mass, in the place of the first; or where the smaller is
// nearer to being dead, leaves the larger as it is. Returns which one is gone.
static inline i64 merge(const Rays& rays, i64 one, i64 other) {
  double least;
  if (from_one_ray(rays, one, other, least) >= least && least > 0) {
    const i64 gone = rays.masses[one] < rays.masses[other] ? one : other;
    rays.alive[gone] = 0;
    return gone;
  }
  double *a = rays.units + one * rays.numbers, *b = rays.units + other * rays.numbers;
  const double sign = nearer_sign(rays, a, b);
  double square = 0;
  for (i64 k = 0; k < rays.numbers; ++k) {
    a[k] = rays.masses[one] * a[k] + (k < rays.turned ? sign : 1) * rays.masses[other] * b[k];
    square += a[k] * a[k];
  }
  const double mass = __builtin_sqrt(square);
  for (i64 k = 0; k < rays.numbers; ++k) a[k] = mass > 0 ? a[k] / mass : 0;
  rays.masses[one] = mass;
  rays.alive[other] = 0;
  return other;
}

static inline void update(const Rays& rays, i64 merged, i64 gone) {
  for (i64 n = 0; n < rays.width; ++n) {
    if (!rays.alive[n] || n == merged) continue;
    const double distance = apart(rays, merged < n ? merged : n, merged < n ? n : merged);
    rays.pairs[merged * rays.width + n] = rays.pairs[n * rays.width + merged] = distance;
  }
  find_nearest(rays, merged);
  for (i64 n = 0; n < rays.width; ++n) {
    if (!rays.alive[n] || n == merged) continue;
    if (rays.nearest_to[n] == merged || rays.nearest_to[n] == gone) {
      find_nearest(rays, n);
    } else if (rays.pairs[n * rays.width + merged] < rays.nearest[n]) {
      rays.nearest[n] = rays.pairs[n * rays.width + merged];
      rays.nearest_to[n] = merged;
    }
  }
}

// Distances at which clusters are merged, the nearest two first, and the norm of the last one; ascending, shape
// (trials, width). Scratch: width * (numbers + width + 2) numbers, and twice the width in whole ones.
extern "C" void merge_rays(i64 first, i64 last, i64 width, i64 numbers, i64 turned, const double* vectors, double* out,
                           double* scratch, i64* marks) {
  const Rays rays{width, numbers, turned, scratch, scratch + width * numbers, scratch + width * (numbers + 1),
                  scratch + width * (numbers + 1 + width), marks, marks + width};
  for (i64 trial = first; trial < last; ++trial) {
    for (i64 n = 0; n < width; ++n) {
      const double* own = vectors + (trial * width + n) * numbers;
      rays.masses[n] = squared(own, own, 0, 0, numbers);
      const double norm = __builtin_sqrt(rays.masses[n]);
      for (i64 k = 0; k < numbers; ++k) rays.units[n * numbers + k] = norm > 0 ? own[k] / norm : 0;
      rays.alive[n] = 1;
    }
    for (i64 m = 0; m < width; ++m)
      for (i64 n = m + 1; n < width; ++n) rays.pairs[m * width + n] = rays.pairs[n * width + m] = apart(rays, m, n);
    for (i64 n = 0; n < width; ++n) find_nearest(rays, n);
    double height = 0;
    for (i64 turn = 0; turn + 1 < width; ++turn) {
      i64 one = -1;
      for (i64 n = 0; n < width; ++n)
        if (rays.alive[n] && (one < 0 || rays.nearest[n] < rays.nearest[one])) one = n;
      const i64 other = rays.nearest_to[one];
      height = rays.nearest[one] > height ? rays.nearest[one] : height;
      out[trial * width + turn] = height;
      const i64 gone = merge(rays, one < other ? one : other, one < other ? other : one);
      update(rays, gone == one ? other : one, gone);
    }
    i64 one = 0;
    while (!rays.alive[one]) ++one;
    const double norm = __builtin_sqrt(rays.masses[one]);
    out[trial * width + width - 1] = norm > height ? norm : height;
  }
}
