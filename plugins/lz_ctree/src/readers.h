// Readers of single NumPy arrays, for arguments.cpp: each checks one array and shows it as a view.

#ifndef LZ_CTREE_READERS_H_
#define LZ_CTREE_READERS_H_

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "arguments.h"
#include "views.h"

namespace lz {

namespace py = pybind11;

using Flag = py::detail::npy_api::constants;

constexpr char kMaskInstead[] = "Mark illegal actions in legal_actions, not by their logits.";
constexpr char kDiverged[] = "Look for a model or an environment that has diverged.";

inline std::string ShapeText(const py::array& array) { return py::str(array.attr("shape")); }

inline std::string Text(double number) { return py::repr(py::float_(number)); }

[[noreturn]] inline void Refuse(const std::string& message) { throw py::value_error(message); }

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

inline bool IsOf(const py::dtype& dtype, const Kind& kind) {
  const py::ssize_t size = dtype.itemsize();
  const char order = dtype.byteorder();
  return dtype.kind() == kind.kind && (size == kind.least || size == kind.most) &&
         (order == '=' || order == '|');
}

// The array behind `given`, of one of the dtypes of `kind`.
inline py::array ReadArray(py::handle given, const char* name, const Kind& kind) {
  if (!py::isinstance<py::array>(given)) {
    Refuse(std::string(name) + " is of type " + Py_TYPE(given.ptr())->tp_name +
           "; expected a NumPy array of " + kind.text +
           ". Pass it through numpy.asarray, a tensor as tensor.detach().cpu().numpy().");
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

inline std::string Entry(const char* name, int64_t row, int64_t column) {
  return std::string(name) + "[" + std::to_string(row) + ", " + std::to_string(column) + "]";
}

inline std::string AtRoot(const Expected& expected, int64_t row) {
  return ", at root " + std::to_string(row % expected.num_roots);
}

inline bool IsRead(const Expected& expected, int64_t row) {
  return !expected.needs_evaluation || expected.needs_evaluation[row];
}

// --- shapes --------------------------------------------------------------------------------------

inline std::string RowsRemedy(const Expected& expected) {
  return expected.num_rows == expected.num_roots
             ? "Pass one row for each root."
             : "Pass one row for each edge of each root, since all of them are expanded.";
}

inline void CheckVector(const py::array& array, const char* name, const Expected& expected) {
  if (array.ndim() == 1 && array.shape(0) == expected.num_rows) return;
  Refuse(std::string(name) + " has shape " + ShapeText(array) + "; expected (" +
         std::to_string(expected.num_rows) + ",). " + RowsRemedy(expected));
}

// `width_name` is that of the width in lzcore.base.treespec.TreeSpec.
inline void CheckRows(const py::array& array, const char* name, const Expected& expected,
                      int64_t width, const char* width_name) {
  if (array.ndim() != 2 || array.shape(0) != expected.num_rows || array.shape(1) != width) {
    Refuse(std::string(name) + " has shape " + ShapeText(array) + "; expected (" +
           std::to_string(expected.num_rows) + ", " + std::to_string(width) +
           "), as wide as TreeSpec." + width_name + ". " + RowsRemedy(expected));
  }
  if (width > 1 && array.strides(1) != array.itemsize()) {
    Refuse(std::string(name) + " has rows that are not contiguous; expected the numbers of one " +
           "root side by side. Pass it through numpy.ascontiguousarray.");
  }
}

// --- numbers -------------------------------------------------------------------------------------

// What float32 can hold: a search multiplies and squares numbers, which must not overflow.
inline bool IsInRange(double number) {
  return std::abs(number) <= std::numeric_limits<float>::max();
}

[[noreturn]] inline void RefuseNumber(const std::string& place, double number,
                                      const std::string& at_root, const char* expected,
                                      const char* remedy) {
  Refuse(place + " is " + Text(number) + at_root + "; expected " + expected + ". " + remedy);
}

inline Numbers ReadNumbers(py::handle given, const char* name, const Expected& expected) {
  const py::array array = ReadArray(given, name, kFloat);
  CheckVector(array, name, expected);
  const Numbers numbers = {static_cast<const char*>(array.data()), array.strides(0),
                           array.itemsize() == 8};
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    if (IsInRange(numbers[row]) || !IsRead(expected, row)) continue;
    RefuseNumber(std::string(name) + "[" + std::to_string(row) + "]", numbers[row],
                 AtRoot(expected, row), "a finite number that float32 can hold", kDiverged);
  }
  return numbers;
}

// The index of the first number that is out of range, or kNone.
template <class Float>
int32_t FirstOutOfRange(const char* data, int32_t n) {
  constexpr int32_t kLanes = 8;
  constexpr Float kMost = std::numeric_limits<float>::max();
  const Float* row = reinterpret_cast<const Float*>(data);
  int32_t lane[kLanes] = {};  // counts
  int32_t i = 0;
  for (; i + kLanes <= n; i += kLanes) {
    for (int32_t j = 0; j < kLanes; ++j) lane[j] += !(std::abs(row[i + j]) <= kMost);
  }
  for (; i < n; ++i) lane[0] += !(std::abs(row[i]) <= kMost);
  int32_t count = 0;
  for (const int32_t part : lane) count += part;
  if (count == 0) return kNone;
  for (i = 0; IsInRange(row[i]);) ++i;
  return i;
}

inline double NumberAt(const NumberRows& rows, int64_t row, int32_t column) {
  return rows.is_double ? reinterpret_cast<const double*>(rows.row(row))[column]
                        : reinterpret_cast<const float*>(rows.row(row))[column];
}

// Rows of numbers, of which the first `width_of(row)` have to be finite.
template <class WidthOf>
NumberRows ReadNumberRows(py::handle given, const char* name, const Expected& expected,
                          int32_t width, const char* width_name, const char* remedy,
                          WidthOf width_of) {
  const py::array array = ReadArray(given, name, kFloat);
  CheckRows(array, name, expected, width, width_name);
  const NumberRows rows = {static_cast<const char*>(array.data()), array.strides(0),
                           array.itemsize() == 8};
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    const int32_t at = rows.is_double ? FirstOutOfRange<double>(rows.row(row), width)
                                      : FirstOutOfRange<float>(rows.row(row), width);
    if (at == kNone || at >= width_of(row)) continue;
    RefuseNumber(Entry(name, row, at), NumberAt(rows, row, at), AtRoot(expected, row),
                 "a finite number that float32 can hold", remedy);
  }
  return rows;
}

// --- flags, players, seeds -----------------------------------------------------------------------

inline Flags ReadFlags(py::handle given, const char* name, const Expected& expected) {
  const py::array array = ReadArray(given, name, kBool);
  CheckVector(array, name, expected);
  return {static_cast<const char*>(array.data()), array.strides(0)};
}

// Masks; `width_of` says how many entries of a row count, 0 if none is read.
template <class WidthOf>
inline Flags ReadLegal(py::handle given, const char* name, const Expected& expected, int32_t width,
                       const char* width_name, WidthOf width_of) {
  const py::array array = ReadArray(given, name, kBool);
  CheckRows(array, name, expected, width, width_name);
  const Flags flags = {static_cast<const char*>(array.data()), array.strides(0)};
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    const int32_t count = width_of(row);
    uint8_t any = count == 0;
    for (int32_t a = 0; a < count; ++a) any |= flags.row(row)[a];
    if (any) continue;
    Refuse(std::string(name) + " allows no action" + AtRoot(expected, row).substr(1) +
           "; expected at least one True in each row. " +
           (expected.is_outcome ? "Mark finished games in terminal."
                                : "Leave states without a move out of the batch."));
  }
  return flags;
}

inline Players ReadPlayers(py::handle given, const char* name, const Expected& expected) {
  const py::array array = ReadArray(given, name, kInt8);
  CheckVector(array, name, expected);
  const Players players = {static_cast<const char*>(array.data()), array.strides(0)};
  for (int64_t row = 0; row < expected.num_rows; ++row) {
    const int player = players[row];
    if (player == -1 || player == 1 || player == 2 || !IsRead(expected, row)) continue;
    Refuse(std::string(name) + "[" + std::to_string(row) + "] is " + std::to_string(player) +
           AtRoot(expected, row) + "; expected -1, 1 or 2. Pass -1 where there is one player.");
  }
  return players;
}

inline Seeds ReadSeeds(py::handle given, const Expected& expected) {
  const py::array array = ReadArray(given, "seeds", kUint64);
  CheckVector(array, "seeds", expected);
  return {static_cast<const char*>(array.data()), array.strides(0)};
}

}  // namespace lz

#endif  // LZ_CTREE_READERS_H_
