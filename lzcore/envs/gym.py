"""Gymnasium environments as one batch of which any subset can be stepped.

They live in this process, one after another: for cheap steps that beats other processes several
times over. Nothing resets itself; a finished environment waits.

Shape letters: n environments addressed by a call, F one frame's shape, A actions, D action width.
"""

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt

from lzcore.base.env import Array, Observed, Spaces, Stepped
from lzcore.base.errors import EnvError, ShapeError
from lzcore.envs.adapters import actions, observations, short
from lzcore.envs.build import MakeId, headless, missing, plan, quiet
from lzcore.envs.config import GymSettings
from lzcore.envs.wrappers import AnyEnv
from lzcore.registry.faults import told

_ANSWERS = {  # what Gymnasium's calls return
    "reset": ("observation", "info"),
    "step": ("observation", "reward", "terminated", "truncated", "info"),
}


class GymEnv:
    """A batch of environments made from one id; see `lzcore.base.env.Env`."""

    def __init__(
        self,
        make_id: MakeId,
        num_envs: int,
        settings: GymSettings | Mapping[str, Any] | None = None,
    ) -> None:
        """Make the environments.

        Args:
            make_id: a Gymnasium id, `module:Id`, or a callable returning a gymnasium.Env.
            num_envs: how many.
            settings: the `env` table, or some of its keys.
        Raises:
            EnvError: there is no such environment, a package is missing, or its spaces cannot be
                read or played.
        """
        self.settings = GymSettings.of(settings or {})
        self._plan = plan(make_id, self.settings)
        self.name = self._plan.name
        self.num_envs = num_envs
        self.envs = self._build(num_envs)
        seen = observations(self.envs[0].observation_space, self.settings, self.name)
        played = actions(self.envs[0].action_space, self.name)
        self._frames, self._raw_actions = seen.convert, played.convert
        self._notes = (*self._plan.notes, *seen.notes, *played.notes)
        self.spaces = Spaces(
            frame_shape=seen.shape, frame_dtype=seen.dtype, kind=seen.kind, action=played.space
        )
        self._to_play = np.full(num_envs, -1, np.int8)
        self._running = np.zeros(num_envs, bool)
        self._masked = np.zeros(num_envs, bool)  # whether the episode has told an action mask
        self._timestep = np.zeros(num_envs, np.int64)
        self._return = np.zeros(num_envs)

    def _build(self, num_envs: int) -> list[AnyEnv]:
        envs = [self._plan.build() for _ in range(num_envs)]
        shapes = {(str(e.observation_space), str(e.action_space)) for e in envs}
        if len(shapes) > 1:
            raise EnvError(f"{self.name} makes environments whose spaces differ: {sorted(shapes)}.")
        return envs

    def reset(self, env_id: Array, seeds: Array) -> Observed:
        """Begin new episodes: each is a function of its seed (its upper 31 bits) and actions.

        Args:
            env_id: (n,) int64.
            seeds: (n,) uint64.
        Raises:
            EnvError: an environment failed.
        """
        self._timestep[env_id] = 0
        self._return[env_id] = 0.0
        self._masked[env_id] = False
        shown: list[Any] = []
        infos: list[dict[str, Any]] = []
        for i, seed in zip(env_id.tolist(), seeds.tolist(), strict=True):
            try:
                answer = self.envs[i].reset(seed=seed >> 33)  # some take no more than int32
            except Exception as err:  # environments are other people's code
                raise self._broken(i, "reset", err) from err
            seen, info = self._parts(i, "reset", answer)
            shown.append(seen)
            infos.append(info)
        self._running[env_id] = True
        return self._observed(env_id, shown, infos, np.zeros(len(shown), bool))

    def step(self, env_id: Array, action: Array) -> Stepped:
        """Apply one action in each of the named environments.

        An episode that ends for both reasons has terminated.

        Args:
            env_id: (n,) int64, each once, all running.
            action: (n,) int64, or (n, D) float32 in (-1, 1).
        Raises:
            EnvError: an environment failed, or is not running.
        """
        self._require_running(env_id)
        shown, infos, reward, terminated, truncated = self._step_each(env_id, action)
        self._timestep[env_id] += 1
        self._return[env_id] += reward
        if self._plan.limit is not None:
            truncated |= self._timestep[env_id] >= self._plan.limit
        truncated &= ~terminated
        over = terminated | truncated
        self._running[env_id] = ~over
        self._require_finite(env_id, reward, "a reward")
        return Stepped(
            self._observed(env_id, shown, infos, over),
            (np.sign(reward) if self.settings.reward_clip else reward).astype(np.float32),
            terminated,
            truncated,
            self._return[env_id],
        )

    def _step_each(
        self, env_id: Array, action: Array
    ) -> tuple[list[Any], list[dict[str, Any]], Array, Array, Array]:
        """Return observations, infos, and (n,) rewards, ends and stops as they come."""
        shown: list[Any] = []
        rewards, ends, stops, infos = [], [], [], []
        for i, raw in zip(env_id.tolist(), self._raw_actions(action), strict=True):
            try:
                answer = self.envs[i].step(raw)
            except Exception as err:  # environments are other people's code
                raise self._broken(i, "step", err) from err
            seen, reward, end, stop, info = self._parts(i, "step", answer)
            rewards.append(self._number(i, reward))
            shown.append(seen)
            ends.append(end)
            stops.append(stop)
            infos.append(info)
        return shown, infos, np.array(rewards), np.array(ends, bool), np.array(stops, bool)

    def _observed(
        self, env_id: Array, shown: list[Any], infos: list[dict[str, Any]], over: Array
    ) -> Observed:
        with np.errstate(over="ignore"):  # float64 beyond float32 becomes infinite, see below
            frames = self._frames(shown)
        if frames.dtype != np.uint8:
            self._require_finite(env_id, frames, "an observation")
        return Observed(
            env_id,
            frames,
            self._masks(env_id, infos, over) if self.spaces.action.kind == "discrete" else None,
            self._to_play[env_id],
            self._timestep[env_id],
            self._chance(env_id, infos),
        )

    def _chance(self, env_id: Array, infos: list[dict[str, Any]]) -> Array | None:
        """Return (n,) int64 from info["chance"]; None where no environment tells it."""
        if all(info.get("chance") is None for info in infos):
            return None
        told = [np.asarray(info.get("chance")) for info in infos]
        for row, outcome in enumerate(told):
            whole = np.issubdtype(outcome.dtype, np.integer) and outcome.size == 1
            if not whole or outcome.item() < 0:
                raise EnvError(
                    f"{self._where(int(env_id[row]))} gave {outcome} as info['chance']; expected "
                    "a whole number, 0 or more, from `reset` and from each `step`."
                )
        return np.array([outcome.item() for outcome in told], np.int64)

    def _masks(self, env_id: Array, infos: list[dict[str, Any]], over: Array) -> Array:
        """Return (n, A) bool from info["action_mask"]; all True where it is not given.

        Of a finished episode that allows nothing, all is allowed: nobody acts there, and nobody
        has to divide by zero.
        """
        masks = np.ones((len(infos), self.spaces.action.size), bool)
        for row, info in enumerate(infos):
            given = info.get("action_mask")
            if given is None:
                self._require_mask_untold(int(env_id[row]), over[row])
                continue
            self._masked[env_id[row]] = True
            allowed = np.asarray(given)
            if allowed.shape != masks.shape[1:]:
                raise EnvError(
                    f"{self.name} gave an info['action_mask'] of shape {allowed.shape}; "
                    f"expected {masks.shape[1:]}, one entry for each action."
                )
            if allowed.any():
                masks[row] = allowed
            elif not over[row]:
                raise EnvError(
                    f"{self._where(int(env_id[row]))} allows no action (info['action_mask'] is all "
                    "zero), but its episode goes on. Terminate it, or allow an action."
                )
        return masks

    def render(self, env_id: int) -> npt.NDArray[np.uint8]:
        """Return a picture (H, W, 3) of one environment.

        Raises:
            EnvError: it cannot draw itself, or what it needs for that is not installed.
        """
        env = self.envs[env_id]
        if env.render_mode != "rgb_array":
            raise EnvError(
                f"{self.name} draws no pictures (its render_mode is {env.render_mode!r}). "
                'If it can, set env.kwargs.render_mode = "rgb_array".'
            )
        try:
            with quiet(), headless():
                picture = np.asarray(env.render())
        except gymnasium.error.DependencyNotInstalled as err:
            raise EnvError(missing(f"Drawing {self.name}", self._plan.install, err)) from err
        except Exception as err:  # environments are other people's code
            raise self._broken(env_id, "render", err) from err
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            raise EnvError(
                f"{self.name} drew an array of {picture.dtype}, shape {picture.shape}; "
                "expected uint8, (height, width, 3)."
            )
        return picture

    def close(self) -> None:
        """Let go of every environment."""
        for env in self.envs:
            env.close()

    def describe(self) -> Mapping[str, object]:
        """Return plain facts for people: the spaces as declared, adapters in force, the limit."""
        env = self.envs[0]
        return {
            "environment": f"{self.name} (Gymnasium {gymnasium.__version__})",
            "observation_space": short(env.observation_space),
            "action_space": short(env.action_space),
            "adapters": self._notes,
            "reward": "its sign" if self.settings.reward_clip else "as given",
            "episode_limit": self._plan.limit,
        }

    # --- the adapters alone ---------------------------------------------------------------------

    def frame(self, raw: Any) -> Array:
        """Return (*F): one observation of the environment itself, as a policy sees it.

        Raises:
            ShapeError: it is not of this environment.
        """
        try:
            frame: Array = self._frames([raw])[0]
        except EnvError as err:
            got = type(raw).__name__ + (f" of shape {raw.shape}" if hasattr(raw, "shape") else "")
            wanted = short(self.envs[0].observation_space)
            raise ShapeError(
                f"This is no observation of {self.name}: {got}; expected one of {wanted}."
            ) from err
        return frame

    def raw_action(self, action: Array) -> list[Any]:
        """Return n actions that the environment itself takes for (n,) int64 or (n, D) float32."""
        return self._raw_actions(action)

    # --- what can go wrong ----------------------------------------------------------------------

    def _require_running(self, env_id: Array) -> None:
        if np.count_nonzero(self._running[env_id]) < len(env_id):
            waiting = env_id[~self._running[env_id]].tolist()
            raise EnvError(
                f"Environments {waiting} of {self.name} wait for a reset and cannot be stepped."
            )

    def _require_finite(self, env_id: Array, numbers: Array, what: str) -> None:
        finite = np.isfinite(numbers)
        if np.count_nonzero(finite) < finite.size:
            bad = ~finite.reshape(len(numbers), -1).all(axis=1)
            raise EnvError(
                f"{self._where(int(env_id[bad][0]))} returned {what} that is not finite."
            )

    def _require_mask_untold(self, i: int, over: bool) -> None:
        if self._masked[i] and not over:
            raise EnvError(
                f"{self._where(i)} gave no info['action_mask'], but did earlier in its episode. "
                "Give one from `reset` and from every `step`."
            )

    def _parts(self, i: int, call: str, answer: Any) -> Any:
        """Return what `call` answered, if it has as many parts as Gymnasium says."""
        names = _ANSWERS[call]
        if isinstance(answer, (tuple, list)) and len(answer) == len(names):
            if isinstance(answer[-1], Mapping):
                return answer
            raise EnvError(
                f"{self._where(i)} returned the info {answer[-1]!r} from {call}; expected a dict. "
                "Where there is nothing to tell, return {}."
            )
        parts = f"{len(answer)} values" if isinstance(answer, tuple) else type(answer).__name__
        raise EnvError(
            f"{self._where(i)} returned {parts} from {call}; expected ({', '.join(names)}), as of "
            "gymnasium.Env. Environments written for the older Gym need a wrapper that says so."
        )

    def _number(self, i: int, reward: Any) -> float:
        try:
            return float(reward)
        except (TypeError, ValueError) as err:
            raise EnvError(
                f"{self._where(i)} returned the reward {reward!r}; expected a number."
            ) from err

    def _broken(self, i: int, call: str, err: Exception) -> EnvError:
        return EnvError(f"{self._where(i)} failed in {call}: {told(err)}")

    def _where(self, i: int) -> str:
        return f"{self.name} (environment {i}, after step {self._timestep[i]})"
