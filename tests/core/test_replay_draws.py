"""How likely each position is, what its weight is, and what becomes of priorities.

Rows tell where they come from: row t of episode e shows 100 e + t.
"""

import numpy as np
import pytest

from lzcore.base.errors import ReplayError, ShapeError
from lzcore.base.replay import Column, ReplaySettings, Segment
from lzcore.replay.buffer import ReplayBuffer
from lzcore.replay.draws import distinct


class Keep:
    """A policy that hands the windows out."""

    def make_batch(self, windows):
        return windows


def buffer_of(*segments, key=7, capacity=1000, **settings):
    given = ReplaySettings(capacity=capacity, unroll_steps=1, lookahead=1, **settings)
    buffer = ReplayBuffer([Column("observation", (), np.int32)], given, key=key)
    buffer.push(segments)
    return buffer


def prioritised(*segments, **settings):
    return buffer_of(*segments, **{"use_priority": True, "priority_alpha": 1.0, **settings})


def episode(number, length, priority=None, ended=True):
    shown = 100 * number + np.arange(length + ended, dtype=np.int32)
    return Segment(
        episode=number,
        offset=0,
        columns={"observation": shown},
        length=length,
        ended=ended,
        terminated=ended,
        priority=None if priority is None else np.array(priority, float),
    )


def shown(windows):
    return windows.take("observation", 0, 1)[:, 0].tolist()


def everything(buffer):
    """Draw each eligible row once; return what it shows -> (priority, weight)."""
    windows = buffer.sample(buffer.num_eligible, Keep())
    priority = windows.take("priority", 0, 1)[:, 0].tolist()
    return dict(
        zip(shown(windows), zip(priority, windows.weights.tolist(), strict=True), strict=True)
    )


def shares(buffer, batch_size, batches):
    """Return what is shown -> its share of many draws."""
    seen = np.concatenate([shown(buffer.sample(batch_size, Keep())) for _ in range(batches)])
    names, counts = np.unique(seen, return_counts=True)
    return dict(zip(names.tolist(), (counts / len(seen)).tolist(), strict=True))


# --- without priorities --------------------------------------------------------------------------


def test_uniform_draws_take_every_eligible_row_equally_often():
    buffer = buffer_of(episode(1, 1), episode(2, 3), episode(3, 5, ended=False))

    found = shares(buffer, 100, 70)  # rows 300..302 of the running episode have 2 rows behind them

    assert found == pytest.approx(
        dict.fromkeys([100, 200, 201, 202, 300, 301, 302], 1 / 7), abs=0.02
    )


def test_no_row_is_drawn_twice_as_long_as_there_are_enough():
    for settings in ({}, {"sample_type": "episode"}, {"use_priority": True}):
        buffer = buffer_of(episode(1, 4), episode(2, 30), **settings)
        for size in (1, 20, 34):
            assert len(set(shown(buffer.sample(size, Keep())))) == size
        assert len(shown(buffer.sample(35, Keep()))) == 35


def test_by_episode_every_episode_is_equally_likely_then_every_row_of_it():
    buffer = buffer_of(
        episode(1, 1), episode(2, 4), episode(3, 2, ended=False), sample_type="episode"
    )

    found = shares(buffer, 100, 60)  # episode 3 has no eligible row yet

    assert found == pytest.approx({100: 0.5, **dict.fromkeys(range(200, 204), 0.125)}, abs=0.02)


def test_by_episode_segments_of_one_episode_count_as_one():
    def part(offset, length, ended):
        columns = {"observation": 100 + offset + np.arange(length + ended, dtype=np.int32)}
        return Segment(
            episode=1, offset=offset, columns=columns, length=length, ended=ended, terminated=ended
        )

    buffer = buffer_of(part(0, 1, False), episode(2, 1), part(1, 2, True), sample_type="episode")

    found = shares(buffer, 100, 60)

    assert found == pytest.approx({200: 0.5, **dict.fromkeys(range(100, 103), 1 / 6)}, abs=0.02)


def test_the_key_decides_what_is_drawn():
    def drawn(key):
        buffer = buffer_of(episode(1, 50), key=key)
        return [shown(buffer.sample(8, Keep())) for _ in range(3)]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


# --- priorities ----------------------------------------------------------------------------------


