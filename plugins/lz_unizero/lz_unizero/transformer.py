"""A causal transformer with two ways through it that agree.

A pass reads whole windows: to learn, or to begin a search, which keeps the keys and values of every
token. A step reads one more token of each row; of the tokens before it, it is given the keys and
values alone. From small to large: places, gates, a block, the transformer.

Shape letters: B windows, R rows of a step, T tokens, E width of a token, N heads, D = E / N their
width, L blocks.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lz_unizero.config import WorldModelSettings

# --- where a token stands -------------------------------------------------------------------------


class LearnedPlaces(nn.Module):
    """A learned vector for each place of a window, added to the token there."""

    def __init__(self, cfg: WorldModelSettings) -> None:
        super().__init__()
        self.vectors = nn.Embedding(cfg.max_tokens, cfg.embed_dim)

    def forward(self, tokens: Tensor, position: Tensor) -> tuple[Tensor, None]:
        """(..., E) at positions (...) int64 -> (..., E), and no turn of keys."""
        return tokens + self.vectors(position), None


class RotaryPlaces(nn.Module):
    """Turns pairs of numbers of queries and keys by angles that grow with the place.

    What attention sees of two places is their distance, so places have no end.

    Source:
        arXiv:2104.09864, in halves as of GPT-NeoX.
    """

    frequency: Tensor  # (D / 2,) radians a place

    def __init__(self, cfg: WorldModelSettings) -> None:
        super().__init__()
        half = cfg.embed_dim // cfg.num_heads // 2
        frequency = 10_000.0 ** (-torch.arange(half) / half)
        self.register_buffer("frequency", frequency, persistent=False)

    def forward(self, tokens: Tensor, position: Tensor) -> tuple[Tensor, Tensor]:
        """(..., E) at positions (...) int64 -> the same, and the turns (..., 1, D / 2) complex."""
        angle = position[..., None, None] * self.frequency
        return tokens, torch.polar(torch.ones_like(angle), angle)


def turned(x: Tensor, turn: Tensor) -> Tensor:
    """Turn heads (..., N, D) by (..., 1, D / 2)."""
    first, second = x.chunk(2, dim=-1)
    cos, sin = turn.real, turn.imag
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)


# --- how a block adds to what it was given --------------------------------------------------------


class Sum(nn.Module):
    """A residual: x + y."""

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(..., E) and what is new, (..., E) -> (..., E)."""
        return x + y


class Gate(nn.Module):
    """A gated recurrent unit in place of the sum; its bias keeps x at first.

    Source:
        GTrXL, arXiv:1910.06764, sec. 3.2.
    """

    def __init__(self, width: int, bias: float = 2.0) -> None:
        super().__init__()
        self.of_new = nn.Linear(width, 3 * width, bias=False)  # reset, update, candidate
        self.of_old = nn.Linear(width, 2 * width, bias=False)  # reset, update
        self.of_reset = nn.Linear(width, width, bias=False)
        self.bias = nn.Parameter(torch.full((width,), bias))

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """(..., E) and what is new, (..., E) -> (..., E)."""
        width = x.shape[-1]
        gates, candidate = self.of_new(y).split((2 * width, width), dim=-1)
        reset, update = (gates + self.of_old(x)).chunk(2, dim=-1)
        share = torch.sigmoid(update - self.bias)
        return torch.lerp(x, torch.tanh(candidate + self.of_reset(reset.sigmoid() * x)), share)


# --- a block --------------------------------------------------------------------------------------


