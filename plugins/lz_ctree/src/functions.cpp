#include "exponential.h"

// Sanitizers cannot run the resolvers that choose among clones.
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
#define LZ_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define LZ_CLONES
#endif

namespace lz {

LZ_CLONES double SumOfExp(const double* row, int32_t n, double largest) {
  double lane[kBlock] = {};  // as many on every machine, so that sums round alike
  for (int32_t i = 0; i < n; i += kBlock) {
    for (int32_t j = 0; j < kBlock; ++j) lane[j] += ExpOfNegative(row[i + j] - largest);
  }
  double sum = 0.0;
  for (double part : lane) sum += part;
  return sum;
}

}  // namespace lz
