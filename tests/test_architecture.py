"""Imports run one way, also those inside functions, and the core names no algorithm."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from itertools import chain
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parent))

from doc_blocks import ROOT
from lzdocs import pictures

FLOORS = {name.removeprefix("lzcore."): floor for name, floor in pictures.FLOORS.items()}
PLUGINS = {path.parent.name: path for path in ROOT.glob("plugins/*/pyproject.toml")}


def imported(path):
    """Full names of the modules that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            yield node.module


def floor_of(module):
    return FLOORS.get(([*module.split("."), ""])[1])


@pytest.mark.parametrize("folder", FLOORS)
def test_a_floor_of_the_core_imports_only_itself_and_lower_floors(folder):
    files = list((ROOT / "lzcore" / folder).rglob("*.py"))
    assert files
    for path in files:
        for module in imported(path):
            own = module.startswith(f"lzcore.{folder}")
            if module.startswith("lzcore.") and not own:
                level = floor_of(module)
                assert level is not None, f"{path.name} imports {module}"
                assert level < FLOORS[folder], f"{path.name} imports {module}"


def test_the_core_imports_no_plugin_of_ours_and_names_no_policy():
    for path in (ROOT / "lzcore").rglob("*.py"):
        assert not [m for m in imported(path) if m.startswith("lz_")], path
        strings = {n.value for n in ast.walk(ast.parse(path.read_text())) if _is_text(n)}
        assert not strings & {"muzero", "alphazero", "efficientzero", "unizero"}, path


def _is_text(node):
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


@pytest.mark.parametrize("name", PLUGINS)
def test_a_plugin_imports_only_the_plugins_that_its_pyproject_names(name):
    named = PLUGINS[name].read_text()
    for path in (PLUGINS[name].parent / name).rglob("*.py"):
        others = {m.split(".")[0] for m in imported(path) if m.startswith("lz_")} - {name}
        assert all(f'"{other.replace("_", "-")}' in named for other in others), path


HOMES = {"lzcore": ("lzcore", "tests/core")} | {
    name: (f"plugins/{name}/{name}", f"plugins/{name}/tests") for name in PLUGINS
}


@pytest.mark.parametrize("name", HOMES)
def test_a_distribution_and_its_tests_import_only_what_installing_it_brings(name):
    """What is named by it, by the core, or by a plugin of ours that it names; or by their tests."""
    named = requirements(name)
    makers = packages_distributions()
    for folder in HOMES[name]:
        files = list((ROOT / folder).rglob("*.py"))
        assert files
        beside = {path.stem for path in files}
        for path in files:
            roots = {module.partition(".")[0] for module in imported(path)} - beside - {name}
            for root in roots - sys.stdlib_module_names:
                brought = {normal(maker) for maker in makers.get(root, [root])}
                assert brought & named, f"{path} imports {root}"


def requirements(name):
    """Distributions that installing `name` with its extras brings, of ours with what they name."""
    text = (PLUGINS[name] if name in PLUGINS else ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    lines = chain(project["dependencies"], *project["optional-dependencies"].values())
    found = {normal(re.match(r"[\w.-]+", line)[0]) for line in lines} | {normal(project["name"])}
    for ours in found & {normal(other) for other in HOMES} - {normal(name)}:
        found |= requirements(ours.replace("-", "_"))
    return found


def normal(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def test_every_module_can_be_imported():
    import importlib

    for root in [ROOT / "lzcore", *(PLUGINS[name].parent / name for name in PLUGINS)]:
        for path in root.rglob("*.py"):
            parts = path.relative_to(root.parent).with_suffix("").parts
            importlib.import_module(".".join(p for p in parts if p != "__init__"))
