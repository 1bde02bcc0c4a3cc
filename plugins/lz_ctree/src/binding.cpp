// The Python class TreeBatch: checks, the order of calls, and arrays shared without copies.
//
// Shape letters: B roots searched together, R leaves evaluated together, M nodes of a tree, E edges
// of a decision node, X the longer of E and the chance outcomes, K sampled actions, D numbers of a
// continuous action, L a latent state.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "arguments.h"
#include "search.h"
#include "spec.h"

namespace lz {

namespace py = pybind11;

namespace {

// Refuses a second thread while one is in a call that has released the GIL.
class InUse {
 public:
  explicit InUse(bool* flag) : flag_(flag) {
    if (*flag_) {
      throw std::runtime_error(
          "this tree is at work in another thread. Give each thread a tree of its own.");
    }
    *flag_ = true;
  }
  ~InUse() { *flag_ = false; }
  InUse(const InUse&) = delete;
  InUse& operator=(const InUse&) = delete;

 private:
  bool* flag_;
};

using Shape = std::vector<py::ssize_t>;

template <class T>
py::array_t<T> Filled(const Shape& shape, T value) {
  py::array_t<T> array(shape);
  std::fill_n(array.mutable_data(), array.size(), value);
  return array;
}

// An array of `shape` whose memory goes to `*data`, or None, if it is not asked for.
template <class T>
py::object FilledIf(bool is_wanted, const Shape& shape, T value, T** data) {
  *data = nullptr;
  if (!is_wanted) return py::none();
  auto array = Filled<T>(shape, value);
  *data = array.mutable_data();
  return array;
}

// What one select writes, and the named tuple that shows it. NumPy owns the arrays, so one that the
// caller keeps outlives a search of another size.
struct SharedLeaves {
  LeafArrays arrays = {};
  py::object tuple;

  SharedLeaves() = default;
  SharedLeaves(const py::object& leaves_type, int64_t rows, int32_t action_dim) {
    const auto vector = FilledIf<float>(action_dim > 0, {rows, action_dim}, 0.0f, &arrays.vector);
    const auto share = [rows](auto value, auto** data) {
      return FilledIf(true, {rows}, value, data);
    };
    const auto parent = share(int64_t{0}, &arrays.parent);
    const auto action = share(int64_t{0}, &arrays.action);
    const auto node = share(int64_t{0}, &arrays.node);
    const auto depth = share(int32_t{0}, &arrays.depth);
    const auto is_outcome = share(false, &arrays.is_outcome);
    const auto needs_evaluation = share(true, &arrays.needs_evaluation);
    tuple = leaves_type(parent, action, node, depth, is_outcome, needs_evaluation, vector);
  }
};

}  // namespace

class TreeBatch {
 public:
  TreeBatch(py::handle spec, py::object leaves_type)
      : search_(ReadSpec(spec)), leaves_type_(std::move(leaves_type)) {}

  void Start(py::handle evaluation, py::handle legal_actions, py::handle to_play, py::handle seeds,
             py::handle noise, py::handle reuse) {
    InUse guard(&in_use_);
    const int64_t num_roots = RootCount(evaluation);
    const Roots roots =
        ReadRoots(evaluation, legal_actions, to_play, seeds, noise, reuse, num_roots, params());
    if (num_roots != search_.num_roots()) MakeRoom(num_roots);
    phase_ = Phase::kNotStarted;
    if (roots.evaluation.vectors) search_.ReserveGiven();
    {
      py::gil_scoped_release unlocked;
      search_.Start(roots);
    }
    phase_ = params().root_expand_all ? Phase::kRootEdgesDue : Phase::kReady;
    has_leaves_ = false;
  }

  py::object Select() {
    InUse guard(&in_use_);
    CheckSelectIsDue();
    if (phase_ == Phase::kRootEdgesDue) {
      py::gil_scoped_release unlocked;
      search_.SelectRootEdges(root_edges_.arrays);
    } else {
      py::gil_scoped_release unlocked;
      search_.Select(leaves_.arrays);
    }
    has_leaves_ = phase_ == Phase::kReady;
    phase_ = has_leaves_ ? Phase::kSelected : Phase::kRootEdgesSelected;
    return has_leaves_ ? leaves_.tuple : root_edges_.tuple;
  }

