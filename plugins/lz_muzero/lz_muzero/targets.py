"""What a batch is trained on: masks, n-step values, bootstraps.

Pure functions on whole batches first, without a loop over rows; then the part of the policy that
feeds them from replay and from the target network.

Rewards and actions of position t + j stand in column j. T is the number of transitions of an
episode, so `steps_left` is T - t, and position T has an observation but no action.

Shape letters: B sampled positions, K unroll steps, n td_steps, A actions, S stacked frames,
F one frame, M positions whose value is asked for, D numbers of an action that is a vector.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from numpy.lib.stride_tricks import sliding_window_view

from lz_muzero.decisions import Array
from lz_muzero.positions import has_action, join_frames, stacked_at
from lz_muzero.reanalysis import ABSORBING, ReanalyzingPolicy
from lz_muzero.rnd import RND, min_max, shaped
from lzcore.base import ReplaySettings, Windows, uniform

Values: TypeAlias = Any  # an array as replay gives it, a tensor once it is on the device


class CurrentBatch(NamedTuple):
    """What the model is unrolled on: the first documented half of a batch."""

    obs: Values  # (B, (S + K) * F0, *F[1:]) frames t-S+1 .. t+K, oldest first, in their own dtype
    action: Values  # (B, K) int64, or (B, K, D) float32
    mask: Values  # (B, K + 1) float32, 1 = the position has an action
    index: Values  # (B,) int64 replay rows
    weights: Values  # (B,) float32 importance weights
    make_time: Values  # (B,) float64 insertion stamps


class TargetBatch(NamedTuple):
    """What the heads are trained on: the second documented half of a batch."""

    target_reward: Values  # (B, K + 1) float32, column k of action k; the last column is unused
    target_value: Values  # (B, K + 1) float32
    target_policy: Values  # (B, K + 1, A) float32, rows sum to 1 or are all 0


# --- past the end ---------------------------------------------------------------------------------


def fill_absorbing(action: Array, known: Array, seeds: Array, num_actions: int) -> Array:
    """Replace actions after the end by uniform ones, a pure function of each row's seed.

    Args:
        action: (B, K) int64, or (B, K, D) float32 in (-1, 1).
        known: (B, K) bool, True = a real action.
        seeds: (B,) uint64.
        num_actions: A; of no account where actions are vectors.
    """
    number = np.arange(action[0].size).reshape(action.shape[1:])
    lone = (1,) * (action.ndim - 1)
    u = uniform(seeds.reshape(-1, *lone), number)
    anything = u * num_actions if action.dtype.kind == "i" else 2.0 * u - 1.0
    known = known.reshape(known.shape + lone[1:])
    return np.where(known, action, anything.astype(action.dtype))


# --- n-step values --------------------------------------------------------------------------------


class Horizon(NamedTuple):
    """Where the n-step return of each position stops."""

    steps: Array  # (B, K + 1) int64 rewards it sums: n, or fewer before the end
    offset: Array  # (B, K + 1) int64 rows from t to the position that bootstraps it
    continues: Array  # (B, K + 1) bool, whether that position has a value


def horizons(steps_left: Array, terminated: Array, unroll_steps: int, td_steps: int) -> Horizon:
    """Return where the returns of positions t .. t+K stop.

    Args:
        steps_left: (B,) int64, T - t.
        terminated: (B,) bool, whether nothing follows T.
        unroll_steps: K.
        td_steps: n.
    """
    column = np.arange(unroll_steps + 1)
    left = steps_left[:, None] - column
    steps = np.clip(left, 0, td_steps)
    continues = (left >= 0) & ((steps < left) | ~terminated[:, None])
    return Horizon(steps, column + steps, continues)


def n_step_values(
    reward: Array,
    bootstrap: Array,
    horizon: Horizon,
    *,
    discount: float,
    td_steps: int,
    to_play: Array | None = None,
) -> npt.NDArray[np.float32]:
    """Return the value targets of positions t .. t+K.

    Args:
        reward: (B, K + n) of the player who moved, 0 at and after the end.
        bootstrap: (B, K + 1) values at `horizon.offset`, for the player to move there; read only
            where `horizon.continues`.
        horizon: of the same positions.
        discount: of one step.
        td_steps: n.
        to_play: (B, K + n + 1) who moves; None: one player.
    Returns:
        (B, K + 1) float32, for the player to move at each position.
    Source:
        arXiv:1911.08265, appendices G and H; with two players, what the other one gains counts
        as lost. A truncated episode goes on in its value, a terminated one is worth 0.
    """
    rewards = sliding_window_view(reward.astype(np.float64), td_steps, axis=1)  # (B, K + 1, n)
    tail = np.where(horizon.continues, bootstrap, 0.0) * discount**horizon.steps
    if to_play is not None:
        mover = sliding_window_view(to_play, td_steps + 1, axis=1)  # (B, K + 1, n + 1)
        sign = np.where(mover == mover[..., :1], 1.0, -1.0)
        rewards = rewards * sign[..., :td_steps]
        tail = tail * np.take_along_axis(sign, horizon.steps[..., None], axis=2)[..., 0]
    with np.errstate(over="ignore"):  # beyond float32 becomes infinite, which learning refuses
        return (rewards @ discount ** np.arange(td_steps) + tail).astype(np.float32)


# --- bootstraps -----------------------------------------------------------------------------------


def bootstrap_values(
    horizon: Horizon, evaluate: Callable[[Array, Array], Array], stored: Array | None = None
) -> npt.NDArray[np.float64]:
    """Return the values that returns continue with, asking for each position once.

    Args:
        horizon: of positions t .. t+K.
        evaluate: rows (M,) and offsets (M,) -> values (M,) of those positions.
        stored: (B, K + 1) values known already, NaN = unknown; None: nothing is known.
    Returns:
        (B, K + 1), 0 where nothing continues.
    """
    values = np.zeros(horizon.offset.shape)
    wanted = horizon.continues
    if stored is not None:
        values = np.where(wanted & ~np.isnan(stored), stored, 0.0)
        wanted = wanted & np.isnan(stored)
    if wanted.any():
        row, _ = np.nonzero(wanted)
        values[wanted] = _ask_once(row, horizon.offset[wanted], evaluate)
    return values


def _ask_once(row: Array, offset: Array, evaluate: Callable[[Array, Array], Array]) -> Array:
    """Values of sorted (row, offset) pairs: near an end, several columns share one position."""
    first = np.ones(len(row), dtype=bool)
    first[1:] = (row[1:] != row[:-1]) | (offset[1:] != offset[:-1])
    return evaluate(row[first], offset[first])[np.cumsum(first) - 1]


def chunks(total: int, size: int) -> Iterator[slice]:
    """Cut 0..total-1 into consecutive slices of at most `size`."""
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


# --- sampled positions -> a batch ----------------------------------------------------------------


class TargetingPolicy(ReanalyzingPolicy):
    """The part of MuZero that turns replay into batches."""

    current_class: ClassVar[type[Any]] = CurrentBatch  # a variant may add fields to either
    target_class: ClassVar[type[Any]] = TargetBatch

    def _init_learn(self) -> None:
        super()._init_learn()
        supports = {"value": self._model.value_support, "reward": self._model.reward_support}
        self._limits = {kind: getattr(it, "limit", np.inf) for kind, it in supports.items()}
        self._rnd = RND(self._model, self._cfg) if self._cfg.use_rnd_model else None

    def replay_settings(self) -> ReplaySettings:
        """Return how replay keeps and draws this policy's data."""
        cfg = self._cfg
        return ReplaySettings(
            capacity=cfg.replay_buffer_size,
            max_bytes=cfg.max_replay_bytes,
            unroll_steps=cfg.num_unroll_steps,
            lookahead=cfg.td_steps,
            frame_stack=self.frame_stack,
            use_priority=cfg.use_priority,
            priority_alpha=cfg.priority_prob_alpha,
            priority_beta=cfg.priority_prob_beta,
            sample_type=cfg.sample_type,
        )

    def make_batch(self, windows: Windows) -> list[Any]:
        """Turn sampled positions into [current_batch, target_batch], NumPy arrays.

        A share of `reanalyze_ratio` of them is first searched again by the target network, and
        what that finds replaces what is stored.
        """
        self._reanalyze_batch(windows)
        return [self._current_batch(windows), self._target_batch(windows)]

    def _current_batch(self, windows: Windows) -> CurrentBatch:
        cfg, unroll = self._cfg, self._cfg.num_unroll_steps
        known = has_action(windows.steps_left, unroll + 1)
        action = fill_absorbing(
            windows.take("action", 0, unroll),
            known[:, :unroll],
            self._learn_seeds(ABSORBING, windows.index),
            cfg.model.action_space_size,
        )
        return CurrentBatch(
            obs=join_frames(windows.frames(0, unroll + 1)),
            action=action,
            mask=known.astype(np.float32),
            index=windows.index,
            weights=windows.weights,
            make_time=windows.stamp.astype(np.float64),
        )

    def _target_batch(self, windows: Windows) -> TargetBatch:
        reward = self._rewards(windows)
        return TargetBatch(
            self._reward_target(reward),
            self._value_target(windows, reward),
            self._policy_target(windows),
        )

    def _rewards(self, windows: Windows) -> Array:
        """Return (B, K + n) rewards, 0 past the end, and novelty among them if it is rewarded."""
        width = self._cfg.num_unroll_steps + self._cfg.td_steps
        known = has_action(windows.steps_left, width)
        reward = np.where(known, windows.take("reward", 0, width), 0.0)
        if self._rnd is None:
            return reward
        row, offset = np.nonzero(known)
        novelty = np.zeros(known.shape)
        novelty[known] = min_max(
            self._in_chunks(windows.frames(0, width), row, offset, self._rnd.errors)
        )
        return shaped(reward, novelty, self._cfg)

    def _reward_target(self, reward: Array) -> Array:
        """Return (B, K + 1) of the (B, K + n) rewards, 0 past the end."""
        target = reward[:, : self._cfg.num_unroll_steps + 1].astype(np.float32)
        self._warn_of_saturation("reward", target[:, :-1])
        return target

    def _value_target(self, windows: Windows, reward: Array) -> Array:
        """Return (B, K + 1) n-step values."""
        cfg = self._cfg
        unroll, steps = cfg.num_unroll_steps, cfg.td_steps
        horizon = horizons(windows.steps_left, windows.terminated, unroll, steps)
        value = n_step_values(
            reward,
            self._bootstrap(windows, horizon),
            horizon,
            discount=cfg.discount_factor,
            td_steps=steps,
            to_play=windows.take("to_play", 0, unroll + steps + 1),
        )
        self._warn_of_saturation("value", value)
        return value

    def _warn_of_saturation(self, kind: str, target: Array) -> None:
        """Say once, of "value" and of "reward", that targets reach the end of the support."""
        largest, limit = float(np.abs(target).max()), self._limits[kind]
        if not np.isfinite(largest) or largest <= 0.99 * limit:
            return
        self._limits[kind] = np.inf  # once is enough
        warnings.warn(
            f"A {kind} target of size {largest:.4g} reaches the end of the support, "
            f"{limit:.4g}: larger {kind}s cannot be told apart. Raise model.support_scale.",
            stacklevel=2,
        )

    def _bootstrap(self, windows: Windows, horizon: Horizon) -> Array:
        """Return (B, K + 1) values that returns go on with, from the searches or the network."""
        stored = None
        if self._cfg.use_root_value or self._cfg.reuse_search:
            width = self._cfg.num_unroll_steps + self._cfg.td_steps + 1
            known = windows.take("root_value", 0, width)
            stored = np.take_along_axis(known, horizon.offset, axis=1)
        return bootstrap_values(horizon, partial(self._target_values, windows), stored)

    def _target_values(self, windows: Windows, row: Array, offset: Array) -> Array:
        """Return what the target network thinks of positions t + offset of samples `row`, (M,)."""
        first, last = int(offset.min()), int(offset.max())
        frames = windows.frames(first, last + 1)
        return self._in_chunks(
            frames, row, offset - first, lambda seen: self._target_inference.initial(seen)[0].value
        )

    def _in_chunks(
        self, frames: Array, row: Array, position: Array, evaluate: Callable[[torch.Tensor], Array]
    ) -> Array:
        """Evaluate single positions of frames (B, W, *F), (M,) each, mini_infer_size at once."""
        values = []
        for part in chunks(len(row), self._cfg.mini_infer_size):
            at = stacked_at(frames, row[part], position[part], self.frame_stack)
            values.append(evaluate(self._network_input(torch.from_numpy(at))))
        return np.concatenate(values)

    def _policy_target(self, windows: Windows) -> Array:
        """Return (B, K + 1, A) visit distributions, zeros past the end."""
        return self._distributions(windows, "child_visit")

    def _distributions(self, windows: Windows, column: str) -> Array:
        """Return (B, K + 1, A) of a stored column, zeros past the end."""
        width = self._cfg.num_unroll_steps + 1
        known = has_action(windows.steps_left, width)
        return windows.take(column, 0, width) * known[..., None]
