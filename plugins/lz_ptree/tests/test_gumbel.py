"""Completed q-values, Sequential Halving and the improved policy, worked by hand."""

import math

import numpy as np
import pytest
from lz_ptree import gumbel
from lz_ptree.nodes import Nodes
from lz_ptree.tree import NumpyTree

from lzcore.base.tree import Evaluation
from lzcore.base.treespec import TreeSpec


def spec(**changes):
    return TreeSpec(num_simulations=8, num_actions=4, rule="gumbel", **changes)


def node(**changes):
    """Edge 0 visited twice, q 3; edge 1 open; edge 2 visited once, q -1; edge 3 not allowed."""
    fields = {
        "is_root": False,
        "visit_count": np.array([4]),
        "value": np.array([7.0]),  # plays no part here
        "raw_value": np.array([1.0]),
        "to_play": np.array([-1]),
        "allowed": np.array([[True, True, True, False]]),
        "prior": np.array([[0.2, 0.3, 0.5, 0.0]]),
        "edge_visits": np.array([[2, 0, 1, 0]]),
        "q_value": np.array([[3.0, 0.0, -1.0, 0.0]]),
        "tree_q_low": np.array([-9.0]),
        "tree_q_high": np.array([9.0]),
        "parent_q": np.array([0.0]),
        "draw": np.array([0.0]),
        "is_known": np.zeros((1, 4), bool),
        **changes,
    }
    fields.setdefault("weight", fields["prior"] / fields["prior"].max())
    fields.setdefault("visited", fields["edge_visits"] > 0)
    return Nodes(**fields)


# q_mean is (0.2 * 3 - 0.5) / 0.7 = 1 / 7, v_mix (1 + 3 / 7) / 4
V_MIX = 5 / 14


# --- completed q-values ---------------------------------------------------------------------------


def test_the_mixed_value_is_the_raw_one_and_the_mean_q_weighted_with_prior_and_visits():
    assert gumbel.mixed_value(spec(), node())[0] == pytest.approx(V_MIX)
    assert gumbel.mixed_value(spec(use_mixed_value=False), node())[0] == 1.0


def test_before_any_visit_the_mixed_value_is_the_raw_one():
    fresh = node(edge_visits=np.zeros((1, 4), int), visit_count=np.array([1]))

    assert gumbel.mixed_value(spec(), fresh)[0] == 1.0


def test_visited_edges_without_any_prior_share_the_mean_alike():
    nothing = node(prior=np.array([[0.0, 1.0, 0.0, 0.0]]))

    # q_mean is (3 - 1) / 2
    assert gumbel.mixed_value(spec(), nothing)[0] == pytest.approx((1 + 3 * 1) / 4)


def test_edges_without_a_visit_are_completed_with_the_mixed_value():
    completed = gumbel.completed_q(node(), np.array([V_MIX]))

    assert completed[0].tolist() == [3.0, V_MIX, -1.0, V_MIX]


def scaled(nodes, **options):
    asked = spec(**options)
    return gumbel.scaled_q(asked, nodes, gumbel.mixed_value(asked, nodes)).completed[0]


def test_completed_q_values_are_placed_in_their_range_and_weigh_with_the_most_visits():
    # the range is -1 to 3, and the factor (50 + 2) * 0.1
    assert scaled(node()) == pytest.approx([5.2, 5.2 * (V_MIX + 1) / 4, 0.0, 5.2 * (V_MIX + 1) / 4])
    assert scaled(node(), maxvisit_init=1.0, value_scale=2.0)[0] == pytest.approx(6.0)


def test_without_rescaling_they_count_as_they_are():
    assert scaled(node(), rescale_values=False)[[0, 2]] == pytest.approx([15.6, -5.2])


def test_a_narrow_range_is_widened_to_the_floor():
    near = node(q_value=np.array([[0.001, 0, 0.0, 0]]), raw_value=np.array([0.0]))

    assert scaled(near, range_floor=0.01)[0] == pytest.approx(5.2 * 0.1)


@pytest.mark.parametrize(
    ("options", "at_most"),
    [
        ({}, 5.2 * 4 / 14),  # the range is -1 to v_mix = (49 + 3 * 1) / 4 = 13
        ({"rescale_illegal": False}, 5.2),
        ({"num_sampled_actions": 4}, 5.2),  # an empty slot is no action that was left out
    ],
)
def test_an_edge_that_is_not_allowed_widens_the_range_unless_the_spec_says_otherwise(
    options, at_most
):
    all_visited = node(
        allowed=np.array([[True, False, True, False]]),
        prior=np.array([[0.5, 0.0, 0.5, 0.0]]),
        raw_value=np.array([49.0]),
    )

    assert scaled(all_visited, **options)[0] == pytest.approx(at_most)


