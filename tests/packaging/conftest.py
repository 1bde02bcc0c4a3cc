"""Fresh virtual environments that share one set of third-party packages.

Installing torch for every test would take minutes. Each environment here is made without pip and
sees, through one `.pth` line, a directory of links to the third-party packages of the interpreter
that runs the tests; our own distributions are never among them and come as wheels.
"""

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).parents[2]
SOURCES = {
    "lzcore": ROOT,
    "lz_ctree": ROOT / "plugins/lz_ctree",
    "lz_ptree": ROOT / "plugins/lz_ptree",
    "lz_openspiel": ROOT / "plugins/lz_openspiel",
    "lz_alphazero": ROOT / "plugins/lz_alphazero",
    "lz_muzero": ROOT / "plugins/lz_muzero",
    "lz_unizero": ROOT / "plugins/lz_unizero",
}
OURS = ("lzcore", "lz_", "_lz_", "__editable__", "lz-")


def link_third_party(directory: Path) -> Path:
    """Fill `directory` with links to every installed package that is not ours."""
    directory.mkdir()
    for folder in {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}:
        for entry in Path(folder).iterdir():
            if not entry.name.startswith(OURS) and entry.suffix != ".pth":
                (directory / entry.name).symlink_to(entry)
    return directory


def build_wheels(sources: list[Path], directory: Path) -> Path:
    """Build a wheel of every source folder, from what is installed and from nothing else."""
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--wheel-dir", str(directory), *map(str, sources)]
    subprocess.run(command, check=True)
    return directory


def without_python_path() -> dict[str, str]:
    """Return this process's environment for a pip that is to see nothing of the checkout."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


class FreshEnvironment:
    """A virtual environment with third-party packages and the wheels it is given."""

    def __init__(self, directory: Path, third_party: Path) -> None:
        venv.create(directory, symlinks=True)
        self.python = directory / "bin" / "python"
        self.scripts = directory / "bin"
        [site] = directory.glob("lib/python*/site-packages")
        (site / "third_party.pth").write_text(f"{third_party}\n")

    def install(self, *wheels: Path) -> None:
        """Install wheels as they are; no index is asked and no dependency is followed."""
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "install", "--quiet"]
        command += ["--no-index", "--no-deps", *map(str, wheels)]
        subprocess.run(command, check=True, env=without_python_path())

    def check(self) -> subprocess.CompletedProcess[str]:
        """Ask pip whether every requirement of what is installed is met."""
        command = [sys.executable, "-m", "pip", "--python", str(self.python), "check"]
        return subprocess.run(command, capture_output=True, text=True, env=without_python_path())

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run a script or `python` of this environment, away from the checkout."""
        program = self.scripts / command[0]
        kept = ("PATH", "HOME", "LANG", "TMPDIR", "OMP_NUM_THREADS", "CC", "CXX")
        env = {k: v for k, v in os.environ.items() if k in kept}
        return subprocess.run(
            [str(program), *command[1:]], cwd=cwd, capture_output=True, text=True, env=env
        )


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A wheel of each of our distributions, by name; processes that test together share them."""
    together = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        together = together.parent
    directory = together / "wheels"
    with FileLock(together / "wheels.lock"):  # a source folder is built in by one at a time
        if not directory.exists():
            build_wheels(list(SOURCES.values()), together / "unfinished").rename(directory)
    return {name: next(directory.glob(f"{name}-*.whl")) for name in SOURCES}


@pytest.fixture(scope="session")
def third_party(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory of links to the packages of others."""
    return link_third_party(tmp_path_factory.mktemp("third") / "party")


@pytest.fixture
def fresh(
    tmp_path: Path, third_party: Path, wheels: dict[str, Path]
) -> Callable[..., FreshEnvironment]:
    """Make an environment that holds the named distributions of ours and no other."""

    def make(*names: str) -> FreshEnvironment:
        environment = FreshEnvironment(tmp_path / "env", third_party)
        environment.install(*(wheels[name] for name in names))
        return environment

    return make


@pytest.fixture(scope="session")
def shared(
    tmp_path_factory: pytest.TempPathFactory, third_party: Path, wheels: dict[str, Path]
) -> Callable[..., FreshEnvironment]:
    """Like `fresh`, but made once for the same names: to be looked at, not to be changed."""
    made: dict[frozenset[str], FreshEnvironment] = {}

    def share(*names: str) -> FreshEnvironment:
        key = frozenset(names)
        if key not in made:
            made[key] = FreshEnvironment(tmp_path_factory.mktemp("shared") / "env", third_party)
            made[key].install(*(wheels[name] for name in names))
        return made[key]

    return share
