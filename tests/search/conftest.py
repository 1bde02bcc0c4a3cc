"""Makes the toy games importable, and runs each search test with every tree of this repository."""

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

TREES = {"lz_ctree": "CTree", "lz_ptree": "NumpyTree"}


@pytest.fixture(params=TREES)
def make(request):
    """The class of a tree, to be called with a TreeSpec."""
    reason = f"{request.param} is not installed"
    module = pytest.importorskip(f"{request.param}.tree", reason=reason)
    return getattr(module, TREES[request.param])
