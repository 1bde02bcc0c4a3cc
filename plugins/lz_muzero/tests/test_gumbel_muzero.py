"""How Gumbel MuZero decides: what is searched, which action is taken, what is answered."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from lz_muzero.policy_gumbel_muzero import GumbelMuZeroPolicy

from lzcore.base import Observed

KEYS = [
    "action",
    "visit_count_distributions",
    "visit_count_distribution_entropy",
    "searched_value",
    "predicted_value",
    "predicted_policy_logits",
    "distributions",
    "value",
    "pred_value",
    "policy_logits",
    "roots_completed_value",
    "improved_policy_probs",
]


@pytest.fixture
def make(make_policy):
    """A function from settings to a Gumbel MuZero policy."""
    return partial(make_policy, policy_class=GumbelMuZeroPolicy)


@pytest.fixture
def arms(make, arms_model):
    """A function from settings to a policy whose second arm pays 1."""

    def build(*rewards, **given):
        model = arms_model(*(rewards or (0.0, 1.0, 0.0)))
        return make({"discount_factor": 1.0, "num_simulations": 2}, given, model=model)

    return build


def seen(*row, times=1):
    return torch.tensor([row], dtype=torch.float32).repeat(times, 1)


LOGITS = (0.0, math.log(2), math.log(4))  # probabilities 1/7, 2/7, 4/7
SEEN = seen(0.5, *LOGITS)


def collected(policy, data=SEEN, **given):
    return policy.collect_mode.forward(data, **given)


def evaluated(policy, data=SEEN, mask=None, **given):
    return policy.eval_mode.forward(data, mask, **given)


def softmax(*logits):
    weight = np.exp(np.array(logits))
    return weight / weight.sum()


# --- the search -----------------------------------------------------------------------------------


def test_completed_values_and_improved_policy_are_those_worked_by_hand(arms):
    found = evaluated(arms(max_num_considered_actions=2))[0]

    # arms 2 and 1 have the largest logits, and are tried once each; their values are 0 and 1.
    # mean of the tried ones, by prior: (2/7 * 1 + 4/7 * 0) / (6/7) = 1/3
    # mixed value of arm 0: (0.5 + 2 * 1/3) / 3 = 7/18; weight: (50 + 1) * 0.1 = 5.1
    completed = [7 / 18, 1.0, 0.0]
    assert found["distributions"] == [0, 1, 1]
    assert found["roots_completed_value"] == pytest.approx(completed)
    expected = softmax(*(logit + 5.1 * q for logit, q in zip(LOGITS, completed, strict=True)))
    assert found["improved_policy_probs"] == pytest.approx(expected)
    assert found["action"] == 1


def test_where_values_tell_nothing_the_improved_policy_is_the_networks(make, open_model):
    policy = make(model=open_model(), discount_factor=1.0)
    found = evaluated(policy, SEEN, [[1, 0, 1]])[0]

    assert found["improved_policy_probs"] == pytest.approx([0.2, 0.0, 0.8])
    assert found["roots_completed_value"] == pytest.approx([0.5] * 3)


def test_with_one_simulation_collection_draws_from_the_policy(make, open_model):
    # the largest of logit + Gumbel noise is a draw from the softmax: so the noise is of scale 1,
    # new in every row, added to logits; and what wins is played, not the best of the improved ones
    policy = make(model=open_model(), num_simulations=1)
    found = collected(policy, SEEN.repeat(4000, 1)).columns

    share = np.bincount(found["action"], minlength=3) / 4000
    assert share == pytest.approx([1 / 7, 2 / 7, 4 / 7], abs=0.03)
    assert set(found["improved_policy"].argmax(axis=1)) == {2}
    assert (found["child_visit"].argmax(axis=1) == found["action"]).all()


def test_the_scale_of_the_noise_is_a_setting_and_0_in_evaluation(make, open_model):
    def most(act, scale):
        policy = make(model=open_model(), num_simulations=1, gumbel_scale=scale)
        return (act(policy, SEEN.repeat(2000, 1)).columns["action"] == 2).mean()

    assert most(collected, 0.0) == 1.0
    assert most(collected, 100.0) == pytest.approx(1 / 3, abs=0.04)
    assert most(evaluated, 100.0) == 1.0


def test_without_gumbel_noise_no_other_noise_is_left(arms):
    policy = arms(gumbel_scale=0.0, num_simulations=20)
    quiet, loud = evaluated(policy).columns, collected(policy, temperature=1.0).columns

    for name in quiet:
        assert (quiet[name] == loud[name]).all()


def test_noise_is_fresh_at_every_move_and_the_same_in_the_same_iteration(make, open_model):
    policy = make(model=open_model(), num_simulations=1)

    def moves(iteration):
        policy.begin_iteration(iteration)
        data = seen(0, 0, 0, 0, times=12)
        return [collected(policy, data).columns["action"].tolist() for _ in range(2)]

    first, second = moves(3)
    assert first != second
    assert moves(4) != [first, second]
    assert moves(3) == [first, second]


def test_fewer_simulations_than_considered_actions_try_the_best_of_them(make, open_model):
    policy = make(model=open_model(), num_simulations=2, max_num_considered_actions=4)
    found = evaluated(policy, seen(0, 9, 1, 2), [[0, 1, 1]])[0]

    assert found["distributions"] == [1, 1]
    assert found["action"] == 2
    one = make(model=open_model(), num_simulations=1, max_num_considered_actions=4)
    assert evaluated(one, seen(0, 9, 1, 2), [[0, 1, 1]])[0]["distributions"] == [0, 1]


def test_what_is_not_legal_is_never_considered(arms):
    policy = arms(num_simulations=8, gumbel_scale=50.0)
    mask = np.tile([0, 1, 1], (200, 1))
    found = collected(policy, SEEN.repeat(200, 1), action_mask=mask)

    assert (found.columns["child_visit"][:, 0] == 0).all()
    assert (found.columns["improved_policy"][:, 0] == 0).all()
    assert set(found.columns["action"]) == {1, 2}
    assert len(found[0]["distributions"]) == 2


# --- which action is taken ------------------------------------------------------------------------


def test_collection_takes_the_winner_of_the_halving_whatever_the_temperature(arms):
    policy = arms(num_simulations=16, gumbel_scale=0.0)
    data = SEEN.repeat(50, 1)

    assert set(collected(policy, data, temperature=100.0).columns["action"]) == {1}


def test_actions_may_be_drawn_from_the_visits_instead(arms):
    policy = arms(num_simulations=16, gumbel_scale=0.0, gumbel_action="visit_sample")
    found = collected(policy, SEEN.repeat(3000, 1), temperature=1.0).columns

    share = np.bincount(found["action"], minlength=3) / 3000
    assert found["child_visit"][0].min() > 0
    assert share == pytest.approx(found["child_visit"][0], abs=0.03)


def test_exploration_replaces_the_winner_by_uniform_legal_actions(arms):
    policy = arms(eps={"eps_greedy_exploration_in_collect": True}, gumbel_scale=0.0)
    mask = np.tile([0, 1, 1], (800, 1))

    def share(epsilon):
        data = SEEN.repeat(800, 1)
        found = collected(policy, data, action_mask=mask, epsilon=epsilon).columns
        return (found["action"] == 1).mean()

    assert share(0.0) == 1.0
    assert share(0.6) == pytest.approx(0.7, abs=0.06)


def test_without_a_search_the_policy_that_acts_stands_for_the_improved_one(arms):
    policy = arms(collect_with_pure_policy=True)
    found = collected(policy, SEEN.repeat(2000, 1), action_mask=np.tile([1, 0, 1], (2000, 1)))

    assert found[0]["improved_policy_probs"] == pytest.approx([0.2, 0, 0.8])
    assert found[0]["roots_completed_value"].tolist() == [0.5] * 3
    assert (found.columns["action"] == 2).mean() == pytest.approx(0.8, abs=0.04)


def test_random_decisions_have_a_uniform_target(arms):
    one = np.array([1])
    shown = Observed(one, SEEN.numpy(), np.array([[1, 0, 1]], bool), np.int8([-1]), one * 0)
    found = arms().decide("random", shown)

    assert found.columns["improved_policy"].tolist() == [[0.5, 0.0, 0.5]]
    assert found[1]["action"] in (0, 2)


# --- the documented answer ------------------------------------------------------------------------


@pytest.mark.parametrize("act", [collected, evaluated])
def test_an_answer_has_the_documented_keys(arms, act):
    found = act(arms(), SEEN.repeat(3, 1), ready_env_id=[7, 2, 5])
    told = found[2]

    assert list(found) == [7, 2, 5]
    assert list(told) == KEYS
    assert isinstance(told["action"], int)
    for name in KEYS[-2:]:
        assert (told[name].dtype, told[name].shape) == (np.float32, (3,))
    assert told["improved_policy_probs"].sum() == pytest.approx(1.0)
    assert not any(isinstance(value, torch.Tensor) for value in told.values())


@pytest.mark.parametrize("act", [collected, evaluated])
def test_nobody_ready_is_an_empty_answer(arms, act):
    assert act(arms(), torch.zeros(0, 4), ready_env_id=[]) == {}


def test_decisions_do_not_depend_on_order_or_subset_of_the_ready_environments(arms):
    data = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
    together = collected(arms(num_simulations=8), data)
    apart = arms(num_simulations=8)
    some = collected(apart, data[[3, 1]], ready_env_id=[3, 1])
    rest = collected(apart, data[[2, 0]], ready_env_id=[2, 0])

    for env in range(4):
        alone = (some if env in some else rest)[env]
        assert alone["action"] == together[env]["action"]
        assert (alone["improved_policy_probs"] == together[env]["improved_policy_probs"]).all()


@pytest.mark.parametrize("field", ["learn", "collect", "eval"])
def test_each_mode_works_without_the_others(make, fill, field):
    whole, policy = make(), make(enable_field=[field])
    data = fill(whole).sample(8, whole)
    modes = {
        "learn": lambda: policy.learn_mode.forward(data),
        "collect": lambda: collected(policy),
        "eval": lambda: evaluated(policy),
    }
    assert modes.pop(field)()
    for name, act in modes.items():
        with pytest.raises(RuntimeError, match=f"The {name} mode of this GumbelMuZeroPolicy is"):
            act()


def test_what_cannot_be_decided_from_is_refused_by_the_environments_number(arms):
    broken = SEEN.clone()
    broken[0, 2] = torch.nan

    with pytest.raises(ValueError, match="environment 14 is not finite"):
        collected(arms(), broken, ready_env_id=[14])
    with pytest.raises(ValueError, match="environment 14 allows no action"):
        evaluated(arms(), SEEN, [[0, 0, 0]], ready_env_id=[14])
    with pytest.raises(ValueError, match="temperature is -1"):
        collected(arms(), temperature=-1.0)
