#include "arguments.h"

#include <cmath>
#include <limits>
#include <string>

namespace lz {

namespace py = pybind11;

namespace {

using Flag = py::detail::npy_api::constants;

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

constexpr char kMaskInstead[] = "Mark illegal actions in legal_actions, not by their logits.";
constexpr char kDiverged[] = "Look for a model or an environment that has diverged.";

std::string ShapeText(const py::array& array) { return py::str(array.attr("shape")); }

std::string Text(double number) { return py::repr(py::float_(number)); }

[[noreturn]] void Refuse(const std::string& message) { throw py::value_error(message); }

// One dtype family that an argument may have.
struct Kind {
  const char* text;  // for people
  char kind;         // of numpy.dtype
  int least, most;   // item size in bytes
};
constexpr Kind kFloat = {"float32 or float64", 'f', 4, 8};
constexpr Kind kBool = {"bool", 'b', 1, 1};
constexpr Kind kInt8 = {"int8", 'i', 1, 1};
constexpr Kind kInt64 = {"int64", 'i', 8, 8};
constexpr Kind kUint64 = {"uint64", 'u', 8, 8};
constexpr Kind kFloat32 = {"float32", 'f', 4, 4};

bool IsOf(const py::dtype& dtype, const Kind& kind) {
  const py::ssize_t size = dtype.itemsize();
  const char order = dtype.byteorder();
  return dtype.kind() == kind.kind && (size == kind.least || size == kind.most) &&
         (order == '=' || order == '|');
}

// The array behind `given`, of one of the dtypes of `kind`.
py::array ReadArray(py::handle given, const char* name, const Kind& kind) {
  if (!py::isinstance<py::array>(given)) {
    Refuse(std::string(name) + " is of type " + Py_TYPE(given.ptr())->tp_name +
           "; expected a NumPy array of " + kind.text +
           ". Pass a tensor in host memory as tensor.numpy().");
  }
  py::array array = py::reinterpret_borrow<py::array>(given);
  if (!IsOf(array.dtype(), kind)) {
    Refuse(std::string(name) + " has dtype " + std::string(py::str(array.dtype())) + "; expected " +
           kind.text + ". Convert it with astype.");
  }
  if (!(array.flags() & Flag::NPY_ARRAY_ALIGNED_)) {
    Refuse(std::string(name) + " is not aligned in memory; expected an ordinary array. " +
           "Pass a copy of it.");
  }
  return array;
}

std::string Entry(const char* name, int64_t row, int64_t column) {
  return std::string(name) + "[" + std::to_string(row) + ", " + std::to_string(column) + "]";
}

std::string AtRoot(const Expected& expected, int64_t row) {
  return ", at root " + std::to_string(row % expected.num_roots);
}

bool IsRead(const Expected& expected, int64_t row) {
  return !expected.needs_evaluation || expected.needs_evaluation[row];
}

// --- shapes --------------------------------------------------------------------------------------

void CheckVector(const py::array& array, const char* name, int64_t num_rows) {
  if (array.ndim() == 1 && array.shape(0) == num_rows) return;
  Refuse(std::string(name) + " has shape " + ShapeText(array) + "; expected (" +
         std::to_string(num_rows) + ",). Pass one row for each root.");
}

void CheckRows(const py::array& array, const char* name, int64_t num_rows, int64_t width) {
  if (array.ndim() != 2 || array.shape(0) != num_rows || array.shape(1) != width) {
    Refuse(std::string(name) + " has shape " + ShapeText(array) + "; expected (" +
           std::to_string(num_rows) + ", " + std::to_string(width) +
           "). Pass one row for each root.");
  }
  if (width > 1 && array.strides(1) != array.itemsize()) {
    Refuse(std::string(name) + " has rows that are not contiguous; expected the numbers of one " +
           "root side by side. Pass it through numpy.ascontiguousarray.");
  }
}

// --- numbers -------------------------------------------------------------------------------------

[[noreturn]] void RefuseNumber(const std::string& place, double number, const std::string& at_root,
                               const char* expected, const char* remedy) {
  Refuse(place + " is " + Text(number) + at_root + "; expected " + expected + ". " + remedy);
}

Numbers ReadNumbers(py::handle given, const char* name, const Expected& expected) {
  const py::array array = ReadArray(given, name, kFloat);
  CheckVector(array, name, expected.num_rows);
  const Numbers numbers = {static_cast<const char*>(array.data()), array.strides(0),
                           array.itemsize() == 8};
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    if (std::isfinite(numbers[row]) || !IsRead(expected, row)) continue;
    RefuseNumber(std::string(name) + "[" + std::to_string(row) + "]", numbers[row],
                 AtRoot(expected, row), "a finite number", kDiverged);
  }
  return numbers;
}

// The index of the first number that is not finite, or kNone.
template <class Float>
int32_t FirstNotFinite(const char* data, int32_t n) {
  constexpr int32_t kLanes = 8;
  const Float* row = reinterpret_cast<const Float*>(data);
  Float lane[kLanes] = {};  // stays 0 unless something is infinite or nan
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int32_t j = 0; j < kLanes; ++j) lane[j] += row[i + j] * Float{0};
  }
  for (; i < n; ++i) lane[0] += row[i] * Float{0};
  Float sum = 0;
  for (Float part : lane) sum += part;
  if (sum == Float{0}) return kNone;
  for (i = 0; std::isfinite(row[i]);) ++i;
  return i;
}

