"""What the replay keeps, which positions of it may be drawn, and what is seen around them.

Rows tell where they come from: row t of episode e shows 100 e + t.
"""

import attrs
import numpy as np
import pytest

from lzcore.base.errors import ConfigError, ReplayError, ShapeError
from lzcore.base.replay import Column, ReplaySettings, Segment
from lzcore.replay.buffer import ReplayBuffer

COLUMNS = (
    Column("observation", (), np.int32),
    Column("action", (), np.int64, pad=-1),
    Column("root_value", (), np.float32, changing=True),
)
ROW_BYTES = 4 + 8 + 4


class Keep:
    """A policy that hands the windows out."""

    def make_batch(self, windows):
        return windows


def buffer_of(*segments, capacity=1000, unroll_steps=2, lookahead=1, **settings):
    given = ReplaySettings(
        capacity=capacity, unroll_steps=unroll_steps, lookahead=lookahead, **settings
    )
    buffer = ReplayBuffer(COLUMNS, given, key=7)
    for segment in segments:
        buffer.push([segment])
    return buffer


def piece(episode, offset, length, end=None):
    """Rows offset.. of an episode; `end` is None, "terminated" or "truncated"."""
    shown = 100 * episode + offset + np.arange(length + (end is not None))
    return Segment(
        episode=episode,
        offset=offset,
        columns={
            "observation": shown.astype(np.int32),
            "action": shown[:length],  # none in the closing row
            "root_value": shown.astype(np.float32),
        },
        length=length,
        ended=end is not None,
        terminated=end == "terminated",
    )


def windows_of(buffer, *shown):
    """Draw everything that can be drawn; with names, return it as windows of only those rows."""
    windows = buffer.sample(buffer.num_eligible, Keep())
    seen = windows.take("observation", 0, 1)[:, 0].tolist()
    assert len(set(seen)) == buffer.num_eligible
    return windows, [seen.index(name) for name in shown]


def drawable(buffer):
    if not buffer.num_eligible:
        return []
    windows, _ = windows_of(buffer)
    return sorted(windows.take("observation", 0, 1)[:, 0].tolist())


# --- eligibility: K = 2, n = 1 -------------------------------------------------------------------


def test_a_running_position_waits_for_the_row_k_plus_n_behind_it():
    buffer = buffer_of(piece(1, 0, 3))
    assert drawable(buffer) == []  # rows 0..2; position 0 needs row 3

    buffer.push([piece(1, 3, 1)])
    assert drawable(buffer) == [100]

    buffer.push([piece(1, 4, 2)])
    assert drawable(buffer) == [100, 101, 102]


def test_every_position_of_a_terminated_episode_is_eligible_and_its_closing_row_is_not():
    assert drawable(buffer_of(piece(1, 0, 3, "terminated"))) == [100, 101, 102]
    assert drawable(buffer_of(piece(1, 0, 1, "terminated"))) == [100]


def test_a_truncated_episode_is_eligible_up_to_k_before_its_end():
    assert drawable(buffer_of(piece(1, 0, 5, "truncated"))) == [100, 101, 102, 103]
    assert drawable(buffer_of(piece(1, 0, 2, "truncated"))) == [100]


def test_a_truncated_episode_shorter_than_the_unroll_has_no_eligible_position():
    buffer = buffer_of(piece(1, 0, 1, "truncated"))

    assert buffer.num_transitions == 1
    assert not buffer.can_sample(1)


def test_without_unroll_steps_a_truncated_closing_row_still_cannot_be_drawn():
    buffer = buffer_of(piece(1, 0, 2, "truncated"), unroll_steps=0, lookahead=0)

    assert drawable(buffer) == [100, 101]


def test_the_end_makes_rows_of_earlier_segments_eligible():
    buffer = buffer_of(piece(1, 0, 2), piece(1, 2, 1))
    assert drawable(buffer) == []

    buffer.push([piece(1, 3, 1, "terminated")])
    assert drawable(buffer) == [100, 101, 102, 103]


