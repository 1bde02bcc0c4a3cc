"""Roots that are carried on from move to move instead of being observed anew.

With a context the latent of a root is what the model imagined one move ago: g(latent, action
taken). Every `context_length_init` moves, and wherever nothing is remembered, the observation is
encoded again. What is remembered belongs to an environment and a mode, never to the model.

Shape letters: N environments that are ready, M remembered ones, O one stacked observation, L latent
state.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from lz_muzero.decisions import Array
from lzcore.base import Evaluation, Policy
from lzcore.nn.state import need, on_cpu
from lzcore.search import Inference, LearnedDynamics, State


class RootMemory(Protocol):
    """What the roots of one mode follow from, by environment."""

    def roots(self, env_id: Array, observation: Tensor) -> Any:
        """Return what dynamics take for the roots of N environments that show (N, *O)."""

    def follow(self, env_id: Array, action: Array) -> None:
        """Remember the roots last asked for, of these environments, and the (N,) actions taken."""

    def forget(self, env_id: Iterable[int] | None = None) -> None:
        """Remember nothing of these environments; None: of any."""

    def state_dict(self) -> dict[str, Any]:
        """Return what is remembered as plain data and tensors."""

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Remember what `state` holds, and nothing else."""


class Memory(NamedTuple):
    """What the next root of one environment follows from."""

    latent: Tensor  # (*L) of the last root
    action: int  # taken there
    steps: int  # moves since an observation was encoded


class Context:
    """Evaluates roots and remembers them; the same inference serves other modes, unaware of it."""

    def __init__(self, inference: Inference, length: int) -> None:
        """Begin with nothing remembered; every `length` moves an observation is encoded."""
        self._inference = inference
        self._length = length
        self._memories: dict[int, Memory] = {}
        self._latest: Tensor | None = None  # (N, *L) roots that were last evaluated

    def roots(self, env_id: Array, observation: Tensor) -> tuple[Evaluation, State]:
        """Evaluate N roots: one call for those to observe, one for those carried on.

        Args:
            env_id: (N,) int64.
            observation: (N, *O) float32 on the model's device; read where a root is observed.
        """
        known = [self._carried(env) for env in env_id.tolist()]
        observed = np.array([memory is None for memory in known])
        parts = []
        if observed.any():
            rows = np.flatnonzero(observed)
            parts.append((rows, *self._inference.initial(observation[_index(rows, observation)])))
        if not observed.all():
            rows = np.flatnonzero(~observed)
            parts.append((rows, *self._step([memory for memory in known if memory], observation)))
        evaluation, state = _joined(parts)
        (self._latest,) = state
        return evaluation, state

    def follow(self, env_id: Array, action: Array) -> None:
        """Remember the roots last evaluated, of these environments, and the (N,) actions taken."""
        assert self._latest is not None
        rows = zip(env_id.tolist(), action.tolist(), self._latest, strict=True)
        for env, taken, latent in rows:
            before = self._carried(env)
            steps = 1 if before is None else before.steps + 1
            self._memories[env] = Memory(latent, taken, steps)

    def forget(self, env_id: Iterable[int] | None = None) -> None:
        """Observe the next root of these environments; None: of all."""
        for env in list(self._memories) if env_id is None else env_id:
            self._memories.pop(int(env), None)

    def _carried(self, env: int) -> Memory | None:
        """Return what the root of `env` follows from; None: its observation."""
        memory = self._memories.get(env)
        return None if memory is None or memory.steps >= self._length else memory

    def _step(self, memories: list[Memory], like: Tensor) -> tuple[Evaluation, State]:
        action = torch.tensor([memory.action for memory in memories], device=like.device)
        latent = torch.stack([memory.latent for memory in memories])
        evaluation, state = self._inference.recurrent((latent,), action)
        return evaluation._replace(reward=None), state  # a root has none

    # --- persistence ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return M memories as plain data; latents (M, *L) stay where they are."""
        if not self._memories:
            return {"env_id": [], "latent": None, "action": [], "steps": []}
        latent, action, steps = zip(*self._memories.values(), strict=True)
        return {
            "env_id": list(self._memories),
            "latent": torch.stack(latent),
            "action": list(action),
            "steps": list(steps),
        }

    def load_state_dict(self, state: Mapping[str, Any], device: torch.device) -> None:
        """Remember what `state` holds, and nothing else."""
        latent = [] if state["latent"] is None else state["latent"].to(device)
        rows = zip(latent, state["action"], state["steps"], strict=True)
        self._memories = {env: Memory(*row) for env, row in zip(state["env_id"], rows, strict=True)}


