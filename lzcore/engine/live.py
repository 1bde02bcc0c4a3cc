"""Episodes that go on from one iteration to the next, and after a resume.

A checkpoint cannot hold an environment, so it holds how to get there: which episode, hence its
reset seed, and the actions taken since. They are played again, and what is shown then has to be
what was shown before.

Shape letters: N environments.
"""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from lzcore.base.env import Env
from lzcore.base.errors import EnvError
from lzcore.base.policy import Policy
from lzcore.engine.clock import Clock
from lzcore.engine.play import Stage, Step

Array: TypeAlias = npt.NDArray[Any]


class LiveEpisodes:
    """N running episodes side by side; where one ends, the next begins at once."""

    def __init__(self, env: Env, policy: Policy, key: int) -> None:
        """Prepare; no episode has begun.

        Args:
            env: of N environments.
            policy: decides; its state of an environment is reset where an episode ends.
            key: of the stream of reset seeds; an episode's seed is (key, environment, number of
                the episode in that environment).
        """
        self.begun = False
        self._stage = Stage(env, policy, "collect", key)
        self._env_id = np.arange(env.num_envs)
        self._actions: list[list[Any]] = [[] for _ in range(env.num_envs)]  # since the reset
        self._return = np.zeros(env.num_envs)

    @property
    def timestep(self) -> Array:
        """Steps taken in each running episode, (N,) int64."""
        return np.array([len(taken) for taken in self._actions], np.int64)

    # --- a step, in two halves ------------------------------------------------------------------

    def begin(self) -> None:
        """Begin the first episode of every environment."""
        self._stage.forget(None)
        self._stage.begin(self._env_id)
        self.begun = True

    def act(self, schedule: Mapping[str, float], clock: Clock) -> Step:
        """Decide in every environment and step it."""
        return self._stage.act(self._env_id, schedule, clock)

    def follow(self, step: Step, clock: Clock) -> None:
        """Go on to what the step showed; after it, what it holds is not good any longer."""
        for taken, action in zip(self._actions, step.decisions.columns["action"], strict=True):
            taken.append(action)
        self._return[:] = step.stepped.episode_return
        finished = self._stage.follow(step)
        for env_id in finished.tolist():
            self._actions[env_id] = []
        self._return[finished] = 0.0
        clock.lap("glue")
        self._stage.begin(finished)
        clock.lap("env")

    # --- persistence ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """Return how to come here again, and how it looks here."""
        return {
            "number": self._stage.number.copy(),
            "actions": [np.array(taken) for taken in self._actions],
            "shown": self._shown(),
            **({} if (kept := self._stage.resigning) is None else {"resigning": kept.first.copy()}),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Play every episode again up to where it was when `state` was written.

        The policy is not asked, and not reset: its own state says where it stood.

        Raises:
            EnvError: an environment does not repeat itself, or failed.
        """
        self._stage.number[:] = state["number"]
        self._actions = [list(taken) for taken in state["actions"]]
        self._stage.begin(self._env_id)
        if self._stage.resigning is not None:
            self._stage.resigning.first[:] = state["resigning"]
        timestep = self.timestep
        for t in range(int(timestep.max())):
            self._repeat(t, np.flatnonzero(timestep > t))
        now = self._shown()
        for name, before in state["shown"].items():
            for env_id, (one, other) in enumerate(zip(before, now[name], strict=True)):
                if not np.array_equal(one, other):
                    raise _unlike(env_id, timestep)
        self.begun = True

    def _repeat(self, t: int, env_id: Array) -> None:
        """Take action number t of these environments once more."""
        action = np.stack([self._actions[i][t] for i in env_id.tolist()])
        stepped = self._stage.step(env_id, action)
        ended = stepped.terminated | stepped.truncated
        if ended.any():
            raise _unlike(int(env_id[ended][0]), self.timestep)
        self._stage.latest.follow(stepped.observed)
        self._return[env_id] = stepped.episode_return

    def _shown(self) -> dict[str, Array]:
        """Return all that environments have shown lately, name -> (N, ...)."""
        fields = self._stage.latest.observed(self._env_id)._asdict()
        del fields["states"], fields["simulator"]  # no plain data; the same actions lead to them
        shown = {name: values for name, values in fields.items() if values is not None}
        return {**shown, "return": self._return.copy()}


def _unlike(env_id: int, timestep: Array) -> EnvError:
    return EnvError(
        f"Environment {env_id} does not repeat itself: reset with the same seed, it is somewhere "
        f"else after the same {timestep[env_id]} actions than when the checkpoint was taken, and "
        "its episode cannot go on. Look at it with `lz check-env`; to go on with whole episodes, "
        'set num_segments = "none" in config.toml.'
    )
