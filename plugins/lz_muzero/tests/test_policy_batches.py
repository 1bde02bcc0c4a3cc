"""What a batch is made of: replay in, documented arrays out."""

import numpy as np
import pytest
import torch

UNROLL, STEPS, GAMMA = 3, 2, 0.5
NAN = float("nan")


@pytest.fixture
def open_policy(make_policy, open_model):
    """A policy that reads values off its observations: the first of four numbers."""

    def make(**given):
        return make_policy({"discount_factor": GAMMA}, given, model=open_model())

    return make


def counted(array_windows, *, steps_left, terminated, **rows):
    """One sample whose row j observes (100 + j, 0, 0, 0); other columns may be given."""
    width = UNROLL + STEPS + 2
    observation = np.zeros((1, width, 4), np.float32)
    observation[0, :, 0] = 100 + np.arange(width)
    known = {
        "observation": observation,
        "action": np.arange(width)[None] % 3,
        "reward": np.ones((1, width), np.float32),
        "child_visit": np.tile(np.float32([0.5, 0.25, 0.25]), (1, width, 1)),
        "root_value": np.full((1, width), NAN, np.float32),
        "to_play": np.full((1, width), -1, np.int8),
        "action_mask": np.ones((1, width, 3), bool),
        **rows,
    }
    return array_windows(known, steps_left=[steps_left], terminated=[terminated])


# --- the documented layout ------------------------------------------------------------------------


def test_a_batch_has_the_documented_parts_shapes_and_dtypes(make_policy, fill):
    policy = make_policy()
    current, target = fill(policy).sample(8, policy)

    assert {name: (v.shape, v.dtype) for name, v in current._asdict().items()} == {
        "obs": ((8, 4 * 4), np.float32),
        "action": ((8, 3), np.int64),
        "mask": ((8, 4), np.float32),
        "index": ((8,), np.int64),
        "weights": ((8,), np.float32),
        "make_time": ((8,), np.float64),
    }
    assert {name: (v.shape, v.dtype) for name, v in target._asdict().items()} == {
        "target_reward": ((8, 4), np.float32),
        "target_value": ((8, 4), np.float32),
        "target_policy": ((8, 4, 3), np.float32),
    }
    assert isinstance(current, tuple)


def test_pictures_stay_bytes_and_are_stacked_along_channels(make_policy, fill, pictures):
    policy = make_policy(pictures)
    current, _ = fill(policy).sample(8, policy)

    assert current.obs.shape == (8, (2 + 3) * 1, 8, 8)
    assert current.obs.dtype == np.uint8


def test_frames_run_from_the_oldest_of_the_stack_to_the_last_of_the_unroll(
    make_policy, fill, pictures, make_episode
):
    policy = make_policy(pictures)
    buffer = fill(policy, lengths=(12,))
    frames = make_episode(policy, 0, 12, terminated=True).columns["observation"]
    current, _ = buffer.sample(12, policy)

    for index, obs in zip(current.index - current.index.min(), current.obs, strict=True):
        at = np.clip(np.arange(index - 1, index + 4), 0, 12)
        assert (obs == frames[at, 0]).all()


# --- targets --------------------------------------------------------------------------------------


def test_values_bootstrap_from_the_target_network(open_policy, array_windows):
    policy = open_policy()
    windows = counted(array_windows, steps_left=50, terminated=False)

    _, target = policy.make_batch(windows)

    # 1 + 0.5 + 0.25 * (100 + p + 2)
    expected = [1.5 + 0.25 * (102 + p) for p in range(UNROLL + 1)]
    assert target.target_value[0].tolist() == expected
    policy._model.gain.data.fill_(2.0)  # the target network still is what it was
    assert policy.make_batch(windows)[1].target_value[0].tolist() == expected


def test_near_a_terminated_end_everything_after_it_is_zero(open_policy, array_windows):
    windows = counted(array_windows, steps_left=2, terminated=True)

    current, target = open_policy().make_batch(windows)

    assert current.mask[0].tolist() == [1, 1, 0, 0]
    assert target.target_value[0].tolist() == [1.5, 1.0, 0.0, 0.0]
    assert target.target_reward[0].tolist() == [1, 1, 0, 0]
    assert target.target_policy[0].tolist() == [[0.5, 0.25, 0.25]] * 2 + [[0, 0, 0]] * 2
    assert current.action[0, :2].tolist() == [0, 1]


def test_a_truncated_end_bootstraps_from_its_last_observation(open_policy, array_windows):
    windows = counted(array_windows, steps_left=3, terminated=False)

    current, target = open_policy().make_batch(windows)

    assert current.mask[0].tolist() == [1, 1, 1, 0]
    # the last three returns all end at position 3, which is worth 103
    assert target.target_value[0].tolist() == [
        1.5 + 0.25 * 102,
        1.5 + 0.25 * 103,
        1 + 0.5 * 103,
        103,
    ]


