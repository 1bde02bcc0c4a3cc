"""How AlphaZero decides: positions of games in, a search by their rules, actions out.

Shape letters: N environments that are ready, A actions, E edges of a root (A, or the sampled ones).
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import attrs
import numpy as np
import torch
from torch import nn

from lz_alphazero import shapes
from lz_alphazero.asked import Asked, require_rules, simulator_of
from lz_alphazero.config import AlphaZeroConfig
from lz_alphazero.fast import Network, compiled, in_bfloat16
from lz_alphazero.planning import Evaluator, Planner
from lzcore.base import (
    ConfigError,
    DecisionError,
    Decisions,
    Observed,
    Policy,
    SearchResult,
    Simulator,
    Spaces,
    State,
    Stream,
    TreeSpec,
    derive_seed,
    stream_key,
    uniform,
)
from lzcore.base.tree import Array
from lzcore.nn.schedules import collect_temperature
from lzcore.registry import get_registry
from lzcore.search import (
    SimulatedDynamics,
    choose_tree,
    dirichlet_noise,
    draw,
    entropy_bits,
    make_tree,
    masked_softmax,
    tempered,
)

# what one decision draws, each from its own seed
_TREE, _NOISE, _ACTION = range(3)


class ActingPolicy(Policy):
    """The deciding half of AlphaZero; the methods stand in the order the data meets them."""

    plans_with_rules = True
    config_class: ClassVar[type[AlphaZeroConfig]] = AlphaZeroConfig
    models: ClassVar[Mapping[str, str]] = {"conv": "AlphaZeroModel", "mlp": "AlphaZeroModelMLP"}

    # --- what the environment decides ----------------------------------------------------------

    @classmethod
    def check_spaces(cls, spaces: Spaces) -> str | None:
        """Return None if the policy can act in these spaces, else one line that says why not."""
        return shapes.reason_against(spaces)

    @classmethod
    def settings_for(cls, spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that the environment's spaces decide, as a nested dict."""
        return {"model": shapes.model_settings(spaces, given.get("model", {}))}

    # --- construction --------------------------------------------------------------------------

    def default_model(self) -> tuple[str, list[str]]:
        """Return the model's class and its module: `model.name`, else the one of `model_type`."""
        model = self._cfg.model
        if model.name:
            path, _, name = get_registry().spec("models", model.name).model.partition(":")
            return name, [path]
        return self.models[model.model_type], ["lz_alphazero.model"]

    def _create_model(self, cfg: Any, model: nn.Module | None) -> nn.Module:
        if cfg.num_actions is None:
            raise ConfigError(
                "model.action_space_size is not set; give the number of actions. "
                "`lz run` takes it from the game."
            )
        sized = attrs.evolve(cfg.model, action_space_size=cfg.num_actions)
        with torch.random.fork_rng(devices=[]):  # initial weights follow from the seed alone
            torch.manual_seed(stream_key(cfg.seed, "policy model"))
            return super()._create_model(attrs.evolve(cfg, model=sized), model)

    def _init_shared(self) -> None:
        cfg = self._cfg
        if cfg.tensor_float_32:
            torch.set_float32_matmul_precision("high")
        shape = cfg.model.observation_shape
        self._observation_shape = (shape,) if isinstance(shape, int) else tuple(shape)
        self._num_actions: int = cfg.num_actions
        self._network, self._compiling = self._made_fast()
        self._evaluate = Evaluator(
            self._model, self._network, self._device, record=cfg.record_network
        )
        self._simulator: Simulator | None = None
        self._planners: dict[str, Planner] = {}
        self._streams = {
            mode: Stream(stream_key(cfg.seed, f"policy {mode}")) for mode in ("collect", "eval")
        }
        self._env_step = 0
        self._collect_temperature = 1.0
        if cfg.resign_below is not None:
            self.resign_played_on = cfg.resign_played_on

    def _made_fast(self) -> tuple[Network, str]:
        network: Network = self._model
        if self._cfg.precision == "bfloat16":
            network = in_bfloat16(network, self._device)
        if not self._cfg.torch_compile:
            return network, ""
        example = torch.zeros(2, *self._observation_shape, device=self._device)
        return compiled(network, self._model, example)

    def _init_collect(self) -> None:
        """Nothing: a planner is made when the game is known."""

    def _init_eval(self) -> None:
        """Nothing: a planner is made when the game is known."""

    def facts(self) -> dict[str, str]:
        """Return which tree searches, and a remark if a better one is missing."""
        spec = self._tree_spec(self._cfg.mcts.num_simulations)
        name, remark = choose_tree(self._cfg.tree, spec, prefer_compiled=self._cfg.mcts_ctree)
        told = {"tree": f"{name}. {remark}" if remark else name}
        return told | ({"torch_compile": self._compiling} if self._compiling else {})

    # --- positions to decisions -----------------------------------------------------------------

    def decide(self, mode: str, seen: Observed, **schedule: float) -> Decisions:
        """Decide in the positions that N environments show, in one search.

        Raises:
            EnvError: the environment does not tell its rules.
        """
        self._simulator = require_rules(seen.states, seen.simulator)
        ready = zip(seen.env_id.tolist(), seen.states, strict=True)
        obs = {env_id: {"state": state} for env_id, state in ready}
        if mode == "collect":
            return self.collect_mode.forward(obs, **schedule)
        return self.eval_mode.forward(obs) if mode == "eval" else self.decide_at_random(seen)

    def _forward_collect(
        self, obs: Mapping[int, Mapping[str, Any]], temperature: float = 1
    ) -> Decisions:
        """Search with root noise and draw actions from the visits.

        Args:
            obs: by environment id; each with a `state` of the game, or a `board` and a
                `current_player_index` where the simulator reads boards.
            temperature: of the visit counts; 0 takes the most visited action.
        Returns:
            The documented dict for each environment, made when it is asked for.
        Raises:
            DecisionError: a ValueError that names the environment.
        """
        asked = Asked.of(obs, self._get_simulation_env()) if obs else None
        self._collect_temperature = float(temperature)
        if asked is None:
            return Decisions(np.empty(0, np.int64), {})
        seeds = self._streams["collect"].next(asked.env_id)
        noise = self._root_noise(asked, derive_seed(seeds, _NOISE))
        found = self._search("collect", asked, seeds, noise)
        probability = tempered(found.visit_count, temperature)
        edge = self._pick(found, probability, uniform(seeds, _ACTION))
        return self._answer(asked, found, edge, probability, **self._resigns(found))

    def _forward_eval(self, obs: Mapping[int, Mapping[str, Any]]) -> Decisions:
        """Search without noise and take the most visited action, the lowest of equals.

        Argument, result and errors are those of `_forward_collect`.
        """
        if not obs:
            return Decisions(np.empty(0, np.int64), {})
        asked = Asked.of(obs, self._get_simulation_env())
        found = self._search("eval", asked, self._streams["eval"].next(asked.env_id), None)
        return self._answer(asked, found, self._best(found), tempered(found.visit_count, 1.0))

    def _search(self, mode: str, asked: Asked, seeds: Array, noise: Array | None) -> SearchResult:
        """Run one search for each row, from its own (N,) uint64 seed."""
        planner = self._planner(mode)
        try:
            return planner.search(asked.states, derive_seed(seeds, _TREE), noise)
        except ValueError as err:  # the tree names the root; name the environment
            ids = asked.env_id[:64].tolist()
            raise DecisionError(f"{err} The roots are, in order, environments {ids}.") from err

    def _planner(self, mode: str) -> Planner:
        """Return what searches in the game at hand, made anew if it is another game's."""
        simulator, cfg = self._get_simulation_env(), self._cfg
        known = self._planners.get(mode)
        if known is not None and known.simulator is simulator:
            return known
        self._check_game(simulator)
        count = cfg.mcts.num_simulations
        if mode == "eval":
            count = cfg.mcts.eval_num_simulations or count
        spec = self._tree_spec(count, simulator)
        tree = make_tree(cfg.tree, spec, prefer_compiled=cfg.mcts_ctree)
        dynamics = SimulatedDynamics(simulator, self._evaluate, spec, cfg.mcts.max_moves)
        self._planners[mode] = Planner(tree, dynamics, simulator, count)
        return self._planners[mode]

    def _check_game(self, simulator: Simulator) -> None:
        """Refuse a game that the network is not made for."""
        spaces = simulator.spaces
        for name, made_for, played in (
            ("action_space_size", self._num_actions, spaces.action.size),
            ("observation_shape", self._observation_shape, tuple(spaces.frame_shape)),
        ):
            if made_for != played:
                raise ConfigError(
                    f"model.{name} is {made_for}, but that of the game is {played}; make the two "
                    "equal."
                )

    def _tree_spec(self, num_simulations: int, simulator: Simulator | None = None) -> TreeSpec:
        """Return what is searched; None: in a game of two players without chance."""
        mcts = self._cfg.mcts
        # where somebody wins and somebody loses, the ends of the scale are known
        alone = simulator is not None and simulator.spaces.players == 1
        fitting = "parent_and_siblings" if alone else "min_max"
        return TreeSpec(
            num_simulations=num_simulations,
            num_actions=self._num_actions,
            num_chance_outcomes=0 if simulator is None else simulator.num_outcomes,
            chance_select=mcts.chance_select,
            max_depth=mcts.max_depth,
            pb_c_base=mcts.pb_c_base,
            pb_c_init=mcts.pb_c_init,
            q_transform=fitting if mcts.q_transform == "auto" else mcts.q_transform,
            q_bounds=mcts.q_bounds,
            range_floor=mcts.value_delta_max,
            fpu=mcts.fpu,
            tie_break=mcts.tie_break,
            root_noise_weight=mcts.root_noise_weight,
            num_threads=self._cfg.tree_threads,
        )

    def _root_noise(self, asked: Asked, seeds: Array) -> Array | None:
        """Return (N, E) noise for the roots, from (N,) uint64 seeds; None: none."""
        mcts = self._cfg.mcts
        if not mcts.root_noise_weight:
            return None
        return dirichlet_noise(seeds, asked.legal, mcts.root_dirichlet_alpha)

    def _pick(self, found: SearchResult, probability: Array, u: Array) -> Array:
        """Return the (N,) edges to collect with, drawn by (N,) uniforms."""
        return draw(probability, u)

    def _best(self, found: SearchResult) -> Array:
        """Return the (N,) edges to evaluate with: the most visited, the lowest of equals."""
        return found.visit_count.argmax(axis=1)

    def _resigns(self, found: SearchResult) -> dict[str, Array]:
        """Return where (N,) who moves gives the game up, as a column; nothing if nobody may.

        Neither the root nor its best edge is worth more, as in AlphaGo Zero. The root alone is the
        mean of all that was tried, by Gumbel's rule of bad actions too.
        """
        if self._cfg.resign_below is None:
            return {}
        best = found.q_value[np.arange(len(found.value)), self._best(found)]
        return {"resigns": np.maximum(found.value, best) < self._cfg.resign_below}

    def _actions(self, found: SearchResult, edge: Array) -> Array:
        """Return the (N,) actions that the edges (N,) of the roots stand for."""
        return edge

    def _answer(
        self, asked: Asked, found: SearchResult, edge: Array, probability: Array, **more: Array
    ) -> Decisions:
        told = {"action": self._actions(found, edge), "probs": probability.astype(np.float32)}
        target = self._cfg.target_temperature
        learned = probability if target is None else tempered(found.visit_count, target)
        columns = {
            "action": told["action"],
            "probs": learned.astype(np.float32),
            **self._stored(found),
            "visit_count_distribution_entropy": entropy_bits(probability).astype(np.float32),
            "searched_value": found.value.astype(np.float32),
            **more,
        }
        return Decisions(
            asked.env_id, columns, lambda row: self._describe(told, columns, row), search=found
        )

    def _stored(self, found: SearchResult) -> dict[str, Array]:
        """Return the columns that a search fills beyond AlphaZero's."""
        return {}

    def _describe(
        self, told: Mapping[str, Array], columns: Mapping[str, Array], row: int
    ) -> dict[str, Any]:
        """Return the documented dict of one environment."""
        return {"action": int(told["action"][row]), "probs": told["probs"][row]}

    def _get_simulation_env(self) -> Simulator:
        """Return the rules of the game: of the environment, or of `simulation_env_id`."""
        if self._simulator is None:
            self._simulator = simulator_of(self._cfg.simulation_env_id)
        return self._simulator

    def _policy_value_fn(self, env: State) -> tuple[dict[int, float], float]:
        """Return what the network alone thinks of a position.

        Args:
            env: a position of the game that `_get_simulation_env` returns.
        Returns:
            The probability of each legal action, which sum to 1, and the value for who moves; of a
            finished game nothing, and its outcome.
        """
        seen = self._get_simulation_env().look([env])
        if seen.terminal[0]:
            return {}, float(seen.value[0])
        logits, value = self._evaluate(seen.observation, seen.legal_actions)
        policy = masked_softmax(logits, seen.legal_actions)[0]
        legal = np.flatnonzero(seen.legal_actions[0]).tolist()
        return {action: float(policy[action]) for action in legal}, float(value[0])

    # --- what a run asks --------------------------------------------------------------------------

    def begin_iteration(self, iteration: int) -> None:
        """Restart the random streams of all decisions for iteration `iteration`."""
        for stream in self._streams.values():
            stream.begin(iteration)

    def schedule(self, learn_step: int, env_step: int) -> dict[str, float]:
        """Return the temperature for collecting at this point of the run."""
        cfg = self._cfg
        self._env_step = env_step
        temperature = collect_temperature(
            learn_step,
            fixed=cfg.fixed_temperature_value,
            decays=cfg.manual_temperature_decay,
            threshold=cfg.threshold_training_steps_for_final_temperature,
        )
        return {"temperature": temperature}
