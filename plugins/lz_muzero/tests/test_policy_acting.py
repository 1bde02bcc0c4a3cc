"""What deciding promises: documented answers, legality, independence of rows, refusals."""

import math

import numpy as np
import pytest
import torch

from lzcore.base import Decisions, Observed

LONG = [
    "action",
    "visit_count_distributions",
    "visit_count_distribution_entropy",
    "searched_value",
    "predicted_value",
    "predicted_policy_logits",
]
SHORT = ["distributions", "value", "pred_value", "policy_logits"]


@pytest.fixture
def open_policy(make_policy, open_model):
    """A policy whose observation is (value, three logits)."""

    def make(**given):
        return make_policy(model=open_model(), **given)

    return make


def rows(*given):
    return torch.tensor(given, dtype=torch.float32)


FOUR = rows([1, 0, 0, 0], [2, 1, 0, 0], [3, 0, 2, 0], [4, 0, 0, 3])


def seen(n=2, mask=None, env_id=None):
    return Observed(
        env_id=np.arange(n) if env_id is None else np.array(env_id),
        observation=FOUR[:n].numpy(),
        action_mask=np.ones((n, 3), bool) if mask is None else np.array(mask, bool),
        to_play=np.full(n, -1, np.int8),
        timestep=np.zeros(n, np.int64),
    )


def collected(policy, data=FOUR, **given):
    return policy.collect_mode.forward(data, **given)


def evaluated(policy, data=FOUR, mask=None, **given):
    return policy.eval_mode.forward(data, mask, **given)


# --- the documented answer ------------------------------------------------------------------------


@pytest.mark.parametrize("act", [collected, evaluated])
def test_an_answer_has_every_documented_key_in_both_spellings(open_policy, act):
    found = act(open_policy(), ready_env_id=[5, 3, 9, 0])

    assert list(found) == [5, 3, 9, 0]
    told = found[5]
    assert list(told) == LONG + SHORT
    for long, short in zip(LONG[1:2] + LONG[3:], SHORT, strict=True):
        assert told[long] is told[short]


@pytest.mark.parametrize("act", [collected, evaluated])
def test_an_answer_is_made_of_plain_numbers_and_arrays(open_policy, act):
    found = act(open_policy())[2]

    assert isinstance(found["action"], int)
    assert isinstance(found["visit_count_distribution_entropy"], float)
    assert isinstance(found["searched_value"], float)
    assert found["predicted_value"].dtype == np.float32
    assert found["predicted_value"].tolist() == [3.0]
    assert found["predicted_policy_logits"] == [0.0, 2.0, 0.0]
    assert sum(found["visit_count_distributions"]) == 8
    assert all(isinstance(count, int) for count in found["visit_count_distributions"])


def test_a_variant_changes_what_is_best_for_evaluation_and_exploration_alike(open_policy):
    policy = open_policy(eps={"eps_greedy_exploration_in_collect": True}, root_noise_weight=0.0)
    policy._best = lambda found, asked: np.array([2, 1, 0, 1])

    assert evaluated(policy).columns["action"].tolist() == [2, 1, 0, 1]
    assert collected(policy, epsilon=0.0).columns["action"].tolist() == [2, 1, 0, 1]


def test_a_variant_brings_its_own_noise_which_only_collection_sees(open_policy):
    policy = open_policy(root_noise_weight=1.0, num_simulations=40)
    policy._root_noise = lambda asked, seeds: np.tile([0.0, 0.0, 1.0], (len(seeds), 1))

    assert (collected(policy).columns["child_visit"][:, 2] > 0.9).all()
    assert (evaluated(policy).columns["child_visit"][:2, 2] < 0.5).all()


def test_columns_are_what_is_stored(open_policy):
    columns = collected(open_policy()).columns

    assert columns["action"].dtype == np.int64
    assert columns["child_visit"].dtype == np.float32
    assert columns["child_visit"].sum(axis=1).tolist() == pytest.approx([1.0] * 4)
    assert columns["predicted_value"].tolist() == [1.0, 2.0, 3.0, 4.0]
    assert columns["root_value"].shape == (4,)


