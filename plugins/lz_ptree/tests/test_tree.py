"""What the NumPy tree does, one step after another, worked by hand."""

import numpy as np
import pytest
from lz_ptree.tree import NumpyTree

from lzcore.base.tree import Evaluation, Reuse
from lzcore.base.treespec import TreeSpec


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
        seen.append([int(field[0]) for field in leaves[:4]])
        tree.backup(said(0.0))

    assert seen == [[0, 0, 1, 1], [1, 0, 2, 2], [2, 0, 3, 3]]  # parent, action, node, depth
    assert [field.dtype for field in leaves[:4]] == [np.int64, np.int64, np.int64, np.int32]
    assert (leaves.is_outcome.tolist(), leaves.needs_evaluation.tolist()) == ([False], [True])
    assert leaves.vector is None
    assert tree.result().num_evaluations.tolist() == [3]


def test_noise_moves_the_prior_of_the_root_by_its_weight():
    """Prior 0.8 and 0.2; with noise on edge 1 alone, half and half: 0.4 and 0.6."""
    logits = np.log([0.8, 0.2])
    for weight, first_choice in ((0.0, 0), (0.3, 0), (0.5, 1)):
        tree = tree_of(2, root_noise_weight=weight)
        tree.start(said(0.0, logits=logits), noise=np.array([[0.0, 1.0]]))
        assert tree.select().action[0] == first_choice
        assert tree.result().prior_logits[0] == pytest.approx(logits)
        wanted = [0.8 * (1 - weight), 0.2 * (1 - weight) + weight]
        assert tree.snapshot()["prior"][0, 0] == pytest.approx(wanted)


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
    assert snapshot["prior"][0, 0].tolist() == [0.0, 0.5, 0.5]
    assert snapshot["prior"][0, 1, 1] == 0.0


# --- finished games -------------------------------------------------------------------------------

OVER = {"terminal": np.array([True])}


@pytest.mark.parametrize("max_depth", [None, 1])
def test_a_finished_game_is_visited_again_without_an_evaluation(max_depth):
    """Worth -1 to the player who would move there; each visit brings the root 1."""
    tree = tree_of(num_simulations=3, max_depth=max_depth)
    tree.start(said(0.0), to_play=np.array([1], np.int8))
    tree.select()
    tree.backup(said(-1.0, 0.0, logits=(np.nan,), legal_actions=np.array([[False]]), **OVER))
    for _ in range(2):
        leaves = tree.select()
        assert (leaves.node[0], leaves.depth[0]) == (1, 1)
        assert not leaves.needs_evaluation[0]
        tree.backup(said(np.nan, np.inf, logits=(np.nan,)))

    nodes, result = tree.snapshot(), tree.result()
    assert nodes["node_visits"][0].tolist() == [4, 3, 0, 0]
    assert nodes["node_values"][0].tolist() == [0.75, -1.0, 0.0, 0.0]
    assert nodes["terminal"][0].tolist() == [False, True, False, False]
    assert not nodes["prior"][0, 1].any()
    assert result.visit_count[0, 0] == 3
    assert result.num_evaluations[0] == 1


def test_one_root_may_be_known_while_another_is_evaluated():
    two = Evaluation(np.zeros(2), np.zeros((2, 1)))
    tree = tree_of(num_simulations=2)
    tree.start(two)
    tree.select()
    tree.backup(two._replace(terminal=np.array([True, False])))
    leaves = tree.select()
    assert leaves.needs_evaluation.tolist() == [False, True]
    tree.backup(Evaluation(np.array([np.nan, 6.0]), np.array([[np.nan], [0.0]])))

    assert tree.result().value.tolist() == [0.0, 2.0]
    assert tree.snapshot()["node_visits"].tolist() == [[3, 2, 0], [3, 2, 1]]
    assert tree.result().num_evaluations.tolist() == [1, 2]


def test_a_node_that_max_depth_leads_to_again_may_be_over_by_then():
    tree = tree_of(num_simulations=2, max_depth=1, num_sampled_actions=1)
    tree.start(said(0.0), seeds=np.zeros(1, np.uint64))
    for over in (False, True):
        tree.select()
        tree.backup(said(3.0, terminal=np.array([over])))

    nodes = tree.snapshot()
    assert nodes["terminal"][0].tolist() == [False, True, False]
    assert nodes["prior"][0, 1].tolist() == [0.0]
    assert nodes["sampled_actions"][0, :, 0, 0].tolist() == [0, -1, -1]


# --- value prefixes -------------------------------------------------------------------------------


