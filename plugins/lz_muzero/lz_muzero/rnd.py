"""Novelty as a reward: random network distillation (RND).

A random network that never learns looks at each observation, and a predictor learns to say the
same. What it has met often it knows, so how far it is off tells how new an observation is.

Shape letters: M observations, O one stacked observation, X what a network sees of it (O, or a
latent state), D features, B samples of a batch, W positions of each.
"""

from collections.abc import Mapping
from copy import deepcopy
from itertools import pairwise
from math import prod, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from lz_muzero import shapes
from lz_muzero.decisions import Array
from lzcore.base import stream_key

NOVELTY = ("rnd_loss", "intrinsic_reward")  # the names of what is logged
_SEES = {  # input_type -> what the random network and the predictor see
    "obs": ("obs", "obs"),
    "latent_state": ("latent_state", "latent_state"),
    "obs_latent_state": ("obs", "latent_state"),
}


# --- the networks ---------------------------------------------------------------------------------


class RunningNorm(nn.Module):
    """Standardises each element by the mean and deviation of everything observed so far."""

    count: Tensor  # () float64
    mean: Tensor  # (*X) float64
    squares: Tensor  # (*X) float64, summed squared distances from the mean

    def __init__(self, shape: tuple[int, ...], limit: float) -> None:
        """Begin with mean 0 and deviation 1, which give way to the first observations.

        Args:
            shape: X.
            limit: largest size of a standardised element.
        """
        super().__init__()
        self.limit = limit
        little = 1e-4  # of an observation
        self.register_buffer("count", torch.full((), little, dtype=torch.float64))
        self.register_buffer("mean", torch.zeros(shape, dtype=torch.float64))
        self.register_buffer("squares", torch.full(shape, little, dtype=torch.float64))

    @torch.no_grad()
    def observe(self, x: Tensor) -> None:
        """Count (M, *X) in, by the rule of Chan, Golub and LeVeque (1979)."""
        x, count = x.double(), self.count + len(x)
        step = x.mean(0) - self.mean
        self.squares += (x - x.mean(0)).square().sum(0)
        self.squares += step.square() * self.count * len(x) / count
        self.mean += step * len(x) / count
        self.count.copy_(count)

    def forward(self, x: Tensor) -> Tensor:
        """(M, *X) float32 -> the same shape, each element within the limit."""
        deviation = (self.squares / self.count + 1e-8).sqrt()
        return ((x - self.mean) / deviation).float().clamp(-self.limit, self.limit)