def test_the_target_stored_is_not_tempered(open_policy):
    found = collected(open_policy(), temperature=0.1)
    counts = np.array([found[i]["distributions"] for i in range(4)])

    assert found.columns["child_visit"] == pytest.approx(counts / 8)


def test_entropy_is_that_of_the_tempered_visits_in_bits(open_policy):
    policy = open_policy()

    assert collected(policy, temperature=0)[0]["visit_count_distribution_entropy"] == 0.0
    visits = (found := collected(policy))[0]["distributions"]
    share = np.array(visits) / 8
    expected = -(share * np.log2(share, where=share > 0, out=np.zeros(3))).sum()
    assert found[0]["visit_count_distribution_entropy"] == pytest.approx(expected)


@pytest.mark.parametrize("act", [collected, evaluated])
def test_nobody_ready_is_an_empty_answer_without_a_model_call(open_policy, act):
    policy = open_policy()
    policy._model.initial_inference = None

    assert act(policy, torch.zeros(0, 4), ready_env_id=[]) == {}


# --- which action ---------------------------------------------------------------------------------


def test_evaluation_takes_the_most_visited_action_lowest_first(open_policy):
    found = evaluated(open_policy(num_simulations=9), rows([0, 0, 0, 0], [0, 0, 0, 4]))

    assert found[0]["distributions"] == [3, 3, 3]
    assert [found[i]["action"] for i in range(2)] == [0, 2]


def test_a_mask_that_excludes_action_0_keeps_the_environments_action_numbers(open_policy):
    wish = rows([0, 5, 1, 0], [0, 5, 0, 1])  # both would like action 0 best
    mask = [[0, 1, 1], [0, 1, 1]]
    policy = open_policy()

    found = evaluated(policy, wish, mask)

    assert [found[i]["action"] for i in range(2)] == [1, 2]
    assert [len(found[i]["distributions"]) for i in range(2)] == [2, 2]
    assert found.columns["child_visit"][:, 0].tolist() == [0, 0]
    drawn = [collected(policy, wish, action_mask=mask)[i]["action"] for i in (0, 1) * 20]
    assert set(drawn) == {1, 2}


def test_each_environment_may_have_its_own_legal_actions(open_policy):
    found = evaluated(open_policy(), FOUR, [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 1]])

    assert [found[i]["distributions"] for i in range(3)] == [[8]] * 3
    assert [found[i]["action"] for i in range(4)] == [0, 1, 2, 2]


def test_temperature_zero_collects_the_most_visited_action(open_policy):
    found = collected(open_policy(), temperature=0)

    assert found.columns["action"].tolist() == found.columns["child_visit"].argmax(1).tolist()


def test_temperature_one_draws_in_proportion_to_visits(open_policy):
    same = FOUR[1:2].repeat(4000, 1)
    found = collected(open_policy(root_noise_weight=0.0), same, temperature=1.0).columns

    counts = np.bincount(found["action"], minlength=3) / 4000
    assert (found["child_visit"] == found["child_visit"][0]).all()
    assert counts == pytest.approx(found["child_visit"][0], abs=0.03)


def test_epsilon_counts_only_if_exploration_is_on(open_policy):
    data = rows([0, 0, 0, 9]).repeat(600, 1)
    mask = np.tile([0, 1, 1], (600, 1))
    off = open_policy(root_noise_weight=0.0)
    on = open_policy(root_noise_weight=0.0, eps={"eps_greedy_exploration_in_collect": True})

    assert set(collected(off, data, action_mask=mask, epsilon=1.0).columns["action"]) == {2}
    explored = collected(on, data, action_mask=mask, epsilon=0.5).columns
    assert (explored["action"] == 1).mean() == pytest.approx(0.25, abs=0.06)
    assert (explored["child_visit"][:, 2] == 1.0).all()  # the target stays what was found


