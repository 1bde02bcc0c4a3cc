"""What a spec accepts, and what loading the class that it names can say."""

import attrs
import pytest

from lzcore.base import PluginError
from lzcore.registry import KINDS, EnvSpec, ModelSpec, PolicySpec, SearchTreeSpec, hookspecs, load


def model(**given):
    return ModelSpec(**{"name": "net", "model": "pkg.model:Net", "summary": "A net."} | given)


def test_a_policy_spec_needs_four_things_and_fills_in_the_rest():
    spec = PolicySpec(name="mine", policy="pkg.policy:Mine", config="pkg.config:Cfg", summary="It.")

    assert attrs.asdict(spec) == {
        "name": "mine",
        "summary": "It.",
        "policy": "pkg.policy:Mine",
        "config": "pkg.config:Cfg",
        "default_model": "",
        "buffer": "replay",
        "presets": "",
        "paper": "",
    }


@pytest.mark.parametrize("path", ["pkg.model.Net", "pkg.model:", ":Net", "pkg/model:Net", "", 3])
def test_a_class_is_named_as_module_and_class(path):
    with pytest.raises(PluginError, match=r"ModelSpec\.model is .*; expected a string like "):
        model(model=path)


@pytest.mark.parametrize("name", ["", "a:b", "a b", "-a", "a/b", None])
def test_a_name_can_stand_behind_a_colon_and_in_a_file(name):
    with pytest.raises(PluginError, match=r"ModelSpec\.name is .*; expected a name like"):
        model(name=name)


def test_other_fields_are_checked_for_their_type():
    with pytest.raises(PluginError, match=r"ModelSpec\.summary is 3; expected a str"):
        model(summary=3)
    with pytest.raises(PluginError, match=r"SearchTreeSpec\.compiled is 'no'; expected a bool"):
        SearchTreeSpec(name="t", tree="pkg:T", summary="", compiled="no")
    with pytest.raises(PluginError, match=r"EnvSpec\.prefix is 'go/'; expected the part of an id"):
        EnvSpec(name="go", env="pkg:E", config="pkg:C", summary="", prefix="go/")
    with pytest.raises(PluginError, match=r"PolicySpec\.presets is 'a/b'; expected a package"):
        PolicySpec(name="p", policy="pkg:P", config="pkg:C", summary="", presets="a/b")


def test_a_spec_cannot_be_changed():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        model().name = "other"


def test_every_kind_has_its_hook_and_knows_which_of_its_fields_are_classes():
    assert all(hasattr(hookspecs, f"lz_register_{kind}") for kind in KINDS)
    assert all(spec.main in spec.class_fields() for spec in KINDS.values())
    assert PolicySpec.class_fields() == ("policy", "config")


def test_every_hook_says_what_it_is_for_and_what_each_argument_is():
    hooks = {name: f for name, f in vars(hookspecs).items() if hasattr(f, "lzcore_spec")}

    assert len(hooks) == len(KINDS) + 8
    for name, hook in hooks.items():
        arguments = hook.__code__.co_varnames[: hook.__code__.co_argcount]
        assert all(f"{argument}: " in hook.__doc__ for argument in arguments), name


def test_loading_imports_the_class():
    assert load("collections:OrderedDict").__name__ == "OrderedDict"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_such_module:X", "no_such_module:X cannot be imported: ModuleNotFoundError: No module"),
        ("collections:Nope", "collections:Nope cannot be imported: AttributeError: module"),
        ("math:pi", "math:pi is of type float; expected a class or function"),
    ],
)
def test_a_class_that_cannot_be_loaded_is_told_in_one_line(path, message):
    with pytest.raises(PluginError, match=message) as caught:
        load(path)

    assert "\n" not in str(caught.value)
