"""What the world model is read on: MuZero's batches, and which steps of them are learned.

Shape letters: B samples of a batch, K steps of a window, S stacked frames, F one frame's shape, D
numbers of an action that is a vector, Ks drawn actions.
"""

from typing import NamedTuple

from lz_muzero.targets import Values


class UniZeroBatch(NamedTuple):
    """What the model is unrolled on, and where it learns."""

    obs: Values  # (B, (S + K) * F0, *F[1:]) frames t-S+1 .. t+K, oldest first, in their own dtype
    action: Values  # (B, K) int64, or (B, K, D) float32
    mask: Values  # (B, K + 1) float32, 1 = the position has an action
    index: Values  # (B,) int64 replay rows
    weights: Values  # (B,) float32 importance weights
    make_time: Values  # (B,) float64 insertion stamps
    learned: Values  # (B, K + 1) float32, as mask, and 1 behind a true end with `absorbing_end`


class SampledUniZeroBatch(NamedTuple):
    """The same, and which actions the searches had drawn."""

    obs: Values  # (B, (S + K) * F0, *F[1:]) frames t-S+1 .. t+K, oldest first, in their own dtype
    action: Values  # (B, K) int64, or (B, K, D) float32
    root_sampled_actions: Values  # (B, K + 1, Ks, 1) int64, -1 behind the last; or (.., D) float32
    mask: Values  # (B, K + 1) float32, 1 = the position has an action
    index: Values  # (B,) int64 replay rows
    weights: Values  # (B,) float32 importance weights
    make_time: Values  # (B,) float64 insertion stamps
    learned: Values  # (B, K + 1) float32, as mask, and 1 behind a true end with `absorbing_end`
