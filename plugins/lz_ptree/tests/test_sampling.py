"""Sampled actions: what is drawn, how often, and what its prior is."""

import math
from itertools import permutations
from statistics import NormalDist

import numpy as np
import pytest
from lz_ptree.sampling import continuous_slots, discrete_slots
from lz_ptree.tree import NumpyTree

from lzcore.base.seeding import derive_seed, open_uniform, uniform
from lzcore.base.tree import Evaluation
from lzcore.base.treespec import TreeSpec

SEED = np.zeros(1, np.uint64)

MANY = 20_000
POLICY = np.array([0.1, 0.2, 0.3, 0.4])


def discrete(k, *, rows=MANY, policy=POLICY, allowed=None, given=None, node=0, **options):
    """Slots of many roots that are alike but for their seeds."""
    spec = TreeSpec(
        num_simulations=1, num_actions=len(policy), num_sampled_actions=k, **options
    )  # fmt: skip
    legal = np.ones(len(policy), bool) if allowed is None else np.array(allowed)
    return discrete_slots(
        spec,
        np.arange(rows, dtype=np.uint64),
        np.full(rows, node),
        np.tile(np.log(policy), (rows, 1)),
        np.tile(legal, (rows, 1)),
        given,
    )


def within_chance(frequency, probability):
    """Whether MANY draws with this probability may well come out so."""
    spread = np.sqrt(probability * (1 - probability) / MANY)
    return (np.abs(frequency - probability) < 4.5 * spread).all()


# --- discrete, without replacement ----------------------------------------------------------------


def inclusion(policy, k):
    """The probability of each action to be among k drawn one after another."""
    total = np.zeros(len(policy))
    for order in permutations(range(len(policy)), k):
        left, chance = 1.0, 1.0
        for action in order:
            chance *= policy[action] / left
            left -= policy[action]
        total[list(order)] += chance
    return total


@pytest.mark.parametrize("k", [1, 2, 3])
def test_actions_are_drawn_as_one_after_another_from_the_policy(k):
    slots = discrete(k)
    frequency = np.array([(slots.actions == a).any(axis=1).mean() for a in range(4)])

    assert slots.allowed.all()
    assert within_chance(frequency, inclusion(POLICY, k))


def test_slots_stand_in_the_order_of_the_actions_with_their_own_logits():
    slots = discrete(3, rows=200)

    assert (np.diff(slots.actions, axis=1) > 0).all()
    assert (slots.logits == np.log(POLICY)[slots.actions]).all()


def test_slots_that_find_no_allowed_action_stay_empty():
    slots = discrete(3, rows=50, allowed=[True, False, False, True])

    assert slots.actions.tolist() == [[0, 3, -1]] * 50
    assert slots.allowed.tolist() == [[True, True, False]] * 50


def test_a_draw_is_a_function_of_seed_node_and_action():
    keys = derive_seed(np.arange(50, dtype=np.uint64), 0x73616D706C65)
    u = open_uniform(keys[:, None], 7, np.arange(4))
    best = (np.log(POLICY) - np.log(-np.log(u))).argmax(axis=1)

    assert discrete(1, rows=50, node=7).actions[:, 0].tolist() == best.tolist()


# --- discrete, with replacement -------------------------------------------------------------------


def test_with_replacement_equal_draws_are_merged_and_the_prior_counts_them():
    slots = discrete(3, sample_mode="with_replacement")
    count = np.where(slots.allowed, np.exp(slots.logits), 0.0)  # at temperature 1: count alone
    total = [np.where(slots.actions == a, count, 0.0).sum() for a in range(4)]

    assert count.sum(axis=1) == pytest.approx(np.full(MANY, 3.0))
    assert within_chance(np.array(total) / (3 * MANY), POLICY)
    assert not slots.allowed.all()


def test_the_temperature_changes_who_is_drawn_and_the_prior_makes_up_for_it():
    """At a temperature of 2, beta is in proportion to the root of the policy."""
    slots = discrete(2, sample_mode="with_replacement", sample_temperature=2.0)
    beta = np.sqrt(POLICY) / np.sqrt(POLICY).sum()
    single = ~slots.allowed[:, 1]  # both draws fell on one action

    assert within_chance(single.mean(), (beta**2).sum())
    for actions, logits in zip(slots.actions[~single], slots.logits[~single], strict=True):
        wanted = POLICY[actions] / beta[actions]  # count is 1
        assert math.exp(logits[1] - logits[0]) == pytest.approx(wanted[1] / wanted[0])


