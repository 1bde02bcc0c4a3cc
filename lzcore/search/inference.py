"""The one seam between search and network: arrays in, decoded numbers out.

Another backend (a compiled module, an exported graph) replaces this class and nothing else.

Shape letters: B states evaluated together, O observation, L latent state, A actions, C chance
outcomes, W numbers in a row of logits, H numbers of each half of a memory.
"""

from functools import partial
from typing import Any, TypeAlias, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lzcore.base.model import Model, NetworkOutput, Support
from lzcore.base.tree import Array, Evaluation
from lzcore.search.graphs import Step
from lzcore.search.recorded import recorded

# what a model starts a step from: latents (B, *L) and, where it sums rewards, a memory (B, 2, H)
State: TypeAlias = tuple[Tensor, ...]


class Inference:
    """Runs a model in eval mode, without gradients, and decodes its supports on the device.

    What the model computes is a chain of tensors from `_observed`, `_stepped` or `_half_stepped`
    on, which can be recorded and replayed (`lzcore.search.traced`, `lzcore.search.graphs`).
    """

    def __init__(self, model: Model, *, record: bool = False) -> None:
        """Serve searches.

        Args:
            model: an nn.Module that keeps its device.
            record: whether what the model computes is recorded and replayed, as a trace on a CPU
                and as a CUDA graph on a GPU; it has to depend on tensors alone then.
        """
        self._model: Any = model  # a Model, or a ChanceModel where chance() is called
        self._module = cast(torch.nn.Module, model)  # every Model is one
        self._decode_together = _kind(model.value_support) == _kind(model.reward_support)
        self._device = _device(self._module)
        self._record = record
        self._observe = self._made_fast(self._observed)
        self._step = self._made_fast(self._stepped)
        self._half_steps: dict[tuple[bool, int], Step] = {}

    def refresh(self) -> None:
        """Call after learning: the model leaves training mode. Weights are read where they lie."""
        if self._module.training:
            self._module.eval()

    @torch.inference_mode()
    def initial(self, observation: Tensor) -> tuple[Evaluation, State]:
        """Observation (B, *O) float32 -> evaluation of the roots, their states."""
        self.refresh()
        evaluation, state = self._read(self._observe(observation))
        return evaluation._replace(reward=None), state

    @torch.inference_mode()
    def recurrent(self, state: State, action: Tensor) -> tuple[Evaluation, State]:
        """Take a step from each state.

        Args:
            state: of B states, as an earlier call returned it.
            action: (B,) int64, or (B, D) float32.
        Returns:
            The evaluation of the successors, and their states.
        """
        return self._read(self._step(action, *state))

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
            return self._read(self._half_step(kinds[0], width)(option, *state))
        rows = [torch.from_numpy(np.flatnonzero(is_outcome == kind)) for kind in kinds]
        rows = [index.to(option.device) for index in rows]
        halves = [
            self._half_step(kind, width)(option[index], *(part[index] for part in state))
            for index, kind in zip(rows, kinds, strict=True)
        ]
        back = torch.cat(rows).argsort()
        return self._read(tuple(torch.cat(parts)[back] for parts in zip(*halves, strict=True)))

    # --- what the model computes: tensors to what is told, and the states ------------------------

    def _observed(self, observation: Tensor) -> tuple[Tensor, ...]:
        out: NetworkOutput = self._model.initial_inference(observation)
        value = self._model.value_support.decode(out.value)
        return value, torch.zeros_like(value), out.policy_logits, *_state(out)

    def _stepped(self, action: Tensor, latent: Tensor, *memory: Tensor) -> tuple[Tensor, ...]:
        return self._decoded(self._model.recurrent_inference(latent, action, *memory))

    def _half_stepped(
        self, afterstate: bool, width: int, option: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        out: NetworkOutput = self._model.recurrent_inference(*state, option, afterstate=afterstate)
        missing = width - out.policy_logits.shape[1]
        return self._decoded(out._replace(policy_logits=F.pad(out.policy_logits, (0, missing))))

    def _half_step(self, afterstate: bool, width: int) -> Step:
        kind = afterstate, width
        if kind not in self._half_steps:
            self._half_steps[kind] = self._made_fast(partial(self._half_stepped, *kind))
        return self._half_steps[kind]

    def _decoded(self, out: NetworkOutput) -> tuple[Tensor, ...]:
        """Return values (B,), rewards (B,) and logits (B, W), then the state."""
        return *self._scalars(out), out.policy_logits, *_state(out)

    def _scalars(self, out: NetworkOutput) -> tuple[Tensor, Tensor]:
        if self._decode_together:
            both = self._model.value_support.decode(torch.stack((out.value, out.reward)))
            return both[0], both[1]
        return (
            self._model.value_support.decode(out.value),
            self._model.reward_support.decode(out.reward),
        )

    # --- how it gets to the host ------------------------------------------------------------------

    def _made_fast(self, step: Step) -> Step:
        """Return what to call in place of a step: recorded, if that is asked for.

        The step returns what `_decoded` does. So does what is called, on a CPU; elsewhere the first
        three come as one tensor (B, 2 + W) float32.
        """

        def packed(*inputs: Tensor) -> tuple[Tensor, ...]:
            value, reward, logits, *state = step(*inputs)
            return torch.cat((value[:, None], reward[:, None], logits), dim=1), *state

        told = step if self._device.type == "cpu" else packed
        return recorded(told, self._module, self._device) if self._record else told

    def _read(self, found: tuple[Tensor, ...]) -> tuple[Evaluation, State]:
        """Bring what is told to host memory: views on a CPU, one copy from elsewhere."""
        if self._device.type == "cpu":
            value, reward, logits, *state = found
            return Evaluation(value.numpy(), logits.numpy(), reward.numpy()), tuple(state)
        told, *state = found
        packed = told.cpu().numpy()
        logits_on_host = np.ascontiguousarray(packed[:, 2:])
        return Evaluation(packed[:, 0], logits_on_host, packed[:, 1]), tuple(state)


def _kind(support: Support) -> tuple[type[Support], int]:
    """What two supports have in common that decode alike."""
    return type(support), support.size


def _state(out: NetworkOutput) -> State:
    return (out.latent_state,) if out.memory is None else (out.latent_state, out.memory)


def _device(module: torch.nn.Module) -> torch.device:
    weight = next(module.parameters(), None)
    return torch.device("cpu") if weight is None else weight.device