def test_an_episode_may_end_with_nothing_but_a_closing_row():
    buffer = buffer_of(piece(1, 0, 3), piece(1, 3, 0, "truncated"))

    assert buffer.num_transitions == 3
    assert drawable(buffer) == [100, 101]
    windows, (row,) = windows_of(buffer, 101)
    assert windows.take("observation", 0, 4)[row].tolist() == [101, 102, 103, 103]


def test_drawing_too_many_never_touches_an_ineligible_row():
    buffer = buffer_of(
        piece(1, 0, 4), piece(2, 0, 1, "truncated"), piece(3, 0, 2, "terminated"), piece(4, 0, 2)
    )

    windows = buffer.sample(3000, Keep())

    assert set(windows.take("observation", 0, 1)[:, 0].tolist()) == {100, 300, 301}


def test_can_sample_counts_eligible_positions():
    buffer = buffer_of(piece(1, 0, 3, "terminated"))

    assert buffer.can_sample(3)
    assert not buffer.can_sample(4)


def test_drawing_from_nothing_eligible_says_what_is_missing():
    buffer = buffer_of(piece(1, 0, 3))

    with pytest.raises(ReplayError, match=r"None of the 3 stored .* needs 2 \+ 1 rows behind it"):
        buffer.sample(1, Keep())
    with pytest.raises(ReplayError, match="batch_size is 0; expected at least 1"):
        buffer.sample(0, Keep())


# --- what is seen around a position --------------------------------------------------------------


def test_rows_beyond_the_episode_repeat_its_first_and_last():
    buffer = buffer_of(piece(1, 0, 3, "terminated"), piece(2, 0, 3, "terminated"))

    windows, (row,) = windows_of(buffer, 201)

    assert windows.take("observation", -3, 5)[row].tolist() == [
        200, 200, 200, 201, 202, 203, 203, 203,
    ]  # fmt: skip
    assert windows.take("action", 0, 4)[row].tolist() == [201, 202, -1, -1]


def test_windows_tell_how_far_the_episode_goes_and_how_it_ended():
    buffer = buffer_of(piece(1, 0, 6), piece(2, 0, 3, "terminated"), piece(3, 0, 4, "truncated"))

    windows, rows = windows_of(buffer, 102, 201, 300)

    assert windows.steps_left[rows].tolist() == [4, 2, 4]
    assert windows.ended[rows].tolist() == [False, True, True]
    assert windows.terminated[rows].tolist() == [False, True, False]
    assert windows.weights.tolist() == [1.0] * len(windows.index)


def test_stacked_frames_clip_at_the_start_of_the_episode_and_at_its_last_row():
    buffer = buffer_of(piece(1, 0, 3, "terminated"), piece(2, 0, 4, "terminated"), frame_stack=3)

    windows, rows = windows_of(buffer, 200, 203)

    assert windows.frames(0, 2)[rows].tolist() == [[200, 200, 200, 201], [201, 202, 203, 204]]
    assert windows.frames(2, 3)[rows].tolist() == [[200, 201, 202], [203, 204, 204]]


def test_a_column_that_is_not_stored_is_named_with_those_that_are():
    windows, _ = windows_of(buffer_of(piece(1, 0, 3, "terminated")))

    with pytest.raises(ReplayError, match=r"no column 'reward'; stored are \['action', 'obs"):
        windows.take("reward", 0, 1)


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_interleaved_segments_are_seen_like_whole_episodes(length):
    ends = {1: (13, "terminated"), 2: (9, "truncated"), 3: (10, "terminated")}
    whole = buffer_of(*[piece(e, 0, total, end) for e, (total, end) in ends.items()])
    cut = buffer_of()
    for offset in range(0, 13, length):
        for episode, (total, end) in ends.items():
            if offset < total:
                rest = min(length, total - offset)
                cut.push([piece(episode, offset, rest, end if offset + rest == total else None)])

    names = drawable(whole)
    assert drawable(cut) == names
    (one, rows), (other, others) = windows_of(whole, *names), windows_of(cut, *names)
    for column in ("observation", "action", "root_value"):
        expected = one.take(column, -6, 12)[rows]
        assert other.take(column, -6, 12)[others].tolist() == expected.tolist()
    for name in ("steps_left", "ended", "terminated"):
        assert getattr(one, name)[rows].tolist() == getattr(other, name)[others].tolist()