class Block(nn.Module):
    """Attention to the tokens before, then a layer on each token; norms come first.

    Source:
        arXiv:2406.10667, after nanoGPT.
    """

    def __init__(self, cfg: WorldModelSettings) -> None:
        super().__init__()
        width = cfg.embed_dim
        self.num_heads = cfg.num_heads
        self.attention_dropout = cfg.attn_pdrop
        self.norm_attention = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)  # three products of the paper side by side
        self.proj = nn.Linear(width, width)
        self.add_attention: nn.Module = Gate(width) if cfg.gru_gating else Sum()
        self.norm_mlp = nn.LayerNorm(width)
        self.widen = nn.Linear(width, 4 * width)
        self.active = nn.GELU(approximate="tanh")
        self.narrow = nn.Linear(4 * width, width)
        self.add_mlp: nn.Module = Gate(width) if cfg.gru_gating else Sum()
        self.dropout = nn.Dropout(cfg.resid_pdrop)

    def forward(self, x: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor]:
        """(B, T, E) -> (B, T, E), and the keys and values (B, T, 2, E)."""
        query, kv = self._projected(x, turn)
        key, value = kv.unbind(-2)
        seen = F.scaled_dot_product_attention(
            self._heads(query),
            self._heads(key),
            self._heads(value),
            dropout_p=self.attention_dropout if self.training else 0.0,
            is_causal=True,
        )  # (B, N, T, D)
        x = self.add_attention(x, self.dropout(self.proj(seen.transpose(1, 2).flatten(2))))
        return self.add_mlp(x, self.dropout(self._mlp(x))), kv

    def step(self, x: Tensor, turn: Tensor | None, kv: Tensor, visible: Tensor) -> Tensor:
        """Read one token of each row, whose key and value are written behind those before it.

        Args:
            x: (R, E).
            turn: of its place; None: places do not turn.
            kv: (R, T, 2, E), of which the last token is this one.
            visible: (R, 1, 1, T) float32, 0 where a token is seen and -inf where not.
        Returns:
            (R, E).
        """
        query, kv[:, -1] = self._projected(x, turn)
        key, value = kv.unbind(-2)
        seen = F.scaled_dot_product_attention(
            self._heads(query[:, None]), self._heads(key), self._heads(value), attn_mask=visible
        )  # (R, N, 1, D)
        x = self.add_attention(x, self.proj(seen.flatten(1)))
        return self.add_mlp(x, self._mlp(x))  # type: ignore[no-any-return]

    def _projected(self, x: Tensor, turn: Tensor | None) -> tuple[Tensor, Tensor]:
        """(..., E) -> query (..., E), key and value (..., 2, E)."""
        qkv = self.qkv(self.norm_attention(x)).view(*x.shape[:-1], 3, -1)  # (..., 3, E)
        if turn is None:
            return qkv[..., 0, :], qkv[..., 1:, :]
        heads = qkv[..., :2, :].view(*x.shape[:-1], 2, self.num_heads, -1)  # (..., 2, N, D)
        query, key = turned(heads, turn.unsqueeze(-3)).flatten(-2).unbind(-2)
        return query, torch.stack((key, qkv[..., 2, :]), dim=-2)

    def _heads(self, x: Tensor) -> Tensor:
        """(B, T, E) -> (B, N, T, D)."""
        return x.view(*x.shape[:2], self.num_heads, -1).transpose(1, 2)

    def _mlp(self, x: Tensor) -> Tensor:
        wide = self.active(self.widen(self.norm_mlp(x)).flatten(0, -2))  # features along axis 1
        return self.narrow(wide).view_as(x)  # type: ignore[no-any-return]


# --- the transformer ------------------------------------------------------------------------------


class Transformer(nn.Module):
    """L blocks over the tokens of a window.

    Source:
        arXiv:2406.10667, sec. 3.2 and App. B.
    """

    def __init__(self, cfg: WorldModelSettings) -> None:
        super().__init__()
        rotary = cfg.positions == "rotary"
        self.places: nn.Module = RotaryPlaces(cfg) if rotary else LearnedPlaces(cfg)
        self.dropout = nn.Dropout(cfg.embed_pdrop)
        self.blocks = nn.ModuleList(Block(cfg) for _ in range(cfg.num_layers))
        self.norm = nn.LayerNorm(cfg.embed_dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Read windows of tokens (B, T, E) -> (B, T, E); a token is told of those before it."""
        return self._pass(tokens)[0]

    def prefill(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Read windows, and keep what steps go on from.

        Returns:
            (B, T, E), and the keys and values of every block (B, T, L, 2, E).
        """
        out, kept = self._pass(tokens)
        return out, torch.stack(kept, dim=2)

    def step(self, tokens: Tensor, position: Tensor, kv: Tensor, visible: Tensor) -> Tensor:
        """Read one token of each row behind others, as a pass would read it; never to learn.

        Args:
            tokens: (R, E).
            position: (R,) int64, its place in the window.
            kv: (R, T, L, 2, E) of the tokens before, and room for this one at the end: its own
                are written there.
            visible: (R, 1, 1, T) float32, 0 where a token is seen and -inf where there is none.
        Returns:
            (R, E).
        """
        x, turn = self.places(tokens, position)
        for number, block in enumerate(self.blocks):
            x = block.step(x, turn, kv[:, :, number], visible)  # type: ignore[operator]
        return self.norm(x)  # type: ignore[no-any-return]

    def _pass(self, tokens: Tensor) -> tuple[Tensor, list[Tensor]]:
        position = torch.arange(tokens.shape[1], device=tokens.device)
        x, turn = self.places(tokens, position)
        x, kept = self.dropout(x), []
        for block in self.blocks:
            x, kv = block(x, turn)
            kept.append(kv)
        return self.norm(x), kept
