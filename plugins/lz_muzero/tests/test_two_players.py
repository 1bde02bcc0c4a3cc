"""Games of two players: whose value is told, learned and searched again, and what settings say.

Noughts and crosses is small enough for minimax to say what is right in every position.
"""

from pathlib import Path

import attrs
import numpy as np
import pytest
import torch
from lz_muzero.policy import MuZeroPolicy
from noughts_env import (
    GAME,
    POWERS,
    ChancyRulesModel,
    NoughtsEnv,
    NoughtsSettings,
    RulesModel,
    best_moves,
    boards_of,
    minimax,
    unfinished,
    value_table,
)

import lzcore
from lzcore.base import ConfigError, Decisions
from lzcore.engine.collector import Collector
from lzcore.engine.layers import preset_name
from lzcore.engine.settings import resolve
from lzcore.registry import get_registry
from lzcore.replay.buffer import ReplayBuffer

BOARD = {
    "env_type": "board_games",
    "discount_factor": 1.0,
    "q_transform": "min_max",
    "td_steps": 9,
    "model": {
        "model_type": "conv",
        "observation_shape": (3, 3, 3),
        "image_channel": 3,
        "action_space_size": 9,
        "num_channels": 8,
    },
}
GUMBEL = {"q_transform": "parent_and_siblings", "gumbel_rescale_values": False, "value_scale": 0.5}
SHARES = {"policy_loss_type": "KL"}
LSTM = {"model": {"lstm_hidden_size": 16}}
VARIANTS = {
    "muzero": {},
    "efficientzero": LSTM,
    "gumbel_muzero": {**GUMBEL, "max_num_considered_actions": 9},
    "sampled_muzero": SHARES,
    "sampled_efficientzero": {**SHARES, **LSTM},
    "stochastic_muzero": {},
}
PRESETS = ("two_players", "open_spiel__tic_tac_toe", "open_spiel__connect_four")
every_variant = pytest.mark.parametrize("name", VARIANTS)


@pytest.fixture
def make(make_policy):
    """A function from a policy's name and overrides to the policy, for a board of nine cells."""

    def make(name="muzero", **given):
        policy_class = get_registry().resolve("policies", name)
        return make_policy(BOARD, VARIANTS[name], policy_class=policy_class, **given)

    return make


def knowing(name, *, informed=True):
    """A model that knows the rules, of the form that a policy asks for."""
    if name == "stochastic_muzero":
        return ChancyRulesModel(informed=informed)
    return RulesModel(informed=informed, memory="efficientzero" in name)


# --- playing --------------------------------------------------------------------------------------


def perfectly(board, rng):
    return rng.choice(best_moves(board))


def anyhow(board, rng):
    return rng.choice([cell for cell in range(9) if not board[cell]])


def games(policy, choose, count=60, **settings):
    """Play games in which both sides choose by `choose(board, rng)`; stored as of random play."""
    rng = np.random.default_rng(0)

    def decide(mode, seen, **schedule):
        found = policy.decide_at_random(seen)
        boards = boards_of(seen.observation).int().tolist()
        action = np.array([choose(tuple(board), rng) for board in boards])
        return Decisions(seen.env_id, {**found.columns, "action": action})

    policy.decide = decide
    columns = policy.columns(policy.cfg, GAME.spaces)
    env = NoughtsEnv(num_envs=4, settings=NoughtsSettings(**settings))
    stats, segments = Collector(env, policy, columns, 1).collect(0, count)
    buffer = ReplayBuffer(columns, policy.replay_settings(), 1)
    buffer.push(segments)
    return buffer, segments, stats


def worth(current, unroll):
    """(B, K + 1): what minimax says of positions t .. t+K of a batch."""
    frames = torch.as_tensor(current.obs).unflatten(1, (unroll + 1, 3))
    number = (boards_of(frames).long() * torch.from_numpy(POWERS)).sum(-1)
    return value_table()[number].numpy()


# --- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 9, 50])
def test_targets_of_perfect_play_are_minimax_at_every_ply_whatever_the_steps(make, steps):
    policy = make(model=RulesModel(), td_steps=steps)
    buffer, segments, _ = games(policy, perfectly, opening=3)

    current, target = buffer.sample(200, policy)

    expected = np.where(current.mask > 0, worth(current, 3), 0.0)
    assert (target.target_value == expected).all()
    assert set(np.unique(expected[:, 0])) == {-1.0, 0.0, 1.0}
    assert {p for s in segments for p in s.columns["to_play"][:-1]} == {1, 2}


