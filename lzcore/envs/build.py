"""From an id, a `module:Id` or a callable to Gymnasium environments, or one line that says why not.

Gymnasium's checker, warnings and order enforcement are left out: GymEnv does their work, and
`lz check-env` says more. An environment that can draw itself is built so that it does when asked.
"""

import copy
import importlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium
from gymnasium.envs.registration import EnvSpec, load_env_creator

from lzcore.base.errors import EnvError, UnknownEnvError, nearest
from lzcore.envs.config import GymSettings
from lzcore.envs.wrappers import AnyEnv, FrameSkip, LifeEnds, NoopStart

MakeId = str | Callable[..., AnyEnv]

_ATARI_FRAME_SKIP = 4
_INSTALL = {  # part of an entry point -> what brings its dependencies
    "ale_py": "lzcore[atari]",
    "gymnasium.envs.box2d": "lzcore[box2d]",
    "gymnasium.envs.mujoco": "gymnasium[mujoco]",
    "gymnasium.envs.classic_control": "gymnasium[classic-control]",
    "gymnasium.envs.toy_text": "gymnasium[toy-text]",
}
_RESERVED = {"max_episode_steps": "env.max_episode_steps"}
_RESERVED_ATARI = {
    **_RESERVED,
    "frameskip": "env.frame_skip",
    "repeat_action_probability": "env.sticky_actions",
}


class Plan(NamedTuple):
    """How the environments of one GymEnv are made."""

    name: str  # for people
    build: Callable[[], AnyEnv]
    limit: int | None  # steps after which GymEnv truncates; None: it leaves that to others
    notes: tuple[str, ...]  # what stands between the environment and GymEnv, for people
    install: str  # what brings the dependencies of this environment, or ""


def plan(make_id: MakeId, settings: GymSettings) -> Plan:
    """Find out how to make an environment; nothing is built yet.

    Args:
        make_id: a Gymnasium id, `module:Id` (the module is imported first; Id may also be a class
            or function of it), or a callable that returns a gymnasium.Env.
        settings: the `env` table; `kwargs` go to the constructor.
    Raises:
        EnvError: there is no such environment, or a setting does not fit it.
    """
    if isinstance(make_id, gymnasium.Env):
        raise EnvError(
            f"{type(make_id).__name__} was given as an environment that is made already, and a run "
            "makes several. Give the class or a function that makes one, not an instance."
        )
    found = _look_up(make_id) if isinstance(make_id, str) else make_id
    name = make_id if isinstance(make_id, str) else _name_of(make_id)
    entry = getattr(found, "entry_point", "")
    atari = isinstance(entry, str) and entry.startswith("ale_py")
    if isinstance(found, EnvSpec):
        _refuse_reserved(name, settings, _RESERVED_ATARI if atari else _RESERVED)
    _refuse_misplaced(name, settings, atari)
    skip = settings.frame_skip or (_ATARI_FRAME_SKIP if atari else 1)
    kwargs = {**(_atari_kwargs(settings) if atari else {}), **settings.kwargs}
    limit = settings.max_episode_steps
    if isinstance(found, EnvSpec):
        build: Callable[[], Any] = _from_spec(found, kwargs, keep_limit=skip > 1 and limit is None)
        limit = limit or (found.max_episode_steps if skip == 1 else None)
    else:
        build = _from_callable(found, kwargs)
    wraps, notes = _wrapping(settings, skip, atari)
    if limit is None and (frames := _own_limit(found)) is not None:
        notes = (*notes, f"time limit: {frames} frames, kept by the environment")
    install = next((what for part, what in _INSTALL.items() if part in str(entry)), "")
    return Plan(name, _checked(name, build, wraps, install), limit, notes, install)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence what making an environment may warn of and a user of lz can do nothing about."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"gymnasium\.")
        warnings.filterwarnings("ignore", r"builtin type \w+ has no __module__", DeprecationWarning)
        yield


