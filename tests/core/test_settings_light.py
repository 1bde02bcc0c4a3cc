"""What settings may not load: they are read by commands that must be quick."""

import subprocess
import sys

import pytest

ASK = """
import sys, {modules}
slow = [name for name in ("torch", "gymnasium", "tensorboard") if name in sys.modules]
assert not slow, slow
"""


@pytest.mark.parametrize(
    "modules",
    ["lzcore.base.config", "lzcore.engine.settings", "lzcore.engine.explain", "lzcore.cli.config"],
)
def test_settings_load_neither_torch_nor_environments(modules):
    done = subprocess.run(
        [sys.executable, "-c", ASK.format(modules=modules)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
