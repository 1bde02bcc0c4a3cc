"""The layers that the settings of a run come from, and the class that they are structured into.

From the lowest: class defaults, what the spaces decide, a preset, the --config file, -o, named
options. Each layer is a nested dict: policy settings at the top, the tables `env` and `run`.
"""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from lzcore.base.config import PolicySettings, Settings, setting
from lzcore.base.errors import ConfigError, ContractError
from lzcore.base.structure import (
    Mistake,
    attempt,
    canonical,
    flat,
    merge,
    nest,
    parse_override,
    paths_of,
    told,
)
from lzcore.base.toml import show
from lzcore.engine.config import RunSettings
from lzcore.registry import PolicySpec
from lzcore.registry.faults import FAULTS, worded

FORMAT = 1  # of the files that `Resolved.to_toml` writes
Whole: TypeAlias = Any  # an instance of what `whole_class` returns; its fields are the policy's


@attrs.frozen
class Layer:
    """What one source says of the settings."""

    name: str  # what people call it
    values: dict[str, Any]  # nested
    by: str = ""  # the distribution that ships it; "": the user wrote it, or the core made it

    @property
    def mark(self) -> str:
        """What stands behind a mistake: where it was made, and who can mend it."""
        return f" [{self.name} of {self.by}]" if self.by else f" [{self.name}]"


@attrs.frozen(kw_only=True)
class Header(Settings):
    """The `lz` table of a file: what the settings in it are for."""

    format: int = setting(FORMAT, "Number of the file's format.")
    policy: str = setting("", "The policy's registered name.")
    environment: str = setting("", "The environment's id.")
    kind: str = setting("", "The registered kind of environments that the id belongs to.")
    preset: str = setting("", "The preset that was in force.")
    extends: str = setting(
        "",
        "In a preset: package:name of the preset that it is laid over, of this policy or another.",
    )
    overrides: tuple[str, ...] = setting((), "What the user changed, for people.")


def whole_class(policy: type[PolicySettings], env: type[Settings]) -> type[PolicySettings]:
    """Return a class with the settings of a policy and the tables `env` and `run`.

    Raises:
        ContractError: one of the two is no class of settings.
    """
    for given, wanted in ((policy, PolicySettings), (env, Settings)):
        if not (isinstance(given, type) and issubclass(given, wanted)):
            name = getattr(given, "__qualname__", repr(given))
            raise ContractError(
                given, f"has the config {name}, which is no lzcore.base.{wanted.__name__}."
            )
    tables = {
        "env": attrs.field(factory=env, type=env, metadata={"help": "The environment."}),
        "run": attrs.field(factory=RunSettings, type=RunSettings, metadata={"help": "The run."}),
    }
    return attrs.make_class(policy.__name__, tables, (policy,), frozen=True, kw_only=True)


# --- reading --------------------------------------------------------------------------------------


def user_layers(
    config_file: Path | str | None, overrides: Sequence[str], named: Mapping[str, Any] | None
) -> tuple[Header, list[Layer]]:
    """Read what the user gave, lowest layer first, with the header of the file.

    Args:
        config_file: TOML.
        overrides: "KEY=VALUE" each.
        named: settings by nested or dotted name.
    """
    header, layers = Header(), []
    if config_file is not None:
        header, values = read_file(Path(config_file))
        layers.append(Layer(Path(config_file).name, values))
    if overrides:
        layers.append(Layer("-o", merge(*map(parse_override, overrides))))
    if named:
        layers.append(Layer("options", nest(named)))
    return header, layers


def read_file(path: Path) -> tuple[Header, dict[str, Any]]:
    """Read a TOML file of settings.

    Raises:
        ConfigError: it cannot be read, is no TOML, or is of a newer format.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"The settings file {path} cannot be read: {err}.") from err
    return read_text(text, str(path))


def read_text(text: str, source: str) -> tuple[Header, dict[str, Any]]:
    """Read TOML of settings; `source` is what messages call it."""
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"{source} is not valid TOML: {err}.") from err
    head = values.pop("lz", {})
    number = head.get("format", FORMAT) if isinstance(head, dict) else FORMAT
    if isinstance(number, int) and number > FORMAT:
        raise ConfigError(
            f"{source} has format {number}, and this lzcore reads up to {FORMAT}. "
            "Install a newer lzcore."
        )
    header, mistakes = attempt(Header, head)
    if header is None:
        raise ConfigError(f"{source}, table lz: {told(mistakes)}")
    return header, values


def read_preset(policy: PolicySpec, name: str) -> tuple[Header, dict[str, Any]] | None:
    """Read one of a policy's presets, laid over what it extends; None if there is none."""
    return _read_preset(policy.presets, name, policy) if policy.presets else None


def _read_preset(
    package: str, name: str, policy: PolicySpec
) -> tuple[Header, dict[str, Any]] | None:
    try:
        file = resources.files(package) / f"{name}.toml"
    except FAULTS as err:  # of importing the package
        raise ContractError(
            policy, f"has presets in {package}, which cannot be imported: {worded(err)}."
        ) from err
    if not file.is_file():
        return None
    source = f"the preset {package}:{name}"
    try:
        header, values = read_text(file.read_text(encoding="utf-8"), source)
    except (ConfigError, UnicodeDecodeError) as err:
        raise ContractError(policy, f"cannot be configured: {err}") from err
    if not header.extends:
        return header, values
    base_package, _, base_name = header.extends.partition(":")
    base = _read_preset(base_package, base_name, policy)
    if base is None:
        raise ContractError(
            policy,
            f"cannot be configured: {source} extends {header.extends}, which does not exist.",
        )
    environment = header.environment or base[0].environment
    return attrs.evolve(header, environment=environment), merge(base[1], values)


