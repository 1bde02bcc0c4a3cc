#include "spec.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

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

// [m] the table for m considered edges; none are never considered.
std::vector<std::vector<int32_t>> HalvingTables(int32_t most, int32_t num_simulations) {
  std::vector<std::vector<int32_t>> tables(1);
  for (int32_t m = 1; m <= most; ++m) tables.push_back(HalvingTable(m, num_simulations));
  return tables;
}

}  // namespace

SearchParams ReadSpec(py::handle spec) {
  const auto number = [&](const char* name) { return spec.attr(name).cast<double>(); };
  const auto whole = [&](const char* name) {
    return static_cast<int32_t>(std::min<int64_t>(spec.attr(name).cast<int64_t>(), INT32_MAX - 1));
  };
  const auto flag = [&](const char* name) { return spec.attr(name).cast<bool>(); };
  const auto text = [&](const char* name) { return spec.attr(name).cast<std::string>(); };
  const auto bounds = spec.attr("q_bounds").cast<py::sequence>();
  SearchParams params;
  params.num_simulations = whole("num_simulations");
  params.num_actions = whole("num_actions");
  params.num_edges = whole("num_edges");
  params.num_outcomes = whole("num_chance_outcomes");
  params.num_logits = whole("num_logits");
  params.max_depth = whole("depth_limit");
  params.num_threads = whole("num_threads");
  params.discount = number("discount");
  params.root_noise_weight = number("root_noise_weight");
  params.is_sampled = flag("is_sampled");
  params.root_expand_all = flag("root_expand_all");
  params.draws = flag("draws");
  params.value_prefix = flag("value_prefix");
  params.lstm_horizon_len = whole("lstm_horizon_len");
  params.chance_select = Named<ChanceSelect>(
      "chance_select", text("chance_select"),
      {{"quasi_random", ChanceSelect::kQuasiRandom}, {"sample", ChanceSelect::kSample}});
  params.rule = Named<RuleName>("rule", text("rule"),
                                {{"puct", RuleName::kPuct}, {"gumbel", RuleName::kGumbel}});
  const bool is_gumbel = params.rule == RuleName::kGumbel;
  params.puct = {QTransformNamed(text("q_transform")),
                 FpuNamed(text("fpu")),
                 TieBreakNamed(text("tie_break")),
                 number("range_floor"),
                 bounds[0].cast<double>(),
                 bounds[1].cast<double>(),
                 is_gumbel ? std::vector<double>()
                           : ExplorationTable(params.num_simulations, number("pb_c_init"),
                                              number("pb_c_base"))};
  const int32_t considered = std::min(whole("max_num_considered_actions"), params.num_edges);
  params.gumbel = {considered,
                   number("maxvisit_init"),
                   number("value_scale"),
                   number("range_floor"),
                   flag("rescale_values"),
                   flag("rescale_illegal") && !params.is_sampled,
                   flag("use_mixed_value"),
                   HalvingTables(is_gumbel ? considered : 0, params.num_simulations)};
  params.sampling = {
      params.num_actions,
      params.num_edges,
      whole("action_dim"),
      Named<SampleMode>("sample_mode", text("sample_mode"),
                        {{"without_replacement", SampleMode::kWithoutReplacement},
                         {"with_replacement", SampleMode::kWithReplacement}}),
      number("sample_temperature"),
      Named<PriorMode>("prior_mode", text("prior_mode"),
                       {{"empirical", PriorMode::kEmpirical}, {"density", PriorMode::kDensity}})};
  return params;
}

}  // namespace lz
