#include "sampling.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "clones.h"
#include "seeding.h"

namespace lz {

namespace {

constexpr uint64_t kSampleStream = 0x73616D706C65;

void CloseRow(const Tree& tree, int32_t node, int32_t from) {
  double* row = tree.row(node);
  std::fill(row + from, row + tree.sizes->row_length, -kInfinity);
}

// Puts an action into a slot that is still free.
void Fill(const Tree& tree, int32_t node, int32_t slot, int32_t action, double logit) {
  tree.slots_of(node)[slot] = action;
  tree.row(node)[slot] = logit;
}

void LeaveRestEmpty(const SamplingParams& params, const Tree& tree, int32_t node, int32_t used) {
  int32_t* slots = tree.slots_of(node);
  std::fill(slots + used, slots + params.num_slots, kNone);
  CloseRow(tree, node, used);
}

// --- discrete ------------------------------------------------------------------------------------

// Logits plus Gumbel noise, which is a function of (key, action).
LZ_CLONES void AddGumbelNoise(const double* logits, int32_t n, uint64_t key, double* noisy) {
  for (int32_t a = 0; a < n; ++a) noisy[a] = logits[a] - LogOf(-LogOf(OpenUniform(key, a)));
}

// The K allowed actions with the largest logit + Gumbel noise; all, if there are no more.
void DrawWithoutReplacement(const SamplingParams& params, const Tree& tree, int32_t node,
                            Scratch* scratch) {
  const double* policy = tree.policy_of(node);
  std::vector<int32_t>& chosen = scratch->indices;
  chosen.clear();
  for (int32_t a = 0; a < params.num_actions; ++a) {
    if (policy[a] != -kInfinity) chosen.push_back(a);
  }
  if (static_cast<int32_t>(chosen.size()) > params.num_slots) {
    const uint64_t key = DeriveSeed(DeriveSeed(tree.state->seed, kSampleStream), node);
    std::vector<double>& noisy = scratch->noisy;
    AddGumbelNoise(policy, params.num_actions, key, noisy.data());
    const auto last = chosen.begin() + params.num_slots;
    std::nth_element(chosen.begin(), last, chosen.end(), [&](int32_t x, int32_t y) {
      return noisy[x] != noisy[y] ? noisy[x] > noisy[y] : x < y;
    });
    chosen.erase(last, chosen.end());
    std::sort(chosen.begin(), chosen.end());
  }
  int32_t used = 0;
  for (const int32_t a : chosen) Fill(tree, node, used++, a, policy[a]);
  LeaveRestEmpty(params, tree, node, used);
}

// K draws from the policy at a temperature, equal ones merged.
void DrawWithReplacement(const SamplingParams& params, const Tree& tree, int32_t node,
                         Scratch* scratch) {
  const double* policy = tree.policy_of(node);
  const int32_t n = params.num_actions;
  const double largest = *std::max_element(policy, policy + n);
  std::vector<double>& reached = scratch->noisy;
  double total = 0.0;
  for (int32_t a = 0; a < n; ++a) {
    total += ExpOfNegative((policy[a] - largest) / params.temperature);
    reached[a] = total;
  }
  std::vector<int32_t>& counts = scratch->indices;
  counts.assign(n, 0);
  const uint64_t key = DeriveSeed(tree.state->seed, kSampleStream);
  for (int32_t k = 0; k < params.num_slots; ++k) {
    const double wanted = Uniform(key, node, k) * total;
    const auto found = std::upper_bound(reached.begin(), reached.begin() + n, wanted);
    int32_t a = std::min<int32_t>(static_cast<int32_t>(found - reached.begin()), n - 1);
    while (policy[a] == -kInfinity) --a;  // none beyond the last allowed one
    ++counts[a];
  }
  int32_t used = 0;
  const double correction = 1.0 - 1.0 / params.temperature;
  for (int32_t a = 0; a < n; ++a) {
    if (counts[a] == 0) continue;
    Fill(tree, node, used++, a, LogOf(counts[a]) + (policy[a] - largest) * correction);
  }
  LeaveRestEmpty(params, tree, node, used);
}

// --- vectors -------------------------------------------------------------------------------------

// How many deviations a drawn number lies from its mean.
double DrawnNormal(const SamplingParams& params, const Tree& tree, int32_t node, int32_t slot,
                   int32_t d) {
  const uint64_t key = DeriveSeed(DeriveSeed(tree.state->seed, kSampleStream), node);
  return NormalQuantile(
      OpenUniform(key, static_cast<uint64_t>(slot) * params.action_dim + static_cast<uint64_t>(d)));
}

// The logarithm of the density that the policy has at a slot's action.
double LogDensity(const SamplingParams& params, const Tree& tree, int32_t node, int32_t slot) {
  constexpr double kHalfLogTwoPi = 0.91893853320467274178;
  const int32_t n = params.action_dim;
  const double* mean = tree.policy_of(node);
  const double* deviation = mean + n;
  double normal = 0.0, squash = 0.0;
  for (int32_t d = 0; d < n; ++d) {
    double z, action;
    if (tree.nodes[node].is_given) {
      action = tree.given_to(node)[slot * n + d];
      z = (0.5 * (LogOf(1.0 + action) - LogOf(1.0 - action)) - mean[d]) / deviation[d];
    } else {
      z = DrawnNormal(params, tree, node, slot, d);
      action = TanhOf(mean[d] + deviation[d] * z);
    }
    normal += -(z * z) / 2.0 - LogOf(deviation[d]) - kHalfLogTwoPi;
    squash += LogOf(1.0 - action * action + 1e-6);
  }
  return normal - squash;
}

// float32 rounds a tanh beyond this to 1, which is no action.
constexpr float kMostAction = 1.0f - std::numeric_limits<float>::epsilon() / 2.0f;

float AsAction(double squashed) {
  return std::min(std::max(static_cast<float>(squashed), -kMostAction), kMostAction);
}

}  // namespace

void DrawSlots(const SamplingParams& params, const Tree& tree, int32_t node, Scratch* scratch) {
  params.mode == SampleMode::kWithReplacement ? DrawWithReplacement(params, tree, node, scratch)
                                              : DrawWithoutReplacement(params, tree, node, scratch);
}

void FillSlots(const SamplingParams& params, const Tree& tree, int32_t node,
               const int64_t* actions) {
  const double* policy = tree.policy_of(node);
  int32_t used = 0;
  for (; used < params.num_slots && actions[used] >= 0; ++used) {
    const int32_t a = static_cast<int32_t>(actions[used]);
    Fill(tree, node, used, a, policy[a]);
  }
  LeaveRestEmpty(params, tree, node, used);
}

void WeighVectors(const SamplingParams& params, const Tree& tree, int32_t node) {
  double* row = tree.row(node);
  for (int32_t k = 0; k < params.num_slots; ++k) {
    row[k] = params.prior_mode == PriorMode::kDensity ? LogDensity(params, tree, node, k) : 0.0;
  }
  CloseRow(tree, node, params.num_slots);
}

void VectorOf(const SamplingParams& params, const Tree& tree, int32_t node, int32_t slot,
              float* out) {
  const int32_t n = params.action_dim;
  const double* mean = tree.policy_of(node);
  const double* deviation = mean + n;
  if (tree.nodes[node].is_given) {
    std::copy_n(tree.given_to(node) + slot * n, n, out);
    return;
  }
  for (int32_t d = 0; d < n; ++d) {
    const double z = DrawnNormal(params, tree, node, slot, d);
    out[d] = AsAction(TanhOf(mean[d] + deviation[d] * z));
  }
}

}  // namespace lz
