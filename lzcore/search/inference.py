"""The one seam between search and network: arrays in, decoded numbers out.

Another backend (a traced or compiled module, CUDA graphs, an exported graph) replaces this class
and nothing else.

Shape letters: B states evaluated together, O observation, L latent state, A actions, C chance
outcomes, W numbers in a row of logits.
"""

from typing import Any, TypeAlias, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lzcore.base.model import Model, NetworkOutput, Support
from lzcore.base.tree import Array, Evaluation

# what a model starts a step from: latents (B, *L) and, where it sums rewards, a memory (B, 2, H)
State: TypeAlias = tuple[Tensor, ...]


class Inference:
    """Runs a model in eval mode, without gradients, and decodes its supports on the device."""

    def __init__(self, model: Model) -> None:
        """Serve searches with `model`, an nn.Module that keeps its device."""
        self._model: Any = model  # a Model, or a ChanceModel where chance() is called
        self._module = cast(torch.nn.Module, model)  # every Model is one
        self._decode_together = _kind(model.value_support) == _kind(model.reward_support)

    def refresh(self) -> None:
        """Call when weights may have changed; the eager model only has to leave training mode."""
        if self._module.training:
            self._module.eval()

    @torch.inference_mode()
    def initial(self, observation: Tensor) -> tuple[Evaluation, State]:
        """Observation (B, *O) float32 -> evaluation of the roots, their states."""
        self.refresh()
        out: NetworkOutput = self._model.initial_inference(observation)
        value = self._model.value_support.decode(out.value)
        return _to_host(value, None, out.policy_logits), _state(out)

    @torch.inference_mode()
    def recurrent(self, state: State, action: Tensor) -> tuple[Evaluation, State]:
        """Take a step from each state.

        Args:
            state: of B states, as an earlier call returned it.
            action: (B,) int64, or (B, D) float32.
        Returns:
            The evaluation of the successors, and their states.
        """
        latent, *memory = state
        return self._evaluated(self._model.recurrent_inference(latent, action, *memory))

    @torch.inference_mode()
    def chance(
        self, state: State, option: Tensor, is_outcome: Array, width: int
    ) -> tuple[Evaluation, State]:
        """Take half a step from each state of a `ChanceModel`, of either kind.

        Args:
            state: of B states and afterstates.
            option: (B,) int64, an action of each state, an outcome of each afterstate.
            is_outcome: (B,) bool, which rows are afterstates.
            width: W, how long a row of logits is made; what a model says less of is filled with 0.
        Returns:
            The evaluation of what follows, and its states.
        """
        kinds = [kind for kind in (False, True) if (is_outcome == kind).any()]
        if len(kinds) == 1:
            return self._evaluated(self._half_step(state, option, kinds[0], width))
        rows = [torch.from_numpy(np.flatnonzero(is_outcome == kind)) for kind in kinds]
        rows = [index.to(option.device) for index in rows]
        halves = [
            self._half_step(tuple(part[index] for part in state), option[index], kind, width)
            for index, kind in zip(rows, kinds, strict=True)
        ]
        back = torch.cat(rows).argsort()
        whole = (
            torch.cat(parts)[back] for parts in zip(*(half[:4] for half in halves), strict=True)
        )
        return self._evaluated(NetworkOutput(*whole))

    def _half_step(
        self, state: State, option: Tensor, afterstate: bool, width: int
    ) -> NetworkOutput:
        out: NetworkOutput = self._model.recurrent_inference(*state, option, afterstate=afterstate)
        missing = width - out.policy_logits.shape[1]
        return out._replace(policy_logits=F.pad(out.policy_logits, (0, missing)))

    def _evaluated(self, out: NetworkOutput) -> tuple[Evaluation, State]:
        value, reward = self._decode(out)
        return _to_host(value, reward, out.policy_logits), _state(out)

    def _decode(self, out: NetworkOutput) -> tuple[Tensor, Tensor]:
        if self._decode_together:
            value, reward = self._model.value_support.decode(torch.stack((out.value, out.reward)))
            return value, reward
        return (
            self._model.value_support.decode(out.value),
            self._model.reward_support.decode(out.reward),
        )


def _kind(support: Support) -> tuple[type[Support], int]:
    """What two supports have in common that decode alike."""
    return type(support), support.size


def _state(out: NetworkOutput) -> State:
    return (out.latent_state,) if out.memory is None else (out.latent_state, out.memory)


def _to_host(value: Tensor, reward: Tensor | None, logits: Tensor) -> Evaluation:
    """Bring one evaluation to host memory: views on a CPU, one copy from elsewhere."""
    if value.device.type == "cpu":
        on_host = None if reward is None else reward.numpy()
        return Evaluation(value.numpy(), logits.numpy(), on_host)
    rewards = torch.zeros_like(value) if reward is None else reward
    packed = torch.cat((value[:, None], rewards[:, None], logits), dim=1).cpu().numpy()
    return Evaluation(packed[:, 0], np.ascontiguousarray(packed[:, 2:]), packed[:, 1])
