"""Sampled MuZero decides: slots of drawn actions, numbered ones and vectors.

Shape letters: N environments, Ks slots, A actions, D numbers of a vector.
"""

import inspect
import math

import numpy as np
import pytest
import torch
from lz_muzero import sampling
from lz_muzero.policy import MuZeroPolicy
from lz_muzero.policy_sampled import SampledMuZeroPolicy
from torch import nn

from lzcore.base import ActionSpace, NetworkOutput, Observed, Spaces
from lzcore.nn import ScalarSupport

LONG = [
    "action",
    "visit_count_distributions",
    "visit_count_distribution_entropy",
    "searched_value",
    "predicted_value",
    "predicted_policy_logits",
    "root_sampled_actions",
]
SHORT = ["distributions", "value", "pred_value", "policy_logits"]
VECTORS = {
    "model": {
        "continuous_action_space": True,
        "action_space_size": 2,
        "num_of_sampled_actions": 5,
        "observation_shape": 5,
    }
}


class OpenGaussian(nn.Module):
    """Says of an observation what stands in it: value, two means, two deviations."""

    def __init__(self):
        super().__init__()
        self.value_support = self.reward_support = ScalarSupport()
        self.gain = nn.Parameter(torch.ones(()))

    def initial_inference(self, observation):
        seen = observation * self.gain
        return NetworkOutput(seen, torch.zeros_like(seen[:, :1]), seen[:, :1], seen[:, 1:])

    def recurrent_inference(self, latent_state, action):
        """Actions near (1, 1) are rewarded."""
        out = self.initial_inference(latent_state)
        return out._replace(reward=action.sum(dim=1, keepdim=True))


@pytest.fixture
def numbered(make_policy, open_model):
    """A policy of three actions whose observation is (value, three logits)."""

    def make(*layers, policy_class=SampledMuZeroPolicy, **given):
        return make_policy(*layers, given, policy_class=policy_class, model=open_model())

    return make


@pytest.fixture
def vectorial(make_policy):
    """A policy over vectors of two whose observation is (value, two means, two deviations)."""

    def make(*layers, **given):
        return make_policy(
            VECTORS, *layers, given, policy_class=SampledMuZeroPolicy, model=OpenGaussian()
        )

    return make


def rows(*given):
    return torch.tensor(given, dtype=torch.float32)


FOUR = rows([1, 0, 0, 0], [2, 1, 0, 0], [3, 0, 2, 0], [4, 0, 0, 3])
SEEN = rows([1, 0, 0, 1, 1], [2, 1, 0, 0.5, 1], [3, 0, -1, 1, 2], [4, 0, 0, 0.1, 0.1])
SIZES = {"model": {"num_of_sampled_actions": 2}}  # fewer than there are actions


def collected(policy, data, **given):
    return policy.collect_mode.forward(data, **given)


def evaluated(policy, data, mask=None, **given):
    return policy.eval_mode.forward(data, mask, **given)


acts = pytest.mark.parametrize("act", [collected, evaluated])


def seen(data, mask, env_id=None):
    n = len(data)
    return Observed(
        env_id=np.arange(n) if env_id is None else np.array(env_id),
        observation=data.numpy(),
        action_mask=None if mask is None else np.array(mask, bool),
        to_play=np.full(n, -1, np.int8),
        timestep=np.zeros(n, np.int64),
    )


# --- the documented answer ------------------------------------------------------------------------


@acts
def test_an_answer_over_numbered_actions_has_every_documented_key(numbered, act):
    found = act(numbered(SIZES, policy_loss_type="KL"), FOUR, ready_env_id=[5, 3, 9, 0])

    assert list(found) == [5, 3, 9, 0]
    told = found[9]
    assert sorted(told) == sorted(LONG + SHORT)
    for long, short in zip(LONG[1:2] + LONG[3:6], SHORT, strict=True):
        assert told[long] is told[short]
    assert isinstance(told["action"], int)
    assert sum(told["distributions"]) == 8
    assert len(told["distributions"]) == 2
    assert told["root_sampled_actions"].shape == (2, 1)
    assert told["root_sampled_actions"].dtype == np.int64
    assert told["action"] in told["root_sampled_actions"]
    assert told["predicted_policy_logits"] == [0.0, 2.0, 0.0]
    assert not any(isinstance(value, torch.Tensor) for value in told.values())


