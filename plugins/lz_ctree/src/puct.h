// PUCT: which edge a search takes at a decision node. The options are template arguments, so that
// each combination compiles to its own straight code; docs/search.md tells what they mean.

#ifndef LZ_CTREE_PUCT_H_
#define LZ_CTREE_PUCT_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "choice.h"
#include "forest.h"
#include "seeding.h"

namespace lz {

enum class QTransform { kParentAndSiblings, kMinMax, kTreeMinMax, kNone };
enum class Fpu { kMctx, kParentValue, kMuzeroPaper, kEzMeanQ, kZero, kMinizero };
enum class TieBreak { kLowest, kPrior, kRandom };

struct PuctParams {
  QTransform q_transform;
  Fpu fpu;
  TieBreak tie_break;
  double range_floor;               // of max - min
  double bound_low, bound_high;     // of QTransform::kMinMax
  std::vector<double> exploration;  // [S + 2] c(N) * sqrt(N) for every N
};

// Maps a q-value to the scale of the score.
struct Scale {
  double low = 0.0;
  double size = 1.0;
  double operator()(double q) const { return (q - low) / size; }
};

inline double ClampUnit(double x) { return x < 0.0 ? 0.0 : (x > 1.0 ? 1.0 : x); }

template <QTransform kTransform, Fpu kFpu, TieBreak kTie>
class Puct {
 public:
  template <class SearchParams>
  Puct(const SearchParams& params, Scratch* scratch)
      : params_(params.puct), near_(scratch->choices) {}

  // The root's player has no parent whose mean he could take over.
  void BeginDescent() { parent_q_ = 0.0; }

  // The descent goes on below `taken`, an edge of the node where the last choice was made, or an
  // outcome of the chance node behind that.
  void Follow(const Edge& taken, bool is_outcome) {
    const double q = is_outcome ? parent_q_ : mean_q_;
    parent_q_ = taken.discount < 0.0 ? -q : q;
  }

  Choice Choose(const Tree& tree, int32_t node) {
    PrepareChoice(tree, node);
    const Node& at = tree.nodes[node];
    const double weight = params_.exploration[at.visits - UncountedVisits(node == 0)];
    const Scale scale = MakeScale(tree, at);
    const double unvisited = UnvisitedValue(tree, at, scale, node == 0);
    if (kTie == TieBreak::kRandom) return ChooseAmongNear(tree, node, scale, unvisited, weight);
    return ChooseBest(tree, node, scale, unvisited, weight);
  }

 private:
  static constexpr double kNear = 1e-6;  // kRandom draws among the scores this close to the best

  // 1 where N leaves out the visit that evaluated the node.
  static constexpr int32_t UncountedVisits(bool is_root) {
    if (kFpu == Fpu::kEzMeanQ || kFpu == Fpu::kMinizero) return 1;
    return is_root && (kFpu == Fpu::kMuzeroPaper || kFpu == Fpu::kZero) ? 1 : 0;
  }

  // --- the range of q-values -------------------------------------------------------------------

  Scale MakeScale(const Tree& tree, const Node& at) const {
    if (kTransform == QTransform::kMinMax) {
      return {params_.bound_low, params_.bound_high - params_.bound_low};
    }
    if (kTransform == QTransform::kTreeMinMax) {
      const double low = tree.state->q_low, high = tree.state->q_high;
      if (!(high > low)) return {};
      return {low, std::max(high - low, params_.range_floor)};
    }
    if (kTransform == QTransform::kParentAndSiblings) {
      double low = at.value, high = at.value;
      for (const Edge& edge : TakenEdges(tree, at)) {
        const double q = edge.q_value;
        low = q < low ? q : low;
        high = q > high ? q : high;
      }
      return {low, std::max(high - low, params_.range_floor)};
    }
    return {};
  }

  // A q-value on the scale of the score; only one that is no edge's own can leave [0, 1] where the
  // range is that of the q-values seen.
  static double Transformed(const Scale& scale, double q) {
    if (kTransform == QTransform::kNone) return q;
    return kTransform == QTransform::kMinMax ? scale(q) : ClampUnit(scale(q));
  }

  static double VisitedValue(const Scale& scale, const Edge& edge) {
    if (kTransform == QTransform::kParentAndSiblings) return scale(edge.q_value);
    return Transformed(scale, edge.q_value);
  }

  // --- edges never taken -----------------------------------------------------------------------

  double UnvisitedValue(const Tree& tree, const Node& at, const Scale& scale, bool is_root) {
    switch (kFpu) {
      case Fpu::kMctx:
        return kTransform == QTransform::kNone ? LeastValue(tree, at) : 0.0;
      case Fpu::kParentValue:
        return Transformed(scale, at.value);
      case Fpu::kMuzeroPaper:
        return 0.0;
      case Fpu::kEzMeanQ:
        mean_q_ = MeanQ(tree, at, is_root);
        return Transformed(scale, mean_q_);
      case Fpu::kZero:
        return Transformed(scale, 0.0);
      case Fpu::kMinizero:
        return OneMoreLoss(tree, at, scale);
    }
    return 0.0;
  }