def test_an_open_edge_widens_the_range_whatever_is_not_allowed():
    far = node(raw_value=np.array([100.0]))  # v_mix is (100 + 3 / 7) / 4

    for options in ({}, {"rescale_illegal": False}):
        assert scaled(far, **options)[1] == pytest.approx(5.2)


# --- the root -------------------------------------------------------------------------------------

LOGITS = np.array([[0.0, 1.0, 2.0, 9.0]])
ALLOWED = np.array([[True, True, True, False]])


def plan(noise=(5.0, 0.0, 0.0, 100.0), **options):
    return gumbel.plan_halving(spec(**options), LOGITS, ALLOWED, np.array([noise]))


def test_root_edges_are_first_taken_in_the_order_of_noise_and_logit():
    halving = plan()

    assert halving.root_score[0].tolist() == [3.0, -1.0, 0.0, -np.inf]  # 5 + 0 - 2, 1 - 2, 2 - 2
    assert halving.order[0].tolist() == [0, 2, 1, 3]
    assert plan((2.0, 1.0, 0.0, 0.0)).order[0].tolist() == [0, 1, 2, 3]  # all equal


@pytest.mark.parametrize(
    ("at_most", "expected"),
    [
        (1, [0, 1, 2, 3, 4, 5, 6, 7]),
        (2, [0, 0, 1, 1, 2, 2, 3, 3]),
        (16, [0, 0, 0, 1, 1, 2, 2, 3]),  # three are allowed: one round of three, then of two
    ],
)
def test_no_more_edges_are_considered_than_the_spec_says_and_than_there_are(at_most, expected):
    assert plan(max_num_considered_actions=at_most).table[0].tolist() == expected


def at_root(visits, gain, q, **options):
    """The edge that is best among those taken `visits[-1]` times."""
    asked = spec(**options)
    nodes = node(edge_visits=np.array([visits]), q_value=np.array([q]), is_root=True)
    halving = plan()._replace(root_score=np.array([gain]), table=np.full((1, 8), max(visits)))
    return gumbel.choose_at_root(asked, nodes, halving, 3)[0]


def test_of_the_edges_taken_as_often_the_best_gain_and_value_wins():
    # sq is 0, 5.1 and 5.1 / 3
    assert at_root([1, 1, 1, 0], [0.0, 0.0, 0.0, -np.inf], [0.0, 3.0, 1.0, 0]) == 1
    assert at_root([1, 1, 1, 0], [6.0, 0.0, 0.0, -np.inf], [0.0, 3.0, 1.0, 0]) == 0
    assert at_root([1, 0, 1, 0], [6.0, 99.0, 9.0, -np.inf], [0.0, 3.0, 1.0, 0]) == 2
    assert at_root([1, 1, 1, 0], [1.0, 1.0, 1.0, -np.inf], [2.0, 2.0, 2.0, 0]) == 0


def test_scores_below_minus_a_billion_tie_and_the_lowest_edge_wins():
    assert at_root([1, 1, 1, 0], [-3e9, -2e9, -2e9, -np.inf], [0.0, 0.0, 0.0, 0]) == 0
    assert at_root([1, 1, 1, 0], [-3e9, -1e8, -2e9, -np.inf], [0.0, 0.0, 0.0, 0]) == 1


def searched(logits, values, *, noise=None, legal=None, **options):
    """A search whose edges lead to states worth `values`, and stay there."""
    asked = TreeSpec(num_actions=len(values), rule="gumbel", **options)
    tree = NumpyTree(asked)
    root = Evaluation(np.zeros(1), np.array([logits], dtype=float))
    tree.start(root, legal, noise=None if noise is None else np.array([noise], dtype=float))
    first = []
    for _ in range(asked.num_simulations):
        leaves = tree.select()
        parent, action = int(leaves.parent[0]), int(leaves.action[0])
        if parent == 0:
            first.append(action)
        worth = values[action] if parent == 0 else 0.0
        tree.backup(Evaluation(np.array([worth]), root.logits, None))
    return tree.result(), first


def test_halving_takes_the_considered_edges_in_turn_and_drops_the_worse_half():
    result, first = searched(
        [0.0, 3.0, 2.0, 1.0, 0.0], [9.0, 0.0, 1.0, 0.0, 0.0],
        num_simulations=8, max_num_considered_actions=4, max_depth=1,
    )  # fmt: skip

    # visits(4, 8) = 0 0 0 0 1 1 2 2; edges 1 to 3 come first by logit, and 0 before 4, its equal.
    # Then gain and sq are -3 + 5.1, 0, -1 + 5.1 / 9 and -2
    assert first == [1, 2, 3, 0, 0, 1, 0, 1]
    assert result.visit_count[0].tolist() == [3, 3, 1, 1, 0]
    assert result.best_edge[0] == 0


