// Read-only views of the caller's arrays: float32 or float64, with the strides they came with.
//
// Shape letters: B roots searched together, R leaves evaluated together, W numbers a row of logits.

#ifndef LZ_CTREE_VIEWS_H_
#define LZ_CTREE_VIEWS_H_

#include <cstddef>
#include <cstdint>

namespace lz {

// (R,) numbers, any stride.
struct Numbers {
  const char* data = nullptr;  // null: not given
  std::ptrdiff_t stride = 0;   // bytes from one row to the next
  bool is_double = false;

  explicit operator bool() const { return data != nullptr; }
  double operator[](int64_t b) const {
    const char* at = data + b * stride;
    return is_double ? *reinterpret_cast<const double*>(at)
                     : static_cast<double>(*reinterpret_cast<const float*>(at));
  }
};

// (R, W) numbers; those of one row lie side by side.
struct NumberRows {
  const char* data = nullptr;
  std::ptrdiff_t stride = 0;
  bool is_double = false;

  const char* row(int64_t b) const { return data + b * stride; }
};

// (R,), (R, W) or (R, K, D) values of type T; those of one row lie side by side.
template <class T>
struct Values {
  const char* data = nullptr;  // null: not given
  std::ptrdiff_t stride = 0;

  explicit operator bool() const { return data != nullptr; }
  const T* row(int64_t b) const { return reinterpret_cast<const T*>(data + b * stride); }
  T operator[](int64_t b) const { return *row(b); }
};

using Flags = Values<uint8_t>;  // NumPy bools; 0: False
using Players = Values<int8_t>;
using Seeds = Values<uint64_t>;
using Indices = Values<int64_t>;
using Vectors = Values<float>;

// What lzcore.base.tree.Evaluation holds; checked before a tree sees it.
struct Evaluation {
  Numbers value;
  NumberRows logits;
  Numbers reward;
  Flags legal_actions;
  Players to_play;
  Numbers discount;
  Flags terminal;
  Flags is_chance;
  Indices actions;  // one of these two at most
  Vectors vectors;
};

}  // namespace lz

#endif  // LZ_CTREE_VIEWS_H_
