// The Python class TreeBatch: checks, the order of calls, and arrays shared without copies.
//
// Shape letters: B roots searched together, M = S + 1 nodes of a tree, E edges of a node,
// L a latent state.

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <string>

#include "arguments.h"
#include "search.h"

namespace lz {

namespace py = pybind11;

namespace {

template <class T>
T Named(const char* setting, const std::string& name, const std::map<std::string, T>& known) {
  const auto found = known.find(name);
  if (found != known.end()) return found->second;
  throw py::value_error(std::string(setting) + " is '" + name +
                        "', which this tree does not know.");
}

QTransform QTransformNamed(const std::string& name) {
  return Named<QTransform>("q_transform", name,
                           {{"parent_and_siblings", QTransform::kParentAndSiblings},
                            {"min_max", QTransform::kMinMax},
                            {"tree_min_max", QTransform::kTreeMinMax},
                            {"none", QTransform::kNone}});
}

Fpu FpuNamed(const std::string& name) {
  return Named<Fpu>("fpu", name,
                    {{"mctx", Fpu::kMctx},
                     {"parent_value", Fpu::kParentValue},
                     {"muzero_paper", Fpu::kMuzeroPaper},
                     {"ez_mean_q", Fpu::kEzMeanQ},
                     {"zero", Fpu::kZero},
                     {"minizero", Fpu::kMinizero}});
}

TieBreak TieBreakNamed(const std::string& name) {
  return Named<TieBreak>(
      "tie_break", name,
      {{"lowest", TieBreak::kLowest}, {"prior", TieBreak::kPrior}, {"random", TieBreak::kRandom}});
}

// c(N) * sqrt(N) for every N a node can have.
std::vector<double> ExplorationTable(int32_t num_simulations, double init, double base) {
  std::vector<double> table(static_cast<size_t>(num_simulations) + 2);
  for (size_t n = 0; n < table.size(); ++n) {
    const double visits = static_cast<double>(n);
    table[n] = (init + std::log((visits + base + 1.0) / base)) * std::sqrt(visits);
  }
  return table;
}

// lzcore.base.tree.TreeSpec, an attrs record that has validated itself.
SearchParams ReadSpec(py::handle spec) {
  const auto number = [&](const char* name) { return spec.attr(name).cast<double>(); };
  const auto text = [&](const char* name) { return spec.attr(name).cast<std::string>(); };
  const auto bounds = spec.attr("q_bounds").cast<py::sequence>();
  SearchParams params;
  params.num_simulations = spec.attr("num_simulations").cast<int32_t>();
  params.num_actions = spec.attr("num_actions").cast<int32_t>();
  const py::object max_depth = spec.attr("max_depth");
  params.max_depth = params.num_simulations;
  if (!max_depth.is_none()) {
    params.max_depth =
        static_cast<int32_t>(std::min<int64_t>(max_depth.cast<int64_t>(), params.num_simulations));
  }
  params.discount = number("discount");
  params.root_noise_weight = number("root_noise_weight");
  params.puct = {
      QTransformNamed(text("q_transform")),
      FpuNamed(text("fpu")),
      TieBreakNamed(text("tie_break")),
      number("range_floor"),
      bounds[0].cast<double>(),
      bounds[1].cast<double>(),
      ExplorationTable(params.num_simulations, number("pb_c_init"), number("pb_c_base"))};
  return params;
}

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

template <class T>
py::array_t<T> Filled(std::vector<py::ssize_t> shape, T value) {
  py::array_t<T> array(std::move(shape));
  std::fill_n(array.mutable_data(), array.size(), value);
  return array;
}

}  // namespace

class TreeBatch {
 public:
  TreeBatch(py::handle spec, py::object leaves_type)
      : search_(ReadSpec(spec)), leaves_type_(std::move(leaves_type)) {}

  void Start(py::handle evaluation, py::handle legal_actions, py::handle to_play, py::handle seeds,
             py::handle noise) {
    InUse guard(&in_use_);
    const int64_t num_roots = RootCount(evaluation);
    const Roots roots = ReadRoots(evaluation, legal_actions, to_play, seeds, noise, num_roots,
                                  search_.params().num_actions);
    if (num_roots != search_.num_roots()) MakeRoom(num_roots);
    phase_ = Phase::kNotStarted;
    {
      py::gil_scoped_release unlocked;
      search_.Start(roots);
    }
    phase_ = Phase::kReady;
    has_leaves_ = false;
  }

  py::object Select() {
    InUse guard(&in_use_);
    CheckSelectIsDue();
    {
      py::gil_scoped_release unlocked;
      search_.Select(leaf_arrays_);
    }
    phase_ = Phase::kSelected;
    has_leaves_ = true;
    return leaves_;
  }

