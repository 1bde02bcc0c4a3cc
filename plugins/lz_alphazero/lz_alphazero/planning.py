"""One search for each of many games at once, with the rules of the game and one network.

Shape letters: N games, n positions that the network is asked about, F observation, A actions.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from lz_alphazero.fast import Network
from lzcore.base import SearchResult, Simulator, Tree
from lzcore.base.tree import Array
from lzcore.search import SimulatedDynamics, recorded, search

# rows of one call on a CPU: with more, a layer's maps no longer fit a core's caches
AT_ONCE = 256


class Evaluator:
    """Asks the network: arrays in, arrays out; in eval mode, without gradients."""

    def __init__(
        self, model: nn.Module, network: Network, device: torch.device, *, record: bool = False
    ) -> None:
        """Serve searches.

        Args:
            model: holds the weights.
            network: what is called for them.
            device: where they are.
            record: whether calls are recorded and replayed, as a trace or as a CUDA graph.
        """
        self._model = model
        self._network = network
        self._device = device
        self._ask = recorded(self._told, model, device) if record else self._told

    @torch.inference_mode()
    def __call__(self, observation: Array, legal: Array) -> tuple[Array, Array]:
        """Return policy logits and values of n positions.

        Args:
            observation: (n, *F) float32.
            legal: (n, A) bool; illegal actions are left to the tree, which knows them.
        Returns:
            (n, A) and (n,) float32.
        """
        if self._model.training:
            self._model.eval()
        seen = torch.as_tensor(observation, dtype=torch.float32, device=self._device)
        at_once = AT_ONCE if self._device.type == "cpu" else len(seen)
        told = torch.cat([self._ask(part)[0] for part in seen.split(at_once)]).cpu().numpy()
        return told[:, :-1], told[:, -1]

    def _told(self, seen: Tensor) -> tuple[Tensor]:
        """Return one tensor (n, A + 1) float32: logits, then the value."""
        logits, value = self._network(seen)
        return (torch.cat((logits, value.reshape(-1, 1)), dim=1),)


class Planner(NamedTuple):
    """A tree and the dynamics it plans in, kept from search to search so that memory is reused."""

    tree: Tree
    dynamics: SimulatedDynamics
    simulator: Simulator
    num_simulations: int

    def search(self, states: Sequence[object], seeds: Array, noise: Array | None) -> SearchResult:
        """Search from N positions.

        Args:
            states: none of them finished, a player moves in each.
            seeds: (N,) uint64, what the tree draws from.
            noise: (N, E) of the roots; None: none.
        """
        return search(
            self.tree,
            self.dynamics,
            states,
            num_simulations=self.num_simulations,
            seeds=seeds,
            noise=noise,
        )
