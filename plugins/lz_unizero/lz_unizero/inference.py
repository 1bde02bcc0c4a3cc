"""What a search asks of UniZero's network: the one seam between the two.

Shape letters: B roots, R edges, H steps of a history, T tokens, O one observation, D numbers of a
continuous action, E width of a token, L blocks, W as in `pages`.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad

from lz_unizero.model import UniZeroModel
from lz_unizero.pages import Context
from lzcore.base.model import NetworkOutput
from lzcore.base.tree import Array, Evaluation
from lzcore.search import Inference


class History(NamedTuple):
    """What B roots look back on: the first `length` steps are real, the last of them is now."""

    observation: Tensor  # (B, H, *O) float32, on the model's device
    action: Tensor  # (B, H - 1) int64, or (B, H - 1, D) float32: taken at each step but the last
    length: Array  # (B,) int64, from 1 to H

    @classmethod
    def of(cls, observation: Tensor, action_dim: int | None = None) -> "History":
        """Begin with observations (B, *O) of which nothing came before.

        Args:
            observation: float32, on the model's device.
            action_dim: D; None: actions are numbered.
        """
        empty = no_actions((len(observation), 0), action_dim, observation.device)
        return cls(observation[:, None], empty, np.ones(len(observation), np.int64))


def no_actions(shape: tuple[int, ...], action_dim: int | None, device: torch.device) -> Tensor:
    """Return room for actions: zeros (*shape) int64, or (*shape, D) float32."""
    if action_dim is None:
        return torch.zeros(shape, dtype=torch.int64, device=device)
    return torch.zeros(*shape, action_dim, device=device)


class Roots(NamedTuple):
    """Evaluated roots, and what their pages hold."""

    evaluation: Evaluation
    tokens: Tensor  # (B, H', 2, E) the action before each step, 0 before the first; observation
    kv: Tensor  # (B, H', 2, L, 2, E)


class WorldModelInference(Inference):
    """Runs a `UniZeroModel` in eval mode, without gradients, and decodes on the device."""

    def __init__(self, model: UniZeroModel) -> None:
        """Serve searches with `model`, which keeps its device."""
        super().__init__(model)  # type: ignore[arg-type]  # whose recurrent() nobody calls
        self.model = model

    @torch.inference_mode()
    def roots(self, history: History) -> Roots:
        """Read histories in one pass, as long as the longest of them."""
        self.refresh()
        steps = int(history.length.max())
        tokens = self._tokens(history, steps)  # (B, 2 H' - 1, E)
        x, kv = self.model.transformer.prefill(tokens)
        root = torch.arange(len(x), device=x.device)
        now = torch.from_numpy(2 * history.length - 2).to(x.device)
        policy_logits, value = self.model.evaluate(x[root, now])
        out = NetworkOutput(tokens[root, now], torch.zeros_like(value), value, policy_logits)
        evaluation, _ = self._evaluated(out)
        return Roots(evaluation._replace(reward=None), _paged(tokens), _paged(kv))

    def _tokens(self, history: History, steps: int) -> Tensor:
        """(B, 2 H' - 1, E), noise behind the end of each history."""
        latents = self._latents(history, steps)
        action = history.action[:, : steps - 1]
        ended = torch.cat((action, action.new_zeros(len(action), 1, *action.shape[2:])), dim=1)
        return self.model.tokens(latents, ended)[:, :-1]

    def _latents(self, history: History, steps: int) -> Tensor:
        """(B, H', E), encoded in one call of as many observations as are real."""
        real = torch.from_numpy(np.arange(steps) < history.length[:, None])  # (B, H')
        real = real.to(history.observation.device)
        latent = self.model.encode(history.observation[:, :steps][real])  # (n, E)
        latents = latent.new_zeros(*real.shape, latent.shape[1])
        latents[real] = latent
        return latents

    @torch.inference_mode()
    def values(self, observation: Tensor, action: Tensor) -> Array:
        """Value every step of R windows, told of the steps before it: (R, H) float32.

        Args:
            observation: (R, H, *O) float32.
            action: (R, H) int64, or (R, H, D) float32, taken at each of them.
        """
        self.refresh()
        value = self.model(observation, action).value
        return self.model.value_support.decode(value).cpu().numpy()

    @torch.inference_mode()
    def step(self, context: Context, action: Tensor) -> tuple[Evaluation, Tensor]:
        """Take an action from each of R nodes: two tokens, one after the other.

        Args:
            context: whose last two tokens are written.
            action: (R,) int64, or (R, D) float32.
        Returns:
            The evaluation of the leaves, and the two tokens (R, 2, E).
        """
        model, (kv, visible, position) = self.model, context
        taken = model.action_tokens(action)
        x = model.transformer.step(taken, position, kv[:, :-1], visible[..., :-1])
        reward, latent = model.foretell(x)
        return self._arrived(taken, reward, latent, context)

    @torch.inference_mode()
    def read_anew(self, tokens: Tensor, action: Tensor) -> tuple[Evaluation, Tensor]:
        """Take an action from each of R nodes whose window has moved on: a pass, and a token.

        Args:
            tokens: (R, T, E) the newest of the path, which begin and end with an observation.
            action: (R,) int64, or (R, D) float32.
        Returns:
            The evaluation of the leaves, and the two tokens (R, 2, E).
        """
        taken = self.model.action_tokens(action)
        x, kv = self.model.transformer.prefill(torch.cat((tokens, taken[:, None]), dim=1))
        reward, latent = self.model.foretell(x[:, -1])
        kv = pad(kv, (0, 0, 0, 0, 0, 0, 0, 1))  # (R, T + 2, L, 2, E)
        length = kv.shape[1]
        visible = kv.new_zeros(len(kv), 1, 1, length)
        position = torch.full((len(kv),), length - 2, device=kv.device)
        return self._arrived(taken, reward, latent, Context(kv, visible, position))

    def _arrived(
        self, taken: Tensor, reward: Tensor, latent: Tensor, context: Context
    ) -> tuple[Evaluation, Tensor]:
        """Read the observation that was foretold, the last token of a context."""
        kv, visible, position = context
        x = self.model.transformer.step(latent, position + 1, kv, visible)
        policy_logits, value = self.model.evaluate(x)
        evaluation, _ = self._evaluated(NetworkOutput(latent, reward, value, policy_logits))
        return evaluation, torch.stack((taken, latent), dim=1)


def _paged(values: Tensor) -> Tensor:
    """Of tokens (B, 2 H' - 1, ...) make pages (B, H', 2, ...), the first of them half empty."""
    before = values.new_zeros(len(values), 1, *values.shape[2:])
    return torch.cat((before, values), dim=1).view(len(values), -1, 2, *values.shape[2:])
