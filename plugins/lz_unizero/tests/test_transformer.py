"""What the transformer promises: two ways that agree, causality, places, gates."""

import pytest
import torch
from lz_unizero.config import WorldModelSettings
from lz_unizero.transformer import Gate, Transformer, turned
from slow_pass import slow_pass
from small_worlds import awake

STYLES = {
    "plain": {},
    "gated": {"gru_gating": True},
    "rotary": {"positions": "rotary"},
    "one layer": {"num_layers": 1},
    "three layers, rotary and gated": {
        "num_layers": 3,
        "gru_gating": True,
        "positions": "rotary",
    },
}
style = pytest.mark.parametrize("given", STYLES.values(), ids=STYLES)


def make(**given):
    return Transformer(WorldModelSettings(**{"embed_dim": 32, "num_heads": 4, **given}))


@style
def test_a_pass_is_what_plain_sums_make(given):
    transformer, tokens = awake(make(**given)), torch.randn(2, 9, 32)

    expected = torch.stack([slow_pass(transformer, row, 4, None) for row in tokens])

    torch.testing.assert_close(transformer(tokens), expected, atol=1e-5, rtol=1e-5)


@style
def test_a_step_is_the_next_token_of_a_pass(given):
    transformer, tokens = awake(make(**given)), torch.randn(3, 9, 32)
    expected, kept = transformer.prefill(tokens)
    kv = torch.zeros_like(kept)
    kv[:, :4] = kept[:, :4]

    with torch.inference_mode():
        for at in range(4, 9):
            seen = torch.zeros(3, 1, 1, at + 1)
            out = transformer.step(tokens[:, at], torch.full((3,), at), kv[:, : at + 1], seen)
            torch.testing.assert_close(out, expected[:, at], atol=1e-5, rtol=1e-5)

    torch.testing.assert_close(kv, kept, atol=1e-5, rtol=1e-5)


@style
def test_rows_whose_contexts_differ_in_length_step_together(given):
    transformer, tokens = awake(make(**given)), torch.randn(2, 6, 32)
    expected, kept = transformer.prefill(tokens)
    kv, visible = torch.randn(2, 6, *kept.shape[2:]), torch.zeros(2, 1, 1, 6)
    kv[0, :5] = kept[0, :5]
    kv[1, 3:5], visible[1, ..., :3] = kept[1, :2], -torch.inf  # two tokens, at the end

    with torch.inference_mode():
        out = transformer.step(
            torch.stack((tokens[0, 5], tokens[1, 2])), torch.tensor([5, 2]), kv, visible
        )

    torch.testing.assert_close(
        out, torch.stack((expected[0, 5], expected[1, 2])), atol=1e-5, rtol=1e-5
    )


@style
def test_a_later_token_changes_nothing_before_it(given):
    transformer, tokens = awake(make(**given)), torch.randn(2, 8, 32)
    changed = tokens.clone()
    changed[:, 5] = torch.randn(2, 32)

    before, after = transformer(tokens), transformer(changed)

    torch.testing.assert_close(after[:, :5], before[:, :5], atol=1e-6, rtol=0)
    assert (after[:, 5:] != before[:, 5:]).all(dim=-1).all()


def test_dropout_works_in_learning_alone():
    transformer, tokens = awake(make()), torch.randn(2, 8, 32)

    assert torch.equal(transformer(tokens), transformer(tokens))
    transformer.train()
    assert not torch.equal(transformer(tokens), transformer(tokens))
    quiet = make(embed_pdrop=0.0, resid_pdrop=0.0, attn_pdrop=0.0).train()
    assert torch.equal(quiet(tokens), quiet(tokens))


@pytest.mark.parametrize("name", ["embed_pdrop", "resid_pdrop", "attn_pdrop"])
def test_each_dropout_has_its_setting(name):
    off = {"embed_pdrop": 0.0, "resid_pdrop": 0.0, "attn_pdrop": 0.0}
    transformer, tokens = make(**{**off, name: 0.5}).train(), torch.randn(2, 8, 32)

    assert not torch.equal(transformer(tokens), transformer(tokens))


def test_turned_numbers_know_distances_alone():
    query, key = torch.randn(1, 8), torch.randn(1, 8)
    angle = torch.arange(4) / 3

    def product(at, other):
        turns = [torch.polar(torch.ones(4), place * angle)[None] for place in (at, other)]
        return turned(query, turns[0]) @ turned(key, turns[1]).T

    torch.testing.assert_close(product(7, 4), product(3, 0), atol=1e-5, rtol=1e-5)
    assert (product(7, 4) - product(7, 5)).abs() > 1e-4


def test_rotary_places_have_no_end_and_learned_ones_have():
    tokens = torch.randn(1, 30, 32)

    assert make(positions="rotary").eval()(tokens).shape == tokens.shape
    with pytest.raises(IndexError):
        make().eval()(tokens)


def test_a_gate_keeps_most_of_what_was_there_at_first():
    gate, x, y = Gate(16), torch.randn(5, 16), torch.randn(5, 16)
    for weights in gate.parameters():
        if weights.dim() > 1:
            torch.nn.init.zeros_(weights)

    torch.testing.assert_close(gate(x, y), x * torch.sigmoid(torch.tensor(2.0)))
