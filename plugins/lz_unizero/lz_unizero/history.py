"""What roots look back on: the last steps of every running episode, by environment.

Observations are kept, not what the network made of them, so that nothing here outlives the weights
that made it.

Shape letters: N environments that are ready, H most steps of a history, h remembered ones, O one
stacked observation, D numbers of an action that is a vector.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from lz_muzero.decisions import Array
from torch import Tensor

from lz_unizero.inference import History, no_actions


class Past(NamedTuple):
    """The steps before the next root of one environment, oldest first; h is below H."""

    observation: Tensor  # (h, *O) float32, on the model's device
    action: Tensor  # (h,) int64, or (h, D) float32, taken there


class Histories:
    """Remembers the steps of each environment of one mode."""

    def __init__(self, steps: int, action_dim: int | None = None) -> None:
        """Begin with nothing remembered.

        Args:
            steps: H, to which histories grow, the root included.
            action_dim: D; None: actions are numbered.
        """
        self._steps = steps
        self._action_dim = action_dim
        self._pasts: dict[int, Past] = {}
        self._latest: History | None = None  # of N roots, those last asked for

    def roots(self, env_id: Array, observation: Tensor) -> History:
        """Put what environments (N,) int64 show now, (N, *O) float32, behind their pasts."""
        pasts = [self._pasts.get(env) for env in env_id.tolist()]
        before = np.array([0 if past is None else len(past.action) for past in pasts])
        longest = int(before.max())
        seen = observation.new_zeros(len(pasts), longest + 1, *observation.shape[1:])
        taken = no_actions((len(pasts), longest), self._action_dim, observation.device)
        for row, (past, steps) in enumerate(zip(pasts, before, strict=True)):
            if past is not None:
                seen[row, :steps], taken[row, :steps] = past
        rows = torch.arange(len(pasts), device=observation.device)
        seen[rows, torch.from_numpy(before).to(observation.device)] = observation
        self._latest = History(seen, taken, before + 1)
        return self._latest

    def follow(self, env_id: Array, action: Array) -> None:
        """Remember the roots last asked for, of environments (N,), and what was done there.

        Args:
            env_id: (N,) int64.
            action: (N,) int64, or (N, D) float32.
        """
        assert self._latest is not None
        seen, taken, length = self._latest
        done = torch.from_numpy(action).to(taken)[:, None]
        for row, (env, stop) in enumerate(zip(env_id.tolist(), length.tolist(), strict=True)):
            begin = max(0, stop - self._steps + 1)
            actions = torch.cat((taken[row, : stop - 1], done[row]))
            self._pasts[env] = Past(seen[row, begin:stop].clone(), actions[begin:])

    def forget(self, env_id: Iterable[int] | None = None) -> None:
        """Begin new histories for these environments; None: for all."""
        for env in list(self._pasts) if env_id is None else env_id:
            self._pasts.pop(int(env), None)

    # --- persistence ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return the pasts as plain data; tensors stay where they are."""
        return {
            "env_id": list(self._pasts),
            "observation": [past.observation for past in self._pasts.values()],
            "action": [past.action for past in self._pasts.values()],
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Remember what `state` holds, and nothing else."""
        rows = zip(state["env_id"], state["observation"], state["action"], strict=True)
        self._pasts = {env: Past(seen.to(device), action.to(device)) for env, seen, action in rows}
