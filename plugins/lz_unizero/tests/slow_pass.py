"""The transformer once more, slowly and apart from it, and dynamics that read every path whole.

Shape letters: T tokens, E their width, N heads, D = E / N.
"""

import numpy as np
import torch
import torch.nn.functional as F

from lzcore.base import Evaluation


def slow_pass(transformer, tokens, num_heads, window):
    """Read tokens (T, E) with plain sums -> (T, E); of the past the last `window` steps are seen.

    `window` None: all of it.
    """
    places = transformer.places
    learned = hasattr(places, "vectors")
    x = tokens + places.vectors.weight[: len(tokens)] if learned else tokens
    for block in transformer.blocks:
        q, k, v = block.qkv(block.norm_attention(x)).chunk(3, dim=-1)
        if not learned:
            q, k = (turn(part, num_heads, places.frequency) for part in (q, k))
        x = join(block.add_attention, x, block.proj(attend(q, k, v, num_heads, window)))
        wide = F.gelu(block.widen(block.norm_mlp(x)), approximate="tanh")
        x = join(block.add_mlp, x, block.narrow(wide))
    return transformer.norm(x)


def attend(q, k, v, num_heads, window):
    """One head after another, with a table of who sees whom."""
    at = torch.arange(len(q))
    first = torch.zeros(len(q)) if window is None else 2 * ((at + 1) // 2 - window + 1)
    seen = (at <= at[:, None]) & (at >= first[:, None])
    heads = []
    for qs, ks, vs in zip(*(part.chunk(num_heads, dim=1) for part in (q, k, v)), strict=True):
        scores = (qs @ ks.T / qs.shape[1] ** 0.5).masked_fill(~seen, -torch.inf)
        heads.append(scores.softmax(1) @ vs)
    return torch.cat(heads, dim=1)


def turn(x, num_heads, frequency):
    """Turn by place: complex numbers whose real parts are the first half of a head."""
    heads = x.view(len(x), num_heads, -1).double()
    first, second = heads.chunk(2, dim=-1)
    angle = torch.arange(len(x))[:, None, None] * frequency.double()
    turned = torch.complex(first, second) * torch.exp(1j * angle)
    return torch.cat((turned.real, turned.imag), dim=-1).flatten(1).float()


def join(add, x, y):
    """A sum, or GTrXL's gate as the paper writes it."""
    if not hasattr(add, "bias"):
        return x + y
    w_r, w_z, w_g = add.of_new.weight.chunk(3)
    u_r, u_z = add.of_old.weight.chunk(2)
    r = torch.sigmoid(y @ w_r.T + x @ u_r.T)
    z = torch.sigmoid(y @ w_z.T + x @ u_z.T - add.bias)
    h = torch.tanh(y @ w_g.T + (r * x) @ add.of_reset.weight.T)
    return (1 - z) * x + z * h


class WholePaths:
    """Dynamics that keep each path as a list of tokens, and read it from its beginning."""

    def __init__(self, model):
        self.model = model
        cfg = model.cfg.world_model_cfg
        self.num_heads, self.window = cfg.num_heads, cfg.window_steps
        self.slides = cfg.positions == "rotary" and cfg.kv_slide == "grow"
        self.paths = {}  # (node, root) -> tokens, the first and the last of observations
        self.longest = 0  # in steps

    @torch.inference_mode()
    def root(self, history):
        rows = []
        for root, length in enumerate(history.length):
            latents = self.model.encode(history.observation[root, :length])
            taken = self.model.action_tokens(history.action[root, : length - 1])
            path = [token for pair in zip(latents, taken, strict=False) for token in pair]
            self.paths[0, root] = [*path, latents[-1]]
            rows.append(self._worth(self.paths[0, root]))
        value, logits = (np.stack(part) for part in zip(*rows, strict=True))
        return Evaluation(value, logits)

    @torch.inference_mode()
    def expand(self, leaves):
        num_roots = max(root for _, root in self.paths) + 1
        rows = [self._leaf(leaves, row, row % num_roots) for row in range(len(leaves.parent))]
        value, logits, reward = (np.stack(part) for part in zip(*rows, strict=True))
        return Evaluation(value, logits, reward)

    def _leaf(self, leaves, row, root):
        if not leaves.needs_evaluation[row]:
            width = leaves_width(self.model)
            return np.float32(0), np.zeros(width, np.float32), np.float32(0)
        action = leaves.action[row] if leaves.vector is None else leaves.vector[row]
        taken = self.model.action_tokens(torch.from_numpy(np.array([action])))[0]
        path = [*self.paths[leaves.parent[row], root], taken]
        # what is seen ends with the observation foretold, which takes part in the count
        reward, latent = self.model.foretell(self._read(path, len(path) + 1)[-1:])
        path = self.paths[leaves.node[row], root] = [*path, latent[0]]
        self.longest = max(self.longest, (len(path) + 1) // 2)
        return (*self._worth(path), self.model.reward_support.decode(reward)[0].numpy())

    def _worth(self, path):
        policy, value = self.model.evaluate(self._read(path, len(path))[-1:])
        return self.model.value_support.decode(value)[0].numpy(), policy[0].numpy()

    def _read(self, path, length):
        if self.slides:
            window, left_out = self.window, 0
        else:
            window, left_out = None, max(0, length - (2 * self.window - 1))
        return slow_pass(
            self.model.transformer, torch.stack(path[left_out:]), self.num_heads, window
        )


def leaves_width(model):
    """Numbers in a row of logits."""
    cfg = model.cfg
    return cfg.action_size * (2 if cfg.continuous_action_space else 1)
