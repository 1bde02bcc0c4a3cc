"""What a distribution promises as a whole: it loads lightly, and all that it names is there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, requires
from typing import Any

from lzcore.base.config import PolicySettings, Settings
from lzcore.base.env import Env
from lzcore.base.opponent import Opponent
from lzcore.base.replay import Buffer
from lzcore.base.tree import Tree
from lzcore.registry import Component, PolicySpec, load
from lzcore.registry.discovery import CORE, HEAVY, Plugin, normal
from lzcore.testing.promises import in_one_line, promise, require
from lzcore.testing.subject import Subject

_PROTOCOLS = {"trees": Tree, "buffers": Buffer, "envs": Env, "opponents": Opponent}
PATIENCE = 120  # seconds that an import may take
_LONGEST = 100  # characters of a summary in `lz list`

_IMPORT = """
import io, json, logging, os, random, sys, warnings
import lzcore.registry
heavy, module = sys.argv[1].split(","), sys.argv[2]
def state():
    root = logging.getLogger()
    return {
        "the environment variables": dict(os.environ),
        "the level of the root logger": root.level,
        "the handlers of the root logger": len(root.handlers),
        "the generator of Python's random": hash(random.getstate()),
        "the filters of warnings": len(warnings.filters),
    }
before, told, said = state(), sys.stdout, io.StringIO()
sys.stdout = said
__import__(module)
sys.stdout, after = told, state()
print(json.dumps({
    "heavy": [name for name in heavy if name in sys.modules],
    "changed": [name for name in before if before[name] != after[name]],
    "said": said.getvalue(),
}))
"""


def _plugins(subject: Subject) -> list[Plugin]:
    """Return the entry points of the distribution."""
    return [p for p in subject.registry.plugins if p.distribution == subject.distribution]


def _components(subject: Subject) -> list[Component]:
    known = subject.registry.components()
    return [c for c in known if c.distribution == subject.distribution]


def _called(component: Component) -> str:
    return f"its {component.spec.word} {component.name!r}"


# --- loading --------------------------------------------------------------------------------------


@promise("plugin")
def check_it_is_loaded_without_problems(subject: Subject) -> None:
    """Each entry point's module is imported, states LZ_API, and its hooks answer."""
    for plugin in _plugins(subject):
        require(
            plugin.state == "ok",
            f"its entry point {plugin.name!r} is {plugin.state}: {in_one_line(plugin.cause)} "
            "Expected it to be ok in `lz list`.",
        )


@promise("plugin")
def check_importing_it_does_nothing_else(subject: Subject) -> None:
    """The module of hooks loads no heavy library, says nothing and changes nothing."""
    for plugin in _plugins(subject):
        told = _imported(plugin.value)
        require(
            not told["heavy"],
            f"importing {plugin.value} loads {', '.join(told['heavy'])}; expected it to load "
            "nothing heavy: name classes as text, import what is heavy where it is used.",
        )
        require(
            not told["said"],
            f"importing {plugin.value} prints {told['said'].strip()!r}; expected nothing.",
        )
        require(
            not told["changed"],
            f"importing {plugin.value} changes {' and '.join(told['changed'])}; expected an "
            "import that changes nothing.",
        )


def _imported(module: str) -> dict[str, Any]:
    """Import a module in another process and return what that did."""
    paths = os.pathsep.join(path for path in sys.path if path)
    try:
        done = subprocess.run(
            [sys.executable, "-c", _IMPORT, ",".join(HEAVY), module],
            env={**os.environ, "PYTHONPATH": paths},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
    except subprocess.TimeoutExpired:
        raise AssertionError(
            f"importing {module} alone had not ended after {PATIENCE} seconds; expected a moment: "
            "wait for nothing in a module of hooks."
        ) from None
    last = in_one_line((done.stderr.strip().splitlines() or [""])[-1])
    require(done.returncode == 0, f"importing {module} alone fails: {last} Expected it to work.")
    return json.loads(done.stdout)  # type: ignore[no-any-return]


def _is_the_core(subject: Subject) -> str | None:
    return "it is the core itself" if subject.distribution == CORE else None


@promise("plugin", left_out=_is_the_core)
def check_it_asks_for_lzcore(subject: Subject) -> None:
    """Its metadata, where it tells of any requirement, tells of lzcore."""
    try:
        named = requires(subject.distribution) or []
    except PackageNotFoundError:  # an entry point that a test made up
        named = []
    require(
        not named or any(normal(line).startswith(CORE) for line in named),
        f'it requires {named}; expected {CORE} among its dependencies, such as "{CORE}>=0.1,<0.2".',
    )


# --- what it names --------------------------------------------------------------------------------


@promise("plugin")
def check_all_that_it_names_can_be_used(subject: Subject) -> None:
    """Every class can be imported, every other component that a spec names is installed."""
    for component in subject.registry.check(subject.distribution):
        require(
            component.state != "broken",
            f"{_called(component)} cannot be used: {in_one_line(component.cause)} Expected "
            "`lz list --check` to find nothing.",
        )


@promise("plugin")
def check_its_names_are_its_own(subject: Subject) -> None:
    """No name is also claimed by another distribution that is installed."""
    for component in _components(subject):
        require(
            component.state != "conflict",
            f"{_called(component)} is not its own: {in_one_line(component.cause)} Expected "
            "another name.",
        )


@promise("plugin")
def check_every_component_is_told_in_one_line(subject: Subject) -> None:
    """A summary that `lz list` can show."""
    for component in _components(subject):
        said = component.spec.summary
        require(
            said.strip() and "\n" not in said and len(said) <= _LONGEST,
            f"the summary of {_called(component)} is {said!r}; expected one line of up to "
            f"{_LONGEST} characters.",
        )


@promise("plugin")
def check_components_are_what_they_are_registered_as(subject: Subject) -> None:
    """Classes have the bases and methods of their kind."""
    for component in _components(subject):
        if component.state != "broken":
            for wrong in _misfits(component):
                raise AssertionError(f"{_called(component)} {wrong}")


def _misfits(component: Component) -> Iterator[str]:
    """Yield what a component's classes lack."""
    from torch import nn  # late: a distribution of trees needs no torch

    from lzcore.base.policy import Policy

    spec = component.spec
    found = load(getattr(spec, spec.main))
    bases: dict[str, Any] = {"policies": Policy, "models": nn.Module}
    base = bases.get(component.kind)
    if base is not None and not (isinstance(found, type) and issubclass(found, base)):
        yield f"is {in_one_line(repr(found))} Expected a class derived from {base}."
    lacking = [name for name in _methods(component.kind) if not hasattr(found, name)]
    if lacking:
        yield f"has no {', '.join(lacking)}; expected a class with them, see lzcore.base."
    if "config" in spec.class_fields():
        config = load(spec.config)
        wanted = PolicySettings if isinstance(spec, PolicySpec) else Settings
        if not (isinstance(config, type) and issubclass(config, wanted)):
            yield f"has the config {config!r}; expected a class derived from {wanted.__name__}."


def _methods(kind: str) -> list[str]:
    """Return what the protocol of a kind of components has a class define."""
    parts = vars(_PROTOCOLS[kind]) if kind in _PROTOCOLS else {}
    return [name for name in parts if name[0] != "_" and _is_defined(parts[name])]


def _is_defined(part: object) -> bool:
    return callable(part) or isinstance(part, property)
