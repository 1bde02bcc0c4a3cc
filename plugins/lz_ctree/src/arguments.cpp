#include "arguments.h"

#include <cmath>
#include <limits>
#include <string>

#include "readers.h"

namespace lz {

namespace py = pybind11;

namespace {

// The fields of lzcore.base.tree.Evaluation, a named tuple, in their order.
enum Field {
  kValue,
  kLogits,
  kReward,
  kLegalActions,
  kToPlay,
  kDiscount,
  kTerminal,
  kIsChance,
  kActions,
  kNumFields
};

// --- noise and reuse -----------------------------------------------------------------------------

bool IsDistribution(const NumberRows& noise, const Flags& legal_actions, int64_t b, int32_t n) {
  double sum = 0.0;
  for (int32_t a = 0; a < n; ++a) {
    const double share = NumberAt(noise, b, a);
    const bool illegal = legal_actions && !legal_actions.row(b)[a];
    if (share < 0.0 || (illegal && share > 0.0)) return false;
    sum += share;
  }
  return std::abs(sum - 1.0) <= 1e-4;
}

NumberRows ReadNoise(py::handle given, const Flags& legal_actions, const Expected& expected) {
  const SearchParams& params = expected.params;
  const NumberRows noise = ReadNumberRows(given, "noise", expected, params.num_edges, "num_edges",
                                          "Draw it anew, over the legal actions.",
                                          [&](int64_t) { return params.num_edges; });
  if (params.rule == RuleName::kGumbel) return noise;
  const Flags mask = params.is_sampled ? Flags{} : legal_actions;  // slots are always allowed
  for (int64_t b = 0; b < expected.num_roots; ++b) {
    if (IsDistribution(noise, mask, b, params.num_edges)) continue;
    Refuse("noise is not a distribution over the " +
           std::string(params.is_sampled ? "slots" : "legal actions") + " at root " +
           std::to_string(b) +
           "; expected numbers >= 0 that sum to 1 and are 0 where illegal. Draw it with "
           "lzcore.search.dirichlet_noise.");
  }
  return noise;
}

// An lzcore.base.tree.Reuse, a named tuple.
void ReadReuse(py::handle reuse, const Expected& expected, Roots* roots) {
  const SearchParams& params = expected.params;
  const char* obstacle = params.rule == RuleName::kGumbel ? "with rule 'gumbel'"
                         : params.is_sampled              ? "over sampled actions"
                         : params.root_expand_all         ? "with root_expand_all"
                         : params.num_outcomes > 0        ? "with chance nodes"
                                                          : nullptr;
  if (obstacle) {
    Refuse(std::string("reuse is given to a search ") + obstacle +
           "; expected rule 'puct' over all actions. Search these roots without it.");
  }
  if (!PyTuple_Check(reuse.ptr()) || PyTuple_GET_SIZE(reuse.ptr()) != 2) {
    Refuse(std::string("reuse is of type ") + Py_TYPE(reuse.ptr())->tp_name +
           "; expected an lzcore.base.tree.Reuse. Pass one for the whole batch.");
  }
  const py::array action = ReadArray(PyTuple_GET_ITEM(reuse.ptr(), 0), "reuse.action", kInt64);
  CheckVector(action, "reuse.action", expected);
  const py::array value = ReadArray(PyTuple_GET_ITEM(reuse.ptr(), 1), "reuse.value", kFloat);
  CheckVector(value, "reuse.value", expected);
  roots->reuse_edge = {static_cast<const char*>(action.data()), action.strides(0)};
  roots->reuse_value = {static_cast<const char*>(value.data()), value.strides(0),
                        value.itemsize() == 8};
  for (int64_t b = 0; b < expected.num_roots; ++b) {
    const int64_t edge = roots->reuse_edge[b];
    if (edge == kNone) continue;
    if (edge < 0 || edge >= params.num_edges ||
        (roots->legal_actions && !roots->legal_actions.row(b)[edge])) {
      Refuse("reuse.action[" + std::to_string(b) + "] is " + std::to_string(edge) + ", at root " +
             std::to_string(b) +
             "; expected a legal action, or -1. Pass -1 where nothing is known.");
    }
    if (IsInRange(roots->reuse_value[b])) continue;
    RefuseNumber("reuse.value[" + std::to_string(b) + "]", roots->reuse_value[b],
                 AtRoot(expected, b), "a finite number that float32 can hold", kDiverged);
  }
}

// --- sampled actions -----------------------------------------------------------------------------

template <class IsRowRead>
Indices ReadIds(py::handle given, const Flags& legal_actions, const Expected& expected,
                IsRowRead is_read) {
  const SearchParams& params = expected.params;
  const char* name = "evaluation.actions";
  const py::array array = ReadArray(given, name, kInt64);
  CheckRows(array, name, expected, params.num_edges, "num_edges");
  const Indices ids = {static_cast<const char*>(array.data()), array.strides(0)};
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    if (!is_read(row)) continue;
    const int64_t* id = ids.row(row);
    for (int32_t k = 0; k < params.num_edges; ++k) {
      const bool is_end = id[k] == kNone && k > 0;
      const bool is_legal = id[k] >= 0 && id[k] < params.num_actions &&
                            (!legal_actions || legal_actions.row(row)[id[k]]);
      const bool is_next = k == 0 || id[k] > id[k - 1];
      const bool is_after_end = k > 0 && id[k - 1] == kNone;
      if (is_end || (is_legal && is_next && !is_after_end)) continue;
      Refuse(Entry(name, row, k) + " is " + std::to_string(id[k]) + AtRoot(expected, row) +
             "; expected legal actions in rising order, then -1. Sort them and drop what occurs "
             "twice.");
    }
  }
  return ids;
}

template <class IsRowRead>
Vectors ReadVectors(py::handle given, const Expected& expected, IsRowRead is_read) {
  const int32_t k = expected.params.num_edges, d = expected.params.sampling.action_dim;
  const char* name = "evaluation.actions";
  const py::array array = ReadArray(given, name, kFloat32);
  if (array.ndim() != 3 || array.shape(0) != expected.num_rows || array.shape(1) != k ||
      array.shape(2) != d) {
    Refuse(std::string(name) + " has shape " + ShapeText(array) + "; expected (" +
           std::to_string(expected.num_rows) + ", " + std::to_string(k) + ", " + std::to_string(d) +
           "). Pass one row for each root.");
  }
  if ((d > 1 && array.strides(2) != 4) || (k > 1 && array.strides(1) != 4 * d)) {
    Refuse(std::string(name) +
           " has rows that are not contiguous; expected the numbers of one root side by side. Pass "
           "it through numpy.ascontiguousarray.");
  }
  const Vectors vectors = {static_cast<const char*>(array.data()), array.strides(0)};
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    if (!is_read(row)) continue;
    for (int32_t i = 0; i < k * d; ++i) {
      const float number = vectors.row(row)[i];
      if (number > -1.0f && number < 1.0f) continue;
      Refuse(std::string(name) + "[" + std::to_string(row) + ", " + std::to_string(i / d) + ", " +
             std::to_string(i % d) + "] is " + Text(number) + AtRoot(expected, row) +
             "; expected a number between -1 and 1. Squash actions with tanh.");
    }
  }
  return vectors;
}

