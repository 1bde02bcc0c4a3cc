"""Time whole searches of MuZero with a network, by mctx and by lz, on a CPU or a GPU.

    pip install -e "plugins/lz_ctree[oracle]"
    python benchmarks/mctx_network.py [--device cuda] [--networks mlp conv] [--roots 8 64 256]

Both search with the same weights, drawn at random: "mlp" has latents of 128 numbers and heads of
601 bins, "conv" latents of 64 maps of 8 x 8, stepped by three convolutions. mctx is one compiled
program that holds the network and the tree on the device; compiling is timed apart. lz calls a
PyTorch network once for each simulation and keeps the tree in C++ on the host. From an observation
on the device to visits on the host, in milliseconds of the clock; mctx under "mctx", ours under
"lz". "same_visits" is the share of roots that got the same visits from both; float32 and TF32 turn
a choice here and there.

Shape letters: B roots searched together, A actions, S simulations, E numbers of a latent.
"""

import argparse
import os
import time

if __name__ == "__main__":  # before XLA takes the GPU's memory
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")

import harness
import numpy as np
import torch
from pictures import wall
from torch import nn

from lzcore.base.model import NetworkOutput
from lzcore.base.treespec import TreeSpec
from lzcore.nn.support import EPSILON, CategoricalSupport
from lzcore.search import Inference, LearnedDynamics, make_tree, search

jax, jnp, mctx = harness.jax_and_mctx()

DISCOUNT, BINS, WIDTH, MAPS = 0.997, 601, 128, 64
SHAPES = {"mlp": (WIDTH,), "conv": (MAPS, 8, 8)}


# --- the network, for PyTorch ---------------------------------------------------------------------