@pytest.mark.parametrize("steps", [1, 2, 9])
def test_a_game_cut_short_goes_on_in_the_value_of_who_moves_there(make, steps):
    policy = make(model=RulesModel(), td_steps=steps)
    buffer, segments, _ = games(policy, perfectly, opening=2, limit=6)
    cut = [s for s in segments if not s.terminated]
    assert len(cut) > 20
    buffer = ReplayBuffer(policy.columns(policy.cfg, GAME.spaces), policy.replay_settings(), 1)
    buffer.push([attrs.evolve(s, episode=i) for i, s in enumerate(cut)])

    current, target = buffer.sample(100, policy)

    assert (target.target_value == worth(current, 3)).all()
    assert (current.mask[:, -1] == 0).any()  # the last position of a window may have no action
    assert set(np.unique(target.target_value)) == {-1.0, 0.0, 1.0}


def test_who_wins_is_told_from_the_side_of_who_moves_and_a_draw_is_no_win(make):
    policy = make(model=RulesModel(informed=False))
    _, segments, stats = games(policy, anyhow)
    for number, segment in enumerate(segments):
        buffer = ReplayBuffer(policy.columns(policy.cfg, GAME.spaces), policy.replay_settings(), 1)
        buffer.push([attrs.evolve(segment, episode=0)])
        current, target = buffer.sample(segment.length, policy)
        row = current.index - current.index.min()
        mover = segment.columns["to_play"][row]

        expected = stats.returns[number] * np.where(mover == 1, 1.0, -1.0)
        assert (target.target_value[:, 0] == expected).all()
        assert segment.columns["reward"][:-1].sum() == abs(stats.returns[number])
    assert set(stats.returns) == {-1.0, 0.0, 1.0}


def test_what_lies_past_the_end_of_a_game_is_masked(make):
    policy = make(model=RulesModel())
    buffer, _, _ = games(policy, anyhow)

    current, target = buffer.sample(200, policy)

    beyond = current.mask == 0
    assert beyond.any(axis=0).tolist() == [False, True, True, True]
    assert (target.target_policy[beyond] == 0).all()
    assert (target.target_value[beyond] == 0).all()
    assert (target.target_reward[:, :3][beyond[:, :3]] == 0).all()
    assert target.target_policy[~beyond].sum(axis=-1) == pytest.approx(1.0)


def test_a_prefix_sums_what_each_mover_got(make):
    policy = make("efficientzero")
    buffer, _, _ = games(policy, anyhow, count=20)

    current, target = buffer.sample(100, policy)

    last = current.mask[:, :3].sum(axis=1).astype(int)  # moves of the window until the end
    ends = current.mask[:, -1] == 0
    decided = ends & (target.target_value[:, 0] != 0)
    assert (target.target_reward[decided, 2] == 1).all()
    assert (target.target_value[decided, 0] == (-1.0) ** (last[decided] - 1)).all()
    assert (target.target_reward[~ends, :3] == 0).all()


# --- searches -------------------------------------------------------------------------------------


def asked(boards):
    seen = GAME.look(boards)
    return torch.from_numpy(seen.observation), seen.legal_actions, seen.to_play


def missed(boards, found):
    """The boards for which a move was found that gives something away."""
    actions = found.columns["action"].tolist()
    return [b for b, action in zip(boards, actions, strict=True) if action not in best_moves(b)]


def outcomes(boards):
    """(B,): what minimax says of them, for the player to move."""
    return np.array([minimax(board) for board in boards])


@pytest.mark.slow
@every_variant
def test_searches_with_a_model_that_knows_the_game_find_the_moves_of_minimax(make, name):
    policy = make(name, model=knowing(name), num_simulations=150, enable_field=["eval"])
    boards = unfinished()
    data, mask, player = asked(boards)

    found = policy.eval_mode.forward(data, mask, to_play=player)

    assert len(boards) == 4520
    right, value, few = outcomes(boards), found.columns["root_value"], 0
    if name == "gumbel_muzero":
        # it visits bad moves of the root for long, and leaves some others alone below it
        told = [found[row] for row in range(len(boards))]
        value = np.array([one["roots_completed_value"][one["action"]] for one in told])
        few = 5
    assert len(missed(boards, found)) <= few
    for who in (1, 2):
        for outcome in (-1.0, 0.0, 1.0):
            those = value[(player == who) & (right == outcome)]
            assert np.abs(those - outcome).mean() < 0.25