  void Backup(py::handle evaluation) {
    InUse guard(&in_use_);
    const bool of_root_edges = phase_ == Phase::kRootEdgesSelected;
    if (phase_ != Phase::kSelected && !of_root_edges) {
      throw std::runtime_error("backup was called without a select before it. Call select first.");
    }
    const int64_t rows = num_roots() * (of_root_edges ? params().num_edges : 1);
    const Evaluation read =
        ReadEvaluation(evaluation, {params(), num_roots(), rows, search_.needs_evaluation().data(),
                                    search_.is_outcome().data()});
    if (read.vectors) search_.ReserveGiven();
    {
      py::gil_scoped_release unlocked;
      of_root_edges ? search_.BackupRootEdges(read) : search_.Backup(read);
    }
    phase_ = Phase::kReady;
  }

  void Take(py::handle pool, py::handle out) {
    InUse guard(&in_use_);
    CheckHasLeaves("take");
    const PoolAndRows given = ReadPoolAndRows(pool, out, "out", false, num_roots(), num_nodes());
    py::gil_scoped_release unlocked;
    for (int64_t b = 0; b < num_roots(); ++b) {
      const int64_t row = search_.state(b).leaf_parent * num_roots() + b;
      std::memmove(given.rows + b * given.row_bytes, given.pool + row * given.row_bytes,
                   given.row_bytes);
    }
  }

  void Put(py::handle pool, py::handle rows) {
    InUse guard(&in_use_);
    CheckHasLeaves("put");
    const PoolAndRows given = ReadPoolAndRows(pool, rows, "rows", true, num_roots(), num_nodes());
    py::gil_scoped_release unlocked;
    for (int64_t b = 0; b < num_roots(); ++b) {
      const int64_t row = search_.state(b).leaf_node * num_roots() + b;
      std::memmove(given.pool + row * given.row_bytes, given.rows + b * given.row_bytes,
                   given.row_bytes);
    }
  }

  py::tuple Result() {
    InUse guard(&in_use_);
    CheckStarted("result");
    const py::ssize_t b = num_roots(), e = params().num_edges, d = params().sampling.action_dim;
    const bool is_gumbel = params().rule == RuleName::kGumbel, is_sampled = params().is_sampled;
    const py::ssize_t given = d > 0 ? 2 * d : params().num_actions;
    ResultArrays out;
    const auto visit_count = FilledIf<int32_t>(true, {b, e}, 0, &out.visit_count);
    const auto value = FilledIf(true, {b}, 0.0, &out.value);
    const auto q_value = FilledIf(true, {b, e}, 0.0, &out.q_value);
    const auto raw_value = FilledIf(true, {b}, 0.0, &out.raw_value);
    const auto logits = FilledIf(true, {b, given}, 0.0, &out.prior_logits);
    const auto evaluations = FilledIf<int32_t>(true, {b}, 0, &out.num_evaluations);
    const auto policy = FilledIf(is_gumbel, {b, e}, 0.0, &out.improved_policy);
    const auto completed_q = FilledIf(is_gumbel, {b, e}, 0.0, &out.completed_q);
    const auto best_edge = FilledIf<int64_t>(is_gumbel, {b}, kNone, &out.best_edge);
    const auto ids = FilledIf<int64_t>(is_sampled && d == 0, {b, e, 1}, kNone, &out.sampled_ids);
    const auto vectors = FilledIf<float>(d > 0, {b, e, d}, 0.0f, &out.sampled_vectors);
    search_.Result(out);
    return py::make_tuple(visit_count, value, q_value, raw_value, logits, evaluations, policy,
                          completed_q, best_edge, d > 0 ? vectors : ids);
  }

  py::dict Snapshot() {
    InUse guard(&in_use_);
    CheckStarted("snapshot");
    const py::ssize_t b = num_roots(), m = params().num_nodes(), x = params().num_row_edges();
    const py::ssize_t k = params().num_edges, d = params().sampling.action_dim;
    SnapshotArrays out;
    py::dict all;
    all["node_visits"] = FilledIf<int32_t>(true, {b, m}, 0, &out.node_visits);
    all["node_values"] = FilledIf(true, {b, m}, 0.0, &out.node_values);
    all["raw_values"] = FilledIf(true, {b, m}, 0.0, &out.raw_values);
    all["to_play"] = FilledIf<int8_t>(true, {b, m}, -1, &out.to_play);
    all["is_chance"] = FilledIf(true, {b, m}, false, &out.is_chance);
    all["terminal"] = FilledIf(true, {b, m}, false, &out.terminal);
    all["parents"] = FilledIf<int32_t>(true, {b, m}, kNone, &out.parents);
    all["action_from_parent"] = FilledIf<int32_t>(true, {b, m}, kNone, &out.action_from_parent);
    all["edge_visits"] = FilledIf<int32_t>(true, {b, m, x}, 0, &out.edge_visits);
    all["edge_rewards"] = FilledIf(true, {b, m, x}, 0.0, &out.edge_rewards);
    all["edge_discounts"] = FilledIf(true, {b, m, x}, 0.0, &out.edge_discounts);
    all["prior"] = FilledIf(true, {b, m, x}, 0.0, &out.prior);
    const py::object value_prefix = FilledIf(params().value_prefix, {b, m}, 0.0, &out.value_prefix);
    const py::object is_reset = FilledIf(params().value_prefix, {b, m}, false, &out.is_reset);
    if (params().value_prefix) {
      all["value_prefix"] = value_prefix;
      all["is_reset"] = is_reset;
    }
    const bool has_ids = params().is_sampled && d == 0;
    const py::object ids = FilledIf<int64_t>(has_ids, {b, m, k, 1}, kNone, &out.sampled_ids);
    const py::object vectors = FilledIf<float>(d > 0, {b, m, k, d}, 0.0f, &out.sampled_vectors);
    if (params().is_sampled) all["sampled_actions"] = has_ids ? ids : vectors;
    search_.Snapshot(out);
    return all;
  }

