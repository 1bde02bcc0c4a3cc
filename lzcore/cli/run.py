"""`lz run`: train a policy on an environment, or resume a run."""

import sys
from collections.abc import Mapping
from contextlib import nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import click

from lzcore.registry import get_registry


@click.command()
@click.option("--policy", metavar="NAME", help="Which algorithm; `lz list` names them.")
@click.option("--env", metavar="ID", help="A Gymnasium id, module:Id, or a plugin's own.")
@click.option("--seed", type=click.IntRange(min=0), help="Of everything that is drawn [0].")
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="The run directory.")
@click.option(
    "--max-env-steps",
    type=click.IntRange(min=1),
    help="End after the iteration that reaches so many; with --resume, go further.",
)
@click.option(
    "--max-minutes",
    type=click.FloatRange(min=0, min_open=True),
    help="End after the iteration that takes the run beyond so long; with --resume, go further.",
)
@click.option("--stop-value", type=float, help="End when an evaluation's mean return reaches it.")
@click.option(
    "--config",
    "config_file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="TOML of settings, laid over the preset.",
)
@click.option(
    "-o", "overrides", metavar="KEY=VALUE", multiple=True, help="One setting; may be given again."
)
@click.option("--resume", metavar="DIR", type=click.Path(path_type=Path), help="Go on with a run.")
@click.option("--device", metavar="NAME", help="Of torch: cpu, cuda, cuda:1.")
@click.option("--quiet", is_flag=True, help="Print nothing but errors.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line.")
def run(resume: Path | None, quiet: bool, as_json: bool, **given: Any) -> None:
    """Train a policy on an environment, or resume a run.

    Without --env, the policy chooses; the table lz of --config FILE may name both. Ctrl-C finishes
    the iteration, saves and says how to go on; a second one stops at once. Exit status: 0, 1 for
    an error, 2 for wrong usage.
    """
    if quiet and as_json:
        raise click.UsageError("--quiet and --json exclude each other.")
    if resume is None and given["policy"] is None and given["config_file"] is not None:
        given["policy"] = _policy_of(given["config_file"])
    _check_together(resume, given)
    from lzcore.engine.observers import JsonDisplay  # late, as all below: they load torch
    from lzcore.engine.progress import Progress

    watching: dict[str, Any] = {
        "observers": () if quiet else (JsonDisplay() if as_json else Progress(),),
        "command": sys.argv,
    }
    limits = {name: given[name] for name in ("max_env_steps", "max_minutes", "stop_value")}
    # with --json standard output is the display's alone, whatever others print
    with redirect_stdout(sys.stderr) if as_json else nullcontext():
        _run(resume, limits, given, watching, quiet)


def _tell_of_broken(quiet: bool) -> None:
    """Name the plugins that the run goes without, observers among them, which nobody asks for."""
    for plugin in get_registry().plugins:
        if plugin.state == "broken" and not quiet:
            click.echo(f"lz: {plugin.label} is broken and may be missed: {plugin.cause}.", err=True)


def _run(
    resume: Path | None,
    limits: Mapping[str, Any],
    given: Mapping[str, Any],
    watching: Mapping[str, Any],
    quiet: bool,
) -> None:
    from lzcore.engine.starting import carry_out, plan_resume, plan_run  # late: they load torch

    if resume is not None:
        plan = plan_resume(resume, budgets=limits, **watching)
        _tell_of_broken(quiet)
        carry_out(plan)
        return
    named = {f"run.{name}": value for name, value in {**limits, "seed": given["seed"]}.items()}
    named["device"] = given["device"]
    plan = plan_run(
        given["policy"],
        given["env"],
        out=given["out"],
        config_file=given["config_file"],
        overrides=given["overrides"],
        named={name: value for name, value in named.items() if value is not None},
        **watching,
    )
    _tell_of_broken(quiet)
    carry_out(plan)


def _policy_of(config_file: Path) -> str | None:
    from lzcore.engine.layers import read_file  # late: it takes long to import

    header, _ = read_file(config_file)
    return header.policy or None


def _check_together(resume: Path | None, given: Mapping[str, Any]) -> None:
    if resume is None:
        if given["policy"] is None:
            raise click.UsageError("Say what to train: --policy NAME; or go on: --resume DIR.")
        return
    fixed = ("policy", "env", "seed", "out", "config_file", "overrides", "device")
    names = {"config_file": "--config", "overrides": "-o"}
    found = [names.get(n, f"--{n}") for n in fixed if given[n] is not None and given[n] != ()]
    if found:
        raise click.UsageError(
            f"--resume takes everything from the run, so {', '.join(found)} cannot go with it."
        )