@pytest.mark.slow
def test_without_any_knowledge_an_ending_is_searched_to_its_end(make):
    """No draw looks like a win: values are placed between -1 and 1, not among their siblings."""
    policy = make(model=RulesModel(informed=False), num_simulations=200)
    boards = [board for board in unfinished() if sum(map(bool, board)) >= 5]
    data, mask, player = asked(boards)

    found = policy.eval_mode.forward(data, mask, to_play=player)

    assert missed(boards, found) == []
    assert (outcomes(boards) * found.columns["root_value"] >= 0).all()
    assert {1, 2} == set(player.tolist())


@pytest.mark.parametrize("reuse", [False, True])
def test_searched_again_a_position_keeps_the_view_of_who_moves(make, reuse):
    given = {"reuse_search": True} if reuse else {"reanalyze_ratio": 1.0, "use_root_value": True}
    policy = make(
        model=RulesModel(), num_simulations=80, td_steps=1, reanalyze_noise=False, **given
    )
    buffer, segments, _ = games(policy, anyhow, opening=2)
    if reuse:
        for _ in range(4):
            buffer.revisit(400, 1.0, policy)
    buffer.sample(buffer.num_transitions, policy)
    again, target = buffer.sample(buffer.num_transitions, policy)

    known = again.mask > 0
    seen = worth(again, 3)
    policy_target = target.target_policy
    boards = boards_of(torch.as_tensor(again.obs).unflatten(1, (4, 3))).int()
    for row, column in zip(*np.nonzero(known), strict=True):
        if seen[row, column] == 1.0:
            best = best_moves(tuple(boards[row, column].tolist()))
            assert policy_target[row, column].argmax() in best
    # of one step: what the mover got, less what the position behind was found worth to the other
    reward = target.target_reward[:, :3]
    after = np.where(known[:, 1:], seen[:, 1:], 0.0)
    wrong = np.abs(target.target_value[:, :3] - (reward - after))[known[:, :3]]
    assert wrong.mean() < 0.25
    assert len(segments) == 60


# --- learning -------------------------------------------------------------------------------------


@every_variant
def test_a_variant_learns_from_games_and_tells_finite_numbers(make, name):
    policy = make(name, learning_rate=0.003, batch_size=64)
    buffer, _, _ = games(policy, anyhow, count=20)
    data = buffer.sample(64, policy)

    told = [policy.learn_mode.forward(data) for _ in range(30)]

    assert told[-1]["value_loss"] < 0.8 * told[0]["value_loss"]
    assert all(np.isfinite(v).all() for v in told[-1].values())


def test_the_reward_head_learns_what_the_mover_gets_whoever_moves(make):
    policy = make(learning_rate=0.01, batch_size=128)
    buffer, _, _ = games(policy, anyhow, count=30)
    data = buffer.sample(128, policy)
    for _ in range(150):
        policy.learn_mode.forward(data)

    current, target = data
    model = policy._model.eval()
    with torch.no_grad():
        now = model.initial_inference(torch.from_numpy(current.obs[:, :3]))
        now = model.recurrent_inference(now.latent_state, torch.from_numpy(current.action[:, 0]))
    told = model.reward_support.decode(now.reward).numpy()

    paid = target.target_reward[:, 0] == 1
    first = current.obs[:, 2].mean(axis=(1, 2)) == 1
    for mover in (first, ~first):
        assert told[paid & mover].min() > 0.5
        assert told[~paid & mover].max() < 0.5


# --- what is said of players ----------------------------------------------------------------------


@every_variant
@pytest.mark.parametrize("mode", ["collect", "eval"])
def test_decisions_need_to_be_told_who_moves(make, name, mode):
    policy = make(name)
    data, mask, player = asked(unfinished()[:3])
    forward = getattr(policy, f"{mode}_mode").forward

    found = forward(data, mask, to_play=player.tolist(), ready_env_id=[4, 2, 0])
    assert list(found) == [4, 2, 0]
    assert all(mask[row][found[env]["action"]] for row, env in enumerate((4, 2, 0)))
    with pytest.raises(ValueError, match=r"to_play of environment 4 is -1; expected 1 or 2, as"):
        forward(data, mask, to_play=-1, ready_env_id=[4, 2, 0])