constexpr double kLeastDeviation = std::numeric_limits<float>::min();

template <class IsRowRead>
void CheckDeviations(const NumberRows& logits, const Expected& expected, IsRowRead is_read) {
  const int32_t width = expected.params.num_logits;
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    if (!is_read(row)) continue;
    for (int32_t i = width / 2; i < width; ++i) {
      const double deviation = NumberAt(logits, row, i);
      if (deviation >= kLeastDeviation) continue;
      RefuseNumber(Entry("evaluation.logits", row, i), deviation, AtRoot(expected, row),
                   "a standard deviation above 0", "Put the means first, then the deviations.");
    }
  }
}

// --- an evaluation -------------------------------------------------------------------------------

py::handle ReadField(py::handle evaluation, Field field) {
  if (!PyTuple_Check(evaluation.ptr()) || PyTuple_GET_SIZE(evaluation.ptr()) < kNumFields) {
    Refuse(std::string("evaluation is of type ") + Py_TYPE(evaluation.ptr())->tp_name +
           "; expected an lzcore.base.tree.Evaluation. Pass one for the whole batch.");
  }
  return PyTuple_GET_ITEM(evaluation.ptr(), field);
}

// What is told of a step into a leaf, and of the leaf besides its value and logits.
void ReadStep(py::handle evaluation, const Expected& expected, Evaluation* read) {
  const py::handle reward = ReadField(evaluation, kReward);
  if (!reward.is_none()) {
    read->reward = ReadNumbers(reward, "evaluation.reward", expected);
  } else if (expected.params.value_prefix) {
    Refuse(
        "evaluation.reward is None in a search with value_prefix; expected the sum of rewards "
        "since the last reset. Pass it for each root.");
  }
  const py::handle discount = ReadField(evaluation, kDiscount);
  if (!discount.is_none()) {
    read->discount = ReadNumbers(discount, "evaluation.discount", expected);
  }
  const py::handle to_play = ReadField(evaluation, kToPlay);
  if (!to_play.is_none()) read->to_play = ReadPlayers(to_play, "evaluation.to_play", expected);
  const py::handle terminal = ReadField(evaluation, kTerminal);
  if (!terminal.is_none()) read->terminal = ReadFlags(terminal, "evaluation.terminal", expected);
  const py::handle is_chance = ReadField(evaluation, kIsChance);
  if (is_chance.is_none()) return;
  if (expected.params.num_outcomes == 0) {
    Refuse(
        "evaluation.is_chance is given to a search without chance nodes; expected None. Set "
        "num_chance_outcomes of the TreeSpec.");
  }
  read->is_chance = ReadFlags(is_chance, "evaluation.is_chance", expected);
}

