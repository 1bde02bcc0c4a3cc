// The descent and the backup.

#include "search.h"

#include <algorithm>

#include "chance.h"

namespace lz {

namespace {

int8_t OtherPlayer(int8_t player) {
  return player == -1 ? player : static_cast<int8_t>(3 - player);
}

// The q-value of the edge into a node, after the node's mean has moved.
void UpdateQ(const Tree& tree, int32_t node) {
  Edge& edge = tree.edges[node];
  TreeState& state = *tree.state;
  edge.q_value = edge.reward + edge.discount * tree.nodes[node].value;
  state.q_low = std::min(state.q_low, edge.q_value);
  state.q_high = std::max(state.q_high, edge.q_value);
}

}  // namespace

// --- down to a leaf ---------------------------------------------------------------------------

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
    if (params_.is_sampled) DrawEdges(tree, node, scratch);
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

// --- the leaf's evaluation, and back up -------------------------------------------------------

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
      UpdateQ(tree, 1 + k);
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
  const int32_t leaf = tree.state->leaf_node;
  double gain = tree.nodes[leaf].value;
  for (int32_t node = leaf; node != 0;) {
    Edge& edge = tree.edges[node];
    Node& parent = tree.nodes[edge.parent];
    gain = edge.reward + edge.discount * gain;
    parent.value = (parent.value * parent.visits + gain) / (parent.visits + 1);
    ++parent.visits;
    ++edge.visits;
    edge.share = edge.prior / (1 + edge.visits);
    UpdateQ(tree, node);
    node = edge.parent;
  }
}

}  // namespace lz
