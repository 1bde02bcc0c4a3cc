"""Evaluating: whole episodes played greedily, in environments of their own.

Nothing of training is touched: the environments, their seeds and the policy's state of them
belong to the evaluation.
"""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import attrs
import numpy as np

from lzcore.base.env import Env
from lzcore.base.policy import Policy
from lzcore.engine.clock import Clock
from lzcore.engine.play import fair_shares, play


@attrs.frozen(kw_only=True)
class EvaluationResult:
    """The returns of one evaluation, in order of environment and episode."""

    returns: tuple[float, ...]  # sum of unclipped rewards of each episode
    lengths: tuple[int, ...]  # env steps of each episode
    at: Mapping[str, int] = attrs.field(factory=dict)  # learn and env steps of the weights

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def std(self) -> float:
        """Standard deviation of the returns themselves (divided by their number)."""
        return float(np.std(self.returns))

    def summary(self) -> str:
        """Return what happened, in one line."""
        return (
            f"{self.mean:.1f} +- {self.std:.1f} ({min(self.returns):g} to {max(self.returns):g}) "
            f"over {len(self.returns)} episodes"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for logs."""
        return {
            **self.at,
            "episodes": len(self.returns),
            "return_mean": self.mean,
            "return_std": self.std,
            "return_min": min(self.returns),
            "return_max": max(self.returns),
            "length_mean": float(np.mean(self.lengths)),
            "returns": list(self.returns),
            "lengths": list(self.lengths),
        }


class Evaluates(Protocol):
    """Measures the policy that it was made for."""

    def evaluate(self, number: int, episodes: int, clock: Clock | None = None) -> EvaluationResult:
        """Play `episodes` episodes; see `Evaluator.evaluate`."""

    def close(self) -> None:
        """Let go of what is held."""


class Evaluator:
    """Plays greedily; its environments are made when they are first needed."""

    def __init__(self, make_env: Callable[[], Env], policy: Policy, key: int) -> None:
        """Prepare evaluations.

        Args:
            make_env: makes the batch of environments to play in.
            policy: that decides.
            key: of the stream of reset seeds.
        """
        self._make_env = make_env
        self._env: Env | None = None
        self._policy = policy
        self._key = key

    def evaluate(self, number: int, episodes: int, clock: Clock | None = None) -> EvaluationResult:
        """Play `episodes` whole episodes, divided fairly over the environments.

        Args:
            number: of this evaluation in the run; other numbers get other episodes.
            episodes: how many, at least 1.
            clock: what is spent here is counted as "eval".
        """
        if self._env is None:
            self._env = self._make_env()
        shares = fair_shares(episodes, self._env.num_envs)
        ended: list[tuple[int, int, float, int]] = []  # environment, number, return, length
        for step in play(self._env, self._policy, "eval", shares, self._key, number):
            for row in np.flatnonzero(step.ended).tolist():
                total, length = step.stepped.episode_return[row], step.seen.timestep[row] + 1
                place = int(step.seen.env_id[row]), int(step.number[row])
                ended.append((*place, float(total), int(length)))
        if clock is not None:
            clock.lap("eval")
        ended.sort()
        return EvaluationResult(
            returns=tuple(total for *_, total, _ in ended),
            lengths=tuple(length for *_, length in ended),
        )

    def close(self) -> None:
        """Let go of the environments."""
        if self._env is not None:
            self._env.close()
            self._env = None
