"""Whether an environment keeps its word: what `lz check-env` finds out by playing it.

It plays random episodes through the `Env` protocol, one of them twice, and looks a Gymnasium
environment over without its adapters. "wrong" is what training would stumble over or learn badly
from; a "note" is handled or a matter of taste.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, Literal, NamedTuple

import attrs
import numpy as np
from gymnasium import spaces

from lzcore.base.env import Env, Observed, Stepped
from lzcore.base.errors import EnvError
from lzcore.base.seeding import generator, stream_key
from lzcore.envs.adapters import short
from lzcore.envs.games import GameEnv
from lzcore.envs.gym import GymEnv

_ME = np.zeros(1, np.int64)  # env_id of the only environment
_RAW_STEPS = 200


class Finding(NamedTuple):
    """One thing that was looked at."""

    level: Literal["ok", "note", "wrong"]
    text: str


@attrs.frozen
class Report:
    """What an environment is, and what was found."""

    facts: dict[str, str]
    findings: tuple[Finding, ...]
    has_rules: bool = False  # whether `lz plugin check` holds a simulator to its contract

    @property
    def wrong(self) -> int:
        """How many findings say that something is wrong."""
        return sum(finding.level == "wrong" for finding in self.findings)


@attrs.define
class Episode:
    """A random episode, as far as it was played."""

    trace: list[bytes] = attrs.Factory(list)  # a digest of what each step showed
    rewards: list[float] = attrs.Factory(list)
    legal: list[int] = attrs.Factory(list)  # allowed actions in each state
    total: float = 0.0
    ended: Literal["terminated", "truncated", ""] = ""
    wrong: dict[str, None] = attrs.Factory(dict)  # what was out of order, in order

    @property
    def length(self) -> int:
        """Steps played."""
        return len(self.rewards)


def examine(make: Callable[[], Env], seed: int = 0, max_steps: int = 2000) -> Report:
    """Play an environment and say what is wrong with it.

    Args:
        make: makes a batch of one environment; called twice.
        seed: of the episodes and of the random actions.
        max_steps: an episode is played no further.
    Raises:
        EnvError: the environment cannot be made at all.
    """
    first, second = make(), make()
    try:
        facts = _facts(first)
        try:
            played = [play(first, s, max_steps) for s in (seed, seed + 1, seed)]
            again = play(second, seed, max_steps)
        except EnvError as err:
            return Report(facts, (Finding("wrong", str(err)),), isinstance(first, GameEnv))
        facts |= _story(played, first.spaces.players)
        findings = [*_kept_promises(played), *_repeats(played, again), *_ends_of(played)]
        if first.spaces.players == 1:  # two learn from who wins, which few games need not show
            findings += _returns_of(played)
        if isinstance(first, GymEnv):
            findings += _as_declared(first, seed)
        if isinstance(first, GameEnv) and first.simulator.spaces.players == 2:
            findings += _outcomes_of(played)
        return Report(facts, tuple(findings), isinstance(first, GameEnv))
    finally:
        first.close()
        second.close()


def unlike_from(env: Env, seed: int = 0, max_steps: int = 50) -> int | None:
    """Return the first step that differs when environment 0 plays the same episode again.

    Another episode is played between the two. The environment is left in the middle of one.

    Args:
        env: a batch of at least one.
        seed: of the episodes and of the random actions.
        max_steps: episodes are played no further.
    Returns:
        None if nothing differs.
    Raises:
        EnvError: it failed.
    """
    once, _, again = (play(env, s, max_steps) for s in (seed, seed + 1, seed))
    return _first_difference(once, again)


# --- playing ------------------------------------------------------------------------------------


def play(env: Env, seed: int, max_steps: int) -> Episode:
    """Play one episode in the only environment with random legal actions."""
    found = Episode()
    draws = generator(stream_key(seed, "check"))
    seen = env.reset(_ME, np.array([stream_key(seed, "env")], np.uint64))
    _note(env, found, seen)
    while not found.ended and found.length < max_steps:
        stepped = env.step(_ME, _random_action(env, seen, draws))
        seen = stepped.observed
        _note(env, found, seen, stepped)
    return found


def _random_action(env: Env, seen: Observed, draws: np.random.Generator) -> Any:
    if seen.action_mask is None:
        return draws.uniform(-1.0, 1.0, (1, env.spaces.action.size)).astype(np.float32)
    return draws.choice(np.flatnonzero(seen.action_mask[0]), size=1)


def _note(env: Env, found: Episode, seen: Observed, stepped: Stepped | None = None) -> None:
    digest = blake2b(np.ascontiguousarray(seen.observation).tobytes(), digest_size=16)
    if seen.action_mask is not None:
        found.legal.append(int(seen.action_mask.sum()))
        digest.update(seen.action_mask.tobytes())
    if seen.chance is not None:
        digest.update(seen.chance.tobytes())
    if stepped is not None:
        found.rewards.append(float(stepped.reward[0]))
        found.total = float(stepped.episode_return[0])
        found.ended = "terminated" if stepped.terminated[0] else ""
        found.ended = "truncated" if stepped.truncated[0] else found.ended
        digest.update(np.array([found.rewards[-1], found.ended != ""]).tobytes())
    found.trace.append(digest.digest())
    found.wrong |= dict.fromkeys(_broken_promises(env, seen, found.length))


def _broken_promises(env: Env, seen: Observed, steps: int) -> Iterator[str]:
    """Compare what is shown with the spaces that the environment names."""
    frame, wanted = seen.observation, (1, *env.spaces.frame_shape)
    if frame.shape != wanted or frame.dtype != env.spaces.frame_dtype:
        yield (
            f"It shows {frame.dtype} of shape {frame.shape}; its spaces say "
            f"{env.spaces.frame_dtype} of shape {wanted}."
        )
    elif frame.dtype.kind == "f" and not np.isfinite(frame).all():
        yield "It shows numbers that are not finite."
    actions = env.spaces.action
    given = None if seen.action_mask is None else seen.action_mask.shape
    expected = (1, actions.size) if actions.kind == "discrete" else None
    if given != expected:
        yield f"Its action mask has shape {given}; expected {expected}."
    elif seen.action_mask is not None and not seen.action_mask.any():
        yield "Its action mask allows nothing."
    if seen.timestep[0] != steps:
        yield f"Its timestep is {seen.timestep[0]} after {steps} steps."


# --- what is told -------------------------------------------------------------------------------


def _facts(env: Env) -> dict[str, str]:
    told = {key: _text(value) for key, value in env.describe().items()}
    frame, action = env.spaces, env.spaces.action
    shown = f"{frame.kind} {frame.frame_shape} {frame.frame_dtype}"
    taken = f"one of {action.size}" if action.kind == "discrete" else f"({action.size},) float32"
    return told | {"policy sees": shown, "policy gives": taken}


def _text(value: object) -> str:
    if isinstance(value, tuple):
        return "; ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _story(played: list[Episode], players: int) -> dict[str, str]:
    rewards = [reward for episode in played for reward in episode.rewards]
    legal = [count for episode in played for count in episode.legal]
    ends = [episode.ended for episode in played]
    again = " (the first seed again)"  # the last of them
    whose = "of the first player: " if players == 2 else ""
    return {
        "random episodes": ", ".join(f"{e.length} steps" for e in played) + again,
        "returns": whose + ", ".join(f"{e.total:g}" for e in played) + again,
        "reward of a step": _range(rewards),
        "ends": f"{ends.count('terminated')} terminated, {ends.count('truncated')} truncated",
        "legal actions": _range(legal) if legal else "all",
    }


def _range(numbers: Sequence[float]) -> str:
    low, high = min(numbers), max(numbers)
    return f"always {low:g}" if low == high else f"{low:g} .. {high:g}"


# --- what is found ------------------------------------------------------------------------------


def _kept_promises(played: list[Episode]) -> list[Finding]:
    wrong = dict.fromkeys(text for episode in played for text in episode.wrong)
    if wrong:
        return [Finding("wrong", text) for text in wrong]
    return [Finding("ok", "What a policy sees has the shape and type that it was promised.")]


def _repeats(played: list[Episode], again: Episode) -> list[Finding]:
    once, other, later = played
    remedy = (
        "Draw from self.np_random after super().reset(seed=seed), from nothing else, and keep "
        "nothing of earlier episodes."
    )
    for twin, where in ((again, "in a second instance"), (later, "after another episode")):
        step = _first_difference(once, twin)
        if step is not None:
            text = f"The same seed and actions differ {where}, from step {step} on. {remedy}"
            return [Finding("wrong", text)]
    found = [Finding("ok", "The same seed and actions give the same episode.")]
    if other.trace[0] == once.trace[0]:
        found.append(Finding("note", "Another seed starts in the same state."))
    return found


def _first_difference(one: Episode, other: Episode) -> int | None:
    if one.trace == other.trace:
        return None
    pairs = enumerate(zip(one.trace, other.trace, strict=False))
    return next((k for k, (a, b) in pairs if a != b), min(one.length, other.length))


def _ends_of(played: list[Episode]) -> Iterator[Finding]:
    if not any(episode.ended for episode in played):
        yield Finding(
            "note",
            f"No episode ended within {played[0].length} steps. If none ever does, set "
            "env.max_episode_steps.",
        )


def _returns_of(played: list[Episode]) -> Iterator[Finding]:
    totals = {episode.total for episode in played}
    if len(totals) == 1:
        yield Finding(
            "note",
            f"Random episodes all returned {totals.pop():g}; there is nothing to learn from until "
            "one differs.",
        )


def _outcomes_of(played: list[Episode]) -> Iterator[Finding]:
    """Compare rewards of a game of two players with what its values may be."""
    early = {reward for episode in played for reward in episode.rewards[:-1]} - {0.0}
    last = {episode.rewards[-1] for episode in played if episode.ended} - {1.0, 0.0, -1.0}
    for seen, when in ((early, "before the end of a game"), (last, "at the end of a game")):
        if seen:
            yield Finding(
                "wrong",
                f"It gives a reward of {min(seen):g} {when}; expected 1, 0 or -1 at the end and 0 "
                "before. Mend the `value` of positions that `look` returns.",
            )


# --- a Gymnasium environment without its adapters -------------------------------------------------


def _as_declared(env: GymEnv, seed: int) -> list[Finding]:
    """Compare raw observations and returns with what the environment declares."""
    raw = env.envs[0]
    raw.action_space.seed(seed)
    observation, info = raw.reset(seed=seed)
    found = dict(_slips(observation, raw.observation_space))  # kind of slip -> the first of it
    for _ in range(_RAW_STEPS):
        observation, reward, terminated, truncated, info = raw.step(_sample(raw.action_space, info))
        found = dict(_slips(observation, raw.observation_space)) | found
        if not isinstance(reward, (int, float, np.integer, np.floating)):
            text = f"Its reward is a {type(reward).__name__}; a float is expected."
            found.setdefault("reward", Finding("note", text))
        if not all(isinstance(end, (bool, np.bool_)) for end in (terminated, truncated)):
            text = "terminated and truncated are not both bool."
            found.setdefault("ends", Finding("note", text))
        if terminated or truncated:
            break
    return list(found.values())


def _sample(space: spaces.Space[Any], info: dict[str, Any]) -> Any:
    mask = info.get("action_mask")
    if mask is None or not isinstance(space, spaces.Discrete):
        return space.sample()
    return space.sample(np.asarray(mask, np.int8))


def _slips(observation: Any, space: spaces.Space[Any]) -> Iterator[tuple[str, Finding]]:
    if not isinstance(space, spaces.Box):
        if not space.contains(observation):
            text = f"It shows {observation!r}, which is not in {short(space)}."
            yield "space", Finding("wrong", text)
        return
    seen = np.asarray(observation)
    if not isinstance(observation, np.ndarray) or seen.dtype != space.dtype:
        array = isinstance(observation, np.ndarray)
        what = f"an array of {seen.dtype}" if array else f"a {type(observation).__name__}"
        text = f"It shows {what}; it declares an array of {space.dtype}. It is converted."
        yield "type", Finding("note", text)
    outside = np.argwhere((seen < space.low) | (seen > space.high))
    if len(outside):
        at = tuple(outside[0].tolist())
        bounds = f"{space.low[at]:g} .. {space.high[at]:g}"
        text = f"It shows {seen[at]:g} at {at}, where it declares {bounds}."
        yield "bounds", Finding("note", text)