  void Backup(py::handle evaluation) {
    InUse guard(&in_use_);
    if (phase_ != Phase::kSelected) {
      throw std::runtime_error("backup was called without a select before it. Call select first.");
    }
    const Evaluation read =
        ReadEvaluation(evaluation, search_.num_roots(), search_.params().num_actions, false);
    {
      py::gil_scoped_release unlocked;
      search_.Backup(read);
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
    const py::ssize_t b = num_roots(), e = search_.params().num_actions;
    auto visit_count = Filled<int32_t>({b, e}, 0);
    auto value = Filled<double>({b}, 0.0);
    auto q_value = Filled<double>({b, e}, 0.0);
    auto raw_value = Filled<double>({b}, 0.0);
    auto prior_logits = Filled<double>({b, e}, 0.0);
    search_.Result({visit_count.mutable_data(), value.mutable_data(), q_value.mutable_data(),
                    raw_value.mutable_data(), prior_logits.mutable_data()});
    return py::make_tuple(visit_count, value, q_value, raw_value, prior_logits);
  }

  py::dict Snapshot() {
    InUse guard(&in_use_);
    CheckStarted("snapshot");
    const py::ssize_t b = num_roots(), m = num_nodes(), e = search_.params().num_actions;
    auto node_visits = Filled<int32_t>({b, m}, 0);
    auto node_values = Filled<double>({b, m}, 0.0);
    auto raw_values = Filled<double>({b, m}, 0.0);
    auto parents = Filled<int32_t>({b, m}, kNone);
    auto action_from_parent = Filled<int32_t>({b, m}, kNone);
    auto edge_visits = Filled<int32_t>({b, m, e}, 0);
    auto edge_rewards = Filled<double>({b, m, e}, 0.0);
    auto edge_discounts = Filled<double>({b, m, e}, 0.0);
    auto logits = Filled<double>({b, m, e}, 0.0);
    search_.Snapshot(
        {node_visits.mutable_data(), node_values.mutable_data(), raw_values.mutable_data(),
         parents.mutable_data(), action_from_parent.mutable_data(), edge_visits.mutable_data(),
         edge_rewards.mutable_data(), edge_discounts.mutable_data(), logits.mutable_data()});
    py::dict all;
    all["node_visits"] = node_visits;
    all["node_values"] = node_values;
    all["raw_values"] = raw_values;
    all["parents"] = parents;
    all["action_from_parent"] = action_from_parent;
    all["edge_visits"] = edge_visits;
    all["edge_rewards"] = edge_rewards;
    all["edge_discounts"] = edge_discounts;
    all["logits"] = logits;
    return all;
  }

 private:
  enum class Phase { kNotStarted, kReady, kSelected };

  int64_t num_roots() const { return search_.num_roots(); }
  int32_t num_nodes() const { return search_.params().num_simulations + 1; }

  // NumPy owns the leaf arrays, so one that the caller keeps outlives a search of another size.
  void MakeRoom(int64_t num_roots) {
    phase_ = Phase::kNotStarted;
    search_.Reserve(num_roots);
    auto parent = Filled<int64_t>({num_roots}, 0);
    auto action = Filled<int64_t>({num_roots}, 0);
    auto node = Filled<int64_t>({num_roots}, 0);
    auto depth = Filled<int32_t>({num_roots}, 0);
    leaf_arrays_ = {parent.mutable_data(), action.mutable_data(), node.mutable_data(),
                    depth.mutable_data()};
    leaves_ = leaves_type_(parent, action, node, depth);
  }

  void CheckStarted(const char* call) const {
    if (phase_ != Phase::kNotStarted) return;
    throw std::runtime_error(std::string(call) +
                             " was called before start. Call start with the roots first.");
  }

  void CheckSelectIsDue() const {
    CheckStarted("select");
    if (phase_ == Phase::kSelected) {
      throw std::runtime_error("select was called twice. Call backup between two selects.");
    }
    if (search_.simulation() == search_.params().num_simulations) {
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
  py::object leaves_;
  LeafArrays leaf_arrays_ = {};
  Phase phase_ = Phase::kNotStarted;
  bool has_leaves_ = false;  // since start
  bool in_use_ = false;
};

PYBIND11_MODULE(_ctree, m) {
  m.doc() = "B tree searches at once, in C++.";
  py::class_<TreeBatch>(m, "TreeBatch", "B searches that reuse their memory.")
      .def(py::init<py::handle, py::object>(), py::arg("spec"), py::arg("leaves_type"))
      .def("start", &TreeBatch::Start, py::arg("evaluation"), py::arg("legal_actions") = py::none(),
           py::arg("to_play") = py::none(), py::arg("seeds") = py::none(),
           py::arg("noise") = py::none(), "Begin B new searches at evaluated roots.")
      .def("select", &TreeBatch::Select,
           "Descend once in every tree and say which edge to evaluate.")
      .def("backup", &TreeBatch::Backup, py::arg("evaluation"),
           "Store the evaluations of the selected leaves and carry them up to the roots.")
      .def("take", &TreeBatch::Take, py::arg("pool"), py::arg("out"),
           "Copy pool[parent[b], b] of the selected leaves to out[b].")
      .def("put", &TreeBatch::Put, py::arg("pool"), py::arg("rows"),
           "Copy rows[b] to pool[node[b], b] of the selected leaves.")
      .def("result", &TreeBatch::Result, "Return the fields of a SearchResult.")
      .def("snapshot", &TreeBatch::Snapshot,
           "Return the whole trees; logits are -inf where an edge is not allowed, without noise.");
}

}  // namespace lz
