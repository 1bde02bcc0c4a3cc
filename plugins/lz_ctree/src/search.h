// B searches over one Forest: the only descent, the only backup, and the results.
//
// Shape letters: B roots searched together, R leaves evaluated together, M nodes of a tree, E edges
// of a decision node, X the longer of E and the chance outcomes, K sampled actions, D numbers of a
// continuous action.

#ifndef LZ_CTREE_SEARCH_H_
#define LZ_CTREE_SEARCH_H_

#include <cstdint>
#include <vector>

#include "crew.h"
#include "forest.h"
#include "gumbel.h"
#include "puct.h"
#include "sampling.h"
#include "views.h"

namespace lz {

enum class RuleName { kPuct, kGumbel };
enum class ChanceSelect { kQuasiRandom, kSample };

struct SearchParams {
  int32_t num_simulations;  // S
  int32_t num_actions;      // A; 0 where actions are vectors
  int32_t num_edges;        // E
  int32_t num_outcomes;     // C; 0: no chance nodes
  int32_t num_logits;       // W
  int32_t max_depth;        // edges
  int32_t num_threads;
  double discount;  // of one step, unsigned
  double root_noise_weight;
  bool is_sampled;
  bool root_expand_all;
  bool draws;  // and so needs seeds
  bool value_prefix;
  int32_t lstm_horizon_len;
  ChanceSelect chance_select;
  RuleName rule;
  PuctParams puct;
  GumbelParams gumbel;
  SamplingParams sampling;

  int32_t num_row_edges() const { return num_edges > num_outcomes ? num_edges : num_outcomes; }
  int32_t num_root_nodes() const { return root_expand_all ? 1 + num_edges : 1; }
  int32_t num_nodes() const { return num_root_nodes() + num_simulations; }
  int32_t num_policy() const { return has_vectors() ? num_logits : num_actions; }
  bool has_vectors() const { return sampling.action_dim > 0; }
};

// The roots of B new searches; checked before.
struct Roots {
  Evaluation evaluation;
  Flags legal_actions;  // (B, A)
  Players to_play;      // (B,); not given: one player
  Seeds seeds;          // (B,); not given: 0
  NumberRows noise;     // (B, E)
  Indices reuse_edge;   // (B,); kNone: nothing is reused
  Numbers reuse_value;  // (B,)
};

// Where a select writes, one entry a leaf.
struct LeafArrays {
  int64_t* parent;
  int64_t* action;
  int64_t* node;
  int32_t* depth;
  bool* is_outcome;
  bool* needs_evaluation;
  float* vector;  // (R, D); null where actions are discrete
};

struct ResultArrays {
  int32_t* visit_count;      // (B, E)
  double* value;             // (B,)
  double* q_value;           // (B, E)
  double* raw_value;         // (B,)
  double* prior_logits;      // (B, A or 2 * D)
  int32_t* num_evaluations;  // (B,)
  double* improved_policy;   // (B, E), under `gumbel` like the next two, else null
  double* completed_q;       // (B, E)
  int64_t* best_edge;        // (B,)
  int64_t* sampled_ids;      // (B, K), where discrete actions are sampled, else null
  float* sampled_vectors;    // (B, K, D), where vectors are, else null
};

struct SnapshotArrays {
  int32_t* node_visits;         // (B, M)
  double* node_values;          // (B, M)
  double* raw_values;           // (B, M)
  int8_t* to_play;              // (B, M)
  bool* is_chance;              // (B, M)
  bool* terminal;               // (B, M)
  int32_t* parents;             // (B, M)
  int32_t* action_from_parent;  // (B, M)
  int32_t* edge_visits;         // (B, M, X)
  double* edge_rewards;         // (B, M, X)
  double* edge_discounts;       // (B, M, X)
  double* prior;                // (B, M, X)
  double* value_prefix;         // (B, M), with value prefixes like the next, else null
  bool* is_reset;               // (B, M)
  int64_t* sampled_ids;         // (B, M, K), where discrete actions are sampled, else null
  float* sampled_vectors;       // (B, M, K, D), where vectors are, else null
};

class Search {
 public:
  explicit Search(const SearchParams& params);