class Network(nn.Module):
    """Layers by name, so that another library can read their weights."""

    def __init__(self, kind, actions):
        super().__init__()
        self.kind, self.actions = kind, actions
        self.value_support = self.reward_support = CategoricalSupport(BINS // 2)
        if kind == "mlp":
            self.first = nn.Linear(WIDTH + actions, WIDTH)
            self.second = nn.Linear(WIDTH, WIDTH)
        else:
            self.first = nn.Conv2d(MAPS + actions, MAPS, 3, padding=1)
            self.second = nn.Conv2d(MAPS, MAPS, 3, padding=1)
            self.third = nn.Conv2d(MAPS, MAPS, 3, padding=1)
            self.narrow = nn.Conv2d(MAPS, 16, 1)
        flat = WIDTH if kind == "mlp" else 16 * 64
        for name, size in (("reward", BINS), ("value", BINS), ("policy", actions)):
            setattr(self, f"{name}_hidden", nn.Linear(flat, 32))
            setattr(self, f"{name}_out", nn.Linear(32, size))
        for weight in self.parameters():
            nn.init.normal_(weight, std=1.5 / weight[0].numel() ** 0.5 if weight.dim() > 1 else 0.1)

    def initial_inference(self, observation):
        """What is observed is the latent."""
        return self._told(observation)

    def recurrent_inference(self, latent_state, action):
        """An action is a plane, or a number, of its own."""
        told = nn.functional.one_hot(action, self.actions).float()
        if self.kind == "conv":
            told = told[..., None, None].expand(-1, -1, 8, 8)
        x = self.first(torch.cat((latent_state, told), 1)).relu()
        y = self.second(x)
        if self.kind == "conv":
            y = self.third(y.relu())
        return self._told((x + y).tanh())

    def _told(self, latent):
        flat = latent if self.kind == "mlp" else self.narrow(latent).relu().flatten(1)
        heads = {
            name: getattr(self, f"{name}_out")(getattr(self, f"{name}_hidden")(flat).relu())
            for name in ("reward", "value", "policy")
        }
        return NetworkOutput(latent, heads["reward"], heads["value"], heads["policy"])


# --- the same for JAX -----------------------------------------------------------------------------


def layer(weights, name, x):
    """A layer of the network above."""
    weight, bias = weights[f"{name}.weight"], weights[f"{name}.bias"]
    if weight.ndim == 2:
        return x @ weight.T + bias
    around = weight.shape[2] // 2
    padding = [(around, around)] * 2
    return jax.lax.conv(x, weight, (1, 1), padding) + bias[None, :, None, None]


def told(weights, latent):
    """Reward and value as scalars, and logits."""
    flat = latent
    if latent.ndim == 4:
        flat = jax.nn.relu(layer(weights, "narrow", latent)).reshape(len(latent), -1)
    heads = [
        layer(weights, f"{name}_out", jax.nn.relu(layer(weights, f"{name}_hidden", flat)))
        for name in ("reward", "value", "policy")
    ]
    return decode(heads[0]), decode(heads[1]), heads[2]


def decode(logits):
    """The mean bin, with the squashing of scalars undone."""
    y = jax.nn.softmax(logits) @ (jnp.arange(BINS) - BINS // 2).astype(jnp.float32)
    half = 0.5 + EPSILON
    r = y / (jnp.sqrt(jnp.abs(y) * EPSILON + half * half) + half)
    return (jnp.abs(r) + 2) * r


def recurrent(actions):
    """What mctx asks of a network."""

    def step(weights, key, action, latent):
        plane = jax.nn.one_hot(action, actions)
        if latent.ndim == 4:
            plane = jnp.broadcast_to(plane[..., None, None], (len(latent), actions, 8, 8))
        x = jax.nn.relu(layer(weights, "first", jnp.concatenate((latent, plane), 1)))
        y = layer(weights, "second", x)
        if latent.ndim == 4:
            y = layer(weights, "third", jax.nn.relu(y))
        latent = jnp.tanh(x + y)
        reward, value, logits = told(weights, latent)
        output = mctx.RecurrentFnOutput(
            reward=reward,
            discount=jnp.full_like(value, DISCOUNT),
            prior_logits=logits,
            value=value,
        )
        return output, latent

    return step


# --- two searches ---------------------------------------------------------------------------------


def by_mctx(network, observation, simulations):
    """A compiled search, and the seconds of compiling."""
    weights = {name: jnp.asarray(w.cpu().numpy()) for name, w in network.state_dict().items()}

    def searched(weights, observation, key):
        _, value, logits = told(weights, observation)
        root = mctx.RootFnOutput(prior_logits=logits, value=value, embedding=observation)
        step = recurrent(network.actions)
        found = mctx.muzero_policy(weights, key, root, step, simulations, dirichlet_fraction=0.0)
        return found.search_tree.summary().visit_counts

    given = weights, jnp.asarray(observation.cpu().numpy()), jax.random.PRNGKey(0)
    began = time.perf_counter()
    program = jax.jit(searched).lower(*given).compile()
    return lambda: np.asarray(program(*given)), time.perf_counter() - began


def by_lz(network, observation, asked):
    """The same with PyTorch and the tree in C++."""
    spec = TreeSpec(
        num_simulations=asked.simulations,
        num_actions=network.actions,
        num_threads=asked.threads,
        discount=DISCOUNT,
        fpu="mctx",
        range_floor=1e-8,
    )
    tree = make_tree("lz_ctree", spec)
    dynamics = LearnedDynamics(Inference(network, record=not asked.as_it_is), tree)
    return lambda: (
        search(tree, dynamics, observation, num_simulations=asked.simulations).visit_count
    )


def measured(kind, roots, asked):
    """One row of figures."""
    torch.manual_seed(0)
    network = Network(kind, asked.actions).to(asked.device).eval()
    observation = torch.randn(roots, *SHAPES[kind]).to(asked.device)
    theirs, compile_seconds = by_mctx(network, observation, asked.simulations)
    ours = by_lz(network, observation, asked)
    same = (ours() == theirs()).all(axis=1).mean()
    took = {"mctx": wall(theirs, asked.seconds), "lz": wall(ours, asked.seconds)}
    return {
        "network": kind,
        "roots": roots,
        **took,
        "ratio": round(took["mctx"]["ms"] / took["lz"]["ms"], 2),
        "mctx_compile_seconds": round(compile_seconds, 1),
        "same_visits": round(float(same), 3),
    }


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=["mlp", "conv"], choices=SHAPES)
    parser.add_argument("--roots", type=int, nargs="+", default=[8, 64, 256], help="B")
    parser.add_argument("--actions", type=int, default=6, help="A")
    parser.add_argument("--simulations", type=int, default=50, help="S")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1, help="of the tree in C++")
    parser.add_argument("--as-it-is", action="store_true", help="do not record the network")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each search")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    harness.traced_at_once()
    torch.set_float32_matmul_precision("high")  # as JAX does
    rows = [measured(kind, roots, asked) for kind in asked.networks for roots in asked.roots]
    device = str(jax.devices()[0])
    settings = vars(asked) | {"mctx": mctx.__version__, "jax": jax.__version__, "jax_on": device}
    harness.report("mctx_network", settings, {"searches": rows})


if __name__ == "__main__":
    main()
