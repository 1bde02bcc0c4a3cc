// What searches found, and whole trees for people to look at.

#include <algorithm>
#include <cstring>

#include "search.h"

namespace lz {

void Search::Result(const ResultArrays& out) {
  for (int64_t b = 0; b < num_roots_; ++b) TreeResult(out, b);
}

void Search::TreeResult(const ResultArrays& out, int64_t b) {
  const Tree tree = forest_.tree(b);
  const int32_t n = params_.num_edges;
  const int32_t given = params_.num_policy();
  out.value[b] = tree.nodes[0].value;
  out.raw_value[b] = tree.nodes[0].raw_value;
  out.num_evaluations[b] = tree.state->num_evaluations;
  std::copy_n(&given_logits_[b * params_.num_logits], given, out.prior_logits + b * given);
  for (const Edge& edge : TakenEdges(tree, tree.nodes[0])) {
    out.visit_count[b * n + edge.action] = edge.visits;
    out.q_value[b * n + edge.action] = edge.q_value;
  }
  if (out.improved_policy) GumbelResult(out, tree, b);
  SlotsOf(tree, 0, out.sampled_ids ? out.sampled_ids + b * n : nullptr,
          out.sampled_vectors ? out.sampled_vectors + b * tree.sizes->given_length : nullptr);
}

// The outcome of Sequential Halving, and the policy that learning aims at.
void Search::GumbelResult(const ResultArrays& out, const Tree& tree, int64_t b) {
  const int32_t n = params_.num_edges;
  PrepareChoice(tree, 0);
  const Completed completed = Complete(params_.gumbel, tree, 0);
  double* q = out.completed_q + b * n;
  std::fill_n(q, n, completed.unvisited);
  int32_t most_visits = 0;
  for (const Edge& edge : TakenEdges(tree, tree.nodes[0])) {
    q[edge.action] = edge.q_value;
    most_visits = std::max(most_visits, edge.visits);
  }
  out.best_edge[b] = Gumbel::Winner(params_.gumbel, tree, most_visits).edge;

  double* policy = scratch_[0].numbers.data();  // logits + values, then weights
  std::fill_n(policy, tree.sizes->row_length, -kInfinity);
  for (int32_t a = 0; a < n; ++a) {
    if (tree.root_logits[a] != -kInfinity) policy[a] = tree.root_logits[a] + completed.Scaled(q[a]);
  }
  const double total = WeighRow(policy, tree.sizes->row_length);
  for (int32_t a = 0; a < n; ++a) {
    if (policy[a] >= 0.0) out.improved_policy[b * n + a] = policy[a] / total;
  }
}

void Search::Snapshot(const SnapshotArrays& out) {
  for (int64_t b = 0; b < num_roots_; ++b) TreeSnapshot(out, b);
}

void Search::TreeSnapshot(const SnapshotArrays& out, int64_t b) {
  const Tree tree = forest_.tree(b);
  const int32_t num_used = params_.num_root_nodes() + simulation_;
  const int64_t first = b * params_.num_nodes();
  const int64_t x = params_.num_row_edges(), k = params_.num_edges;
  for (int32_t i = 0; i < num_used; ++i) {
    const Node& node = tree.nodes[i];
    if (node.visits == 0) continue;
    const int64_t at = first + i;
    out.node_visits[at] = node.visits;
    out.node_values[at] = node.value;
    out.raw_values[at] = node.raw_value;
    out.to_play[at] = node.to_play;
    out.is_chance[at] = node.is_chance;
    out.terminal[at] = node.is_terminal;
    if (out.value_prefix) {
      out.value_prefix[at] = node.value_prefix;
      out.is_reset[at] = node.is_reset;
    }
    DrawEdges(tree, i, &scratch_[0]);
    PriorOf(tree, i, out.prior + at * x);
    SlotsOf(tree, i, out.sampled_ids ? out.sampled_ids + at * k : nullptr,
            out.sampled_vectors ? out.sampled_vectors + at * tree.sizes->given_length : nullptr);
    if (i == 0) continue;
    const Edge& edge = tree.edges[i];
    const int64_t from = (first + edge.parent) * x + edge.action;
    out.parents[at] = edge.parent;
    out.action_from_parent[at] = edge.action;
    out.edge_visits[from] = edge.visits;
    out.edge_rewards[from] = edge.reward;
    out.edge_discounts[from] = edge.discount;
  }
}

// The prior of all edges of a node, whose row stays as it is.
void Search::PriorOf(const Tree& tree, int32_t node, double* out) {
  const Node& at = tree.nodes[node];
  if (at.is_terminal) return;
  double* row = scratch_[0].numbers.data();
  std::copy_n(tree.row(node), tree.sizes->row_length, row);
  const double total = at.total == 0.0 ? WeighRow(row, tree.sizes->row_length) : at.total;
  for (int32_t a = 0; a < tree.num_edges(node); ++a) {
    if (row[a] >= 0.0) out[a] = row[a] / total;
  }
  for (const Edge& edge : TakenEdges(tree, at)) {
    out[edge.action] = edge.weight / total;
  }
}

// What the edges of a decision node stand for, where actions are sampled.
void Search::SlotsOf(const Tree& tree, int32_t node, int64_t* ids, float* vectors) const {
  if (tree.nodes[node].is_chance || tree.nodes[node].is_terminal) return;
  for (int32_t k = 0; k < params_.num_edges; ++k) {
    if (ids) ids[k] = tree.slots_of(node)[k];
    if (vectors) {
      VectorOf(params_.sampling, tree, node, k, vectors + k * params_.sampling.action_dim);
    }
  }
}

}  // namespace lz