# --- rewriting rows ------------------------------------------------------------------------------


def parts_of(episode, length, end, at_most):
    cuts = range(0, length, at_most)
    return [
        piece(episode, cut, min(at_most, length - cut), end if cut == cuts[-1] else None)
        for cut in cuts
    ]


@pytest.mark.parametrize("at_most", [1, 2, 5])
@pytest.mark.parametrize("capacity", [1000, 20, 7])  # the last one holds no whole episode
def test_neighbouring_parts_of_an_episode_are_kept_like_the_whole(at_most, capacity):
    whole, parted = (buffer_of(capacity=capacity, use_priority=True) for _ in range(2))
    for number in range(0, 12, 2):
        given = [(number, 9, "terminated"), (number + 1, 10, "truncated")]
        whole.push([piece(number, 0, length, end) for number, length, end in given])
        parted.push([part for episode in given for part in parts_of(*episode, at_most)])

        one, other = (buffer.sample(4, Keep()) for buffer in (whole, parted))
        for name in ("index", "stamp", "steps_left", "weights"):
            assert getattr(one, name).tolist() == getattr(other, name).tolist()
        for name in ("observation", "action", "root_value"):
            assert one.take(name, -3, 5).tolist() == other.take(name, -3, 5).tolist()


def test_parts_of_an_episode_in_several_pushes_and_of_several_episodes_stay_apart():
    first, last = parts_of(1, 4, None, 2)
    buffer = buffer_of(first, last, capacity=6)
    buffer.push([piece(2, 0, 2), piece(3, 0, 2)])

    assert buffer.num_transitions == 6  # only the first part of episode 1 had to go


def test_priorities_of_parts_stay_with_their_rows():
    parts = parts_of(1, 4, "terminated", 2)
    given = [
        attrs.evolve(p, priority=np.full(2, at)) for p, at in zip(parts, (1.0, 9.0), strict=True)
    ]
    buffer = buffer_of(unroll_steps=0, lookahead=0, use_priority=True, priority_alpha=1.0)
    buffer.push(given)

    windows, rows = windows_of(buffer, 100, 101, 102, 103)
    weights = windows.weights[rows] ** -2.5  # (N P)^-0.4, so in proportion to P
    assert weights / weights[0] == pytest.approx([1, 1, 9, 9], rel=1e-5)


def test_reanalysis_writes_across_segments_and_passes_over_what_is_not_there():
    buffer = buffer_of(piece(1, 0, 2), piece(2, 0, 3, "terminated"), piece(1, 2, 1, "terminated"))
    windows, (row,) = windows_of(buffer, 101)
    new = np.array([[-1.0, -2.0, -3.0, -4.0, -5.0]])

    windows.write(-2, {"root_value": new}, rows=np.array([row]))

    fresh, (zero,) = windows_of(buffer, 100)  # before the episode: -1; its closing row: -5
    assert fresh.take("root_value", 0, 4)[zero].tolist() == [-2.0, -3.0, -4.0, 103.0]
    assert buffer.num_eligible == 6
    fresh, (other,) = windows_of(buffer, 200)
    assert fresh.take("root_value", 0, 4)[other].tolist() == [200.0, 201.0, 202.0, 203.0]


def test_reanalysis_of_all_samples_is_seen_by_all():
    buffer = buffer_of(piece(1, 0, 4, "terminated"))
    windows, _ = windows_of(buffer)
    shown = windows.take("observation", 0, 2)

    windows.write(0, {"root_value": -shown.astype(np.float32)})

    assert windows.take("root_value", 0, 1)[:, 0].tolist() == (-shown[:, 0]).tolist()


def test_reanalysis_passes_over_rows_forgotten_since_and_writes_those_that_are_left():
    buffer = buffer_of(piece(1, 0, 3), piece(1, 3, 3), capacity=6)
    windows, (row,) = windows_of(buffer, 101)
    buffer.push([piece(1, 6, 1, "terminated")])  # forgets rows 0..2

    windows.write(0, {"root_value": np.full((1, 4), -1.0)}, rows=np.array([row]))

    fresh, (first,) = windows_of(buffer, 103)
    assert fresh.take("root_value", 0, 4)[first].tolist() == [-1.0, -1.0, 105.0, 106.0]