def test_with_fewer_simulations_than_edges_the_best_that_was_taken_wins():
    result, first = searched([0.0, 3.0, 2.0], [9.0, 0.0, 1.0], num_simulations=2)

    assert first == [1, 2]
    # both once: 0 + 0 and 3 - 2 less, but q of edge 2 is 5.1 better
    assert result.best_edge[0] == 2


def test_noise_decides_the_order_and_illegal_edges_are_left_out():
    _, first = searched(
        [0.0, 3.0, 2.0], [0.0, 0.0, 0.0],
        num_simulations=2, noise=[4.0, 0.0, 0.0], legal=np.array([[True, False, True]]),
    )  # fmt: skip

    assert first == [0, 2]


def test_before_the_first_simulation_the_best_edge_is_the_one_to_take_first():
    tree = NumpyTree(TreeSpec(num_actions=3, rule="gumbel", num_simulations=2))
    tree.start(Evaluation(np.zeros(1), np.array([[0.0, 2.0, 1.0]])))
    result = tree.result()

    assert result.best_edge[0] == 1
    assert result.improved_policy[0] == pytest.approx(softmax([0.0, 2.0, 1.0]))


# --- below the root -------------------------------------------------------------------------------


def below(nodes, **options):
    return gumbel.choose_below_root(spec(**options), nodes)[0]


def test_below_the_root_the_edge_that_lags_behind_its_share_most_is_taken():
    # without values the shares are 0.2 - 2 / 4, 0.3 and 0.5 - 1 / 4
    assert below(node(), value_scale=0.0) == 1
    more = node(prior=np.array([[0.2, 0.2, 0.6, 0.0]]))
    assert below(more, value_scale=0.0) == 2  # 0.2 against 0.6 - 1 / 4
    # with them 0.2 e^5.2 is all there is: nearly 1 - 2 / 4 against 0 and -1 / 4
    assert below(node()) == 0


def test_equal_lags_go_to_the_lowest_edge_and_the_best_prior_stands_for_the_open_ones():
    fresh = node(edge_visits=np.zeros((1, 4), int), visit_count=np.array([1]))
    even = node(
        allowed=np.ones((1, 4), bool),
        prior=np.full((1, 4), 0.25),
        edge_visits=np.array([[1, 0, 0, 0]]),
    )

    assert below(fresh) == 2
    assert below(even, value_scale=0.0) == 1


def test_where_no_weight_is_left_the_fewest_visits_win():
    """The visited edges have no prior, and the open one lies 800 below: every share is 0."""
    spent = node(
        prior=np.array([[0.0, 1.0, 0.0, 0.0]]),
        raw_value=np.array([-900.0]),
        edge_visits=np.array([[2, 0, 1, 0]]),
    )

    assert below(spent, rescale_values=False, use_mixed_value=False, value_scale=1.0) == 1
    all_taken = spent._replace(allowed=np.array([[True, False, True, False]]))
    assert below(all_taken) == 2  # -2 / 4 and -1 / 4


@pytest.mark.parametrize("seed", range(30))
def test_the_choice_is_that_of_the_softmax_over_all_edges(seed):
    rng = np.random.default_rng(seed)
    visits = rng.integers(0, 3, 4) * np.array([1, 1, 1, 0])
    logits = rng.normal(size=3) * 2
    prior = np.append(softmax(logits), 0.0)
    nodes = node(
        prior=prior[None],
        edge_visits=visits[None],
        q_value=rng.normal(size=(1, 4)),
        visit_count=np.array([visits.sum() + 1]),
    )
    share = np.append(softmax(logits + scaled(nodes)[:3]), -np.inf)
    lag = share - visits / (visits.sum() + 1)

    assert lag[below(nodes)] == pytest.approx(lag.max(), abs=1e-12)


# --- the outcome ----------------------------------------------------------------------------------


def softmax(logits):
    weight = [math.exp(logit) for logit in logits]
    return np.array(weight) / sum(weight)


def test_the_improved_policy_is_the_softmax_of_logits_and_scaled_values():
    logits = np.log([[0.2, 0.3, 0.5, 1.0]])
    policy = gumbel.improved_policy(spec(), node(), logits)[0]

    assert policy[:3] == pytest.approx(softmax(logits[0, :3] + scaled(node())[:3]))
    assert policy[3] == 0.0


def test_the_outcome_is_complete_and_a_puct_search_has_none_of_it():
    result, _ = searched([0.0, 3.0, 2.0], [9.0, 0.0, 1.0], num_simulations=2)

    assert result.completed_q[0, 1:].tolist() == [0.0, 1.0]
    assert result.completed_q[0, 0] == pytest.approx(2 * 1.0 / (1 + math.e) / 3)  # v_mix
    assert result.improved_policy[0].sum() == pytest.approx(1.0)
    plain = NumpyTree(TreeSpec(num_actions=3, num_simulations=2))
    plain.start(Evaluation(np.zeros(1), np.zeros((1, 3))))
    assert plain.result()[6:9] == (None, None, None)