def test_chances_follow_the_power_of_the_priority():
    buffer = prioritised(episode(1, 3, [1.0, 4.0, 16.0]), priority_alpha=0.5)

    found = shares(buffer, 100, 70)  # 1 : 2 : 4

    assert found == pytest.approx({100: 1 / 7, 101: 2 / 7, 102: 4 / 7}, abs=0.02)


def test_weights_undo_the_chances_up_to_the_largest_of_the_batch():
    buffer = prioritised(episode(1, 4, [1.0, 2.0, 3.0, 4.0]), priority_beta=1.0)

    weights = {row: weight for row, (_, weight) in everything(buffer).items()}

    # N P = 0.4, 0.8, 1.2, 1.6; one over it, divided by 2.5
    assert weights == pytest.approx({100: 1.0, 101: 1 / 2, 102: 1 / 3, 103: 1 / 4})


def test_beta_is_the_power_of_the_weights():
    buffer = prioritised(episode(1, 2, [1.0, 4.0]), priority_beta=0.5)

    assert everything(buffer)[101][1] == pytest.approx(0.5)


def test_drawing_without_repetition_goes_on_among_the_rows_that_are_left():
    buffer = prioritised(episode(1, 3, [2.0, 1.0, 1.0]))

    found = shares(buffer, 2, 4000)

    # row 100 is left out by first one, then the other of the rest: 2 * 1/4 * 1/3
    assert found == pytest.approx({100: (1 - 1 / 6) / 2, 101: 7 / 24, 102: 7 / 24}, abs=0.015)


def test_one_overwhelming_priority_leaves_the_others_to_be_drawn():
    buffer = prioritised(episode(1, 90, [1e30] + [1e-300] * 89))

    windows = buffer.sample(90, Keep())

    assert len(set(shown(windows))) == 90
    assert np.isfinite(windows.weights).all()
    assert windows.weights.max() == 1.0


def test_rows_that_are_not_eligible_have_no_chance_whatever_their_priority():
    buffer = prioritised(episode(1, 4, [1.0, 1.0, 1e9, 1e9], ended=False), episode(2, 1, [1.0]))

    assert shares(buffer, 100, 10).keys() == {100, 101, 200}


def test_a_priority_counts_once_its_row_has_become_eligible():
    buffer = prioritised(episode(1, 4, [1.0, 1.0, 3.0, 5.0], ended=False))
    end = Segment(
        episode=1, offset=4, columns={"observation": np.array([104], np.int32)}, length=0,
        ended=True, terminated=True,
    )  # fmt: skip

    buffer.push([end])

    assert shares(buffer, 100, 50) == pytest.approx(
        {100: 0.1, 101: 0.1, 102: 0.3, 103: 0.5}, abs=0.02
    )


def test_new_rows_get_1_in_an_empty_buffer_and_then_the_largest_priority():
    buffer = prioritised(episode(1, 2))
    assert everything(buffer) == {100: (1.0, 1.0), 101: (1.0, 1.0)}

    buffer.push([episode(2, 1, [5.0]), episode(3, 1)])
    assert everything(buffer)[300][0] == 5.0


def test_a_largest_priority_that_is_gone_no_longer_counts():
    buffer = prioritised(episode(1, 2, [9.0, 9.0]), episode(2, 2, [2.0, 3.0]), capacity=4)
    buffer.push([episode(3, 2, [1.0, 1.0])])

    buffer.push([episode(4, 1)])

    found = {row: priority for row, (priority, _) in everything(buffer).items()}
    assert found == {300: 1.0, 301: 1.0, 400: 3.0}  # the 3 stood until the new row came


def test_a_priority_whose_place_is_not_taken_yet_is_gone_too():
    buffer = prioritised(episode(1, 8, [9.0] * 8), episode(2, 8, [2.0] * 8), capacity=20)
    buffer.push([episode(3, 10, [1.0] * 10)])  # forgets episode 1 and needs most of its room

    buffer.push([episode(4, 1)])

    assert everything(buffer)[400][0] == 2.0


