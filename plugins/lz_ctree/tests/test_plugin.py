"""The plugin names a tree that can be made."""

from importlib import import_module

from lz_ctree import plugin


def test_the_registered_tree_is_the_compiled_tree():
    [spec] = plugin.lz_register_trees()
    module, _, name = spec.tree.partition(":")

    assert (spec.name, spec.compiled, plugin.LZ_API) == ("lz_ctree", True, 1)
    assert getattr(import_module(module), name).supports.__doc__
