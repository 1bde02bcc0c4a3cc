"""The README tells every setting and every logged number.

Run as a script, this file writes the settings tables into the README.
"""

from pathlib import Path

import pytest
from lz_muzero.config import MuZeroConfig
from lz_muzero.config_variants import (
    EfficientZeroConfig,
    GumbelMuZeroConfig,
    SampledEfficientZeroConfig,
    SampledMuZeroConfig,
    StochasticMuZeroConfig,
)
from lz_muzero.monitor import monitored
from lz_muzero.policy_sampled import STATISTICS
from lz_muzero.reanalysis import EVALUATIONS
from lz_muzero.rnd import NOVELTY

from lzcore.testing.readme import check_settings_table, explained, write_settings_tables

README = Path(__file__).parents[1] / "README.md"
TABLES = {  # mark in the README -> whose settings, without those of
    "settings": (MuZeroConfig, None),
    "settings of efficientzero": (EfficientZeroConfig, MuZeroConfig),
    "settings of gumbel_muzero": (GumbelMuZeroConfig, MuZeroConfig),
    "settings of sampled_muzero": (SampledMuZeroConfig, MuZeroConfig),
    "settings of sampled_efficientzero": (SampledEfficientZeroConfig, SampledMuZeroConfig),
    "settings of stochastic_muzero": (StochasticMuZeroConfig, MuZeroConfig),
}


@pytest.mark.parametrize("mark", TABLES)
def test_a_settings_table_is_up_to_date(mark):
    check_settings_table(README, TABLES, mark)


def test_every_logged_number_is_explained():
    of_chance = {"afterstate_policy_loss", "afterstate_value_loss", "commitment_loss"}
    learned = {*monitored("reward", extra_statistics=True), *STATISTICS, *NOVELTY}
    told = learned | of_chance | {EVALUATIONS}
    assert {*told, "visit_count_distribution_entropy"} <= explained(README)


def test_every_learned_weight_is_explained(make_policy):
    policy = make_policy({"model": {"harmony_balance": True}})
    names = [name for name in policy.learn_mode.monitor_vars() if name.startswith("harmony")]

    assert len(names) == 3
    assert all(f"`{name}`" in README.read_text() for name in names)


if __name__ == "__main__":
    write_settings_tables(README, TABLES)
