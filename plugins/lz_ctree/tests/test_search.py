"""What the C++ tree promises of every search, and small searches worked by hand.

Shape letters: B roots, S simulations, A actions.
"""

import math

import numpy as np
import pytest
from lz_ctree.tree import CTree

from lzcore.base.tree import Evaluation, Leaves, SearchResult
from lzcore.base.treespec import TreeSpec


def said(value, reward=0.0, logits=(0.0,), **more):
    """One root's evaluation."""
    return Evaluation(np.array([value]), np.array([logits], float), np.array([reward]), **more)


def run(tree, evaluations, **given):
    """Search with evaluations[0] at the roots and one more for each simulation."""
    tree.start(evaluations[0], **given)
    for evaluation in evaluations[1:]:
        tree.select()
        tree.backup(evaluation)
    return tree.result()


def drawn(num_simulations, num_roots, num_actions, seed=0, dtype=np.float64):
    """Random evaluations of the roots and of every simulation's leaves."""
    rng = np.random.default_rng(seed)
    return [
        Evaluation(
            rng.normal(size=num_roots).astype(dtype),
            2 * rng.normal(size=(num_roots, num_actions)).astype(dtype),
            rng.normal(size=num_roots).astype(dtype),
        )
        for _ in range(num_simulations + 1)
    ]


def masks(num_roots, num_actions, seed=1):
    """Random masks, unlike from root to root, that allow at least one action."""
    legal = np.random.default_rng(seed).random((num_roots, num_actions)) < 0.5
    legal[np.arange(num_roots), np.arange(num_roots) % num_actions] = True
    return legal


def rows(evaluation, index):
    """The evaluation of some of its roots."""
    return Evaluation(*(None if field is None else field[index] for field in evaluation))


def assert_same(one, other):
    for name, left, right in zip(one._fields, one, other, strict=True):
        assert (left is None) == (right is None), name
        assert left is None or left.tobytes() == right.tobytes(), name


# --- worked by hand -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("discount", "to_play", "child", "root", "q"),
    [
        (0.5, -1, 4.5, 9.5 / 3, 4.25),  # (4 + 5) / 2; 1, 4 and 4.5; 2 + 4.5 / 2
        (1.0, 1, -1.5, 8 / 3, 3.5),  # (4 - 7) / 2; 1, -2 and 9; 2 + 1.5
    ],
)
def test_two_steps_move_the_means_above_them(discount, to_play, child, root, q):
    """A root worth 1, a step paying 2 to a state worth 4, then one paying 1 to one worth 8."""
    tree = CTree(TreeSpec(num_simulations=2, num_actions=1, discount=discount))
    steps = [said(1.0), said(4.0, 2.0), said(8.0, 1.0)]
    result = run(tree, steps, to_play=np.array([to_play], np.int8))

    assert tree.snapshot()["node_values"][0].tolist() == [pytest.approx(root), child, 8.0]
    assert result.value[0] == pytest.approx(root)
    assert (result.q_value[0, 0], result.raw_value[0]) == (q, 1.0)


def test_who_moves_next_and_the_discount_may_be_told():
    tree = CTree(TreeSpec(num_simulations=3, num_actions=1, discount=0.5))
    again = said(0.0, to_play=np.array([2], np.int8))
    end = said(0.0, discount=np.array([0.0]))
    run(tree, [said(0.0), again, said(0.0), end], to_play=np.array([2], np.int8))

    assert tree.snapshot()["edge_discounts"][0, :3, 0].tolist() == [0.5, -0.5, 0.0]


def test_at_max_depth_an_older_node_is_evaluated_again_and_its_number_stays_unused():
    tree = CTree(TreeSpec(num_simulations=2, num_actions=1, discount=0.5, max_depth=1))
    run(tree, [said(1.0), said(4.0, 2.0), said(8.0, 1.0)])
    nodes = tree.snapshot()

    # root: 1, 2 + 0.5 * 4, then 1 + 0.5 * 8
    assert nodes["node_values"][0].tolist() == [pytest.approx(10 / 3), 8.0, 0.0]
    assert nodes["node_visits"][0].tolist() == [3, 2, 0]
    assert nodes["parents"][0].tolist() == [-1, 0, -1]


def c(n):
    """The exploration factor of a node with N = n."""
    return 1.25 + math.log((n + 19653) / 19652)


