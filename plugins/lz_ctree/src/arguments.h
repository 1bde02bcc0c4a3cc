// NumPy arguments become views, or a ValueError that names the argument, the root and the remedy.
//
// Shape letters: B roots searched together, R leaves evaluated together, M nodes of a tree, L a
// latent state.

#ifndef LZ_CTREE_ARGUMENTS_H_
#define LZ_CTREE_ARGUMENTS_H_

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>

#include "search.h"
#include "views.h"

namespace lz {

// Of which leaves an evaluation speaks.
struct Expected {
  const SearchParams& params;
  int64_t num_roots;                // B
  int64_t num_rows;                 // R; row r belongs to root r % B
  const uint8_t* needs_evaluation;  // [R] rows that are read; null: all
  const uint8_t* is_outcome;        // [R] the step into the leaf is one; null: the rows are roots
};

// B, read off evaluation.value.
int64_t RootCount(pybind11::handle evaluation);

// An lzcore.base.tree.Evaluation; at a root only value, logits and actions count.
// `legal_actions` replaces the evaluation's own at a root.
Evaluation ReadEvaluation(pybind11::handle evaluation, const Expected& expected,
                          const Flags& legal_actions = {});

// What `start` is given.
Roots ReadRoots(pybind11::handle evaluation, pybind11::handle legal_actions,
                pybind11::handle to_play, pybind11::handle seeds, pybind11::handle noise,
                pybind11::handle reuse, int64_t num_roots, const SearchParams& params);

// A pool of M or more nodes, (nodes, B, *L), and one row for each root, (B, *L), of one dtype.
struct PoolAndRows {
  char* pool;
  char* rows;
  size_t row_bytes;
};
PoolAndRows ReadPoolAndRows(pybind11::handle pool, pybind11::handle rows, const char* rows_name,
                            bool writes_pool, int64_t num_roots, int32_t num_nodes);

}  // namespace lz

#endif  // LZ_CTREE_ARGUMENTS_H_