def test_reanalysis_of_an_episode_that_is_gone_writes_nothing():
    buffer = buffer_of(piece(1, 0, 3, "terminated"), capacity=3)
    windows, _ = windows_of(buffer)
    buffer.push([piece(2, 0, 3, "terminated")])

    windows.write(0, {"root_value": np.full((3, 2), -1.0)})

    fresh, (first,) = windows_of(buffer, 200)
    assert fresh.take("root_value", 0, 4)[first].tolist() == [200.0, 201.0, 202.0, 203.0]


def test_rows_forgotten_since_the_draw_cannot_be_read_any_more():
    buffer = buffer_of(piece(1, 0, 3, "terminated"), capacity=3)
    windows, _ = windows_of(buffer)
    buffer.push([piece(2, 0, 3, "terminated")])

    with pytest.raises(ReplayError, match="forgotten since they were drawn"):
        windows.take("action", 0, 1)


def test_what_is_written_must_be_a_changing_column_of_the_right_shape():
    windows, _ = windows_of(buffer_of(piece(1, 0, 3, "terminated")))

    with pytest.raises(ReplayError, match=r"'action' is fixed.* changing=True"):
        windows.write(0, {"action": np.zeros((3, 1))})
    with pytest.raises(ShapeError, match=r"with shape \(2, 1\); expected \(3, 1\): \(samples"):
        windows.write(0, {"root_value": np.zeros((2, 1))})


# --- forgetting ----------------------------------------------------------------------------------


def test_the_oldest_segments_make_room_and_ids_are_not_given_twice():
    buffer = buffer_of(*[piece(e, 0, 4, "terminated") for e in (1, 2)], capacity=10)
    early, _ = windows_of(buffer)

    buffer.push([piece(3, 0, 4, "terminated")])

    assert (buffer.num_transitions, buffer.num_episodes) == (8, 2)
    assert drawable(buffer) == [200, 201, 202, 203, 300, 301, 302, 303]
    late, rows = windows_of(buffer, 300)
    assert late.index[rows].min() > early.index.max()


def test_exactly_the_capacity_is_kept_and_trimming_again_changes_nothing():
    buffer = buffer_of(*[piece(e, 0, 5, "terminated") for e in (1, 2)], capacity=10)
    assert buffer.num_transitions == 10

    buffer.remove_oldest_data_to_fit()
    assert buffer.num_transitions == 10

    buffer.push([piece(3, 0, 1, "terminated")])
    assert drawable(buffer) == [200, 201, 202, 203, 204, 300]


def test_the_oldest_part_of_a_live_episode_may_go():
    buffer = buffer_of(piece(1, 0, 3), piece(2, 0, 3, "terminated"), piece(1, 3, 4), capacity=7)

    assert drawable(buffer) == [103, 200, 201, 202]
    assert buffer.num_episodes == 2
    windows, (row,) = windows_of(buffer, 103)
    assert windows.take("observation", -2, 4)[row].tolist() == [103, 103, 103, 104, 105, 106]


def test_an_episode_goes_on_after_all_that_was_stored_of_it_is_gone():
    buffer = buffer_of(piece(1, 0, 3), piece(2, 0, 6, "terminated"), capacity=6)
    assert buffer.num_episodes == 1

    buffer.push([piece(1, 3, 2, "terminated")])

    assert drawable(buffer) == [103, 104]
    windows, (row,) = windows_of(buffer, 104)
    assert windows.steps_left[row] == 1


def test_of_a_segment_larger_than_the_replay_its_newest_part_is_kept():
    buffer = buffer_of(piece(1, 0, 9, "terminated"), capacity=4)

    assert drawable(buffer) == [105, 106, 107, 108]


