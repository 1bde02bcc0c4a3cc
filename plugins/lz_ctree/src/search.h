// B searches over one Forest: the only descent, the only backup, and the results.
//
// Shape letters: B roots searched together, M = S + 1 nodes of a tree, E edges of a node.

#ifndef LZ_CTREE_SEARCH_H_
#define LZ_CTREE_SEARCH_H_

#include <cstdint>

#include "forest.h"
#include "puct.h"
#include "views.h"

namespace lz {

struct SearchParams {
  int32_t num_simulations;  // S
  int32_t num_actions;      // E
  int32_t max_depth;        // edges
  double discount;          // of one step, unsigned
  double root_noise_weight;
  PuctParams puct;
};

// The roots of B new searches; checked before.
struct Roots {
  Evaluation evaluation;
  Flags legal_actions;  // (B, E)
  Players to_play;      // (B,); not given: one player
  Seeds seeds;          // (B,); not given: 0
  NumberRows noise;     // (B, E)
};

// Where `Select` writes, one entry a root.
struct LeafArrays {
  int64_t* parent;
  int64_t* action;
  int64_t* node;
  int32_t* depth;
};

struct ResultArrays {
  int32_t* visit_count;  // (B, E)
  double* value;         // (B,)
  double* q_value;       // (B, E)
  double* raw_value;     // (B,)
  double* prior_logits;  // (B, E)
};

struct SnapshotArrays {
  int32_t* node_visits;         // (B, M)
  double* node_values;          // (B, M)
  double* raw_values;           // (B, M)
  int32_t* parents;             // (B, M)
  int32_t* action_from_parent;  // (B, M)
  int32_t* edge_visits;         // (B, M, E)
  double* edge_rewards;         // (B, M, E)
  double* edge_discounts;       // (B, M, E)
  double* logits;               // (B, M, E)
};

class Search {
 public:
  explicit Search(const SearchParams& params);

  // Makes room for B searches; throws std::bad_alloc or std::length_error, and then holds none.
  void Reserve(int64_t num_roots);
  void Start(const Roots& roots);
  void Select(const LeafArrays& leaves);
  void Backup(const Evaluation& evaluation);

  // The arrays are zero on entry; -1 in `parents` and `action_from_parent`.
  void Result(const ResultArrays& out);
  void Snapshot(const SnapshotArrays& out);

  const SearchParams& params() const { return params_; }
  int64_t num_roots() const { return num_roots_; }
  int32_t simulation() const { return simulation_; }
  const TreeState& state(int64_t b) { return forest_.state(b); }

 private:
  using Descent = void (Search::*)(const LeafArrays& leaves);

  template <class Rule>
  void DescendAll(const LeafArrays& leaves);
  template <class Rule>
  int32_t Descend(Rule& rule, const Tree& tree, TreeState& state) const;
  template <QTransform kTransform, Fpu kFpu>
  static Descent ForTieBreak(TieBreak tie_break);
  template <QTransform kTransform>
  static Descent ForFpu(const PuctParams& puct);
  static Descent ForOptions(const PuctParams& puct);

  void MixIntoRootPrior(const Tree& tree, const NumberRows& noise, int64_t b);
  void StoreLeaf(const Tree& tree, const TreeState& state, const Evaluation& evaluation, int64_t b);
  void CarryUp(const Tree& tree, TreeState& state);
  void SnapshotTree(const SnapshotArrays& out, int64_t b);

  SearchParams params_;
  Forest forest_;
  Descent descent_;
  std::vector<double> root_logits_;  // [B, E] as given
  std::vector<double> mixed_;        // [E] scratch
  int64_t num_roots_ = 0;
  int32_t simulation_ = 0;  // how many are finished
};

}  // namespace lz

#endif  // LZ_CTREE_SEARCH_H_
