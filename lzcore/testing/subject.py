"""What is checked: a component of some name, the environment it is tried on, and settings."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from lzcore.base.errors import UnknownNameError, nearest
from lzcore.registry import Component, Registry, Spec, get_registry
from lzcore.registry.discovery import normal
from lzcore.registry.faults import FAULTS

COMPONENTS = {  # kinds of subjects that are registered -> where the registry files them
    "policy": "policies",
    "model": "models",
    "tree": "trees",
    "buffer": "buffers",
    "env": "envs",
    "opponent": "opponents",
    "runner": "runners",
}
KINDS = (*COMPONENTS, "simulator", "observer", "plugin")
# what every installation can play by its rules: a board, and a vector
GAME, FLAT_GAME = (f"game/lzcore.testing.noughts:{name}" for name in ("Noughts", "FlatNoughts"))


class Subject:
    """A component that is held to its promises; its class is imported when it is asked for."""

    def __init__(
        self,
        name: str,
        kind: str | None = None,
        *,
        env: str | None = None,
        settings: Mapping[str, Any] | None = None,
        registry: Registry | None = None,
    ) -> None:
        """Find the component; arguments are those of `lzcore.testing.parametrize_with_checks`.

        Args:
            name: of a component, a distribution, or for a simulator also "module:Class".
            kind: one of KINDS; None: the only one that has the name.
            env: the id that it is tried on.
            settings: nested or dotted, laid over defaults and presets.
            registry: what is installed; None: this process's.
        Raises:
            UnknownNameError: nothing installed has the name, or things of several kinds have it.
            ValueError: there is no such kind.
        """
        self.registry = registry or get_registry()
        self.kind = kind or kind_of(name, self.registry)
        if self.kind not in KINDS:
            raise ValueError(f"kind is {kind!r}; expected one of {', '.join(KINDS)}.")
        self.name = name
        self.settings = dict(settings or {})
        self.spec = self._spec()
        self.env = env or self._env()

    def _spec(self) -> Spec | None:
        """Return the component's spec; of a simulator that of its environments."""
        if self.kind in COMPONENTS:
            spec: Spec = self.registry.spec(COMPONENTS[self.kind], self.name)
            return spec
        if self.kind == "simulator":
            if self._is_an_env():
                return self.registry.spec("envs", self.name)  # type: ignore[no-any-return]
            return self.registry.env_for(self._game())
        self.distribution  # noqa: B018 (raises if there is none)
        return None

    def _is_an_env(self) -> bool:
        """Whether a simulator is named by the kind of its environments."""
        return any(self.name in (c.name, c.qualified) for c in self.registry.components("envs"))

    def _game(self) -> str:
        """Return the environment id of a simulator that is named by its class or by that id."""
        return self.name if "/" in self.name else f"game/{self.name}"

    def _env(self) -> str:
        if self.kind == "simulator" and not self._is_an_env():
            return self._game()
        if self.kind in ("env", "simulator"):
            example: str = getattr(self.spec, "example", "")
            return example
        return self._where_it_plays() if self.kind == "policy" else ""

    def _where_it_plays(self) -> str:
        """Return what the policy's preset `default` names, else something it can play."""
        from lzcore.engine.layers import read_preset  # late: only policies have presets

        found = read_preset(self.spec, "default")  # type: ignore[arg-type]
        if found and found[0].environment:
            return found[0].environment
        try:
            rules = self.cls.plans_with_rules
        except FAULTS:  # the checks will tell what keeps it from being imported
            rules = False
        return GAME if rules else "CartPole-v1"

    @cached_property
    def cls(self) -> Any:
        """The component's own class; of a simulator the class of its environments.

        Raises:
            PluginError: it cannot be imported, and why; the message names the distribution.
        """
        if self.spec is None:
            raise TypeError(f"A {self.kind} has no class of its own.")
        return self.registry.resolve(self.spec.kind, self.registry.name_of(self.spec))

    @cached_property
    def distribution(self) -> str:
        """The distribution that a plugin's or an observer's name means."""
        wanted = normal(self.name)
        for plugin in self.registry.plugins:
            if wanted in (plugin.distribution, normal(plugin.name)):
                return plugin.distribution
        raise _unknown(self.name, self.registry)

    @cached_property
    def memory(self) -> dict[str, Any]:
        """What checks of this subject made and others may use again."""
        return {}

    def with_settings(self, **settings: Any) -> "Subject":
        """Return the same component under further settings."""
        return Subject(
            self.name,
            self.kind,
            env=self.env,
            settings={**self.settings, **settings},
            registry=self.registry,
        )

    def __str__(self) -> str:
        where = f" on {self.env}" if self.env and self.env != self.name else ""
        given = "".join(f", {name}={value}" for name, value in self.settings.items())
        return f"{self.kind} {self.name!r}{where}{given}"

    __repr__ = __str__


def kind_of(name: str, registry: Registry) -> str:
    """Return the kind of what has a name: a component's, else a distribution's.

    Raises:
        UnknownNameError: nothing has it, or things of several kinds have it.
    """
    words = {plural: word for word, plural in COMPONENTS.items()}
    kinds = [words[c.kind] for c in registry.components() if _is_called(c, name, words)]
    found = list(dict.fromkeys(kinds))
    if len(found) > 1:
        raise UnknownNameError(
            f"{name!r} is the name of several kinds: {', '.join(found)}. Say which with kind=."
        )
    if found:
        return found[0]
    if ":" in name or "/" in name:
        return "simulator"
    if is_distribution(name, registry):
        return "plugin"
    raise _unknown(name, registry)


def is_distribution(name: str, registry: Registry) -> bool:
    """Whether a distribution that is installed, or its entry point, has the name."""
    return any(normal(name) in (p.distribution, normal(p.name)) for p in registry.plugins)


def _is_called(component: Component, name: str, words: Mapping[str, str]) -> bool:
    return component.kind in words and name in (component.name, component.qualified)


def _unknown(name: str, registry: Registry) -> UnknownNameError:
    names = {c.name for c in registry.components()} | {p.distribution for p in registry.plugins}
    return UnknownNameError(
        f"Nothing that is installed is called {name!r}: no component and no distribution."
        f"{nearest(name, sorted(names))} `lz list` shows what there is."
    )
