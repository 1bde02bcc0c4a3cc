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


class Leaf(NamedTuple):
    """What the pages of R leaves are to hold."""

    tokens: Tensor  # (R, 2, E) the action and the observation foretold
    kv: Tensor  # (R, 2, L, 2, E)


class WorldModelInference(Inference):
    """Runs a `UniZeroModel` in eval mode, without gradients, and decodes on the device."""

    def __init__(self, model: UniZeroModel, *, record: bool = False) -> None:
        """Serve searches with `model`, which keeps its device; see `Inference`."""
        # whose recurrent() nobody calls
        super().__init__(model, record=record)  # type: ignore[arg-type]
        self.model = model
        self._read_on = self._made_fast(self._moved)
        self._read_again = self._made_fast(self._moved_anew)

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
        told = self.model.value_support.decode(value).cpu().numpy(), policy_logits.cpu().numpy()
        return Roots(Evaluation(*told), _paged(tokens), _paged(kv))

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
    def step(self, context: Context, action: Tensor) -> tuple[Evaluation, Leaf]:
        """Take an action from each of R nodes: two tokens, one after the other.

        Args:
            context: whose last two tokens are still to be written.
            action: (R,) int64, or (R, D) float32.
        Returns:
            The evaluation of the leaves, and what their pages hold.
        """
        evaluation, leaf = self._read(self._read_on(action, *context))
        return evaluation, Leaf(*leaf)

    @torch.inference_mode()
    def read_anew(self, tokens: Tensor, action: Tensor) -> tuple[Evaluation, Tensor]:
        """Take an action from each of R nodes whose window has moved on: a pass, and a token.

        Args:
            tokens: (R, T, E) the newest of the path, which begin and end with an observation.
            action: (R,) int64, or (R, D) float32.
        Returns:
            The evaluation of the leaves, and the two tokens (R, 2, E).
        """
        evaluation, leaf = self._read(self._read_again(action, tokens))
        return evaluation, leaf[0]

    # --- what the model computes ------------------------------------------------------------------

    def _moved(
        self, action: Tensor, kv: Tensor, visible: Tensor, position: Tensor
    ) -> tuple[Tensor, ...]:
        taken = self.model.action_tokens(action)
        x = self.model.transformer.step(taken, position, kv[:, :-1], visible[..., :-1])
        return self._arrived(taken, x, Context(kv, visible, position))

    def _moved_anew(self, action: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
        taken = self.model.action_tokens(action)
        x, kv = self.model.transformer.prefill(torch.cat((tokens, taken[:, None]), dim=1))
        kv = pad(kv, (0, 0, 0, 0, 0, 0, 0, 1))  # (R, T + 2, L, 2, E)
        length = kv.shape[1]
        visible = kv.new_zeros(kv.shape[0], 1, 1, length)
        position = action.new_full(action.shape[:1], length - 2, dtype=torch.int64)
        return self._arrived(taken, x[:, -1], Context(kv, visible, position))

    def _arrived(self, taken: Tensor, x: Tensor, context: Context) -> tuple[Tensor, ...]:
        """Read the observation that is foretold behind an action, the last token of a context.

        Args:
            taken: (R, E) tokens of the actions.
            x: (R, E) what the transformer makes of them.
            context: in which they are written.
        Returns:
            Values (R,), rewards (R,), logits (R, A), tokens (R, 2, E), keys and values
            (R, 2, L, 2, E) of these.
        """
        kv, visible, position = context
        reward, latent = self.model.foretell(x)
        seen = self.model.transformer.step(latent, position + 1, kv, visible)
        policy_logits, value = self.model.evaluate(seen)
        told = self._decoded(NetworkOutput(latent, reward, value, policy_logits))[:3]
        return *told, torch.stack((taken, latent), dim=1), kv[:, -2:]


def _paged(values: Tensor) -> Tensor:
    """Of tokens (B, 2 H' - 1, ...) make pages (B, H', 2, ...), the first of them half empty."""
    before = values.new_zeros(len(values), 1, *values.shape[2:])
    return torch.cat((before, values), dim=1).view(len(values), -1, 2, *values.shape[2:])
