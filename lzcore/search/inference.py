"""The one seam between search and network: arrays in, decoded numbers out.

Another backend (a traced or compiled module, CUDA graphs, an exported graph) replaces this class
and nothing else.

Shape letters: B states evaluated together, O observation, L latent state, A actions.
"""

from typing import cast

import numpy as np
import torch
from torch import Tensor

from lzcore.base.model import Model, NetworkOutput, Support
from lzcore.base.tree import Evaluation


class Inference:
    """Runs a model in eval mode, without gradients, and decodes its supports on the device."""

    def __init__(self, model: Model) -> None:
        """Serve searches with `model`, an nn.Module that keeps its device."""
        self._model = model
        self._module = cast(torch.nn.Module, model)  # every Model is one
        self._decode_together = _kind(model.value_support) == _kind(model.reward_support)

    def refresh(self) -> None:
        """Call when weights may have changed; the eager model only has to leave training mode."""
        if self._module.training:
            self._module.eval()

    @torch.inference_mode()
    def initial(self, observation: Tensor) -> tuple[Evaluation, Tensor]:
        """Observation (B, *O) float32 -> evaluation of the roots, latents (B, *L)."""
        self.refresh()
        out = self._model.initial_inference(observation)
        value = self._model.value_support.decode(out.value)
        return _to_host(value, None, out.policy_logits), out.latent_state

    @torch.inference_mode()
    def recurrent(self, latent_state: Tensor, action: Tensor) -> tuple[Evaluation, Tensor]:
        """Latents (B, *L) and actions (B,) int64 -> evaluation of the successors, latents."""
        out = self._model.recurrent_inference(latent_state, action)
        value, reward = self._decode(out)
        return _to_host(value, reward, out.policy_logits), out.latent_state

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


def _to_host(value: Tensor, reward: Tensor | None, logits: Tensor) -> Evaluation:
    """Bring one evaluation to host memory: views on a CPU, one copy from elsewhere."""
    if value.device.type == "cpu":
        on_host = None if reward is None else reward.numpy()
        return Evaluation(value.numpy(), logits.numpy(), on_host)
    rewards = torch.zeros_like(value) if reward is None else reward
    packed = torch.cat((value[:, None], rewards[:, None], logits), dim=1).cpu().numpy()
    return Evaluation(packed[:, 0], np.ascontiguousarray(packed[:, 2:]), packed[:, 1])
