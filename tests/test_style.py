"""The sources keep to the style that pyproject.toml and .clang-format set."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CPP = [*ROOT.glob("plugins/*/src/*.h"), *ROOT.glob("plugins/*/src/*.cpp")]
TOOLS = {
    "ruff": ["check", "--no-cache", "."],
    "ruff format": ["format", "--no-cache", "--check", "."],
    "clang_format": ["--dry-run", "--Werror", *map(str, CPP)],
    "mypy": ["--cache-dir=/dev/null"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_has_nothing_to_say(name):
    module = name.split()[0]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} comes with pip install -r requirements-dev.txt")

    done = subprocess.run(
        [sys.executable, "-m", module, *TOOLS[name]], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stdout + done.stderr
