"""The C++ tree against the NumPy tree: the same leaves and the same numbers, bit for bit.

Both are given the same evaluations, drawn beforehand (`lzcore.testing.searches`), and must name the
same leaves in every simulation, and end with the same results and the same trees.

Many more cases: `python plugins/lz_ctree/tests/test_against_numpy.py 10000`.
"""

import sys
from itertools import product
from typing import get_args

import attrs
import numpy as np
import pytest
from lz_ctree.tree import CTree

from lzcore.base.tree import Evaluation
from lzcore.base.treespec import Fpu, QTransform, TieBreak
from lzcore.testing.searches import KINDS, drawn_case, run_alike, spoilt

NumpyTree = pytest.importorskip(
    "lz_ptree.tree",
    reason="lz-ptree, the reference to compare with, is not installed",
).NumpyTree

OPTIONS = list(product(get_args(QTransform), get_args(Fpu), get_args(TieBreak)))
CASES_OF_A_KIND = 60
CASES_OF_AN_OPTION = 5


def check(number, **fixed):
    case = drawn_case(number, **fixed)
    try:
        run_alike(CTree(case.spec), NumpyTree(case.spec), case)
    except Exception as err:
        raise AssertionError(f"case {number}, {fixed}, {attrs.asdict(case.spec)}: {err}") from err


@pytest.mark.parametrize(("rule", "actions", "extra"), KINDS)
def test_both_trees_search_alike_under_every_rule(rule, actions, extra):
    first = 10_000 * KINDS.index((rule, actions, extra))
    for number in range(first, first + CASES_OF_A_KIND):
        check(number, rule=rule, actions=actions, extra=extra)


@pytest.mark.parametrize(("q_transform", "fpu", "tie_break"), OPTIONS)
def test_both_trees_search_alike_under_every_option_of_puct(q_transform, fpu, tie_break):
    first = 10**6 + 10 * OPTIONS.index((q_transform, fpu, tie_break))
    for number in range(first, first + CASES_OF_AN_OPTION):
        check(number, rule="puct", q_transform=q_transform, fpu=fpu, tie_break=tie_break)


# --- what the cases hold --------------------------------------------------------------------------


def all_cases():
    for i, (rule, actions, extra) in enumerate(KINDS):
        for number in range(10_000 * i, 10_000 * i + CASES_OF_A_KIND):
            yield drawn_case(number, rule=rule, actions=actions, extra=extra)


def marks_of(case):
    """Name what happens in a case, as far as one tree can tell."""
    spec, tree = case.spec, CTree(case.spec)
    for search in case.searches:
        tree.start(**search.roots)
        yield from (name for name, given in search.roots.items() if given is not None)
        for evaluation in search.leaves:
            needed = tree.select().needs_evaluation.copy()
            tree.backup(spoilt(evaluation, needed))
            told = (name for name, given in evaluation._asdict().items() if given is not None)
            yield from (f"leaf {name}" for name in told)
            if not needed.all():
                yield "a known leaf"
        nodes = tree.snapshot()
        found = {
            "a chance node": nodes["is_chance"].any(),
            "a finished game": nodes["terminal"].any(),
            "a node evaluated again": spec.max_depth and (nodes["node_visits"][:, 1:] == 0).any(),
            "three levels": (nodes["parents"] > spec.num_edges).any(),
            "a reset": spec.value_prefix and nodes["is_reset"].any(),
            "an empty slot": spec.is_sampled and (nodes["sampled_actions"][:, 0] == -1).any(),
            "a tree used again": search is not case.searches[0],
            "all edges of the roots": spec.root_expand_all,
            "a search that ends early": len(search.leaves) < spec.num_simulations,
            "outcomes that are drawn": nodes["is_chance"].any() and spec.chance_select == "sample",
            "draws with replacement": spec.is_sampled and spec.sample_mode == "with_replacement",
            "densities": spec.is_continuous and spec.prior_mode == "density",
            "an all-zero network": not any(leaf.value.any() for leaf in search.leaves),
            "single precision": search.roots["evaluation"].logits.dtype == np.float32,
        }
        yield from (name for name, is_so in found.items() if is_so)


def test_the_cases_hold_what_the_comparison_is_for():
    """A choice of cases that never masks, never ties or never deepens would prove little."""
    counts = {}
    for case in all_cases():
        for mark in set(marks_of(case)):
            counts[mark] = counts.get(mark, 0) + 1

    given = {"legal_actions", "to_play", "seeds", "noise", "reuse"}
    leaf = {f"leaf {name}" for name in Evaluation._fields}
    happens = {
        "a known leaf", "a chance node", "a finished game", "a node evaluated again",
        "three levels", "a reset", "an empty slot", "a tree used again", "all edges of the roots",
        "a search that ends early", "outcomes that are drawn", "draws with replacement",
        "densities", "an all-zero network", "single precision",
    }  # fmt: skip
    rare = {name: counts.get(name, 0) for name in given | leaf | happens}
    assert min(rare.values()) >= 10, rare


if __name__ == "__main__":
    for case_number in range(int(sys.argv[1])):
        check(10**8 + case_number)
    print(f"{sys.argv[1]} cases: both trees say the same.")
