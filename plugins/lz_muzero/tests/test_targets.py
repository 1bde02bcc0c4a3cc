"""n-step values, bootstraps and their company, as functions of arrays."""

import numpy as np
import pytest
from lz_muzero import targets


def values(reward, *, steps_left, terminated, unroll, n, discount, vbar=10.0, to_play=None):
    """The targets of one sample; `reward` and `to_play` reach as far as the episode."""
    width = unroll + n
    padded = np.zeros((1, width))
    padded[0, : min(width, len(reward))] = reward[:width]
    horizon = targets.horizons(np.array([steps_left]), np.array([terminated]), unroll, n)
    if to_play is not None:
        to_play = np.array([(to_play + to_play[-1:] * (width + 1))[: width + 1]])
    bootstrap = np.full((1, unroll + 1), vbar)
    return targets.n_step_values(
        padded, bootstrap, horizon, discount=discount, td_steps=n, to_play=to_play
    )[0].tolist()


# --- hand-worked values ---------------------------------------------------------------------------

ONES = [1, 1, 1, 1]


def test_a_terminated_episode_is_worth_nothing_beyond_its_end():
    found = values(ONES, steps_left=4, terminated=True, unroll=4, n=2, discount=0.5)

    # 1 + 0.5 + 0.25 * 10, twice; then the bootstrap falls on the end
    assert found == [4.0, 4.0, 1.5, 1.0, 0.0]


def test_a_truncated_episode_goes_on_in_the_value_of_its_last_observation():
    found = values(ONES, steps_left=4, terminated=False, unroll=4, n=2, discount=0.5)

    # 1.5 + 0.25 * 10; 1 + 0.5 * 10; 10: position T has no action, but it has a value
    assert found == [4.0, 4.0, 4.0, 6.0, 10.0]


def test_positions_after_the_end_of_a_terminated_episode_are_worth_zero():
    found = values([1.0], steps_left=1, terminated=True, unroll=3, n=5, discount=0.9)

    assert found == [1.0, 0.0, 0.0, 0.0]


def test_with_two_players_the_other_ones_gain_is_a_loss():
    found = values(
        [0, 0, 1], steps_left=3, terminated=True, unroll=2, n=5, discount=1.0, to_play=[1, 2, 1]
    )

    assert found == [1.0, -1.0, 1.0]


def test_with_two_players_the_bootstrap_counts_for_whoever_moves_there():
    found = values(
        [0, 0, 0, 0, 0],
        steps_left=5,
        terminated=False,
        unroll=2,
        n=3,
        discount=0.5,
        to_play=[1, 2, 1, 2, 2, 1],
    )

    # players 1, 2, 1 look three steps on, at positions of 2, 2, 1
    assert found == [-1.25, 1.25, 1.25]


def test_one_player_has_no_signs_whatever_is_stored():
    rewards = [3, 1, 4, 1]

    told = values(
        rewards, steps_left=4, terminated=True, unroll=2, n=3, discount=0.9, to_play=[-1] * 5
    )

    assert told == values(rewards, steps_left=4, terminated=True, unroll=2, n=3, discount=0.9)


def test_values_are_float32():
    horizon = targets.horizons(np.array([9]), np.array([False]), 1, 2)
    found = targets.n_step_values(
        np.ones((1, 3)), np.ones((1, 2)), horizon, discount=0.5, td_steps=2
    )

    assert found.dtype == np.float32


# --- against the definition, written as loops -----------------------------------------------------


def by_definition(reward, movers, vbar, terminated, t, unroll, n, discount):
    last = len(reward)  # T
    found = []
    for p in range(t, t + unroll + 1):
        if p > last:
            found.append(0.0)
            continue
        m = min(n, last - p)
        sign = [1.0 if movers[p + i] == movers[p] else -1.0 for i in range(m + 1)]
        total = sum(discount**i * sign[i] * reward[p + i] for i in range(m))
        if p + m < last or not terminated:
            total += discount**m * sign[m] * vbar[p + m]
        found.append(total)
    return found


