"""Examples and what `lz plugin new` writes: as wheels, with the distributions that they name."""

import json
import tomllib
from pathlib import Path

import pytest
from flit_core import buildapi

from lzcore.cli.plugin_new import KINDS, Names, write

ROOT = Path(__file__).parents[2]
EXAMPLES = sorted(path.parent for path in ROOT.glob("examples/*/pyproject.toml"))
BRIEFLY = "-o run.eval_episodes=2 -o run.eval_at_start=true -o run.tensorboard=false"
OF_MUZERO = "-o num_simulations=2 -o td_steps=1 -o batch_size=8 -o n_episode=2 -o replay_ratio=0.1"


@pytest.fixture(scope="module")
def plugins(tmp_path_factory):
    """Distribution -> its source folder: each example, and a new plugin of each kind."""
    folder = tmp_path_factory.mktemp("new")
    for kind in KINDS:
        names = Names.of(f"fresh-{kind}", kind)
        write(names, kind, folder / names.dist)
    sources = [*EXAMPLES, *sorted(folder.iterdir())]
    return {project(source)["name"]: source for source in sources}


@pytest.fixture(scope="module")
def built(plugins, tmp_path_factory):
    """Distribution -> its wheel, made as pip would have it made, without a process for each."""
    folder = tmp_path_factory.mktemp("built")
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for name, source in plugins.items():
            patch.chdir(source)
            found[name] = folder / buildapi.build_wheel(str(folder))
    return found


def project(source):
    return tomllib.loads((source / "pyproject.toml").read_text())["project"]


def needing(plugins, *ours):
    """Those that name exactly these distributions of ours."""
    needs = {name: project(source)["dependencies"] for name, source in plugins.items()}
    named = {
        name: {need.partition(">=")[0] for need in of if need.startswith("lz")}
        for name, of in needs.items()
    }
    return [name for name in plugins if named[name] == set(ours)]


def succeeds(done):
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done.stdout


def held_to_their_tests(environment, names, plugins, cwd):
    """Their requirements are met, `lz list` shows them, and their own tests pass."""
    succeeds(environment.check())
    listed = json.loads(succeeds(environment.run("lz", "list", "--json", cwd=cwd)))
    assert {p["distribution"] for p in listed["plugins"] if p["state"] == "ok"} >= set(names)
    tests = [str(plugins[name] / "tests") for name in names]
    done = environment.run(
        *("python", "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", *tests), cwd=cwd
    )
    assert " passed" in succeeds(done)


def lines_of(path):
    return path.read_text().splitlines()


def run(environment, cwd, out, line):
    words = f"lz run --out {out} --max-env-steps 60 {BRIEFLY} {line}".split()
    return succeeds(environment.run(*words, cwd=cwd))


@pytest.mark.slow
def test_what_names_the_core_alone_is_complete_with_it(fresh, plugins, built, tmp_path):
    names = needing(plugins, "lzcore")
    assert len(names) == 9
    environment = fresh("lzcore")
    environment.install(*(built[name] for name in names))

    held_to_their_tests(environment, names, plugins, tmp_path)
    run(environment, tmp_path, "new", "--policy fresh_policy")
    run(environment, tmp_path, "scratch", "--policy cross_entropy -o n_episode=2")

    resume = f"lz run --resume {tmp_path / 'new'} --max-env-steps 300".split()
    succeeds(environment.run(*resume, cwd=tmp_path))
    steps = [row.split(",")[0] for row in lines_of(tmp_path / "new" / "evaluations.csv")[1:]]
    page = lines_of(tmp_path / "new" / "fresh_observer.md")
    table = [row for row in page if row.startswith("|")][2:]  # below its head
    told = [row.split()[1] for row in table]
    assert len(set(steps)) == len(steps) >= 3  # at the start, at the end, after it was resumed
    assert told == steps

    for out in ("new", "scratch"):  # both observers have watched both runs
        assert len(lines_of(tmp_path / out / "evaluations.csv")) >= 2
        assert "# Ended by max_env_steps" in (tmp_path / out / "fresh_observer.md").read_text()


@pytest.mark.slow
def test_what_names_muzero_is_complete_with_it_and_others_serve_it(fresh, plugins, built, tmp_path):
    names = needing(plugins, "lzcore", "lz-muzero")
    assert names == ["huber-muzero", "fresh-model"]
    environment = fresh("lzcore", "lz_ctree", "lz_muzero")
    environment.install(*(built[name] for name in names))

    held_to_their_tests(environment, names, plugins, tmp_path)
    environment.install(*(built[name] for name in plugins if name not in names))
    first = run(
        *(environment, tmp_path, "first"),
        f"--policy huber_muzero -o tree=uct_tree --env corridor/5 {OF_MUZERO}",
    )
    second = run(
        *(environment, tmp_path, "second"),
        "--policy muzero -o tree=fresh_tree -o model.name=fresh_model -o run.buffer=fresh_buffer "
        f"--env fresh_env/Walk-v0 {OF_MUZERO}",
    )

    assert "uct_tree" in first
    assert "fresh_tree" in second