def test_rewards_are_the_growth_of_the_prefix_since_the_last_reset():
    tree = tree_of(num_simulations=5, value_prefix=True, lstm_horizon_len=2)
    tree.start(said(0.0))
    for prefix in (1.0, 3.0, 5.0, 7.5, 9.0):
        tree.select()
        tree.backup(said(0.0, prefix))
    nodes = tree.snapshot()

    # resets at depth 2 and 4: 1, 3 - 1, 5, 7.5 - 5, 9
    assert nodes["edge_rewards"][0, :5, 0].tolist() == [1.0, 2.0, 5.0, 2.5, 9.0]
    assert nodes["is_reset"][0].tolist() == [False, False, True, False, True, False]
    assert nodes["value_prefix"][0].tolist() == [0.0, 1.0, 3.0, 5.0, 7.5, 9.0]
    assert nodes["node_values"][0, 4] == 4.5  # (0 + 9) / 2: the values of the leaves are 0


def test_at_max_depth_the_prefix_is_told_anew():
    tree = tree_of(num_simulations=3, max_depth=2, value_prefix=True, lstm_horizon_len=5)
    tree.start(said(0.0))
    for prefix in (1.0, 3.0, 4.0):
        tree.select()
        tree.backup(said(0.0, prefix))
    nodes = tree.snapshot()

    assert nodes["edge_rewards"][0, :2, 0].tolist() == [1.0, 3.0]
    assert nodes["value_prefix"][0, :3].tolist() == [0.0, 1.0, 4.0]


# --- all edges of the root at once ----------------------------------------------------------------


def expanded(num_simulations=2, **options):
    """Two roots of three edges, expanded; edge 1 of root 1 is not allowed."""
    tree = tree_of(3, num_simulations, root_expand_all=True, discount=0.5, **options)
    legal = np.array([[True] * 3, [True, False, True]])
    tree.start(Evaluation(np.array([1.0, 2.0]), np.zeros((2, 3))), legal)
    first = tree.select()
    value = np.array([2.0, 4.0, 6.0, np.nan, -2.0, 8.0])  # of edges 0, 0, 1, 1, 2, 2
    tree.backup(Evaluation(value, np.zeros((6, 3)), np.array([0.0, 0, 0, np.nan, 0, 1])))
    return tree, first


def test_the_first_select_names_all_edges_of_all_roots():
    tree, first = expanded()

    assert first.parent.tolist() == [0] * 6
    assert first.action.tolist() == [0, 0, 1, 1, 2, 2]
    assert first.node.tolist() == [1, 1, 2, 2, 3, 3]
    assert first.depth.tolist() == [1] * 6
    assert first.needs_evaluation.tolist() == [True, True, True, False, True, True]
    assert tree.result().num_evaluations.tolist() == [3, 2]


def test_each_gets_its_child_and_nothing_is_backed_up():
    tree, _ = expanded()
    nodes, result = tree.snapshot(), tree.result()

    assert nodes["node_visits"].tolist() == [[1, 1, 1, 1, 0, 0], [1, 1, 0, 1, 0, 0]]
    assert nodes["node_values"][0, :4].tolist() == [1.0, 2.0, 6.0, -2.0]
    assert not nodes["edge_visits"].any()
    assert result.q_value.tolist() == [[1.0, 3.0, -1.0], [2.0, 0.0, 5.0]]  # 0.5 * V, and 1 + 4
    assert result.value.tolist() == [1.0, 2.0]


def test_the_simulations_that_follow_know_every_edge():
    tree, _ = expanded(num_simulations=2)
    leaves = tree.select()

    # edge 1 is the best of root 0, edge 2 of root 1: below them are nodes 2 and 3
    assert leaves.parent.tolist() == [2, 3]
    assert leaves.node.tolist() == [4, 4]
    assert leaves.depth.tolist() == [2, 2]
    tree.backup(Evaluation(np.array([4.0, 4.0]), np.zeros((2, 3))))
    assert tree.result().visit_count.tolist() == [[0, 1, 0], [0, 0, 1]]
    assert tree.result().value.tolist() == [1.0, 2.0]  # both (V + r + 0.25 * 4) / 2
    tree.select()
    tree.backup(Evaluation(np.array([4.0, 4.0]), np.zeros((2, 3))))
    with pytest.raises(RuntimeError, match=r"after all 2 simulations"):
        tree.select()


def test_the_range_of_the_tree_knows_the_expanded_edges():
    """q of root 0 is 1, 3 and -1: scores 0.5, 1 and 0 leave edge 0 behind by half."""
    tree, _ = expanded(q_transform="tree_min_max", pb_c_init=0.0, pb_c_base=1e12)

    assert tree.select().parent.tolist() == [2, 3]


