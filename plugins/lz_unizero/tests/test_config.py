"""What the settings of the network promise: documented defaults, and refusals that help."""

import json
from pathlib import Path

import attrs
import pytest
from lz_unizero.config import UniZeroConfig, UniZeroModelSettings, WorldModelSettings

from lzcore.base.errors import ConfigError

DOCUMENTED = json.loads((Path(__file__).parent / "documented_unizero.json").read_text())["model"]


def test_the_defaults_are_the_documented_ones():
    ours = json.loads(json.dumps(UniZeroModelSettings().to_dict(documented=True)))

    assert ours == DOCUMENTED


def test_a_setting_without_effect_says_so():
    for cls in (UniZeroConfig, UniZeroModelSettings, WorldModelSettings):
        for name, field in attrs.fields_dict(cls).items():
            says = field.metadata["help"].startswith("No effect")
            assert says == field.metadata["noop"], name


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tokens_per_block": 3}, r"tokens_per_block = 3: a step is an observation and an action"),
        ({"max_tokens": 18}, r"max_tokens is 18 and max_blocks 10; .* set max_tokens to 20"),
        ({"max_blocks": 5}, r"max_tokens is 20 and max_blocks 5; .* set max_tokens to 10"),
        ({"context_length": 7}, r"context_length is 7; expected an even number of tokens"),
        ({"context_length": 22}, r"context_length is 22; .* at most max_tokens, 20"),
        ({"max_blocks": 1, "max_tokens": 2, "context_length": 2}, r"max_blocks is 1, .* it to 2"),
        ({"context_length": 2, "kv_slide": "rebuild"}, r"context_length is 2, .* set it to 4"),
        ({"embed_dim": 100}, r"embed_dim is 100, which num_heads 8 does not divide"),
        ({"embed_dim": 100}, r"embed_dim is 100, which group_size 8 does not divide"),
        ({"embed_dim": 8, "positions": "rotary"}, r"turns pairs of numbers, but embed_dim 8"),
        ({"attention": "block_causal"}, r'attention = "block_causal": expected one of causal'),
        ({"kv_slide": "lz_shift"}, r'kv_slide = "lz_shift": expected one of grow, rebuild'),
        ({"positions": "none"}, r"positions = "),
        ({"obs_type": "image_memory"}, r"expected one of image, vector"),
        ({"predict_latent_loss_type": "kl"}, r"expected one of group_kl, mse"),
        ({"attn_pdrop": 1.0}, r"attn_pdrop = 1"),
        ({"gamma": 1.5}, r"gamma = 1\.5"),
        ({"num_layers": 0}, r"num_layers = 0"),
        ({"latent_recon_loss_weight": 0.1}, r"no decoder paints observations"),
        ({"perceptual_loss_weight": 0.1}, r"no decoder paints observations"),
        ({"num_layer": 3}, r"num_layer = 3: there is no such setting.*num_layers"),
    ],
)  # fmt: skip
def test_a_transformer_that_cannot_be_is_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        UniZeroModelSettings.of({"world_model_cfg": given})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"support_scale": 20}, r"support_size is 101, but support_scale 20 makes 41 bins"),
        ({"model_type": "mlp"}, r"obs_type is image, but model_type mlp reads vectors"),
        ({"model_type": "conv_context"}, r"expected one of conv, mlp"),
        ({"action_space_size": 4}, r"action_space_size is 4, and world_model_cfg.* 6; give both"),
        ({"continuous_action_space": True}, r"continuous_action_space is true, and .* false"),
        ({"latent_state_dim": 64}, r"latent_state_dim = 64: there is no such setting"),
    ],
)
def test_tables_that_contradict_each_other_are_refused(given, message):
    with pytest.raises(ConfigError, match=message):
        UniZeroModelSettings.of(given)


@pytest.mark.parametrize("name", ["reward_support_range", "value_support_range"])
def test_a_support_may_be_told_as_a_range(name):
    given = {name: [-20, 21, 1], "world_model_cfg": {"support_size": 41}}
    assert UniZeroModelSettings.of(given).support_scale == 20


def test_windows_of_a_search_are_those_of_learning_or_of_a_context():
    assert WorldModelSettings().context_steps == 4
    assert WorldModelSettings().window_steps == 10
    assert WorldModelSettings(kv_slide="rebuild").window_steps == 4
