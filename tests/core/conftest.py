"""Makes `engine_fakes` importable, and its policy an installed plugin for tests that ask for it."""

import os
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
sys.path.append(HERE)


@pytest.fixture(scope="session")
def fake_site(tmp_path_factory):
    """A folder with the metadata of a distribution that brings `engine_fakes`."""
    site = tmp_path_factory.mktemp("site")
    info = site / "lz_tiny-1.5.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lz-tiny\nVersion: 1.5\n")
    (info / "entry_points.txt").write_text("[lzcore]\ntiny = engine_fakes\nmatch = match_fakes\n")
    return site


@pytest.fixture
def tiny_installed(fake_site, monkeypatch):
    """The environment of a process in which `tiny` is the only plugin, and this one is such."""
    from lzcore.registry import get_registry

    monkeypatch.syspath_prepend(fake_site)
    monkeypatch.setenv("LZ_PLUGINS", "tiny")
    get_registry(reload=True)
    yield {**os.environ, "PYTHONPATH": os.pathsep.join([str(fake_site), HERE])}
    monkeypatch.undo()
    get_registry(reload=True)


@pytest.fixture
def noughts_installed(fake_site, monkeypatch):
    """The same with a game for two, and a policy that plays it."""
    from lzcore.registry import get_registry

    monkeypatch.syspath_prepend(fake_site)
    monkeypatch.setenv("LZ_PLUGINS", "match")
    get_registry(reload=True)
    yield
    monkeypatch.undo()
    get_registry(reload=True)