[[noreturn]] void RefuseMaskOfVectors(const char* name) {
  Refuse(std::string(name) +
         " is given to a search over vectors; expected None. Masks speak of discrete actions.");
}

}  // namespace

int64_t RootCount(py::handle evaluation) {
  const py::array value = ReadArray(ReadField(evaluation, kValue), "evaluation.value", kFloat);
  if (value.ndim() == 1 && value.shape(0) > 0) return value.shape(0);
  Refuse("evaluation.value has shape " + ShapeText(value) +
         "; expected (B,) with at least one root. Pass one number for each root.");
}

Evaluation ReadEvaluation(py::handle evaluation, const Expected& expected,
                          const Flags& legal_actions) {
  const SearchParams& params = expected.params;
  const bool is_root = !expected.is_outcome;
  Evaluation read;
  read.value = ReadNumbers(ReadField(evaluation, kValue), "evaluation.value", expected);
  if (!is_root) ReadStep(evaluation, expected, &read);

  const auto has_edges = [&](int64_t row) {
    return IsRead(expected, row) && !(read.terminal && read.terminal[row]);
  };
  const auto is_chance = [&](int64_t row) {
    if (is_root) return false;
    return read.is_chance ? read.is_chance[row] != 0
                          : params.num_outcomes > 0 && !expected.is_outcome[row];
  };
  const auto is_decision = [&](int64_t row) { return has_edges(row) && !is_chance(row); };
  const auto num_edges = [&](int64_t row) {
    if (!has_edges(row)) return 0;
    return is_chance(row) ? params.num_outcomes : params.num_policy();
  };

  read.logits = ReadNumberRows(ReadField(evaluation, kLogits), "evaluation.logits", expected,
                               params.num_logits, "num_logits",
                               params.has_vectors() ? kDiverged : kMaskInstead, num_edges);
  if (params.has_vectors()) CheckDeviations(read.logits, expected, has_edges);

  const py::handle legal = ReadField(evaluation, kLegalActions);
  if (!is_root && !legal.is_none()) {
    if (params.has_vectors()) RefuseMaskOfVectors("evaluation.legal_actions");
    read.legal_actions = ReadLegal(legal, "evaluation.legal_actions", expected, params.num_logits,
                                   "num_choices", num_edges);
  }
  const py::handle actions = ReadField(evaluation, kActions);
  if (actions.is_none()) return read;
  if (!params.is_sampled) {
    Refuse(
        "evaluation.actions is given to a search over all actions; expected None. Set "
        "num_sampled_actions of the TreeSpec.");
  }
  if (params.has_vectors()) {
    read.vectors = ReadVectors(actions, expected, is_decision);
  } else {
    read.actions =
        ReadIds(actions, is_root ? legal_actions : read.legal_actions, expected, is_decision);
  }
  return read;
}

