"""Time a whole search of UniZero, from histories to visits, and what its pages save.

    python benchmarks/world_model.py [--widths 768 64] [--simulations 50] [--roots 8]
    python benchmarks/world_model.py --device cuda [--as-it-is]

The network is the documented one, 2 blocks over pictures of 64 x 64, and the same with narrower
tokens; weights are drawn at random, also in the heads, which start at zero otherwise. "history"
encodes the last 4 observations of each root and reads them, "model" is the calls of the network
after that, "pages" where contexts are gathered and kept, "tree" the tree alone; "glue" is the rest.
"scratch" searches without pages: every leaf reads its path from the beginning, as long as it is.
"scratch_over_pages" leaves the history out, which is the same in both. Milliseconds of CPU of one
thread; on a GPU only what a search takes by the clock ("wall_ms").

Shape letters: B roots searched together, S simulations, W steps of the longest path, E width.
"""

import argparse
import time
from functools import partial

import harness
import numpy as np
import torch
from lz_unizero.dynamics import WorldModelDynamics
from lz_unizero.inference import History, WorldModelInference
from lz_unizero.model import UniZeroModel
from lz_unizero.pages import Context

from lzcore.base.treespec import TreeSpec
from lzcore.search import make_tree, search

ACTIONS = 6
PARTS = ("history", "model", "pages", "tree")


class FromScratch(WorldModelDynamics):
    """Reads the whole path to every leaf, within the window, and keeps tokens alone."""

    def _evaluated(self, edges, action):
        steps = np.minimum(edges.length, self._window)  # the leaf's own included
        back = np.arange(steps.max() - 1) - steps[:, None] + 1  # (R, W - 1), the oldest first
        chain = np.take_along_axis(edges.chain, np.minimum(back, -1) + self._window - 1, axis=1)
        tokens = self._pages._tokens[torch.from_numpy(chain)]  # (R, W - 1, 2, E)
        evaluation, arrived = self._inference.read_whole(tokens, action, torch.from_numpy(steps))
        self._pages.write_tokens(edges, arrived)
        return evaluation


class WholeInference(WorldModelInference):
    """Reads paths of different lengths side by side."""

    @torch.inference_mode()
    def read_whole(self, tokens, action, steps):
        """Read paths (R, W - 1, 2, E), the oldest first, of which `steps` (R,) less 1 are real."""
        taken, rows = self.model.action_tokens(action), torch.arange(len(action))
        tokens = torch.cat((tokens.flatten(1, 2)[:, 1:], taken[:, None]), dim=1)
        tokens[rows, 2 * steps - 3] = taken
        x, kv = self.model.transformer.prefill(tokens)
        visible = torch.zeros(len(kv), 1, 1, kv.shape[1] + 1)
        behind = torch.arange(kv.shape[1]) > 2 * steps[:, None] - 3
        visible[:, 0, 0, :-1].masked_fill_(behind, -torch.inf)
        kv = torch.nn.functional.pad(kv, (0, 0, 0, 0, 0, 0, 0, 1))
        context = Context(kv, visible, 2 * steps - 3)
        evaluation, leaf = self._read(self._arrived(taken, x[rows, 2 * steps - 3], context))
        return evaluation, leaf[0]


class Stopwatch:
    """Adds up the CPU seconds of some methods, by name of the part that they belong to."""

    def __init__(self):
        self.seconds = dict.fromkeys(PARTS, 0.0)

    def watch(self, part, owner, *names):
        """Time these methods of `owner` from now on."""
        for name in names:
            setattr(owner, name, partial(self._timed, part, getattr(owner, name)))

    def _timed(self, part, method, *given):
        began = time.process_time()
        result = method(*given)
        self.seconds[part] += time.process_time() - began
        return result


def awake_model(width, device, **world):
    """The documented network with tokens of another width, which says something of everything."""
    torch.manual_seed(0)
    model = UniZeroModel(
        norm_type="LN", world_model_cfg={"embed_dim": width, "action_space_size": ACTIONS, **world}
    )
    for weight in model.parameters():
        if not weight.any():
            torch.nn.init.normal_(weight, std=0.05)
    return model.eval().to(device)


