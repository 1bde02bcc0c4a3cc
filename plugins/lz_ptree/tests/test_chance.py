"""Chance nodes: which outcome is taken, and who pays and moves around them."""

import numpy as np
import pytest
from lz_ptree.chance import choose_outcome, first_beyond
from lz_ptree.tree import NumpyTree

from lzcore.base.tree import Evaluation
from lzcore.base.treespec import TreeSpec


def tree_of(num_actions=1, num_simulations=4, outcomes=2, **options):
    return NumpyTree(
        TreeSpec(
            num_simulations=num_simulations,
            num_actions=num_actions,
            num_chance_outcomes=outcomes,
            **options,
        )
    )


def said(value, reward=0.0, logits=(0.0, 0.0), **more):
    """One root's evaluation."""
    return Evaluation(np.array([value]), np.array([logits]), np.array([reward]), **more)


# --- the choice -----------------------------------------------------------------------------------


def taken(prior, steps, allowed=None):
    """The outcomes of a chance node one after another."""
    prior = np.array([prior])
    allowed = prior > 0 if allowed is None else np.array([allowed])
    visits = np.zeros(prior.shape, int)
    sequence = []
    spec = TreeSpec(num_simulations=1, num_actions=1, num_chance_outcomes=prior.shape[1])
    for _ in range(steps):
        [outcome] = choose_outcome(spec, allowed, prior, visits, draw=np.zeros(1))
        visits[0, outcome] += 1
        sequence.append(int(outcome))
    return sequence


def test_visits_follow_the_probabilities_as_closely_as_whole_numbers_can():
    # .5 .3 .2 | .25 .3 .2 | .25 .15 .2 | .17 .15 .2 | .17 .15 .1 | .125 .15 .1
    assert taken([0.5, 0.3, 0.2], 6) == [0, 1, 0, 2, 0, 1]
    assert taken([0.25, 0.25, 0.5], 4) == [2, 0, 1, 2]  # equal ones: the lowest


def test_an_outcome_that_cannot_happen_is_never_taken_even_if_the_others_have_no_weight():
    assert taken([0.0, 1.0, 0.0], 3, allowed=[False, True, False]) == [1, 1, 1]
    assert taken([1.0, 0.0, 0.0], 2, allowed=[False, False, True]) == [2, 2]


@pytest.mark.parametrize(
    ("draw", "expected"), [(0.0, 1), (0.29, 1), (0.3, 2), (0.79, 2), (0.8, 3), (1 - 2**-53, 3)]
)
def test_a_drawn_outcome_is_the_first_whose_sum_of_probabilities_exceeds_the_draw(draw, expected):
    prior = np.array([[0.0, 0.3, 0.5, 0.2, 0.0]])

    assert first_beyond(prior, np.array([draw]), prior > 0)[0] == expected


def test_where_the_sum_stays_below_the_draw_the_last_possible_outcome_is_taken():
    prior = np.array([[0.4, 0.5, 0.0]])

    assert first_beyond(prior, np.array([0.95]), np.array([[True, True, False]]))[0] == 1


def test_outcomes_may_be_drawn_and_then_depend_on_the_seed_alone():
    """After one step to the chance node, 400 roots draw from 0.25 and 0.75."""
    b = 400
    tree = tree_of(num_simulations=2, chance_select="sample")
    logits = np.tile(np.log([0.25, 0.75]), (b, 1))
    evaluation = Evaluation(np.zeros(b), logits)
    drawn = []
    for seeds in (np.arange(b, dtype=np.uint64), np.arange(b, dtype=np.uint64)[::-1].copy()):
        tree.start(evaluation, seeds=seeds)
        tree.select()
        tree.backup(evaluation)
        drawn.append(tree.select().action.copy())

    assert drawn[0].tolist() == drawn[1][::-1].tolist()
    assert abs(drawn[0].mean() - 0.75) < 4 * np.sqrt(0.25 * 0.75 / b)


# --- the tree around it ---------------------------------------------------------------------------


def two_halves(tree, *, second=None, **start):
    """A root, its chance node worth 2, and an outcome that pays 1 and leads to a state worth 8."""
    tree.start(said(0.0), **start)
    leaves = []
    for evaluation in (said(2.0), said(8.0, 1.0, **second or {})):
        leaves.append(tree.select())
        tree.backup(evaluation)
    return leaves, tree.snapshot()


