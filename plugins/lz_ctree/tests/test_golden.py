"""The C++ tree repeats searches that mctx made."""

import pytest
from lz_ctree.tree import CTree

from lzcore.testing.golden import WORLDS, check_golden_search


@pytest.mark.parametrize("name", WORLDS)
def test_a_search_that_mctx_made_is_repeated(name):
    check_golden_search(CTree, name)
