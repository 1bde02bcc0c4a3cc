"""Time a learn step of MuZero in CartPole, its batch included.

    python benchmarks/learn_step.py [--ssl preset off 128 1024] [--transitions 20000]

"sample" draws a batch and makes its targets, bootstraps by the target network included; "forward"
unrolls the model and computes the losses, "backward" the gradients and their norm, "update" steps
the optimiser; "rest" moves the batch in and the metrics out. The rows compare widths of the hidden
layers that the consistency loss reads latents through: as the preset sets them, without that loss,
and with projectors of 128 or 1024 numbers (predictors of half of that). Milliseconds of CPU of one
thread, medians.
"""

import argparse
import time

import harness
import numpy as np
import torch
from lz_muzero.policy import MuZeroPolicy

from lzcore.base.replay import Segment
from lzcore.base.seeding import stream_key
from lzcore.engine.assemble import make_env
from lzcore.engine.starting import plan_run
from lzcore.replay.buffer import ReplayBuffer

EPISODE = 200  # transitions


class Watched(MuZeroPolicy):
    """MuZero that notes how long the parts of a learn step take."""

    def _init_learn(self):
        super()._init_learn()
        self.spent = {"forward": [], "backward": [], "update": []}

    def _noting(self, name, call, *args):
        before = time.process_time()
        made = call(*args)
        self.spent[name].append(time.process_time() - before)
        return made

    def _unroll(self, batch):
        return self._noting("forward", super()._unroll, batch)

    def _losses(self, unrolled, batch, target):
        parts = self._noting("forward", super()._losses, unrolled, batch, target)
        self.spent["forward"].append(self.spent["forward"].pop() + self.spent["forward"].pop())
        return parts

    def _gradients(self, loss):
        return self._noting("backward", super()._gradients, loss)

    def _update(self):
        self._noting("update", super()._update)


def settings_of(ssl):
    """The settings that a row changes."""
    if ssl == "preset":
        return {}
    if ssl == "off":
        return {"ssl_loss_weight": 0, "model.self_supervised_learning_loss": False}
    width = int(ssl)
    return {
        "model.self_supervised_learning_loss": True,
        "model.proj_hid": width,
        "model.proj_out": width,
        "model.pred_hid": width // 2,
        "model.pred_out": width,
    }


def filled(policy, plan, transitions):
    """A buffer of episodes of random numbers in the environment's shapes."""
    env = make_env(plan, 1)
    columns = policy.columns(policy.cfg, env.spaces)
    num_actions = env.spaces.action.size
    env.close()
    buffer = ReplayBuffer(columns, policy.replay_settings(), stream_key(0, "replay"))
    rng = np.random.default_rng(0)
    for number in range(transitions // EPISODE):
        drawn = {c.name: rng.random((EPISODE + 1, *c.shape)) for c in columns}
        drawn["observation"] *= 255.0 if env.spaces.frame_dtype == np.uint8 else 1.0
        drawn["action"] = drawn["action"] * num_actions
        drawn["to_play"] = np.full(EPISODE + 1, -1)
        drawn["action_mask"] = np.ones((EPISODE + 1, num_actions))
        drawn["child_visit"] /= drawn["child_visit"].sum(axis=1, keepdims=True)
        whole = Segment(
            episode=number,
            offset=0,
            columns={c.name: drawn[c.name].astype(c.dtype) for c in columns},
            length=EPISODE,
            ended=True,
            terminated=True,
        )
        buffer.push([whole])
    return buffer


def measured(ssl, transitions, seconds):
    """One row of figures."""
    plan = plan_run("muzero", "CartPole-v1", named=settings_of(ssl))
    torch.manual_seed(0)
    policy = Watched(plan.resolved.policy)
    buffer = filled(policy, plan, transitions)
    batch_size = policy.cfg.batch_size
    batch = buffer.sample(batch_size, policy)
    took = harness.timed_in_turns(
        {
            "sample": lambda: buffer.sample(batch_size, policy),
            "learn": lambda: policy.learn_mode.forward(batch),
        },
        seconds,
    )
    parts = {name: harness.summary(times[1:])["ms"] for name, times in policy.spent.items()}
    parts["rest"] = round(took["learn"]["ms"] - sum(parts.values()), 4)
    model = policy.cfg.model
    return {
        "ssl": ssl,
        "projector": model.proj_hid if policy.cfg.ssl_loss_weight else 0,
        "parameters": sum(p.numel() for p in policy.learn_mode.get_attribute("model").parameters()),
        "batch_size": batch_size,
        "step_ms": round(took["sample"]["ms"] + took["learn"]["ms"], 4),
        **took,
        "learn_parts_ms": parts,
    }


def main():
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ssl", nargs="+", default=["preset", "off", "128", "1024"])
    parser.add_argument("--transitions", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=4.0, help="of CPU for each row")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    rows = [measured(ssl, asked.transitions, asked.seconds) for ssl in asked.ssl]
    harness.report("learn_step", vars(asked), {"steps": rows})


if __name__ == "__main__":
    main()
