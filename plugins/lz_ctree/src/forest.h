// The memory of B searches: per tree M nodes, the edges that lead to them, and one row of weights
// a node. Indices, not pointers; one allocation, reused from search to search.
//
//   tree b   nodes    [ root | node 1 | node 2 | ...          ]
//            edges    [  -   | edge 1 | edge 2 | ...          ]   edge i leads to node i
//            weights  [ X..  | X..    | X..    | ...          ]   kClosed: taken, not allowed, or
//            .. slots    [ K    | K      | K      | ...          ]   only where actions are sampled
//
// An edge has a record only once it is taken, so nothing here but the rows grows with X. The taken
// edges of a node are linked in the order of their numbers (first_child, then next). All others
// share their value, so only the one with the largest prior can be chosen: the node remembers it
// (best_open), and the next best is looked for only after that one was taken. A row holds logits
// (-inf: not allowed) until a search first chooses at its node, then weights exp(logit - largest);
// many leaves never come to that. Rows are filled up (..) to whole blocks.
//
// Shape letters: B roots searched together, M nodes of a tree, E edges of a decision node, C chance
// outcomes, X the longer of E and C, K sampled actions, D numbers of a continuous action, W numbers
// a policy (A logits, or D means and D deviations).

#ifndef LZ_CTREE_FOREST_H_
#define LZ_CTREE_FOREST_H_

#include <cstdint>
#include <limits>
#include <vector>

#include "functions.h"

namespace lz {

constexpr int32_t kNone = -1;
constexpr int32_t kUnknown = -2;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Node {
  double value;         // V: mean return, for the player to move here
  double raw_value;     // the network's own
  double total;         // sum of all weights; 0: the row holds logits
  double open_prior;    // prior of best_open
  double open_total;    // `gumbel`: sum of the weights of edges never taken
  double value_prefix;  // rewards since the last reset, as the model told
  int32_t visits;       // N, the visit that evaluated the node included; 0: number unused
  int32_t first_child;  // lowest taken edge, or kNone
  int32_t best_open;    // edge with the largest weight never taken; kNone: none; kUnknown: look
  int8_t to_play;       // -1, 1 or 2
  uint8_t is_chance : 1;
  uint8_t is_closed : 1;    // a descent ends here, and its value is known
  uint8_t is_terminal : 1;  // .. because the game is over
  uint8_t is_reset : 1;     // value prefixes of its children start from 0
  uint8_t is_drawn : 1;     // its edges were sampled, and its row is written
  uint8_t is_given : 1;     // .. or vectors for them were told
};
static_assert(sizeof(Node) == 64, "a node fills one cache line");

struct Edge {
  double q_value;   // reward + discount * V(child), for the player who moves at the parent
  double share;     // prior / (1 + visits)
  double prior;     // P, the softmax of the parent's logits; 0 where it has no part in the score
  double weight;    // what the parent's row held
  double reward;    // of the step, for the player who moves at the parent
  double discount;  // signed: negative where the player changes
  int32_t parent;   // node
  int32_t action;   // edge of the parent, or outcome
  int32_t next;     // the next higher taken sibling, or kNone
  int32_t visits;   // n
};
static_assert(sizeof(Edge) == 64, "an edge fills one cache line");

// How large everything is.
struct Sizes {
  int32_t num_nodes;          // M
  int32_t num_edges;          // E
  int32_t num_outcomes;       // C
  int32_t row_length;         // X and the filling
  int32_t num_slots;          // K where discrete actions are sampled, else 0
  int32_t policy_length;      // W where actions are sampled, else 0
  int32_t given_length;       // K * D
  int32_t root_score_length;  // E under `gumbel`, else 0
  int32_t considered_length;  // root edges that `gumbel` may consider
};

// What a tree remembers besides nodes and edges.
struct TreeState {
  uint64_t seed;
  double q_low;  // least and greatest q_value the whole tree has seen
  double q_high;
  double reuse_value;
  int32_t reuse_edge;  // of the root; kNone: nothing is reused
  int32_t num_considered;
  int32_t num_evaluations;
  int32_t leaf_parent;  // the edge that the last select chose
  int32_t leaf_edge;
  int32_t leaf_node;
  int32_t leaf_depth;
};

// One tree: views into a Forest.
struct Tree {
  const Sizes* sizes;
  Node* nodes;
  Edge* edges;
  double* weights;
  int32_t* slots;       // [M, K] actions, kNone where empty
  double* policies;     // [M, W] logits (-inf: not allowed), or means and deviations
  float* given;         // [M, K * D] vectors that were told
  double* root_logits;  // [E] under `gumbel`; -inf where not allowed
  double* root_scores;  // [E] under `gumbel`: noise + logit - largest logit, of allowed edges
  int32_t* considered;  // [num_considered] root edges, the best first
  TreeState* state;

