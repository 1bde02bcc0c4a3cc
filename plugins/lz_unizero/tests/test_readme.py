"""The README tells every setting and every logged number.

Run as a script, this file writes the settings table into the README.
"""

from pathlib import Path

import pytest
from lz_muzero.config import MuZeroConfig
from lz_muzero.policy_sampled import STATISTICS
from lz_unizero.config import UniZeroConfig
from lz_unizero.config_sampled import SampledUniZeroConfig
from lz_unizero.monitor import NAMES

from lzcore.testing.readme import check_settings_table, explained, write_settings_tables

README = Path(__file__).parents[1] / "README.md"
TABLES = {  # mark in the README -> whose settings, without those of
    "settings": (UniZeroConfig, MuZeroConfig),
    "settings of sampled_unizero": (SampledUniZeroConfig, UniZeroConfig),
}


@pytest.mark.parametrize("mark", TABLES)
def test_a_settings_table_is_up_to_date(mark):
    check_settings_table(README, TABLES, mark)


def test_every_logged_number_is_explained():
    assert {*NAMES, *STATISTICS} <= explained(README)


if __name__ == "__main__":
    write_settings_tables(README, TABLES)
