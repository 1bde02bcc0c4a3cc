"""The reference of settings, from the classes that declare them."""

from collections.abc import Iterator
from importlib import resources
from typing import Any

import attrs

from lzcore.base.config import Only, PolicySettings, Settings
from lzcore.base.structure import paths_of
from lzcore.base.toml import show
from lzcore.base.wording import expectation
from lzcore.registry import EnvSpec, PolicySpec, load
from lzdocs.text import escaped

HEAD = ["| setting | default | takes | unit | |", "|---|---|---|---|---|"]


def undocumented(config: type[Settings]) -> list[str]:
    """Return the settings of a class and of its tables that have no help."""
    return [path for path, field in paths_of(config).items() if not field.metadata.get("help")]


def table(config: type[Settings], prefix: str = "") -> str:
    """Return every setting of a class as a row; tables themselves are left out."""
    rows = [
        _row(prefix + path, field)
        for path, field in paths_of(config).items()
        if not _is_table(field)
    ]
    return "\n".join([*HEAD, *rows])


def _is_table(field: "attrs.Attribute[Any]") -> bool:
    return isinstance(field.type, type) and issubclass(field.type, Settings)


def _row(path: str, field: "attrs.Attribute[Any]") -> str:
    told = field.metadata
    marks = " \\*" if told.get("extension") else ""
    notes = [told.get("help", "")]
    if isinstance(field.validator, Only) and not field.validator.refused:
        notes.append(f"Fixed: {field.validator.reason}.")
    if told.get("spaces"):
        notes.append("The environment decides it.")
    takes = expectation(field.type, field.validator)
    default = f"`{show(_default(field))}`"
    cells = (f"`{path}`{marks}", default, escaped(takes), told.get("unit", ""))
    return "| " + " | ".join([*cells, escaped(" ".join(notes))]) + " |"


def _default(field: "attrs.Attribute[Any]") -> Any:
    made: Any = field.default
    return made.factory() if hasattr(made, "factory") else made


def page(run: type[Settings], kinds: list[EnvSpec], policies: list[PolicySpec]) -> str:
    """Return the page of the tables `run` and `env`, with a list of the policies' pages."""
    parts = ["# Settings", INTRODUCTION]
    parts += [f"* [`{spec.name}`](policies/{spec.name}.md): {spec.summary}" for spec in policies]
    told = "\n".join(parts[2:])
    parts = [*parts[:2], told, "## run.*", (run.__doc__ or ""), table(run, "run.")]
    for config, specs in _by_config(kinds).items():
        names = " and ".join(f"`{spec.name}`" for spec in specs)
        parts += [f"## env.* of {names}", load(config).__doc__, table(load(config), "env.")]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = (
    "A setting is given by `-o KEY=VALUE`, in a TOML file (`--config FILE`), or as a keyword of "
    "`lzcore.train`; [Settings and presets](../guide/settings.md) tells how these are laid over "
    'each other. `"none"` stands for no value. `lz config explain KEY` prints a row of these '
    "tables and which layer decides it. Each policy has settings of its own:"
)


def _by_config(kinds: list[EnvSpec]) -> dict[str, list[EnvSpec]]:
    found: dict[str, list[EnvSpec]] = {}
    for spec in kinds:
        found.setdefault(spec.config, []).append(spec)
    return found


def policy_page(spec: PolicySpec, distribution: str) -> str:
    """Return the page of one policy: what it is, its presets, all its settings."""
    config: type[PolicySettings] = load(spec.config)
    parts = [
        f"# {spec.name}",
        escaped(spec.summary),
        f"Of [{distribution}](../../distributions/{distribution}.md), which tells how it departs "
        f"from its paper ({spec.paper}) and what it logs.",
        f"*Presets:* {', '.join(f'`{name}`' for name in presets(spec))}.",
        "Settings marked \\* are not part of the documented interface that this policy keeps to; "
        "they may change with a minor release.",
        table(config),
    ]
    return "\n\n".join(parts) + "\n"


def presets(spec: PolicySpec) -> Iterator[str]:
    """Yield the names of a policy's presets in order."""
    files = resources.files(spec.presets).iterdir() if spec.presets else ()
    yield from sorted(f.name.removesuffix(".toml") for f in files if f.name.endswith(".toml"))