def test_updated_priorities_change_the_chances():
    buffer = prioritised(episode(1, 2, [1.0, 1.0]))
    windows = buffer.sample(2, Keep())
    new = np.where(np.array(shown(windows)) == 101, 4.0, 1.0)

    buffer.update_priority(windows.index, new, windows.stamp)

    assert shares(buffer, 100, 50) == pytest.approx({100: 0.2, 101: 0.8}, abs=0.02)


def test_of_two_updates_of_one_row_the_last_counts():
    buffer = prioritised(episode(1, 1))
    windows = buffer.sample(2, Keep())

    buffer.update_priority(windows.index, np.array([3.0, 2.0]), windows.stamp)

    assert everything(buffer)[100][0] == 2.0


def test_updates_of_forgotten_rows_and_of_other_stamps_are_passed_over():
    buffer = prioritised(episode(1, 1), episode(2, 1), capacity=2)
    windows = buffer.sample(2, Keep())
    order = np.argsort(windows.index)
    index, stamp = windows.index[order], windows.stamp[order]
    buffer.push([episode(3, 1)])  # forgets episode 1

    buffer.update_priority(index, np.array([7.0, 8.0]), stamp)
    assert {row: p for row, (p, _) in everything(buffer).items()} == {200: 8.0, 300: 1.0}

    buffer.update_priority(index[1:], np.array([9.0]), stamp[1:] + 1)
    assert everything(buffer)[200][0] == 8.0


def test_updates_cannot_make_a_row_eligible():
    buffer = prioritised(episode(1, 4, ended=False))
    windows = buffer.sample(2, Keep())
    beyond = windows.index.max() + np.array([1, 2, 3])  # two that wait, one that never was

    buffer.update_priority(beyond, np.full(3, 1e9), np.repeat(windows.stamp[:1], 3))

    assert shares(buffer, 100, 5).keys() == {100, 101}


def test_priorities_survive_growth_and_forgetting():
    buffer = prioritised(capacity=60)
    for number in range(1, 30):
        buffer.push([episode(number, 5, [number + 0.1 * t for t in range(1, 6)])])

        found = everything(buffer)
        expected = {
            100 * e + t: e + 0.1 * (t + 1)
            for e in range(max(1, number - 11), number + 1)
            for t in range(5)
        }
        assert {row: p for row, (p, _) in found.items()} == pytest.approx(expected)
        lightest = min(expected.values())  # weights are (P of the lightest / P) ^ 0.4
        weights = {row: (lightest / p) ** 0.4 for row, p in expected.items()}
        assert {row: w for row, (_, w) in found.items()} == pytest.approx(weights)


def test_without_use_priority_priorities_are_ignored():
    buffer = buffer_of(episode(1, 2, [1.0, 99.0]))
    windows = buffer.sample(2, Keep())

    buffer.update_priority(windows.index, np.array([1.0, 99.0]), windows.stamp)

    assert shares(buffer, 100, 50) == pytest.approx({100: 0.5, 101: 0.5}, abs=0.03)
    assert windows.weights.tolist() == [1.0, 1.0]


@pytest.mark.parametrize("wrong", [0.0, -1.0, np.nan, np.inf])
def test_priorities_must_be_finite_and_positive(wrong):
    with pytest.raises(
        ReplayError, match=r"episode 1: priority has .* at position 1; expected fin"
    ):
        prioritised(episode(1, 2, [1.0, wrong]))

    buffer = prioritised(episode(1, 2))
    windows = buffer.sample(2, Keep())
    with pytest.raises(ReplayError, match=r"new priorities has .* at position 1; .* above 0"):
        buffer.update_priority(windows.index, np.array([1.0, wrong]), windows.stamp)


def test_priorities_must_come_one_for_each_row():
    with pytest.raises(ShapeError, match=r"priority has shape \(3,\); expected \(2,\)"):
        prioritised(episode(1, 2, [1.0, 1.0, 1.0]))

    buffer = prioritised(episode(1, 2))
    windows = buffer.sample(2, Keep())
    with pytest.raises(ShapeError, match=r"shapes \(2,\), \(3,\) and \(2,\); expected \(B,\)"):
        buffer.update_priority(windows.index, np.ones(3), windows.stamp)


def test_distinct_keeps_the_order_of_first_appearance():
    assert distinct(np.array([5, 2, 5, 9, 2, 1])).tolist() == [5, 2, 9, 1]
