"""AlphaZero: plans with the rules of a game, and learns what the search found and who won.

The story has two chapters: `acting` (positions to decisions) and this file (games to replay, replay
to better weights). `outcomes` says what games came to, `losses` compares.

Shape letters: B samples of a batch, A actions, E actions of a search policy, O one observation.
"""

from collections.abc import Mapping
from math import isfinite
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from lz_alphazero import losses, shapes
from lz_alphazero.acting import ActingPolicy
from lz_alphazero.outcomes import outcomes
from lz_alphazero.symmetry import Symmetry
from lzcore.base import (
    Column,
    DivergedError,
    ReplaySettings,
    Segment,
    ShapeError,
    Spaces,
    Windows,
    derive_seed,
    stream_key,
    uniform,
)
from lzcore.base.tree import Array
from lzcore.nn.optim import make_optimizer, make_scheduler
from lzcore.nn.state import need, on_cpu


class AlphaZeroPolicy(ActingPolicy):
    """AlphaZero (arXiv:1712.01815). The methods stand in the order the data meets them.

    A variant is the steps in which it differs:

    * what is searched and how: `_tree_spec`, `_root_noise`;
    * which action is taken, what is stored and told: `_pick`, `_best`, `_actions`, `_stored`,
      `_describe`, `columns`;
    * what is learned: `target_names`, `_targets`, `_policy_loss`.
    """

    target_names: ClassVar[tuple[str, ...]] = ("probs",)  # columns that a policy target is made of
    entropy_name: ClassVar[str] = "entropy_loss"  # what `monitor_vars` calls it

    def _init_learn(self) -> None:
        self._optimizer = make_optimizer(self._model, self._cfg)
        self._scheduler = make_scheduler(self._optimizer, self._cfg)
        self._symmetry = Symmetry(self._cfg.symmetry, self._observation_shape, self._num_actions)
        self._learn_step = 0

    # --- games to replay --------------------------------------------------------------------------

    @classmethod
    def columns(cls, cfg: Any, spaces: Spaces) -> tuple[Column, ...]:
        """Return what is stored of each step."""
        return cls._stored_columns(cfg, spaces, slots=spaces.action.size)

    @classmethod
    def _stored_columns(cls, cfg: Any, spaces: Spaces, slots: int) -> tuple[Column, ...]:
        """Return what the settings ask to be stored, with a search policy over `slots`."""
        searched = cfg.search_value_weight > 0.0
        return shapes.stored_columns(
            spaces, slots=slots, masks=cfg.mask_illegal_actions, searched=searched
        )

    def _process_transition(
        self, obs: Any, policy_output: Mapping[str, Any], timestep: Any
    ) -> dict[str, Any]:
        """Return the documented transition; `lz run` stores the columns instead."""
        return {
            "obs": obs,
            "next_obs": timestep.obs,
            "action": torch.as_tensor(policy_output["action"]),
            "reward": torch.as_tensor(timestep.reward, dtype=torch.float32).reshape(1),
            "done": bool(timestep.done),
            "probs": torch.as_tensor(policy_output["probs"]),
            **{name: torch.as_tensor(policy_output[name]) for name in self.target_names},
        }

    def _get_train_sample(self, data: Any) -> Any:
        """Return data unchanged."""
        return data

    def in_hindsight(self, segment: Segment) -> dict[str, Array]:
        """Return the `outcome` of each row: what the game came to, for who moved there."""
        rows = slice(segment.length)
        reward, to_play = segment.columns["reward"][rows], segment.columns["to_play"][rows]
        found = outcomes(reward, to_play, finished=segment.terminated)
        return {"outcome": np.append(found, np.float32(0.0))}

    def replay_settings(self) -> ReplaySettings:
        """Return how replay keeps and draws this policy's data: single positions, all alike."""
        replay = self._cfg.other.replay_buffer
        return ReplaySettings(
            capacity=replay.replay_buffer_size,
            max_bytes=replay.max_replay_bytes,
            unroll_steps=0,
            lookahead=0,
        )

    # --- replay to better weights -----------------------------------------------------------------

    def make_batch(self, windows: Windows) -> dict[str, Any]:
        """Gather sampled positions, what was found there and what the games came to.

        Returns:
            obs.observation (B, *O), the columns that a policy target is made of (B, E), reward
            (B,) the outcome for the player to move or what `search_value_weight` makes of it,
            index (B,) replay rows; action_mask (B, A) where it is stored. Each sample is seen
            under a symmetry of its own, if there are any.
        """
        which = self._symmetries(len(windows.index))
        names = [*self.target_names, *(["action_mask"] * self._cfg.mask_illegal_actions)]
        found = {name: windows.take(name, 0, 1)[:, 0] for name in names}
        return {
            "obs": {"observation": self._symmetry.boards(windows.frames(0, 1)[:, 0], which)},
            **{name: self._turned(name, values, which) for name, values in found.items()},
            "reward": self._learned_value(windows),
            "index": windows.index,
        }

    def _symmetries(self, size: int) -> Array:
        """Return which symmetry each of B samples of the coming learn step is seen under."""
        key = derive_seed(stream_key(self._cfg.seed, "symmetry"), self._learn_step)
        return (uniform(key, np.arange(size)) * self._symmetry.count).astype(np.int64)

    def _turned(self, name: str, values: Array, which: Array) -> Array:
        """Return a column (B, A) of numbers for each action under symmetries `which` (B,)."""
        return self._symmetry.spread(values, which)

    def _learned_value(self, windows: Windows) -> Array:
        """Return (B,): what the games came to, mixed with what the searches thought."""
        outcome = windows.take("outcome", 0, 1)[:, 0]
        weight = np.float32(self._cfg.search_value_weight)
        if not weight:
            return outcome
        return (1 - weight) * outcome + weight * windows.take("searched_value", 0, 1)[:, 0]

    def _forward_learn(self, inputs: Mapping[str, Any]) -> dict[str, float]:
        """Take one optimiser step.

        Args:
            inputs: as `make_batch` returns them, arrays or tensors; index may be missing.
        Returns:
            Floats under the names of `monitor_vars`.
        Raises:
            ShapeError: an array does not fit the game.
            DivergedError: a loss or gradient is not a number; the weights are as they were, running
                statistics of BatchNorm are not.
        """
        batch = self._on_device(inputs)
        self._model.train()
        parts = self._losses(batch)
        total = sum(weight * parts[name] for name, weight in self._loss_weights().items())
        grad_norm = self._gradients(total.mean())
        metrics = {
            "cur_lr": self._optimizer.param_groups[0]["lr"],
            "total_loss": total.mean().item(),
            **{name: part.mean().item() for name, part in parts.items()},
            "total_grad_norm_before_clip": grad_norm.item(),
            "collect_mcts_temperature": self._collect_temperature,
        }
        self._refuse_divergence(metrics, total, inputs)
        self._optimizer.step()
        self._scheduler.step()
        self._learn_step += 1
        return metrics

    def _on_device(self, inputs: Mapping[str, Any]) -> dict[str, Tensor]:
        """Return observation, reward, and what the policy's loss reads, checked and moved."""
        observation = self._moved(inputs["obs"]["observation"])
        size = len(observation)
        _check("obs.observation", observation, (size, *self._observation_shape))
        batch = {"observation": observation, "reward": self._moved(inputs["reward"]).reshape(-1)}
        _check("reward", batch["reward"], (size,))
        if self._cfg.mask_illegal_actions:
            batch["action_mask"] = self._moved(inputs["action_mask"]).bool()
            _check("action_mask", batch["action_mask"], (size, self._num_actions))
        return batch | self._targets(inputs, size)

    def _moved(self, values: Any, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.as_tensor(values).to(self._device, dtype)

    def _targets(self, inputs: Mapping[str, Any], size: int) -> dict[str, Tensor]:
        """Return what the policy's loss reads of a batch of `size` samples."""
        found = {name: self._moved(inputs[name]) for name in self.target_names}
        for name, target in found.items():
            _check(name, target, (size, self._num_actions))
        return found

    def _losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the parts of the loss by name, (B,) each."""
        logits, value = self._network(batch["observation"])
        log_prob = losses.masked(logits, batch.get("action_mask")).log_softmax(dim=-1)
        return {
            "policy_loss": self._policy_loss(log_prob, batch),
            "value_loss": (value.reshape(-1) - batch["reward"]).square(),
            "entropy_loss": -losses.entropy(log_prob),
        }

    def _policy_loss(self, log_prob: Tensor, batch: Mapping[str, Tensor]) -> Tensor:
        """Return how far log probabilities (B, A) are from what the searches found, (B,)."""
        return losses.cross_entropy(log_prob, batch["probs"])

    def _loss_weights(self) -> dict[str, float]:
        cfg = self._cfg
        weights = {"value_loss": cfg.value_weight, "entropy_loss": cfg.entropy_weight}
        return {"policy_loss": 1.0, **weights}

    def _gradients(self, loss: Tensor) -> Tensor:
        """Replace gradients by those of the loss, clipped; return their norm before that."""
        self._optimizer.zero_grad()
        loss.backward()
        self.sync_gradients(self._model)
        return nn.utils.clip_grad_norm_(self._model.parameters(), self._cfg.grad_clip_value)

    def _refuse_divergence(
        self, metrics: Mapping[str, float], total: Tensor, inputs: Mapping[str, Any]
    ) -> None:
        loss, norm = metrics["total_loss"], metrics["total_grad_norm_before_clip"]
        if isfinite(loss) and isfinite(norm):
            return
        broken = ~total.detach().isfinite().cpu().numpy()
        rows = np.asarray(inputs.get("index", np.arange(len(broken))))[broken][:8].tolist()
        raise DivergedError(
            f"Learn step {self._learn_step} gave a loss of {loss} and a gradient norm of {norm}; "
            "expected finite numbers. The weights are as they were before it, running statistics "
            f"of BatchNorm are not. Replay rows with a broken loss: {rows}. Lower learning_rate or "
            "grad_clip_value."
        )

    def _monitor_vars_learn(self) -> list[str]:
        return [
            "cur_lr",
            "total_loss",
            "policy_loss",
            "value_loss",
            self.entropy_name,
            "total_grad_norm_before_clip",
            "collect_mcts_temperature",
        ]

    # --- what is kept -----------------------------------------------------------------------------

    def _state_dict_learn(self) -> dict[str, Any]:
        return on_cpu(
            {
                "model": self._model.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "lr_scheduler": self._scheduler.state_dict(),
                "rng": {mode: stream.state_dict() for mode, stream in self._streams.items()},
                "last_iter": self._learn_step,
                "collect_env_step": self._env_step,
            }
        )

    def _load_state_dict_learn(self, state_dict: Mapping[str, Any]) -> None:
        """Go on where the policy that wrote `state_dict` stood; keys of ours may be missing.

        Raises:
            RuntimeError: weights are missing, unknown or of another shape.
        """
        self._model.load_state_dict(need(state_dict, "model"))
        self._optimizer.load_state_dict(need(state_dict, "optimizer"))
        if "lr_scheduler" in state_dict:
            self._scheduler.load_state_dict(state_dict["lr_scheduler"])
        for mode, stream in state_dict.get("rng", {}).items():
            self._streams[mode].load_state_dict(stream)
        self._learn_step = state_dict.get("last_iter", 0)
        self._env_step = state_dict.get("collect_env_step", 0)

    def _state_dict_collect(self) -> dict[str, Any]:
        return on_cpu({"model": self._model.state_dict()})

    def _load_state_dict_collect(self, state_dict: Mapping[str, Any]) -> None:
        """Load weights; the state of learning serves too."""
        self._model.load_state_dict(need(state_dict, "model"))


def _check(name: str, values: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(values.shape) != expected:
        raise ShapeError(
            f"{name} of the batch has shape {tuple(values.shape)}; expected {expected}."
        )