  static double LeastValue(const Tree& tree, const Node& at) {
    double low = at.value;
    for (const Edge& edge : TakenEdges(tree, at)) {
      low = std::min(low, edge.q_value);
    }
    return low;
  }

  // EfficientZero's mean over taken edges; below the root, the parent's counts once more.
  double MeanQ(const Tree& tree, const Node& at, bool is_root) const {
    double total = 0.0;
    int32_t count = 0;
    for (const Edge& edge : TakenEdges(tree, at)) {
      ++count;
      total += edge.q_value;
    }
    return is_root ? total / std::max(count, 1) : (parent_q_ + total) / (count + 1);
  }

  // MiniZero: the mean over taken edges and one lost game; with one player, without it.
  static double OneMoreLoss(const Tree& tree, const Node& at, const Scale& scale) {
    constexpr double kLoss = kTransform == QTransform::kNone ? -1.0 : 0.0;
    constexpr double kWin = 1.0;
    double total = 0.0;
    int32_t count = 0;
    for (const Edge& edge : TakenEdges(tree, at)) {
      ++count;
      total += VisitedValue(scale, edge);
    }
    if (at.to_play == -1) return count > 0 ? total / count : kWin;
    return (total + kLoss) / (count + 1);
  }

  // --- which of the best -----------------------------------------------------------------------

  static double Score(const Scale& scale, double weight, const Edge& edge) {
    return VisitedValue(scale, edge) + weight * edge.share;
  }

  // The edge that stands for all that were never taken, or kNone: the best by its prior, or the
  // first where the prior has no weight, as before a root's first visit under some fpu.
  static int32_t BestOpen(const Tree& tree, int32_t node, double weight) {
    const int32_t best = tree.nodes[node].best_open;
    if (kTie != TieBreak::kLowest || weight != 0.0 || best == kNone) return best;
    const double* row = tree.row(node);
    int32_t first = 0;
    while (row[first] < 0.0) ++first;
    return first;
  }

  static Choice ChooseBest(const Tree& tree, int32_t node, const Scale& scale, double unvisited,
                           double weight) {
    const Node& at = tree.nodes[node];
    Choice best = {BestOpen(tree, node, weight), kNone};
    double best_score = -kInfinity, best_prior = 0.0;
    if (best.edge != kNone) {
      best_score = unvisited + weight * at.open_prior;
      best_prior = at.open_prior;
    }
    for (const Edge& edge : TakenEdges(tree, at)) {
      const double score = Score(scale, weight, edge);
      if (best.edge != kNone) {
        if (score < best_score) continue;
        if (score == best_score && !WinsTie(edge, best.edge, best_prior)) continue;
      }
      best = {edge.action, tree.child(edge)};
      best_score = score;
      best_prior = edge.prior;
    }
    return best;
  }

  static bool WinsTie(const Edge& edge, int32_t other, double other_prior) {
    if (kTie == TieBreak::kPrior && edge.prior != other_prior) return edge.prior > other_prior;
    return edge.action < other;
  }

  Choice ChooseAmongNear(const Tree& tree, int32_t node, const Scale& scale, double unvisited,
                         double weight) {
    const Node& at = tree.nodes[node];
    const double open = unvisited + weight * at.open_prior;
    double best = at.best_open == kNone ? -kInfinity : open;
    for (const Edge& edge : TakenEdges(tree, at)) {
      best = std::max(best, Score(scale, weight, edge));
    }
    near_.clear();
    for (const Edge& edge : TakenEdges(tree, at)) {
      if (Score(scale, weight, edge) >= best - kNear) {
        near_.push_back({edge.action, tree.child(edge)});
      }
    }
    if (at.best_open != kNone && open >= best - kNear) {
      AddNearOpen(tree, node, unvisited, weight, best - kNear);
    }
    if (near_.empty()) return ChooseBest(tree, node, scale, unvisited, weight);  // overflow
    std::sort(near_.begin(), near_.end(),
              [](const Choice& x, const Choice& y) { return x.edge < y.edge; });
    const double draw = Uniform(tree.state->seed, node, at.visits);
    return near_[static_cast<size_t>(draw * static_cast<double>(near_.size()))];
  }

  // Adds the open edges that reach `least`.
  void AddNearOpen(const Tree& tree, int32_t node, double unvisited, double weight, double least) {
    const double* row = tree.row(node);
    for (int32_t a = 0; a < tree.sizes->num_edges; ++a) {
      if (row[a] < 0.0) continue;
      if (unvisited + weight * OpenPrior(tree, node, a) >= least) near_.push_back({a, kNone});
    }
  }

  const PuctParams& params_;
  double parent_q_ = 0.0;      // Fpu::kEzMeanQ: mean_q_ of the node above, for the player here
  double mean_q_ = 0.0;        // Fpu::kEzMeanQ: of the node where the last choice was made
  std::vector<Choice>& near_;  // TieBreak::kRandom
};

}  // namespace lz

#endif  // LZ_CTREE_PUCT_H_
