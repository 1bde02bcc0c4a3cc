"""What `lz plugin new` writes keeps to the style; what `examples/` holds is told and explained."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from lzcore.cli.plugin_new import KINDS, Names, facts_of, write

ROOT = Path(__file__).parents[1]
RUFF = Path(sys.executable).parent / "ruff"
RULES = (
    "--select=E,F,W,I,B,UP,RET,SIM,PT,RUF,D,ANN --ignore=ANN401,D410,D411,D105,D107,RUF009,RUF012"
)
PLAIN = ["--isolated", "--no-cache", "--line-length=100"]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_keeps_to_the_style(kind, tmp_path):
    write(Names.of("mine", kind), kind, tmp_path / "mine")
    convention = ["--config", 'lint.pydocstyle.convention = "google"']
    tests = ["--config", 'lint.per-file-ignores = {"tests/**" = ["ANN", "D"]}']

    for command in (
        ["check", *PLAIN, *RULES.split(), *convention, *tests, "."],
        ["format", *PLAIN, "--check", "--diff", "."],
    ):
        done = subprocess.run(
            [str(RUFF), *command], cwd=tmp_path / "mine", capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr


def test_what_is_written_asks_for_the_minor_version_of_ours_that_lies_here():
    ours = {}
    for path in ROOT.glob("plugins/*/pyproject.toml"):
        project = tomllib.loads(path.read_text())["project"]
        major, minor = map(int, project["version"].split(".")[:2])
        ours[project["name"]] = f"{project['name']}>={major}.{minor},<{major}.{minor + 1}"
    needs = [need for kind in KINDS for need in facts_of(kind)["needs"] if need.startswith("lz-")]

    assert needs
    assert needs == [ours[need.partition(">=")[0]] for need in needs]


def test_the_example_of_a_tree_is_a_new_one_with_another_rule(tmp_path):
    write(Names.of("uct-tree", "tree"), "tree", tmp_path / "uct_tree")
    example = ROOT / "examples"
    changed = [
        str(path.relative_to(tmp_path))
        for path in sorted(tmp_path.rglob("*.*"))
        if code_of(path) != code_of(example / path.relative_to(tmp_path))
    ]

    assert changed == [
        "uct_tree/README.md",
        "uct_tree/pyproject.toml",
        "uct_tree/tests/test_uct_tree.py",
        "uct_tree/uct_tree/plugin.py",
        "uct_tree/uct_tree/rule.py",
    ]


def test_every_example_stands_in_the_readme_and_says_how_to_install_and_test_it():
    folders = sorted(path.parent.name for path in ROOT.glob("examples/*/pyproject.toml"))
    assert len(folders) == 5

    for name in folders:
        page = (ROOT / "examples" / name / "README.md").read_text().splitlines()
        assert f"| [{name}](examples/{name}) |" in (ROOT / "README.md").read_text()
        installs = f'pip install -e "examples/{name}[test]"'
        assert {installs, f"pytest examples/{name}"} <= set(page)
        # a root of its own: pytest reads no settings of the checkout, which ask for a plugin more
        project = tomllib.loads((ROOT / "examples" / name / "pyproject.toml").read_text())
        assert "ini_options" in project["tool"]["pytest"]
        assert project["project"]["optional-dependencies"]["test"] == ["pytest>=8"]


def code_of(path):
    """Lines without imports, which this checkout groups in another way than a stranger's."""
    lines = path.read_text().splitlines()
    return [line for line in lines if line and not line.startswith(("import ", "from "))]
