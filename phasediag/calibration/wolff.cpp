// The Ising model on a square lattice with periodic boundaries, by U. Wolff's cluster algorithm
// (Phys. Rev. Lett. 62, 361, 1989): a cluster of equal spins grows over bonds of probability
// 1 - exp(-2K) from a random site, and is turned over.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

struct Random {  // xoshiro256+ of D. Blackman and S. Vigna, seeded by splitmix64
  uint64_t s[4];
  explicit Random(uint64_t seed) {
    for (auto& each : s) {
      uint64_t z = (seed += 0x9e3779b97f4a7c15u);
      z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
      z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
      each = z ^ (z >> 31);
    }
  }
  uint64_t next() {
    const uint64_t result = s[0] + s[3], t = s[1] << 17;
    s[2] ^= s[0]; s[3] ^= s[1]; s[1] ^= s[2]; s[0] ^= s[3];
    s[2] ^= t;
    s[3] = (s[3] << 45) | (s[3] >> 19);
    return result;
  }
};

struct Lattice {
  int length, sites;
  uint64_t limit;  // of 32 random bits, below which a bond is open
  int64_t sum;
  std::vector<int8_t> spin;
  std::vector<int> stack;
  Random random;

  Lattice(int length, double coupling, uint64_t seed)
      : length(length), sites(length * length), sum(length * length), spin(length * length, 1),
        stack(length * length), random(seed) {
    limit = static_cast<uint64_t>((1 - std::exp(-2 * coupling)) * 4294967296.0);
  }

  int flip() {  // one cluster; its size
    const int start = static_cast<int>((random.next() >> 11) % static_cast<uint64_t>(sites));
    const int8_t own = spin[start];
    int size = 0, top = 0;
    spin[start] = -own;
    stack[top++] = start;
    while (top) {
      const int site = stack[--top], column = site % length;
      ++size;
      const int near[4] = {
          column + 1 == length ? site + 1 - length : site + 1,
          column == 0 ? site - 1 + length : site - 1,
          site + length >= sites ? site + length - sites : site + length,
          site < length ? site - length + sites : site - length};
      uint64_t bits = random.next();
      for (int each = 0; each < 4; ++each) {
        if (each == 2) bits = random.next();
        const uint64_t word = each % 2 ? bits & 0xffffffffu : bits >> 32;
        const int other = near[each];
        if (spin[other] == own && word < limit) {
          spin[other] = -own;
          stack[top++] = other;
        }
      }
    }
    sum -= 2 * own * static_cast<int64_t>(size);
    return size;
  }
};

}  // namespace

// Magnetisations of one chain, per site, shape (samples,). About `apart` times as many spins as there are
// sites are turned between two of them: the number of clusters is found while `warm` times as many are
// turned first, and is the same between all samples, so that it does not depend on what is measured.
extern "C" void magnetisations(int length, double coupling, uint64_t seed, double warm, double apart,
                               int64_t samples, double* out) {
  Lattice lattice(length, coupling, seed);
  int64_t turned = 0, clusters = 0;
  while (turned < warm * lattice.sites) {
    turned += lattice.flip();
    ++clusters;
  }
  const int64_t between = std::max<int64_t>(1, std::llround(apart * lattice.sites * clusters / turned));
  for (int64_t at = 0; at < samples; ++at) {
    for (int64_t each = 0; each < between; ++each) lattice.flip();
    out[at] = static_cast<double>(lattice.sum) / lattice.sites;
  }
}
