"""Calling hooks so that one plugin's failure stays its own."""

import reprlib
import sys
import time
from collections.abc import Callable, Mapping
from os import environ
from typing import Any

import pluggy

from lzcore.base.errors import LzError
from lzcore.registry import hookspecs
from lzcore.registry.faults import FAULTS, told

_brief = reprlib.Repr()
_brief.maxother = 80
_MANY_SECONDS, _MUCH = 1.0, 0.1  # in the hooks of a plugin; their share of a run


def new_manager() -> pluggy.PluginManager:
    """Return a pluggy manager that knows the hooks of this version and no plugin."""
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    return manager


def call(impl: pluggy.HookImpl, hook: str, who: str, given: Mapping[str, Any]) -> Any:
    """Call one implementation with those of the `given` arguments that it takes.

    With LZ_TRACE_HOOKS=1 the call is printed on stderr.
    """
    names = (*impl.argnames, *impl.kwargnames)
    start = time.perf_counter()
    result = impl.function(**{name: given[name] for name in names if name in given})
    if environ.get("LZ_TRACE_HOOKS", "0") not in ("", "0"):
        _trace(hook, who, given, result, time.perf_counter() - start)
    return result


def _trace(hook: str, who: str, given: Mapping[str, Any], result: Any, seconds: float) -> None:
    arguments = ", ".join(f"{name}={_short(value)}" for name, value in given.items())
    answer = "" if result is None else f" = {_short(result)}"
    print(f"[hook] {who}: {hook}({arguments}){answer}  {seconds * 1e3:.1f} ms", file=sys.stderr)


def _shown(value: Any) -> Any:
    """Return what a plugin may do with as it likes."""
    if type(value) is dict:
        return dict(value)
    return value.for_observers() if hasattr(value, "for_observers") else value


def _short(value: Any) -> str:
    try:
        return " ".join(_brief.repr(value).split())
    except Exception:  # tracing calls the repr of things it knows nothing of
        return f"<{type(value).__name__}>"


def unheard() -> "Relay":
    """Return the hooks of a run that nobody watches."""
    return Relay(new_manager(), {})


class Relay:
    """The hooks as methods: `relay.lz_learned(run=run, metrics=metrics)`.

    Later plugins are called before earlier ones, as in pluggy. One that raises is reported once
    on stderr and no longer called; its results are left out. One that takes much of the time is
    reported once too. What a plugin does to its arguments is done to copies (`_shown`).
    """

    def __init__(
        self,
        manager: pluggy.PluginManager,
        labels: Mapping[str, str],
        own: frozenset[str] = frozenset(),
    ) -> None:
        """Call the plugins of a manager.

        Args:
            manager: with everything registered.
            labels: registered name -> distribution and version, for messages.
            own: registered names whose LzErrors go through, because stopping is theirs to decide.
        """
        self._manager = manager
        self._labels = labels
        self._own = own
        self._dropped: set[str] = set()
        self._began = time.perf_counter()
        self._spent: dict[str, float] = {}  # seconds by registered name
        self._slow: set[str] = set()

    def __getattr__(self, hook: str) -> Callable[..., list[Any]]:
        if hook.startswith("_"):  # copying and pickling ask before there is a manager
            raise AttributeError(hook)
        caller = getattr(self._manager.hook, hook)
        needed = set(caller.spec.argnames)

        def call_each(**given: Any) -> list[Any]:
            if needed != given.keys():
                raise TypeError(f"{hook} was called with {sorted(given)}; it has {sorted(needed)}.")
            return [
                result
                for impl in reversed(caller.get_hookimpls())
                if (result := self._call(impl, hook, given)) is not None
            ]

        return call_each

    def _call(self, impl: pluggy.HookImpl, hook: str, given: Mapping[str, Any]) -> Any:
        name = impl.plugin_name
        if name in self._dropped:
            return None
        if name in self._own:
            return self._tried(impl, hook, given)
        start = time.perf_counter()
        answer = self._tried(impl, hook, {name: _shown(value) for name, value in given.items()})
        self._count(name, hook, start)
        return answer

    def _count(self, name: str, hook: str, start: float) -> None:
        """Add the seconds since `start` to a plugin's, and say so if they become many."""
        now = time.perf_counter()
        spent = self._spent[name] = self._spent.get(name, 0.0) + now - start
        total = now - self._began
        if spent < _MANY_SECONDS or spent < _MUCH * total or name in self._slow:
            return
        self._slow.add(name)
        what = f"is slow: its hooks took {spent:.1f} of the last {total:.1f} s, {hook} among them"
        print(f"lz: {self._labels[name]} {what}. LZ_PLUGINS can leave it out.", file=sys.stderr)

    def _tried(self, impl: pluggy.HookImpl, hook: str, given: Mapping[str, Any]) -> Any:
        name = impl.plugin_name
        try:
            return call(impl, hook, self._labels[name], given)
        except FAULTS as err:
            if name in self._own and isinstance(err, LzError):
                raise
            self._dropped.add(name)
            what = f"failed in {hook} and is left out from here on: {told(err)}"
            print(f"lz: {self._labels[name]} {what}", file=sys.stderr)
            return None
