// Memory, the roots, and what a node holds when it is new.

#include <algorithm>
#include <limits>
#include <new>

#include "search.h"

namespace lz {

namespace {

// The product of sizes, or std::bad_alloc where it cannot be a number of bytes.
size_t CheckedSize(int64_t a, int64_t b, int64_t c) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 64;
  if (c == 0) return 0;
  if (b > kMost / a || c > kMost / (a * b)) throw std::bad_alloc();
  return static_cast<size_t>(a * b * c);
}

int32_t WholeBlocks(int32_t n) { return (n + kBlock - 1) / kBlock * kBlock; }

Sizes SizesFor(const SearchParams& params) {
  const int32_t n = params.num_edges, d = params.sampling.action_dim;
  const bool is_gumbel = params.rule == RuleName::kGumbel;
  Sizes sizes;
  sizes.num_nodes = params.num_nodes();
  sizes.num_edges = n;
  sizes.num_outcomes = params.num_outcomes;
  sizes.row_length = WholeBlocks(params.num_row_edges());
  sizes.num_slots = params.is_sampled && d == 0 ? n : 0;
  sizes.policy_length = params.is_sampled ? params.num_policy() : 0;
  sizes.given_length = n * d;
  sizes.root_score_length = is_gumbel ? n : 0;
  sizes.considered_length = is_gumbel ? std::min(n, params.gumbel.max_num_considered_actions) : 0;
  return sizes;
}

// What a choice can need, so that no memory is asked for on the way.
void MakeRoom(const SearchParams& params, Scratch* scratch) {
  scratch->choices.reserve(params.num_edges);
  scratch->numbers.resize(std::max(WholeBlocks(params.num_row_edges()), params.num_logits));
  scratch->noisy.resize(params.num_actions);
  scratch->indices.reserve(std::max(params.num_actions, params.num_edges));
}

template <class Float>
void CopyRow(const char* from, int32_t n, double* to) {
  const Float* given = reinterpret_cast<const Float*>(from);
  for (int32_t a = 0; a < n; ++a) to[a] = static_cast<double>(given[a]);
}

void CopyRow(const NumberRows& from, int64_t b, int32_t n, double* to) {
  from.is_double ? CopyRow<double>(from.row(b), n, to) : CopyRow<float>(from.row(b), n, to);
}

void Mask(const Flags& legal_actions, int64_t b, int32_t n, double* row) {
  if (!legal_actions) return;
  const uint8_t* legal = legal_actions.row(b);
  for (int32_t a = 0; a < n; ++a) row[a] = legal[a] ? row[a] : -kInfinity;
}

}  // namespace

void Forest::Reserve(int64_t num_trees) {
  const size_t nodes = CheckedSize(num_trees, sizes_.num_nodes, 1);
  const size_t weights = CheckedSize(num_trees, sizes_.num_nodes, sizes_.row_length);
  const size_t slots = CheckedSize(num_trees, sizes_.num_nodes, sizes_.num_slots);
  const size_t policies = CheckedSize(num_trees, sizes_.num_nodes, sizes_.policy_length);
  if (states_.size() >= static_cast<size_t>(num_trees)) return;
  nodes_.resize(nodes);
  edges_.resize(nodes);
  weights_.resize(weights);
  slots_.resize(slots);
  policies_.resize(policies);
  root_logits_.resize(CheckedSize(num_trees, 1, sizes_.root_score_length));
  root_scores_.resize(root_logits_.size());
  considered_.resize(CheckedSize(num_trees, 1, sizes_.considered_length));
  states_.resize(num_trees);
  if (!given_.empty()) ReserveGiven();
}

void Forest::ReserveGiven() {
  given_.resize(
      CheckedSize(static_cast<int64_t>(states_.size()), sizes_.num_nodes, sizes_.given_length));
}

Search::Search(const SearchParams& params)
    : params_(params),
      forest_(SizesFor(params)),
      descent_(ForOptions(params)),
      crew_(params.num_threads),
      scratch_(params.num_threads) {
  for (Scratch& scratch : scratch_) MakeRoom(params, &scratch);
}

// --- the roots --------------------------------------------------------------------------------

void Search::Reserve(int64_t num_roots) {
  num_roots_ = 0;
  forest_.Reserve(num_roots);
  given_logits_.resize(CheckedSize(num_roots, params_.num_logits, 1));
  const size_t rows = CheckedSize(num_roots, params_.root_expand_all ? params_.num_edges : 1, 1);
  needs_evaluation_.resize(rows);
  is_outcome_.resize(rows);
  num_roots_ = num_roots;
}

void Search::Start(const Roots& roots) {
  crew_.Run(num_roots_, [&](int32_t part, int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) StartTree(roots, b, &scratch_[part]);
  });
  simulation_ = 0;
}

