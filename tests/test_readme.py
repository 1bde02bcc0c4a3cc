"""Every command and example of the README runs; only budgets are made smaller here.

So do the commands about games in the READMEs of plugins.

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

PLAYING = README.partition("## Games for two\n")[2].partition("\n## ")[0]
OPENSPIEL, ALPHAZERO = (
    (ROOT / "plugins" / name / "README.md").read_text() for name in ("lz_openspiel", "lz_alphazero")
)
TINY = (
    " --out RUN_DIR --max-env-steps 60 -o n_episode=8 -o model.num_channels=8 -o batch_size=16"
    " -o mcts.num_simulations=4 -o mcts.eval_num_simulations=2 -o run.eval_episodes=4"
    " -o run.openings=random"
)


def small(line):
    """The same command with a budget that a test can wait for."""
    return line + next((extra for start, extra in SMALL.items() if line.startswith(start)), "")


def shell(line, cwd, said=""):
    command = shlex.split(line)
    command[0] = str(Path(sys.executable).parent / command[0])
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, input=said)


def test_the_first_screen_is_one_command_to_run_and_one_to_test():
    assert len(INSTALLING) == 2
    assert INSTALLING[0].endswith("pip install -r requirements.txt && lz run --policy muzero")
    assert INSTALLING[1].endswith(
        "pip install -r requirements-dev.txt && pytest -n auto --dist loadfile"
    )
    assert README.index(INSTALLING[1]) < 1200


@pytest.mark.slow
def test_the_commands_of_the_readme_run_one_after_another(tmp_path):
    commands = [line for line in SHELL if line not in INSTALLING]
    assert len(commands) >= 8

    for line in map(small, commands):
        done = shell(line, tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"


def about_games():
    """Commands in the order in which they can run: of each, plainly and with what it may be told.

    Words of a sentence in capitals get values.
    """
    yield from re.findall(r"^lz check-env .*$", OPENSPIEL, flags=re.M)
    yield from (line + TINY for line in re.findall(r"`(lz run --policy alphazero)`", ALPHAZERO))
    for said in PLAYING.splitlines():
        for line in re.findall(r"^\* `(lz .*?)`", said):
            yield line
            yield " ".join([line, *re.findall(r"`(--.*?)`", said)]).replace(" N", " 5")


@pytest.mark.slow
def test_the_commands_about_games_run_one_after_another(tmp_path):
    commands = [re.sub(r"--games \d+", "--games 4", line) for line in about_games()]
    words = [tuple(line.split()[1:3]) for line in commands]
    for expected, times in (("check-env", 3), ("run", 1), ("eval", 2), ("play", 2)):
        assert [first for first, _ in words].count(expected) == times

    for line in commands:
        done = shell(line, tmp_path, said="?\nq\n")
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
