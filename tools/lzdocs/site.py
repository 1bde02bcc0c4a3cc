"""All pages that are made when the site is built, and where they stand in it."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import lzcore
from lzcore.cli.main import main
from lzcore.engine.config import RunSettings
from lzcore.registry import get_registry
from lzdocs import commands, errors, hooks, protocols, settings

ROOT = Path(lzcore.__file__).parents[1]
READMES = {path.parent.name.replace("_", "-"): path for path in ROOT.glob("plugins/*/README.md")}
EXAMPLES = {path.parent.name: path for path in ROOT.glob("examples/*/README.md")}
LINKS = {  # in a README -> on its page
    r"\]\(\.\./\.\./README\.md": "](../index.md",
    r"\]\(\.\./\.\./docs/": "](../",
    r"\]\(\.\./lz_(\w+)/README\.md": r"](lz-\1.md",
}


def specs(kind: str) -> list[tuple[str, Any]]:
    """Return distribution and spec of the components of one kind that are of this checkout."""
    return [
        (component.distribution, component.spec)
        for component in get_registry().components(kind)
        if component.distribution in {"lzcore", *READMES}
    ]


def sources() -> list[Path]:
    """Return the files of the core and of the plugins, tests left out."""
    folders = [ROOT / "lzcore", *(path.parent / path.parent.name for path in READMES.values())]
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def group() -> click.Group:
    """Return `lz`."""
    return main


def pages() -> Iterator[tuple[str, str]]:
    """Yield the place and the text of every page that is made from the code."""
    yield "reference/commands.md", commands.page(group())
    yield "reference/hooks.md", hooks.page(hooks.users(sources(), ROOT))
    yield "reference/errors.md", errors.page()
    policies, kinds = specs("policies"), [spec for _, spec in specs("envs")]
    yield "reference/settings.md", settings.page(RunSettings, kinds, [s for _, s in policies])
    for distribution, spec in policies:
        place = f"reference/policies/{spec.name}.md"
        yield place, settings.policy_page(spec, distribution)
    for chapter in protocols.CHAPTERS:
        yield f"reference/protocols/{chapter.name}.md", protocols.page(chapter)
    for name, path in sorted(READMES.items()):
        yield f"distributions/{name}.md", _readme(path)
    for name, path in sorted(EXAMPLES.items()):
        yield f"examples/{name}.md", _readme(path)
    yield "changelog.md", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def _readme(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    for there, here in LINKS.items():
        text = re.sub(there, here, text)
    return text


def navigation() -> list[dict[str, object]]:
    """Return what the made pages add to the table of contents."""
    policies = [{s.name: f"reference/policies/{s.name}.md"} for _, s in specs("policies")]
    protocol = [{c.title: f"reference/protocols/{c.name}.md"} for c in protocols.CHAPTERS]
    readmes = [{name: f"distributions/{name}.md"} for name in sorted(READMES)]
    reference: list[dict[str, object]] = [
        {"Commands": "reference/commands.md"},
        {"Settings": "reference/settings.md"},
        {"Settings of policies": policies},
        {"Metrics": "reference/metrics.md"},
        {"Hooks": "reference/hooks.md"},
        {"Protocols and functions": protocol},
        {"Errors": "reference/errors.md"},
    ]
    examples = [{name: f"examples/{name}.md"} for name in sorted(EXAMPLES)]
    parts = {"Reference": reference, "Examples": examples, "Plugins of this project": readmes}
    return [{title: pages} for title, pages in parts.items() if pages]
