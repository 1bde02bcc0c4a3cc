// What a row of n logits costs, in nanoseconds: checking and copying it when its node is made, and
// weighing it and looking for its largest when a search first chooses there.
//
// As many rows as a batch of 8 trees with 50 simulations has, so that they lie in the same caches.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include "functions.h"

namespace {

constexpr int kRows = 8 * 51;
constexpr int kRepeats = 2000;

template <class Work>
double NanosecondsARow(const Work& work) {
  double least = HUGE_VAL;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    const auto start = std::chrono::steady_clock::now();
    for (int row = 0; row < kRows; ++row) work(row);
    const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - start;
    least = std::min(least, took.count() / kRows);
  }
  return least;
}

}  // namespace

int main(int argc, char** argv) {
  const int n = argc > 1 ? std::atoi(argv[1]) : 362;
  const int length = (n + lz::kBlock - 1) / lz::kBlock * lz::kBlock;
  std::mt19937 generator(0);
  std::normal_distribution<float> normal;
  std::vector<float> given(kRows * n);
  for (float& logit : given) logit = normal(generator);
  std::vector<double> rows(kRows * length);
  double sum = 0.0;  // printed, so that nothing is left out
  const double copied = NanosecondsARow([&](int row) {
    const float* from = &given[row * n];
    float check[lz::kBlock] = {};
    int a = 0;
    for (; a + lz::kBlock <= n; a += lz::kBlock) {
      for (int j = 0; j < lz::kBlock; ++j) check[j] += from[a + j] * 0.0f;
    }
    for (; a < n; ++a) check[0] += from[a] * 0.0f;
    for (const float lane : check) sum += lane;
    for (a = 0; a < n; ++a) rows[row * length + a] = from[a];
    std::fill_n(&rows[row * length + n], length - n, -HUGE_VAL);
  });
  const std::vector<double> logits = rows;
  const double restored = NanosecondsARow(
      [&](int row) { std::copy_n(&logits[row * length], length, &rows[row * length]); });
  const double weighed = NanosecondsARow([&](int row) {
    std::copy_n(&logits[row * length], length, &rows[row * length]);
    sum += lz::WeighRow(&rows[row * length], length);
  });
  const double sought =
      NanosecondsARow([&](int row) { sum += lz::LargestOpen(&rows[row * length], length); });
  std::printf("%.2f %.2f %.2f %g\n", copied, weighed - restored, sought, sum);
}
