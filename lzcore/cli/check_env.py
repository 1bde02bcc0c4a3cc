"""`lz check-env`: what is wrong with an environment, and what a preset would make of it."""

from collections.abc import Iterator, Sequence
from shlex import quote
from textwrap import wrap

import click

from lzcore.base.config import PolicySettings, Settings
from lzcore.base.errors import EnvError
from lzcore.base.structure import flat
from lzcore.base.toml import show
from lzcore.engine.elsewhere import looking_elsewhere
from lzcore.engine.layers import Stack, preset_name, user_layers, whole_class
from lzcore.engine.settings import Resolved, resolve
from lzcore.envs.check import Finding, Report, examine
from lzcore.registry import EnvSpec, PolicySpec, Registry, get_registry, load


@click.command("check-env")
@click.argument("env_id", metavar="ID")
@click.option("--policy", metavar="NAME", help="Also say what this policy would make of it.")
@click.option(
    "-o",
    "overrides",
    metavar="KEY=VALUE",
    multiple=True,
    help="One setting, env.KEY; may be given again.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, help="Of what is played [0].")
@click.pass_context
def check_env(
    ctx: click.Context, env_id: str, policy: str | None, overrides: tuple[str, ...], seed: int
) -> None:
    """Play the environment ID at random and say what is wrong with it.

    Exit status: 0 if nothing is, 1 if something is, 2 for wrong usage.
    """
    registry = get_registry()
    resolved, refusal = _resolved(registry, policy, env_id, overrides)
    kind = resolved.env_kind if resolved else registry.env_for(env_id)
    settings = resolved.env if resolved else _settings(kind, overrides)
    with looking_elsewhere(env_id, registry):
        report = examine(lambda: load(kind.env)(env_id, 1, settings), seed)
    findings = [*report.findings, *refusal]
    click.echo("\n".join(_facts(report)))
    if resolved:
        click.echo("\n".join(_preset(resolved)))
    click.echo("\n".join(_found(findings)))
    if report.has_rules:
        click.echo(f"`lz plugin check {quote(env_id)}` holds the rules to their contract.")
    ctx.exit(1 if any(finding.level == "wrong" for finding in findings) else 0)


def _resolved(
    registry: Registry, policy: str | None, env_id: str, overrides: Sequence[str]
) -> tuple[Resolved | None, list[Finding]]:
    """Settle what a run would use, or find out why there can be no run."""
    if policy is None:
        return None, []
    spec: PolicySpec = registry.spec("policies", policy)
    try:
        return resolve(spec, env_id, overrides=overrides, registry=registry), []
    except EnvError as err:
        return None, [Finding("wrong", str(err))]


def _settings(kind: EnvSpec, overrides: Sequence[str]) -> Settings:
    whole = whole_class(PolicySettings, load(kind.config))
    _, layers = user_layers(None, overrides, None)
    settings: Settings = Stack.of(whole, layers).settings().env
    return settings


# --- printing -------------------------------------------------------------------------------------


def _facts(report: Report) -> Iterator[str]:
    for name, text in report.facts.items():
        yield _entry(name.replace("_", " "), text)


def _preset(resolved: Resolved) -> Iterator[str]:
    """Tell which preset applies and what the layers say."""
    why = "for this id" if resolved.preset == preset_name(resolved.env_id) else "for its kind"
    fits = f"{resolved.preset}, {why}" if resolved.preset else "none fits"
    yield _entry("preset", f"{fits} ({resolved.policy_name})")
    for layer in resolved.layers:
        said = [f"{path}={show(value)}" for path, value in flat(layer.values).items()]
        yield _entry(f"  from {layer.name.split()[0]}", "  ".join(said) or "nothing")


def _entry(name: str, text: str) -> str:
    return "\n".join(_wrapped(f"{name:20}", text))


def _wrapped(label: str, text: str) -> list[str]:
    """Return lines of up to 100 columns, the text beside its label and nowhere below it."""
    rest = " " * len(label)
    return wrap(text, 100, initial_indent=label, subsequent_indent=rest, break_on_hyphens=False)


def _found(findings: Sequence[Finding]) -> Iterator[str]:
    for level, text in findings:
        yield from _wrapped(f"{level:8}", text)
    wrong = sum(level == "wrong" for level, _ in findings)
    yield f"{wrong} wrong." if wrong else "Nothing is wrong."