def feature_network(shape: tuple[int, ...], widths: tuple[int, ...]) -> nn.Sequential:
    """Make a network (M, *X) -> (M, D) with orthogonal weights and no biases at first.

    Args:
        shape: X, a vector, or a map (channels, height, width).
        widths: of its layers, the last one D; before that, of a map, the channels of convolutions
            that halve it.
    """
    *hidden, last = widths
    layers: list[nn.Module] = []
    if len(shape) == 3:
        channels, *size = shape
        for before, after in pairwise((channels, *hidden)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.ReLU()]
            size = [-(-n // 2) for n in size]
        hidden = [(hidden or [channels])[-1] * prod(size)]
    else:
        hidden = [prod(shape), *hidden]
    layers.append(nn.Flatten())
    for before, after in pairwise(hidden):
        layers += [nn.Linear(before, after), nn.ReLU()]
    network = nn.Sequential(*layers, nn.Linear(hidden[-1], last))
    network.apply(_begin)
    return network


def _begin(layer: nn.Module) -> None:
    if isinstance(layer, nn.Linear | nn.Conv2d):
        nn.init.orthogonal_(layer.weight, sqrt(2.0))
        nn.init.zeros_(layer.bias)


# --- from novelty to rewards ----------------------------------------------------------------------


def min_max(error: Array) -> npt.NDArray[np.float64]:
    """Scale errors (M,) to [0, 1] by the least and the largest of them."""
    error = error.astype(np.float64)
    return (error - error.min()) / (error.max() - error.min() + 1e-6)


def shaped(reward: Array, novelty: Array, cfg: Any) -> Array:
    """Return what is learned in place of the environment's rewards, (B, W).

    Args:
        reward: (B, W) of the environment.
        novelty: (B, W) in [0, 1].
        cfg: the policy's settings.
    """
    rnd = cfg.rnd
    if rnd.intrinsic_reward_type == "assign":
        return novelty
    extrinsic = reward / rnd.extrinsic_reward_norm_max if rnd.extrinsic_reward_norm else reward
    if rnd.intrinsic_reward_type == "new":
        return extrinsic
    return extrinsic + cfg.intrinsic_reward_weight * novelty


# --- the whole ------------------------------------------------------------------------------------


class RND(nn.Module):
    """Knows what is new; its state holds networks, statistics and the predictor's optimiser.

    Source:
        Burda et al., arXiv:1810.12894, with novelty scaled by the batch it is in.
    """

    def __init__(self, model: Any, cfg: Any) -> None:
        """Make the networks, drawn from the policy's seed.

        Args:
            model: of the policy, on its device; a copy of it makes latent states.
            cfg: the policy's settings.
        """
        super().__init__()
        self._cfg = cfg
        rnd = cfg.rnd
        self._sees = _SEES[rnd.input_type]
        latents = "latent_state" in self._sees
        self.encoder = deepcopy(model).requires_grad_(False).eval() if latents else None
        device = next(model.parameters()).device
        seen = self._looks(torch.zeros(1, *shapes.stacked_shape(cfg.model), device=device))
        sizes = {kind: tuple(x.shape[1:]) for kind, x in seen.items()}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_key(cfg.seed, "policy rnd"))
            networks = [feature_network(sizes[kind], rnd.hidden_size_list) for kind in self._sees]
        self.target, self.predictor = networks[0].requires_grad_(False), networks[1]
        norms = sizes if rnd.input_norm else {}
        self.norms = nn.ModuleDict(
            {kind: RunningNorm(shape, rnd.input_norm_clamp_max) for kind, shape in norms.items()}
        )
        self.to(device)
        self._optimizer = torch.optim.Adam(
            self.predictor.parameters(), lr=rnd.learning_rate, weight_decay=rnd.weight_decay
        )

    @torch.no_grad()
    def errors(self, observation: Tensor) -> npt.NDArray[np.float32]:
        """Return how far the predictor is off, (M,), of observations (M, *O) float32."""
        return self._errors(self._looks(observation)).cpu().numpy()

    def learn(self, observation: Tensor) -> npt.NDArray[np.float32]:
        """Take one step of the predictor; return its errors (M,) before that.

        Args:
            observation: (M, *O) float32, counted into the running statistics first.
        """
        seen = self._looks(observation)
        for kind, norm in self.norms.items():
            norm.observe(seen[kind])
        error = self._errors(seen)
        self._optimizer.zero_grad()
        error.mean().backward()
        self._optimizer.step()
        return error.detach().cpu().numpy()

    @torch.no_grad()
    def follow(self, model: nn.Module, learn_step: int) -> None:
        """Bring the copy that makes latent states nearer to the model, after that learn step."""
        if self.encoder is None:
            return
        cfg = self._cfg
        if cfg.target_model_for_intrinsic_reward_update_type == "assign":
            if learn_step % cfg.target_update_freq_for_intrinsic_reward == 0:
                self.encoder.load_state_dict(model.state_dict())
            return
        theta, now = cfg.target_update_theta_for_intrinsic_reward, model.state_dict()
        for name, mine in self.encoder.state_dict().items():
            if mine.is_floating_point():
                mine.lerp_(now[name], theta)
            else:
                mine.copy_(now[name])

    @torch.no_grad()
    def _looks(self, observation: Tensor) -> dict[str, Tensor]:
        """Return what the networks see of observations, (M, *X) each, not yet standardised."""
        looks = {"obs": observation} if "obs" in self._sees else {}
        if self.encoder is not None:
            looks["latent_state"] = self.encoder.initial_inference(observation).latent_state
        return looks

    def _errors(self, seen: Mapping[str, Tensor]) -> Tensor:
        normed = {k: self.norms[k](x) if k in self.norms else x for k, x in seen.items()}
        target, predictor = (normed[kind] for kind in self._sees)
        return (self.predictor(predictor) - self.target(target)).square().mean(1)

    def get_extra_state(self) -> dict[str, Any]:
        """Return the optimiser's state, so that `state_dict` holds it too."""
        return self._optimizer.state_dict()

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Go on with the optimiser where `get_extra_state` left it."""
        self._optimizer.load_state_dict(state)