def drawn_history(model, roots):
    """Histories of full length of `roots` roots."""
    rng, steps = torch.Generator().manual_seed(0), model.cfg.world_model_cfg.context_steps
    pictures = torch.rand(roots, steps, *model.cfg.observation_shape, generator=rng)
    actions = torch.randint(ACTIONS, (roots, steps - 1), generator=rng)
    device = next(model.parameters()).device
    return History(pictures.to(device), actions.to(device), np.full(roots, steps))


def searching(model, roots, simulations, dynamics_class, record=True):
    """A search and what it is made of: (call, dynamics, tree, inference)."""
    tree = make_tree(
        "auto", TreeSpec(num_simulations=simulations, num_actions=ACTIONS, discount=0.997)
    )
    inference = WholeInference(model, record=record)
    dynamics = dynamics_class(inference, tree)
    history = drawn_history(model, roots)
    return (
        lambda: search(tree, dynamics, history, num_simulations=simulations),
        dynamics,
        tree,
        inference,
    )


def shares_of(model, roots, simulations, repeats=3):
    """Milliseconds of each part of a search, and how many leaves were read anew."""
    call, dynamics, tree, inference = searching(model, roots, simulations, WorldModelDynamics)
    call()
    watch = Stopwatch()
    watch.watch("history", inference, "roots")
    watch.watch("model", inference, "step", "read_anew")
    watch.watch("tree", tree, "start", "select", "backup", "result")
    watch.watch("pages", dynamics._pages, "begin", "edges", "context", "write")
    watch.watch("pages", dynamics._pages, "newest_tokens")
    began = time.process_time()
    for _ in range(repeats):
        call()
    whole = time.process_time() - began
    seconds = watch.seconds | {"glue": whole - sum(watch.seconds.values())}
    return {
        "parts_ms": {name: round(1e3 * s / repeats, 3) for name, s in seconds.items()},
        "shares": {name: round(s / whole, 3) for name, s in seconds.items()},
        "read_anew": round(dynamics.share_read_anew, 3),
    }


def searched(width, asked, **world):
    """One row of figures of a GPU."""
    model = awake_model(width, asked.device, **world)
    call, *_ = searching(
        model, asked.roots, asked.simulations, WorldModelDynamics, not asked.as_it_is
    )
    return {"width": width, **world, "search": harness.timed(call, asked.seconds)}


def measured(width, asked, **world):
    """One row of figures of a CPU."""
    roots, simulations = asked.roots, asked.simulations
    model = awake_model(width, asked.device, **world)
    pages, dynamics, *_ = searching(model, roots, simulations, WorldModelDynamics)
    calls = {"pages": pages, "history": lambda: dynamics.root(drawn_history(model, roots))}
    if dynamics.layout(roots).keeps_tokens:
        calls["scratch"] = searching(model, roots, simulations, FromScratch)[0]
    took = harness.timed_in_turns(calls, asked.seconds)
    least = {name: took[name]["least_ms"] for name in calls}
    saved = (
        {"scratch_over_pages": round((least["scratch"] - least["history"])
                                     / (least["pages"] - least["history"]), 2)}
        if "scratch" in calls
        else {}
    )  # fmt: skip
    layout = dynamics.layout(roots)
    return {
        "width": width,
        **world,
        "searches": took,
        **saved,
        **shares_of(model, roots, simulations),
        "pages": layout.num_pages,
        "page_bytes": layout.page_bytes,
        "pool_bytes": layout.num_bytes,
    }


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[768, 64], help="E")
    parser.add_argument("--simulations", type=int, default=50, help="S")
    parser.add_argument("--roots", type=int, default=8, help="B")
    parser.add_argument("--seconds", type=float, default=15.0, help="of CPU for each row")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--as-it-is", action="store_true", help="do not record the network")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    harness.traced_at_once()
    row = measured if asked.device == "cpu" else searched
    rows = [
        row(width, asked, **world)
        for width in asked.widths
        for world in ({}, {"positions": "rotary"}, {"kv_slide": "rebuild"})
    ]
    harness.report("world_model", vars(asked), {"models": rows})


if __name__ == "__main__":
    main()
