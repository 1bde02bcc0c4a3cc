"""From what was asked for to every setting of a run, and to the file that brings them back."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import attrs

from lzcore.base.config import PolicySettings, Settings
from lzcore.base.env import Spaces
from lzcore.base.errors import ConfigError, ContractError, EnvError
from lzcore.base.structure import structure
from lzcore.base.toml import dumps
from lzcore.engine.config import RunSettings
from lzcore.engine.elsewhere import looking_elsewhere
from lzcore.engine.layers import (
    FORMAT,
    Header,
    Layer,
    Stack,
    Whole,
    default_environment,
    find_preset,
    preset_name,
    read_text,
    user_layers,
    whole_class,
)
from lzcore.registry import EnvSpec, PolicySpec, Registry, get_registry, load, made

if TYPE_CHECKING:
    from lzcore.base.policy import Policy  # which loads torch

SpacesOf: TypeAlias = Callable[[str, Any], Spaces]  # (environment id, `env` table) -> Spaces


@attrs.frozen(kw_only=True)
class Resolved:
    """Every setting of a run, and where it came from."""

    policy_name: str
    env_id: str
    env_kind: EnvSpec
    policy: PolicySettings
    env: Settings
    run: RunSettings
    layers: tuple[Layer, ...] = ()  # lowest first, above the class defaults
    preset: str = ""  # "" if none fits
    overrides: tuple[str, ...] = ()  # what the user changed, a line each

    def values(self) -> dict[str, Any]:
        """Return all settings as one nested dict: the policy's, `env` and `run`."""
        policy = self.policy.to_dict()
        del policy["seed"]  # follows run.seed
        return {**policy, "env": self.env.to_dict(), "run": self.run.to_dict()}

    def header(self) -> dict[str, Any]:
        """Return what the settings are for, as the `lz` table of a file."""
        header = Header(
            format=FORMAT,
            policy=self.policy_name,
            environment=self.env_id,
            kind=self.env_kind.name,
            preset=self.preset,
            overrides=self.overrides,
        ).to_dict()
        del header["extends"]  # of a preset alone
        return header

    def in_force(self) -> list[str]:
        """Return for people, a line each: the preset, and what the user changed."""
        preset = f"preset {self.preset}" if self.preset else "no preset"
        return [f"{self.policy_name} on {self.env_id}: {preset}", *self.overrides]

    def to_toml(self) -> str:
        """Write all settings, so that `from_toml` makes them again.

        Raises:
            ConfigError: a value, given from Python, that TOML cannot hold.
        """
        try:
            return dumps({**self.values(), "lz": self.header()})
        except TypeError as err:
            raise ConfigError(f"{err}; settings must be plain data to be kept.") from err

    @classmethod
    def from_toml(
        cls, text: str, registry: Registry | None = None, source: Path | str = "config.toml"
    ) -> "Resolved":
        """Make the settings that `to_toml` wrote; `source` is what messages call the file.

        Raises:
            ConfigError: it is not what `to_toml` writes, or a setting no longer exists.
            UnknownNameError: the policy or the kind of environments is not installed.
        """
        registry = registry or get_registry()
        header, values = read_text(text, str(source))
        for name in ("policy", "environment", "kind"):
            if not header[name]:
                raise ConfigError(
                    f"{source} does not say lz.{name}; it was not written by lz, or was damaged "
                    "since. Bring it back from a copy."
                )
        kind: EnvSpec = registry.spec("envs", header.kind)
        config = registry.resolve("policies", header.policy, "config")
        stack = Stack.of(whole_class(config, load(kind.config)), [Layer("config.toml", values)])
        made = _resolved(header.policy, header.environment, kind, header.preset, stack)
        return attrs.evolve(made, overrides=header.overrides)


def resolve(
    policy: PolicySpec,
    env_id: str | None = None,
    *,
    config_file: Path | str | None = None,
    overrides: Sequence[str] = (),
    named: Mapping[str, Any] | None = None,
    spaces_of: SpacesOf | None = None,
    registry: Registry | None = None,
) -> Resolved:
    """Settle every setting of a run of `policy` on an environment.

    Args:
        policy: which algorithm.
        env_id: None: what the file names, else what the policy's preset `default` names.
        config_file: TOML, laid over the preset.
        overrides: "KEY=VALUE", laid over that.
        named: settings by nested or dotted name, laid over all.
        spaces_of: returns the spaces of an environment; None: build one and look.
        registry: what is installed; None: this process's.
    Raises:
        ConfigError: every mistake in the settings, a line each.
        EnvError: the environment cannot be made, or the policy cannot act in it.
        UnknownNameError, PluginError: something is not installed, or broken.
    """
    registry = registry or get_registry()
    header, layers = user_layers(config_file, overrides, named)
    name = registry.name_of(policy)
    if header.policy not in ("", policy.name, name):
        raise ConfigError(
            f"{config_file} is for the policy {header.policy!r}, not {policy.name!r}. "
            "Choose that policy, or take policy out of the file's table lz."
        )
    env_id = env_id or header.environment or default_environment(policy)
    kind = registry.env_for(env_id)
    config = registry.resolve("policies", name, "config")
    policy_class = registry.resolve("policies", name)
    if not (hasattr(policy_class, "check_spaces") and hasattr(policy_class, "settings_for")):
        raise ContractError(policy, "is no lzcore.base.Policy; derive its class from that.")
    stack = Stack.of(whole_class(config, load(kind.config)), layers)
    presets = partial(find_preset, policy, by=registry.component("policies", name).label)
    look = spaces_of or (lambda env_id, env: spaces_by_building(kind, env_id, env))
    with looking_elsewhere(env_id, registry):
        stack, preset, spaces = _with_preset(stack, presets, env_id, look)
    stack = _with_spaces(stack, name, policy_class, env_id, spaces)
    return _resolved(name, env_id, kind, preset, stack)


