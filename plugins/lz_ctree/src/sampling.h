// Which actions the edges of a node stand for, where they are drawn from its policy.
//
// A draw is a function of the tree's seed, the node, and the action or slot, so it does not matter
// when it is made: once a search chooses at the node, or, of a vector, once its edge is taken.
// docs/search.md tells what is drawn.
//
// Shape letters: A actions, K slots, D numbers of a continuous action.

#ifndef LZ_CTREE_SAMPLING_H_
#define LZ_CTREE_SAMPLING_H_

#include <cstdint>

#include "choice.h"
#include "forest.h"

namespace lz {

enum class SampleMode { kWithoutReplacement, kWithReplacement };
enum class PriorMode { kEmpirical, kDensity };

struct SamplingParams {
  int32_t num_actions;  // A; 0 where actions are vectors
  int32_t num_slots;    // K
  int32_t action_dim;   // D; 0 where actions are discrete
  SampleMode mode;
  double temperature;
  PriorMode prior_mode;
};

// Draws actions into the slots of a node, in rising order and kNone behind the last, and writes its
// row of logits.
void DrawSlots(const SamplingParams& params, const Tree& tree, int32_t node, Scratch* scratch);

// The same for actions that were told. actions: [K], rising, kNone behind the last.
void FillSlots(const SamplingParams& params, const Tree& tree, int32_t node,
               const int64_t* actions);

// Writes the row of logits of a node whose edges are vectors.
void WeighVectors(const SamplingParams& params, const Tree& tree, int32_t node);

// Writes the action of a slot, [D] numbers in (-1, 1), to `out`.
void VectorOf(const SamplingParams& params, const Tree& tree, int32_t node, int32_t slot,
              float* out);

}  // namespace lz

#endif  // LZ_CTREE_SAMPLING_H_
