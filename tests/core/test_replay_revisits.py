"""Which stored positions are drawn to be reanalyzed, and that it is remembered.

Rows tell where they come from: row t of episode e shows 100 e + t.
"""

import numpy as np
import pytest

from lzcore.base.errors import ReplayError
from lzcore.base.replay import Column, ReplaySettings, Segment
from lzcore.replay.buffer import ReplayBuffer


class Showing:
    """A policy that tells what the drawn rows show."""

    def reanalyze(self, windows):
        return windows.take("observation", 0, 1)[:, 0].tolist()


def buffer_of(*segments, key=7, capacity=1000):
    settings = ReplaySettings(capacity=capacity, unroll_steps=1, lookahead=1)
    buffer = ReplayBuffer([Column("observation", (), np.int32)], settings, key=key)
    buffer.push(segments)
    return buffer


def episode(number, length, ended=True):
    return Segment(
        episode=number,
        offset=0,
        columns={"observation": 100 * number + np.arange(length + ended, dtype=np.int32)},
        length=length,
        ended=ended,
        terminated=ended,
    )


def revisits(buffer, count, partition=1.0):
    """What the drawn rows show."""
    return buffer.revisit(count, partition, Showing())


def visits(buffer):
    """How often each stored segment was visited, oldest first."""
    return buffer._store.segments.read("visits").tolist()


def test_the_policy_is_shown_the_rows_and_its_answer_returned():
    buffer = buffer_of(episode(1, 3))

    class Answering:
        def reanalyze(self, windows):
            assert windows.index.shape == windows.weights.shape == (5,)
            assert (windows.weights == 1.0).all()
            return {"evaluations": 4.0}

    assert buffer.revisit(5, 1.0, Answering()) == {"evaluations": 4.0}


def test_rows_come_from_the_oldest_share_of_the_segments():
    segments = [episode(number, 2) for number in range(1, 9)]

    def seen(partition):
        return {row // 100 for row in revisits(buffer_of(*segments), 100, partition)}

    assert seen(0.75) == {1, 2, 3, 4, 5, 6}
    assert seen(0.5) == {1, 2, 3, 4}
    assert seen(0.01) == {1}


def test_every_position_that_learning_draws_is_as_likely_as_any_other_of_its_segment():
    buffer = buffer_of(episode(1, 5, ended=False))  # rows 3 and 4 wait for two more

    names, counts = np.unique(revisits(buffer, 6000), return_counts=True)

    assert names.tolist() == [100, 101, 102]
    assert counts / 6000 == pytest.approx(np.full(3, 1 / 3), abs=0.03)


def test_segments_of_which_nothing_can_be_drawn_do_not_count():
    buffer = buffer_of(episode(1, 1, ended=False), episode(2, 2), episode(3, 2))

    assert {row // 100 for row in revisits(buffer, 50, 0.5)} == {2}


def test_segments_that_were_visited_less_come_first():
    buffer = buffer_of(*(episode(number, 4) for number in (1, 2, 3)))
    revisits(buffer, 9)
    assert visits(buffer) == [3, 3, 3]  # 9 draws of one batch do not crowd on one

    buffer.push([episode(4, 4)])
    assert {row // 100 for row in revisits(buffer, 3)} == {4}
    assert visits(buffer) == [3, 3, 3, 3]


def test_a_visit_counts_against_a_segment_as_much_as_there_are_segments():
    """Of 100 segments of one length, a visit takes exp(-1) off the chance."""
    buffer = buffer_of(*(episode(number, 1) for number in range(100)))
    buffer._store.segments.columns["visits"][:50] = 1  # of the first fifty
    before = visits(buffer)

    drawn = []
    for _ in range(2000):
        drawn += revisits(buffer, 1)
        buffer._store.segments.columns["visits"][:100] = before

    share = np.mean(np.array(drawn) < 5000)
    assert share == pytest.approx(np.exp(-1) / (1 + np.exp(-1)), abs=0.03)


def test_a_row_is_as_likely_in_a_long_segment_as_in_a_short_one():
    first = [revisits(buffer_of(episode(1, 1), episode(2, 3), key=k), 1) for k in range(800)]
    assert np.mean(np.array(first) >= 200) == pytest.approx(3 / 4, abs=0.04)

    buffer = buffer_of(episode(1, 10), episode(2, 40))
    revisits(buffer, 500)
    assert visits(buffer) == pytest.approx([100, 400], abs=3)


def test_a_segment_in_the_place_of_a_forgotten_one_was_never_visited():
    buffer = buffer_of(episode(1, 2), episode(2, 2), capacity=4)
    revisits(buffer, 6)

    buffer.push([episode(3, 2)])

    assert visits(buffer) == [3, 0]


def test_a_resumed_buffer_goes_on_with_what_was_visited():
    def pushed():
        buffer = buffer_of(*(episode(number, 5) for number in range(1, 6)))
        revisits(buffer, 7, 0.6)
        return buffer

    one, other = pushed(), buffer_of()
    other.load_state_dict(one.state_dict())

    assert visits(other) == visits(one)
    assert sum(visits(one)) == 7
    assert [revisits(other, 4) for _ in range(5)] == [revisits(one, 4) for _ in range(5)]


def test_nothing_to_draw_and_nothing_asked_for_are_refused():
    with pytest.raises(ReplayError, match=r"None of the 1 stored transitions can be drawn yet"):
        revisits(buffer_of(episode(1, 1, ended=False)), 4)
    with pytest.raises(ReplayError, match=r"count is 0; expected at least 1\."):
        revisits(buffer_of(episode(1, 1)), 0)