void Search::StartTree(const Roots& roots, int64_t b, Scratch* scratch) {
  const Tree tree = forest_.tree(b);
  TreeState& state = *tree.state;
  state = {};
  state.seed = roots.seeds ? roots.seeds[b] : 0;
  state.q_low = kInfinity;
  state.q_high = -kInfinity;
  state.reuse_edge = roots.reuse_edge ? static_cast<int32_t>(roots.reuse_edge[b]) : kNone;
  state.reuse_value = state.reuse_edge >= 0 ? roots.reuse_value[b] : 0.0;
  CopyRow(roots.evaluation.logits, b, params_.num_logits, &given_logits_[b * params_.num_logits]);

  const int8_t to_play = roots.to_play ? roots.to_play[b] : int8_t{-1};
  ResetNode(tree, 0, roots.evaluation.value[b], to_play, false);
  WriteNode(tree, 0, roots.evaluation, b, roots.legal_actions);
  DrawEdges(tree, 0, scratch);
  for (int32_t i = 1; i < params_.num_root_nodes(); ++i) tree.nodes[i].visits = 0;  // not yet
  if (params_.rule == RuleName::kGumbel) {
    RankRootEdges(tree, roots.noise, b, scratch);
  } else if (roots.noise.data && params_.root_noise_weight > 0.0) {
    MixIntoRootPrior(tree, roots.noise, b, scratch);
  }
}

// Replaces the root's weights by (1 - w) P + w * noise.
void Search::MixIntoRootPrior(const Tree& tree, const NumberRows& noise, int64_t b,
                              Scratch* scratch) {
  const double w = params_.root_noise_weight;
  const int32_t n = params_.num_edges;
  double* row = tree.row(0);
  double* share = scratch->numbers.data();
  CopyRow(noise, b, n, share);
  Weigh(tree, 0);
  if (params_.is_sampled) {  // noise on empty slots is dropped, the rest scaled up
    double sum = 0.0;
    for (int32_t a = 0; a < n; ++a) sum += row[a] < 0.0 ? 0.0 : share[a];
    if (sum == 0.0) return;
    for (int32_t a = 0; a < n; ++a) share[a] /= sum;
  }
  for (int32_t a = 0; a < n; ++a) {
    if (row[a] >= 0.0) row[a] = (1.0 - w) * OpenPrior(tree, 0, a) + w * share[a];
  }
  tree.nodes[0].total = SumOfOpen(row, tree.sizes->row_length);
}

// Orders the root's allowed edges by noise + logit, and keeps those that are considered.
void Search::RankRootEdges(const Tree& tree, const NumberRows& noise, int64_t b, Scratch* scratch) {
  const int32_t n = params_.num_edges;
  const double* row = tree.row(0);  // logits: nothing was chosen here yet
  std::copy_n(row, n, tree.root_logits);
  double* score = tree.root_scores;
  if (noise.data) {
    CopyRow(noise, b, n, score);
  } else {
    std::fill_n(score, n, 0.0);
  }
  const double largest = *std::max_element(row, row + n);
  std::vector<int32_t>& allowed = scratch->indices;
  allowed.clear();
  for (int32_t a = 0; a < n; ++a) {
    if (row[a] == -kInfinity) continue;
    score[a] += row[a] - largest;
    allowed.push_back(a);
  }
  const int32_t count =
      std::min(static_cast<int32_t>(allowed.size()), tree.sizes->considered_length);
  std::partial_sort(
      allowed.begin(), allowed.begin() + count, allowed.end(),
      [score](int32_t x, int32_t y) { return score[x] != score[y] ? score[x] > score[y] : x < y; });
  std::copy_n(allowed.begin(), count, tree.considered);
  tree.state->num_considered = count;
}

// --- a new node ----------------------------------------------------------------------------------

// Makes node number `node` a fresh one; its row is written by the caller.
void Search::ResetNode(const Tree& tree, int32_t node, double value, int8_t to_play,
                       bool is_chance) {
  Node fresh = {};
  fresh.value = fresh.raw_value = value;
  fresh.visits = 1;
  fresh.first_child = kNone;
  fresh.best_open = kUnknown;
  fresh.to_play = to_play;
  fresh.is_chance = is_chance;
  tree.nodes[node] = fresh;
}

// Writes the row of a node; where actions are sampled, what they are drawn from.
void Search::WriteNode(const Tree& tree, int32_t node, const Evaluation& evaluation, int64_t row,
                       const Flags& legal_actions) const {
  if (!params_.is_sampled || tree.nodes[node].is_chance) {
    const int32_t n = tree.num_edges(node);
    double* weights = tree.row(node);
    CopyRow(evaluation.logits, row, n, weights);
    std::fill(weights + n, weights + tree.sizes->row_length, -kInfinity);
    return Mask(legal_actions, row, n, weights);
  }
  double* policy = tree.policy_of(node);
  CopyRow(evaluation.logits, row, tree.sizes->policy_length, policy);
  if (!params_.has_vectors()) Mask(legal_actions, row, params_.num_actions, policy);
  if (evaluation.vectors) {
    std::copy_n(evaluation.vectors.row(row), tree.sizes->given_length, tree.given_to(node));
    tree.nodes[node].is_given = true;
  }
  if (evaluation.actions) {
    FillSlots(params_.sampling, tree, node, evaluation.actions.row(row));
    tree.nodes[node].is_drawn = true;
  }
}

// Samples the edges of a decision node, if that is still to be done; many leaves never need any.
void Search::DrawEdges(const Tree& tree, int32_t node, Scratch* scratch) const {
  Node& at = tree.nodes[node];
  if (!params_.is_sampled || at.is_drawn || at.is_chance || at.is_terminal) return;
  at.is_drawn = true;
  if (params_.has_vectors()) return WeighVectors(params_.sampling, tree, node);
  DrawSlots(params_.sampling, tree, node, scratch);
}

}  // namespace lz
