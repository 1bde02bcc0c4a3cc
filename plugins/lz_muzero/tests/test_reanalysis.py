"""Stored positions are searched again: which of a batch, and whole windows of the buffer.

The open model says of a state what its observation holds, and steps lead nowhere else: without
rewards, a search of S simulations whose root has one legal action, of whose successor v is known,
finds (V + S gamma v) / (S + 1) where the network says V.
"""

import attrs
import numpy as np
import pytest
from lz_muzero import reanalysis
from lz_muzero.config import MuZeroConfig

from lzcore.base import ConfigError, TreeSpec, setting
from lzcore.base.config import Only

UNROLL, GAMMA = 3, 0.5
NAN = float("nan")
TOLD = "reanalyze_evaluations"


def test_outdated_rows_are_the_oldest():
    index = np.array([30, 10, 20, 40])

    found = reanalysis.reanalyzed_rows(index, 2, np.uint64(1), outdated=True)

    assert found.tolist() == [1, 2]


def test_otherwise_any_rows_are_as_likely_as_others():
    index = np.arange(10)

    drawn = [
        reanalysis.reanalyzed_rows(index, 3, np.uint64(seed), outdated=False) for seed in range(800)
    ]

    assert all(len(set(rows.tolist())) == 3 for rows in drawn)
    assert np.bincount(np.concatenate(drawn)) / 2400 == pytest.approx(np.full(10, 0.1), abs=0.02)


# --- windows of the buffer ------------------------------------------------------------------------


@pytest.fixture
def policy(make_policy, open_model):
    """A policy that reuses searches, and reads values off its observations."""

    def make(**given):
        given = {"discount_factor": GAMMA, "reuse_search": True, "root_noise_weight": 0.0, **given}
        return make_policy(given, model=open_model())

    return make


@pytest.fixture
def window(array_windows):
    """Windows whose rows are worth `values` (B, K + 1) and allow action 2 alone."""

    def make(*values, steps_left=50, legal=(False, False, True), **rows):
        values = np.array(values, np.float32)
        shape = values.shape
        observation = np.zeros((*shape, 4), np.float32)
        observation[..., 0] = values
        known = {
            "observation": observation,
            "action": np.full(shape, 2),
            "child_visit": np.tile(np.float32([0.5, 0.5, 0]), (*shape, 1)),
            "root_value": np.full(shape, NAN, np.float32),
            "to_play": np.full(shape, -1, np.int8),
            "action_mask": np.tile(legal, (*shape, 1)),
            **rows,
        }
        left = np.broadcast_to(steps_left, shape[:1])
        return array_windows(known, steps_left=left, terminated=[True] * shape[0])

    return make


def test_each_search_is_told_what_the_one_behind_it_found(policy, window):
    windows = window([8, 16, 40, 32])

    policy(num_simulations=1).reanalyze(windows)

    # (32 + 0.5 * 32) / 2 = 24; (40 + 0.5 * 24) / 2 = 26; (16 + 13) / 2 = 14.5; (8 + 7.25) / 2
    assert windows.rows["root_value"].tolist() == [[7.625, 14.5, 26.0, 24.0]]
    assert (windows.rows["child_visit"] == [0, 0, 1]).all()


def test_what_is_known_is_evaluated_once_however_often_it_is_searched(policy, window):
    windows = window([8, 16, 40, 32])

    told = policy(num_simulations=4).reanalyze(windows)

    found = windows.rows["root_value"][0]
    assert found[:3] == pytest.approx((np.array([8, 16, 40]) + 4 * GAMMA * found[1:]) / 5)
    assert told == {TOLD: (4 + 1 + 1 + 1) / 4}


def test_with_two_players_the_value_behind_is_the_opponents(policy, window):
    windows = window([8, 16], to_play=np.array([[1, 2]], np.int8))

    policy(num_simulations=1, num_unroll_steps=1).reanalyze(windows)

    # the second mover's 16 - 0.5 * 16 over 2; seen by the first: (8 - 0.5 * 4) / 2
    assert windows.rows["root_value"].tolist() == [[3.0, 4.0]]


def test_the_search_of_a_position_is_given_the_action_that_was_taken(policy, window):
    taken = np.array([[2, 0, 1, 2]])
    windows = window([4, 4, 4, 4], legal=(True, True, True), action=taken)
    one, asked = policy(), []
    search = one._search

    def spy(planner, rows, seeds, *, noisy, reuse):
        asked.append((rows.env_id.tolist(), reuse.action.tolist(), reuse.value.tolist(), noisy))
        return search(planner, rows, seeds, noisy=noisy, reuse=reuse)

    one._search = spy
    one.reanalyze(windows)

    found = windows.rows["root_value"][0]
    assert [row for row, *_ in asked] == [[3], [2], [1], [0]]
    assert [action for _, action, *_ in asked] == [[-1], [1], [0], [2]]
    assert [v for _, _, (v,), _ in asked[1:]] == pytest.approx(found[:0:-1])
    assert all(noisy for *_, noisy in asked)


def test_positions_past_the_end_are_left_out_and_the_last_one_is_searched_plainly(policy, window):
    windows = window([8, 16, 40, 32], [8, 16, 40, 32], [8, 16, 40, 32], steps_left=[2, 1, 4])

    policy(num_simulations=1).reanalyze(windows)

    kept = windows.rows["child_visit"] == [0.5, 0.5, 0]
    assert kept.all(axis=2).tolist() == [
        [False] * 2 + [True] * 2,
        [False] + [True] * 3,
        [False] * 4,
    ]
    # (16 + 8) / 2 = 12, (8 + 6) / 2 = 7; alone, (8 + 4) / 2 = 6
    np.testing.assert_array_equal(
        windows.rows["root_value"],
        [[7.0, 12.0, NAN, NAN], [6.0, NAN, NAN, NAN], [7.625, 14.5, 26.0, 24.0]],
    )


