"""The golden searches are there, and a tree that errs is told where."""

import numpy as np
import pytest

from lzcore.base.errors import UnknownNameError
from lzcore.base.tree import Leaves, SearchResult
from lzcore.testing.golden import WORLDS, check_golden_search, load_world, replay


class Rememberer:
    """Says what mctx found in a world, with one thing changed; it takes edge 0 of every root."""

    def __init__(self, world, **changes):
        self.world, self.changes = world, changes
        self.spec = None
        self.seen = []

    def __call__(self, spec):
        self.spec = spec
        return self

    def start(self, evaluation, legal_actions=None, noise=None):
        self.roots = evaluation

    def select(self):
        rows = len(self.roots.value)
        none, flags = np.zeros(rows, int), np.zeros(rows, bool)
        node = none + len(self.seen) + 1
        return Leaves(none, none, node, none + 1, flags, ~flags, None)

    def backup(self, evaluation):
        self.seen.append(evaluation)

    def result(self):
        roots = self.world["expected"]
        visits = np.array([r["root_visits"] for r in roots])
        known = {
            "visit_count": visits,
            "value": np.array([r["root_value"] for r in roots]),
            "q_value": np.where(visits > 0, [r["root_qvalues"] for r in roots], 0.0),
            "raw_value": None,
            "prior_logits": None,
        }
        return SearchResult(**{**known, **self.changes})

    def snapshot(self):
        names = ("node_visits", "parents", "action_from_parent", "node_values", "raw_values")
        found = {name: np.array([r[name] for r in self.world["expected"]]) for name in names}
        return {**found, **self.changes}


def test_there_are_worlds_of_each_kind():
    kinds = [name.partition("_")[0] for name in WORLDS]

    assert {kind: kinds.count(kind) for kind in kinds} == {"gumbel": 5, "puct": 3, "stochastic": 2}


def test_a_tree_that_finds_what_mctx_found_passes():
    check_golden_search(Rememberer(load_world("puct_single")), "puct_single")


@pytest.mark.parametrize("name", ["visit_count", "value", "q_value"])
def test_a_tree_that_finds_something_else_is_told_what(name):
    world = load_world("puct_single")
    right = getattr(Rememberer(world).result(), name)
    with pytest.raises(AssertionError, match=rf"{name}\[0\] is not that of mctx"):
        check_golden_search(Rememberer(world, **{name: right + 1}), "puct_single")


def test_leaves_are_evaluated_as_the_world_says():
    world = load_world("stochastic_single")
    tree = replay(Rememberer(world), world)
    afterstate = world["next_afterstate"][world["start_state"][0]][0]

    assert tree.spec.num_chance_outcomes == world["num_chance"]
    assert tree.seen[0].value[0] == world["afterstate_value"][afterstate]
    assert tree.seen[0].reward[0] == 0.0
    assert tree.seen[0].discount[0] == 1.0


def test_a_world_that_does_not_exist_is_refused_with_the_nearest_one():
    with pytest.raises(
        UnknownNameError, match=r"no golden search 'puct_singel'; .*'puct_single'\?"
    ):
        load_world("puct_singel")
