"""The game of docs/games.md is what the document says, and its commands run."""

import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.append(str(Path(__file__).parent))

from doc_blocks import DOCS, commands, execute, files

from lzcore.base import EnvError
from lzcore.envs.named import NamedGame

PAGE = DOCS / "games.md"
GAME = files(PAGE)["nim.py"]
TINY = {
    "lz run": " -o run.eval_episodes=8 -o mcts.num_simulations=8 -o run.tensorboard=false",
}


@pytest.fixture
def place(tmp_path, monkeypatch):
    (tmp_path / "nim.py").write_text(GAME)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.delitem(sys.modules, "nim", raising=False)
    return tmp_path


def shell(line, said=""):
    program, *arguments = shlex.split(line)
    command = [str(Path(sys.executable).parent / program), *arguments]
    return subprocess.run(command, capture_output=True, text=True, input=said)


@pytest.mark.slow
def test_its_commands_and_its_example_run_one_after_another(place):
    told = {}
    for line in commands(PAGE):
        short = next((more for start, more in TINY.items() if line.startswith(start)), "")
        done = shell(line.replace("1000", "60") + short, said="take3\nq\n")
        assert done.returncode == 0, (line, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        told[line] = done.stdout
    assert "oooooooooooo" in told["lz play runs/nim"]
    assert told["lz plugin check game/nim:Nim"].endswith(" passed, 0 failed.\n")

    assert execute(PAGE)["action"] in (0, 1, 2)


def test_its_rules_are_those_of_nim(place):
    simulator = NamedGame("game/nim:Nim", 1).simulator
    after = simulator.play([(12, 0), (2, 5)], np.array([2, 1]))

    assert after == [(9, 1), (0, 6)]
    seen = simulator.look([*after, (2, 1)])
    assert seen.terminal.tolist() == [False, True, False]
    assert seen.value.tolist() == [0.0, -1.0, 0.0]
    assert seen.legal_actions.tolist() == [[True] * 3, [False] * 3, [True, True, False]]


@pytest.mark.parametrize(
    ("env_id", "said"),
    [
        ("game/nim", "write game/module:Name"),
        ("game/nimm:Nim", r"names the module 'nimm', which cannot be imported"),
        ("game/nim:Nom", r"The module 'nim' has no 'Nom'\. Did you mean 'Nim'\?"),
        ("game/nim:STONES", r"cannot be made \(TypeError: 'int' object is not callable\)"),
        (dict, r"got 'type'\. Write game/module:Name"),
        ("game/builtins:dict", "makes 'dict', which is no Simulator: it lacks begin, play, look,"),
    ],
)
def test_what_is_no_game_is_refused(place, env_id, said):
    with pytest.raises(EnvError, match=said):
        NamedGame(env_id, 1)
