"""What every kind of environments promises, tried on one id: `EnvSpec.example`, or `env`.

What it shows is looked at as by `lz check-env`, in whole episodes; here also how a batch behaves.

Shape letters: N environments, n of them addressed by a call, A actions, D numbers of an action.
"""

from collections.abc import Mapping
from typing import Any

import attrs
import numpy as np

from lzcore.base.env import Array, Env, Observed, Stepped
from lzcore.base.seeding import derive_seed
from lzcore.envs.check import examine
from lzcore.registry import load
from lzcore.testing.promises import in_one_line, promise, require
from lzcore.testing.subject import Subject

_STEPS = 25
_LIMITS = ("max_episode_steps", "max_moves")  # settings that truncate


def _config(subject: Subject) -> Any:
    return load(subject.spec.config)  # type: ignore[union-attr]


def _made(subject: Subject, num_envs: int, **settings: Any) -> Env:
    """Make a batch of the subject's environment."""
    require(
        subject.env,
        "its spec has no example; expected an id that is quick to play, or env= for these checks.",
    )
    given = {**subject.settings, **settings}
    env: Env = subject.cls(subject.env, num_envs, _config(subject).of(given))
    return env


def _seeds(count: int) -> Array:
    return derive_seed(3, np.arange(count))


def _act(env: Env, seen: Observed, turn: int) -> Array:
    """Return allowed actions, a function of ids and turn alone."""
    if seen.action_mask is None:
        size = env.spaces.action.size
        angle = (seen.env_id[:, None] + 1.0) * (turn + 1) + np.arange(size)
        return np.sin(angle).astype(np.float32) * 0.9
    allowed = [np.flatnonzero(row) for row in seen.action_mask]
    return np.array([a[turn % len(a)] for a in allowed], np.int64)


@promise("env")
def check_its_settings_are_settings(subject: Subject) -> None:
    """The spec names a Settings class, and an environment is made from its defaults."""
    from lzcore.base.config import Settings

    config = _config(subject)
    require(
        isinstance(config, type) and issubclass(config, Settings),
        f"its spec's config is {config!r}; expected a class derived from lzcore.base.Settings.",
    )
    env = _made(subject, 2)
    require(env.num_envs == 2, f"num_envs is {env.num_envs} of a batch of 2.")
    env.close()


@promise("env")
def check_random_episodes_are_in_order(subject: Subject) -> None:
    """What `lz check-env` looks at: shapes, masks, times, and episodes that repeat themselves."""
    report = examine(lambda: _made(subject, 1), max_steps=200)
    wrong = [in_one_line(finding.text) for finding in report.findings if finding.level == "wrong"]
    require(not wrong, f"{' '.join(wrong)} Expected nothing wrong in `lz check-env`.")


@promise("env")
def check_records_have_the_documented_types(subject: Subject) -> None:
    """Ids as they were given, who moves, rewards, ends, all as `lzcore.base.env` says."""
    env = _made(subject, 3)
    ids = np.array([2, 0])
    seen = env.reset(ids, _seeds(2))
    for turn in range(5):
        _require_shown(env, seen, ids)
        stepped = env.step(ids, _act(env, seen, turn))
        _require_stepped(stepped, len(ids))
        seen = stepped.observed
        over = stepped.terminated | stepped.truncated
        if over.any():
            break
    env.close()


def _require_shown(env: Env, seen: Observed, ids: Array) -> None:
    require(
        np.array_equal(seen.env_id, ids),
        f"it shows the environments {np.asarray(seen.env_id).tolist()}; expected {ids.tolist()}.",
    )
    players = (-1,) if env.spaces.players == 1 else (1, 2)
    require(
        seen.to_play.dtype == np.int8 and np.isin(seen.to_play, players).all(),
        f"to_play is {seen.to_play.dtype} {seen.to_play.tolist()}; expected int8, of {players}.",
    )
    mask = seen.action_mask
    require(
        mask is None or mask.dtype == np.bool_,
        f"action_mask is {getattr(mask, 'dtype', None)}; expected bool.",
    )
    require(
        seen.timestep.dtype == np.int64,
        f"timestep is {seen.timestep.dtype}; expected int64.",
    )


