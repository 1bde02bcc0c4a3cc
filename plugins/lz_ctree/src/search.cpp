#include "search.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <new>

namespace lz {

namespace {

// The product of sizes, or std::bad_alloc where it cannot be a number of bytes.
size_t CheckedSize(int64_t a, int64_t b, int64_t c) {
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max() / 64;
  if (b > kMost / a || c > kMost / (a * b)) throw std::bad_alloc();
  return static_cast<size_t>(a * b * c);
}

template <class Float>
void CopyRow(const char* from, int32_t n, double* to) {
  const Float* given = reinterpret_cast<const Float*>(from);
  for (int32_t a = 0; a < n; ++a) to[a] = static_cast<double>(given[a]);
}

void CopyRow(const NumberRows& from, int64_t b, int32_t n, double* to) {
  from.is_double ? CopyRow<double>(from.row(b), n, to) : CopyRow<float>(from.row(b), n, to);
}

// Writes the logits of a node: -inf where illegal, and behind the last.
void WriteRow(const Tree& tree, int32_t node, const NumberRows& logits, const Flags& legal_actions,
              int64_t b) {
  double* row = tree.row(node);
  CopyRow(logits, b, tree.num_edges, row);
  std::fill(row + tree.num_edges, row + tree.row_length, -kInfinity);
  if (!legal_actions) return;
  const uint8_t* legal = legal_actions.row(b);
  for (int32_t a = 0; a < tree.num_edges; ++a) row[a] = legal[a] ? row[a] : -kInfinity;
}

int8_t OtherPlayer(int8_t player) {
  return player == -1 ? player : static_cast<int8_t>(3 - player);
}

}  // namespace

void Forest::Reserve(int64_t num_trees) {
  const size_t nodes = CheckedSize(num_trees, num_nodes_, 1);
  const size_t logits = CheckedSize(num_trees, num_nodes_, row_length_);
  if (states_.size() >= static_cast<size_t>(num_trees)) return;
  nodes_.resize(nodes);
  edges_.resize(nodes);
  logits_.resize(logits);
  states_.resize(num_trees);
}

Search::Search(const SearchParams& params)
    : params_(params),
      forest_(params.num_simulations + 1, params.num_actions),
      descent_(ForOptions(params.puct)),
      mixed_(params.num_actions) {}

// --- 1. the roots --------------------------------------------------------------------------------

void Search::Reserve(int64_t num_roots) {
  num_roots_ = 0;
  forest_.Reserve(num_roots);
  root_logits_.resize(CheckedSize(num_roots, params_.num_actions, 1));
  num_roots_ = num_roots;
}

void Search::Start(const Roots& roots) {
  const int32_t n = params_.num_actions;
  for (int64_t b = 0; b < num_roots_; ++b) {
    TreeState& state = forest_.state(b);
    state = {roots.seeds ? roots.seeds[b] : 0, kInfinity, -kInfinity, kNone, kNone, kNone};
    const Tree tree = forest_.tree(b);
    ResetNode(tree, 0, roots.evaluation.value[b], roots.to_play ? roots.to_play[b] : int8_t{-1});
    double* given = &root_logits_[b * n];
    CopyRow(roots.evaluation.logits, b, n, given);
    WriteRow(tree, 0, roots.evaluation.logits, roots.legal_actions, b);
    if (roots.noise.data && params_.root_noise_weight > 0.0) MixIntoRootPrior(tree, roots.noise, b);
  }
  simulation_ = 0;
}

// Replaces the root's logits by those of (1 - w) P + w * noise.
void Search::MixIntoRootPrior(const Tree& tree, const NumberRows& noise, int64_t b) {
  const double w = params_.root_noise_weight;
  const double tiny = std::numeric_limits<double>::min();
  double* row = tree.row(0);
  CopyRow(noise, b, tree.num_edges, mixed_.data());
  PrepareChoice(tree, 0);
  for (int32_t a = 0; a < tree.num_edges; ++a) {
    if (row[a] == -kInfinity) continue;
    row[a] = std::log(std::max((1.0 - w) * OpenPrior(tree, 0, a) + w * mixed_[a], tiny));
  }
  ResetNode(tree, 0, tree.nodes[0].value, tree.nodes[0].to_play);
}

// --- 2. down to a leaf ---------------------------------------------------------------------------

void Search::Select(const LeafArrays& leaves) { (this->*descent_)(leaves); }

template <class Rule>
void Search::DescendAll(const LeafArrays& leaves) {
  Rule rule(params_.puct);
  for (int64_t b = 0; b < num_roots_; ++b) {
    TreeState& state = forest_.state(b);
    leaves.depth[b] = Descend(rule, forest_.tree(b), state);
    leaves.parent[b] = state.leaf_parent;
    leaves.action[b] = state.leaf_action;
    leaves.node[b] = state.leaf_node;
  }
}

// Follows the rule's choices to an edge never taken, or to max_depth; returns the depth.
template <class Rule>
int32_t Search::Descend(Rule& rule, const Tree& tree, TreeState& state) const {
  rule.BeginDescent();
  int32_t node = 0;
  for (int32_t depth = 1;; ++depth) {
    const Choice choice = rule.Choose(tree, state, node);
    if (choice.child == kNone || depth >= params_.max_depth) {
      state.leaf_parent = node;
      state.leaf_action = choice.action;
      state.leaf_node = choice.child == kNone ? simulation_ + 1 : choice.child;
      return depth;
    }
    rule.Follow(tree.edges[choice.child]);
    node = choice.child;
  }
}

Search::Descent Search::ForOptions(const PuctParams& puct) {
  switch (puct.q_transform) {
    case QTransform::kParentAndSiblings:
      return ForFpu<QTransform::kParentAndSiblings>(puct);
    case QTransform::kMinMax:
      return ForFpu<QTransform::kMinMax>(puct);
    case QTransform::kTreeMinMax:
      return ForFpu<QTransform::kTreeMinMax>(puct);
    case QTransform::kNone:
      break;
  }
  return ForFpu<QTransform::kNone>(puct);
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

void Search::Backup(const Evaluation& evaluation) {
  for (int64_t b = 0; b < num_roots_; ++b) {
    const Tree tree = forest_.tree(b);
    StoreLeaf(tree, forest_.state(b), evaluation, b);
    CarryUp(tree, forest_.state(b));
  }
  ++simulation_;
}

// Writes the leaf, which is new, or an older node that max_depth sent us to again.
void Search::StoreLeaf(const Tree& tree, const TreeState& state, const Evaluation& evaluation,
                       int64_t b) {
  const int32_t leaf = state.leaf_node;
  const int8_t mover = tree.nodes[state.leaf_parent].to_play;
  const int8_t player = evaluation.to_play ? evaluation.to_play[b] : OtherPlayer(mover);
  if (leaf == simulation_ + 1) {
    Link(tree, state.leaf_parent, state.leaf_action, leaf);
    ResetNode(tree, leaf, evaluation.value[b], player);
  } else {
    const int32_t visits = tree.nodes[leaf].visits + 1;
    ResetNode(tree, leaf, evaluation.value[b], player);
    tree.nodes[leaf].visits = visits;
    tree.nodes[simulation_ + 1].visits = 0;  // this number stays unused
  }
  WriteRow(tree, leaf, evaluation.logits, evaluation.legal_actions, b);

  Edge& edge = tree.edges[leaf];
  edge.reward = evaluation.reward ? evaluation.reward[b] : 0.0;
  edge.discount = player == mover ? params_.discount : -params_.discount;
  if (evaluation.discount) edge.discount = evaluation.discount[b];
}

// Moves the mean of every node above the leaf, and the q-value of every edge between.
void Search::CarryUp(const Tree& tree, TreeState& state) {
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

// --- 4. what was found ---------------------------------------------------------------------------

void Search::Result(const ResultArrays& out) {
  const int32_t n = params_.num_actions;
  for (int64_t b = 0; b < num_roots_; ++b) {
    const Tree tree = forest_.tree(b);
    out.value[b] = tree.nodes[0].value;
    out.raw_value[b] = tree.nodes[0].raw_value;
    std::memcpy(out.prior_logits + b * n, &root_logits_[b * n], n * sizeof(double));
    for (int32_t c = tree.nodes[0].first_child; c != kNone; c = tree.edges[c].next) {
      const Edge& edge = tree.edges[c];
      out.visit_count[b * n + edge.action] = edge.visits;
      out.q_value[b * n + edge.action] = edge.q_value;
    }
  }
}

void Search::Snapshot(const SnapshotArrays& out) {
  for (int64_t b = 0; b < num_roots_; ++b) SnapshotTree(out, b);
}

void Search::SnapshotTree(const SnapshotArrays& out, int64_t b) {
  const Tree tree = forest_.tree(b);
  const int32_t n = tree.num_edges;
  const int64_t first = b * forest_.num_nodes();
  for (int32_t i = 0; i <= simulation_; ++i) {
    const Node& node = tree.nodes[i];
    if (node.visits == 0) continue;
    out.node_visits[first + i] = node.visits;
    out.node_values[first + i] = node.value;
    out.raw_values[first + i] = node.raw_value;
    std::memcpy(out.logits + (first + i) * n, tree.row(i), n * sizeof(double));
  }
  for (int32_t i = 1; i <= simulation_; ++i) {
    if (tree.nodes[i].visits == 0) continue;
    const Edge& edge = tree.edges[i];
    const int64_t at = (first + edge.parent) * n + edge.action;
    out.parents[first + i] = edge.parent;
    out.action_from_parent[first + i] = edge.action;
    out.edge_visits[at] = edge.visits;
    out.edge_rewards[at] = edge.reward;
    out.edge_discounts[at] = edge.discount;
    out.logits[at] = edge.logit;
  }
  for (int32_t a = 0; a < n; ++a) {  // without noise
    double& logit = out.logits[first * n + a];
    if (logit != -kInfinity) logit = root_logits_[b * n + a];
  }
}

}  // namespace lz
