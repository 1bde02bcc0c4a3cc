// Which outcome a search follows at a chance node.

#ifndef LZ_CTREE_CHANCE_H_
#define LZ_CTREE_CHANCE_H_

#include <cstdint>

#include "choice.h"
#include "forest.h"
#include "seeding.h"

namespace lz {

constexpr uint64_t kChanceStream = 0x6368616E6365;

// The outcome that lags behind its probability most: the largest P / (1 + n), the lowest of equals.
inline Choice ChooseQuasiRandom(const Tree& tree, int32_t node) {
  PrepareChoice(tree, node);
  const Node& at = tree.nodes[node];
  Choice best = {at.best_open, kNone};
  double best_share = best.edge == kNone ? -kInfinity : at.open_prior;
  for (const Edge& edge : TakenEdges(tree, at)) {
    if (edge.share < best_share || (edge.share == best_share && edge.action > best.edge)) continue;
    best = {edge.action, tree.child(edge)};
    best_share = edge.share;
  }
  return best;
}

// An outcome drawn from P; a function of the tree's seed, the node and its visits.
inline Choice ChooseSampled(const Tree& tree, int32_t node) {
  PrepareChoice(tree, node);
  const Node& at = tree.nodes[node];
  const double draw = Uniform(DeriveSeed(tree.state->seed, kChanceStream), node, at.visits);
  const double* row = tree.row(node);
  Choice chosen = {kNone, kNone};
  double reached = 0.0;
  int32_t next = at.first_child;
  for (int32_t a = 0; a < tree.sizes->num_outcomes; ++a) {
    const bool is_taken = next != kNone && tree.edges[next].action == a;
    if (!is_taken && row[a] < 0.0) continue;
    chosen = {a, is_taken ? next : kNone};
    reached += is_taken ? tree.edges[next].prior : OpenPrior(tree, node, a);
    if (reached > draw) break;
    if (is_taken) next = tree.edges[next].next;
  }
  return chosen;
}

}  // namespace lz

#endif  // LZ_CTREE_CHANCE_H_