@acts
def test_an_answer_over_vectors_has_every_documented_key(vectorial, act):
    found = act(vectorial(), SEEN, ready_env_id=[5, 3, 9, 0])

    told = found[9]
    assert sorted(told) == sorted(LONG + SHORT)
    assert told["action"].shape == (2,)
    assert told["action"].dtype == np.float32
    assert told["root_sampled_actions"].shape == (5, 2)
    assert told["root_sampled_actions"].dtype == np.float32
    assert told["action"].tolist() in told["root_sampled_actions"].tolist()
    assert sum(told["distributions"]) == 8
    assert told["predicted_policy_logits"] == [0.0, -1.0, 1.0, 2.0]
    assert told["predicted_value"].tolist() == [3.0]
    assert not any(isinstance(value, torch.Tensor) for value in told.values())


def test_columns_are_what_is_stored(numbered, vectorial):
    for policy, data in ((numbered(), FOUR), (vectorial(), SEEN)):
        kind = "continuous" if policy is not None and data is SEEN else "discrete"
        spaces = Spaces(
            frame_shape=(data.shape[1],),
            frame_dtype=np.dtype(np.float32),
            kind="vector",
            action=ActionSpace(kind, policy.cfg.model.action_space_size),
        )
        found = collected(policy, data).columns
        for column in policy.columns(policy.cfg, spaces):
            if column.name in found:
                assert found[column.name].shape == (4, *column.shape)
                assert found[column.name].dtype == column.dtype
        names = {column.name for column in policy.columns(policy.cfg, spaces)}
        assert ("action_mask" in names) == (kind == "discrete")
        assert {"root_sampled_actions", "child_visit"} <= names & found.keys()


@acts
def test_nobody_ready_is_an_empty_answer_without_a_model_call(vectorial, act):
    policy = vectorial()
    policy._model.initial_inference = None

    assert act(policy, torch.zeros(0, 5), ready_env_id=[]) == {}


def test_the_documented_player_of_collection_is_minus_one():
    parameters = inspect.signature(SampledMuZeroPolicy._forward_collect).parameters

    assert list(parameters) == list(inspect.signature(MuZeroPolicy._forward_collect).parameters)
    assert parameters["to_play"].default == -1


# --- which actions are drawn ----------------------------------------------------------------------


def test_with_a_slot_for_every_action_and_no_noise_it_is_muzero(numbered):
    masks = [[1, 1, 1], [0, 1, 1], [1, 0, 1], [0, 0, 1]]
    given = {"num_simulations": 25, "root_noise_weight": 0.0, "ssl_loss_weight": 0.0}
    for slots in (3, 50):
        plain = numbered(given, policy_class=MuZeroPolicy)
        policy = numbered(given, {"model": {"num_of_sampled_actions": slots}})
        for act in (evaluated, collected):
            mask = {"action_mask": masks} if act is collected else {"mask": masks}
            ours, theirs = act(policy, FOUR, **mask), act(plain, FOUR, **mask)
            assert ours.columns["action"].tolist() == theirs.columns["action"].tolist()
            assert ours.columns["root_value"].tolist() == theirs.columns["root_value"].tolist()
            for row, mask_ in enumerate(masks):
                visits = theirs[row]["distributions"]
                ids = ours[row]["root_sampled_actions"][: len(visits), 0]
                assert ours[row]["distributions"][: len(visits)] == visits
                assert ids.tolist() == np.flatnonzero(mask_).tolist()


def test_more_slots_than_actions_are_as_many_as_there_are_actions(numbered):
    policy = numbered({"model": {"num_of_sampled_actions": 50}})

    assert collected(policy, FOUR)[0]["root_sampled_actions"].tolist() == [[0], [1], [2]]