def test_draw_k_is_a_function_of_seed_node_and_k():
    keys = derive_seed(np.arange(50, dtype=np.uint64), 0x73616D706C65)
    drawn = [np.searchsorted(np.cumsum(POLICY), uniform(keys, 7, k), side="right") for k in (0, 1)]
    wanted = [sorted(set(pair)) for pair in zip(*drawn, strict=True)]
    slots = discrete(2, rows=50, node=7, sample_mode="with_replacement")

    assert [row[row >= 0].tolist() for row in slots.actions] == wanted


def test_forbidden_actions_are_not_drawn_however_likely():
    slots = discrete(
        4, rows=200, policy=np.array([0.05, 0.9, 0.05]), allowed=[True, False, True],
        sample_mode="with_replacement",
    )  # fmt: skip

    assert set(slots.actions.ravel().tolist()) == {-1, 0, 2}


@pytest.mark.parametrize("mode", ["without_replacement", "with_replacement"])
def test_actions_that_are_given_fill_the_slots_with_their_logits(mode):
    given = np.array([[1, 3, -1]])
    slots = discrete(3, rows=1, given=given, sample_mode=mode, sample_temperature=2.0)

    assert slots.actions.tolist() == [[1, 3, -1]]
    assert slots.logits[0, :2] == pytest.approx(np.log([0.2, 0.4]))
    assert slots.allowed.tolist() == [[True, True, False]]


# --- continuous -----------------------------------------------------------------------------------


def continuous(k=2, d=2, *, rows=MANY, given=None, **options):
    """Slots of many roots, of means 0.3, -0.2, .. and deviations 0.5, 0.25, .."""
    spec = TreeSpec(num_simulations=1, action_dim=d, num_sampled_actions=k, **options)
    row = np.array([[0.3, -0.2][:d] + [0.5, 0.25][:d]])
    seeds = np.arange(rows, dtype=np.uint64)
    return continuous_slots(
        spec, seeds, np.full(rows, 5), np.tile(row, (rows, 1)), given
    )  # fmt: skip


def test_vectors_are_normal_before_tanh():
    u = np.arctanh(continuous().actions.astype(float))  # (MANY, K, D)

    for slot in (0, 1):
        assert u[:, slot].mean(axis=0) == pytest.approx([0.3, -0.2], abs=4.5 * 0.5 / 141)
        assert u[:, slot].std(axis=0) == pytest.approx([0.5, 0.25], rel=4.5 / 200)
    independent = np.corrcoef(u.reshape(MANY, 4).T) - np.eye(4)
    assert np.abs(independent).max() < 4.5 / 141


def test_number_j_of_slot_k_is_a_function_of_seed_node_and_k_d_plus_j():
    key = derive_seed(3, 0x73616D706C65)
    u = open_uniform(key, 5, np.arange(4))
    z = np.array([NormalDist().inv_cdf(float(p)) for p in u]).reshape(2, 2)
    wanted = np.tanh([0.3, -0.2] + z * [0.5, 0.25])

    slots = continuous(rows=4)
    assert slots.actions.dtype == np.float32
    assert slots.actions[3] == pytest.approx(wanted, rel=1e-6)


def test_the_empirical_prior_is_the_same_for_all_slots():
    slots = continuous(k=3, rows=5)

    assert slots.allowed.all()
    assert not slots.logits.any()


def log_density(action):
    """Of a vector under the policy of `continuous`, with the constant that keeps it finite."""
    total = 0.0
    for a, mean, deviation in zip(action.tolist(), [0.3, -0.2], [0.5, 0.25], strict=False):
        normal = NormalDist(mean, deviation).pdf(math.atanh(a))
        total += math.log(normal) - math.log(1 - a * a + 1e-6)
    return total