def test_with_two_players_signs_come_from_who_moves(open_policy, array_windows):
    windows = counted(
        array_windows,
        steps_left=3,
        terminated=True,
        to_play=np.array([[1, 2, 1, 2, 2, 2, 2]], np.int8),
        reward=np.array([[0, 0, 1, 9, 9, 9, 9]], np.float32),
    )

    _, target = open_policy(discount_factor=1.0, td_steps=5).make_batch(windows)

    assert target.target_value[0].tolist() == [1, -1, 1, 0]


def test_stored_root_values_replace_the_network_where_there_are_any(open_policy, array_windows):
    stored = np.array([[0, 0, 20, NAN, 40, 50, 60]], np.float32)
    windows = counted(array_windows, steps_left=50, terminated=False, root_value=stored)

    _, target = open_policy(use_root_value=True).make_batch(windows)

    assert target.target_value[0].tolist() == [1.5 + 0.25 * v for v in (20, 103, 40, 50)]


@pytest.mark.parametrize("setting", ["use_root_value", "reuse_search"])
def test_with_stored_values_no_observation_is_evaluated(open_policy, array_windows, setting):
    policy = open_policy(**{setting: True})
    policy._target_inference = None
    known = np.arange(UNROLL + STEPS + 2, dtype=np.float32)[None]

    windows = counted(array_windows, steps_left=50, terminated=False, root_value=known)
    _, target = policy.make_batch(windows)

    assert np.isfinite(target.target_value).all()
    assert np.ptp(target.target_value) > 0  # the stored values, which differ, are in it


def test_the_target_network_sees_stacked_pictures(make_policy, fill, pictures):
    policy = make_policy(pictures)
    seen = []
    policy._target_inference.initial = lambda obs: seen.append(obs) or pytest.fail("seen")
    with pytest.raises(pytest.fail.Exception):
        fill(policy).sample(8, policy)

    assert seen[0].shape[1:] == (2, 8, 8)
    assert 0.0 <= seen[0].min() <= seen[0].max() <= 1.0


def test_absorbing_actions_repeat_for_a_learn_step_and_change_with_it(open_policy, array_windows):
    policy = open_policy(num_unroll_steps=40)
    windows = counted(array_windows, steps_left=1, terminated=True)

    def actions():
        return policy.make_batch(windows)[0].action[0, 1:].tolist()

    first = actions()
    assert actions() == first
    assert set(first) == {0, 1, 2}
    policy._learn_step += 1
    assert actions() != first


def test_a_value_beyond_the_support_is_told_once(make_policy, array_windows):
    policy = make_policy({"model": {"support_scale": 2}})
    reward = np.full((1, UNROLL + STEPS + 2), 6.0, np.float32)  # of 7.95; the sum of two is more
    windows = counted(array_windows, steps_left=50, terminated=False, reward=reward)

    with pytest.warns(UserWarning, match=r"value target of size .* Raise model\.support_scale"):
        policy.make_batch(windows)
    windows.rows["reward"] *= 1.2
    policy.make_batch(windows)  # a second warning would be an error


def test_a_reward_beyond_the_support_is_told_once(make_policy, array_windows):
    policy = make_policy({"model": {"support_scale": 2}})
    policy._value_target = lambda windows, reward: np.zeros((1, UNROLL + 1), np.float32)
    reward = np.zeros((1, UNROLL + STEPS + 2), np.float32)
    windows = counted(array_windows, steps_left=50, terminated=False, reward=reward)
    windows.rows["reward"][:, UNROLL:] = 100.0  # in no target that is read
    policy.make_batch(windows)

    windows.rows["reward"][:, 0] = -100.0
    with pytest.warns(UserWarning, match=r"reward target of size 100 .* larger rewards cannot"):
        policy.make_batch(windows)
    windows.rows["reward"] *= 2
    policy.make_batch(windows)  # a second warning would be an error


def test_a_big_batch_is_evaluated_in_chunks_with_the_same_result(make_policy, fill):
    whole, cut = make_policy(), make_policy(mini_infer_size=5)
    calls = []
    evaluate = cut._target_inference.initial
    cut._target_inference.initial = lambda obs: calls.append(len(obs)) or evaluate(obs)

    expected = fill(whole).sample(8, whole)[1].target_value
    found = fill(cut).sample(8, cut)[1].target_value

    assert max(calls) == 5
    assert found == pytest.approx(expected, abs=1e-5)


# --- reanalysis -----------------------------------------------------------------------------------


