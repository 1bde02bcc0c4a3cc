"""Tasks that are learned in seconds and that random play fails at."""

import gymnasium
import numpy as np

from lzcore.base import ActionSpace, Positions, Spaces

CODE = (2, 0, 1, 1, 2, 0)  # what opens the lock, digit by digit


class Lock(gymnasium.Env):
    """A digit at a time; a wrong one ends the episode, a right one is worth 1. Random play: 0.5."""

    observation_space = gymnasium.spaces.Box(0.0, 1.0, (len(CODE),), np.float32)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._place = 0
        return self._seen(), {}

    def step(self, action):
        right = action == CODE[self._place]
        self._place += 1
        over = not right or self._place == len(CODE)
        return self._seen(), float(right), bool(over), False, {}

    def _seen(self):
        return np.eye(len(CODE), dtype=np.float32)[min(self._place, len(CODE) - 1)]


class Dial(gymnasium.Env):
    """Turn to the place that is shown, to 0.25; a miss ends the episode. Random play: about 0.3."""

    observation_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    action_space = gymnasium.spaces.Box(-1.0, 1.0, (1,), np.float32)
    steps = 6

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self._done = 0
        return self._turn(), {}

    def step(self, action):
        hit = abs(float(action[0]) - self._wanted) <= 0.25
        self._done += 1
        return self._turn(), float(hit), not hit or self._done == self.steps, False, {}

    def _turn(self):
        self._wanted = self.np_random.uniform(-0.75, 0.75)
        return np.array([self._wanted], np.float32)


class Nim:
    """Take 1 to 3 stones; who takes the last one wins, so leave a multiple of 4. A `Simulator`.

    A position is (stones left, moves made). One move is right in each that can be won.
    """

    stones, most = 20, 3
    spaces = Spaces(
        frame_shape=(stones + 1,),
        frame_dtype=np.dtype(np.float32),
        kind="vector",
        action=ActionSpace("discrete", most),
        players=2,
    )
    num_outcomes = 0

    def begin(self, seeds):
        return [(self.stones, 0)] * len(seeds)

    def play(self, states, action):
        taken = (action + 1).tolist()
        return [(left - n, moves + 1) for (left, moves), n in zip(states, taken, strict=True)]

    def look(self, states):
        left, moves = np.array(states).reshape(-1, 2).T
        return Positions(
            observation=np.eye(self.stones + 1, dtype=np.float32)[left],
            legal_actions=np.arange(self.most) < left[:, None],
            to_play=(1 + moves % 2).astype(np.int8),
            terminal=left == 0,
            value=np.where(left == 0, -1.0, 0.0),
            reward=np.zeros(len(left)),
            ply=moves,
        )

    def draw(self, state):
        return "o" * state[0]

    def name_of(self, state, action):
        return f"take{action + 1}"
