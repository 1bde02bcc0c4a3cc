"""The README tells every setting and every logged number.

Run as a script, this file writes the settings tables into the README.
"""

from pathlib import Path

import pytest
from lz_alphazero.config import AlphaZeroConfig, GumbelAlphaZeroConfig, SampledAlphaZeroConfig

from lzcore.testing.readme import check_settings_table, explained, write_settings_tables

README = Path(__file__).parents[1] / "README.md"
TABLES = {  # mark in the README -> whose settings, without those of
    "settings": (AlphaZeroConfig, None),
    "settings of gumbel_alphazero": (GumbelAlphaZeroConfig, AlphaZeroConfig),
    "settings of sampled_alphazero": (SampledAlphaZeroConfig, AlphaZeroConfig),
}


@pytest.mark.parametrize("mark", TABLES)
def test_a_settings_table_is_up_to_date(mark):
    check_settings_table(README, TABLES, mark)


def test_every_logged_number_is_explained(make_policy, kind):
    told = {"visit_count_distribution_entropy", "searched_value", "resigned", "resign_wrong"}
    assert {*make_policy(kind).learn_mode.monitor_vars(), *told} <= explained(README)


if __name__ == "__main__":
    write_settings_tables(README, TABLES)