def reanalyzed(make_policy, open_model, array_windows, **given):
    """Four samples, two steps before their ends, with logits that favour action 2."""
    policy = make_policy({"reanalyze_ratio": 0.5}, given, model=open_model())
    width = UNROLL + STEPS + 2
    rows = {
        "observation": np.tile(np.float32([7, 0, 0, 3]), (4, width, 1)),
        "action": np.zeros((4, width), np.int64),
        "reward": np.zeros((4, width), np.float32),
        "child_visit": np.tile(np.float32([1, 0, 0]), (4, width, 1)),
        "root_value": np.zeros((4, width), np.float32),
        "to_play": np.full((4, width), -1, np.int8),
        "action_mask": np.tile([True, False, True], (4, width, 1)),
    }
    windows = array_windows(rows, steps_left=[2] * 4, terminated=[True] * 4)
    return policy, windows, policy.make_batch(windows)[1]


def test_the_share_asked_for_gets_fresh_targets_and_the_rest_keep_theirs(
    make_policy, open_model, array_windows
):
    _, _, target = reanalyzed(make_policy, open_model, array_windows, num_simulations=20)

    fresh = target.target_policy[:, 0, 2] > 0.5
    assert fresh.tolist() == [True, True, False, False]  # the oldest
    assert target.target_policy[2:, :2].tolist() == [[[1, 0, 0]] * 2] * 2
    assert (target.target_policy[:2, :2, 1] == 0).all()  # not legal
    assert target.target_policy[:2, :2].sum(axis=2) == pytest.approx(np.ones((2, 2)))
    assert (target.target_policy[:, 2:] == 0).all()  # past the end


def test_what_reanalysis_finds_is_written_back(make_policy, open_model, array_windows):
    _, windows, target = reanalyzed(make_policy, open_model, array_windows)

    assert (windows.rows["child_visit"][:2, :2] == target.target_policy[:2, :2]).all()
    searched = windows.rows["root_value"][:2, :2]
    assert ((searched > 6) & (searched < 7)).all()  # the network alone says 7
    assert (windows.rows["root_value"][:2, 2:] == 0).all()
    assert (windows.rows["root_value"][2:] == 0).all()


def test_a_variant_stores_the_same_of_a_search_when_collecting_and_when_reanalyzing(
    make_policy, open_model, array_windows
):
    policy, windows, _ = reanalyzed(make_policy, open_model, array_windows)
    policy._stored = lambda found: {"q": found.q_value * 0 + 4, "root_value": found.value * 0 + 3}
    windows.rows["q"] = np.zeros((4, 7, 3))

    policy.make_batch(windows)
    found = policy.collect_mode.forward(torch.zeros(2, 4))

    assert (windows.rows["root_value"][:, :2] == [[3, 3], [3, 3], [0, 0], [0, 0]]).all()
    assert (windows.rows["q"][:2, :2] == 4).all()
    assert (windows.rows["q"][2:] == 0).all()
    assert found.columns["root_value"].tolist() == [3, 3]
    assert found.columns["q"].tolist() == [[4, 4, 4]] * 2
    assert "child_visit" not in found.columns


def test_reanalysis_searches_with_the_target_network(make_policy, open_model, array_windows):
    policy, windows, first = reanalyzed(make_policy, open_model, array_windows, reanalyze_ratio=1.0)
    policy._model.gain.data.zero_()

    again = policy.make_batch(windows)[1]

    assert (again.target_policy == first.target_policy).all()


def test_reanalysis_noise_is_drawn_anew_at_each_learn_step(make_policy, open_model, array_windows):
    def targets(**given):
        policy, windows, first = reanalyzed(
            make_policy, open_model, array_windows, num_simulations=40, **given
        )
        policy._learn_step += 1
        return first.target_policy[:2, :2], policy.make_batch(windows)[1].target_policy[:2, :2]

    first, second = targets(root_noise_weight=0.9)
    assert (first != second).any()
    first, second = targets(root_noise_weight=0.9, reanalyze_noise=False)
    assert (first == second).all()


def test_replay_keeps_what_reanalysis_found(make_policy, fill):
    policy = make_policy(reanalyze_ratio=1.0)
    buffer = fill(policy)

    first = buffer.sample(8, policy)
    policy._reanalyze_batch = lambda windows: None
    stored = fill(make_policy(reanalyze_ratio=1.0)).sample(8, policy)  # the same draw, untouched
    buffer._rng = fill(policy)._rng
    again = buffer.sample(8, policy)

    assert (first[0].index == again[0].index).all()
    assert (first[1].target_policy == again[1].target_policy).all()
    assert (first[1].target_policy != stored[1].target_policy).any()