@contextmanager
def headless() -> Iterator[None]:
    """Keep SDL from looking for a screen, and from complaining that there is none."""
    given = os.environ.get("SDL_VIDEODRIVER")
    os.environ["SDL_VIDEODRIVER"] = given or "dummy"
    try:
        yield
    finally:
        if given is None:
            del os.environ["SDL_VIDEODRIVER"]


def one_line(err: BaseException) -> str:
    """Return type and message of an exception without line breaks, shortened."""
    text = " ".join(str(err).split())
    return f"{type(err).__name__}: {text[:300]}" if text else type(err).__name__


def missing(name: str, install: str, err: BaseException) -> str:
    """Say that a package is not installed, and which command installs it."""
    remedy = f' Install it with: pip install "{install}"' if install else ""
    return f"{name} needs a package that is not installed ({one_line(err)}).{remedy}"


# --- finding it ---------------------------------------------------------------------------------


def _look_up(env_id: str) -> EnvSpec | Callable[..., AnyEnv]:
    module, _, name = env_id.rpartition(":")
    if module:
        found = imported(module, env_id)
        if name not in gymnasium.registry and callable(getattr(found, name, None)):
            return getattr(found, name)  # type: ignore[no-any-return]
    elif env_id.startswith("ALE/"):
        _register_atari(env_id)
    if name not in gymnasium.registry:
        error = EnvError if module or "/" in name else UnknownEnvError
        raise error(_unknown(env_id, module, name))
    return gymnasium.registry[name]


def imported(module: str, env_id: str) -> Any:
    """Import the module that an id names; one in the current directory is found too.

    Raises:
        EnvError: it is not there, or raises.
    """
    here = str(Path.cwd())
    if here not in sys.path:  # a console script does not look where its user stands
        sys.path.append(here)
    try:
        with quiet():
            return importlib.import_module(module)
    except Exception as err:  # a user's module may raise anything
        raise EnvError(
            f"{env_id!r} names the module {module!r}, which cannot be imported "
            f"({one_line(err)}). Install it, or put its folder on PYTHONPATH."
        ) from err


def _register_atari(env_id: str) -> None:
    try:
        import ale_py
    except ImportError as err:
        raise EnvError(missing(env_id, "lzcore[atari]", err)) from err
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # it prints a banner otherwise
    gymnasium.register_envs(ale_py)


def _unknown(env_id: str, module: str, name: str) -> str:
    if module == "__main__" or "<" in name:  # what a callable is called in a run's files
        return (
            f"The environment {env_id!r} was a callable that only the script or notebook that made "
            "it knows. Pass it there once more: lzcore.train(resume=DIR, env=...) or "
            'lzcore.Agent.load(DIR, env=...). A function in a module, "module:name", needs no such '
            "thing."
        )
    text = f"There is no Gymnasium environment {env_id!r}.{nearest(name, _known(module))}"
    if re.search("NoFrameskip|Deterministic", name):
        return f'{text} Atari games are named like "ALE/Pong-v5".'
    if module:
        return f"{text} The module {module!r} neither registers nor defines {name!r}."
    return f'{text} One that a package registers is named "package:Id".'


def _known(module: str) -> list[str]:
    """Return the names that may stand behind `module:`, or alone where there is none."""
    inside = vars(sys.modules[module]) if module else {}
    return [*gymnasium.registry, *(name for name, value in inside.items() if callable(value))]


def _name_of(factory: Callable[..., AnyEnv]) -> str:
    return getattr(factory, "__name__", type(factory).__name__)


def _refuse_reserved(name: str, settings: GymSettings, reserved: Mapping[str, str]) -> None:
    for key in settings.kwargs:
        if key in reserved:
            raise EnvError(f"env.kwargs sets {key!r} of {name}; set {reserved[key]} instead.")


def _refuse_misplaced(name: str, settings: GymSettings, atari: bool) -> None:
    if settings.sticky_actions and not atari:
        raise EnvError(
            f"env.sticky_actions is {settings.sticky_actions}, but {name} is not an Atari game. "
            "Leave it at 0."
        )