def test_bytes_are_kept_exactly_closing_rows_included():
    limit = 9 * ROW_BYTES + 1  # nine rows: two episodes of three transitions and a closing row
    buffer = buffer_of(
        *[piece(e, 0, 3, "terminated") for e in range(1, 6)], capacity=1000, max_bytes=limit
    )

    assert drawable(buffer) == [400, 401, 402, 500, 501, 502]
    assert sum(a.nbytes for a in buffer._store.rows.columns.values()) <= limit

    buffer.push([piece(6, 0, 20, "terminated")])
    assert drawable(buffer) == list(range(612, 620))  # eight and the closing row


def test_with_priorities_the_bytes_of_the_tree_count_too():
    # 16 bytes of columns, 8 of the priority, 32 of the tree
    buffer = buffer_of(
        *[piece(e, 0, 1, "terminated") for e in range(1, 6)], max_bytes=4 * 56, use_priority=True
    )

    assert buffer.num_transitions == 2


def test_a_limit_below_one_row_is_refused_with_the_size_of_a_row():
    with pytest.raises(ConfigError, match="max_bytes is 15, but one row of the replay takes 16"):
        buffer_of(max_bytes=15)


def test_rows_move_only_when_the_arrays_double():
    buffer = buffer_of(capacity=10**6)
    sizes = set()
    for offset in range(1000):
        buffer.push([piece(1, offset, 1)])
        sizes.add(buffer._store.rows.size)

    assert max(sizes) < 2048
    assert len(sizes) <= 11


def test_images_stay_bytes():
    columns = (Column("observation", (2, 2), np.uint8),)
    settings = ReplaySettings(capacity=10, unroll_steps=0, lookahead=0, frame_stack=2)
    buffer = ReplayBuffer(columns, settings, key=0)
    frames = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)

    buffer.push(
        [Segment(episode=0, offset=0, columns={"observation": frames}, length=3, ended=False)]
    )

    found = buffer.sample(3, Keep()).frames(0, 1)
    assert found.dtype == np.uint8
    assert found.shape == (3, 2, 2, 2)


# --- against a store written to be obvious -------------------------------------------------------


class Plain:
    """The same replay as Python lists: every segment as (episode, offset, length, end)."""

    def __init__(self, capacity, unroll_steps, lookahead):
        self.capacity, self.unroll, self.lookahead = capacity, unroll_steps, lookahead
        self.segments, self.last = [], {}

    def push(self, episode, offset, length, end):
        skip = max(0, length - self.capacity)
        self.segments.append((episode, offset + skip, length - skip))
        self.last[episode] = (offset + length, end)
        while sum(length for _, _, length in self.segments) > self.capacity:
            self.segments.pop(0)

    def stored(self):
        """Return episode -> (first stored row, last stored row, T, end)."""
        found = {}
        for episode, offset, _ in self.segments:
            total, end = self.last[episode]
            found.setdefault(episode, (offset, total if end else total - 1, total, end))
        return found

    def eligible(self):
        found = []
        for episode, (first, _, total, end) in self.stored().items():
            bound = {
                None: total - 1 - self.unroll - self.lookahead,
                "terminated": total - 1,
                "truncated": min(total - 1, total - self.unroll),
            }[end]
            found += [100 * episode + t for t in range(first, bound + 1)]
        return sorted(found)

    def window(self, shown, start, stop):
        episode, t = divmod(shown, 100)
        first, last, _, _ = self.stored()[episode]
        return [100 * episode + min(max(t + k, first), last) for k in range(start, stop)]