def test_a_step_is_discounted_and_changes_the_player_once_behind_the_outcome():
    leaves, nodes = two_halves(tree_of(discount=0.5), to_play=np.array([1], np.int8))

    assert nodes["is_chance"][0, :3].tolist() == [False, True, False]
    assert nodes["to_play"][0, :3].tolist() == [1, 1, 2]
    assert nodes["edge_discounts"][0, 0, 0] == 1.0
    assert nodes["edge_discounts"][0, 1, 0] == -0.5
    # chance node: (2 + 1 - 0.5 * 8) / 2; root: (0 + 2 - 3) / 3
    assert nodes["node_values"][0, :3].tolist() == [pytest.approx(-1 / 3), -0.5, 8.0]
    assert [bool(each.is_outcome[0]) for each in leaves] == [False, True]


def test_with_one_player_only_the_edge_behind_the_outcome_is_discounted():
    _, nodes = two_halves(tree_of(discount=0.5))

    assert nodes["edge_discounts"][0, :2, 0].tolist() == [1.0, 0.5]
    assert nodes["to_play"][0, :3].tolist() == [-1, -1, -1]


def test_the_evaluation_may_say_where_the_dice_are():
    """No chance after this action: the child is a decision node, discounted as such."""
    tree = tree_of(num_actions=2, discount=0.5)
    tree.start(said(0.0, logits=(1.0, 0.0)), to_play=np.array([1], np.int8))
    tree.select()
    tree.backup(said(2.0, is_chance=np.array([False])))
    nodes = tree.snapshot()

    assert not nodes["is_chance"].any()
    assert nodes["to_play"][0, 1] == 2
    assert nodes["edge_discounts"][0, 0, 0] == -0.5


def test_a_row_is_read_as_far_as_its_kind_is_wide():
    """Three outcomes, two actions: what stands behind the second action is not read."""
    tree = tree_of(num_actions=2, outcomes=3, num_simulations=3)
    tree.start(said(0.0, logits=(0.0, 0.0, np.nan)))
    tree.select()
    tree.backup(said(0.0, logits=(0.0, 0.0, 5.0)))
    assert tree.snapshot()["prior"][0, 0].tolist() == [0.5, 0.5, 0.0]
    assert tree.result().prior_logits.shape == (1, 2)
    assert tree.result().visit_count.shape == (1, 2)
    tree.select()  # the other action: its Q is as good, and its prior not spent yet
    with pytest.raises(ValueError, match=r"logits\[0, 2\] is nan, at root 0"):
        tree.backup(said(0.0, logits=(0.0, 0.0, np.nan)))


def test_a_mask_of_a_chance_node_speaks_of_outcomes():
    tree = tree_of(num_simulations=6, outcomes=3)
    tree.start(said(0.0, logits=(0.0, 0.0, 0.0)))
    for _ in range(6):
        tree.select()
        only = np.array([[True, False, True]])  # the one action, or the outer two outcomes
        tree.backup(said(0.0, logits=(0.0, 9.0, 0.0), legal_actions=only))
    nodes = tree.snapshot()

    assert nodes["edge_visits"][0, 1].tolist() == [3, 0, 2]
    assert nodes["prior"][0, 1].tolist() == [0.5, 0.0, 0.5]


def test_the_mean_of_ez_mean_q_passes_through_a_chance_node_with_its_sign():
    tree = tree_of(
        num_actions=2, outcomes=1, fpu="ez_mean_q", q_transform="none", pb_c_init=0.0,
        pb_c_base=1e12,
    )  # fmt: skip
    one_action = np.array([[True, False]])  # so that the descent is one line
    tree.start(said(0.0), legal_actions=one_action, to_play=np.array([1], np.int8))
    for value in (-6.0, 0.0, 1.0):  # chance node, state of player 2, chance node below its edge 0
        tree.select()
        tree.backup(said(value))

    # the root's mean is (-6 + 0 - 1) / 3, and 7 / 3 for player 2: edge 1, never taken, counts for
    # (7 / 3 + 1) / 2, more than the 1 of edge 0; without the sign, for (-7 / 3 + 1) / 2
    assert tree.result().q_value[0, 0] == pytest.approx(-7 / 3)
    leaf = tree.select()
    assert (leaf.parent[0], leaf.action[0]) == (2, 1)
