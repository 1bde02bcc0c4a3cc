"""The NumPy tree repeats searches that mctx made, and its table of visits."""

import json
from pathlib import Path

import pytest
from lz_ptree.gumbel import halving_visits
from lz_ptree.tree import NumpyTree

from lzcore.testing.golden import WORLDS, check_golden_search


@pytest.mark.parametrize("name", WORLDS)
def test_a_search_that_mctx_made_is_repeated(name):
    check_golden_search(NumpyTree, name)


def test_halving_visits_what_the_table_of_mctx_says():
    tables = json.loads(Path(__file__).with_name("sequential_halving.json").read_text())
    del tables["made_by"]

    assert len(tables) == 14
    for key, expected in tables.items():
        considered, simulations = map(int, key.split(","))
        assert halving_visits(considered, simulations) == expected, key