def _require_stepped(stepped: Stepped, count: int) -> None:
    wanted: dict[str, Any] = {
        "reward": np.float32,
        "terminated": np.bool_,
        "truncated": np.bool_,
        "episode_return": np.float64,
    }
    for name, dtype in wanted.items():
        found = getattr(stepped, name)
        require(
            found.shape == (count,) and found.dtype == dtype,
            f"{name} is {found.dtype} of shape {found.shape}; expected {np.dtype(dtype)} of shape "
            f"({count},).",
        )
    require(
        not (stepped.terminated & stepped.truncated).any(),
        "a step is both terminated and truncated; expected one of them: the end of the task.",
    )


@promise("env")
def check_environments_of_a_batch_are_apart(subject: Subject) -> None:
    """One that is stepped alone plays the episode it plays among others; the others wait."""
    batch, single = _made(subject, 3), _made(subject, 3)
    every, one = np.arange(3), np.array([1])
    seen = batch.reset(every, _seeds(3))
    alone = single.reset(one, _seeds(3)[one])
    playing = every
    for turn in range(_STEPS):
        at = int(np.flatnonzero(playing == 1)[0])
        require(
            np.array_equal(seen.observation[at], alone.observation[0]),
            f"environment 1 shows something else among others than alone, at step {turn}; "
            "expected the same episode from the same seed and actions.",
        )
        stepped = batch.step(playing, _act(batch, seen, turn))
        by_itself = single.step(one, _act(single, alone, turn))
        running = ~(stepped.terminated | stepped.truncated)
        if not running[at] or not len(playing):
            break
        playing, alone = playing[running], by_itself.observed
        seen = _rows(stepped.observed, running)
    batch.close()
    single.close()


def _rows(seen: Observed, rows: Array) -> Observed:
    parts = {name: value for name, value in seen._asdict().items() if name != "simulator"}
    kept: dict[str, Any] = {
        name: None if value is None else value[rows] for name, value in parts.items()
    }
    return Observed(**kept, simulator=seen.simulator)


def _has_no_limit(subject: Subject) -> str | None:
    names = attrs.fields_dict(_config(subject))
    known = any(name in names for name in _LIMITS)
    return None if known else f"none of {', '.join(_LIMITS)} is a setting of it"


@promise("env", left_out=_has_no_limit)
def check_a_limit_truncates(subject: Subject) -> None:
    """An episode that is stopped by a limit is truncated, not terminated: its value goes on."""
    limit = next(name for name in _LIMITS if name in attrs.fields_dict(_config(subject)))
    env, ids = _made(subject, 1, **{limit: 3}), np.zeros(1, np.int64)
    seen = env.reset(ids, _seeds(1))
    for turn in range(3):
        stepped = env.step(ids, _act(env, seen, turn))
        seen, stopped = stepped.observed, bool(stepped.truncated[0])
        if stepped.terminated[0] or (stopped and _has_a_bot(env)):  # over, or its moves count too
            break
        require(
            stopped == (turn == 2),
            f"truncated is {stopped} after step {turn + 1} with {limit} = 3; "
            "expected True at the third step and never before.",
        )
    env.close()


def _has_a_bot(env: Env) -> bool:
    """Whether a game for two is shown as one for one player: somebody moves within a step."""
    rules = getattr(env, "simulator", None)
    return rules is not None and env.spaces.players < rules.spaces.players


@promise("env")
def check_it_is_described_in_plain_facts(subject: Subject) -> None:
    """`describe` returns a mapping by name, for people."""
    env = _made(subject, 1)
    told = env.describe()
    require(
        isinstance(told, Mapping) and told and all(isinstance(name, str) for name in told),
        f"describe() returned {told!r}; expected facts by name.",
    )
    env.close()


@promise("env")
def check_positions_are_those_that_are_shown(subject: Subject) -> None:
    """Where the rules are known, `states` and `simulator` tell of what is shown."""
    env, ids = _made(subject, 2), np.arange(2)
    seen = env.reset(ids, _seeds(2))
    known = (seen.states is None, seen.simulator is None)
    require(
        known[0] == known[1] == (getattr(env, "simulator", None) is None),
        "of states, simulator and its attribute simulator some are None; expected all or none.",
    )
    if seen.simulator is not None and seen.states is not None:
        look = seen.simulator.look(seen.states.tolist())
        require(
            np.array_equal(look.legal_actions, np.asarray(seen.action_mask))
            and (_has_a_bot(env) or np.array_equal(look.to_play, seen.to_play)),
            "its simulator looks at states and sees other legal actions, or another mover, than "
            "it shows; expected the same.",
        )
    env.close()
