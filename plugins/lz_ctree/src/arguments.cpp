#include "arguments.h"

#include <cmath>
#include <string>

namespace lz {

namespace py = pybind11;

namespace {

using Flag = py::detail::npy_api::constants;

// The fields of lzcore.base.tree.Evaluation, a named tuple, in their order.
enum Field { kValue, kLogits, kReward, kLegalActions, kToPlay, kDiscount, kNumFields };

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
constexpr Kind kUint64 = {"uint64", 'u', 8, 8};

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

void CheckVector(const py::array& array, const char* name, int64_t num_roots) {
  if (array.ndim() == 1 && array.shape(0) == num_roots) return;
  Refuse(std::string(name) + " has shape " + ShapeText(array) + "; expected (" +
         std::to_string(num_roots) + ",). Pass one row for each root.");
}

void CheckRows(const py::array& array, const char* name, int64_t num_roots, int64_t num_edges) {
  if (array.ndim() != 2 || array.shape(0) != num_roots || array.shape(1) != num_edges) {
    Refuse(std::string(name) + " has shape " + ShapeText(array) + "; expected (" +
           std::to_string(num_roots) + ", " + std::to_string(num_edges) +
           "). Pass one row for each root.");
  }
  if (num_edges > 1 && array.strides(1) != array.itemsize()) {
    Refuse(std::string(name) + " has rows that are not contiguous; expected the numbers of one " +
           "root side by side. Pass it through numpy.ascontiguousarray.");
  }
}

[[noreturn]] void RefuseNumber(const std::string& place, double number, int64_t root,
                               const char* remedy) {
  Refuse(place + " is " + Text(number) + ", at root " + std::to_string(root) +
         "; expected a finite number. " + remedy);
}

Numbers ReadNumbers(py::handle given, const char* name, int64_t num_roots) {
  const py::array array = ReadArray(given, name, kFloat);
  CheckVector(array, name, num_roots);
  const Numbers numbers = {static_cast<const char*>(array.data()), array.strides(0),
                           array.itemsize() == 8};
  for (int64_t b = 0; b < num_roots; ++b) {
    if (std::isfinite(numbers[b])) continue;
    RefuseNumber(std::string(name) + "[" + std::to_string(b) + "]", numbers[b], b,
                 "Look for a model or an environment that has diverged.");
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

NumberRows ReadNumberRows(py::handle given, const char* name, int64_t num_roots, int32_t num_edges,
                          const char* remedy) {
  const py::array array = ReadArray(given, name, kFloat);
  CheckRows(array, name, num_roots, num_edges);
  const NumberRows rows = {static_cast<const char*>(array.data()), array.strides(0),
                           array.itemsize() == 8};
  for (int64_t b = 0; b < num_roots; ++b) {
    const int32_t at = rows.is_double ? FirstNotFinite<double>(rows.row(b), num_edges)
                                      : FirstNotFinite<float>(rows.row(b), num_edges);
    if (at == kNone) continue;
    const double number = rows.is_double ? reinterpret_cast<const double*>(rows.row(b))[at]
                                         : reinterpret_cast<const float*>(rows.row(b))[at];
    RefuseNumber(std::string(name) + "[" + std::to_string(b) + ", " + std::to_string(at) + "]",
                 number, b, remedy);
  }
  return rows;
}

Flags ReadLegal(py::handle given, const char* name, int64_t num_roots, int32_t num_edges) {
  const py::array array = ReadArray(given, name, kBool);
  CheckRows(array, name, num_roots, num_edges);
  const Flags flags = {static_cast<const char*>(array.data()), array.strides(0)};
  for (int64_t b = 0; b < num_roots; ++b) {
    uint8_t any = 0;
    for (int32_t a = 0; a < num_edges; ++a) any |= flags.row(b)[a];
    if (any) continue;
    Refuse(std::string(name) + " allows no action at root " + std::to_string(b) +
           "; expected at least one True in each row. Leave states without a move out of the "
           "batch.");
  }
  return flags;
}

Players ReadPlayers(py::handle given, const char* name, int64_t num_roots) {
  const py::array array = ReadArray(given, name, kInt8);
  CheckVector(array, name, num_roots);
  const Players players = {static_cast<const char*>(array.data()), array.strides(0)};
  for (int64_t b = 0; b < num_roots; ++b) {
    const int player = players[b];
    if (player == -1 || player == 1 || player == 2) continue;
    Refuse(std::string(name) + "[" + std::to_string(b) + "] is " + std::to_string(player) +
           ", at root " + std::to_string(b) +
           "; expected -1, 1 or 2. Pass -1 where there is one player.");
  }
  return players;
}

Seeds ReadSeeds(py::handle given, int64_t num_roots) {
  const py::array array = ReadArray(given, "seeds", kUint64);
  CheckVector(array, "seeds", num_roots);
  return {static_cast<const char*>(array.data()), array.strides(0)};
}

bool IsDistribution(const NumberRows& noise, const Flags& legal_actions, int64_t b, int32_t n) {
  double sum = 0.0;
  for (int32_t a = 0; a < n; ++a) {
    const double share = noise.is_double ? reinterpret_cast<const double*>(noise.row(b))[a]
                                         : reinterpret_cast<const float*>(noise.row(b))[a];
    const bool illegal = legal_actions && !legal_actions.row(b)[a];
    if (share < 0.0 || (illegal && share > 0.0)) return false;
    sum += share;
  }
  return std::abs(sum - 1.0) <= 1e-4;
}

NumberRows ReadNoise(py::handle given, const Flags& legal_actions, int64_t num_roots,
                     int32_t num_edges) {
  const NumberRows noise =
      ReadNumberRows(given, "noise", num_roots, num_edges, "Draw it anew, over the legal actions.");
  for (int64_t b = 0; b < num_roots; ++b) {
    if (IsDistribution(noise, legal_actions, b, num_edges)) continue;
    Refuse("noise is not a distribution over the legal actions at root " + std::to_string(b) +
           "; expected numbers >= 0 that sum to 1 and are 0 where illegal. Draw it over the legal "
           "actions.");
  }
  return noise;
}

py::handle ReadField(py::handle evaluation, Field field) {
  if (!PyTuple_Check(evaluation.ptr()) || PyTuple_GET_SIZE(evaluation.ptr()) < kNumFields) {
    Refuse(std::string("evaluation is of type ") + Py_TYPE(evaluation.ptr())->tp_name +
           "; expected an lzcore.base.tree.Evaluation. Pass one for the whole batch.");
  }
  return PyTuple_GET_ITEM(evaluation.ptr(), field);
}

}  // namespace

int64_t RootCount(py::handle evaluation) {
  const py::array value = ReadArray(ReadField(evaluation, kValue), "evaluation.value", kFloat);
  if (value.ndim() == 1 && value.shape(0) > 0) return value.shape(0);
  Refuse("evaluation.value has shape " + ShapeText(value) +
         "; expected (B,) with at least one root. Pass one number for each root.");
}

Evaluation ReadEvaluation(py::handle evaluation, int64_t num_roots, int32_t num_edges,
                          bool is_root) {
  Evaluation read;
  read.value = ReadNumbers(ReadField(evaluation, kValue), "evaluation.value", num_roots);
  read.logits =
      ReadNumberRows(ReadField(evaluation, kLogits), "evaluation.logits", num_roots, num_edges,
                     "Mark illegal actions in legal_actions, not by their logits.");
  if (is_root) return read;
  const py::handle reward = ReadField(evaluation, kReward);
  if (!reward.is_none()) read.reward = ReadNumbers(reward, "evaluation.reward", num_roots);
  const py::handle discount = ReadField(evaluation, kDiscount);
  if (!discount.is_none()) read.discount = ReadNumbers(discount, "evaluation.discount", num_roots);
  const py::handle legal = ReadField(evaluation, kLegalActions);
  if (!legal.is_none()) {
    read.legal_actions = ReadLegal(legal, "evaluation.legal_actions", num_roots, num_edges);
  }
  const py::handle to_play = ReadField(evaluation, kToPlay);
  if (!to_play.is_none()) read.to_play = ReadPlayers(to_play, "evaluation.to_play", num_roots);
  return read;
}

Roots ReadRoots(py::handle evaluation, py::handle legal_actions, py::handle to_play,
                py::handle seeds, py::handle noise, int64_t num_roots, int32_t num_edges) {
  Roots roots;
  roots.evaluation = ReadEvaluation(evaluation, num_roots, num_edges, true);
  if (!legal_actions.is_none()) {
    roots.legal_actions = ReadLegal(legal_actions, "legal_actions", num_roots, num_edges);
  }
  if (!to_play.is_none()) roots.to_play = ReadPlayers(to_play, "to_play", num_roots);
  if (!seeds.is_none()) roots.seeds = ReadSeeds(seeds, num_roots);
  if (!noise.is_none()) roots.noise = ReadNoise(noise, roots.legal_actions, num_roots, num_edges);
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
