// Random numbers as a pure function of a seed and counters, with the bits of lzcore.base.seeding.

#ifndef LZ_CTREE_SEEDING_H_
#define LZ_CTREE_SEEDING_H_

#include <cstdint>

namespace lz {

// splitmix64: Steele, Lea, Flood, OOPSLA 2014.
inline uint64_t Splitmix(uint64_t x) {
  x += 0x9E3779B97F4A7C15u;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

inline uint64_t DeriveSeed(uint64_t key, uint64_t counter) {
  return Splitmix(key ^ Splitmix(counter));
}

// Uniform in [0, 1) with 53 random bits, from a seed and two counters.
inline double Uniform(uint64_t seed, uint64_t first, uint64_t second) {
  return static_cast<double>(DeriveSeed(DeriveSeed(seed, first), second) >> 11) * 0x1p-53;
}

// Uniform in (0, 1), neither end included, with 52 random bits, from a key and a counter.
inline double OpenUniform(uint64_t key, uint64_t counter) {
  return (static_cast<double>(DeriveSeed(key, counter) >> 12) + 0.5) * 0x1p-52;
}

}  // namespace lz

#endif  // LZ_CTREE_SEEDING_H_
