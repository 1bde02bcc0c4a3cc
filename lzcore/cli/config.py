"""`lz config`: show, explain and compare settings."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import attrs
import click

from lzcore.base.config import PolicySettings
from lzcore.base.errors import ConfigError, UnknownNameError
from lzcore.base.structure import flat
from lzcore.base.toml import dumps, show
from lzcore.engine.explain import (
    ABSENT,
    Difference,
    Explanation,
    differences,
    explain,
    find_key,
    selected,
)
from lzcore.engine.layers import FORMAT, Layer, Stack, read_preset, user_layers, whole_class
from lzcore.engine.settings import Resolved, resolve
from lzcore.registry import PolicySpec, get_registry, load

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group()
def config() -> None:
    """Show, explain and compare settings."""


def _asking(command: Command) -> Command:
    """Add the options that say which settings are meant."""
    path = click.Path(exists=True, dir_okay=False, path_type=Path)
    for option in (
        click.option(
            "-o",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="One setting; may be given again.",
        ),
        click.option("--config", "file", type=path, metavar="FILE", help="TOML of settings."),
        click.option("--env", metavar="ID", help="An environment."),
        click.option("--policy", metavar="NAME", help="A policy."),
    ):
        command = option(command)
    return command


# --- commands -------------------------------------------------------------------------------------


@config.command("show")
@_asking
@click.option("--all", "which", flag_value="all", help="Also settings that cannot be changed.")
@click.option("--documented", "which", flag_value="documented", help="No extensions, no tables.")
@click.option("--effective", "which", flag_value="effective", default=True, hidden=True)
def show_settings(
    policy: str | None, env: str | None, file: Path | None, overrides: tuple[str, ...], which: str
) -> None:
    """Print settings as TOML that --config reads, and where each comes from.

    Without --env: the policy's class defaults. With it: what a run would use.
    """
    told, _ = user_layers(file, (), None)
    seen = _look(_named(policy or told.policy), env, file, overrides)
    values = selected(seen.settings, seen.values, which)
    origins = {path: layer.name for layer in seen.layers for path in flat(layer.values)}
    header = {} if which == "documented" else {"lz": seen.header}
    if not seen.in_a_run:
        click.echo("# No environment is named: class defaults, and what was given beside them.")
    click.echo(dumps({**values, **header}, origins), nl=False)


@config.command("explain")
@click.argument("key")
@_asking
def explain_setting(
    key: str, policy: str | None, env: str | None, file: Path | None, overrides: tuple[str, ...]
) -> None:
    """Tell what the setting KEY means, takes, and which layer decides it.

    KEY is its full name, such as num_simulations, model.num_channels or run.seed. Without --env:
    in the environment that `lz run` chooses then.
    """
    if policy is None and key.partition(".")[0] not in ("env", "run"):
        raise click.UsageError(f"Say whose setting {key!r} is: --policy NAME.")
    seen = _look(policy, env, file, overrides, as_run=True)
    path = find_key(seen.settings, key)
    inside = [name for name in flat(seen.values) if name.startswith(f"{path}.")]
    found = explain(seen.settings, seen.layers, path, flat(seen.values).get(path))
    click.echo("\n".join(_table_lines(found, inside) if inside else _explanation(found, seen)))


@config.command("diff")
@click.argument("sides", nargs=-1, metavar="[LEFT [RIGHT]]")
@_asking
def compare_settings(
    sides: tuple[str, ...],
    policy: str | None,
    env: str | None,
    file: Path | None,
    overrides: tuple[str, ...],
) -> None:
    """Print the settings that differ.

    LEFT and RIGHT are run directories, their config.toml, or policies, which stand for what
    `lz run` without --env would use. With LEFT alone: what it changes in the class defaults. With
    neither: what a run of --policy would change in them.
    """
    if len(sides) > 2 or (sides and (policy or env or file or overrides)):
        raise click.UsageError("Give two sides at most, and no options with them.")
    if sides:
        *others, right = map(_side, sides)
    else:
        others, right = [], _resolved(_named(policy), env, file, overrides)
    left = others[0].values if others else right.settings().to_dict()
    told = {name: value for name, value in left.items() if name != "seed"}  # it is run.seed's
    found = differences(told, right.values, right.layers)
    click.echo("\n".join(map(_difference, found)) or "No differences.")


# --- what is looked at ------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Seen:
    """Settings with the class they are of and the layers they come from."""

    settings: type[PolicySettings]
    values: Mapping[str, Any]  # nested, in force
    layers: Sequence[Layer] = ()
    header: Mapping[str, Any] = attrs.Factory(dict)

    @property
    def in_a_run(self) -> bool:
        """Whether these are settings of a run, in an environment, and not the classes alone."""
        return "environment" in self.header


def _named(policy: str | None) -> str:
    if not policy:
        known = [c.name for c in get_registry().components("policies") if c.state == "ok"]
        names = ", ".join(known) or "none; install a plugin that has one"
        raise click.UsageError(f"Say which policy: --policy NAME. Installed: {names}.")
    return policy


def _look(
    policy: str | None,
    env: str | None,
    file: Path | None,
    overrides: Sequence[str],
    *,
    as_run: bool = False,
) -> Seen:
    """Look at a run's settings if an environment is named, else at the classes alone.

    With `as_run` the policy may name the environment, as it does for `lz run`.
    """
    header, layers = user_layers(file, overrides, None)
    policy = policy or header.policy
    spec: PolicySpec | None = get_registry().spec("policies", policy) if policy else None
    if spec and (env or header.environment or (as_run and read_preset(spec, "default"))):
        return _resolved(policy, env, file, overrides)
    kind = get_registry().env_for(env or "")
    whole = whole_class(load(spec.config) if spec else PolicySettings, load(kind.config))
    stack = Stack.of(whole, layers)
    values = stack.settings().to_dict()
    del values["seed"]
    about = {"format": FORMAT, "policy": spec.name} if spec else {}
    return Seen(settings=whole, values=values, layers=stack.layers, header=about)


def _resolved(policy: str, env: str | None, file: Path | None, overrides: Sequence[str]) -> Seen:
    spec: PolicySpec = get_registry().spec("policies", policy)
    return _of(resolve(spec, env, config_file=file, overrides=overrides))


def _of(resolved: Resolved) -> Seen:
    return Seen(
        settings=whole_class(type(resolved.policy), type(resolved.env)),
        values=resolved.values(),
        layers=resolved.layers,
        header=resolved.header(),
    )


def _side(name: str) -> Seen:
    """Read one side of a comparison."""
    path = Path(name)
    if path.is_dir():
        path = path / "config.toml"
    if path.is_file():
        return attrs.evolve(
            _of(Resolved.from_toml(path.read_text(encoding="utf-8"), source=path)), layers=()
        )
    try:
        return _look(name, None, None, (), as_run=True)
    except UnknownNameError as err:
        raise ConfigError(f"{name} is neither a run directory nor a settings file. {err}") from err


# --- printing -------------------------------------------------------------------------------------


def _explanation(found: Explanation, seen: Seen) -> Iterator[str]:
    yield f"{found.path} = {show(found.value)}"
    yield f"  {found.help}"
    yield f"  takes {found.expected}" + (f"; unit: {found.unit}" if found.unit else "")
    yield from (f"  {remark}" for remark in found.remarks)
    where = "for {policy} in {environment}" if seen.in_a_run else "where no environment is named"
    yield f"  layers {where.format(**seen.header)}, the last one wins:"
    for number, (layer, value) in enumerate(found.said, start=1):
        mark = "  <- in force" if number == len(found.said) else ""
        yield f"    {layer}: {show(value)}{mark}"


def _table_lines(found: Explanation, inside: Sequence[str]) -> Iterator[str]:
    yield f"[{found.path}]  {found.help}"
    yield from (f"  {name}" for name in inside)


def _difference(found: Difference) -> str:
    left, right = ("absent" if v is ABSENT else show(v) for v in (found.left, found.right))
    return f"{found.path}: {left} -> {right}" + (f"  [{found.layer}]" if found.layer else "")
