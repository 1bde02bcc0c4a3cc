// NumPy arguments become views, or a ValueError that names the argument, the root and the remedy.
//
// Shape letters: B roots searched together, E edges of a node (the actions).

#ifndef LZ_CTREE_ARGUMENTS_H_
#define LZ_CTREE_ARGUMENTS_H_

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>

#include "search.h"
#include "views.h"

namespace lz {

// B, read off evaluation.value.
int64_t RootCount(pybind11::handle evaluation);

// An lzcore.base.tree.Evaluation of B roots; at a root only value and logits count.
Evaluation ReadEvaluation(pybind11::handle evaluation, int64_t num_roots, int32_t num_edges,
                          bool is_root);

// What `start` is given.
Roots ReadRoots(pybind11::handle evaluation, pybind11::handle legal_actions,
                pybind11::handle to_play, pybind11::handle seeds, pybind11::handle noise,
                int64_t num_roots, int32_t num_edges);

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
