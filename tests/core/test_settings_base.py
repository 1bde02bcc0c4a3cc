"""Settings classes: how they are read, and what a check that allows nothing says."""

from typing import Literal

import attrs
import pytest
from attrs import validators as v

from lzcore.base import ConfigError, LoopSettings, ModelSettings, PolicySettings, Settings, setting
from lzcore.base.config import Only
from lzcore.base.wording import expectation, hint


@attrs.frozen(kw_only=True)
class Net(ModelSettings):
    width: int = setting(8, "Width.", check=v.ge(1))
    depth: int = setting(2, "Depth.", extension=True)


@attrs.frozen(kw_only=True)
class TinyConfig(PolicySettings):
    model: Net = setting(attrs.Factory(Net), "The network.")
    batch_size: int = setting(32, "Samples.")
    n_episode: int = setting(4, "Episodes.")


def test_a_setting_is_read_by_attribute_item_and_get():
    cfg = TinyConfig.of({"model": {"width": 3}})

    assert cfg.model.width == cfg["model"]["width"] == cfg.get("model").get("width") == 3
    assert cfg.get("nothing") is None
    assert cfg.get("nothing", 5) == 5
    with pytest.raises(KeyError, match="nothing"):
        cfg["nothing"]


def test_a_table_unpacks_into_keyword_arguments():
    assert dict(**Net(width=5)) == {"width": 5, "depth": 2}


def test_settings_cannot_be_changed():
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        TinyConfig().batch_size = 3


def test_of_returns_settings_of_its_class_as_they_are_and_reads_everything_else():
    cfg = TinyConfig(batch_size=7)

    assert TinyConfig.of(cfg) is cfg
    assert TinyConfig.of(cfg.to_dict()) == cfg
    assert TinyConfig.of({"model": Net(width=5)}).model.width == 5
    assert TinyConfig.of(PolicySettings(cuda=True)) == TinyConfig(cuda=True)


def test_the_documented_part_leaves_extensions_out_at_every_level():
    assert TinyConfig().to_dict(documented=True) == {
        "on_policy": False, "cuda": False, "multi_gpu": False, "bp_update_sync": True,
        "traj_len_inf": False, "model": {"width": 8}, "learn": {"resume_training": False},
        "batch_size": 32, "n_episode": 4,
    }  # fmt: skip
    assert TinyConfig().to_dict()["model"] == {"width": 8, "depth": 2}
    assert {"seed", "device"} <= TinyConfig().to_dict().keys()


def test_the_documented_name_of_the_type_comes_from_the_class():
    assert TinyConfig().cfg_type == "TinyPolicyDict"


def test_the_loop_reads_what_a_policy_has_and_else_the_documented_defaults():
    loop = LoopSettings.of(TinyConfig(batch_size=5))

    assert (loop.batch_size, loop.n_episode, loop.collector_env_num) == (5, 4, 8)


# --- a check that allows the default only ---------------------------------------------------------


@attrs.frozen(kw_only=True)
class Guarded(Settings):
    reuse: bool = setting(False, "Reuse.", check=Only("not in this version"))
    kind: Literal["a", "b", "c"] = setting("a", "Kind.", check=Only("comes later", refused=("c",)))


def test_the_default_is_accepted_also_when_it_is_given():
    assert Guarded.of({"reuse": False, "kind": "a"}) == Guarded()
    assert Guarded.of({"kind": "b"}).kind == "b"


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"reuse": True}, "reuse = true: not in this version; leave it at false."),
        ({"kind": "c"}, 'kind = "c": comes later; leave it at "a".'),
        ({"kind": "d"}, 'kind = "d": expected one of a, b.'),
    ],
)
def test_any_other_value_is_refused_with_the_reason(given, line):
    with pytest.raises(ConfigError) as caught:
        Guarded.of(given)
    assert str(caught.value) == line
    if "d" not in given.values():
        with pytest.raises(ConfigError, match=r"leave it at"):
            Guarded(**given)


# --- words ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "check", "words"),
    [
        (int, None, "an integer"),
        (float, v.gt(0.5), "a number, above 0.5"),
        (int, [v.ge(1), v.lt(5)], "an integer, at least 1 and below 5"),
        (float | None, v.optional(v.le(1)), 'a number, at most 1, or "none"'),
        (tuple[int, ...] | int, v.or_(v.ge(1), v.deep_iterable(v.ge(1))),
         "a list of integers or an integer, at least 1"),
        (tuple[Literal["x", "y"], ...], None, "a list of x, y"),
        (dict[str, int], None, "a table"),
        (bool, Only("later"), "true or false, the default only (later)"),
    ],
)  # fmt: skip
def test_what_a_setting_takes_is_said_in_words(kind, check, words):
    assert expectation(kind, check) == words


@pytest.mark.parametrize(
    ("path", "meant"),
    [
        ("batchsize", "batch_size"),
        ("model.widht", "model.width"),
        ("width", "model.width"),
        ("model.batch_size", "batch_size"),
        ("run.sead", "run.seed"),
        ("sead", "run.seed"),
        ("xyz", None),
    ],
)
def test_the_nearest_name_is_one_of_that_spelling_elsewhere_or_of_the_same_table(path, meant):
    known = ["batch_size", "model", "model.width", "model.depth", "run.seed"]
    assert hint(path, known) == (f" Did you mean {meant!r}?" if meant else "")