Roots ReadRoots(py::handle evaluation, py::handle legal_actions, py::handle to_play,
                py::handle seeds, py::handle noise, py::handle reuse, int64_t num_roots,
                const SearchParams& params) {
  const Expected expected = {params, num_roots, num_roots, nullptr, nullptr};
  Roots roots;
  if (!legal_actions.is_none()) {
    if (params.has_vectors()) RefuseMaskOfVectors("legal_actions");
    roots.legal_actions = ReadLegal(legal_actions, "legal_actions", expected, params.num_actions,
                                    "num_actions", [&](int64_t) { return params.num_actions; });
  }
  roots.evaluation = ReadEvaluation(evaluation, expected, roots.legal_actions);
  if (!to_play.is_none()) roots.to_play = ReadPlayers(to_play, "to_play", expected);
  if (!seeds.is_none()) {
    roots.seeds = ReadSeeds(seeds, expected);
  } else if (params.draws) {
    Refuse(
        "seeds is None, but this search draws at random; expected (B,) uint64. Pass new ones for "
        "every search, else all of them draw alike.");
  }
  if (!noise.is_none()) roots.noise = ReadNoise(noise, roots.legal_actions, expected);
  if (!reuse.is_none()) ReadReuse(reuse, expected, &roots);
  return roots;
}

PoolAndRows ReadPoolAndRows(py::handle pool, py::handle rows, const char* rows_name,
                            bool writes_pool, int64_t num_roots, int32_t num_nodes) {
  const auto check = [](py::handle given, const char* name, bool writes) {
    if (!py::isinstance<py::array>(given)) {
      Refuse(std::string(name) + " is of type " + Py_TYPE(given.ptr())->tp_name +
             "; expected a NumPy array. Pass a tensor in host memory as tensor.detach().numpy().");
    }
    const py::array array = py::reinterpret_borrow<py::array>(given);
    if (!(array.flags() & Flag::NPY_ARRAY_C_CONTIGUOUS_)) {
      Refuse(std::string(name) +
             " is not C-contiguous; expected rows that follow each other. "
             "Pass the array itself, not a slice of its rows.");
    }
    if (writes && !array.writeable()) {
      Refuse(std::string(name) + " is read-only; expected an array to write to. Pass a copy.");
    }
  };
  check(pool, "pool", writes_pool);
  check(rows, rows_name, !writes_pool);
  const auto from = py::reinterpret_borrow<py::array>(pool);
  const auto to = py::reinterpret_borrow<py::array>(rows);
  bool fits = from.ndim() == to.ndim() + 1 && to.ndim() >= 1 && from.shape(0) >= num_nodes &&
              from.shape(1) == num_roots;
  for (py::ssize_t i = 0; fits && i < to.ndim(); ++i) fits = to.shape(i) == from.shape(i + 1);
  if (!fits) {
    Refuse("pool has shape " + ShapeText(from) + " and " + rows_name + " " + ShapeText(to) +
           "; expected (M, B, *L) and (B, *L) with M >= " + std::to_string(num_nodes) +
           " nodes and B = " + std::to_string(num_roots) + " roots.");
  }
  if (!from.dtype().equal(to.dtype()) || from.dtype().kind() == 'O') {
    Refuse("pool has dtype " + std::string(py::str(from.dtype())) + " and " + rows_name + " " +
           std::string(py::str(to.dtype())) + "; expected one dtype of plain numbers for both.");
  }
  return {static_cast<char*>(const_cast<void*>(from.data())),
          static_cast<char*>(const_cast<void*>(to.data())),
          static_cast<size_t>(to.nbytes() / num_roots)};
}

}  // namespace lz