def _with_preset(
    stack: Stack, presets: Callable[[str], Layer | None], env_id: str, look: SpacesOf
) -> tuple[Stack, str, Spaces]:
    """Lay the stack over the preset for the environment, or for its kind.

    The kind is "continuous" where actions are vectors, "two_players" where two players move, if
    there is a preset of that name, else what the observations are.
    """
    name, asked = preset_name(env_id), stack.values()
    preset = presets(name)
    stack = stack.under(_with_its_goal(preset, asked)) if preset else stack
    stack.check()
    env = _env_settings(stack)
    spaces = look(env_id, env)
    if preset:
        return stack, name, spaces
    for name in _kinds(spaces):
        preset = presets(name)
        if preset is not None:
            break
    else:
        return stack, "", spaces
    stack = stack.under(_with_its_goal(preset, asked))
    stack.check()
    if _env_settings(stack) != env:
        spaces = look(env_id, _env_settings(stack))
    return stack, name, spaces


def _with_its_goal(preset: Layer, asked: Mapping[str, Any]) -> Layer:
    """Return a preset without its stop value where another opponent than its own is `asked` for.

    What is enough against the one says nothing of the other, nor of a bot in the environment.
    """
    own = _table(preset.values, "run")
    opponent = _table(asked, "run").get("opponent", own.get("opponent"))
    bot = _table(asked, "env").get("bot")
    if "opponent" not in own or (opponent == own["opponent"] and bot in (None, "none")):
        return preset
    run = {name: value for name, value in own.items() if name != "stop_value"}
    return attrs.evolve(preset, values={**preset.values, "run": run})


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a table of values; an empty one for what is none, as the stack will say."""
    found = values.get(name)
    return found if isinstance(found, Mapping) else {}


def _kinds(spaces: Spaces) -> tuple[str, ...]:
    continuous, two = spaces.action.kind == "continuous", spaces.players == 2
    return ("continuous",) * continuous + ("two_players",) * two + (spaces.kind,)


def _env_settings(stack: Stack) -> Settings:
    env_class: type[Settings] = attrs.fields_dict(stack.whole)["env"].type  # type: ignore[assignment]
    return structure(env_class, stack.table("env"))


def _with_spaces(
    stack: Stack, name: str, policy_class: "type[Policy]", env_id: str, spaces: Spaces
) -> Stack:
    """Put what the spaces decide below all other layers, where the policy can act in them."""
    reason = policy_class.check_spaces(spaces)
    if reason is not None:
        reason = reason.removesuffix(".")
        raise EnvError(f"The policy {name!r} cannot act in {env_id}: {reason}.")
    given = {name: v for name, v in stack.values().items() if name not in ("env", "run")}
    decided = policy_class.settings_for(spaces, given)
    stack.check_facts(decided, env_id)
    return stack.under(Layer("spaces", decided))


def _resolved(policy_name: str, env_id: str, kind: EnvSpec, preset: str, stack: Stack) -> Resolved:
    whole: Whole = stack.settings()
    return Resolved(
        policy_name=policy_name,
        env_id=env_id,
        env_kind=kind,
        policy=policy_part(whole),
        env=whole.env,
        run=whole.run,
        layers=stack.layers,
        preset=preset,
        overrides=tuple(stack.changes(("spaces", f"preset {preset}"))),
    )


def policy_part(whole: Whole) -> PolicySettings:
    """Take the policy's settings out of the whole, with the seed of the run."""
    policy_class: type[PolicySettings] = type(whole).__bases__[0]
    settings = {name: getattr(whole, name) for name in attrs.fields_dict(policy_class)}
    return policy_class(**{**settings, "seed": whole.run.seed})


def spaces_by_building(kind: EnvSpec, env_id: str, settings: Settings) -> Spaces:
    """Make one environment, look at its spaces, and close it."""
    env = made(load(kind.env), ("spaces", "close"), env_id, 1, settings)
    try:
        spaces: Spaces = env.spaces
        return spaces
    finally:
        env.close()