  // Makes room for B searches; throws std::bad_alloc or std::length_error, and then holds none.
  void Reserve(int64_t num_roots);
  // Makes room for vectors that are told.
  void ReserveGiven() { forest_.ReserveGiven(); }

  void Start(const Roots& roots);

  // All edges of all roots at once, edge by edge: row k * B + b.
  void SelectRootEdges(const LeafArrays& leaves);
  void BackupRootEdges(const Evaluation& evaluation);

  // One leaf of each tree.
  void Select(const LeafArrays& leaves);
  void Backup(const Evaluation& evaluation);

  // The arrays are zero on entry; -1 where they hold indices.
  void Result(const ResultArrays& out);
  void Snapshot(const SnapshotArrays& out);

  const SearchParams& params() const { return params_; }
  int64_t num_roots() const { return num_roots_; }
  int32_t simulation() const { return simulation_; }
  const TreeState& state(int64_t b) { return forest_.state(b); }
  // [R] of the last select: what the leaves say of themselves, where no caller can write to it.
  const std::vector<uint8_t>& needs_evaluation() const { return needs_evaluation_; }
  const std::vector<uint8_t>& is_outcome() const { return is_outcome_; }

 private:
  using Descent = void (Search::*)(const LeafArrays& leaves);

  // 1. roots
  void StartTree(const Roots& roots, int64_t b, Scratch* scratch);
  void MixIntoRootPrior(const Tree& tree, const NumberRows& noise, int64_t b, Scratch* scratch);
  void RankRootEdges(const Tree& tree, const NumberRows& noise, int64_t b, Scratch* scratch);

  // 2. down
  template <class Rule>
  void DescendAll(const LeafArrays& leaves);
  template <class Rule>
  void Descend(Rule* rule, const Tree& tree, Scratch* scratch) const;
  void TellLeaf(const Tree& tree, int64_t row, const LeafArrays& leaves);
  int64_t ActionOf(const Tree& tree, int32_t node, int32_t edge) const;
  template <QTransform kTransform, Fpu kFpu>
  static Descent ForTieBreak(TieBreak tie_break);
  template <QTransform kTransform>
  static Descent ForFpu(const PuctParams& puct);
  static Descent ForOptions(const SearchParams& params);

  // 3. up
  void StoreLeaf(const Tree& tree, const Evaluation& evaluation, int64_t row) const;
  static void ResetNode(const Tree& tree, int32_t node, double value, int8_t to_play,
                        bool is_chance);
  void WriteNode(const Tree& tree, int32_t node, const Evaluation& evaluation, int64_t row,
                 const Flags& legal_actions) const;
  void DrawEdges(const Tree& tree, int32_t node, Scratch* scratch) const;
  void WriteEdge(const Tree& tree, int32_t node, int32_t depth, const Evaluation& evaluation,
                 int64_t row) const;
  void CarryUp(const Tree& tree) const;

  // 4. results
  void TreeResult(const ResultArrays& out, int64_t b);
  void GumbelResult(const ResultArrays& out, const Tree& tree, int64_t b);
  void TreeSnapshot(const SnapshotArrays& out, int64_t b);
  void PriorOf(const Tree& tree, int32_t node, double* out);
  void SlotsOf(const Tree& tree, int32_t node, int64_t* ids, float* vectors) const;

  SearchParams params_;
  Forest forest_;
  Descent descent_;
  Crew crew_;
  std::vector<Scratch> scratch_;           // [parts of the crew]
  std::vector<double> given_logits_;       // [B, W]
  std::vector<uint8_t> needs_evaluation_;  // [R]
  std::vector<uint8_t> is_outcome_;        // [R]
  int64_t num_roots_ = 0;
  int32_t simulation_ = 0;  // how many are finished
};

}  // namespace lz

#endif  // LZ_CTREE_SEARCH_H_
