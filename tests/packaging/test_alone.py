"""Each distribution, built as a wheel, installs and passes its own tests without the others.

All of these tests run where everything is installed; here the first case of each that is not slow
does. `LZ_WHOLE_SUITES=1 pytest tests/packaging`, before a release, runs them all here too.
"""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NEEDS = {
    "lzcore": [],
    "lz_ctree": [],
    "lz_ptree": [],
    "lz_openspiel": [],
    "lz_alphazero": ["lz_ctree", "lz_openspiel"],
    "lz_muzero": ["lz_ctree"],
    "lz_unizero": ["lz_ctree", "lz_muzero"],
}
TESTS = {"lzcore": "tests/core"} | {
    name: f"plugins/{name}/tests"
    for name in ("lz_ctree", "lz_ptree", "lz_openspiel", "lz_alphazero", "lz_muzero", "lz_unizero")
}


EACH = os.environ.get("LZ_WHOLE_SUITES", "0") in ("", "0")  # else every case of every test


@pytest.fixture(scope="module")
def suites(request, shared, tmp_path_factory):
    """What the suites of the chosen distributions came to, two at a time: name -> a future."""
    chosen = [item.callspec.params["name"] for item in request.session.items if _runs_one(item)]
    with ThreadPoolExecutor(2) as pool:
        yield {
            name: pool.submit(run_suite, shared("lzcore", *NEEDS[name], name), name, place)
            for name in chosen
            for place in [tmp_path_factory.mktemp(name)]
        }


def _runs_one(item):
    return item.path == Path(__file__) and "suites" in item.fixturenames


def run_suite(environment, name, place):
    """Run a distribution's tests in an environment, away from the checkout."""
    copy = shutil.copytree(ROOT / TESTS[name], place / "copy" / "tests")
    for readme in (ROOT / TESTS[name]).parent.glob("README.md"):
        shutil.copy(readme, copy.parent)
    shutil.copy(ROOT / "pyproject.toml", copy.parent)
    shutil.copy(Path(__file__).with_name("first_of_each.py"), copy.parent)
    command = ["python", "-m", "pytest", "-q", "-c", "pyproject.toml", str(copy)]
    return environment.run(*command, *["-p", "first_of_each"] * EACH, cwd=copy.parent)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", TESTS)
def test_a_distribution_passes_its_own_tests_with_only_what_it_names(name, suites):
    done = suites[name].result()

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


def test_without_the_compiled_tree_the_readable_one_serves_and_says_so(fresh, tmp_path):
    environment = fresh("lzcore", "lz_ptree", "lz_muzero")
    done = environment.run(
        "lz", "run", "--policy", "muzero", "--max-env-steps", "60", "--out", "run", cwd=tmp_path
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert "No compiled tree can be used, so searches run on lz_ptree" in done.stdout
