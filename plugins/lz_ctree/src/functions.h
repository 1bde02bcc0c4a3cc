// exp for arguments up to 0, with the same bits on every machine.
//
// The C library's exp differs in the last bit from one processor to another, and takes one number
// at a time. This one is plain arithmetic without branches, which compilers turn into vector
// instructions; where they are chosen at run time the bits stay the same. It is exact to 2 ulp.

#ifndef LZ_CTREE_EXPONENTIAL_H_
#define LZ_CTREE_EXPONENTIAL_H_

#include <cstdint>
#include <cstring>

namespace lz {

// exp(x) for x <= 0; 0 below the smallest normal number, so also for -inf.
inline double ExpOfNegative(double x) {
  // x = k ln 2 + r with |r| <= ln 2 / 2; adding 1.5 * 2^52 leaves k in the low bits.
  constexpr double kShift = 0x1.8p52;
  const double shifted = x * 0x1.71547652b82fep0 + kShift;
  const double k = shifted - kShift;
  const double r = (x - k * 0x1.62e42fee00000p-1) - k * 0x1.a39ef35793c76p-33;
  // exp(r) by its series, whose next term is below 2^-57; in pairs, which need not wait for each
  // other.
  const double r2 = r * r, r4 = r2 * r2, r8 = r4 * r4;
  const double terms_0_3 = (1.0 + r) + (1.0 / 2 + 1.0 / 6 * r) * r2;
  const double terms_4_7 = (1.0 / 24 + 1.0 / 120 * r) + (1.0 / 720 + 1.0 / 5040 * r) * r2;
  const double terms_8_11 =
      (1.0 / 40320 + 1.0 / 362880 * r) + (1.0 / 3628800 + 1.0 / 39916800 * r) * r2;
  const double terms_12_13 = 1.0 / 479001600 + 1.0 / 6227020800 * r;
  const double series = terms_0_3 + terms_4_7 * r4 + (terms_8_11 + terms_12_13 * r4) * r8;
  uint64_t bits;
  std::memcpy(&bits, &shifted, sizeof bits);
  bits = (bits + 1023) << 52;
  double power;
  std::memcpy(&power, &bits, sizeof power);
  return x < -708.0 ? 0.0 : series * power;
}

// Rows of numbers are worked on in blocks of this many; their length is a multiple of it.
constexpr int32_t kBlock = 8;

// The sum of exp(row[i] - largest) over n numbers, none above `largest`; n is a multiple of kBlock.
double SumOfExp(const double* row, int32_t n, double largest);

}  // namespace lz

#endif  // LZ_CTREE_EXPONENTIAL_H_