@pytest.mark.parametrize(
    ("fpu", "worth"),
    [
        # The first action led to a state worth w, so the root is worth w / 2. The second choice
        # stays with it if w + U / 6 > unvisited + U / 3, where U = c(N) sqrt(N).
        ("mctx", 2 * c(2) * math.sqrt(2) / 6),  # unvisited: the less of w / 2 and w
        ("parent_value", 2 * c(2) * math.sqrt(2) / 6),  # w / 2
        ("muzero_paper", c(1) / 6),  # 0, and N leaves out the root's own visit
        ("zero", c(1) / 6),
    ],
)
def test_a_root_stays_with_its_first_edge_if_that_is_worth_enough(fpu, worth):
    for value, second in ((worth - 1e-3, 1), (worth + 1e-3, 0)):
        spec = TreeSpec(num_simulations=2, num_actions=3, q_transform="none", fpu=fpu)
        tree = CTree(spec)
        run(tree, [said(0.0, logits=[0, 0, 0]), said(value, logits=[0, 0, 0])])
        leaves = tree.select()
        assert (leaves.depth[0], leaves.action[0]) == ((1, 1) if second else (2, 0))


@pytest.mark.parametrize("fpu", ["ez_mean_q", "minizero"])
def test_a_mean_of_the_edges_taken_makes_a_root_try_another_whatever_the_first_is_worth(fpu):
    for value in (-5.0, 5.0):
        spec = TreeSpec(num_simulations=2, num_actions=3, q_transform="none", fpu=fpu)
        tree = CTree(spec)
        run(tree, [said(0.0, logits=[0, 0, 0]), said(value, logits=[0, 0, 0])])
        assert tree.select().action[0] == 1


def test_noise_moves_the_prior_of_the_root_by_its_weight_and_no_logits():
    """Prior 0.8 and 0.2; with noise on edge 1 alone, half and half: 0.4 and 0.6."""
    logits = np.log([0.8, 0.2])
    for weight, first_choice in ((0.0, 0), (0.3, 0), (0.5, 1)):
        tree = CTree(TreeSpec(num_simulations=1, num_actions=2, root_noise_weight=weight))
        tree.start(said(0.0, logits=logits), noise=np.array([[0.0, 1.0]]))
        assert tree.select().action[0] == first_choice
        tree.backup(said(0.0, logits=logits))
        assert tree.result().prior_logits[0].tolist() == logits.tolist()
        mixed = (1 - weight) * np.array([0.8, 0.2]) + weight * np.array([0.0, 1.0])
        assert tree.snapshot()["prior"][0, 0] == pytest.approx(mixed)


@pytest.mark.parametrize(("tie_break", "expected"), [("lowest", 1), ("prior", 2)])
def test_a_tie_goes_to_the_lowest_allowed_edge_or_to_the_best_prior(tie_break, expected):
    """Before its first visit, the prior has no weight at such a root, and all edges score 0."""
    spec = TreeSpec(num_simulations=1, num_actions=4, fpu="zero", tie_break=tie_break)
    tree = CTree(spec)
    tree.start(said(0.0, logits=[9, 1, 2, 1]), legal_actions=np.array([[False, True, True, True]]))

    assert tree.select().action[0] == expected


def test_random_ties_are_shared_by_all_allowed_edges_and_follow_the_seed():
    num_roots = 4000
    spec = TreeSpec(num_simulations=1, num_actions=4, fpu="zero", tie_break="random")
    tree = CTree(spec)
    roots = Evaluation(np.zeros(num_roots), np.tile([9.0, 1, 2, 1], (num_roots, 1)))
    legal = np.tile([False, True, True, True], (num_roots, 1))
    first = []
    for offset in (0, 0, 10**6):
        tree.start(roots, legal, seeds=np.arange(num_roots, dtype=np.uint64) + np.uint64(offset))
        first.append(tree.select().action.copy())

    share = np.bincount(first[0], minlength=4) / num_roots
    assert share == pytest.approx([0, 1 / 3, 1 / 3, 1 / 3], abs=0.03)
    assert (first[0] == first[1]).all()
    assert (first[0] != first[2]).mean() > 0.5


def test_without_reward_or_value_anywhere_the_root_is_worth_nothing():
    zero = Evaluation(np.zeros(2), np.zeros((2, 5)), np.zeros(2))
    result = run(CTree(TreeSpec(num_simulations=12, num_actions=5)), [zero] * 13)

    assert not result.value.any()
    assert not result.q_value.any()
    assert result.visit_count.tolist() == [[3, 3, 2, 2, 2]] * 2  # in turn, the lowest first


# --- what holds for every search ------------------------------------------------------------------


