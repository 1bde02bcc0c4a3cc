"""`lz plugin check`: holds a distribution, or one component, to what its kind promises."""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from typing import Any

import attrs
import click

from lzcore.base.errors import UnknownNameError
from lzcore.registry import Component, Registry, get_registry
from lzcore.registry.faults import told as in_which_line
from lzcore.registry.patience import patience

_COUNTED = ("passed", "failed", "not_reached")  # of Told


@attrs.frozen
class Told:
    """What came of the checks of one subject."""

    subject: str
    passed: list[str] = attrs.Factory(list)  # names of checks
    failed: dict[str, str] = attrs.Factory(dict)  # name -> what was wrong, one line
    # name -> the failed check that the same cause stopped before
    not_reached: dict[str, str] = attrs.Factory(dict)
    left_out: dict[str, str] = attrs.Factory(dict)  # name -> why it was not held to it


@click.command("check")
@click.argument("name", metavar="NAME")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def check(ctx: click.Context, name: str, as_json: bool) -> None:
    """Hold the distribution or component NAME to what its kind promises.

    Of a distribution, all of its components are tried, each on a small scale. A NAME that both
    have means the distribution; DISTRIBUTION:NAME is the component. The same checks make tests by
    lzcore.testing.parametrize_with_checks.

    Exit status: 0 if every check passed, 1 if one failed, 2 for a name that is not known.
    """
    from lzcore.testing.plugins import PATIENCE  # late: the kit loads much

    ctx.with_resource(patience(PATIENCE))
    registry = get_registry()
    try:
        with redirect_stdout(sys.stderr):  # standard output is for what is found
            subjects = _subjects(name, registry)
    except UnknownNameError as err:
        raise click.UsageError(str(err)) from err
    results = []
    for subject in subjects:
        with redirect_stdout(sys.stderr):
            results.append(_held(subject))
        if not as_json:
            click.echo("\n".join(_lines(results[-1])))
    counts = {n: sum(len(getattr(r, n)) for r in results) for n in _COUNTED}
    if as_json:
        subject_facts = [attrs.asdict(result) for result in results]
        click.echo(json.dumps({"name": name, **counts, "subjects": subject_facts}, indent=2))
    else:
        click.echo(f"{_counted(counts, always=('passed', 'failed'))}.")
    ctx.exit(1 if counts["failed"] else 0)


def _subjects(name: str, registry: Registry) -> list[Any]:
    """Return what is checked under a name."""
    from lzcore.testing.subject import Subject, is_distribution

    first = Subject(name, "plugin" if is_distribution(name, registry) else None, registry=registry)
    if first.kind != "plugin":
        return [first]
    known = [c for c in registry.components() if c.distribution == first.distribution]
    found = [first, *_watching(first)]
    for component in known:
        if component.state != "broken":  # the plugin's own checks tell of others
            found += _of_component(component, registry)
    return found


def _watching(plugin: Any) -> list[Any]:
    """Return the observers of a distribution as a subject, if it has some."""
    from lzcore.testing.observers import watches
    from lzcore.testing.subject import Subject

    has_some = bool(watches(plugin))
    return [Subject(plugin.name, "observer", registry=plugin.registry)] if has_some else []


def _of_component(component: Component, registry: Registry) -> Iterator[Any]:
    from lzcore.testing.simulators import has_rules
    from lzcore.testing.subject import COMPONENTS, Subject

    word = next(word for word, kind in COMPONENTS.items() if kind == component.kind)
    yield Subject(component.qualified, word, registry=registry)
    if word == "env":
        rules = Subject(component.qualified, "simulator", registry=registry)
        if has_rules(rules):
            yield rules


def _held(subject: Any) -> Told:
    """Run every check of a subject."""
    from lzcore.testing.kit import checks_for, left_out

    told = Told(str(subject), left_out=left_out(subject))
    causes: dict[str, str] = {}  # what was raised first -> the check that it stopped first
    for one in checks_for(subject):
        try:
            one.function(subject)
        except AssertionError as err:
            first = causes.setdefault(_cause(err), one.name)
            if first != one.name:
                told.not_reached[one.name] = first
            else:
                told.failed[one.name] = str(err).removeprefix(f"{subject}: ")
        else:
            told.passed.append(one.name)
    return told


def _cause(err: BaseException) -> str:
    """Return what was raised first, and where, of an error that others were raised from."""
    while err.__cause__ is not None:
        err = err.__cause__
    return in_which_line(err)


def _counted(counts: Mapping[str, int], always: tuple[str, ...] = ("passed",)) -> str:
    shown = [name for name in _COUNTED if counts[name] or name in always]
    return ", ".join(f"{counts[name]} {name.replace('_', ' ')}" for name in shown)


def _lines(told: Told) -> Iterator[str]:
    """Yield a line for the subject, and those of each check that did not pass."""
    yield f"{told.subject}: {_counted({name: len(getattr(told, name)) for name in _COUNTED})}"
    for name, said in told.failed.items():
        yield f"  failed    {name}: {said}"
        if others := list(told.not_reached.values()).count(name):
            yield f"            not reached because of it: {others} more."
    yield from (f"  left out  {name}: {why}." for name, why in told.left_out.items())
