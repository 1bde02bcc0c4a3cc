"""What people install: the core alone, a family with what it names, all without a compiler."""

import shutil
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMPILERS = ("cc", "c++", "gcc", "g++", "clang", "clang++", "cmake", "ninja", "make")
TINY = (
    "-o batch_size=8 -o n_episode=1 -o collector_env_num=1 "
    "-o evaluator_env_num=1 -o run.eval_episodes=2 -o run.tensorboard=false"
)
SUBSETS = {  # what is installed -> a run of a policy that it brings
    (
        "lzcore",
        "lz_ctree",
        "lz_muzero",
    ): "--policy muzero -o num_simulations=2 -o num_segments=none",
    (
        "lzcore",
        "lz_ctree",
        "lz_openspiel",
        "lz_alphazero",
    ): "--policy alphazero -o mcts.num_simulations=2",
    (
        "lzcore",
        "lz_ctree",
        "lz_muzero",
        "lz_unizero",
    ): "--policy unizero -o num_simulations=2 -o num_segments=none",
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("names", SUBSETS, ids=lambda names: names[-1])
def test_a_family_with_what_it_names_is_whole_and_trains(shared, tmp_path, names):
    environment = shared(*names)

    assert_whole(environment, tmp_path)
    assert_trains(environment, SUBSETS[names], tmp_path)


def test_the_core_alone_is_whole_and_says_how_to_get_what_is_asked_for(shared, tmp_path):
    environment = shared("lzcore")

    listed = assert_whole(environment, tmp_path)
    known = ("lz-ctree", "lz-ptree", "lz-openspiel", "lz-alphazero", "lz-muzero", "lz-unizero")
    assert [name for name in known if f"pip install {name} " in listed] == list(known)
    done = environment.run("lz", "run", "--policy", "muzero", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: No installed plugin provides the policy 'muzero'. `pip install lz-muzero` brings "
        "it. Installed: none.\n"
    )


@pytest.mark.timeout(600)
def test_where_there_is_no_compiler_all_of_them_come_as_wheels(
    fresh, wheels, tmp_path, monkeypatch
):
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    for name in ("CC", "CXX"):
        monkeypatch.setenv(name, "/no/compiler")
    environment = fresh(*wheels)
    assert [name for name in COMPILERS if shutil.which(name)] == []

    listed = assert_whole(environment, tmp_path)
    assert "Not installed" not in listed
    what = "--policy gumbel_muzero -o num_simulations=2 -o num_segments=none"
    told = assert_trains(environment, what, tmp_path)
    assert "  tree: lz_ctree" in told


def assert_whole(environment, cwd):
    """Everything that is installed has what it needs, and can be imported; return the list."""
    checked = environment.check()
    assert checked.returncode == 0, checked.stdout
    listed = environment.run("lz", "list", "--check", cwd=cwd)
    assert listed.returncode == 0, listed.stdout + listed.stderr
    return listed.stdout


def assert_trains(environment, what, cwd):
    """Make a run of a few learn steps; return what it printed."""
    words = f"run {what} --max-env-steps 20 --out run {TINY}".split()
    done = environment.run("lz", *words, cwd=cwd)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "ended: all env steps are taken" in done.stdout
    return done.stdout


# --- wheels ---------------------------------------------------------------------------------------


def test_a_wheel_holds_every_file_of_its_package(wheels):
    for name, wheel in wheels.items():
        folder = ROOT / name if name == "lzcore" else ROOT / "plugins" / name / name
        inside = set(zipfile.ZipFile(wheel).namelist())
        sources = {
            path.relative_to(folder.parent).as_posix()
            for path in folder.rglob("*")
            if path.suffix in (".py", ".pyi", ".toml", ".npz", ".json", ".typed")
        }
        assert f"{name}/py.typed" in sources
        assert sources <= inside, name
