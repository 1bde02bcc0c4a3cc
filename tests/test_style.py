"""The sources keep to the style that pyproject.toml and .clang-format set."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CPP = [*ROOT.glob("plugins/*/src/*.h"), *ROOT.glob("plugins/*/src/*.cpp")]
TOOLS = {
    "ruff": ["check", "--no-cache", "."],
    "ruff format": ["format", "--no-cache", "--check", "."],
    "clang-format": ["--dry-run", "--Werror", *map(str, CPP)],
    "mypy": ["--cache-dir=/dev/null"],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TOOLS)
def test_a_tool_has_nothing_to_say(name):
    program = Path(sys.executable).parent / name.split()[0]
    if not program.exists():
        pytest.skip(f"{program.name} comes with pip install -r requirements-dev.txt")

    done = subprocess.run([str(program), *TOOLS[name]], cwd=ROOT, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout + done.stderr
