"""What the NumPy tree does, one step after another, worked by hand."""

import numpy as np
import pytest
from lz_ptree.tree import NumpyTree

from lzcore.base.tree import Evaluation, TreeSpec


def tree_of(num_actions=1, num_simulations=2, **options):
    return NumpyTree(TreeSpec(num_simulations=num_simulations, num_actions=num_actions, **options))


def said(value, reward=0.0, logits=(0.0,), **more):
    """One root's evaluation."""
    return Evaluation(np.array([value]), np.array([logits]), np.array([reward]), **more)


def two_steps(tree, *, to_play=None, first=None, second=None):
    """A root worth 1, then a step paying 2 to a state worth 4, then one paying 1 to one worth 8."""
    tree.start(said(1.0), to_play=to_play)
    for evaluation in (said(4.0, 2.0, **first or {}), said(8.0, 1.0, **second or {})):
        tree.select()
        tree.backup(evaluation)
    return tree.result(), tree.snapshot()


def test_rewards_and_discounted_values_move_the_means_of_all_nodes_above():
    result, nodes = two_steps(tree_of(discount=0.5))

    # child: (4 + 1 + 0.5 * 8) / 2; root: 1, 2 + 0.5 * 4, then 2 + 0.5 * 5
    assert nodes["node_values"][0].tolist() == [pytest.approx(9.5 / 3), 4.5, 8.0]
    assert nodes["node_visits"][0].tolist() == [3, 2, 1]
    assert nodes["raw_values"][0].tolist() == [1.0, 4.0, 8.0]
    assert result.q_value[0, 0] == 2 + 0.5 * 4.5
    assert result.raw_value[0] == 1.0


def test_where_the_player_changes_the_value_counts_against_the_mover():
    result, nodes = two_steps(tree_of(), to_play=np.array([1], np.int8))

    # child: (4 + 1 - 8) / 2; root: 1, 2 - 4, then 2 - (1 - 8)
    assert nodes["node_values"][0].tolist() == [pytest.approx(8 / 3), -1.5, 8.0]
    assert result.q_value[0, 0] == 2 + 1.5
    assert nodes["edge_discounts"][0, :2, 0].tolist() == [-1.0, -1.0]


def test_who_moves_next_may_be_told_and_then_decides_the_sign():
    again = {"to_play": np.array([2], np.int8)}
    _, nodes = two_steps(tree_of(), to_play=np.array([2], np.int8), first=again)

    assert nodes["edge_discounts"][0, :2, 0].tolist() == [1.0, -1.0]


def test_a_discount_that_is_told_replaces_that_of_the_spec():
    _, nodes = two_steps(tree_of(discount=0.5), first={"discount": np.array([0.0])})

    assert nodes["edge_discounts"][0, :2, 0].tolist() == [0.0, 0.5]
    assert nodes["node_values"][0, 0] == pytest.approx((1 + 2 + 2) / 3)  # nothing behind counts


def test_at_max_depth_an_older_node_is_evaluated_again_and_its_mean_starts_anew():
    _, nodes = two_steps(tree_of(max_depth=1, discount=0.5))

    # the only child was worth 4 and is worth 8 now; root: 1, 2 + 0.5 * 4, then 1 + 0.5 * 8
    assert nodes["node_values"][0].tolist() == [pytest.approx(10 / 3), 8.0, 0.0]
    assert nodes["node_visits"][0].tolist() == [3, 2, 0]  # number 2 stays unused
    assert nodes["parents"][0].tolist() == [-1, 0, -1]


def test_each_simulation_owns_the_next_node_and_starts_from_its_parent():
    tree = tree_of(num_simulations=3)
    tree.start(said(0.0))
    seen = []
    for _ in range(3):
        leaves = tree.select()
        seen.append([int(field[0]) for field in leaves])
        tree.backup(said(0.0))

    assert seen == [[0, 0, 1, 1], [1, 0, 2, 2], [2, 0, 3, 3]]  # parent, action, node, depth
    assert [field.dtype for field in leaves] == [np.int64, np.int64, np.int64, np.int32]


def test_noise_moves_the_prior_of_the_root_by_its_weight():
    """Prior 0.8 and 0.2; with noise on edge 1 alone, half and half: 0.4 and 0.6."""
    logits = np.log([0.8, 0.2])
    for weight, first_choice in ((0.0, 0), (0.3, 0), (0.5, 1)):
        tree = tree_of(2, root_noise_weight=weight)
        tree.start(said(0.0, logits=logits), noise=np.array([[0.0, 1.0]]))
        assert tree.select().action[0] == first_choice
        assert tree.result().prior_logits[0] == pytest.approx(logits)
        assert tree.snapshot()["logits"][0, 0] == pytest.approx(logits)


def test_an_illegal_edge_is_not_taken_though_its_logit_is_the_largest():
    tree = tree_of(3, num_simulations=6)
    tree.start(said(0.0, logits=(9.0, 0.0, 0.0)), legal_actions=np.array([[False, True, True]]))
    for _ in range(6):
        tree.select()
        inside = np.array([[True, False, True]])
        tree.backup(said(0.0, logits=(0.0, 9.0, 0.0), legal_actions=inside))

    snapshot = tree.snapshot()
    assert tree.result().visit_count[0, 0] == 0
    assert snapshot["edge_visits"][0, 1:, 1].sum() == 0
    assert snapshot["logits"][0, 0].tolist() == [-np.inf, 0.0, 0.0]


# --- what is refused ------------------------------------------------------------------------------


def test_calls_out_of_order_say_which_call_is_missing():
    tree = tree_of(num_simulations=1)
    for call in (tree.select, tree.result, tree.snapshot):
        with pytest.raises(RuntimeError, match=r"before start\. Call start with the roots first"):
            call()
    tree.start(said(0.0))
    with pytest.raises(RuntimeError, match=r"backup was called without a select before it"):
        tree.backup(said(0.0))
    tree.select()
    with pytest.raises(RuntimeError, match=r"select was called twice\. Call backup between"):
        tree.select()
    tree.backup(said(0.0))
    with pytest.raises(RuntimeError, match=r"after all 1 simulations\. Call result, or start"):
        tree.select()


TWO = Evaluation(np.zeros(2), np.zeros((2, 3)), np.zeros(2))
INT8 = np.array([1, 2], np.int8)


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
