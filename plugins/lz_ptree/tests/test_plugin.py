"""The plugin names a tree that can be made."""

from importlib import import_module

from lz_ptree import plugin


def test_the_registered_tree_is_the_numpy_tree_and_importing_the_plugin_is_light():
    [spec] = plugin.lz_register_trees()
    module, _, name = spec.tree.partition(":")

    assert (spec.name, spec.compiled, plugin.LZ_API) == ("lz_ptree", False, 1)
    assert getattr(import_module(module), name).supports.__doc__
