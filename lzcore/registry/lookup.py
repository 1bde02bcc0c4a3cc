"""What is installed: every component with where it comes from, and how one is looked up.

Names are claimed by distributions. A name that the core claims is the core's; a name that two
other distributions claim is nobody's until it is written "distribution:name".
"""

import os
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import redirect_stdout
from functools import cache
from typing import Any, Literal

import attrs

from lzcore.base.errors import PluginError, UnknownNameError
from lzcore.registry.discovery import (
    CORE,
    Point,
    collect_specs,
    installed_points,
    load_plugins,
    misnamed_hooks,
    names_in,
    normal,
)
from lzcore.registry.hints import unknown_name
from lzcore.registry.relay import Relay, new_manager
from lzcore.registry.specs import KINDS, EnvSpec, PolicySpec, Spec, load

State = Literal["ok", "conflict", "broken"]


@attrs.frozen
class Component:
    """One thing that a distribution provides."""

    kind: str  # policies, models, trees, buffers, envs, opponents or runners
    name: str
    spec: Any  # the kind's own spec class
    distribution: str
    version: str
    state: State = "ok"
    cause: str = ""  # of a state that is not ok, one line

    @property
    def qualified(self) -> str:
        """The name that no other distribution can take."""
        return f"{self.distribution}:{self.name}"

    @property
    def label(self) -> str:
        """What messages call where it comes from."""
        return f"{self.distribution} {self.version}".strip()

    @property
    def called(self) -> str:
        """What messages call it, at the beginning of a sentence."""
        return f"The {self.spec.word} {self.name!r} of {self.label}"


