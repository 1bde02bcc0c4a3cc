"""What the NumPy tree refuses, and what it says then."""

import inspect

import numpy as np
import pytest
from lz_ptree.tree import NumpyTree

from lzcore.base import treechecks
from lzcore.base.tree import Evaluation, Reuse
from lzcore.base.treespec import TreeSpec

ONE = Evaluation(np.zeros(1), np.zeros((1, 1)), np.zeros(1))
TWO = Evaluation(np.zeros(2), np.zeros((2, 3)), np.zeros(2))
SEEDS = np.array([3, 4], np.uint64)


def test_what_any_tree_may_refuse_with_are_two_functions():
    ours = {name for name, found in vars(treechecks).items() if inspect.isfunction(found)}

    assert {name for name in ours if not name.startswith("_")} == {"check_start", "check_backup"}


def test_calls_out_of_order_say_which_call_is_missing():
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=1))
    for call in (tree.select, tree.result, tree.snapshot):
        with pytest.raises(RuntimeError, match=r"before start\. Call start with the roots first"):
            call()
    tree.start(ONE)
    with pytest.raises(RuntimeError, match=r"backup was called without a select before it"):
        tree.backup(ONE)
    tree.select()
    with pytest.raises(RuntimeError, match=r"select was called twice\. Call backup between"):
        tree.select()
    tree.backup(ONE)
    with pytest.raises(RuntimeError, match=r"after all 1 simulations\. Call result, or start"):
        tree.select()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"value": [0.0, 0.0]}, r"evaluation\.value is of type list; expected a NumPy array of"),
        ({"value": np.zeros(2, int)}, r"evaluation\.value has dtype int64; expected float32 or"),
        ({"value": np.zeros(3)}, r"evaluation\.value has shape \(3,\); expected \(2,\)\. Pass one"),
        (
            {"logits": np.array([[0, 0, 0], [0, 0, -np.inf]])},
            r"evaluation\.logits\[1, 2\] is -inf, at root 1; .*Mark illegal actions in legal_act",
        ),
    ],
)
def test_an_evaluation_that_cannot_be_used_is_refused_and_changes_nothing(change, message):
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3))
    tree.start(TWO)
    tree.select()
    with pytest.raises(ValueError, match=message):
        tree.backup(TWO._replace(**change))

    assert tree.result().visit_count.sum() == 0
    tree.backup(TWO)
    assert tree.result().visit_count.sum(axis=1).tolist() == [1, 1]


# --- leaves of other kinds ------------------------------------------------------------------------

ROW = np.array([[0.0, 0.0, 1.0, 1.0]])
SAMPLED = {"num_actions": 4, "num_sampled_actions": 2}
VECTORS = {"action_dim": 2, "num_sampled_actions": 2, "root_expand_all": False}
CHANCE = {"num_actions": 2, "num_chance_outcomes": 4}
PLAIN = {"num_actions": 4}


def mask(*rows):
    return np.array([[flag == "1" for flag in row] for row in rows])


@pytest.mark.parametrize(
    ("options", "change", "message"),
    [
        (
            PLAIN,
            {"is_chance": np.array([False])},
            r"evaluation\.is_chance is given, but num_chance_outcomes of the spec is 0\. Leave it",
        ),
        (
            PLAIN,
            {"actions": np.zeros((1, 4), int)},
            r"evaluation\.actions is given, but num_sampled_actions of the spec is 0\. Leave it",
        ),
        (
            CHANCE,
            {"legal_actions": mask("0000")},
            r"evaluation\.legal_actions allows no outcome at root 0; .*Mark finished games in term",
        ),
        (
            CHANCE,
            {"legal_actions": mask("0011"), "is_chance": np.array([False])},
            r"evaluation\.legal_actions allows no action at root 0; expected at least one True",
        ),
        *(
            (
                SAMPLED,
                {"actions": np.array([given])},
                rf"evaluation\.actions\[0\] is \[{given[0]}, {given[1]}\], at root 0; expected "
                r"rising ids of allowed actions below 4, at least one, then -1\. Sort them, merge",
            )
            for given in ([-1, -1], [-2, 1], [1, -2])
        ),
        (
            VECTORS,
            {"logits": np.array([[0.0, 0.0, 1.0, 0.0]])},
            r"evaluation\.logits\[0, 3\] is 0\.0, at root 0; expected a standard deviation above 0",
        ),
    ],
)
def test_what_only_some_searches_read_is_checked_there(options, change, message):
    tree = NumpyTree(TreeSpec(num_simulations=1, **options))
    good = Evaluation(np.zeros(1), ROW)
    tree.start(good, seeds=SEEDS[:1])
    tree.select()
    with pytest.raises(ValueError, match=message):
        tree.backup(good._replace(**change))

    tree.backup(good)
    assert tree.result().visit_count.sum() == 1


