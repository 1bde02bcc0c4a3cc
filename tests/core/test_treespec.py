"""What a TreeSpec knows of itself, and what it refuses."""

import math

import pytest

from lzcore.base import ConfigError, TreeSpec


def spec(**settings):
    return TreeSpec(**{"num_simulations": 10, "num_actions": 6, **settings})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_simulations": 2.5}, r"num_simulations is 2\.5; expected a whole number, 1 or more"),
        ({"num_simulations": "3"}, r"num_simulations is '3'; expected a whole number"),
        ({"num_simulations": 0}, r"num_simulations is 0; expected a whole number, 1 or more"),
        ({"num_simulations": True}, r"num_simulations is True; expected a whole number"),
        ({"max_depth": 0}, r"max_depth is 0; expected 1 or more, or None"),
        ({"rule": "PUCT"}, r"rule is 'PUCT'; expected one of \('puct', 'gumbel'\)"),
        ({"discount": 1.5}, r"discount is 1\.5; expected a number from 0 to 1"),
        ({"range_floor": 0.0}, r"range_floor is 0\.0; expected a number above 0"),
        ({"pb_c_init": math.inf}, r"pb_c_init is inf; expected a number 0 or more"),
        ({"value_scale": math.nan}, r"value_scale is nan; expected a number 0 or more"),
        ({"rescale_values": "no"}, r"rescale_values is 'no'; expected True or False"),
        ({"sample_temperature": 1e-310}, r"sample_temperature is 1e-310; .* from 0\.01 to 100"),
        ({"q_bounds": None}, r"q_bounds is None; expected a tuple of two numbers"),
        ({"q_bounds": (0, 1, 2)}, r"q_bounds is \(0, 1, 2\); expected a tuple of two numbers"),
        ({"q_bounds": (1.0, 1.0)}, r"q_bounds is \(1\.0, 1\.0\); .* the lower one first"),
        ({"num_actions": 0}, r"num_actions is 0 and action_dim 0; expected one of them above 0"),
        ({"action_dim": 2}, r"num_actions is 6 and action_dim 2; expected one of them above 0"),
        ({"num_actions": 0, "action_dim": 2}, r"action_dim is given without num_sampled_actions"),
        (
            {
                "num_actions": 0,
                "action_dim": 2,
                "num_sampled_actions": 3,
                "num_chance_outcomes": 2,
            },
            r"num_chance_outcomes is given with action_dim",
        ),
        ({"value_prefix": True, "num_chance_outcomes": 2}, r"is given with value_prefix"),
        ({"root_expand_all": True, "rule": "gumbel"}, r"root_expand_all is given with rule 'gum"),
    ],
)
def test_what_cannot_be_searched_is_refused_with_what_was_expected(settings, message):
    with pytest.raises(ConfigError, match=message):
        spec(**settings)


@pytest.mark.parametrize(
    ("settings", "sizes"),
    [  # edges, choices, logits, nodes of the root, nodes, depth that cannot be reached
        ({}, (6, 6, 6, 1, 11, 10)),
        ({"num_chance_outcomes": 9}, (6, 9, 9, 1, 11, 10)),
        ({"num_sampled_actions": 4}, (4, 6, 6, 1, 11, 10)),
        ({"root_expand_all": True}, (6, 6, 6, 7, 17, 11)),
        ({"num_actions": 0, "action_dim": 2, "num_sampled_actions": 5}, (5, 0, 4, 6, 16, 11)),
    ],
)
def test_sizes_follow_from_the_settings(settings, sizes):
    of = spec(**settings)

    assert sizes == (
        of.num_edges,
        of.num_choices,
        of.num_logits,
        of.num_root_nodes,
        of.num_nodes,
        of.depth_limit,
    )


def test_all_edges_of_the_root_are_expanded_where_actions_are_vectors_and_the_rule_is_puct():
    vectors = {"num_actions": 0, "action_dim": 2, "num_sampled_actions": 5}

    assert spec(**vectors).root_expand_all
    assert not spec(**vectors, rule="gumbel").root_expand_all
    assert not spec().root_expand_all


@pytest.mark.parametrize(
    ("settings", "draws"),
    [
        ({}, False),
        ({"tie_break": "random"}, True),
        ({"tie_break": "random", "rule": "gumbel"}, False),
        ({"chance_select": "sample"}, False),
        ({"chance_select": "sample", "num_chance_outcomes": 2}, True),
        ({"num_sampled_actions": 6}, True),
    ],
)
def test_a_spec_knows_whether_its_tree_draws(settings, draws):
    assert spec(**settings).draws == draws