def test_the_pure_policy_acts_without_a_search(open_policy):
    policy = open_policy(collect_with_pure_policy=True)
    policy._collect_planner = policy._collect_planner._replace(tree=None, dynamics=None)
    data = rows([7, 0, math.log(3), 50]).repeat(2000, 1)

    found = collected(policy, data, action_mask=np.tile([1, 1, 0], (2000, 1)), temperature=0.01)

    assert policy._collect_temperature == 1.0
    assert found[0]["visit_count_distributions"] == pytest.approx([0.25, 0.75])
    assert found[0]["searched_value"] == found[0]["predicted_value"][0] == 7.0
    assert np.isnan(found.columns["root_value"]).all()  # no target takes it for a searched value
    assert (found.columns["action"] == 1).mean() == pytest.approx(0.75, abs=0.03)
    assert set(found.columns["action"]) == {0, 1}


def test_random_decisions_are_uniform_over_legal_actions_and_say_that_nothing_was_searched(
    open_policy,
):
    found = open_policy().decide("random", seen(2, [[1, 0, 1], [0, 1, 0]]))

    assert found.columns["child_visit"].tolist() == [[0.5, 0, 0.5], [0, 1, 0]]
    assert found.columns["action"][0] in (0, 2)
    assert found.columns["action"][1] == 1
    assert np.isnan(found.columns["root_value"]).all()
    assert found.columns["predicted_value"].tolist() == [0, 0]


def test_decide_passes_what_an_environment_shows(open_policy):
    found = open_policy().decide("eval", seen(2, [[0, 1, 1], [1, 1, 1]], env_id=[6, 4]))

    assert isinstance(found, Decisions)
    assert list(found) == [6, 4]
    assert len(found[6]["distributions"]) == 2


# --- randomness -----------------------------------------------------------------------------------


def test_decisions_do_not_depend_on_order_or_subset_of_the_ready_environments(open_policy):
    together = collected(open_policy(), ready_env_id=[0, 1, 2, 3])
    apart = open_policy()
    some = collected(apart, FOUR[[3, 1]], ready_env_id=[3, 1])
    rest = collected(apart, FOUR[[2, 0]], ready_env_id=[2, 0])

    for env in range(4):
        alone = (some if env in some else rest)[env]
        assert alone["distributions"] == together[env]["distributions"]
        assert alone["action"] == together[env]["action"]


def test_environments_that_see_the_same_get_noise_of_their_own(open_policy):
    found = collected(open_policy(num_simulations=30), rows([0, 0, 0, 0]).repeat(6, 1))

    assert len({tuple(found[i]["distributions"]) for i in range(6)}) > 1


def test_noise_is_fresh_at_every_move_and_the_same_in_the_same_iteration(open_policy):
    policy = open_policy(num_simulations=30, root_noise_weight=1.0)
    data = rows([0, 0, 0, 0]).repeat(6, 1)

    def moves(iteration):
        policy.begin_iteration(iteration)
        return [collected(policy, data).columns["child_visit"].tolist() for _ in range(2)]

    first, second = moves(3)
    assert first != second
    assert moves(4) != [first, second]
    assert moves(3) == [first, second]


def test_the_seed_decides_and_nothing_global_does(open_policy):
    def once(seed, disturb):
        torch.manual_seed(disturb)
        state = torch.random.get_rng_state()
        found = collected(open_policy(seed=seed, num_simulations=30)).columns["child_visit"]
        assert torch.equal(torch.random.get_rng_state(), state)
        return found.tolist()

    assert once(1, 5) == once(1, 6)
    assert once(1, 5) != once(2, 5)