class Registry:
    """Every installed component, found once when the registry is made."""

    def __init__(
        self, entry_points: Iterable[Point] | None = None, *, limit: str | None = None
    ) -> None:
        """Load the plugins and collect their specs; classes are imported later, by `resolve`.

        Args:
            entry_points: what to load besides the core's own; None: all that are installed.
            limit: as LZ_PLUGINS, which it replaces: names separated by commas, "" for all.
        """
        points = installed_points() if entry_points is None else entry_points
        self.limit = os.environ.get("LZ_PLUGINS", "") if limit is None else limit
        self._manager = new_manager()
        self.plugins = tuple(load_plugins(points, self.limit, self._manager))
        self._components = tuple(_settled(self._found()))
        self.hook = Relay(self._manager, self._labels())

    def _found(self) -> Iterator[Component]:
        for plugin in self.plugins:
            if self._manager.has_plugin(plugin.key):
                for spec in collect_specs(plugin, self._manager):
                    yield Component(spec.kind, spec.name, spec, plugin.distribution, plugin.version)

    def _labels(self) -> dict[str, str]:
        return {plugin.key: plugin.label for plugin in self.plugins}

    @property
    def unknown_in_limit(self) -> list[str]:
        """Names in LZ_PLUGINS that are neither an entry point nor a distribution."""
        known = {normal(name) for p in self.plugins for name in (p.name, p.distribution)}
        return [name for name in names_in(self.limit) if normal(name) not in known]

    def components(self, kind: str | None = None) -> list[Component]:
        """Return the components of one kind, or all; those in conflict or broken too."""
        if kind is not None and kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}, or None.")
        return [c for c in self._components if kind in (None, c.kind)]

    def component(self, kind: str, name: str) -> Component:
        """Look one component up.

        Args:
            kind: policies, models, trees, buffers, envs, opponents or runners.
            name: its name, or "distribution:name".
        Raises:
            UnknownNameError: nothing installed has the name, or two distributions claim it. The
                message tells what is installed, the nearest name and how to get what is missing.
            PluginError: it cannot be used, and why.
        """
        known = self.components(kind)
        distribution, _, bare = name.rpartition(":")
        found = [
            c
            for c in known
            if c.name == bare
            and (normal(distribution) == c.distribution if distribution else c.state != "conflict")
        ]
        if not found:
            raise self._missing(kind, name)
        if found[0].state == "broken":
            raise PluginError(f"{found[0].called} cannot be used: {found[0].cause}.")
        return found[0]

    def _missing(self, kind: str, name: str) -> UnknownNameError:
        claims = [c for c in self.components(kind) if c.name == name]
        if not claims:
            return unknown_name(
                kind, name, self.components(kind), self.plugins, self.unknown_in_limit
            )
        return UnknownNameError(
            f"The {KINDS[kind].word} {name!r} is claimed by "
            f"{' and '.join(c.label for c in claims)}, so the name alone picks none. "
            f"Write {' or '.join(repr(c.qualified) for c in claims)}."
        )

    def spec(self, kind: str, name: str) -> Any:
        """Return the spec of a component; errors as for `component`."""
        return self.component(kind, name).spec

    def name_of(self, spec: Spec) -> str:
        """Return the name that picks what `spec` describes, with its distribution if need be."""
        found = next(c for c in self._components if c.spec is spec)
        return found.qualified if found.state == "conflict" else found.name

    def resolve(self, kind: str, name: str, field: str | None = None) -> Any:
        """Import a class that a component names.

        Args:
            kind: as for `component`.
            name: as for `component`.
            field: of the spec, such as "config"; None: the component's own class.
        Raises:
            UnknownNameError: as for `component`.
            PluginError: the class cannot be imported; the message names the distribution.
        """
        component = self.component(kind, name)
        try:
            return load(getattr(component.spec, field or component.spec.main))
        except PluginError as err:
            raise PluginError(f"{component.called} cannot be used: {err}.") from err

    def env_for(self, env_id: str) -> EnvSpec:
        """Return the kind of environments that answers to an id.

        Raises:
            UnknownNameError: two distributions claim the id's prefix.
        """
        prefix, slash, _ = env_id.partition("/")
        usable = [c for c in self.components("envs") if c.state == "ok"]
        found = [c for c in usable if slash and c.spec.prefix == prefix]
        if len(found) > 1:
            raise UnknownNameError(
                f"Environment ids that begin with '{prefix}/' are claimed by "
                f"{' and '.join(c.label for c in found)}. Uninstall one, or set LZ_PLUGINS to "
                "the plugins to load."
            )
        return (found or [c for c in usable if not c.spec.prefix])[0].spec  # type: ignore[no-any-return]

    def check(self, distribution: str | None = None) -> list[Component]:
        """Import every class and look up every name that a spec mentions.

        Args:
            distribution: whose components are checked; None: every one's.
        Returns:
            These components; those that failed are broken, with the cause.
        """
        return [
            self._checked(c) for c in self._components if distribution in (None, c.distribution)
        ]

    def _checked(self, component: Component) -> Component:
        with redirect_stdout(sys.stderr):
            problems = list(self._unresolved(component.spec))
        if component.state == "broken" or not problems:
            return component
        return attrs.evolve(component, state="broken", cause="; ".join(problems))

    def _unresolved(self, spec: Spec) -> Iterator[str]:
        for field in spec.class_fields():
            try:
                load(getattr(spec, field))
            except PluginError as err:
                yield f"{field}: {err}"
        if isinstance(spec, PolicySpec):
            yield from self._missing_parts(spec)

    def _missing_parts(self, spec: PolicySpec) -> Iterator[str]:
        for kind, name in (("models", spec.default_model), ("buffers", spec.buffer)):
            try:
                name == "" or self.component(kind, name)
            except (UnknownNameError, PluginError) as err:
                yield str(err)

    def observers(self, extra: Sequence[object] = ()) -> Relay:
        """Return the hooks of one run: every plugin's, and those of `extra`.

        An observer that raises is reported once and left out for as long as this relay is used.
        Those of `extra` are called first, in order; their LzErrors go through, since stopping a
        run is theirs to decide (a full disk).

        Args:
            extra: objects with `@hookimpl` methods.
        """
        manager, labels = new_manager(), self._labels()
        for plugin in self.plugins:
            if self._manager.has_plugin(plugin.key):
                manager.register(plugin.module, plugin.key)
        own = {f"{place}:{type(thing).__name__}": thing for place, thing in enumerate(extra)}
        for key, thing in reversed(own.items()):  # pluggy calls the last registered first
            labels[key] = f"{type(thing).__module__}.{type(thing).__qualname__}"
            if problems := "; ".join(misnamed_hooks(thing, manager)):
                raise PluginError(f"The observer {labels[key]} cannot be used: {problems}")
            manager.register(thing, key)
        return Relay(manager, labels, frozenset(own))


def _settled(found: Iterator[Component]) -> Iterator[Component]:
    claims: dict[tuple[str, str], list[Component]] = defaultdict(list)
    for component in found:
        claims[component.kind, component.name].append(component)
    for kind, name in sorted(claims, key=lambda claim: (list(KINDS).index(claim[0]), claim[1])):
        claimants = claims[kind, name]
        yield from (_judged(c, claimants) for c in claimants)


def _judged(component: Component, claimants: Sequence[Component]) -> Component:
    mine = [c for c in claimants if c.distribution == component.distribution]
    others = sorted({c.label for c in claimants} - {component.label})
    if component is not mine[0]:
        return attrs.evolve(component, state="broken", cause="its distribution names it twice")
    if component.distribution == CORE:
        return component
    if component.kind == "envs" and not component.spec.prefix:
        cause = "ids without a prefix are Gymnasium's; give its EnvSpec a prefix"
        return attrs.evolve(component, state="broken", cause=cause)
    if not others:
        return component
    taken = any(c.distribution == CORE for c in claimants)
    cause = "the core has" if taken else f"{' and '.join(others)} claims"
    cause += f" this name too; write {component.qualified!r}"
    return attrs.evolve(component, state="conflict", cause=cause)


@cache
def _registry() -> Registry:
    return Registry()


def get_registry(reload: bool = False) -> Registry:
    """Return the registry of this process, made at the first call.

    Args:
        reload: look again at what is installed and at LZ_PLUGINS. Modules that were imported
            stay imported.
    """
    if reload:
        _registry.cache_clear()
    return _registry()
