// Gumbel MuZero: Sequential Halving at the root, and below it the edge that lags behind the
// improved policy most. docs/search.md has the formulas.

#ifndef LZ_CTREE_GUMBEL_H_
#define LZ_CTREE_GUMBEL_H_

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "choice.h"
#include "forest.h"

namespace lz {

struct GumbelParams {
  int32_t max_num_considered_actions;
  double maxvisit_init;
  double value_scale;
  double range_floor;  // of max - min
  bool rescale_values;
  bool rescale_illegal;  // edges not allowed count as unvisited in the range
  bool use_mixed_value;
  // [considered][simulation] visits of the edge to take
  std::vector<std::vector<int32_t>> halving;
};

// For each of n simulations, how often the edge it takes was taken before, where m are considered.
inline std::vector<int32_t> HalvingTable(int32_t m, int32_t n) {
  std::vector<int32_t> table, counts(m, 0);
  int32_t rounds = 0;
  while ((int64_t{1} << rounds) < m) ++rounds;
  rounds = std::max(rounds, 1);  // with one edge: 0, 1, 2, ..
  for (int32_t k = m; static_cast<int32_t>(table.size()) < n; k = std::max(std::min(m, 2), k / 2)) {
    const int32_t repeats = static_cast<int32_t>(std::max<int64_t>(1, n / (int64_t{rounds} * k)));
    for (int32_t i = 0; i < repeats && static_cast<int32_t>(table.size()) < n; ++i) {
      for (int32_t j = 0; j < k; ++j) table.push_back(counts[j]++);
    }
  }
  table.resize(n);
  return table;
}

// The values of a node's edges on the scale of logits.
struct Completed {
  double unvisited;  // what an edge never taken is worth: the mixed value
  double low, size;  // of the range; 0 and 1 where nothing is rescaled
  double factor;

  double Scaled(double q) const { return factor * ((q - low) / size); }
};

inline Completed Complete(const GumbelParams& params, const Tree& tree, int32_t node) {
  constexpr double kTiny = std::numeric_limits<double>::min();
  const Node& at = tree.nodes[node];
  double sum_p = 0.0, sum_pq = 0.0, low = kInfinity, high = -kInfinity;
  int32_t most_visits = 0, num_visited = 0;
  for (const Edge& edge : TakenEdges(tree, at)) {
    ++num_visited;
    const double p = std::max(edge.prior, kTiny);
    sum_p += p;
    sum_pq += p * edge.q_value;
    low = std::min(low, edge.q_value);
    high = std::max(high, edge.q_value);
    most_visits = std::max(most_visits, edge.visits);
  }
  const double visits = at.visits - 1;
  const double mean = num_visited > 0 ? sum_pq / sum_p : 0.0;
  Completed completed;
  completed.unvisited =
      params.use_mixed_value ? (at.raw_value + visits * mean) / (visits + 1.0) : at.raw_value;
  completed.factor = (params.maxvisit_init + most_visits) * params.value_scale;
  completed.low = 0.0;
  completed.size = 1.0;
  if (!params.rescale_values) return completed;
  if (at.best_open != kNone || (params.rescale_illegal && num_visited < tree.sizes->num_edges)) {
    low = std::min(low, completed.unvisited);
    high = std::max(high, completed.unvisited);
  }
  completed.low = low;
  completed.size = std::max(high - low, params.range_floor);
  return completed;
}

class Gumbel {
 public:
  template <class SearchParams>
  Gumbel(const SearchParams& params, Scratch* scratch)
      : params_(params.gumbel), z_(scratch->numbers) {}

  void BeginDescent() {}
  void Follow(const Edge&, bool) {}

  Choice Choose(const Tree& tree, int32_t node) {
    return node == 0 ? ChooseAtRoot(params_, tree, tree.nodes[0].visits - 1)
                     : ChooseBelow(tree, node);
  }

  // The root's choice in this simulation.
  static Choice ChooseAtRoot(const GumbelParams& params, const Tree& tree, int32_t simulation) {
    return Winner(params, tree, params.halving[tree.state->num_considered][simulation]);
  }

  // The best root edge among those taken so often; of those never taken, the next to consider.
  static Choice Winner(const GumbelParams& params, const Tree& tree, int32_t visits) {
    const Node& root = tree.nodes[0];
    if (visits == 0) return {tree.considered[NumTaken(tree)], kNone};
    PrepareChoice(tree, 0);
    const Completed completed = Complete(params, tree, 0);
    Choice best = {kNone, kNone};
    double best_score = -kInfinity;
    for (const Edge& edge : TakenEdges(tree, root)) {
      if (edge.visits != visits) continue;
      const double score =
          std::max(-1e9, tree.root_scores[edge.action] + completed.Scaled(edge.q_value));
      if (score > best_score) best = {edge.action, tree.child(edge)}, best_score = score;
    }
    return best;
  }

 private:
  static int32_t NumTaken(const Tree& tree) {
    int32_t count = 0;
    for (int32_t c = tree.nodes[0].first_child; c != kNone; c = tree.edges[c].next) ++count;
    return count;
  }

  Choice ChooseBelow(const Tree& tree, int32_t node) {
    Node& at = tree.nodes[node];
    if (at.best_open == kUnknown) {
      PrepareChoice(tree, node);
      at.open_total = SumOfOpen(tree.row(node), tree.sizes->row_length);
    }
    if (at.first_child == kNone) return {at.best_open, kNone};
    const Completed completed = Complete(params_, tree, node);
    const double open = completed.Scaled(completed.unvisited);
    double top = at.best_open == kNone ? -kInfinity : open;
    for (const Edge& edge : TakenEdges(tree, at)) {
      top = std::max(top, completed.Scaled(edge.q_value));
    }
    // The softmax of logits + values: z, up to a common factor, and its sum.
    double total = 0.0;
    size_t i = 0;
    for (const Edge& edge : TakenEdges(tree, at)) {
      z_[i] = edge.weight * ExpOfNegative(completed.Scaled(edge.q_value) - top);
      total += z_[i++];
    }
    const double open_factor = at.best_open == kNone ? 0.0 : ExpOfNegative(open - top);
    if (at.best_open != kNone) total += at.open_total * open_factor;
    const double divisor = total > 0.0 ? total : kInfinity;  // all shares are 0 then

    Choice best = {at.best_open, kNone};
    double best_score = -kInfinity;
    if (best.edge != kNone) {
      best_score = tree.row(node)[best.edge] * open_factor / divisor;
    }
    i = 0;
    for (const Edge& edge : TakenEdges(tree, at)) {
      const double lag = z_[i++] / divisor - static_cast<double>(edge.visits) / at.visits;
      if (lag < best_score || (lag == best_score && edge.action > best.edge)) continue;
      best = {edge.action, tree.child(edge)};
      best_score = lag;
    }
    return best;
  }

  const GumbelParams& params_;
  std::vector<double>& z_;
};

}  // namespace lz

#endif  // LZ_CTREE_GUMBEL_H_