  double* row(int32_t node) const {
    return weights + static_cast<int64_t>(node) * sizes->row_length;
  }
  int32_t* slots_of(int32_t node) const {
    return slots + static_cast<int64_t>(node) * sizes->num_slots;
  }
  double* policy_of(int32_t node) const {
    return policies + static_cast<int64_t>(node) * sizes->policy_length;
  }
  float* given_to(int32_t node) const {
    return given + static_cast<int64_t>(node) * sizes->given_length;
  }
  int32_t child(const Edge& taken) const { return static_cast<int32_t>(&taken - edges); }
  int32_t num_edges(int32_t node) const {
    return nodes[node].is_chance ? sizes->num_outcomes : sizes->num_edges;
  }
};

// The edges of a node that were taken, in the order of their numbers.
class TakenEdges {
 public:
  class Iterator {
   public:
    Iterator(const Edge* edges, int32_t at) : edges_(edges), at_(at) {}
    const Edge& operator*() const { return edges_[at_]; }
    Iterator& operator++() {
      at_ = edges_[at_].next;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return at_ != other.at_; }

   private:
    const Edge* edges_;
    int32_t at_;
  };

  TakenEdges(const Tree& tree, const Node& node) : edges_(tree.edges), first_(node.first_child) {}
  Iterator begin() const { return {edges_, first_}; }
  Iterator end() const { return {edges_, kNone}; }

 private:
  const Edge* edges_;
  int32_t first_;
};

// Turns the logits of a node's row into weights, if it was not done yet.
inline void Weigh(const Tree& tree, int32_t node) {
  Node& at = tree.nodes[node];
  if (at.total == 0.0) at.total = WeighRow(tree.row(node), tree.sizes->row_length);
}

// P(edge) of an edge never taken, at a node whose row was weighed.
inline double OpenPrior(const Tree& tree, int32_t node, int32_t edge) {
  return tree.row(node)[edge] / tree.nodes[node].total;
}

// Makes `best_open` and what goes with it known.
inline void PrepareChoice(const Tree& tree, int32_t node) {
  Node& at = tree.nodes[node];
  if (at.best_open != kUnknown) return;
  Weigh(tree, node);
  at.best_open = LargestOpen(tree.row(node), tree.sizes->row_length);
  if (at.best_open != kNone) at.open_prior = OpenPrior(tree, node, at.best_open);
}

// Records that `edge` of `parent` is taken from now on and leads to node number `child`.
inline void Link(const Tree& tree, int32_t parent, int32_t edge, int32_t child) {
  Weigh(tree, parent);
  Node& from = tree.nodes[parent];
  double& weight = tree.row(parent)[edge];
  Edge& taken = tree.edges[child];
  taken.weight = weight;
  taken.prior = taken.share = weight / from.total;
  taken.parent = parent;
  taken.action = edge;
  taken.visits = 0;
  int32_t* link = &from.first_child;
  while (*link != kNone && tree.edges[*link].action < edge) link = &tree.edges[*link].next;
  taken.next = *link;
  *link = child;
  if (edge == from.best_open) from.best_open = kUnknown;
  weight = kClosed;
}

class Forest {
 public:
  explicit Forest(const Sizes& sizes) : sizes_(sizes) {}

  // Makes room for B trees; memory never shrinks. Throws std::bad_alloc or std::length_error.
  void Reserve(int64_t num_trees);

  // Makes room for vectors that are told, too.
  void ReserveGiven();

  Tree tree(int64_t b) {
    const int64_t first = b * sizes_.num_nodes;
    return {&sizes_,
            &nodes_[first],
            &edges_[first],
            &weights_[first * sizes_.row_length],
            slots_.data() + first * sizes_.num_slots,
            policies_.data() + first * sizes_.policy_length,
            given_.empty() ? nullptr : given_.data() + first * sizes_.given_length,
            root_logits_.data() + b * sizes_.root_score_length,
            root_scores_.data() + b * sizes_.root_score_length,
            considered_.data() + b * sizes_.considered_length,
            &states_[b]};
  }
  TreeState& state(int64_t b) { return states_[b]; }
  const Sizes& sizes() const { return sizes_; }

 private:
  Sizes sizes_;
  std::vector<Node> nodes_;          // [B, M]
  std::vector<Edge> edges_;          // [B, M]
  std::vector<double> weights_;      // [B, M, row_length]
  std::vector<int32_t> slots_;       // [B, M, num_slots]
  std::vector<double> policies_;     // [B, M, policy_length]
  std::vector<float> given_;         // [B, M, given_length], once something was told
  std::vector<double> root_logits_;  // [B, root_score_length]
  std::vector<double> root_scores_;  // [B, root_score_length]
  std::vector<int32_t> considered_;  // [B, considered_length]
  std::vector<TreeState> states_;    // [B]
};

}  // namespace lz

#endif  // LZ_CTREE_FOREST_H_