def test_with_one_player_nobody_is_told_who_moves(make_policy):
    policy = make_policy()
    with pytest.raises(ValueError, match=r"environment 0 is 2; expected -1, as env_type is not"):
        policy.eval_mode.forward(torch.zeros(1, 4), None, to_play=2)


def test_replay_for_another_number_of_players_is_refused(make_policy, make, spaces_for):
    two, one = make(), make_policy()
    with pytest.raises(ConfigError, match=r'"board_games", but the environment has 1 player; lea'):
        MuZeroPolicy.columns(two.cfg, attrs.evolve(GAME.spaces, players=1))
    with pytest.raises(ConfigError, match=r'set it to "board_games"\.'):
        MuZeroPolicy.columns(one.cfg, attrs.evolve(spaces_for(one), players=2))


def test_a_win_that_counts_less_the_later_it_comes_is_told_of(make):
    with pytest.warns(UserWarning, match=r"discount_factor is 0\.9 in a game of two players"):
        make(discount_factor=0.9)


@every_variant
def test_two_players_are_accepted_and_decide_env_type(name):
    policy_class = get_registry().resolve("policies", name)

    assert policy_class.check_spaces(GAME.spaces) is None
    assert policy_class.settings_for(GAME.spaces, {})["env_type"] == "board_games"
    one = attrs.evolve(GAME.spaces, players=1)
    assert policy_class.settings_for(one, {})["env_type"] == "not_board_games"


# --- presets and a run ----------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """This file's game, installed under the id open_spiel/tic_tac_toe, and nothing else of such."""
    info = tmp_path / "site" / "lz_noughts-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: lz-noughts\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[lzcore]\nnoughts = noughts_env\n")
    monkeypatch.syspath_prepend(info.parent)
    monkeypatch.setenv("LZ_PLUGINS", "lz_muzero,lz_ctree,lz_ptree,noughts")
    yield get_registry(reload=True)
    monkeypatch.undo()
    get_registry(reload=True)


@every_variant
@pytest.mark.parametrize(
    ("env_id", "preset"),
    [
        ("open_spiel/tic_tac_toe", "open_spiel__tic_tac_toe"),
        ("open_spiel/connect_four", "open_spiel__connect_four"),
        ("open_spiel/connect_four(rows=5,columns=5)", "two_players"),
        ("open_spiel/othello", "two_players"),
    ],
)
def test_a_game_gets_its_own_preset_or_that_of_two_players(installed, name, env_id, preset):
    spec = installed.spec("policies", name)
    found = resolve(spec, env_id, spaces_of=lambda *_: GAME.spaces)

    assert found.preset == preset
    policy = found.policy
    assert (policy.env_type, policy.discount_factor) == ("board_games", 1.0)
    assert policy.td_steps >= 9
    if name == "gumbel_muzero":
        assert not policy.gumbel_rescale_values
    else:
        assert (policy.q_transform, policy.q_bounds) == ("min_max", (-1.0, 1.0))


def test_a_preset_file_is_named_after_the_id_with_its_slash_doubled():
    assert preset_name("open_spiel/tic_tac_toe") == "open_spiel__tic_tac_toe"
    assert preset_name("package.module:Game-v0") == "Game-v0"


def test_the_number_of_players_cannot_be_overruled(installed):
    spec, shown = installed.spec("policies", "muzero"), GAME.spaces
    with pytest.raises(ConfigError, match=r'open_spiel/go makes it "board_games"; leave it out'):
        resolve(
            spec,
            "open_spiel/go",
            overrides=["env_type=not_board_games"],
            spaces_of=lambda *_: shown,
        )


@pytest.mark.parametrize("name", ["muzero", "stochastic_muzero"])
def test_a_run_of_a_game_collects_learns_and_evaluates(installed, tmp_path, name):
    out = tmp_path / "run"
    given = {"n_episode": 8, "collector_env_num": 8, "num_simulations": 4, "batch_size": 32}
    outcome = lzcore.train(
        name,
        env="open_spiel/tic_tac_toe",
        out=out,
        quiet=True,
        max_env_steps=300,
        eval_episodes=4,
        replay_ratio=0.05,
        **given,
    )

    assert Path(outcome.directory) == out
    assert 'preset = "open_spiel__tic_tac_toe"' in (out / "config.toml").read_text()
    assert '"value_loss"' in (out / "metrics.jsonl").read_text()