@pytest.mark.parametrize("players", [1, 2])
@pytest.mark.parametrize("seed", range(40))
def test_whole_batches_agree_with_the_definition(seed, players):
    rng = np.random.default_rng(seed)
    unroll, n = int(rng.integers(1, 5)), int(rng.integers(1, 7))
    discount = (0.5, 0.997, 1.0)[seed % 3]
    length = rng.integers(1, 10, size=5)
    terminated = rng.random(5) < 0.5
    width = unroll + n
    reward, vbar = rng.normal(size=(5, 10)), rng.normal(size=(5, 11))
    movers = rng.integers(1, 3, size=(5, 11)) if players == 2 else np.full((5, 11), -1)
    latest = np.where(terminated, length - 1, np.maximum(length - unroll, 0))
    t = rng.integers(0, latest + 1)

    reach = t[:, None] + np.arange(width + 1)
    left = length - t
    horizon = targets.horizons(left, terminated, unroll, n)
    padded = np.take_along_axis(reward, np.minimum(reach[:, :-1], 9), 1)
    found = targets.n_step_values(
        np.where(targets.has_action(left, width), padded, 0.0),
        np.take_along_axis(vbar, np.minimum(t[:, None] + horizon.offset, 10), 1),
        horizon,
        discount=discount,
        td_steps=n,
        to_play=np.take_along_axis(movers, np.minimum(reach, 10), 1),
    )

    for b in range(5):
        end = length[b]
        expected = by_definition(
            reward[b, :end], movers[b], vbar[b], terminated[b], t[b], unroll, n, discount
        )
        known = targets.has_action(left[b : b + 1] + 1, unroll + 1)[0] | terminated[b]
        assert found[b][known] == pytest.approx(np.array(expected)[known], abs=1e-5)


# --- which values are asked for -------------------------------------------------------------------


def asking(horizon, stored=None):
    """Ask with values 100 * row + offset; return them and the pairs that were asked for."""
    pairs = []

    def evaluate(row, offset):
        pairs.extend(zip(row.tolist(), offset.tolist(), strict=True))
        return 100.0 * row + offset

    return targets.bootstrap_values(horizon, evaluate, stored), pairs


def test_each_position_is_evaluated_once_even_where_returns_end_at_the_same_one():
    horizon = targets.horizons(np.array([9, 3]), np.array([False, False]), 3, 2)

    found, pairs = asking(horizon)

    assert found.tolist() == [[2, 3, 4, 5], [102, 103, 103, 103]]
    assert pairs == [(0, 2), (0, 3), (0, 4), (0, 5), (1, 2), (1, 3)]


def test_nothing_is_evaluated_where_nothing_follows():
    horizon = targets.horizons(np.array([2]), np.array([True]), 3, 2)

    found, pairs = asking(horizon)

    assert found.tolist() == [[0, 0, 0, 0]]
    assert pairs == []


def test_stored_values_are_used_and_only_unknown_ones_asked_for():
    horizon = targets.horizons(np.array([9]), np.array([False]), 2, 2)

    found, pairs = asking(horizon, stored=np.array([[7.0, np.nan, 8.0]]))

    assert found.tolist() == [[7.0, 3.0, 8.0]]
    assert pairs == [(0, 3)]


# --- the company ----------------------------------------------------------------------------------


def test_absorbing_actions_are_legal_numbers_and_real_ones_stay():
    action = np.arange(8).reshape(2, 4) % 3
    known = targets.has_action(np.array([4, 1]), 4)

    found = targets.fill_absorbing(action, known, np.array([5, 6], np.uint64), 3)

    assert (found[known] == action[known]).all()
    assert ((found >= 0) & (found < 3)).all()
    assert found.dtype == np.int64


def test_absorbing_actions_are_uniform_and_depend_on_the_seed_of_their_row_alone():
    seeds = np.arange(3000, dtype=np.uint64)
    nothing = np.zeros((3000, 2), np.int64)
    known = np.zeros((3000, 2), bool)

    found = targets.fill_absorbing(nothing, known, seeds, 3)
    again = targets.fill_absorbing(nothing[:5], known[:5], seeds[10:15], 3)

    assert (again == found[10:15]).all()
    assert np.bincount(found.ravel()) / 6000 == pytest.approx(np.full(3, 1 / 3), abs=0.03)


def test_chunks_cover_everything_once():
    assert [(part.start, part.stop) for part in targets.chunks(5, 2)] == [(0, 2), (2, 4), (4, 5)]
