"""Stored positions searched again with a better network: MuZero Reanalyze, and ReZero.

Either a share of every batch is searched anew just before it is learned from, or, with
`reuse_search`, old windows of the buffer are, now and then: from their ends to their starts, so
that each search is told what the one behind it found (arXiv:2404.16364).

Shape letters: B windows, K unroll steps, R of the windows, M positions searched together.
"""

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import attrs
import numpy as np
import torch

from lz_muzero.acting import ActingPolicy
from lz_muzero.decisions import Array, Asked
from lz_muzero.positions import has_action, stacked_at
from lzcore.base import (
    ConfigError,
    LoopSettings,
    Reuse,
    SearchResult,
    TreeSpec,
    Windows,
    derive_seed,
    stream_key,
    uniform,
)

ABSORBING, CHOICE, AGAIN, AUGMENT = range(4)  # what one learn step draws, each on its own
EVALUATIONS = "reanalyze_evaluations"  # what is told of a reanalysis of the buffer


def reanalyzed_rows(index: Array, count: int, seed: Array, *, outdated: bool) -> Array:
    """Choose the samples of a batch that are searched again.

    Args:
        index: (B,) int64 replay rows, older ones smaller.
        count: how many.
        seed: uint64 scalar of this batch.
        outdated: take the oldest instead of drawing uniformly.
    Returns:
        (count,) int64 sample numbers in increasing order.
    """
    rank = index if outdated else uniform(derive_seed(seed, index), np.arange(len(index)))
    return np.sort(np.argsort(rank, kind="stable")[:count])


class ReanalyzingPolicy(ActingPolicy):
    """The part of MuZero that searches stored positions again, with the target network."""

    def _init_shared(self) -> None:
        super()._init_shared()
        self._learn_key = stream_key(self._cfg.seed, "policy learn")
        self._learn_step = 0

    def _init_learn(self) -> None:
        cfg = self._cfg
        self._target_model = deepcopy(self._model).requires_grad_(False).eval()
        self._target_inference = self._inference_of(self._target_model)
        if cfg.reuse_search:
            _check_reuse(self._tree_spec(cfg.num_simulations))
        if cfg.reuse_search or cfg.reanalyze_ratio > 0:
            self._reanalyze_planner = self._planner(self._target_inference, cfg.num_simulations)

    def loop_settings(self) -> LoopSettings:
        """Return the settings that the training loop itself reads."""
        loop = super().loop_settings()
        return loop if self._cfg.reuse_search else attrs.evolve(loop, buffer_reanalyze_freq=0.0)

    # --- a share of a batch ---------------------------------------------------------------------

    def _reanalyze_batch(self, windows: Windows) -> None:
        """Search positions t .. t+K of some samples again and overwrite what is stored of them."""
        cfg, width = self._cfg, self._cfg.num_unroll_steps + 1
        count = int(cfg.reanalyze_ratio * len(windows.index))
        if not count:
            return
        seed = self._learn_seeds(CHOICE)
        rows = reanalyzed_rows(windows.index, count, seed, outdated=cfg.reanalyze_outdated)
        known = has_action(windows.steps_left[rows], width)  # (R, K + 1)
        at, offset = np.nonzero(known)
        fresh = {}
        for name, values in self._stored(self._search_again(windows, rows[at], offset)).items():
            fresh[name] = np.zeros((*known.shape, *values.shape[1:]), values.dtype)
            fresh[name][at, offset] = values
        windows.write(0, fresh, rows)

    # --- windows of the buffer ------------------------------------------------------------------

    def reanalyze(self, windows: Windows) -> Mapping[str, float]:
        """Search positions t+K .. t of all windows, in this order, and overwrite what is stored.

        The last position of a window is searched plainly. Each other one is told which action was
        taken there and what the search of the position behind it found: the root value, for the
        player to move there. Where windows overlap, what was found closest to the start of its
        window stays.

        Returns:
            The mean number of leaves that a search had evaluated.
        """
        width = self._cfg.num_unroll_steps + 1
        known = has_action(windows.steps_left, width)  # (B, K + 1)
        followed = np.pad(known[:, 1:], ((0, 0), (0, 1)))
        action = np.where(followed, windows.take("action", 0, width), -1)
        value = np.zeros(len(known))
        evaluations = []
        for offset in reversed(range(width)):
            row = np.flatnonzero(known[:, offset])
            if not len(row):
                continue
            reuse = Reuse(action[row, offset], value[row])
            found = self._search_again(windows, row, np.full(len(row), offset), reuse)
            value[row] = found.value
            fresh = {name: values[:, None] for name, values in self._stored(found).items()}
            windows.write(offset, fresh, row)
            evaluations.append(found.num_evaluations)
        return {EVALUATIONS: float(np.concatenate(evaluations).mean())}

    # --- both -----------------------------------------------------------------------------------

    def _search_again(
        self, windows: Windows, row: Array, offset: Array, reuse: Reuse | None = None
    ) -> SearchResult:
        """Search positions t + offset of samples `row` (M,) with the target network."""
        first, stop = int(offset.min()), int(offset.max()) + 1
        frames = windows.frames(first, stop)
        position = windows.index[row] + offset
        vectors = self._cfg.model.continuous_action_space
        asked = Asked(
            position,
            torch.from_numpy(stacked_at(frames, row, offset - first, self.frame_stack)),
            None if vectors else windows.take("action_mask", first, stop)[row, offset - first],
            windows.take("to_play", first, stop)[row, offset - first],
            noun="replay row",
        )
        seeds = self._learn_seeds(AGAIN, position)
        noisy = self._cfg.reanalyze_noise
        return self._search(self._reanalyze_planner, asked, seeds, noisy=noisy, reuse=reuse)

    def _learn_seeds(self, purpose: int, *counters: Any) -> Array:
        """Return seeds that change with every learn step, so that a resumed run draws alike."""
        return derive_seed(self._learn_key, self._learn_step, purpose, *counters)


def _check_reuse(spec: TreeSpec) -> None:
    plain = spec.rule == "puct" and not spec.is_sampled and not spec.root_expand_all
    if not plain or spec.num_chance_outcomes:
        raise ConfigError(
            "reuse_search is on, and the search is not plain puct: under the rule gumbel, with "
            "chance nodes or sampled actions nothing is reused. Set reuse_search to false."
        )
