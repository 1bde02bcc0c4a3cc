// What a choice at a node is, whatever the rule.

#ifndef LZ_CTREE_CHOICE_H_
#define LZ_CTREE_CHOICE_H_

#include <cstdint>
#include <vector>

namespace lz {

// An edge, and the child it leads to; kNone if it was never taken.
struct Choice {
  int32_t edge;
  int32_t child;
};

// Memory of one thread for what a choice needs on the way.
struct Scratch {
  std::vector<Choice> choices;   // [E]
  std::vector<double> numbers;   // [X] and the filling
  std::vector<double> noisy;     // [A]
  std::vector<int32_t> indices;  // [A or E]
};

}  // namespace lz

#endif  // LZ_CTREE_CHOICE_H_
