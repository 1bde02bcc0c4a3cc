"""`lz plugin new`: which names will do, what is written, and that nothing is overwritten."""

import ast
import sys
import tomllib
import types
from importlib import import_module, metadata

import pytest
from click.testing import CliRunner

import lzcore
from lzcore.cli.main import main
from lzcore.cli.plugin_new import KINDS, facts_of
from lzcore.registry import Registry

NAMES = {kind: f"fresh-{kind}" for kind in KINDS}


def new(*arguments):
    return CliRunner().invoke(main, ["plugin", "new", *map(str, arguments)])


@pytest.fixture(params=KINDS)
def written(request, tmp_path):
    """The kind, and the folder of a new plugin of it; its modules are forgotten afterwards."""
    done = new(NAMES[request.param], "--kind", request.param, "--into", tmp_path)
    assert done.exit_code == 0, done.output
    yield request.param, tmp_path / NAMES[request.param]
    for name in [name for name in sys.modules if name.split(".")[0] == f"fresh_{request.param}"]:
        del sys.modules[name]


def test_every_kind_has_a_folder_of_templates_and_a_table_of_facts():
    for kind in KINDS:
        assert set(facts_of(kind)) == {"needs", "run"}


def test_no_placeholder_is_left_and_every_file_can_be_read(written):
    _, folder = written
    files = [path for path in folder.rglob("*") if path.is_file()]

    assert {"pyproject.toml", "README.md"} <= {path.name for path in files}
    for path in files:
        text = path.read_text()
        assert "$" not in str(path) + text
        if path.suffix == ".py":
            ast.parse(text)
        if path.suffix == ".toml":
            tomllib.loads(text)


def test_what_it_names_can_be_imported(written, monkeypatch):
    kind, folder = written
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    [(name, module)] = project["entry-points"]["lzcore"].items()
    monkeypatch.syspath_prepend(folder)
    dist = types.SimpleNamespace(name=project["name"], version="0.1.0")
    point = types.SimpleNamespace(
        name=name, value=module, dist=dist, load=lambda: import_module(module)
    )

    registry = Registry([point], limit="")
    mine = [c for c in registry.check() if c.distribution == project["name"]]

    assert [plugin.cause for plugin in registry.plugins] == ["", ""]
    assert [(c.spec.word.split()[0], c.state, c.cause) for c in mine] == (
        [] if kind == "observer" else [("environment" if kind == "env" else kind, "ok", "")]
    )


def test_it_needs_the_core_of_this_minor_version_and_every_package_that_it_imports(written):
    _, folder = written
    needs = tomllib.loads((folder / "pyproject.toml").read_text())["project"]["dependencies"]
    named = {need.partition(">=")[0].replace("-", "_") for need in needs}
    own = folder.name.replace("-", "_")
    imported = {
        module.split(".")[0]
        for path in (folder / own).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for module in _modules(node)
    }

    major, minor = lzcore.__version__.split(".")[:2]
    assert needs[0] == f"lzcore>={major}.{minor},<{major}.{int(minor) + 1}"
    assert imported - {own} - set(sys.stdlib_module_names) <= named


def _modules(node):
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module] if isinstance(node, ast.ImportFrom) else []


def test_what_to_do_next_is_told_in_three_lines(tmp_path):
    done = new("My-Planner", "--into", tmp_path)
    folder = tmp_path / "my-planner"

    assert done.output.splitlines() == [
        f"Wrote {folder}: 11 files of the policy 'my_planner'. What to do next:",
        f'  pip install -e "{folder}[test]"  # then `lz list` shows it',
        "  lz run --policy my_planner",
        f"  pytest {folder}",
    ]


def test_a_class_is_not_called_a_tree_twice(tmp_path):
    new("oak-tree", "--kind", "tree", "--into", tmp_path)

    assert "class OakTree:" in (tmp_path / "oak-tree/oak_tree/tree.py").read_text()


def test_a_full_disk_is_told_with_what_to_remove(tmp_path, monkeypatch):
    def full(path, text, encoding):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    done = new("my-planner", "--into", tmp_path)

    assert done.exit_code == 1
    assert "cannot be written: No space left on device. Remove " in done.output
    assert done.output.rstrip().endswith("my-planner and try again.")


def test_nothing_is_overwritten(tmp_path):
    mine = tmp_path / "my-planner" / "README.md"
    mine.parent.mkdir()
    mine.write_text("all my work")

    done = new("my-planner", "--into", tmp_path)

    assert done.exit_code == 1
    assert "my-planner exists already, and nothing is overwritten" in done.output
    assert [path.name for path in mine.parent.iterdir()] == ["README.md"]
    assert mine.read_text() == "all my work"


def test_a_place_that_cannot_be_written_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")

    done = new("my-planner", "--into", tmp_path / "file" / "deeper")

    assert done.exit_code == 1
    assert done.output.startswith("Error: ")
    assert "cannot be made: Not a directory" in done.output


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("2fast", "a letter first"),
        ("my planner", "words joined by single hyphens"),
        ("my--planner", "words joined by single hyphens"),
        ("planner-", "words joined by single hyphens"),
        ("../planner", "words joined by single hyphens"),
        ("Class", "is a name of Python's own (class)"),
        ("random", "is a name of Python's own (random)"),
        ("lz", "is kept for this project"),
        ("tests", "is kept for this project"),
        ("lzcore", "is kept for this project"),
        ("NumPy", f"is taken: numpy {metadata.version('numpy')} is installed"),
        ("cattr", "is taken: the installed package "),
        ("replay", "is taken: lzcore"),
        ("Mini.Max", None),
        ("minimax", "has the opponent 'minimax'"),
        ("game", "has the environment kind 'game'"),
        ("lz-muzero", "is taken: lz-muzero"),
        ("UniZero", "is taken: lz-unizero"),
    ],
)
def test_a_name_that_will_not_do_is_refused_and_why(name, why, tmp_path):
    done = new(name, "--into", tmp_path)

    assert done.exit_code == (0 if why is None else 2)
    assert why is None or why in " ".join(done.output.split())
    assert why is None or not list(tmp_path.iterdir())
