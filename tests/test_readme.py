"""Every command and example of the README runs; only budgets are made smaller here.

The two commands of its first screen are run by `.ci/run` itself, in a fresh environment.
"""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```", README, flags=re.M | re.S)
PYTHON = [body for language, body in BLOCKS if language == "python"]
SHELL = [
    line.split("  #")[0].strip()
    for language, body in BLOCKS
    if language == ""
    for line in body.splitlines()
]
INSTALLING = [line for line in SHELL if line.startswith("python3 -m venv")]
SMALL = {"lz run --policy": " --max-env-steps 60", "lz run --resume": " --max-env-steps 90"}
SMALL |= {"tensorboard": " --inspect"}


def small(line):
    """The same command with a budget that a test can wait for."""
    return line + next((extra for start, extra in SMALL.items() if line.startswith(start)), "")


def shell(line, cwd):
    command = shlex.split(line)
    command[0] = str(Path(sys.executable).parent / command[0])
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_the_first_screen_is_one_command_to_run_and_one_to_test():
    assert len(INSTALLING) == 2
    assert INSTALLING[0].endswith("pip install -r requirements.txt && lz run --policy muzero")
    assert INSTALLING[1].endswith("pip install -r requirements-dev.txt && pytest")
    assert README.index(INSTALLING[1]) < 1200


@pytest.mark.slow
def test_the_commands_of_the_readme_run_one_after_another(tmp_path):
    commands = [line for line in SHELL if line not in INSTALLING]
    assert len(commands) >= 8

    for line in map(small, commands):
        done = shell(line, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


@pytest.mark.slow
def test_the_python_examples_run_one_after_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for body in PYTHON:
        exec(compile(body, "README.md", "exec"), names)

    assert names["env"].action_space.contains(names["action"])
    assert names["outcome"].env_steps >= 300
    assert [spec.name for spec in names["lz_register_policies"]()] == ["mine"]


def test_every_distribution_of_the_checkout_stands_in_the_table():
    folders = [path.parent.name for path in ROOT.glob("plugins/*/pyproject.toml")]

    for name in ["lzcore", *(folder.replace("_", "-") for folder in folders)]:
        assert f"| `{name}` |" in README
