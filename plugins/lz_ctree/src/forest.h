// The memory of B searches: per tree M = S + 1 nodes, the M edges that lead to them, and one row of
// logits a node. Indices, not pointers; one allocation, reused from search to search.
//
//   tree b   nodes   [ root | node 1 | node 2 | ...          ]   simulation i owns node i + 1
//            edges   [  -   | edge 1 | edge 2 | ...          ]   edge i leads to node i
//            logits  [ E..  | E..    | E..    | ...          ]   -inf: taken, not allowed, or ..
//
// An edge has a record only once it is taken, so nothing here but the rows grows with E. The taken
// edges of a node are linked in the order of their actions (first_child, then next). All others
// share their value, so only the one with the largest logit can be chosen: the node remembers it
// (best_open), and the next best is looked for only after that one was taken. A node's softmax is
// summed when a search first chooses at it; many leaves never need one. Rows are filled up with
// -inf (..) to whole blocks.
//
// Shape letters: B roots searched together, M nodes of a tree, E edges of a node (the actions).

#ifndef LZ_CTREE_FOREST_H_
#define LZ_CTREE_FOREST_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "exponential.h"

namespace lz {

constexpr int32_t kNone = -1;
constexpr int32_t kUnknown = -2;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Node {
  double value;         // V: mean return, for the player to move here
  double raw_value;     // the network's own
  double logit_max;     // of the row when the softmax was summed
  double weight_sum;    // sum of exp(logit - logit_max); 0: not summed yet
  double open_prior;    // prior of best_open
  int32_t visits;       // N, the visit that evaluated the node included; 0: number unused
  int32_t first_child;  // lowest taken edge, or kNone
  int32_t best_open;    // edge with the largest logit never taken; kNone: all were; kUnknown: look
  int8_t to_play;       // -1, 1 or 2
};
static_assert(sizeof(Node) == 56, "a node fits into one cache line");

struct Edge {
  double q_value;   // reward + discount * V(child), for the player who moves at the parent
  double share;     // prior / (1 + visits)
  double prior;     // P, the softmax of the parent's logits
  double logit;     // what the parent's row held for this action
  double reward;    // of the step, for the player who moves at the parent
  double discount;  // signed: negative where the player changes
  int32_t parent;   // node
  int32_t action;
  int32_t next;    // the next higher taken sibling, or kNone
  int32_t visits;  // n
};
static_assert(sizeof(Edge) == 64, "an edge fills one cache line");

// One tree: views into a Forest.
struct Tree {
  Node* nodes;
  Edge* edges;
  double* logits;
  int32_t num_edges;   // E
  int32_t row_length;  // E and the filling
  uint64_t seed;

  double* row(int32_t node) const { return logits + static_cast<int64_t>(node) * row_length; }
};

// What a tree remembers besides nodes and edges.
struct TreeState {
  uint64_t seed;
  double q_low;  // least and greatest q_value the whole tree has seen
  double q_high;
  int32_t leaf_parent;  // the edge that the last select chose
  int32_t leaf_action;
  int32_t leaf_node;
};

// The first index of the largest of n numbers, or kNone if all are -inf; n is a multiple of kBlock.
inline int32_t ArgMax(const double* row, int32_t n) {
  double lane[kBlock];
  for (double& best : lane) best = -kInfinity;
  for (int32_t i = 0; i < n; i += kBlock) {
    for (int32_t j = 0; j < kBlock; ++j) lane[j] = row[i + j] > lane[j] ? row[i + j] : lane[j];
  }
  double best = -kInfinity;
  for (double value : lane) best = value > best ? value : best;
  if (best == -kInfinity) return kNone;
  int32_t first = 0;
  while (row[first] != best) ++first;
  return first;
}

// P(action) of a node whose softmax is summed; the action must be open.
inline double OpenPrior(const Tree& tree, int32_t node, int32_t action) {
  const Node& at = tree.nodes[node];
  return ExpOfNegative(tree.row(node)[action] - at.logit_max) / at.weight_sum;
}

// Makes `best_open`, `open_prior` and the softmax of a node known.
inline void PrepareChoice(const Tree& tree, int32_t node) {
  Node& at = tree.nodes[node];
  if (at.best_open != kUnknown) return;
  const double* row = tree.row(node);
  at.best_open = ArgMax(row, tree.row_length);
  if (at.best_open == kNone) return;
  if (at.weight_sum == 0.0) {
    at.logit_max = row[at.best_open];
    at.weight_sum = SumOfExp(row, tree.row_length, at.logit_max);
  }
  at.open_prior = OpenPrior(tree, node, at.best_open);
}

// Makes node number `node` a fresh one; its row of logits is written by the caller.
inline void ResetNode(const Tree& tree, int32_t node, double value, int8_t to_play) {
  tree.nodes[node] = {value, value, 0.0, 0.0, 0.0, 1, kNone, kUnknown, to_play};
}

// Records that `action` of `parent` is taken from now on and leads to node number `child`.
inline void Link(const Tree& tree, int32_t parent, int32_t action, int32_t child) {
  Node& from = tree.nodes[parent];
  double& logit = tree.row(parent)[action];
  Edge& edge = tree.edges[child];
  edge.prior = action == from.best_open ? from.open_prior : OpenPrior(tree, parent, action);
  edge.logit = logit;
  edge.parent = parent;
  edge.action = action;
  edge.visits = 0;
  int32_t* link = &from.first_child;
  while (*link != kNone && tree.edges[*link].action < action) link = &tree.edges[*link].next;
  edge.next = *link;
  *link = child;
  if (action == from.best_open) from.best_open = kUnknown;
  logit = -kInfinity;
}

class Forest {
 public:
  Forest(int32_t num_nodes, int32_t num_edges)
      : num_nodes_(num_nodes),
        num_edges_(num_edges),
        row_length_((num_edges + kBlock - 1) / kBlock * kBlock) {}

  // Makes room for B trees; memory never shrinks. Throws std::bad_alloc or std::length_error.
  void Reserve(int64_t num_trees);

  Tree tree(int64_t b) {
    const int64_t first = b * num_nodes_;
    return {&nodes_[first], &edges_[first], &logits_[first * row_length_],
            num_edges_,     row_length_,    states_[b].seed};
  }
  TreeState& state(int64_t b) { return states_[b]; }
  int32_t num_nodes() const { return num_nodes_; }

 private:
  int32_t num_nodes_;
  int32_t num_edges_;
  int32_t row_length_;
  std::vector<Node> nodes_;        // [B, M]
  std::vector<Edge> edges_;        // [B, M]
  std::vector<double> logits_;     // [B, M, row_length]
  std::vector<TreeState> states_;  // [B]
};

}  // namespace lz

#endif  // LZ_CTREE_FOREST_H_
