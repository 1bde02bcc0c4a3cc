"""The README tells every setting and every logged number.

Run as a script, this file writes the settings table into the README.
"""

from pathlib import Path

from lz_muzero.config import MuZeroConfig
from lz_unizero.config import UniZeroConfig
from lz_unizero.monitor import NAMES

from lzcore.testing.readme import check_settings_table, explained, write_settings_tables

README = Path(__file__).parents[1] / "README.md"
TABLES = {"settings": (UniZeroConfig, MuZeroConfig)}


def test_the_settings_table_is_up_to_date():
    check_settings_table(README, TABLES, "settings")


def test_every_logged_number_is_explained():
    assert set(NAMES) <= explained(README)


if __name__ == "__main__":
    write_settings_tables(README, TABLES)