def find_preset(policy: PolicySpec, name: str, by: str = "") -> Layer | None:
    """Return a preset as a layer, or None; `by` is the policy's distribution, for messages."""
    found = read_preset(policy, name)
    return found and Layer(f"preset {name}", found[1], by)


def preset_name(env_id: str) -> str:
    """Return the name of the preset for one environment: its id, "/" written "__"."""
    return env_id.rpartition(":")[2].replace("/", "__")


def default_environment(policy: PolicySpec) -> str:
    """Return the environment that the policy's preset `default` names.

    Raises:
        ConfigError: there is no such preset.
    """
    found = read_preset(policy, "default")
    if found is None:
        raise ConfigError(
            f"The policy {policy.name!r} names no environment of its own to start with; "
            "choose one, such as --env CartPole-v1. "
            "(A plugin names one in default.toml of its presets.)"
        )
    return found[0].environment


# --- laying over each other -------------------------------------------------------------------


@attrs.frozen
class Stack:
    """Layers, each with the documented names, and what was wrong with their names."""

    whole: type[PolicySettings]
    layers: tuple[Layer, ...] = ()  # lowest first
    mistakes: tuple[Mistake, ...] = ()

    @classmethod
    def of(cls, whole: type[PolicySettings], layers: Sequence[Layer]) -> "Stack":
        """Stack layers, lowest first."""
        stack = cls(whole)
        for layer in reversed(layers):
            stack = stack.under(layer)
        return stack

    def under(self, layer: Layer) -> "Stack":
        """Return this stack with one layer more, below all others."""
        values, mistakes = canonical(self.whole, layer.values)
        values, mistakes = _with_seed_in_run(values, mistakes)
        located = [m._replace(text=m.text + layer.mark) for m in mistakes]
        below = attrs.evolve(layer, values=values)
        return attrs.evolve(self, layers=(below, *self.layers), mistakes=(*located, *self.mistakes))

    def values(self) -> dict[str, Any]:
        """Return what the layers say together, nested."""
        return merge(*(layer.values for layer in self.layers))

    def table(self, name: str) -> Any:
        """Return what the layers say of one table."""
        return self.values().get(name, {})

    def settings(self) -> Whole:
        """Structure the whole.

        Raises:
            ConfigError: all mistakes, each with the layer that made it.
        """
        settings, mistakes = self._attempt()
        if settings is None or mistakes:
            raise told(mistakes)
        return settings

    def check(self) -> None:
        """Raise as `settings` does, for all that is wrong whatever the spaces may be."""
        _, mistakes = self._attempt()
        certain = [m for m in mistakes if not m.between or m.path in ("env", "run")]
        if certain:
            raise told(certain)

    def _attempt(self) -> tuple[Whole | None, list[Mistake]]:
        settings, found = attempt(self.whole, self.values())
        located = [m._replace(text=m.text + self._source(m)) for m in found]
        return settings, [*self.mistakes, *located]

    def _source(self, mistake: Mistake) -> str:
        """Return the mark of the highest layer that said what is wrong."""
        if mistake.between:
            return ""
        said = [layer.mark for layer in self.layers if _says(layer.values, mistake.path)]
        return said[-1] if said else ""

    def changes(self, passed_over: Sequence[str]) -> Iterator[str]:
        """Yield "path = value  [layer]" for each value that differs from what lies below it.

        Args:
            passed_over: layers that are not told of.
        """
        below = flat(self.whole().to_dict())
        for layer in self.layers:
            for path, value in flat(layer.values).items():
                if layer.name not in passed_over and _plain(value) != _plain(below.get(path)):
                    yield f"{path} = {show(value)}  [{layer.name}]"
                below[path] = value

    def check_facts(self, decided: Mapping[str, Any], env_id: str) -> None:
        """Refuse what contradicts the spaces.

        Args:
            decided: by the spaces, nested.
            env_id: for the message.
        """
        told_so = flat(canonical(self.whole, decided)[0])
        given = flat(self.values())
        facts = (p for p, field in paths_of(self.whole).items() if field.metadata.get("spaces"))
        mistakes = [
            Mistake(
                path,
                f"{path} = {show(given[path])}: {env_id} makes it {show(told_so[path])}; "
                "leave it out." + self._source(Mistake(path, "")),
            )
            for path in facts
            if path in given and path in told_so and _plain(given[path]) != _plain(told_so[path])
        ]
        if mistakes:
            raise told(mistakes)


def _with_seed_in_run(
    values: dict[str, Any], mistakes: list[Mistake]
) -> tuple[dict[str, Any], list[Mistake]]:
    """A policy's seed follows the run's, so `seed` is another way to say `run.seed`."""
    if "seed" not in values:
        return values, mistakes
    rest = {name: value for name, value in values.items() if name != "seed"}
    given, said = values["seed"], flat(rest).get("run.seed", values["seed"])
    if given != said:
        text = (
            f"seed = {show(given)}: means run.seed = {show(given)}, but run.seed says "
            f"{show(said)}; give one of the two."
        )
        mistakes = [*mistakes, Mistake("seed", text)]
    return merge({"run": {"seed": given}}, rest), mistakes


def _says(values: Any, path: str) -> bool:
    for name in path.split("."):
        if not isinstance(values, Mapping) or name not in values:
            return False
        values = values[name]
    return True


def _plain(value: Any) -> Any:
    """A list is as good as a tuple, a width as a shape of one axis, "none" as None."""
    if isinstance(value, str) and value == "none":
        return None
    if isinstance(value, (list, tuple)):
        return value[0] if len(value) == 1 else tuple(value)
    return value
