"""Finding plugins: from entry points to specs, each plugin and each of its hooks on its own.

A plugin that cannot be imported, asks for another hook API or answers with the wrong type is kept
in the list with its problems, so that `lz list` and look-up errors can tell of them.
"""

import inspect
import re
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from importlib.metadata import EntryPoint, distributions
from itertools import chain
from typing import Any, Protocol

import attrs
import pluggy

import lzcore
from lzcore.base.errors import PluginError, nearest
from lzcore.registry.faults import FAULTS, told
from lzcore.registry.hookspecs import API, PROJECT
from lzcore.registry.patience import importing
from lzcore.registry.relay import call
from lzcore.registry.specs import KINDS, Spec

CORE = "lzcore"  # the distribution whose names no plugin can take
SLOW = 0.5  # seconds that an import takes to be called so
# what a module of hooks has no use for
HEAVY = ("torch", "gymnasium", "tensorboard", "jax", "tensorflow", "pandas", "matplotlib")
BUILT_IN = EntryPoint(name="core", value="lzcore.plugin", group=PROJECT)


class Point(Protocol):
    """What is asked of an entry point; importlib.metadata's, or a test's own."""

    @property
    def name(self) -> str:
        """What the distribution calls the plugin."""

    @property
    def value(self) -> str:
        """The module that holds its hooks."""

    @property
    def dist(self) -> Any:
        """Something with the name and version of the distribution; None: the core."""

    def load(self) -> Any:
        """Import the module."""


@attrs.define(kw_only=True)
class Plugin:
    """One entry point and what came of it."""

    name: str  # of the entry point
    value: str  # the module it names
    distribution: str
    version: str
    module: Any = None  # once loaded
    left_out: bool = False  # by LZ_PLUGINS
    seconds: float = 0.0  # that its import took
    heavy: tuple[str, ...] = ()  # of HEAVY, that it was the first to import
    problems: list[str] = attrs.Factory(list)

    @property
    def key(self) -> str:
        """What it is registered under."""
        return f"{self.distribution}:{self.name}"

    @property
    def label(self) -> str:
        """What messages call it: distribution and version."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def state(self) -> str:
        """One of ok, broken, left out."""
        return "broken" if self.problems else "left out" if self.left_out else "ok"

    @property
    def cause(self) -> str:
        """Why it is not ok, or nothing."""
        return "; ".join(self.problems) or ("LZ_PLUGINS does not name it" * self.left_out)

    @property
    def slow(self) -> str:
        """What makes every command wait for it, or nothing."""
        if self.seconds < SLOW:
            return ""
        loads = f" (it loads {' and '.join(self.heavy)})" if self.heavy else ""
        return f"slow to import: {self.seconds:.1f} s in every command{loads}"


def normal(name: str) -> str:
    """Return a distribution's name in its one spelling: lower case, hyphens."""
    return re.sub(r"[-_.]+", "-", name).lower()


def names_in(limit: str) -> list[str]:
    """Return the names in a value of LZ_PLUGINS; none means all plugins."""
    return [name.strip() for name in limit.split(",") if name.strip()]


@attrs.frozen
class Unreadable:
    """Stands for the entry points of a distribution whose list of them is damaged."""

    dist: Any
    fault: BaseException
    name: str = "?"
    value: str = "entry_points.txt"

    def load(self) -> Any:
        """Raise what reading the list raised."""
        raise self.fault


def installed_points() -> list[Point]:
    """Return the entry points of every installed plugin, in an order that does not vary.

    Each distribution is read on its own: a damaged one must not hide the others, and those that
    have nothing for this project are not parsed. The first on the path hides its namesakes.
    """
    found: dict[Any, list[Point]] = {}
    for dist in distributions():
        try:
            if f"[{PROJECT}]" in (dist.read_text("entry_points.txt") or ""):
                points = [point for point in dist.entry_points if point.group == PROJECT]
                found.setdefault(dist.name and normal(dist.name), [*points])
        except FAULTS as err:
            found[id(dist)] = [Unreadable(dist, err)]
    return sorted(chain(*found.values()), key=lambda point: (point.name, point.value))


def load_plugins(
    points: Iterable[Point], limit: str, manager: pluggy.PluginManager
) -> Iterator[Plugin]:
    """Load and register the plugins one after another.

    Args:
        points: the entry points; the core's own goes before them.
        limit: names of entry points or distributions, separated by commas; "" loads all.
        manager: where those that can be used are registered.
    Yields:
        Every plugin, also those left out or broken.
    """
    wanted = {normal(name) for name in names_in(limit)}
    yield _load(_described(BUILT_IN), BUILT_IN, manager)
    for point in points:
        plugin = _described(point)
        if wanted.isdisjoint({normal(plugin.name), normal(plugin.distribution)}) and wanted:
            plugin.left_out = True
            yield plugin
        else:
            yield _load(plugin, point, manager)


