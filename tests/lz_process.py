"""`lz` as a process of its own for each command, without importing torch each time.

A server imports what is heavy and nobody's state, and forks for each command. What a fork does is
what the console script does: `main()` with the arguments, in a directory, with an environment.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

SERVER = """
import gc, json, os, resource, sys, traceback
import gymnasium, torch._dynamo, lzcore.cli.main  # the second loads with the first optimizer
import lzcore.engine.agent, lzcore.engine.trainer, lzcore.replay.buffer
import lz_ctree.tree, lz_muzero.policy

gc.freeze()
for line in sys.stdin:
    asked = json.loads(line)
    child = os.fork()
    if child:
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
        continue
    os.chdir(asked["cwd"])
    os.environ.update(asked["env"])
    sys.path[:0] = asked["path"]
    for number, name in ((0, os.devnull), (1, "stdout"), (2, "stderr")):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666), number)
    if asked["largest_file"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (asked["largest_file"],) * 2)
    sys.argv = ["lz", *asked["argv"]]
    status = 1
    try:
        lzcore.cli.main.main()
    except SystemExit as err:
        status = err.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(status)  # taking torch apart is slow
"""


class Done(NamedTuple):
    """What a command printed, and how it ended."""

    status: int
    out: str
    err: str


class Shell:
    """Runs `lz` commands one after another; a context manager."""

    def __init__(self) -> None:
        self._server = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            text=True,
        )

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()

    def lz(self, cwd: Path, *argv: object, path=(), largest_file=0, **env: str) -> Done:
        """Run `lz *argv`.

        Args:
            cwd: where; what it prints goes to the files stdout and stderr there.
            argv: its arguments.
            path: folders that Python looks in first.
            largest_file: bytes after which writing a file fails, as on a full disk; 0: no limit.
            env: variables beside this process's.
        """
        asked = {
            "cwd": str(cwd),
            "argv": [str(part) for part in argv],
            "path": [str(folder) for folder in path],
            "largest_file": largest_file,
            "env": env,
        }
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        status = int(self._server.stdout.readline())
        return Done(status, (cwd / "stdout").read_text(), (cwd / "stderr").read_text())
