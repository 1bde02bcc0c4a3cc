// exp, log, tanh and the normal quantile, with the same bits on every machine.
//
// The C library's differ in the last bit from one processor to another, and take one number at a
// time. These are plain arithmetic, and exp and log are free of branches, so that compilers turn
// them into vector instructions; where those are chosen at run time the bits stay the same. exp and
// log are exact to 2 ulp.

#ifndef LZ_CTREE_FUNCTIONS_H_
#define LZ_CTREE_FUNCTIONS_H_

#include <cmath>
#include <cstdint>
#include <cstring>

namespace lz {

constexpr double kLn2High = 0x1.62e42fee00000p-1;
constexpr double kLn2Low = 0x1.a39ef35793c76p-33;

// exp(x) for x <= 0; 0 below the smallest normal number, so also for -inf.
inline double ExpOfNegative(double x) {
  // x = k ln 2 + r with |r| <= ln 2 / 2; adding 1.5 * 2^52 leaves k in the low bits.
  constexpr double kShift = 0x1.8p52;
  const double shifted = x * 0x1.71547652b82fep0 + kShift;
  const double k = shifted - kShift;
  const double r = (x - k * kLn2High) - k * kLn2Low;
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

// log(x) for a normal x > 0.
inline double LogOf(double x) {
  // x = 2^k m with m between sqrt(1/2) and sqrt(2); log m = 2 artanh(s), s = (m - 1) / (m + 1).
  constexpr int64_t kRootOfHalf = 0x3fe6a09e00000000;
  int64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  const int64_t exponent = (bits - kRootOfHalf) >> 52;
  bits -= exponent * (int64_t{1} << 52);
  double m;
  std::memcpy(&m, &bits, sizeof m);
  const double k = static_cast<double>(exponent);
  const double f = m - 1.0, s = f / (2.0 + f), z = s * s;
  double series = 1.0 / 21;
  series = series * z + 1.0 / 19;
  series = series * z + 1.0 / 17;
  series = series * z + 1.0 / 15;
  series = series * z + 1.0 / 13;
  series = series * z + 1.0 / 11;
  series = series * z + 1.0 / 9;
  series = series * z + 1.0 / 7;
  series = series * z + 1.0 / 5;
  series = series * z + 1.0 / 3;
  return k * kLn2High + (2.0 * s + (2.0 * s * (z * series) + k * kLn2Low));
}

inline double TanhOf(double x) {
  const double e = ExpOfNegative(-2.0 * std::abs(x));
  return std::copysign((1.0 - e) / (1.0 + e), x);
}

// The standard normal quantile of p in (0, 1), to 16 digits: Wichura's algorithm AS 241.
double NormalQuantile(double p);

// Rows of numbers are worked on in blocks of this many; their length is a multiple of it.
constexpr int32_t kBlock = 8;

// In a row of weights: this edge was taken, is not allowed, or is filling.
constexpr double kClosed = -1.0;

// Turns n logits (-inf: closed) into weights exp(logit - largest); returns their sum. The largest
// logit must be finite.
double WeighRow(double* row, int32_t n);

// The sum of the n weights that are not closed.
double SumOfOpen(const double* row, int32_t n);

// The first index of the largest of n weights, or -1 if all are closed.
int32_t LargestOpen(const double* row, int32_t n);

}  // namespace lz

#endif  // LZ_CTREE_FUNCTIONS_H_