def _described(point: Point) -> Plugin:
    plugin = Plugin(name=point.name, value=point.value, distribution=CORE, version="")
    if point.dist is None:
        plugin.version = lzcore.__version__
        return plugin
    plugin.distribution = point.value.partition(".")[0]  # until its metadata says better
    try:
        plugin.distribution, plugin.version = normal(point.dist.name), str(point.dist.version)
    except FAULTS as err:
        plugin.problems.append(f"its metadata cannot be read: {told(err)}")
    return plugin


def _load(plugin: Plugin, point: Point, manager: pluggy.PluginManager) -> Plugin:
    start, light = time.perf_counter(), [name for name in HEAVY if name not in sys.modules]
    try:
        with redirect_stdout(sys.stderr), importing(point.value):
            plugin.module = point.load()
        _check_api(plugin)
        _register(plugin, manager)
    except PluginError as err:
        plugin.problems.append(str(err))
    except FAULTS as err:
        plugin.problems.append(told(err))
    plugin.seconds = time.perf_counter() - start
    plugin.heavy = tuple(name for name in light if name in sys.modules)
    return plugin


def _check_api(plugin: Plugin) -> None:
    stated = getattr(plugin.module, "LZ_API", None)
    if type(stated) is not int:
        was = "does not state its hook API" if stated is None else f"states LZ_API = {stated!r}"
        raise PluginError(f"{plugin.value} {was}; write LZ_API = {API} in it")
    if stated != API:
        newer, older = (CORE, plugin.distribution)[:: 1 if stated > API else -1]
        raise PluginError(
            f"{plugin.value} asks for hook API {stated}, and lzcore {lzcore.__version__} has "
            f"hook API {API}; install a newer {newer} or an older {older}"
        )


def _register(plugin: Plugin, manager: pluggy.PluginManager) -> None:
    if manager.is_registered(plugin.module):
        raise PluginError(f"another entry point already names {plugin.value}; remove one of them")
    plugin.problems.extend(misnamed_hooks(plugin.module, manager))
    try:
        manager.register(plugin.module, plugin.key)
    except pluggy.PluginValidationError as err:
        if manager.has_plugin(plugin.key):
            manager.unregister(name=plugin.key)
        raise PluginError(" ".join(str(err).split())) from err


def misnamed_hooks(module: Any, manager: pluggy.PluginManager) -> Iterator[str]:
    """Yield one line for each implementation of a hook that does not exist.

    Raises:
        PluginError: one of them is a hook wrapper, or asks for what its hook does not give.
    """
    hooks = [name for name, hook in vars(manager.hook).items() if hook.has_spec()]
    for attribute in dir(module):
        options = manager.parse_hookimpl_opts(module, attribute)
        if options is None:
            continue
        hook = options["specname"] or attribute
        if options["wrapper"] or options["hookwrapper"]:
            raise PluginError(f"{hook} is a hook wrapper; hooks are called one by one, unwrapped")
        if hook not in hooks and not options["optionalhook"]:
            yield f"{hook} is not a hook of lzcore {lzcore.__version__}.{nearest(hook, hooks)}"
        elif hook in hooks:
            _check_arguments(hook, getattr(module, attribute), getattr(manager.hook, hook))


def _check_arguments(hook: str, function: Any, caller: Any) -> None:
    known = caller.spec.argnames
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in known and parameter.default is parameter.empty:
            gives = f"expected some of {', '.join(known)}" if known else "expected no argument"
            raise PluginError(
                f"{hook} asks for {name!r}, which it is not given; {gives}.{nearest(name, known)}"
            )


def collect_specs(plugin: Plugin, manager: pluggy.PluginManager) -> Iterator[Spec]:
    """Call the registering hooks of one plugin; what is wrong goes to its problems."""
    for kind, expected in KINDS.items():
        hook = f"lz_register_{kind}"
        for impl in getattr(manager.hook, hook).get_hookimpls():
            if impl.plugin_name != plugin.key:
                continue
            try:
                with redirect_stdout(sys.stderr):  # stdout is for what `lz` was asked
                    answer = call(impl, hook, plugin.label, {})
            except FAULTS as err:
                plugin.problems.append(f"{hook} raised {told(err)}")
            else:
                yield from _specs_in(answer, hook, expected, plugin)


def _specs_in(answer: Any, hook: str, expected: type[Spec], plugin: Plugin) -> Iterator[Spec]:
    wanted = expected.__name__
    if not isinstance(answer, Sequence) or isinstance(answer, str):
        plugin.problems.append(
            f"{hook} returned {type(answer).__name__}; expected a list of {wanted}"
        )
        return
    for place, item in enumerate(answer):
        if isinstance(item, expected):
            yield item
        else:
            plugin.problems.append(
                f"{hook} returned {type(item).__name__} at place {place}; expected {wanted}"
            )
