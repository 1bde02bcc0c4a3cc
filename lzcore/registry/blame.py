"""Whose fault an error is: the components and distributions of others, named in one line.

Distributions of this project are not blamed: a bug of ours keeps its traceback, unless code of
others had called it; then their component is named, with the line of theirs that called.
"""

import sys
import traceback
from pathlib import Path
from types import FrameType
from typing import Any

from lzcore.base.errors import ContractError, LzError, PluginError
from lzcore.registry.discovery import CORE
from lzcore.registry.faults import worded
from lzcore.registry.hints import known_distributions
from lzcore.registry.lookup import Component, Registry
from lzcore.registry.specs import Spec

DRIVERS = ("lzcore.engine.", "lzcore.cli.")  # they call plugins; what is below is called by them


def blamed(err: BaseException, registry: Registry) -> PluginError | None:
    """Say which component of which distribution caused an error.

    Args:
        err: that was raised.
        registry: knows what is installed.
    Returns:
        What to raise instead. None: it is told in one line already, or no one else's fault.
    """
    if isinstance(err, ContractError):
        name = _Owners(registry).name_of(err.by)
        return PluginError(f"{name} {err.what}") if name else None
    if isinstance(err, LzError):
        return None
    name, place = _culprit(err, _Owners(registry))
    return PluginError(f"{name} failed: {worded(err)} ({place}).") if name else None


def _culprit(err: BaseException, owners: "_Owners") -> tuple[str, str]:
    """Name the component of others that was at work, and the line; "", "" if there was none.

    It is the innermost one. In a function of a plugin's that belongs to no component, it is the
    one of the same distribution that called it.
    """
    name = label = place = ""
    for frame, line in reversed(list(traceback.walk_tb(err.__traceback__))):
        whose, component = owners.of(frame)
        if not whose and frame.f_globals.get("__name__", "").startswith(DRIVERS):
            break
        if whose and not label:
            label = name = whose
            place = f"{Path(frame.f_code.co_filename).name} line {line}"
        if whose == label and component:
            return component, place
    return name, place


class _Owners:
    """Who brought a class or a line of code."""

    def __init__(self, registry: Registry) -> None:
        ours = {CORE, *(known.distribution for known in known_distributions())}
        self._ours = {name.replace("-", "_") for name in ours}
        self._components = registry.components()
        self._labels = {  # top-level package -> distribution and version, of others
            package: plugin.label
            for plugin in registry.plugins
            if plugin.distribution not in ours
            for package in {plugin.value.partition(".")[0]} - self._ours
        }

    def of(self, frame: FrameType) -> tuple[str, str]:
        """Return whose code a frame runs, or on whose object, and which component that is."""
        names = frame.f_locals
        owner = names.get("self", names.get("cls"))
        label = self._label(_class_of(owner).__module__)
        if label:
            return label, self._component(owner)
        return self._label(frame.f_globals.get("__name__", "")), ""

    def name_of(self, thing: Any) -> str:
        """Name a component by its instance, its class or its spec; "" if nobody knows it."""
        if isinstance(thing, Spec):
            return next((c.called for c in self._components if c.spec is thing), "")
        return self._component(thing) or self._label(_class_of(thing).__module__)

    def _component(self, thing: Any) -> str:
        """Name the component that a thing is, by its class or the nearest base; "" if it is none.

        A class that several components share is none of them.
        """
        for ancestor in _class_of(thing).__mro__:
            found = [c for c in self._components if self._is_of(ancestor, c)]
            if found or self._label(ancestor.__module__):
                return found[0].called if len(found) == 1 else ""
        return ""

    def _is_of(self, kind: type, component: Component) -> bool:
        """Whether a component is this class; one of others that borrows a class of ours is not."""
        if _package(kind.__module__) in self._ours and component.label in self._labels.values():
            return False
        paths = (getattr(component.spec, field) for field in component.spec.class_fields())
        return any(_found(path) is kind for path in paths)

    def _label(self, module: str) -> str:
        return self._labels.get(_package(module), "")


def _class_of(thing: Any) -> type:
    return thing if isinstance(thing, type) else type(thing)


def _package(module: str) -> str:
    return module.partition(".")[0]


def _found(path: str) -> Any:
    """Return what "package.module:Class" names if it is imported already."""
    module, _, name = path.partition(":")
    return getattr(sys.modules.get(module), name, None)