def test_initial_weights_follow_from_the_seed(make_policy):
    first, again, other = (make_policy(seed=seed)._model.state_dict() for seed in (1, 1, 2))

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_evaluation_has_no_noise(open_policy):
    quiet, loud = (open_policy(root_noise_weight=w, num_simulations=30) for w in (0.0, 1.0))

    expected = evaluated(quiet).columns["child_visit"].tolist()
    assert evaluated(loud).columns["child_visit"].tolist() == expected
    assert collected(loud).columns["child_visit"].tolist() != expected


def test_evaluation_leaves_the_draws_of_collection_alone(open_policy):
    with_, without = open_policy(), open_policy()
    evaluated(with_)

    expected = collected(without).columns["action"].tolist()
    assert collected(with_).columns["action"].tolist() == expected


# --- observations ---------------------------------------------------------------------------------


def test_pictures_of_bytes_become_numbers_between_0_and_1(make_policy, pictures):
    policy = make_policy(pictures)
    image = torch.randint(0, 256, (3, 2, 8, 8), dtype=torch.uint8)

    as_bytes = evaluated(policy, image).columns["root_value"]
    as_numbers = evaluated(policy, image.float() / 255).columns["root_value"]
    shown = policy._network_input(image)

    assert as_bytes.tolist() == as_numbers.tolist()
    assert shown.dtype == torch.float32
    assert shown.max() <= 1.0


def test_deciding_uses_running_statistics_and_leaves_them_alone(make_policy):
    policy = make_policy({"model": {"norm_type": "BN"}})
    policy._model.train()
    before = {name: value.clone() for name, value in policy._model.state_dict().items()}

    collected(policy)
    evaluated(policy)

    assert not policy._model.training
    after = policy._model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


# --- refusals -------------------------------------------------------------------------------------


def test_a_network_that_is_not_a_number_is_named_with_its_environment(open_policy):
    broken = FOUR.clone()
    broken[2, 1] = torch.nan
    policy = open_policy()

    with pytest.raises(ValueError, match=r"environment 14 is not finite; nor is its observation"):
        collected(policy, broken, ready_env_id=[11, 12, 14, 15])
    policy._model.gain.data.fill_(torch.nan)
    with pytest.raises(ValueError, match=r"environment 11 is not finite; expected numbers\. Train"):
        evaluated(policy, FOUR, ready_env_id=[11, 12, 14, 15])


def test_imagined_states_that_are_no_numbers_are_named_with_their_environments(make_policy):
    policy = make_policy()
    with torch.no_grad():
        for parameter in policy._model.dynamics.parameters():
            parameter.fill_(torch.nan)

    with pytest.raises(ValueError, match=r"root 0.* in order, environments \[31, 30\]"):
        collected(policy, FOUR[:2], ready_env_id=[31, 30])


def test_the_pure_policy_refuses_a_network_that_is_not_a_number_too(open_policy):
    policy = open_policy(collect_with_pure_policy=True)
    policy._model.gain.data.fill_(torch.inf)

    with pytest.raises(ValueError, match="environment 3 is not finite"):
        collected(policy, FOUR[:1], ready_env_id=[3])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0"),
        ({"action_mask": np.zeros((4, 3))}, "environment 20 allows no action"),
        ({"action_mask": np.ones((4, 2))}, "environment 20 has 2 entries"),
    ],
)
def test_collection_refuses_what_it_cannot_decide_from(open_policy, given, message):
    with pytest.raises(ValueError, match=message):
        collected(open_policy(), FOUR, ready_env_id=[20, 21, 22, 23], **given)


@pytest.mark.parametrize("field", ["learn", "collect", "eval"])
def test_each_mode_works_without_the_others(make_policy, field):
    policy = make_policy(enable_field=[field])
    modes = {"collect": collected, "eval": evaluated}

    for name, act in modes.items():
        if name == field:
            assert len(act(policy)) == 4
        else:
            with pytest.raises(RuntimeError, match=f"The {name} mode of this MuZeroPolicy is not"):
                act(policy)
