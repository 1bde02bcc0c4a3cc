"""The plugin names a model that can be made, and loads nothing heavy to say so."""

import subprocess
import sys
from importlib import import_module

from lz_unizero import plugin


def test_the_registered_model_is_the_world_model():
    [spec] = plugin.lz_register_models()
    module, _, name = spec.model.partition(":")

    assert (spec.name, plugin.LZ_API) == ("UniZeroModel", 1)
    assert getattr(import_module(module), name).__name__ == spec.name


def test_importing_the_plugin_is_light():
    code = "import lz_unizero.plugin, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout == "False\n"