@acts
def test_a_mask_that_excludes_action_0_is_kept_to(numbered, act):
    wish = rows([0, 5, 1, 0], [0, 5, 0, 1]).repeat(20, 1)  # all would like action 0 best
    mask = [[0, 1, 1]] * 40
    given = {"action_mask": mask} if act is collected else {"mask": mask}

    for slots in (2, 3):
        policy = numbered({"model": {"num_of_sampled_actions": slots}}, policy_loss_type="KL")
        found = act(policy, wish, **given)
        drawn = found.columns["root_sampled_actions"]
        assert set(np.unique(drawn)) == {1, 2} | ({-1} if slots == 3 else set())
        assert set(found.columns["action"]) <= {1, 2}
        assert (found.columns["child_visit"][drawn[..., 0] == -1] == 0).all()


def test_few_slots_hold_what_is_probable(numbered):
    policy = numbered({"model": {"num_of_sampled_actions": 1}}, policy_loss_type="KL")
    data = rows([0, math.log(3), 0, -50]).repeat(2000, 1)

    found = evaluated(policy, data).columns

    assert (found["action"] == 0).mean() == pytest.approx(0.75, abs=0.03)


def test_the_best_of_the_drawn_vectors_is_taken(vectorial):
    policy = vectorial(num_simulations=40, discount_factor=1e-9)  # only the first step counts
    data = rows([0, 0, 0, 1, 1]).repeat(30, 1)

    found = evaluated(policy, data)

    for row in range(30):
        drawn = found[row]["root_sampled_actions"]
        ranks = np.argsort(np.argsort(drawn.sum(axis=1)))
        chosen = np.flatnonzero((drawn == found[row]["action"]).all(axis=1))[0]
        assert ranks[chosen] == 4  # the reward is the sum of the vector
        assert chosen == np.argmax(found[row]["distributions"])


def test_an_equal_count_goes_to_the_first_slot(vectorial):
    policy = vectorial(num_simulations=5, pb_c_init=1e6)

    found = evaluated(policy, SEEN)

    assert found[0]["distributions"] == [1] * 5
    for row in range(4):
        assert (found[row]["action"] == found[row]["root_sampled_actions"][0]).all()


@pytest.mark.parametrize("kind", ["vectors", "numbers"])
def test_noise_is_drawn_over_slots(numbered, vectorial, kind):
    given = {"root_noise_weight": 1.0, "root_dirichlet_alpha": 0.01, "num_simulations": 40}
    policy = vectorial(given) if kind == "vectors" else numbered(given)
    data = SEEN if kind == "vectors" else FOUR
    asked = policy._asked(data, None, -1, None)

    noise = policy._root_noise(asked, np.arange(4, dtype=np.uint64))

    assert noise.shape == (4, 5 if kind == "vectors" else 3)
    assert noise.sum(axis=1).tolist() == pytest.approx([1.0] * 4)


def test_noise_leaves_slots_alone_that_stay_empty(numbered):
    policy = numbered()
    asked = policy._asked(FOUR, [[0, 1, 1], [1, 1, 1], [0, 0, 1], [1, 0, 1]], -1, None)

    noise = policy._root_noise(asked, np.arange(4, dtype=np.uint64))

    assert ((noise > 0).sum(axis=1) == [2, 3, 1, 2]).all()
    assert (noise[:, 0] > 0).all()  # slots fill from the first on


# --- exploration, and decisions without a search --------------------------------------------------

EXPLORING = {"eps": {"eps_greedy_exploration_in_collect": True}}


def test_exploration_of_numbered_actions_is_uniform_over_what_is_legal_drawn_or_not(numbered):
    policy = numbered(EXPLORING, {"model": {"num_of_sampled_actions": 1}}, policy_loss_type="KL")
    data = rows([0, 9, -50, -50]).repeat(900, 1)

    found = collected(policy, data, action_mask=np.tile([1, 0, 1], (900, 1)), epsilon=0.5).columns

    assert (found["action"] == 2).mean() == pytest.approx(0.25, abs=0.05)
    assert set(found["action"]) == {0, 2}
    assert (found["root_sampled_actions"] == 0).all()  # the target stays what was found


