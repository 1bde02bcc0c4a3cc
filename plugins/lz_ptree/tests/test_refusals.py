"""What the NumPy tree refuses, and what it says then."""

import numpy as np
import pytest
from lz_ptree.tree import NumpyTree

from lzcore.base.tree import Evaluation, Reuse
from lzcore.base.treespec import TreeSpec

ONE = Evaluation(np.zeros(1), np.zeros((1, 1)), np.zeros(1))
TWO = Evaluation(np.zeros(2), np.zeros((2, 3)), np.zeros(2))
INT8 = np.array([1, 2], np.int8)
SEEDS = np.array([3, 4], np.uint64)


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
        ({"value": np.array([0, np.nan])}, r"evaluation\.value\[1\] is nan, at root 1; expected"),
        ({"reward": np.array([np.inf, 0])}, r"evaluation\.reward\[0\] is inf, at root 0"),
        ({"discount": np.array([0, np.nan])}, r"evaluation\.discount\[1\] is nan, at root 1"),
        ({"logits": np.zeros((2, 4))}, r"evaluation\.logits has shape \(2, 4\); expected \(2, 3\)"),
        (
            {"logits": np.array([[0, 0, 0], [0, 0, -np.inf]])},
            r"evaluation\.logits\[1, 2\] is -inf, at root 1; .*Mark illegal actions in legal_act",
        ),
        ({"legal_actions": np.ones((2, 3))}, r"evaluation\.legal_actions has dtype float64; exp"),
        (
            {"legal_actions": np.array([[True] * 3, [False] * 3])},
            r"evaluation\.legal_actions allows no action at root 1; expected at least one True",
        ),
        ({"to_play": np.array([1, 2])}, r"evaluation\.to_play has dtype int64; expected int8"),
        ({"to_play": np.array([1, 0], np.int8)}, r"to_play\[1\] is 0, at root 1; expected -1, 1"),
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


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"evaluation": TWO._replace(value=np.zeros(0))}, r"value has shape \(0,\); expected \(B,"),
        ({"legal_actions": np.zeros((2, 3), bool)}, r"legal_actions allows no action at root 0"),
        ({"to_play": INT8 * 3}, r"to_play\[0\] is 3, at root 0; expected -1, 1 or 2"),
        ({"seeds": np.zeros(2, int)}, r"seeds has dtype int64; expected uint64"),
        ({"noise": np.full((2, 3), 0.5)}, r"noise is not a distribution over the legal actions at"),
        ({"noise": np.full((2, 3), np.nan)}, r"noise\[0, 0\] is nan, at root 0"),
        (
            {
                "noise": np.full((2, 3), 1 / 3),
                "legal_actions": np.array([[True] * 3, [True, True, False]]),
            },
            r"noise is not a distribution over the legal actions at root 1",
        ),
    ],
)
def test_roots_that_cannot_be_searched_are_refused(given, message):
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3))
    with pytest.raises(ValueError, match=message):
        tree.start(**{"evaluation": TWO, **given})


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
        (PLAIN, {"terminal": np.zeros(1, int)}, r"evaluation\.terminal has dtype int64; expected"),
        (
            PLAIN,
            {"terminal": np.zeros(2, bool)},
            r"evaluation\.terminal has shape \(2,\); expected",
        ),
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
        (CHANCE, {"is_chance": np.zeros(1)}, r"evaluation\.is_chance has dtype float64; expected"),
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
        (
            CHANCE,
            {"legal_actions": mask("11")},
            r"legal_actions has shape \(1, 2\); expected \(1, 4",
        ),
        (
            SAMPLED,
            {"actions": np.zeros((1, 2))},
            r"evaluation\.actions has dtype float64; expected",
        ),
        (
            SAMPLED,
            {"actions": np.zeros((1, 3), int)},
            r"actions has shape \(1, 3\); expected \(1, 2",
        ),
        *(
            (
                SAMPLED,
                {"actions": np.array([given])},
                rf"evaluation\.actions\[0\] is \[{given[0]}, {given[1]}\], at root 0; expected "
                r"rising ids of allowed actions below 4, at least one, then -1\. Sort them, merge",
            )
            for given in ([2, 1], [1, 1], [-1, -1], [-1, 2], [3, 4], [-2, 1], [1, -2])
        ),
        (
            SAMPLED,
            {"actions": np.array([[0, 2]]), "legal_actions": mask("1101")},
            r"evaluation\.actions\[0\] is \[0, 2\], at root 0; expected rising ids of allowed",
        ),
        (
            VECTORS,
            {"logits": np.array([[0.0, 0.0, 1.0, 0.0]])},
            r"evaluation\.logits\[0, 3\] is 0\.0, at root 0; expected a standard deviation above 0",
        ),
        (
            VECTORS,
            {"legal_actions": mask("1111")},
            r"evaluation\.legal_actions is given, but actions are vectors \(action_dim is 2\)",
        ),
        (VECTORS, {"actions": np.zeros((1, 2, 2))}, r"actions has dtype float64; expected float32"),
        (
            VECTORS,
            {"actions": np.zeros((1, 2), np.float32)},
            r"evaluation\.actions has shape \(1, 2\); expected \(1, 2, 2\)",
        ),
        *(
            (
                VECTORS,
                {"actions": np.array([[[0.0, 0.0], [bad, 0.0]]], np.float32)},
                rf"evaluation\.actions\[0, 1, 0\] is {bad}, at root 0; expected a number between",
            )
            for bad in (1.0, -1.0, np.nan)
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


def test_noise_over_slots_is_a_distribution_over_all_of_them():
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3, num_sampled_actions=2))
    for noise in (np.array([[0.5, 0.5], [0.7, 0.7]]), np.array([[0.5, 0.5], [1.5, -0.5]])):
        with pytest.raises(ValueError, match=r"noise is not a distribution over the slots at root"):
            tree.start(TWO, seeds=SEEDS, noise=noise)
    with pytest.raises(ValueError, match=r"noise has shape \(2, 3\); expected \(2, 2\)"):
        tree.start(TWO, seeds=SEEDS, noise=np.full((2, 3), 1 / 3))