double NumberAt(const NumberRows& rows, int64_t row, int32_t column) {
  return rows.is_double ? reinterpret_cast<const double*>(rows.row(row))[column]
                        : reinterpret_cast<const float*>(rows.row(row))[column];
}

// Rows of numbers, of which the first `width_of(row)` have to be finite.
template <class WidthOf>
NumberRows ReadNumberRows(py::handle given, const char* name, const Expected& expected,
                          int32_t width, const char* remedy, WidthOf width_of) {
  const py::array array = ReadArray(given, name, kFloat);
  CheckRows(array, name, expected.num_rows, width);
  const NumberRows rows = {static_cast<const char*>(array.data()), array.strides(0),
                           array.itemsize() == 8};
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    const int32_t at = rows.is_double ? FirstNotFinite<double>(rows.row(row), width)
                                      : FirstNotFinite<float>(rows.row(row), width);
    if (at == kNone || at >= width_of(row)) continue;
    RefuseNumber(Entry(name, row, at), NumberAt(rows, row, at), AtRoot(expected, row),
                 "a finite number", remedy);
  }
  return rows;
}

// --- flags, players, seeds -----------------------------------------------------------------------

Flags ReadFlags(py::handle given, const char* name, const Expected& expected) {
  const py::array array = ReadArray(given, name, kBool);
  CheckVector(array, name, expected.num_rows);
  return {static_cast<const char*>(array.data()), array.strides(0)};
}

// Masks; `width_of` says how many entries of a row count, 0 if none is read.
template <class WidthOf>
Flags ReadLegal(py::handle given, const char* name, const Expected& expected, int32_t width,
                WidthOf width_of) {
  const py::array array = ReadArray(given, name, kBool);
  CheckRows(array, name, expected.num_rows, width);
  const Flags flags = {static_cast<const char*>(array.data()), array.strides(0)};
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    const int32_t count = width_of(row);
    uint8_t any = count == 0;
    for (int32_t a = 0; a < count; ++a) any |= flags.row(row)[a];
    if (any) continue;
    Refuse(std::string(name) + " allows no action" + AtRoot(expected, row).substr(1) +
           "; expected at least one True in each row. Leave states without a move out of the "
           "batch.");
  }
  return flags;
}

Players ReadPlayers(py::handle given, const char* name, const Expected& expected) {
  const py::array array = ReadArray(given, name, kInt8);
  CheckVector(array, name, expected.num_rows);
  const Players players = {static_cast<const char*>(array.data()), array.strides(0)};
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    const int player = players[row];
    if (player == -1 || player == 1 || player == 2 || !IsRead(expected, row)) continue;
    Refuse(std::string(name) + "[" + std::to_string(row) + "] is " + std::to_string(player) +
           AtRoot(expected, row) + "; expected -1, 1 or 2. Pass -1 where there is one player.");
  }
  return players;
}