def test_exploration_over_vectors_is_uniform_in_the_box(vectorial):
    policy = vectorial(EXPLORING)
    data = rows([0, 3, 3, 0.01, 0.01]).repeat(900, 1)  # the policy is sure of 0.995

    found = collected(policy, data, epsilon=0.5).columns["action"]
    bold = np.abs(found - 0.995).max(axis=1) > 0.01

    assert bold.mean() == pytest.approx(0.5, abs=0.06)
    assert found[bold].mean(axis=0) == pytest.approx([0.0, 0.0], abs=0.1)
    assert found[bold].std(axis=0) == pytest.approx([0.577] * 2, abs=0.05)
    greedy = evaluated(vectorial(), data[:5]).columns["action"]
    assert np.abs(greedy - 0.995).max() < 0.01
    assert (collected(policy, data, epsilon=0.0).columns["action"] > 0.98).all()


def test_the_pure_policy_draws_vectors_from_the_gaussian(vectorial):
    policy = vectorial(collect_with_pure_policy=True)
    policy._search = None
    data = rows([7, 0.5, -1, 0.3, 0.6]).repeat(3000, 1)

    found = collected(policy, data, temperature=0.01)

    u = np.arctanh(found.columns["action"].astype(np.float64))
    assert u.mean(axis=0) == pytest.approx([0.5, -1.0], abs=0.04)
    assert u.std(axis=0) == pytest.approx([0.3, 0.6], abs=0.03)
    assert found[0]["distributions"] == pytest.approx([0.2] * 5)
    assert found[0]["action"].tolist() in found[0]["root_sampled_actions"].tolist()
    assert found[0]["searched_value"] == found[0]["predicted_value"][0] == 7.0
    assert np.isnan(found.columns["root_value"]).all()


def test_the_pure_policy_over_numbers_tells_the_policy_where_every_action_has_a_slot(numbered):
    policy = numbered(collect_with_pure_policy=True)
    policy._search = None
    data = rows([7, 0, math.log(3), 50]).repeat(2000, 1)

    found = collected(policy, data, action_mask=np.tile([1, 1, 0], (2000, 1)))

    assert found[0]["distributions"] == pytest.approx([0.25, 0.75, 0.0])
    assert found[0]["root_sampled_actions"].tolist() == [[0], [1], [-1]]
    assert (found.columns["action"] == 1).mean() == pytest.approx(0.75, abs=0.03)
    assert set(found.columns["action"]) == {0, 1}


def test_the_pure_policy_over_few_slots_is_itself_on_average(numbered):
    policy = numbered(SIZES, collect_with_pure_policy=True, policy_loss_type="KL")
    data = rows([7, 0, math.log(3), math.log(2)]).repeat(4000, 1)

    found = collected(policy, data).columns

    drawn, share = found["root_sampled_actions"][..., 0], found["child_visit"]
    mean = [(share * (drawn == action)).sum() / 4000 for action in range(3)]
    assert mean == pytest.approx([1 / 6, 3 / 6, 2 / 6], abs=0.02)
    taken = np.bincount(found["action"], minlength=3) / 4000
    assert taken == pytest.approx([1 / 6, 3 / 6, 2 / 6], abs=0.03)
    assert share.sum(axis=1) == pytest.approx(np.ones(4000))


def test_random_decisions_over_numbers_are_uniform_over_what_is_legal(numbered):
    found = numbered().decide("random", seen(FOUR[:2], [[1, 0, 1], [0, 1, 0]], env_id=[7, 2]))

    assert found[7]["root_sampled_actions"].tolist() == [[0], [2], [-1]]
    assert found.columns["child_visit"].tolist() == [[0.5, 0.5, 0], [1, 0, 0]]
    assert found.columns["action"][0] in (0, 2)
    assert found.columns["action"][1] == 1
    assert np.isnan(found.columns["root_value"]).all()


def test_random_decisions_over_vectors_are_uniform_and_make_a_target(vectorial):
    data = SEEN[:1].repeat(1000, 1)

    found = vectorial().decide("random", seen(data, None)).columns

    assert found["action"].mean(axis=0) == pytest.approx([0, 0], abs=0.06)
    assert found["action"].std(axis=0) == pytest.approx([0.577, 0.577], abs=0.03)
    assert (np.abs(found["root_sampled_actions"]) < 1).all()
    assert (found["child_visit"] == np.float32(0.2)).all()
    among = (found["root_sampled_actions"] == found["action"][:, None]).all(axis=2).any(axis=1)
    assert among.all()