# --- making it ----------------------------------------------------------------------------------


def _atari_kwargs(settings: GymSettings) -> dict[str, Any]:
    return {
        "frameskip": 1,
        "repeat_action_probability": settings.sticky_actions,
        "obs_type": "grayscale" if settings.gray else "rgb",
    }


def _from_spec(spec: EnvSpec, kwargs: dict[str, Any], *, keep_limit: bool) -> Callable[[], Any]:
    bare = copy.copy(spec)
    bare.order_enforce = False

    def build() -> Any:
        limit = None if keep_limit else -1
        drawing = _drawing(bare)
        return gymnasium.make(
            bare, max_episode_steps=limit, disable_env_checker=True, **{**drawing, **kwargs}
        )

    return build


def _from_callable(factory: Callable[..., AnyEnv], kwargs: dict[str, Any]) -> Callable[[], Any]:
    built: list[Any] = []  # kept, so that an identity stays taken

    def build() -> Any:
        env = factory(**kwargs)
        if not isinstance(env, gymnasium.Env):
            raise EnvError(
                f"{_name_of(factory)} returned {type(env).__name__!r}; expected a gymnasium.Env. A "
                'class with the rules of a game (Simulator) is named "game/module:Name".'
            )
        if any(env is other for other in built):
            raise EnvError(
                f"{_name_of(factory)} returned the same environment twice. "
                "Make a new one in every call."
            )
        built.append(env)
        return env

    return build


def _drawing(spec: EnvSpec) -> dict[str, str]:
    """Return the argument that lets an environment draw itself, if its class says it can."""
    entry = spec.entry_point
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    metadata = getattr(creator, "metadata", None)
    modes = metadata.get("render_modes", ()) if isinstance(metadata, dict) else ()
    return {"render_mode": "rgb_array"} if "rgb_array" in modes else {}


def _own_limit(found: EnvSpec | Callable[..., AnyEnv]) -> int | None:
    if not isinstance(found, EnvSpec):
        return None
    return found.max_episode_steps or found.kwargs.get("max_num_frames_per_episode")


def _wrapping(
    settings: GymSettings, skip: int, atari: bool
) -> tuple[list[Callable[[AnyEnv], AnyEnv]], tuple[str, ...]]:
    """Return the wrappers in force, innermost first, and a line on each."""
    wraps: list[Callable[[AnyEnv], AnyEnv]] = []
    notes = []
    if atari:
        notes.append(f"sticky actions: probability {settings.sticky_actions}")
    if atari and settings.noop_max:
        wraps.append(lambda env: NoopStart(env, settings.noop_max))
        notes.append(f"start: 1 to {settings.noop_max} frames without an action")
    if skip > 1:
        wraps.append(lambda env: FrameSkip(env, skip, pool=_pools(env, atari)))
        notes.append(f"frame skip: each action is applied {skip} times, rewards added")
    if settings.episodic_life:
        wraps.append(LifeEnds)
        notes.append("lives: losing one ends the episode")
    return wraps, tuple(notes)


def _pools(env: AnyEnv, atari: bool) -> bool:
    return atari and len(env.observation_space.shape or ()) > 1  # pictures, not the RAM


def _checked(
    name: str,
    build: Callable[[], Any],
    wraps: list[Callable[[AnyEnv], AnyEnv]],
    install: str,
) -> Callable[[], AnyEnv]:
    def build_one() -> AnyEnv:
        try:
            with quiet():
                env = build()
        except EnvError:
            raise
        except (ImportError, gymnasium.error.DependencyNotInstalled) as err:
            raise EnvError(missing(name, install, err)) from err
        except Exception as err:  # constructors are other people's code
            raise EnvError(f"{name} cannot be made ({one_line(err)}).") from err
        for wrap in wraps:
            env = wrap(env)
        return env  # type: ignore[no-any-return]

    return build_one
