// Read-only views of the caller's arrays: float32 or float64, with the strides they came with.
//
// Shape letters: B roots searched together, E edges of a node (the actions).

#ifndef LZ_CTREE_VIEWS_H_
#define LZ_CTREE_VIEWS_H_

#include <cstddef>
#include <cstdint>

namespace lz {

// (B,) numbers, any stride.
struct Numbers {
  const char* data = nullptr;  // null: not given
  std::ptrdiff_t stride = 0;   // bytes from one root to the next
  bool is_double = false;

  explicit operator bool() const { return data != nullptr; }
  double operator[](int64_t b) const {
    const char* at = data + b * stride;
    return is_double ? *reinterpret_cast<const double*>(at)
                     : static_cast<double>(*reinterpret_cast<const float*>(at));
  }
};

// (B, E) numbers; the E of one root lie side by side.
struct NumberRows {
  const char* data = nullptr;
  std::ptrdiff_t stride = 0;
  bool is_double = false;

  const char* row(int64_t b) const { return data + b * stride; }
};

// (B,) or (B, E) values of type T; the E of one root lie side by side.
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

// What lzcore.base.tree.Evaluation holds; checked before a tree sees it.
struct Evaluation {
  Numbers value;
  NumberRows logits;
  Numbers reward;
  Flags legal_actions;
  Players to_play;
  Numbers discount;
};

}  // namespace lz

#endif  // LZ_CTREE_VIEWS_H_