 private:
  enum class Phase { kNotStarted, kRootEdgesDue, kRootEdgesSelected, kReady, kSelected };

  const SearchParams& params() const { return search_.params(); }
  int64_t num_roots() const { return search_.num_roots(); }
  int32_t num_nodes() const { return params().num_nodes(); }

  // Whatever fails here leaves a tree that has not started, and no arrays shorter than they seem.
  void MakeRoom(int64_t num_roots) {
    phase_ = Phase::kNotStarted;
    const int32_t d = params().sampling.action_dim;
    const int64_t num_root_edges = params().root_expand_all ? num_roots * params().num_edges : 0;
    SharedLeaves leaves(leaves_type_, num_roots, d);
    SharedLeaves root_edges(leaves_type_, num_root_edges, d);
    search_.Reserve(num_roots);
    leaves_ = std::move(leaves);
    root_edges_ = std::move(root_edges);
  }

  void CheckStarted(const char* call) const {
    if (phase_ != Phase::kNotStarted) return;
    throw std::runtime_error(std::string(call) +
                             " was called before start. Call start with the roots first.");
  }

  void CheckSelectIsDue() const {
    CheckStarted("select");
    if (phase_ == Phase::kSelected || phase_ == Phase::kRootEdgesSelected) {
      throw std::runtime_error("select was called twice. Call backup between two selects.");
    }
    if (search_.simulation() == params().num_simulations) {
      throw std::runtime_error("select was called after all " +
                               std::to_string(search_.simulation()) +
                               " simulations. Call result, or start the next search.");
    }
  }

  void CheckHasLeaves(const char* call) const {
    CheckStarted(call);
    if (has_leaves_) return;
    throw std::runtime_error(
        std::string(call) + " was called before select, which says which rows. Call select first.");
  }

  Search search_;
  py::object leaves_type_;
  SharedLeaves leaves_;      // of one simulation
  SharedLeaves root_edges_;  // with root_expand_all
  Phase phase_ = Phase::kNotStarted;
  bool has_leaves_ = false;  // of a simulation, since start
  bool in_use_ = false;
};

PYBIND11_MODULE(_ctree, m) {
  m.doc() = "B tree searches at once, in C++.";
  py::class_<TreeBatch>(m, "TreeBatch", "B searches that reuse their memory.")
      .def(py::init<py::handle, py::object>(), py::arg("spec"), py::arg("leaves_type"))
      .def("start", &TreeBatch::Start, py::arg("evaluation"), py::arg("legal_actions") = py::none(),
           py::arg("to_play") = py::none(), py::arg("seeds") = py::none(),
           py::arg("noise") = py::none(), py::arg("reuse") = py::none(),
           "Begin B new searches at evaluated roots.")
      .def("select", &TreeBatch::Select,
           "Descend once in every tree and say which edge to evaluate.")
      .def("backup", &TreeBatch::Backup, py::arg("evaluation"),
           "Store the evaluations of the selected leaves and carry them up to the roots.")
      .def("take", &TreeBatch::Take, py::arg("pool"), py::arg("out"),
           "Copy pool[parent[b], b] of the selected leaves to out[b].")
      .def("put", &TreeBatch::Put, py::arg("pool"), py::arg("rows"),
           "Copy rows[b] to pool[node[b], b] of the selected leaves.")
      .def("result", &TreeBatch::Result, "Return the fields of a SearchResult.")
      .def("snapshot", &TreeBatch::Snapshot, "Return the whole trees as arrays.");
}

}  // namespace lz
