"""`lz list`: every component and where it comes from, every plugin, and what could be installed."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import attrs
import click

import lzcore
from lzcore.registry import API, Component, Plugin, Registry, get_registry, installable


@click.command("list")
@click.option("--check", is_flag=True, help="Import every class too; exit with 1 if any fails.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def list_components(ctx: click.Context, check: bool, as_json: bool) -> None:
    """List every component that is installed, and the plugins that they come from.

    A plugin that is broken is shown with its cause and does not keep the others from working.
    """
    registry = get_registry()
    components = registry.check() if check else registry.components()
    if as_json:
        click.echo(json.dumps(_facts(registry, components), indent=2))
    else:
        click.echo("\n".join(_lines(registry, components, check)))
    states = {c.state for c in components} | {p.state for p in registry.plugins}
    ctx.exit(1 if check and states & {"broken", "conflict"} else 0)


def _facts(registry: Registry, components: Sequence[Component]) -> dict[str, Any]:
    def plain(record: Any, *left_out: str) -> dict[str, Any]:
        return attrs.asdict(record, filter=lambda field, _: field.name not in left_out)

    return {
        "lzcore": lzcore.__version__,
        "hook_api": API,
        "components": [plain(c) for c in components],
        "plugins": [
            plain(p, "module", "left_out", "problems")
            | {"state": p.state, "cause": p.cause, "slow": p.slow}
            for p in registry.plugins
        ],
        "not_installed": [plain(known) for known in installable(registry.plugins)],
        "unknown_in_lz_plugins": registry.unknown_in_limit,
    }


def _lines(registry: Registry, components: Sequence[Component], check: bool) -> Iterator[str]:
    yield from _table(
        ("KIND", "NAME", "DISTRIBUTION", "VERSION", "STATE", "SUMMARY"),
        [
            (c.spec.word, c.name, c.distribution, c.version, c.state, c.cause or c.spec.summary)
            for c in components
        ],
    )
    yield ""
    yield from _table(
        ("PLUGIN", "DISTRIBUTION", "VERSION", "IMPORT", "STATE", "CAUSE"),
        [
            (p.name, p.distribution, p.version, _seconds(p), p.state, p.cause or p.slow)
            for p in registry.plugins
        ],
    )
    for name in registry.unknown_in_limit:
        yield f"\nLZ_PLUGINS names {name!r}, which is not installed."
    yield from _more(registry.plugins)
    if check:
        resolved = sum(c.state == "ok" for c in components)
        yield f"\nChecked: {resolved} of {len(components)} components can be used."


def _more(plugins: Iterable[Plugin]) -> Iterator[str]:
    missing = installable(plugins)
    if missing:
        yield "\nNot installed:"
        yield from _table(None, [(f"  pip install {m.distribution}", m.summary) for m in missing])


def _seconds(plugin: Plugin) -> str:
    return "" if plugin.left_out else f"{plugin.seconds:.3f} s"


def _table(heads: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lay rows out in columns, each as wide as its widest entry."""
    shown = [heads, *rows] if heads else rows
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        yield "  ".join(map(str.ljust, row, widths)).rstrip()
