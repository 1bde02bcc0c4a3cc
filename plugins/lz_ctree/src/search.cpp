#include "search.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

#include "chance.h"

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

Scratch ScratchFor(const SearchParams& params) {
  Scratch scratch;
  scratch.choices.reserve(params.num_edges);
  scratch.numbers.resize(std::max(WholeBlocks(params.num_row_edges()), params.num_logits));
  scratch.noisy.resize(params.num_actions);
  scratch.indices.reserve(std::max(params.num_actions, params.num_edges));
  return scratch;
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

int8_t OtherPlayer(int8_t player) {
  return player == -1 ? player : static_cast<int8_t>(3 - player);
}

// Makes node number `node` a fresh one; its row is written by the caller.
void ResetNode(const Tree& tree, int32_t node, double value, int8_t to_play, bool is_chance) {
  Node fresh = {};
  fresh.value = fresh.raw_value = value;
  fresh.visits = 1;
  fresh.first_child = kNone;
  fresh.best_open = kUnknown;
  fresh.to_play = to_play;
  fresh.is_chance = is_chance;
  tree.nodes[node] = fresh;
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
      scratch_(params.num_threads, ScratchFor(params)) {}

// --- 1. the roots --------------------------------------------------------------------------------

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

// --- 2. down to a leaf ---------------------------------------------------------------------------

void Search::SelectRootEdges(const LeafArrays& leaves) {
  for (int64_t b = 0; b < num_roots_; ++b) {
    const Tree tree = forest_.tree(b);
    Weigh(tree, 0);
    for (int32_t k = 0; k < params_.num_edges; ++k) {
      const int64_t row = k * num_roots_ + b;
      leaves.parent[row] = 0;
      leaves.node[row] = 1 + k;
      leaves.depth[row] = 1;
      leaves.is_outcome[row] = is_outcome_[row] = false;
      leaves.needs_evaluation[row] = needs_evaluation_[row] = tree.row(0)[k] >= 0.0;
      leaves.action[row] = ActionOf(tree, 0, k);
      if (leaves.vector) {
        VectorOf(params_.sampling, tree, 0, k, leaves.vector + row * params_.sampling.action_dim);
      }
    }
  }
}

void Search::Select(const LeafArrays& leaves) { (this->*descent_)(leaves); }

template <class Rule>
void Search::DescendAll(const LeafArrays& leaves) {
  crew_.Run(num_roots_, [&](int32_t part, int64_t begin, int64_t end) {
    Rule rule(params_, &scratch_[part]);
    for (int64_t b = begin; b < end; ++b) {
      const Tree tree = forest_.tree(b);
      Descend(&rule, tree, &scratch_[part]);
      TellLeaf(tree, b, leaves);
    }
  });
}

// Follows the rule's choices to an edge never taken, a finished game, or max_depth.
template <class Rule>
void Search::Descend(Rule* rule, const Tree& tree, Scratch* scratch) const {
  rule->BeginDescent();
  int32_t node = 0;
  for (int32_t depth = 1;; ++depth) {
    const bool is_outcome = tree.nodes[node].is_chance;
    DrawEdges(tree, node, scratch);
    const Choice choice = !is_outcome ? rule->Choose(tree, node)
                          : params_.chance_select == ChanceSelect::kQuasiRandom
                              ? ChooseQuasiRandom(tree, node)
                              : ChooseSampled(tree, node);
    const bool is_new = choice.child == kNone;
    if (is_new || depth >= params_.max_depth || tree.nodes[choice.child].is_closed) {
      tree.state->leaf_parent = node;
      tree.state->leaf_edge = choice.edge;
      tree.state->leaf_node = is_new ? params_.num_root_nodes() + simulation_ : choice.child;
      tree.state->leaf_depth = depth;
      return;
    }
    rule->Follow(tree.edges[choice.child], is_outcome);
    node = choice.child;
  }
}

void Search::TellLeaf(const Tree& tree, int64_t row, const LeafArrays& leaves) {
  const TreeState& state = *tree.state;
  const int32_t fresh = params_.num_root_nodes() + simulation_;
  const bool is_outcome = tree.nodes[state.leaf_parent].is_chance;
  leaves.parent[row] = state.leaf_parent;
  leaves.node[row] = state.leaf_node;
  leaves.depth[row] = state.leaf_depth;
  leaves.is_outcome[row] = is_outcome_[row] = is_outcome;
  leaves.needs_evaluation[row] = needs_evaluation_[row] =
      state.leaf_node == fresh || !tree.nodes[state.leaf_node].is_closed;
  leaves.action[row] =
      is_outcome ? state.leaf_edge : ActionOf(tree, state.leaf_parent, state.leaf_edge);
  if (leaves.vector) {
    VectorOf(params_.sampling, tree, state.leaf_parent, state.leaf_edge,
             leaves.vector + row * params_.sampling.action_dim);
  }
}

// What an edge of a decision node stands for: an action, or the number of its vector.
int64_t Search::ActionOf(const Tree& tree, int32_t node, int32_t edge) const {
  return tree.sizes->num_slots > 0 ? tree.slots_of(node)[edge] : edge;
}

// Each combination of options is compiled by itself; here one is picked.

Search::Descent Search::ForOptions(const SearchParams& params) {
  if (params.rule == RuleName::kGumbel) return &Search::DescendAll<Gumbel>;
  switch (params.puct.q_transform) {
    case QTransform::kParentAndSiblings:
      return ForFpu<QTransform::kParentAndSiblings>(params.puct);
    case QTransform::kMinMax:
      return ForFpu<QTransform::kMinMax>(params.puct);
    case QTransform::kTreeMinMax:
      return ForFpu<QTransform::kTreeMinMax>(params.puct);
    case QTransform::kNone:
      break;
  }
  return ForFpu<QTransform::kNone>(params.puct);
}

template <QTransform kTransform>
Search::Descent Search::ForFpu(const PuctParams& puct) {
  switch (puct.fpu) {
    case Fpu::kMctx:
      return ForTieBreak<kTransform, Fpu::kMctx>(puct.tie_break);
    case Fpu::kParentValue:
      return ForTieBreak<kTransform, Fpu::kParentValue>(puct.tie_break);
    case Fpu::kMuzeroPaper:
      return ForTieBreak<kTransform, Fpu::kMuzeroPaper>(puct.tie_break);
    case Fpu::kEzMeanQ:
      return ForTieBreak<kTransform, Fpu::kEzMeanQ>(puct.tie_break);
    case Fpu::kZero:
      return ForTieBreak<kTransform, Fpu::kZero>(puct.tie_break);
    case Fpu::kMinizero:
      break;
  }
  return ForTieBreak<kTransform, Fpu::kMinizero>(puct.tie_break);
}

template <QTransform kTransform, Fpu kFpu>
Search::Descent Search::ForTieBreak(TieBreak tie_break) {
  switch (tie_break) {
    case TieBreak::kLowest:
      return &Search::DescendAll<Puct<kTransform, kFpu, TieBreak::kLowest>>;
    case TieBreak::kPrior:
      return &Search::DescendAll<Puct<kTransform, kFpu, TieBreak::kPrior>>;
    case TieBreak::kRandom:
      break;
  }
  return &Search::DescendAll<Puct<kTransform, kFpu, TieBreak::kRandom>>;
}

// --- 3. the leaf's evaluation, and back up -------------------------------------------------------

void Search::BackupRootEdges(const Evaluation& evaluation) {
  for (int64_t b = 0; b < num_roots_; ++b) {
    const Tree tree = forest_.tree(b);
    TreeState& state = *tree.state;
    for (int32_t k = params_.num_edges; k-- > 0;) {  // so that each comes first in the list
      if (tree.row(0)[k] < 0.0) {
        tree.nodes[1 + k].visits = 0;
        continue;
      }
      state.leaf_parent = 0;
      state.leaf_edge = k;
      state.leaf_node = 1 + k;
      state.leaf_depth = 1;
      Link(tree, 0, k, 1 + k);
      StoreLeaf(tree, evaluation, k * num_roots_ + b);
      Edge& edge = tree.edges[1 + k];
      edge.q_value = edge.reward + edge.discount * tree.nodes[1 + k].value;
      state.q_low = std::min(state.q_low, edge.q_value);
      state.q_high = std::max(state.q_high, edge.q_value);
    }
  }
}

void Search::Backup(const Evaluation& evaluation) {
  const int32_t fresh = params_.num_root_nodes() + simulation_;
  crew_.Run(num_roots_, [&](int32_t, int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const Tree tree = forest_.tree(b);
      const int32_t leaf = tree.state->leaf_node;
      if (leaf == fresh) {
        Link(tree, tree.state->leaf_parent, tree.state->leaf_edge, leaf);
        StoreLeaf(tree, evaluation, b);
      } else {  // an older node: max_depth sent us to it again, or its value is known
        const int32_t visits = tree.nodes[leaf].visits + 1;
        if (!tree.nodes[leaf].is_closed) StoreLeaf(tree, evaluation, b);
        tree.nodes[leaf].visits = visits;
        tree.nodes[fresh].visits = 0;  // this number stays unused
      }
      CarryUp(tree);
    }
  });
  ++simulation_;
}

// Writes the node and the edge that the last select chose.
void Search::StoreLeaf(const Tree& tree, const Evaluation& evaluation, int64_t row) const {
  TreeState& state = *tree.state;
  const Node& parent = tree.nodes[state.leaf_parent];
  const bool is_chance = evaluation.is_chance ? evaluation.is_chance[row]
                                              : params_.num_outcomes > 0 && !parent.is_chance;
  const int8_t player = evaluation.to_play ? evaluation.to_play[row]
                        : is_chance        ? parent.to_play
                                           : OtherPlayer(parent.to_play);
  const int32_t leaf = state.leaf_node;
  ResetNode(tree, leaf, evaluation.value[row], player, is_chance);
  ++state.num_evaluations;
  Node& node = tree.nodes[leaf];
  WriteEdge(tree, leaf, state.leaf_depth, evaluation, row);
  if (evaluation.terminal && evaluation.terminal[row]) {
    node.is_terminal = node.is_closed = true;
    std::fill_n(tree.row(leaf), tree.sizes->row_length, -kInfinity);
  } else {
    WriteNode(tree, leaf, evaluation, row, evaluation.legal_actions);
  }
  if (state.leaf_parent == 0 && state.leaf_edge == state.reuse_edge) {
    node.value = state.reuse_value;
    node.is_closed = true;
    tree.edges[leaf].prior = 0.0;  // the score is its value alone
  }
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

// Writes the step into a node that stands at `depth`.
void Search::WriteEdge(const Tree& tree, int32_t leaf, int32_t depth, const Evaluation& evaluation,
                       int64_t row) const {
  Edge& edge = tree.edges[leaf];
  Node& node = tree.nodes[leaf];
  const Node& parent = tree.nodes[edge.parent];
  const double step = node.is_chance ? 1.0 : params_.discount;
  edge.discount = node.to_play == parent.to_play ? step : -step;
  if (evaluation.discount) edge.discount = evaluation.discount[row];
  edge.reward = evaluation.reward ? evaluation.reward[row] : 0.0;
  if (!params_.value_prefix) return;
  node.value_prefix = edge.reward;
  node.is_reset = depth % params_.lstm_horizon_len == 0;
  if (!parent.is_reset) edge.reward -= parent.value_prefix;
}

// Moves the mean of every node above the leaf, and the q-value of every edge between.
void Search::CarryUp(const Tree& tree) const {
  TreeState& state = *tree.state;
  double gain = tree.nodes[state.leaf_node].value;
  for (int32_t node = state.leaf_node; node != 0;) {
    Edge& edge = tree.edges[node];
    Node& parent = tree.nodes[edge.parent];
    gain = edge.reward + edge.discount * gain;
    parent.value = (parent.value * parent.visits + gain) / (parent.visits + 1);
    ++parent.visits;
    ++edge.visits;
    edge.share = edge.prior / (1 + edge.visits);
    edge.q_value = edge.reward + edge.discount * tree.nodes[node].value;
    state.q_low = std::min(state.q_low, edge.q_value);
    state.q_high = std::max(state.q_high, edge.q_value);
    node = edge.parent;
  }
}

}  // namespace lz