@pytest.mark.parametrize("tie_break", ["lowest", "prior", "random"])
def test_each_simulation_gives_one_visit_and_only_to_allowed_edges(tie_break):
    evaluations, legal = drawn(30, 6, 5), masks(6, 5)
    inside = [e._replace(legal_actions=masks(6, 5, seed)) for seed, e in enumerate(evaluations)]
    tree = CTree(TreeSpec(num_simulations=30, num_actions=5, tie_break=tie_break))
    result = run(tree, inside, legal_actions=legal, seeds=np.arange(6, dtype=np.uint64))
    nodes = tree.snapshot()

    assert result.visit_count.sum(axis=1).tolist() == [30] * 6
    assert not result.visit_count[~legal].any()
    assert not nodes["edge_visits"][nodes["prior"] == 0.0].any()
    assert (nodes["edge_visits"].sum(axis=2) == nodes["node_visits"] - 1).all()


def test_a_root_finds_the_same_alone_and_in_any_company():
    evaluations, legal = drawn(25, 5, 4), masks(5, 4)
    players = np.array([-1, 1, 2, -1, 1], np.int8)
    seeds = np.arange(5, dtype=np.uint64)
    tree = CTree(TreeSpec(num_simulations=25, num_actions=4, tie_break="random", fpu="ez_mean_q"))
    given = {"legal_actions": legal, "to_play": players, "seeds": seeds}
    together = run(tree, evaluations, **given)

    for index in ([0], [3], [4, 2, 0, 1, 3]):
        some = {name: array[index] for name, array in given.items()}
        result = run(tree, [rows(e, index) for e in evaluations], **some)
        expected = (None if field is None else field[index] for field in together)
        assert_same(result, SearchResult(*expected))


def test_a_tree_starts_each_search_afresh():
    first, second = drawn(20, 4, 6), drawn(20, 3, 6, seed=5)
    spec = TreeSpec(num_simulations=20, num_actions=6, q_transform="tree_min_max")
    used = CTree(spec)
    run(used, first)

    assert_same(run(used, second), run(CTree(spec), second))
    assert_same(run(used, first), run(CTree(spec), first))


def test_a_search_may_end_early_and_be_looked_at_between_simulations():
    tree = CTree(TreeSpec(num_simulations=50, num_actions=3))
    result = run(tree, drawn(7, 2, 3))

    assert result.visit_count.sum(axis=1).tolist() == [7, 7]
    assert (tree.snapshot()["node_visits"] > 0).sum(axis=1).tolist() == [8, 8]


def test_float32_evaluations_count_as_the_numbers_they_hold():
    spec = TreeSpec(num_simulations=20, num_actions=7)
    single = drawn(20, 3, 7, dtype=np.float32)
    wide = [Evaluation(*(None if a is None else a.astype(float) for a in e)) for e in single]

    assert_same(run(CTree(spec), single), run(CTree(spec), wide))


def test_columns_of_a_wider_array_can_be_passed_as_they_are():
    spec = TreeSpec(num_simulations=10, num_actions=4)
    plain = drawn(10, 3, 4, dtype=np.float32)
    packed = []
    for value, logits, reward, *_ in plain:
        block = np.column_stack([value, reward, logits])
        packed.append(Evaluation(block[:, 0], block[:, 2:], block[:, 1]))

    assert_same(run(CTree(spec), packed), run(CTree(spec), plain))


def test_leaves_are_views_that_the_next_select_overwrites():
    tree = CTree(TreeSpec(num_simulations=3, num_actions=1))
    tree.start(said(0.0))
    first = tree.select()
    assert isinstance(first, Leaves)
    assert [int(field[0]) for field in first[:-1]] == [0, 0, 1, 1, 0, 1]
    tree.backup(said(0.0))
    second = tree.select()

    assert second.parent is first.parent
    assert [int(field[0]) for field in first[:-1]] == [1, 0, 2, 2, 0, 1]
    dtypes = [np.int64, np.int64, np.int64, np.int32, np.bool_, np.bool_]
    assert [field.dtype for field in first[:-1]] == dtypes
    assert first.vector is None


def test_leaves_that_are_kept_or_written_to_cannot_harm_a_later_search():
    tree = CTree(TreeSpec(num_simulations=2, num_actions=3))
    tree.start(drawn(0, 2, 3)[0])
    kept = tree.select()
    for field in kept[:-1]:
        field[:] = field.dtype.type(-(10**6))
    tree.backup(drawn(0, 2, 3)[0])
    tree.start(drawn(0, 5, 3)[0])
    tree.select()

    assert [len(field) for field in kept[:-1]] == [2] * 6
    assert (kept.parent == -(10**6)).all()


def test_numbers_at_the_ends_of_float32_end_a_search_like_any_other():
    big = float(np.finfo(np.float32).max)
    for options in ({}, {"tie_break": "random"}, {"q_transform": "none"}):
        tree = CTree(TreeSpec(num_simulations=20, num_actions=2, **options))
        seeds = np.zeros(1, np.uint64)
        result = run(tree, [said(-big, -big, logits=[big, -big])] * 21, seeds=seeds)
        assert result.visit_count.sum() == 20