class ContextDynamics(LearnedDynamics):
    """Plans from roots that `Context.roots` has evaluated."""

    def _root(self, observation: Any) -> tuple[Evaluation, State]:
        evaluation, state = observation
        return evaluation, state


class RememberingPolicy(Policy):
    """The part of MuZero that holds the network as decisions see it, and what roots follow from."""

    def _init_shared(self) -> None:
        self._inference = self._inference_of(self._model)
        self._weights_changed = False
        found = {mode: self._root_memory() for mode in ("collect", "eval")}
        self._contexts = {mode: memory for mode, memory in found.items() if memory is not None}

    def _inference_of(self, model: nn.Module) -> Inference:
        """Return the seam between searches and a network."""
        record = self._cfg.record_network
        return Inference(model, record=record)  # type: ignore[arg-type]  # a Model

    def _root_memory(self) -> RootMemory | None:
        """Make what a mode's roots follow from; None: their observations alone."""
        model = self._cfg.model
        if not model.model_type.endswith("_context"):
            return None
        return Context(self._inference, model.context_length_init)

    def _refresh(self) -> None:
        if self._weights_changed:
            self._inference.refresh()
            self._weights_changed = False

    def _follow(self, mode: str, env_id: Array, action: Array) -> None:
        if mode in self._contexts:
            self._contexts[mode].follow(env_id, action)

    def _forget(self, mode: str, env_id: Sequence[int] | None = None) -> None:
        if mode in self._contexts:
            self._contexts[mode].forget(env_id)

    def _reset_collect(self, data_id: Sequence[int] | None = None) -> None:
        """Observe the next roots of these environments, None: of all, instead of carrying on."""
        self._forget("collect", data_id)

    def _reset_eval(self, data_id: Sequence[int] | None = None) -> None:
        """Observe the next roots of these environments, None: of all, instead of carrying on."""
        self._forget("eval", data_id)

    def _state_dict_collect(self) -> dict[str, Any]:
        """Return the weights, and what the roots of running episodes follow from."""
        context = self._contexts.get("collect")
        memories = {} if context is None else {"context": context.state_dict()}
        return on_cpu({"model": self._model.state_dict(), **memories})

    def _load_state_dict_collect(self, state_dict: Mapping[str, Any]) -> None:
        """Load weights; the state of learning serves too, and remembers no environment."""
        self._load_weights(state_dict)
        self._forget("collect")
        if "collect" in self._contexts and "context" in state_dict:
            self._contexts["collect"].load_state_dict(state_dict["context"], self._device)

    def _state_dict_eval(self) -> dict[str, Any]:
        return on_cpu({"model": self._model.state_dict()})

    def _load_state_dict_eval(self, state_dict: Mapping[str, Any]) -> None:
        """Load weights; the state of learning serves too. Evaluations begin anew."""
        self._load_weights(state_dict)
        self._forget("eval")

    def _load_weights(self, state_dict: Mapping[str, Any]) -> None:
        self._model.load_state_dict(need(state_dict, "model"))
        self._weights_changed = True


def _index(rows: Array, like: Tensor) -> Tensor:
    return torch.from_numpy(rows).to(like.device)


def _joined(parts: list[tuple[Array, Evaluation, State]]) -> tuple[Evaluation, State]:
    """Put evaluations of some rows each back into the order of the rows."""
    if len(parts) == 1:
        [(_, evaluation, state)] = parts
        return evaluation, state
    order = np.argsort(np.concatenate([rows for rows, _, _ in parts]))
    evaluations = [evaluation for _, evaluation, _ in parts]
    value = np.concatenate([one.value for one in evaluations])[order]
    logits = np.concatenate([one.logits for one in evaluations])[order]
    latent = torch.cat([state[0] for _, _, state in parts])
    return Evaluation(value, logits), (latent[_index(order, latent)],)