def test_what_stands_in_rows_that_are_not_read_does_not_matter():
    """Row 0 is a game that ended; of it only the value counts, and later nothing at all."""
    tree = NumpyTree(TreeSpec(num_simulations=2, num_actions=3, num_sampled_actions=3))
    tree.start(TWO, legal_actions=mask("100", "100"), seeds=SEEDS)
    tree.select()
    nonsense = {
        "logits": np.array([[np.nan] * 3, [0.0] * 3]),
        "legal_actions": mask("000", "111"),
        "actions": np.array([[-5] * 3, [0, 1, 2]]),
    }
    tree.backup(TWO._replace(terminal=np.array([True, False]), **nonsense))
    assert tree.select().needs_evaluation.tolist() == [False, True]
    spoilt = {"value": np.array([np.nan, 0.0]), "to_play": np.array([9, -1], np.int8)}
    tree.backup(TWO._replace(**nonsense, **spoilt))

    assert tree.result().value.tolist() == [0.0, 0.0]


def test_an_edge_of_an_expanded_root_is_named_with_its_root():
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3, root_expand_all=True))
    tree.start(TWO)
    tree.select()
    value = np.zeros(6)
    value[5] = np.nan
    with pytest.raises(ValueError, match=r"evaluation\.value\[5\] is nan, at root 1"):
        tree.backup(Evaluation(value, np.zeros((6, 3))))
    with pytest.raises(ValueError, match=r"evaluation\.value has shape \(2,\); expected \(6,\)"):
        tree.backup(TWO)


# --- noise and reuse ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"rule": "gumbel"}, "rule 'gumbel'"),
        ({"num_sampled_actions": 2}, "sampled actions"),
        ({"root_expand_all": True}, "root_expand_all"),
        ({"num_chance_outcomes": 2}, "chance nodes"),
    ],
)
def test_reuse_is_for_plain_puct_alone(options, what):
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3, **options))
    with pytest.raises(ValueError, match=f"^reuse is given with {what}; expected plain 'puct'"):
        tree.start(TWO, seeds=SEEDS, reuse=Reuse(np.array([0, 1]), np.zeros(2)))


def test_a_start_that_is_refused_leaves_the_search_that_was_under_way():
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3))
    tree.start(TWO)
    tree.select()
    with pytest.raises(ValueError, match="noise"):
        tree.start(TWO._replace(value=np.zeros(2)), noise=np.zeros((2, 3)))
    tree.backup(TWO)

    assert tree.result().visit_count.sum(axis=1).tolist() == [1, 1]


def test_what_is_written_to_leaves_does_not_reach_the_search():
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3))
    tree.start(TWO)
    for field in tree.select()[:-1]:
        field[:] = field.dtype.type(7)
    tree.backup(TWO)

    assert tree.snapshot()["node_visits"].tolist() == [[2, 1], [2, 1]]


def test_a_shape_that_does_not_fit_is_refused_with_whose_width_it_is_and_how_many_rows():
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3, root_expand_all=True))
    wide = TWO._replace(logits=np.zeros((2, 4)))
    message = (
        r"\(2, 4\); expected \(2, 3\), as wide as TreeSpec\.num_logits\. Pass one row for each ro"
    )
    with pytest.raises(ValueError, match=message):
        tree.start(wide)
    tree.start(TWO)
    tree.select()
    with pytest.raises(
        ValueError, match=r"expected \(6,\)\. Pass one row for each edge of each root"
    ):
        tree.backup(TWO)
