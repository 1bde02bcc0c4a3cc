// lzcore.base.treespec.TreeSpec, as numbers.

#ifndef LZ_CTREE_SPEC_H_
#define LZ_CTREE_SPEC_H_

#include <pybind11/pybind11.h>

#include "search.h"

namespace lz {

// Reads an attrs record that has validated itself.
SearchParams ReadSpec(pybind11::handle spec);

}  // namespace lz

#endif  // LZ_CTREE_SPEC_H_