def test_gumbel_noise_may_be_any_finite_number():
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3, rule="gumbel"))
    noise = np.array([[1.0, -9.0, 3.0]] * 2)
    tree.start(TWO, noise=noise)
    noise[1, 2] = np.inf
    with pytest.raises(ValueError, match=r"noise\[1, 2\] is inf, at root 1; expected a finite"):
        tree.start(TWO, noise=noise)


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


@pytest.mark.parametrize(
    ("action", "value", "message"),
    [
        (
            [0, 3],
            [0, 0],
            r"reuse\.action\[1\] is 3, at root 1; expected a legal action below 3\. Pass",
        ),
        ([-2, 0], [0, 0], r"reuse\.action\[0\] is -2, at root 0; expected a legal action"),
        ([0, 1], [0, 0], r"reuse\.action\[1\] is 1, at root 1; expected a legal action"),
        ([0, 0, 0], [0, 0], r"reuse\.action has shape \(3,\); expected \(2,\)"),
        ([-1, 0], [np.nan, np.inf], r"reuse\.value\[1\] is inf, at root 1; expected a finite"),
    ],
)
def test_what_is_reused_is_checked_at_each_root(action, value, message):
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3))
    legal = mask("111", "101")
    with pytest.raises(ValueError, match=message):
        tree.start(TWO, legal, reuse=Reuse(np.array(action), np.array(value, float)))


def test_a_start_that_is_refused_leaves_the_search_that_was_under_way():
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3))
    tree.start(TWO)
    tree.select()
    with pytest.raises(ValueError, match="noise"):
        tree.start(TWO._replace(value=np.zeros(2)), noise=np.zeros((2, 3)))
    tree.backup(TWO)

    assert tree.result().visit_count.sum(axis=1).tolist() == [1, 1]


@pytest.mark.parametrize(
    "options",
    [
        {"num_sampled_actions": 2},
        {"tie_break": "random"},
        {"num_chance_outcomes": 2, "chance_select": "sample"},
    ],
)
def test_a_search_that_draws_wants_seeds(options):
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3, **options))
    with pytest.raises(ValueError, match=r"seeds is None, but this search draws .* Pass new ones"):
        tree.start(TWO._replace(logits=np.zeros((2, 3))))


@pytest.mark.parametrize("number", [1e39, -1e300])
def test_numbers_beyond_float32_are_refused(number):
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3))
    with pytest.raises(
        ValueError, match=r"value\[1\] is .*; expected a finite number that float32"
    ):
        tree.start(TWO._replace(value=np.array([0.0, number])))


def test_value_prefixes_have_to_be_told():
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=3, value_prefix=True))
    tree.start(TWO)
    tree.select()
    with pytest.raises(
        ValueError, match=r"evaluation\.reward is None in a search with value_prefix"
    ):
        tree.backup(TWO._replace(reward=None))


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
