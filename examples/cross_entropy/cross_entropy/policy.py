"""The cross-entropy method: play, keep the best episodes, imitate them, play again.

Shape letters: N environments that are ready, B steps of a batch, L steps of an episode, A actions.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cross_entropy.config import CrossEntropyConfig
from lzcore.base import (
    Column,
    Decisions,
    DivergedError,
    Policy,
    ReplaySettings,
    Segment,
    Spaces,
    Stream,
    Windows,
    stream_key,
    uniform,
)
from lzcore.search import draw, masked_softmax


class Network(nn.Sequential):
    """Observations (B, O) float32 -> logits of the policy (B, A)."""

    def __init__(self, observation_size: int, num_actions: int, hidden: int) -> None:
        super().__init__(
            nn.Linear(observation_size, hidden), nn.Tanh(), nn.Linear(hidden, num_actions)
        )


class Batch(NamedTuple):
    """What is learned from."""

    observation: np.ndarray  # (B, O)
    action: np.ndarray  # (B,)
    elite: np.ndarray  # (B,) float32, 1 for steps of the best episodes, else 0


class CrossEntropyPolicy(Policy):
    """Imitates the best of its own episodes; the methods stand in the order data meets them."""

    config_class = CrossEntropyConfig

    @classmethod
    def check_spaces(cls, spaces: Spaces) -> str | None:
        """Return None if the policy can act in these spaces, else why not."""
        if spaces.action.kind != "discrete" or spaces.kind != "vector" or spaces.players != 1:
            return "it needs numbered actions, observations that are vectors, and one player"
        return None

    @classmethod
    def settings_for(cls, spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that follow from the spaces."""
        size = spaces.frame_shape[0]
        return {"model": {"observation_size": size, "num_actions": spaces.action.size}}

    @classmethod
    def columns(cls, cfg: CrossEntropyConfig, spaces: Spaces) -> tuple[Column, ...]:
        """Return what is stored of each step; how its episode went is known only at the end."""
        return (
            Column("observation", spaces.frame_shape, spaces.frame_dtype),
            Column("action", (), np.int64),
            Column("reward", (), np.float32),
            Column("episode_return", (), np.float32, in_hindsight=True),
        )

    def default_model(self) -> tuple[str, list[str]]:
        """Return the network's class and the module that defines it."""
        return "Network", ["cross_entropy.policy"]

    def _init_shared(self) -> None:
        self._draws = Stream(stream_key(self._cfg.seed, "cross_entropy"))

    def _init_learn(self) -> None:
        self._optimizer = torch.optim.Adam(self._model.parameters(), lr=self._cfg.learning_rate)

    def _init_collect(self) -> None: ...

    def _init_eval(self) -> None: ...

    # --- play -----------------------------------------------------------------------------------

    def begin_iteration(self, iteration: int) -> None:
        """Restart the random numbers, so that a resumed run draws the same ones."""
        self._draws.begin(iteration)

    def _forward_collect(
        self, data: Tensor, action_mask: np.ndarray, to_play: np.ndarray, ready_env_id: np.ndarray
    ) -> Decisions:
        """Draw actions from the policy."""
        u = uniform(self._draws.next(ready_env_id))
        return Decisions(ready_env_id, {"action": draw(self._policy(data, action_mask), u)})

    def _forward_eval(
        self, data: Tensor, action_mask: np.ndarray, to_play: np.ndarray, ready_env_id: np.ndarray
    ) -> Decisions:
        """Take the likeliest actions."""
        return Decisions(ready_env_id, {"action": self._policy(data, action_mask).argmax(axis=1)})

    @torch.no_grad()
    def _policy(self, observation: Tensor, legal: np.ndarray) -> np.ndarray:
        """Return how likely each action is taken, (N, A)."""
        logits = self._model(observation.to(self._device).float())
        return masked_softmax(logits.cpu().numpy(), legal)

    # --- keep the best --------------------------------------------------------------------------

    def in_hindsight(self, segment: Segment) -> Mapping[str, np.ndarray]:
        """Write the return of an episode that has ended into each of its steps."""
        total = segment.columns["reward"][: segment.length].sum()
        return {"episode_return": np.full(segment.length + 1, total, np.float32)}

    def replay_settings(self) -> ReplaySettings:
        """Return how much is kept, and that all episodes are drawn alike, however long."""
        return ReplaySettings(
            capacity=self._cfg.replay_buffer_size,
            unroll_steps=0,
            lookahead=0,
            sample_type="episode",
        )

    def make_batch(self, windows: Windows) -> Batch:
        """Turn drawn steps into what `_forward_learn` takes."""
        names = ("observation", "action", "episode_return")
        observation, action, total = (windows.take(name, 0, 1)[:, 0] for name in names)
        return Batch(observation, action, elite(total, self._cfg.elite))

    # --- imitate them ---------------------------------------------------------------------------

    def _forward_learn(self, data: Batch) -> dict[str, Any]:
        """Make the actions of the best episodes likelier."""
        batch = Batch(*(torch.as_tensor(part, device=self._device) for part in data))
        logits = self._model(batch.observation.float())
        each = F.cross_entropy(logits, batch.action, reduction="none")
        loss = (each * batch.elite).sum() / batch.elite.sum()
        if not loss.isfinite():
            raise DivergedError(f"The loss is {loss.item()}; lower learning_rate.")
        self._optimizer.zero_grad()
        loss.backward()
        self.sync_gradients(self._model)
        self._optimizer.step()
        share = batch.elite.mean().item()
        return {
            "total_loss": loss.item(),
            "elite_share": share,
            "cur_lr": self._cfg.learning_rate,
        }

    def _monitor_vars_learn(self) -> list[str]:
        return ["total_loss", "elite_share", "cur_lr"]

    def _process_transition(self, obs: Any, policy_output: Any, timestep: Any) -> None:
        """Store what `columns` says, as it comes."""

    def _get_train_sample(self, data: Any) -> Any:
        return data

    def _state_dict_learn(self) -> dict[str, Any]:
        return {"model": self._model.state_dict(), "optimizer": self._optimizer.state_dict()}

    def _load_state_dict_learn(self, state_dict: Mapping[str, Any]) -> None:
        self._model.load_state_dict(state_dict["model"])
        self._optimizer.load_state_dict(state_dict["optimizer"])


def elite(episode_return: np.ndarray, share: float) -> np.ndarray:
    """Return (B,) float32: 1 for steps of the best `share` of episodes (B,), ties included."""
    return (episode_return >= np.quantile(episode_return, 1.0 - share)).astype(np.float32)
