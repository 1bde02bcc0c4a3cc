"""Playing with what a run has learned: behind `lzcore.Agent`, `lz eval` and `lz watch`.

Shape letters: F one frame's shape, A actions, D action width.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from lzcore.base.config import PolicySettings
from lzcore.base.env import Array, Observed
from lzcore.base.errors import CheckpointError, ConfigError, EnvError, ShapeError
from lzcore.base.policy import Policy
from lzcore.base.simulator import Simulator, State
from lzcore.base.structure import merge, nest, paths_of
from lzcore.engine.assemble import make_env, make_policy
from lzcore.engine.checkpoint import BEST, fitting, load_file, numbered
from lzcore.engine.plan import Plan
from lzcore.engine.rundir import RunDirectory
from lzcore.engine.settings import Resolved
from lzcore.envs.stack import FrameStack
from lzcore.registry import get_registry


@attrs.frozen(eq=False)
class Trained:
    """A policy that plays, with the weights of a checkpoint."""

    plan: Plan
    policy: Policy
    checkpoint: Path


def load_trained(
    run_dir: Path | str,
    checkpoint: Path | str | None = None,
    *,
    env: Callable[..., Any] | None = None,
    device: str | None = None,
    num_simulations: int | None = None,
) -> Trained:
    """Load what a run has learned, ready to play.

    Args:
        run_dir: the run directory.
        checkpoint: a file, from here or from the run's folder of checkpoints; None: the best one,
            or the latest if none was evaluated yet.
        env: what returns the run's environment, where an id alone does not find it.
        device: of torch; None: as in the run.
        num_simulations: of each search; None: as in the run.
    Raises:
        CheckpointError: directory or checkpoint cannot be read, or hold something else.
        ConfigError: the policy does not search, or not with so few simulations.
    """
    directory, registry = RunDirectory.open(Path(run_dir)), get_registry()
    path = _best(directory) if checkpoint is None else _named(directory, Path(checkpoint))
    content = load_file(path)
    resolved = Resolved.from_toml(directory.read_config(), registry, directory.config)
    if device is not None:
        resolved = attrs.evolve(resolved, policy=attrs.evolve(resolved.policy, device=device))
    if num_simulations is not None:
        resolved = attrs.evolve(resolved, policy=_searching(resolved.policy, num_simulations))
    policy = make_policy(resolved, registry, enable_field=["eval"])
    with fitting(path, directory.config):
        policy.eval_mode.load_state_dict(content["policy"]["eval"])
    plan = Plan(resolved=resolved, directory=directory.path, registry=registry, make_env=env)
    return Trained(plan, policy, path)


def as_both_sides(trained: Trained) -> Trained:
    """Return it without the bot that has played the other side, if its policy can do without.

    One that plans with the rules is shown whose turn it is; what a learned model has seen of the
    bot's moves is a part of the environment.
    """
    resolved = trained.plan.resolved
    if not trained.policy.plans_with_rules or resolved.env.get("bot") is None:
        return trained
    alone = attrs.evolve(resolved, env=attrs.evolve(resolved.env, bot=None))  # type: ignore[call-arg]
    return attrs.evolve(trained, plan=attrs.evolve(trained.plan, resolved=alone))


def no_match(trained: Trained) -> str:
    """Say why nobody can be played against in the environment of a run."""
    env_id, bot = trained.plan.resolved.env_id, trained.plan.resolved.env.get("bot")
    if bot is None:
        return f"{env_id} is no game for two whose rules are known"
    return (
        f'{env_id} was learned against env.bot = "{bot}", as a game for one, and the policy does '
        "not know the other side"
    )


def _searching(policy: PolicySettings, num_simulations: int) -> PolicySettings:
    """Return the settings with another number of simulations, in whatever table they stand."""
    names = ("num_simulations", "eval_num_simulations")
    paths = [path for path in paths_of(type(policy)) if path.rpartition(".")[2] in names]
    if not paths:
        raise ConfigError(
            "The policy has no setting num_simulations, so their number cannot be changed. Leave "
            "--simulations out."
        )
    given = nest(dict.fromkeys(paths, num_simulations))
    return type(policy).of(merge(policy.to_dict(), given))


def _named(directory: RunDirectory, checkpoint: Path) -> Path:
    within = directory.checkpoints / checkpoint
    return within if within.exists() and not checkpoint.exists() else checkpoint


def _best(directory: RunDirectory) -> Path:
    best = directory.checkpoints / BEST
    if best.exists():
        return best
    kept = numbered(directory.checkpoints)
    if not kept:
        raise CheckpointError(
            f"There is no checkpoint in {directory.checkpoints}. "
            f"Train it first: lz run --resume {directory.path}"
        )
    return kept[-1]


class Agent:
    """Acts greedily with what a run has learned: the same actions as `lz eval`."""

    def __init__(self, trained: Trained) -> None:
        """Make an agent; `Agent.load` is the usual way."""
        self._policy = trained.policy
        self._env: Any = make_env(trained.plan, 1, evaluation=True)  # for its adapters alone
        self._stack = FrameStack(1, self._policy.frame_stack, self._env.spaces)
        self.reset()

    @classmethod
    def load(
        cls,
        run_dir: Path | str,
        checkpoint: Path | str | None = None,
        *,
        env: Callable[..., Any] | None = None,
        device: str | None = None,
    ) -> "Agent":
        """Load what a run has learned; arguments and errors are those of `load_trained`."""
        return cls(load_trained(run_dir, checkpoint, env=env, device=device))

    def reset(self) -> None:
        """Forget the running episode; the next observation is the first of another one."""
        self._timestep = 0
        self._policy.eval_mode.reset(None)

    def act(
        self, obs: Any, action_mask: npt.ArrayLike | None = None, to_play: int = -1
    ) -> int | Array:
        """Decide for one environment.

        Args:
            obs: what the environment itself returns, before any adapter of lz; of a policy that
                plans with the rules of a game, a position of `simulator`, which tells the rest.
            action_mask: (A,), non-zero = allowed; None: every action is.
            to_play: -1 with one player, else who moves, 1 or 2.
        Returns:
            An action that the environment itself takes: an int, or an array (D,).
        Raises:
            ShapeError: the observation or the mask is not of this environment.
            EnvError: the policy plans with rules, and this is no position of `simulator`.
        """
        if self._policy.plans_with_rules:
            seen = self._seen_in_game(obs)
        else:
            seen = self._seen(self._frame(obs), self._mask(action_mask), to_play)
        self._timestep += 1
        action = self._policy.decide("eval", seen).columns["action"]
        raw = self._env.raw_action(action)[0] if hasattr(self._env, "raw_action") else action[0]
        return raw if isinstance(raw, np.ndarray) else int(raw)

    @property
    def simulator(self) -> Simulator | None:
        """The rules of the game that the agent has learned; None: its environment tells none."""
        return getattr(self._env, "simulator", None)

    def _seen_in_game(self, state: State) -> Observed:
        assert self.simulator is not None  # or there would have been no run
        try:
            position = self.simulator.look([state])
        except Exception as err:  # a game may raise anything where it is shown something else
            raise EnvError(
                f"The agent plans with the rules of {self._env.name}, and {type(state).__name__!r} "
                "is no position of it. Give one that agent.simulator.begin or play returns."
            ) from err
        frame = position.observation.astype(self._env.spaces.frame_dtype)
        return self._seen(frame, position.legal_actions, int(position.to_play[0]))._replace(
            states=np.fromiter([state], object, 1), simulator=self.simulator
        )

    def _seen(self, frame: Array, mask: Array | None, to_play: int) -> Observed:
        env_id = np.zeros(1, np.int64)
        (self._stack.push if self._timestep else self._stack.reset)(env_id, frame)
        return Observed(
            env_id,
            self._stack.observation(env_id),
            mask,
            np.full(1, to_play, np.int8),
            np.full(1, self._timestep, np.int64),
        )

    def _frame(self, obs: Any) -> Array:
        """Return (1, *F)."""
        spaces = self._env.spaces
        frame = np.asarray(self._env.frame(obs) if hasattr(self._env, "frame") else obs)
        if frame.shape != spaces.frame_shape:
            raise ShapeError(
                f"The observation has shape {frame.shape}; expected {spaces.frame_shape}."
            )
        return frame.astype(spaces.frame_dtype)[None]

    def _mask(self, given: npt.ArrayLike | None) -> Array | None:
        action = self._env.spaces.action
        if action.kind != "discrete":
            return None
        mask = np.ones(action.size, bool) if given is None else np.asarray(given, bool)
        if mask.shape != (action.size,):
            raise ShapeError(f"action_mask has shape {mask.shape}; expected ({action.size},).")
        return mask[None]
