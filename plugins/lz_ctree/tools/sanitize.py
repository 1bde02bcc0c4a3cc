"""Run the tests with the extension built for the sanitizers of g++; exit status 0 only if clean.

    python plugins/lz_ctree/tools/sanitize.py [address thread] [-k EXPRESSION]

The extension is built from src/ into a scratch directory that stands first on the path of the
tests, so nothing installed changes. "address" is AddressSanitizer with UndefinedBehaviorSanitizer,
"thread" is ThreadSanitizer; either stops the run at its first finding. Python itself is not
instrumented: leaks are not looked for (CPython keeps memory until the end; see memory.py), and
memory comes from malloc, so that it is watched. No finding is suppressed. Left out are the test of
memory that runs out, for AddressSanitizer ends a program where `new` would throw, and under
"thread" that of a fork, after which ThreadSanitizer does not know which threads there are.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

import pybind11

HERE = Path(__file__).resolve().parents[1]
COMMON = ["-std=c++17", "-O1", "-g", "-fno-omit-frame-pointer", "-ffp-contract=off", "-pthread"]
FLAGS = {
    "address": ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"],
    "thread": ["-fsanitize=thread"],
}
RUNTIMES = {"address": ["libasan.so", "libubsan.so"], "thread": ["libtsan.so"]}
LEFT_OUT = {
    "address": "not more_roots_than_memory_holds",
    "thread": "not more_roots_than_memory_holds and not forked",
}

# Editable installs put a finder before the path; without it the scratch directory is found.
SITECUSTOMIZE = """\
import sys

sys.meta_path[:] = [f for f in sys.meta_path if not type(f).__name__.startswith("ScikitBuild")]
"""


def build(scratch: Path, kind: str) -> Path:
    """Compile the extension and copy the package beside it; return the library."""
    package = scratch / "lz_ctree"
    package.mkdir()
    for source in (HERE / "lz_ctree").glob("*.py"):
        shutil.copy(source, package)
    (scratch / "sitecustomize.py").write_text(SITECUSTOMIZE)
    library = package / f"_ctree{sysconfig.get_config_var('EXT_SUFFIX')}"
    includes = [f"-I{sysconfig.get_path('include')}", f"-I{pybind11.get_include()}"]
    sources = sorted(map(str, (HERE / "src").glob("*.cpp")))
    visible = ["-fvisibility=hidden", "-fPIC", "-shared"]
    command = ["g++", *COMMON, *FLAGS[kind], *visible, *includes, *sources, "-o", str(library)]
    subprocess.run(command, check=True)
    return library


def environment(scratch: Path, kind: str) -> dict[str, str]:
    """Variables under which Python loads the sanitizer first and then our build."""
    found = [
        subprocess.run(
            ["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for name in RUNTIMES[kind]
    ]
    path = [str(scratch), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(path),
        "PYTHONSAFEPATH": "1",  # the working directory may hold the package without a library
        "PYTHONDONTWRITEBYTECODE": "1",
        "LD_PRELOAD": " ".join(found),
        "PYTHONMALLOC": "malloc",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "TSAN_OPTIONS": "halt_on_error=1:second_deadlock_stack=1",
    }


def checked(kind: str, expression: str) -> dict[str, object]:
    """Build and run the tests; return the exit status of pytest or of the sanitizer."""
    with tempfile.TemporaryDirectory(prefix=f"lz_ctree_{kind}_") as name:
        scratch = Path(name)
        library, variables = build(scratch, kind), environment(scratch, kind)
        ask = [sys.executable, "-c", "import lz_ctree._ctree as m; print(m.__file__)"]
        loaded = subprocess.run(ask, env=variables, check=True, stdout=subprocess.PIPE, text=True)
        if Path(loaded.stdout.strip()) != library:
            raise SystemExit(f"{loaded.stdout.strip()} was imported; expected {library}.")
        tests = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--capture=sys"]
        done = subprocess.run(
            [*tests, "-k", expression, str(HERE / "tests")], env=variables, check=False
        )
    return {"exit_status": done.returncode, "clean": done.returncode == 0}


def main() -> None:
    """Parse, build, test, print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="address, thread; default: both")
    parser.add_argument("-k", default="", help="of the tests only those, as pytest's -k")
    asked = parser.parse_args()
    kinds = asked.kinds or list(FLAGS)
    unknown = [kind for kind in kinds if kind not in FLAGS]
    if unknown:
        parser.error(f"unknown kind {unknown[0]!r}; expected {' or '.join(FLAGS)}")
    wanted = f"({asked.k}) and " if asked.k else ""
    figures = {kind: checked(kind, wanted + LEFT_OUT[kind]) for kind in kinds}
    print(json.dumps({"check": "sanitize", "settings": vars(asked), "figures": figures}, indent=2))
    sys.exit(not all(figure["clean"] for figure in figures.values()))


if __name__ == "__main__":
    main()