Seeds ReadSeeds(py::handle given, int64_t num_roots) {
  const py::array array = ReadArray(given, "seeds", kUint64);
  CheckVector(array, "seeds", num_roots);
  return {static_cast<const char*>(array.data()), array.strides(0)};
}

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
  const NumberRows noise = ReadNumberRows(given, "noise", expected, params.num_edges,
                                          "Draw it anew, over the legal actions.",
                                          [&](int64_t) { return params.num_edges; });
  if (params.rule == RuleName::kGumbel) return noise;
  const Flags mask = params.is_sampled ? Flags{} : legal_actions;  // slots are always allowed
  for (int64_t b = 0; b < expected.num_roots; ++b) {
    if (IsDistribution(noise, mask, b, params.num_edges)) continue;
    Refuse("noise is not a distribution over the legal actions at root " + std::to_string(b) +
           "; expected numbers >= 0 that sum to 1 and are 0 where illegal. Draw it over the legal "
           "actions.");
  }
  return noise;
}

// An lzcore.base.tree.Reuse, a named tuple.
void ReadReuse(py::handle reuse, const Expected& expected, Roots* roots) {
  const SearchParams& params = expected.params;
  if (params.rule == RuleName::kGumbel || params.is_sampled || params.root_expand_all) {
    Refuse(
        "reuse is given to a search with rule 'gumbel', sampled actions or root_expand_all; "
        "expected rule 'puct' over all actions. Search these roots without it.");
  }
  if (!PyTuple_Check(reuse.ptr()) || PyTuple_GET_SIZE(reuse.ptr()) != 2) {
    Refuse(std::string("reuse is of type ") + Py_TYPE(reuse.ptr())->tp_name +
           "; expected an lzcore.base.tree.Reuse. Pass one for the whole batch.");
  }
  const py::array action = ReadArray(PyTuple_GET_ITEM(reuse.ptr(), 0), "reuse.action", kInt64);
  CheckVector(action, "reuse.action", expected.num_roots);
  const py::array value = ReadArray(PyTuple_GET_ITEM(reuse.ptr(), 1), "reuse.value", kFloat);
  CheckVector(value, "reuse.value", expected.num_roots);
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
    if (std::isfinite(roots->reuse_value[b])) continue;
    RefuseNumber("reuse.value[" + std::to_string(b) + "]", roots->reuse_value[b],
                 AtRoot(expected, b), "a finite number", kDiverged);
  }
}

// --- sampled actions -----------------------------------------------------------------------------

template <class IsRowRead>
Indices ReadIds(py::handle given, const Flags& legal_actions, const Expected& expected,
                IsRowRead is_read) {
  const SearchParams& params = expected.params;
  const char* name = "evaluation.actions";
  const py::array array = ReadArray(given, name, kInt64);
  CheckRows(array, name, expected.num_rows, params.num_edges);
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
  if (!reward.is_none()) read->reward = ReadNumbers(reward, "evaluation.reward", expected);
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

  read.logits =
      ReadNumberRows(ReadField(evaluation, kLogits), "evaluation.logits", expected,
                     params.num_logits, params.has_vectors() ? kDiverged : kMaskInstead, num_edges);
  if (params.has_vectors()) CheckDeviations(read.logits, expected, has_edges);

  const py::handle legal = ReadField(evaluation, kLegalActions);
  if (!is_root && !legal.is_none()) {
    if (params.has_vectors()) RefuseMaskOfVectors("evaluation.legal_actions");
    read.legal_actions =
        ReadLegal(legal, "evaluation.legal_actions", expected, params.num_logits, num_edges);
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
                                    [&](int64_t) { return params.num_actions; });
  }
  roots.evaluation = ReadEvaluation(evaluation, expected, roots.legal_actions);
  if (!to_play.is_none()) roots.to_play = ReadPlayers(to_play, "to_play", expected);
  if (!seeds.is_none()) roots.seeds = ReadSeeds(seeds, num_roots);
  if (!noise.is_none()) roots.noise = ReadNoise(noise, roots.legal_actions, expected);
  if (!reuse.is_none()) ReadReuse(reuse, expected, &roots);
  return roots;
}

PoolAndRows ReadPoolAndRows(py::handle pool, py::handle rows, const char* rows_name,
                            bool writes_pool, int64_t num_roots, int32_t num_nodes) {
  const auto check = [](py::handle given, const char* name, bool writes) {
    if (!py::isinstance<py::array>(given)) {
      Refuse(std::string(name) + " is of type " + Py_TYPE(given.ptr())->tp_name +
             "; expected a NumPy array. Pass a tensor in host memory as tensor.numpy().");
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
