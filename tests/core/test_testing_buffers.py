"""Each check of buffers is kept by a right one, and broken by one that is wrong in just that."""

import attrs
import numpy as np
import pytest
from kit_fakes import MODULE, registry_of

from lzcore.base.errors import ReplayError
from lzcore.registry import BufferSpec
from lzcore.replay.buffer import ReplayBuffer
from lzcore.replay.windows import StoredWindows
from lzcore.testing import buffers
from lzcore.testing.kit import all_checks
from lzcore.testing.subject import Subject


def subject_of(monkeypatch, buffer):
    spec = BufferSpec(name="kept", buffer=f"{MODULE}:Kept", summary="Keeps.")
    return Subject("kept", registry=registry_of(monkeypatch, spec, Kept=buffer))


@pytest.mark.parametrize("check", all_checks("buffer"), ids=lambda check: check.name)
def test_a_right_buffer_keeps_every_promise(monkeypatch, check):
    check.function(subject_of(monkeypatch, ReplayBuffer))


class Seen(StoredWindows):
    """Windows that tell one thing wrongly."""

    def __getattribute__(self, name):
        found = super().__getattribute__(name)
        changes = type(self).changes
        return changes[name](found) if name in changes else found


def showing(**changes):
    """A buffer whose windows have these attributes changed."""

    def windows(self, index, weights):
        kind = type("Wrong", (Seen,), {"changes": changes})
        return kind(self._store, index, weights, self._settings.frame_stack)

    return type("Showing", (ReplayBuffer,), {"_windows": windows})


class Eager(ReplayBuffer):
    def __init__(self, columns, settings, key):
        super().__init__(columns, attrs.evolve(settings, lookahead=0), key)


class OneKey(ReplayBuffer):
    def __init__(self, columns, settings, key):
        super().__init__(columns, settings, 1)


class Boastful(ReplayBuffer):
    def can_sample(self, batch_size):
        return True


class Generous(ReplayBuffer):
    def _check(self, segments):
        """Takes whatever comes."""

    def _add(self, segment, largest):
        try:
            super()._add(segment, largest)
        except (ReplayError, ValueError, AssertionError):
            return


class Apart(ReplayBuffer):
    @property
    def num_episodes(self):
        return super().num_episodes + 1


class Large(ReplayBuffer):
    def __init__(self, columns, settings, key):
        super().__init__(columns, attrs.evolve(settings, capacity=1000), key)


class Deaf(ReplayBuffer):
    def update_priority(self, indices, priorities, stamp):
        """Hears nothing."""


class Still(ReplayBuffer):
    def revisit(self, count, partition, policy):
        policy.seen = self.sample(count, policy)
        return {"positions": float(count)}


class NoGenerator(ReplayBuffer):
    def load_state_dict(self, state):
        state = {**state, "generator": self._rng.bit_generator.state}
        super().load_state_dict(state)


class NoFiles(ReplayBuffer):
    def manifest(self):
        return []


class AnyLayout(ReplayBuffer):
    def _check_layout(self, saved):
        """Takes the state of any columns."""


WRONG = [
    (
        buffers.check_rows_come_back_as_they_were_pushed,
        showing(take=lambda take: lambda name, a, b: take(name, a, b) * 0),
        "rows -2 to 4 of 'reward' around a position",
    ),
    (
        buffers.check_windows_tell_how_episodes_ended,
        showing(steps_left=lambda found: found + 1),
        "steps_left of its windows is",
    ),
    (
        buffers.check_windows_tell_how_episodes_ended,
        showing(weights=lambda found: found * 2),
        r"its weights are float32 from 2\.0 to 2\.0; expected",
    ),
    (
        buffers.check_only_positions_with_all_their_rows_are_drawn,
        Eager,
        "drew row 6 of a running episode of 9 transitions",
    ),
    (
        buffers.check_stacked_frames_come_with_each_position,
        showing(frames=lambda frames: lambda a, b: frames(a, b)[:, 1:]),
        r"frames\(0, 2\) with frame_stack 3 has shape \(64, 3, 3\)",
    ),
    (
        buffers.check_stacked_frames_come_with_each_position,
        showing(frames=lambda frames: lambda a, b: frames(a, b) + np.array([0, 1, 0], np.float32)),
        r"holds the rows \[.*\] of an episode; expected \[.*\], from 2 before",
    ),
    (buffers.check_draws_follow_from_the_key, OneKey, "the keys 1 and 2 drew the same positions"),
    (
        buffers.check_what_cannot_be_drawn_is_refused,
        Boastful,
        r"can_sample\(1\) is True of an",
    ),
    (buffers.check_segments_that_do_not_fit_are_refused, Generous, "a gap in an episode was taken"),
    (buffers.check_parts_of_an_episode_are_one, Apart, "as 11 transitions of 2 episodes; expected"),
    (buffers.check_the_oldest_is_forgotten_first, Large, "keeps 60 transitions with a capacity of"),
    (
        buffers.check_priorities_decide_what_is_drawn,
        Deaf,
        "a million times likelier than",
    ),
    (buffers.check_reanalysis_writes_what_is_drawn_later, Still, "after reanalysis a value is"),
    (
        buffers.check_its_state_goes_on_where_it_stood,
        NoGenerator,
        "its state was loaded holds",
    ),
    (buffers.check_rows_in_files_go_on_too, NoFiles, r"manifest\(\) names \[\], of which"),
    (buffers.check_a_state_of_other_columns_is_refused, AnyLayout, "took the state|stopped by"),
]


@pytest.mark.parametrize(("check", "wrong", "message"), WRONG)
def test_a_wrong_buffer_is_named_with_what_is_wrong(monkeypatch, check, wrong, message):
    with pytest.raises(AssertionError, match=rf"^buffer 'kept': .*({message})"):
        check(subject_of(monkeypatch, wrong))


def test_every_check_of_buffers_has_a_buffer_that_fails_it():
    tested = {check.__name__ for check, *_ in WRONG}

    assert tested == {check.name for check in all_checks("buffer")}
    assert np.all([hasattr(ReplayBuffer, name) for name in ("_windows", "_check", "_add")])