@pytest.mark.parametrize("d", [1, 2])
def test_the_density_prior_is_that_of_the_squashed_normal(d):
    drawn = continuous(k=3, d=d, rows=20, prior_mode="density")
    given = continuous(k=3, d=d, rows=20, prior_mode="density", given=drawn.actions)

    for row in range(20):
        wanted = [log_density(action) for action in drawn.actions[row]]
        assert drawn.logits[row] == pytest.approx(wanted, abs=1e-4)  # float32 actions
        assert given.logits[row] == pytest.approx(wanted, abs=1e-12)
    assert given.actions is drawn.actions


# --- in the tree ----------------------------------------------------------------------------------


def imagined(spec, roots, leaves):
    """An evaluation that is a function of the root and of the node."""
    b = len(roots)
    of_row = roots[np.arange(len(leaves.node)) % b]
    u = uniform(of_row[:, None], leaves.node[:, None], np.arange(spec.num_logits + 2))
    logits = 4 * u[:, 2:] - 2
    if spec.is_continuous:
        logits[:, spec.action_dim :] = 0.1 + u[:, 2 + spec.action_dim :]
    return Evaluation(value=2 * u[:, 0] - 1, logits=logits, reward=u[:, 1] - 0.5)


def searched(spec, roots, **start):
    """A whole search from roots that are told apart by their seeds."""
    tree = NumpyTree(spec)
    zeros = np.zeros(len(roots), np.int64)
    evaluation = imagined(spec, roots, type("AtRoot", (), {"node": zeros}))
    tree.start(evaluation, seeds=roots, **start)
    for _ in range(spec.num_simulations + spec.root_expand_all):
        tree.backup(imagined(spec, roots, tree.select()))
    return tree


ROOTS = np.array([3, 1, 4, 15, 9, 26], np.uint64)


@pytest.mark.parametrize("rule", ["puct", "gumbel"])
@pytest.mark.parametrize("k", [5, 8])
def test_with_as_many_slots_as_actions_the_search_is_the_plain_one(rule, k):
    options = {"num_simulations": 30, "num_actions": 5, "rule": rule, "discount": 0.9}
    plain = searched(TreeSpec(**options), ROOTS)
    sampled = searched(TreeSpec(**options, num_sampled_actions=k), ROOTS)

    for name, wanted in plain.snapshot().items():
        found = sampled.snapshot()[name]
        if wanted.ndim == 3:
            assert not found[..., 5:].any(), name
            found = found[..., :5]
        assert (found == wanted).all(), name
    for name, wanted in plain.result()._asdict().items():
        if wanted is not None:
            found = getattr(sampled.result(), name)
            assert (found[:, :5] == wanted).all() if wanted.ndim == 2 else (found == wanted).all()


def test_a_leaf_names_the_action_of_its_slot_and_the_tree_the_slot():
    tree = NumpyTree(TreeSpec(num_simulations=1, num_actions=5, num_sampled_actions=2))
    root = Evaluation(np.zeros(1), np.zeros((1, 5)), actions=np.array([[1, 4]]))
    tree.start(root._replace(logits=np.array([[9.0, 0, 9, 9, 1]])), seeds=SEED)
    leaves = tree.select()
    tree.backup(root._replace(actions=np.array([[3, -1]])))
    nodes = tree.snapshot()

    assert (leaves.action[0], leaves.vector) == (4, None)
    assert nodes["action_from_parent"][0].tolist() == [-1, 1]
    assert nodes["sampled_actions"][0].tolist() == [[[1], [4]], [[3], [-1]]]
    assert nodes["prior"][0, 0, 1] == pytest.approx(math.e / (1 + math.e))
    assert nodes["prior"][0, 1].tolist() == [1.0, 0.0]
    assert tree.result().sampled_actions.tolist() == [[[1], [4]]]
    assert tree.result().visit_count.tolist() == [[0, 1]]


def test_a_leaf_names_the_slot_and_the_vector_of_a_continuous_action():
    spec = TreeSpec(num_simulations=3, action_dim=2, num_sampled_actions=3, root_expand_all=False)
    given = np.linspace(-0.5, 0.5, 6, dtype=np.float32).reshape(1, 3, 2)
    row = np.array([[0.1, 0.2, 1.0, 2.0]])
    tree = NumpyTree(spec)
    tree.start(Evaluation(np.zeros(1), row, actions=given), seeds=SEED)
    leaves = tree.select()

    assert leaves.action[0] == 0
    assert leaves.vector.tolist() == given[:, 0].tolist()
    result = tree.result()
    assert result.sampled_actions.tolist() == given.tolist()
    assert result.prior_logits.tolist() == row.tolist()
    assert tree.snapshot()["sampled_actions"].shape == (1, 4, 3, 2)