def test_the_largest_uniform_is_still_an_action_inside_the_box():
    slots = sampling.gaussian_slots(np.array([[30.0, -30.0, 1.0, 1.0]]), 3, np.zeros(1, np.uint64))

    assert (np.abs(slots.actions) < 1).all()
    assert (np.abs(slots.actions) > 0.99).all()


# --- randomness, rows and modes -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["vectors", "numbers"])
def test_decisions_do_not_depend_on_order_or_subset_of_the_ready_environments(
    numbered, vectorial, kind
):
    def make():
        given = {"policy_loss_type": "KL", "prior_mode": "density"}
        return vectorial(given) if kind == "vectors" else numbered(SIZES, given)

    data = SEEN if kind == "vectors" else FOUR
    together = collected(make(), data, ready_env_id=[0, 1, 2, 3])
    apart = make()
    some = collected(apart, data[[3, 1]], ready_env_id=[3, 1])
    rest = collected(apart, data[[2, 0]], ready_env_id=[2, 0])

    for env in range(4):
        alone = (some if env in some else rest)[env]
        assert alone["distributions"] == together[env]["distributions"]
        assert np.array_equal(alone["action"], together[env]["action"])
        assert np.array_equal(alone["root_sampled_actions"], together[env]["root_sampled_actions"])


@pytest.mark.parametrize("mode", ["collect", "random"])
def test_every_move_draws_anew_and_the_same_iteration_draws_alike(vectorial, mode):
    policy = vectorial()

    def moves(iteration):
        policy.begin_iteration(iteration)
        return [
            policy.decide(mode, seen(SEEN, None)).columns["root_sampled_actions"].tolist()
            for _ in range(2)
        ]

    first, second = moves(3)
    assert first != second
    assert moves(4) != [first, second]
    assert moves(3) == [first, second]


def test_the_seed_decides_which_actions_are_drawn(vectorial):
    def once(seed):
        return evaluated(vectorial(seed=seed), SEEN).columns["root_sampled_actions"].tolist()

    assert once(1) == once(1)
    assert once(1) != once(2)


@pytest.mark.parametrize("field", ["learn", "collect", "eval"])
@pytest.mark.parametrize("layer", [{}, VECTORS], ids=["numbers", "vectors"])
def test_each_mode_works_without_the_others(make_policy, fill, layer, field):
    policy = make_policy(layer, policy_class=SampledMuZeroPolicy, enable_field=[field])
    data = SEEN if layer else FOUR
    modes = {
        "collect": lambda: collected(policy, data),
        "eval": lambda: evaluated(policy, data),
    }

    for name, act in modes.items():
        if name == field:
            assert len(act()) == 4
        else:
            with pytest.raises(RuntimeError, match=f"The {name} mode of this SampledMuZeroPolicy"):
                act()


# --- refusals -------------------------------------------------------------------------------------


def test_a_mask_says_nothing_of_vectors(vectorial):
    policy = vectorial()

    assert len(collected(policy, SEEN, action_mask=[None] * 4)) == 4
    with pytest.raises(ValueError, match="environment 12 is given, but actions are vectors"):
        collected(
            policy, SEEN, action_mask=[None, np.ones(2), None, None], ready_env_id=[11, 12, 13, 14]
        )


@pytest.mark.parametrize("pure", [False, True])
def test_a_network_that_is_not_a_number_is_named_with_its_environment(vectorial, pure):
    broken = SEEN.clone()
    broken[2, 1] = torch.nan

    with pytest.raises(ValueError, match="environment 2 is not finite; nor is its observation"):
        collected(vectorial(collect_with_pure_policy=pure), broken)


def test_a_mask_that_allows_nothing_is_refused(numbered):
    with pytest.raises(ValueError, match="environment 1 allows no action"):
        collected(numbered(), FOUR, action_mask=[[1, 1, 1], [0, 0, 0], [1, 1, 1], [1, 1, 1]])
