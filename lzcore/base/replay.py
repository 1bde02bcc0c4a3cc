"""What is stored of a run and how it is asked back.

An *episode* is one environment from reset to end; a *segment* is a consecutive part of it, the
form in which collectors hand it over. Rows are decisions: row t holds what was seen before action
t, the decision, and what the step gave. An episode that ended has one closing row more, of which
only what the environment shows means anything: `observation`, `to_play`, `action_mask`, `chance`.

Shape letters: L rows of a segment, B sampled positions, K unroll steps, n td_steps.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import attrs
import numpy as np
import numpy.typing as npt
from attrs import validators as v

if TYPE_CHECKING:
    from lzcore.base.policy import Policy

Array: TypeAlias = npt.NDArray[Any]

BUFFER_PARTS = (  # of a Buffer, that every run needs; `revisit` only where the policy reanalyzes
    "num_transitions", "push", "sample", "update_priority", "remove_oldest_data_to_fit",
    "can_sample", "attach", "manifest", "state_dict", "load_state_dict",
)  # fmt: skip


@attrs.frozen
class Column:
    """One array of the replay: a value for each row."""

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any] = attrs.field(converter=np.dtype)
    pad: float = 0.0  # what stands there when nothing was written (closing rows)
    changing: bool = False  # rewritten by reanalysis, so saved anew with every checkpoint
    jpeg: bool = False  # kept as JPEG, with a small loss: uint8 (C, H, W) of 1 or 3 channels
    in_hindsight: bool = False  # written when the episode has ended, `Policy.in_hindsight`


@attrs.frozen(kw_only=True, eq=False)
class Segment:
    """L consecutive rows of one episode, and how it went on."""

    episode: int  # unique in the run
    offset: int  # row number of the first row within the episode
    columns: Mapping[str, Array]  # name -> (L, *shape), or (L + 1, *shape) with a closing row
    length: int  # L, transitions
    ended: bool  # the closing row is there; nothing follows
    terminated: bool = False  # ended, and no value follows: no bootstrap
    priority: Array | None = None  # (L,) float64 > 0; None: the buffer's current maximum


@attrs.frozen(kw_only=True)
class ReplaySettings:
    """How a policy wants its data kept and drawn."""

    capacity: int = attrs.field(validator=v.ge(1))  # transitions
    max_bytes: int | None = attrs.field(default=None, validator=v.optional(v.ge(1)))
    unroll_steps: int = attrs.field(validator=v.ge(0))  # K
    lookahead: int = attrs.field(validator=v.ge(0))  # n, rows after t + K that targets need
    frame_stack: int = attrs.field(default=1, validator=v.ge(1))  # S
    use_priority: bool = False
    priority_alpha: float = 0.6
    priority_beta: float = 0.4
    sample_type: str = attrs.field(default="transition", validator=v.in_(("transition", "episode")))


class Windows(Protocol):
    """B sampled positions and the rows around them, gathered when asked for.

    Position t of sample b is a row of an episode with T_b transitions (so rows 0..T_b once it has
    ended). Offsets count from t.
    """

    index: Array  # (B,) int64 ids of the sampled rows, never reused
    weights: Array  # (B,) float32 importance weights, at most 1
    stamp: Array  # (B,) int64 insertion stamps, handed back to update_priority
    steps_left: Array  # (B,) int64 T_b - t: actions from t to the end, or known so far
    ended: Array  # (B,) bool: T_b is final
    terminated: Array  # (B,) bool: ended without a value to follow

    def take(self, name: str, start: int, stop: int) -> Array:
        """Rows t+start .. t+stop-1 of a column: (B, stop-start, *shape).

        Offsets beyond the last stored row repeat that row, those before the first the first;
        compare with `steps_left` to mask them.
        """

    def write(self, start: int, columns: Mapping[str, Array], rows: Array | None = None) -> None:
        """Overwrite changing columns of rows t+start on: reanalysis.

        Rows beyond the end of the episode and rows forgotten since are passed over.

        Args:
            start: offset of the first row.
            columns: name -> (R, M, *shape) values.
            rows: (R,) which samples; None: all B.
        """

    def frames(self, start: int, stop: int) -> Array:
        """Frames of positions t+start .. t+stop-1, each with the S-1 frames before the first.

        Returns:
            (B, stop-start + S-1, *F): position p's stacked observation is entries p..p+S-1.
        """


class Buffer(Protocol):
    """Keeps episodes, forgets the oldest, and draws positions to learn from."""

    @property
    def num_transitions(self) -> int:
        """How many transitions are stored."""

    @property
    def num_episodes(self) -> int:
        """How many episodes have stored rows, running ones included."""

    def push(self, segments: Sequence[Segment]) -> None:
        """Add segments; those of one episode arrive in order."""

    def sample(self, batch_size: int, policy: "Policy") -> Any:
        """Draw positions and return `policy.make_batch(windows)`; ReplayError if there are none."""

    def revisit(self, count: int, partition: float, policy: "Policy") -> Mapping[str, float]:
        """Draw old positions, rarely visited ones first; return `policy.reanalyze(windows)`.

        Args:
            count: how many.
            partition: the share of what is stored, oldest first, that they are drawn from.
            policy: reanalyzes.
        Raises:
            ReplayError: no position can be drawn.
        """

    def update_priority(self, indices: Array, priorities: Array, stamp: Array) -> None:
        """Set (B,) priorities > 0 of sampled rows; rows forgotten since then are passed over."""

    def remove_oldest_data_to_fit(self) -> None:
        """Forget segments, oldest first, until capacity and bytes are kept."""

    def can_sample(self, batch_size: int) -> bool:
        """Whether at least `batch_size` positions are eligible."""

    def attach(self, directory: Path) -> None:
        """Write the fixed columns of every push from now on to files of `directory`.

        Called before the first push, and on resume before `load_state_dict`. A buffer that is
        not attached keeps all rows in its state.
        """

    def manifest(self) -> list[dict[str, Any]]:
        """Return the files that hold stored rows, each {"name": ...}; `state_dict` names them.

        All other replay files may be deleted (`lzcore.replay.files.prune`).
        """

    def state_dict(self) -> dict[str, Any]:
        """Counters, generator, priorities and changing columns; the fixed rows are in files."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where the buffer that wrote `state` stood."""
