"""Time `Buffer.sample` with a batch of 256.

    python benchmarks/replay.py [--transitions 1000000] [--repeat 300]

CartPole-shaped rows: targets are n-step returns over stored root values (K = n = 5), built for
the whole batch at once. Image rows: 20,000 uint8 frames of (1, 64, 64), stacked by four, and 2,000
of them kept as JPEG. Times are medians of CPU milliseconds of one thread.
"""

import argparse
import time
from functools import partial

import harness
import numpy as np

from lzcore.base.replay import Column, ReplaySettings, Segment
from lzcore.replay.buffer import ReplayBuffer

BATCH, UNROLL, TD_STEPS, DISCOUNT, EPISODE = 256, 5, 5, 0.997, 200
POWERS = DISCOUNT ** np.arange(TD_STEPS + 1)
# sums K + 1 overlapping runs of n rewards, each discounted from its own start
RETURNS = np.zeros((UNROLL + TD_STEPS, UNROLL + 1))
for k in range(UNROLL + 1):
    RETURNS[k : k + TD_STEPS, k] = POWERS[:TD_STEPS]


class Targets:
    """What a MuZero makes of windows, without a network: the policy of this benchmark."""

    def make_batch(self, windows):
        """Return observation, actions, mask, value, reward and policy targets, weights."""
        k = np.arange(UNROLL + 1)
        left = windows.steps_left[:, None]
        reward = windows.take("reward", 0, UNROLL + TD_STEPS)
        reward = np.where(np.arange(UNROLL + TD_STEPS) < left, reward, 0.0)
        steps = np.clip(left - k, 0, TD_STEPS)  # to where the value is taken from
        bootstrap = windows.take("root_value", TD_STEPS, UNROLL + TD_STEPS + 1)
        bootstrap = np.where(left - k > TD_STEPS, bootstrap, 0.0)  # all end terminated here
        mask = k < left
        visits = windows.take("child_visit", 0, UNROLL + 1)
        return {
            "observation": windows.frames(0, 1),
            "action": windows.take("action", 0, UNROLL),
            "mask": mask,
            "reward": reward[:, :UNROLL].astype(np.float32),
            "value": (reward @ RETURNS + POWERS[steps] * bootstrap).astype(np.float32),
            "policy": np.where(mask[..., None], visits, 0.0).astype(np.float32),
            "weights": windows.weights,
            "index": windows.index,
        }


class Frames:
    """Asks for stacked frames of the whole unroll and nothing else."""

    def make_batch(self, windows):
        """Return uint8 frames (B, K + S, 1, 64, 64)."""
        return windows.frames(0, UNROLL + 1)


class Positions:
    """Asks for nothing but where the samples are."""

    def make_batch(self, windows):
        """Return the windows themselves."""
        return windows


def columns(frame, dtype, jpeg=False):
    """Return what a MuZero stores of a two-action environment."""
    return [
        Column("observation", frame, dtype, jpeg=jpeg),
        Column("action", (), np.int64),
        Column("reward", (), np.float32),
        Column("child_visit", (2,), np.float32, changing=True),
        Column("root_value", (), np.float32, changing=True),
        Column("predicted_value", (), np.float32),
        Column("to_play", (), np.int8, pad=-1),
        Column("action_mask", (2,), bool),
    ]


def filled(transitions, frame, dtype, jpeg=False, **settings):
    """Return a buffer of so many transitions, and the seconds that the pushes took."""
    rng = np.random.default_rng(0)
    given = columns(frame, dtype, jpeg)
    buffer = ReplayBuffer(
        given,
        ReplaySettings(capacity=transitions, unroll_steps=UNROLL, lookahead=TD_STEPS, **settings),
        key=1,
    )
    episode = {c.name: (rng.random((EPISODE, *c.shape)) * 2).astype(c.dtype) for c in given}
    before = time.process_time()
    for first in range(0, transitions // EPISODE, 8):
        buffer.push(
            [
                Segment(
                    episode=number,
                    offset=0,
                    columns=episode,
                    length=EPISODE,
                    ended=True,
                    terminated=True,
                    priority=rng.random(EPISODE) + 0.01 if settings.get("use_priority") else None,
                )
                for number in range(first, min(first + 8, transitions // EPISODE))
            ]
        )
    return buffer, time.process_time() - before


def median_ms(call, repeat):
    """Return the median CPU time of a call in milliseconds."""
    found = []
    for _ in range(repeat):
        before = time.process_time_ns()
        call()
        found.append((time.process_time_ns() - before) / 1e6)
    return round(float(np.median(found)), 4)


def measure(transitions, repeat):
    """Return all figures by name."""
    found = {"batch": BATCH}
    for name, priority in (("uniform", False), ("priority", True)):
        buffer, seconds = filled(transitions, (4,), np.float32, use_priority=priority)
        found[f"{name}_push_s"] = round(seconds, 2)
        found[f"{name}_sample_ms"] = median_ms(partial(buffer.sample, BATCH, Targets()), repeat)
        found[f"{name}_draw_ms"] = median_ms(partial(buffer.sample, BATCH, Positions()), repeat)
    windows = buffer.sample(BATCH, Positions())
    told = (windows.index, np.linspace(0.1, 1.0, BATCH), windows.stamp)
    found["update_priority_ms"] = median_ms(partial(buffer.update_priority, *told), repeat)
    buffer, seconds = filled(20_000, (1, 64, 64), np.uint8, frame_stack=4)
    found["image_push_s"] = round(seconds, 2)
    found["image_frames_ms"] = median_ms(partial(buffer.sample, BATCH, Frames()), repeat)
    buffer, seconds = filled(2_000, (1, 64, 64), np.uint8, jpeg=True, frame_stack=4)
    found["jpeg_push_s"] = round(seconds, 2)
    found["jpeg_frames_ms"] = median_ms(partial(buffer.sample, BATCH, Frames()), 1 + repeat // 20)
    return found


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--transitions", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=300)
    asked = parser.parse_args()
    harness.report("replay", vars(asked), measure(asked.transitions, asked.repeat))
