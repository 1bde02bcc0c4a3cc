"""Which tree serves a search, and what is said when it is not the one wished for."""

import attrs
import pytest

from lzcore.base import ConfigError, PluginError, TreeSpec, UnknownNameError
from lzcore.registry import SearchTreeSpec
from lzcore.search import choose_tree, make_tree, trees

SPEC = TreeSpec(num_simulations=3, num_actions=2)


def tree_class(lacks=None):
    class SomeTree:
        start = select = backup = result = None

        def __init__(self, spec):
            self.spec = spec

        @staticmethod
        def supports(spec):
            return lacks

    return SomeTree


@attrs.frozen
class Component:
    name: str
    state: str = "ok"


@pytest.fixture
def install(monkeypatch):
    """Pretend that trees are installed: name -> (compiled, class or the error of its import)."""

    class FakeRegistry:
        def __init__(self, installed):
            self.installed = installed

        def components(self, kind):
            return [Component(name) for name in self.installed]

        def spec(self, kind, name):
            return SearchTreeSpec(
                name=name, tree="a:B", summary="A tree.", compiled=self.installed[name][0]
            )

        def resolve(self, kind, name):
            found = self.installed[name][1]
            if isinstance(found, Exception):
                raise found
            return found

    return lambda **found: monkeypatch.setattr(trees, "get_registry", lambda: FakeRegistry(found))


def test_auto_takes_the_compiled_tree_and_has_nothing_to_say(install):
    install(slow=(False, tree_class()), quick=(True, tree_class()))

    assert choose_tree("auto", SPEC) == ("quick", "")
    assert make_tree("auto", SPEC).spec is SPEC


def test_auto_takes_the_readable_tree_if_that_is_preferred(install):
    install(slow=(False, tree_class()), quick=(True, tree_class()))

    assert choose_tree("auto", SPEC, prefer_compiled=False) == ("slow", "")


def test_without_a_compiled_tree_the_other_serves_and_one_line_says_so(install):
    install(slow=(False, tree_class()))

    chosen, note = choose_tree("auto", SPEC)

    assert chosen == "slow"
    assert note == "No compiled tree can be used, so searches run on slow, more slowly."


def test_a_compiled_tree_that_cannot_be_imported_is_passed_over_with_its_cause(install):
    install(slow=(False, tree_class()), quick=(True, PluginError("no such symbol")))

    assert choose_tree("auto", SPEC) == (
        "slow",
        "No compiled tree can be used, so searches run on slow, more slowly; "
        "passed over: quick (no such symbol).",
    )


def test_a_compiled_tree_that_lacks_what_the_search_needs_is_passed_over(install):
    install(slow=(False, tree_class()), quick=(True, tree_class("it has no chance nodes")))

    assert choose_tree("auto", SPEC)[0] == "slow"
    with pytest.raises(
        ConfigError, match=r"The tree 'quick' cannot run this search: it has no chance nodes\."
    ):
        choose_tree("quick", SPEC)


def test_a_tree_asked_for_by_name_is_taken_whatever_it_is(install):
    install(slow=(False, tree_class()), quick=(True, tree_class()))

    assert choose_tree("slow", SPEC) == ("slow", "")


def test_with_no_tree_at_all_the_error_says_what_to_install(install):
    install()

    with pytest.raises(UnknownNameError, match=r"No installed tree can run this search\. Install"):
        choose_tree("auto", SPEC)
