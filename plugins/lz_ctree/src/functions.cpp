#include "functions.h"

#include <limits>

#include "clones.h"

namespace lz {

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// As many lanes on every machine, so that sums round alike.
inline double SumOfLanes(const double* lane) {
  double sum = 0.0;
  for (int32_t j = 0; j < kBlock; ++j) sum += lane[j];
  return sum;
}

inline double Largest(const double* row, int32_t n) {
  double lane[kBlock];
  for (double& best : lane) best = -kInfinity;
  for (int32_t i = 0; i < n; i += kBlock) {
    for (int32_t j = 0; j < kBlock; ++j) lane[j] = row[i + j] > lane[j] ? row[i + j] : lane[j];
  }
  double best = -kInfinity;
  for (double value : lane) best = value > best ? value : best;
  return best;
}

}  // namespace

LZ_CLONES double WeighRow(double* row, int32_t n) {
  const double largest = Largest(row, n);
  double lane[kBlock] = {};
  for (int32_t i = 0; i < n; i += kBlock) {
    for (int32_t j = 0; j < kBlock; ++j) {
      const double logit = row[i + j];
      const double weight = ExpOfNegative(logit - largest);  // 0 where closed
      lane[j] += weight;
      row[i + j] = logit == -kInfinity ? kClosed : weight;
    }
  }
  return SumOfLanes(lane);
}

LZ_CLONES double SumOfOpen(const double* row, int32_t n) {
  double lane[kBlock] = {};
  for (int32_t i = 0; i < n; i += kBlock) {
    for (int32_t j = 0; j < kBlock; ++j) lane[j] += row[i + j] > 0.0 ? row[i + j] : 0.0;
  }
  return SumOfLanes(lane);
}

LZ_CLONES int32_t LargestOpen(const double* row, int32_t n) {
  const double best = Largest(row, n);
  if (best < 0.0) return -1;
  int32_t first = 0;
  while (row[first] != best) ++first;
  return first;
}

namespace {

// A polynomial of degree 7, the highest coefficient first.
inline double Horner(const double (&coefficients)[8], double r) {
  double sum = coefficients[0];
  for (int32_t i = 1; i < 8; ++i) sum = sum * r + coefficients[i];
  return sum;
}

// Near the median, in 0.425^2 - q^2; in the tails, in sqrt(-log p) less 1.6 or, far out, less 5.
constexpr double kMiddleTop[8] = {2.5090809287301226727e+3, 3.3430575583588128105e+4,
                                  6.7265770927008700853e+4, 4.5921953931549871457e+4,
                                  1.3731693765509461125e+4, 1.9715909503065514427e+3,
                                  1.3314166789178437745e+2, 3.3871328727963666080e+0};
constexpr double kMiddleBottom[8] = {5.2264952788528545610e+3, 2.8729085735721942674e+4,
                                     3.9307895800092710610e+4, 2.1213794301586595867e+4,
                                     5.3941960214247511077e+3, 6.8718700749205790830e+2,
                                     4.2313330701600911252e+1, 1.0};
constexpr double kTailTop[8] = {7.74545014278341407640e-4, 2.27238449892691845833e-2,
                                2.41780725177450611770e-1, 1.27045825245236838258e+0,
                                3.64784832476320460504e+0, 5.76949722146069140550e+0,
                                4.63033784615654529590e+0, 1.42343711074968357734e+0};
constexpr double kTailBottom[8] = {1.05075007164441684324e-9, 5.47593808499534494600e-4,
                                   1.51986665636164571966e-2, 1.48103976427480074590e-1,
                                   6.89767334985100004550e-1, 1.67638483018380384940e+0,
                                   2.05319162663775882187e+0, 1.0};
constexpr double kFarTop[8] = {2.01033439929228813265e-7, 2.71155556874348757815e-5,
                               1.24266094738807843860e-3, 2.65321895265761230930e-2,
                               2.96560571828504891230e-1, 1.78482653991729133580e+0,
                               5.46378491116411436990e+0, 6.65790464350110377720e+0};
constexpr double kFarBottom[8] = {2.04426310338993978564e-15, 1.42151175831644588870e-7,
                                  1.84631831751005468180e-5,  7.86869131145613259100e-4,
                                  1.48753612908506148525e-2,  1.36929880922735805310e-1,
                                  5.99832206555887937690e-1,  1.0};

}  // namespace

double NormalQuantile(double p) {
  const double q = p - 0.5;
  if (std::abs(q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return Horner(kMiddleTop, r) * q / Horner(kMiddleBottom, r);
  }
  const double r = std::sqrt(-LogOf(q <= 0.0 ? p : 1.0 - p));
  const double x = r <= 5.0 ? Horner(kTailTop, r - 1.6) / Horner(kTailBottom, r - 1.6)
                            : Horner(kFarTop, r - 5.0) / Horner(kFarBottom, r - 5.0);
  return q < 0.0 ? -x : x;
}

}  // namespace lz