def test_noise_on_empty_slots_is_dropped_and_the_rest_scaled_up_to_one():
    """Slots hold actions 1 and 3, alike; half of the noise left, 0.3 and 0.1, is mixed in."""
    spec = TreeSpec(
        num_simulations=1, num_actions=4, num_sampled_actions=3, root_noise_weight=0.5
    )  # fmt: skip
    tree = NumpyTree(spec)
    root = Evaluation(np.zeros(2), np.zeros((2, 4)), actions=np.array([[1, 3, -1]] * 2))
    tree.start(
        root, seeds=np.zeros(2, np.uint64), noise=np.array([[0.3, 0.1, 0.6], [0.0, 0.0, 1.0]])
    )

    prior = tree.snapshot()["prior"][:, 0]
    assert prior[0].tolist() == pytest.approx([0.25 + 0.375, 0.25 + 0.125, 0.0])
    assert prior[1].tolist() == [0.5, 0.5, 0.0]  # none is left for this root


def test_actions_are_drawn_afresh_where_max_depth_leads_to_a_node_again():
    """Its policy is new, so what it would draw is too; no edge of it was ever taken."""
    spec = TreeSpec(num_simulations=2, num_actions=3, num_sampled_actions=1, max_depth=1)
    tree = NumpyTree(spec)
    tree.start(Evaluation(np.zeros(1), np.array([[99.0, 0.0, 0.0]])), seeds=SEED)
    for logits in ([0.0, 99.0, 0.0], [0.0, 0.0, 99.0]):
        tree.select()
        tree.backup(Evaluation(np.zeros(1), np.array([logits])))

    assert tree.snapshot()["sampled_actions"][0, :, 0, 0].tolist() == [0, 2, -1]


KINDS = {
    "plain": {"num_actions": 5},
    "gumbel": {"num_actions": 5, "rule": "gumbel"},
    "random ties": {"num_actions": 5, "tie_break": "random", "fpu": "zero"},
    "chance": {"num_actions": 3, "num_chance_outcomes": 4, "chance_select": "sample"},
    "sampled": {"num_actions": 9, "num_sampled_actions": 3},
    "with replacement": {
        "num_actions": 9, "num_sampled_actions": 4, "sample_mode": "with_replacement",
    },
    "vectors": {"action_dim": 2, "num_sampled_actions": 4, "prior_mode": "density"},
    "value prefix": {"num_actions": 4, "value_prefix": True, "lstm_horizon_len": 2},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_a_root_finds_the_same_alone_and_in_any_company(kind):
    spec = TreeSpec(num_simulations=20, **KINDS[kind])
    together = searched(spec, ROOTS).snapshot()
    turned = searched(spec, ROOTS[::-1].copy()).snapshot()
    alone = searched(spec, ROOTS[2:3]).snapshot()

    for name, found in together.items():
        assert (found == turned[name][::-1]).all(), name
        assert (found[2] == alone[name][0]).all(), name
    assert (together["edge_visits"][:, 0].sum(axis=1) == 20).all()
    assert len(np.unique(together["node_values"][:, 0])) == len(ROOTS)


@pytest.mark.parametrize("mean", [10.0, -10.0, 300.0])
def test_a_drawn_vector_never_reaches_the_ends_of_its_range(mean):
    """float32 rounds the tanh of 10 to 1, which no environment and no later search takes."""
    asked = TreeSpec(num_simulations=1, action_dim=1, num_sampled_actions=3)
    tree = NumpyTree(asked)
    tree.start(Evaluation(np.zeros(1), np.array([[mean, 0.1]])), seeds=SEED)
    actions = tree.result().sampled_actions

    assert np.abs(actions).max() < 1.0
    tree.start(Evaluation(np.zeros(1), np.array([[mean, 0.1]]), actions=actions), seeds=SEED)