def test_windows_that_all_end_early_need_no_search_of_their_last_rows(policy, window):
    windows = window([8, 16, 40, 32], [1, 2, 3, 4], steps_left=[1, 1])

    assert policy().reanalyze(windows) == {TOLD: 8.0}


def test_where_nothing_is_known_it_is_the_search_that_a_batch_would_have_had(policy, window):
    anyhow = {"legal": (True, True, True), "steps_left": [9, 2, 3]}
    reused, searched = (window(*[[8, 16, 40, 32]] * 3, **anyhow) for _ in range(2))
    one = policy(root_noise_weight=0.5)

    one.reanalyze(reused)
    plain = policy(root_noise_weight=0.5, reuse_search=False, reanalyze_ratio=1.0)
    plain._reanalyze_batch(searched)

    for name in ("child_visit", "root_value"):
        for row, last in enumerate([3, 1, 2]):
            assert (reused.rows[name][row, last] == searched.rows[name][row, last]).all()
            assert (reused.rows[name][row, 0] != searched.rows[name][row, 0]).any()


def test_a_known_value_that_is_good_saves_evaluations(policy, window):
    better, worse = (window(v, legal=(True,) * 3) for v in ([8, 16, 40, 64], [64, 40, 16, 8]))
    one = policy(num_simulations=20, discount_factor=1.0)

    # the last position alone takes 20 / 4 = 5; what leads to worse is taken once and never again
    assert 5 < one.reanalyze(better)[TOLD] < 10
    assert one.reanalyze(worse)[TOLD] == 20


def test_the_buffer_keeps_what_was_found_and_learning_draws_it(make_policy, fill):
    policy = make_policy(reuse_search=True)
    buffer = fill(policy, lengths=(4,))
    before = buffer.sample(4, policy)[1]

    buffer.revisit(40, 1.0, policy)
    columns = {name: buffer._store.rows.read(name)[:4] for name in ("child_visit", "root_value")}
    again = fill(policy, lengths=(4,))
    again._store.rows.columns["child_visit"][:4] = columns["child_visit"]
    again._store.rows.columns["root_value"][:4] = columns["root_value"]
    after = again.sample(4, policy)[1]  # the same draw

    assert (after.target_policy != before.target_policy).any()
    assert (after.target_value != before.target_value).any()


def test_the_target_network_searches(policy, window):
    one = policy(num_simulations=1)
    one._model.gain.data.zero_()
    windows = window([8, 16, 40, 32])

    one.reanalyze(windows)

    assert windows.rows["root_value"][0, 0] == 7.625


def test_noise_is_drawn_anew_at_each_learn_step_if_it_is_wanted(policy, window):
    def found(noise, learn_step):
        windows = window([8, 16, 40, 32], legal=(True, True, True))
        one = policy(num_simulations=40, root_noise_weight=0.9, reanalyze_noise=noise)
        one._learn_step = learn_step
        one.reanalyze(windows)
        return windows.rows["child_visit"].tolist()

    assert found(True, 5) == found(True, 5) != found(True, 6)
    assert found(False, 5) == found(False, 6)


def test_pictures_are_searched_as_they_were_seen(make_policy, fill, pictures):
    policy = make_policy(pictures, reuse_search=True)
    buffer, seen = fill(policy, lengths=(12,)), []
    root = policy._reanalyze_planner.dynamics.root
    policy._reanalyze_planner.dynamics.root = lambda obs: seen.append(obs) or root(obs)

    class Telling:
        def reanalyze(self, windows):
            policy.reanalyze(windows)
            return windows

    windows = buffer.revisit(6, 1.0, Telling())
    frames = windows.frames(0, UNROLL + 1) / np.float32(255.0)  # (6, K + 1 + 1, 1, 8, 8)
    for offset, roots in zip(reversed(range(UNROLL + 1)), seen, strict=True):
        row = np.flatnonzero(windows.steps_left > offset)
        assert roots.numpy() == pytest.approx(frames[row, offset : offset + 2, 0], abs=1e-6)


# --- who cannot -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "given",
    [{"rule": "gumbel"}, {"num_chance_outcomes": 4}, {"num_sampled_actions": 2}],
)
def test_a_policy_whose_search_reuses_nothing_says_so_when_it_is_made(
    make_policy, monkeypatch, given
):
    spec = TreeSpec(num_simulations=8, num_actions=3, **given)
    plain = reanalysis.ReanalyzingPolicy._tree_spec
    monkeypatch.setattr(
        reanalysis.ReanalyzingPolicy,
        "_tree_spec",
        lambda self, n: spec if hasattr(self, "_target_inference") else plain(self, n),
    )

    with pytest.raises(ConfigError, match=r"reuse_search is on, and .* Set reuse_search to false"):
        make_policy(reuse_search=True)


def test_the_settings_of_a_variant_refuse_it_in_a_line():
    @attrs.frozen(kw_only=True)
    class Without(MuZeroConfig):
        reuse_search: bool = setting(False, "Not here.", check=Only("nothing to reuse"))

    with pytest.raises(ConfigError, match=r"reuse_search = true: nothing to reuse; leave it at f"):
        Without.of({"reuse_search": True})
    assert not Without().reuse_search