@pytest.mark.parametrize("use_priority", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_any_stream_of_segments_is_kept_like_in_plain_lists(seed, use_priority):
    rng = np.random.default_rng(seed)
    shape = {"capacity": 12 + 7 * seed, "unroll_steps": seed % 4, "lookahead": seed % 3}
    buffer, plain = buffer_of(**shape, use_priority=use_priority), Plain(**shape)
    playing, episodes = {}, iter(range(1, 10_000))
    for _ in range(120):
        if len(playing) < 3 or rng.random() < 0.1:
            playing[next(episodes)] = 0
        episode = int(rng.choice(list(playing)))
        end = [None, None, "terminated", "truncated"][rng.integers(4)]
        length = int(rng.integers(end is None, 6))
        buffer.push([piece(episode, playing[episode], length, end)])
        plain.push(episode, playing[episode], length, end)
        playing[episode] += length
        if end:
            del playing[episode]

        assert buffer.num_transitions == sum(length for _, _, length in plain.segments)
        assert buffer.num_episodes == len(plain.stored())
        assert drawable(buffer) == plain.eligible()
        if buffer.num_eligible:
            windows, _ = windows_of(buffer)
            seen = windows.take("observation", -4, 9)
            expected = [plain.window(shown, -4, 9) for shown in seen[:, 4].tolist()]
            assert seen.tolist() == expected
            told = zip(seen[:, 4].tolist(), windows.steps_left, windows.ended, strict=True)
            for shown, left, ended in told:
                _, _, total, end = plain.stored()[shown // 100]
                assert (left, ended) == (total - shown % 100, end is not None)


# --- what may come in ----------------------------------------------------------------------------


def changed(segment, **columns):
    return Segment(
        episode=segment.episode,
        offset=segment.offset,
        columns={**segment.columns, **columns},
        length=segment.length,
        ended=segment.ended,
    )


def test_segments_of_an_episode_must_follow_each_other():
    buffer = buffer_of(piece(1, 0, 3))

    with pytest.raises(ReplayError, match=r"Episode 1 goes on with row 3, but .* at row 4"):
        buffer.push([piece(1, 4, 1)])
    with pytest.raises(ReplayError, match=r"Episode 2 goes on with row 2, but .* at row 3"):
        buffer.push([piece(2, 0, 2), piece(2, 3, 1)])


def test_a_refused_push_changes_nothing():
    buffer = buffer_of(piece(1, 0, 3, "terminated"))

    with pytest.raises(ReplayError):
        buffer.push([piece(2, 0, 3, "terminated"), piece(3, 0, 0)])

    assert drawable(buffer) == [100, 101, 102]


def test_missing_and_unknown_columns_are_both_named():
    whole = piece(1, 0, 2)
    wrong = Segment(
        episode=1,
        offset=0,
        columns={"observation": whole.columns["observation"], "rewards": np.zeros(2)},
        length=2,
        ended=False,
    )

    with pytest.raises(
        ReplayError,
        match=r"lacks the columns \['action', 'root_value'\] and has the unknown ones \['rewards'\]"
        r"; expected exactly those that the policy declares: action, observation, root_value",
    ):
        buffer_of(wrong)


def test_a_column_of_another_length_or_dtype_is_refused():
    with pytest.raises(ShapeError, match=r"'action' has shape \(3,\); expected \(2,\)\."):
        buffer_of(changed(piece(1, 0, 2), action=np.zeros(3, np.int64)))
    with pytest.raises(ShapeError, match=r"shape \(4,\); expected \(2,\) or \(3,\)\."):
        buffer_of(changed(piece(1, 0, 2, "truncated"), action=np.zeros(4, np.int64)))
    with pytest.raises(ShapeError, match="'action' has dtype float64, which does not go into"):
        buffer_of(changed(piece(1, 0, 2), action=np.zeros(2)))


def test_segments_that_contradict_themselves_are_refused():
    with pytest.raises(ReplayError, match=r"episode 1 holds 0 transitions; expected at least 1"):
        buffer_of(piece(1, 0, 0))
    odd = Segment(episode=1, offset=0, columns={}, length=1, ended=False, terminated=True)
    with pytest.raises(ReplayError, match="terminated but not ended; set ended to True"):
        buffer_of(odd)


def test_setups_that_cannot_work_are_refused():
    settings = ReplaySettings(capacity=10, unroll_steps=1, lookahead=1)
    with pytest.raises(ConfigError, match="expected some, each name once"):
        ReplayBuffer([], settings, key=0)
    with pytest.raises(ConfigError, match="'priority' is the replay's own"):
        ReplayBuffer([Column("priority", (), np.float32)], settings, key=0)
    with pytest.raises(ConfigError, match="Python objects cannot be stored"):
        ReplayBuffer([Column("note", (), object)], settings, key=0)
    with pytest.raises(ConfigError, match="'episode' draws without priorities"):
        buffer_of(sample_type="episode", use_priority=True)