def test_a_finished_game_beside_the_root_is_closed_at_once():
    tree = tree_of(2, 2, root_expand_all=True)
    root = said(0.0, logits=(0.0, 0.0))
    tree.start(root)
    tree.select()
    both = Evaluation(np.array([5.0, 0.0]), np.zeros((2, 2)), terminal=np.array([True, False]))
    tree.backup(both)
    leaves = tree.select()

    assert (leaves.node[0], leaves.needs_evaluation[0]) == (1, False)


# --- reuse ----------------------------------------------------------------------------------------


def reused(value=10.0, num_simulations=3, first=None, **options):
    """Edge 1, paying 2, leads to a state that is known to be worth `value`."""
    tree = tree_of(2, num_simulations, discount=0.5, **options)
    told = Reuse(np.array([1]), np.array([value]))
    tree.start(said(1.0, logits=(0.0, 5.0)), reuse=told)
    leaves = tree.select()
    assert (leaves.action[0], leaves.needs_evaluation[0]) == (1, True)
    tree.backup(said(99.0, 2.0, logits=(0.0, 0.0), **first or {}))
    return tree


def test_the_known_value_takes_the_place_of_the_networks_and_stays():
    tree = reused()
    assert tree.result().q_value[0, 1] == 2 + 0.5 * 10
    for _ in range(2):
        leaves = tree.select()
        assert (leaves.action[0], leaves.node[0], leaves.needs_evaluation[0]) == (1, 1, False)
        tree.backup(said(np.nan, np.nan, logits=(np.nan, np.nan)))

    nodes, result = tree.snapshot(), tree.result()
    assert nodes["node_values"][0].tolist() == [(1 + 3 * 7) / 4, 10.0, 0.0, 0.0]
    assert nodes["raw_values"][0, 1] == 99.0
    assert nodes["node_visits"][0].tolist() == [4, 3, 0, 0]
    assert not nodes["terminal"].any()
    assert result.num_evaluations[0] == 1


def test_the_known_edge_scores_by_its_value_alone():
    """q is 7 against V = 4 of edge 0, whose prior is e^-5: only a bonus that counts decides."""
    options = {"q_transform": "none", "fpu": "parent_value", "pb_c_base": 1e12}
    prior = np.exp(-5) / (1 + np.exp(-5))
    enough = 3 / (np.sqrt(2) * prior)  # 4 + c * sqrt(2) * prior = 7

    assert reused(**options, pb_c_init=0.99 * enough).select().action[0] == 1
    assert reused(**options, pb_c_init=1.01 * enough).select().action[0] == 0


def test_known_is_known_also_where_the_game_is_over():
    tree = reused(first=OVER)

    assert tree.result().q_value[0, 1] == 7.0
    assert tree.snapshot()["terminal"][0].tolist() == [False, True, False, False]


def test_roots_of_which_nothing_is_known_are_searched_plainly():
    two = Evaluation(np.zeros(2), np.zeros((2, 2)))
    tree = tree_of(2, 2)
    tree.start(two, reuse=Reuse(np.array([-1, 0]), np.array([np.nan, 4.0], np.float32)))
    for _ in range(2):
        leaves = tree.select()
        tree.backup(two)

    assert leaves.needs_evaluation.tolist() == [True, False]
    assert tree.result().num_evaluations.tolist() == [2, 1]


@pytest.mark.parametrize("seed", range(10))
def test_with_the_value_that_a_search_found_the_reused_edge_has_the_q_that_it_found(seed):
    """An earlier search says what its child is worth; the new one finds that Q by one visit."""
    rng = np.random.default_rng(seed)
    spec = TreeSpec(num_simulations=40, num_actions=3, discount=0.9)
    root = Evaluation(rng.normal(size=1), rng.normal(size=(1, 3)))
    told = [Evaluation(*(rng.normal(size=s) for s in (1, (1, 3), 1))) for _ in range(40)]
    reward = {0: 0.3, 1: -0.2, 2: 0.1}  # of the root's edges

    def search(**start):
        tree = NumpyTree(spec)
        tree.start(root, **start)
        for i in range(40):
            leaves = tree.select()
            evaluation = told[i]
            if leaves.parent[0] == 0:
                evaluation = evaluation._replace(reward=np.array([reward[int(leaves.action[0])]]))
            tree.backup(evaluation)
        return tree

    plain = search()
    [edge] = plain.result().visit_count.argmax(axis=1)
    child = np.flatnonzero(
        (plain.snapshot()["parents"][0] == 0) & (plain.snapshot()["action_from_parent"][0] == edge)
    )[0]
    found = plain.snapshot()["node_values"][0, child]
    again = search(reuse=Reuse(np.array([edge]), np.array([found])))

    assert again.result().visit_count[0, edge] > 0
    assert again.result().q_value[0, edge] == plain.result().q_value[0, edge]
    visits = again.result().visit_count[0, edge]
    assert again.result().num_evaluations[0] == 40 - visits + 1
