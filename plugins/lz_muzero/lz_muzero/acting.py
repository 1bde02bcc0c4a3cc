"""How MuZero decides: observations in, a search in the learned model, actions out.

Shape letters: N environments that are ready, A actions, S stacked frames, O one stacked
observation, M observations evaluated together.
"""

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lz_muzero import decisions, shapes
from lz_muzero.config import MuZeroConfig
from lz_muzero.context import ContextDynamics, RememberingPolicy, RootMemory
from lz_muzero.decisions import Array, Asked, DecisionError
from lzcore.base import (
    Column,
    ConfigError,
    Decisions,
    Evaluation,
    Observed,
    Reuse,
    SearchResult,
    Segment,
    Spaces,
    Stream,
    Tree,
    TreeSpec,
    derive_seed,
    stream_key,
    uniform,
)
from lzcore.nn.schedules import collect_epsilon, collect_temperature
from lzcore.registry import get_registry
from lzcore.search import (
    Dynamics,
    Inference,
    LearnedDynamics,
    choose_tree,
    dirichlet_noise,
    draw,
    make_tree,
    masked_softmax,
    search,
    tempered,
)

# what one decision draws, each from its own seed
_TREE, _NOISE, _ACTION, COIN, PICK, SLOTS = range(6)


class Planner(NamedTuple):
    """A tree and the dynamics it plans in, kept from search to search so that memory is reused."""

    tree: Tree
    dynamics: Dynamics
    inference: Inference
    num_simulations: int
    context: RootMemory | None = None  # carries roots on from move to move; None: they are observed


class ActingPolicy(RememberingPolicy):
    """The deciding half of MuZero; the methods stand in the order the data meets them."""

    config_class: ClassVar[type[MuZeroConfig]] = MuZeroConfig
    models: ClassVar[Mapping[str, tuple[str, str]]] = {  # model_type -> class and its module
        "conv": ("MuZeroModel", "lz_muzero.model"),
        "mlp": ("MuZeroModelMLP", "lz_muzero.model_mlp"),
        "conv_context": ("MuZeroContextModel", "lz_muzero.model"),
        "mlp_context": ("MuZeroContextModelMLP", "lz_muzero.model_mlp"),
    }

    # --- what the environment decides ----------------------------------------------------------

    @classmethod
    def check_spaces(cls, spaces: Spaces) -> str | None:
        """Return None if the policy can act in these spaces, else one line that says why not."""
        return shapes.reason_against(spaces)

    @classmethod
    def settings_for(cls, spaces: Spaces, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the settings that the environment's spaces decide, as a nested dict."""
        model = shapes.model_settings(spaces, given.get("model", {}))
        found = {"env_type": shapes.env_type(spaces), "model": model}
        picture = len(spaces.frame_shape) == 3
        return found | ({"gray_scale": spaces.frame_shape[0] == 1} if picture else {})

    @classmethod
    def columns(cls, cfg: Any, spaces: Spaces) -> tuple[Column, ...]:
        """Return what is stored of each step.

        Raises:
            ConfigError: env_type is for another number of players; or transform2string is on, and
                the frames are none that JPEG holds, or not what gray_scale says.
        """
        shapes.check_players(spaces, cfg.env_type)
        if cfg.transform2string:
            shapes.check_jpeg(spaces, gray=cfg.gray_scale)
        return shapes.stored_columns(
            spaces,
            reanalyzed=cfg.reanalyze_ratio > 0 or cfg.reuse_search,
            jpeg=cfg.transform2string,
        )

    # --- construction --------------------------------------------------------------------------

    def default_model(self) -> tuple[str, list[str]]:
        """Return the model's class and its module: `model.name`, else the one of `model_type`.

        Raises:
            ValueError: model_type has no model.
        """
        model = self._cfg.model
        if model.name:
            path, _, name = get_registry().spec("models", model.name).model.partition(":")
            return name, [path]
        if model.model_type not in self.models:
            raise ConfigError(
                f"model.model_type is {model.model_type!r}; expected one of {sorted(self.models)}."
            )
        name, path = self.models[model.model_type]
        return name, [path]

    def _create_model(self, cfg: Any, model: nn.Module | None) -> nn.Module:
        if cfg.model.action_space_size is None:
            raise ConfigError(
                "model.action_space_size is not set; give the number of actions. "
                "`lz run` takes it from the environment."
            )
        with torch.random.fork_rng(devices=[]):  # initial weights follow from the seed alone
            torch.manual_seed(stream_key(cfg.seed, "policy model"))
            return super()._create_model(cfg, model)

    def _init_shared(self) -> None:
        super()._init_shared()
        cfg = self._cfg
        self._two_players = cfg.env_type == "board_games"
        if self._two_players and cfg.discount_factor != 1.0:
            warnings.warn(
                f"discount_factor is {cfg.discount_factor} in a game of two players: a win counts "
                "less the later it comes. Set it to 1, unless that is meant.",
                stacklevel=2,
            )
        self.frame_stack = cfg.model.frame_stack_num
        self._streams = {
            mode: Stream(stream_key(cfg.seed, f"policy {mode}"))
            for mode in ("collect", "eval", "random")
        }
        self._env_step = 0
        self._collect_temperature = 1.0
        self._collect_epsilon = 0.0

    def _init_collect(self) -> None:
        context = self._contexts.get("collect")
        self._collect_planner = self._planner(self._inference, self._cfg.num_simulations, context)

    def _init_eval(self) -> None:
        simulations = self._cfg.eval_num_simulations or self._cfg.num_simulations
        context = self._contexts.get("eval")
        self._eval_planner = self._planner(self._inference, simulations, context)

    def _planner(
        self, inference: Inference, num_simulations: int, context: RootMemory | None = None
    ) -> Planner:
        cfg = self._cfg
        tree = make_tree(cfg.tree, self._tree_spec(num_simulations), prefer_compiled=cfg.mcts_ctree)
        carried = context is not None
        dynamics = ContextDynamics(inference, tree) if carried else self._dynamics(inference, tree)
        return Planner(tree, dynamics, inference, num_simulations, context)

    def _tree_spec(self, num_simulations: int) -> TreeSpec:
        cfg = self._cfg
        return TreeSpec(
            num_simulations=num_simulations,
            num_actions=cfg.model.action_space_size,
            discount=cfg.discount_factor,
            max_depth=cfg.max_depth,
            pb_c_base=cfg.pb_c_base,
            pb_c_init=cfg.pb_c_init,
            q_transform=cfg.q_transform,
            q_bounds=cfg.q_bounds,
            range_floor=cfg.value_delta_max,
            fpu=cfg.fpu,
            tie_break=cfg.tie_break,
            root_noise_weight=cfg.root_noise_weight,
            num_threads=cfg.tree_threads,
        )

    def facts(self) -> dict[str, str]:
        """Return which tree searches, and a remark if a better one is missing."""
        cfg = self._cfg
        spec = self._tree_spec(cfg.num_simulations)
        name, remark = choose_tree(cfg.tree, spec, prefer_compiled=cfg.mcts_ctree)
        return {"tree": f"{name}. {remark}" if remark else name}

    def _dynamics(self, inference: Inference, tree: Tree) -> Dynamics:
        return LearnedDynamics(inference, tree)

    # --- observations of N ready environments -> a decision for each ------------------------------

    def _forward_collect(
        self,
        data: Tensor,
        action_mask: Sequence[Any] | Array | None = None,
        temperature: float = 1,
        to_play: int | Sequence[int] | Array = (-1,),
        epsilon: float = 0.25,
        ready_env_id: Iterable[int] | None = None,
    ) -> Decisions:
        """Search with root noise and draw actions from the visits.

        Args:
            data: (N, *O) stacked observations, float32 or uint8 images.
            action_mask: N masks of A numbers, non-zero = allowed; None: everything is.
            temperature: of the visit counts; 0 takes the most visited action.
            to_play: -1 with one player, else 1 or 2; for all, or one for each.
            epsilon: chance of a uniform legal action instead of the most visited one, if
                eps.eps_greedy_exploration_in_collect is on.
            ready_env_id: N ids in the order of the rows; None: 0..N-1.
        Returns:
            The documented dict for each environment, made when it is asked for.
        Raises:
            DecisionError: a ValueError that names the environment.
        """
        asked = self._asked(data, action_mask, to_play, ready_env_id)
        temperature = 1.0 if self._cfg.collect_with_pure_policy else float(temperature)
        self._collect_temperature = temperature
        exploring = self._cfg.eps.eps_greedy_exploration_in_collect
        self._collect_epsilon = float(epsilon) if exploring else 0.0
        if not len(asked.env_id):
            return Decisions(asked.env_id, {})
        seeds = self._streams["collect"].next(asked.env_id)
        if self._cfg.collect_with_pure_policy:
            found = self._without_search(self._collect_planner, asked, seeds)
        else:
            found = self._search(self._collect_planner, asked, seeds, noisy=True)
        action, drawn_from = self._choose(found, asked, seeds, temperature, epsilon)
        self._follow("collect", asked.env_id, action)
        return self._answer(asked, found, action, drawn_from)

    def _forward_eval(
        self,
        data: Tensor,
        action_mask: Sequence[Any] | Array | None,
        to_play: int | Sequence[int] | Array = -1,
        ready_env_id: Iterable[int] | None = None,
    ) -> Decisions:
        """Search without noise and take the most visited action, the lowest of equals.

        Arguments, result and errors are those of `_forward_collect`.
        """
        asked = self._asked(data, action_mask, to_play, ready_env_id)
        if not len(asked.env_id):
            return Decisions(asked.env_id, {})
        seeds = self._streams["eval"].next(asked.env_id)
        found = self._search(self._eval_planner, asked, seeds, noisy=False)
        best = self._actions(found, self._best(found, asked))
        self._follow("eval", asked.env_id, best)
        return self._answer(asked, found, best, tempered(found.visit_count, 1.0))

    def decide_at_random(self, seen: Observed) -> Decisions:
        """Decide uniformly over legal actions; the target is uniform, the root value unknown."""
        observation = torch.from_numpy(seen.observation)
        asked = self._asked(observation, seen.action_mask, seen.to_play, seen.env_id)
        seeds = self._streams["random"].next(asked.env_id)
        found = self._at_random(asked, seeds)
        uniformly = tempered(found.visit_count, 1.0)
        edge = draw(uniformly, uniform(seeds, _ACTION))
        self._reset_collect(asked.env_id.tolist())  # no network has seen where these actions lead
        return self._answer(asked, found, self._actions(found, edge), uniformly)

    def _asked(
        self, data: Tensor, action_mask: Any, to_play: Any, ready_env_id: Iterable[int] | None
    ) -> Asked:
        model = self._cfg.model
        asked = Asked.of(
            data,
            action_mask,
            to_play,
            ready_env_id,
            num_actions=None if model.continuous_action_space else model.action_space_size,
            observation_shape=shapes.stacked_shape(model),
        )
        decisions.check_players(asked, two=self._two_players)
        return asked

    def _search(
        self,
        planner: Planner,
        asked: Asked,
        seeds: Array,
        *,
        noisy: bool,
        reuse: Reuse | None = None,
    ) -> SearchResult:
        """Run one search for each row, from its own (N,) uint64 seed."""
        self._refresh()
        noise = self._root_noise(asked, derive_seed(seeds, _NOISE)) if noisy else None
        try:
            return search(
                planner.tree,
                planner.dynamics,
                self._roots(planner, asked),
                num_simulations=planner.num_simulations,
                legal_actions=asked.legal,
                to_play=asked.to_play,
                seeds=derive_seed(seeds, _TREE),
                noise=noise,
                reuse=reuse,
            )
        except ValueError as err:  # the tree names the root; name the environment
            decisions.check_finite(self._evaluated(planner, asked), asked)
            ids = asked.env_id[:64].tolist()
            raise DecisionError(f"{err} The roots are, in order, {asked.noun}s {ids}.") from err

    def _root_noise(self, asked: Asked, seeds: Array) -> Array | None:
        """Return (N, A) noise for the roots' priors, from (N,) uint64 seeds; None: none."""
        if not self._cfg.root_noise_weight:
            return None
        return dirichlet_noise(seeds, asked.legal, self._cfg.root_dirichlet_alpha)

    def _without_search(self, planner: Planner, asked: Asked, seeds: Array) -> SearchResult:
        """Take the network's own policy for a search's; a root value there is none."""
        self._refresh()
        seen = self._evaluated(planner, asked)
        decisions.check_finite(seen, asked)
        policy = masked_softmax(seen.logits, asked.legal)
        return decisions.unsearched(policy, seen.value, seen.logits)

    def _at_random(self, asked: Asked, seeds: Array) -> SearchResult:
        """Take the uniform policy over legal actions for a search's."""
        visits = asked.legal.astype(np.int32)
        return decisions.unsearched(visits, np.zeros(len(visits)), np.zeros(visits.shape))

    def _choose(
        self, found: SearchResult, asked: Asked, seeds: Array, temperature: float, epsilon: float
    ) -> tuple[Array, Array]:
        """Return (N,) actions to take and the (N, A) distribution of tempered visits."""
        probability = tempered(found.visit_count, temperature)
        if self._cfg.eps.eps_greedy_exploration_in_collect:
            best = self._actions(found, self._best(found, asked))
            return self._explore(best, asked, epsilon, seeds), probability
        edge = self._pick(found, asked, probability, uniform(seeds, _ACTION))
        return self._actions(found, edge), probability

    def _pick(self, found: SearchResult, asked: Asked, probability: Array, u: Array) -> Array:
        """Return the (N,) edges to collect with, drawn by (N,) uniforms."""
        return draw(probability, u)

    def _best(self, found: SearchResult, asked: Asked) -> Array:
        """Return the (N,) most visited edges, the lowest of equals."""
        return found.visit_count.argmax(axis=1)

    def _actions(self, found: SearchResult, edge: Array) -> Array:
        """Return the (N,) actions that the edges (N,) of the roots stand for."""
        return edge

    def _explore(self, best: Array, asked: Asked, epsilon: float, seeds: Array) -> Array:
        """Replace the best actions (N,) by uniform legal ones with probability epsilon."""
        coin, pick = uniform(seeds, COIN), uniform(seeds, PICK)
        return decisions.explore(best, asked.legal, epsilon, coin, pick)

    def _answer(
        self, asked: Asked, found: SearchResult, action: Array, drawn_from: Array
    ) -> Decisions:
        kept, told = self._stored(found), self._told(found)
        return decisions.answer(asked, found, kept, action, drawn_from, told)

    def _told(self, found: SearchResult) -> dict[str, Array]:
        """Return what an answer tells beyond MuZero's, by its documented name: (N, ...) each."""
        return {}

    def _stored(self, found: SearchResult) -> dict[str, Array]:
        """Return the columns that a search fills, when collecting as when reanalyzing."""
        return decisions.stored(found)

    def _roots(self, planner: Planner, asked: Asked) -> Any:
        """Return what the planner's dynamics takes for roots: observations, or evaluated roots."""
        seen = self._network_input(asked.observation)
        return seen if planner.context is None else planner.context.roots(asked.env_id, seen)

    def _evaluated(self, planner: Planner, asked: Asked) -> Evaluation:
        roots = self._roots(planner, asked)
        evaluation, _ = planner.inference.initial(roots) if planner.context is None else roots
        return evaluation

    def _network_input(self, observation: Tensor) -> Tensor:
        """Move (M, *O) to the device as float32; uint8 images become 0..1 there."""
        moved = observation.to(self._device)
        return moved.float() / 255.0 if moved.dtype == torch.uint8 else moved.float()

    # --- what a run asks --------------------------------------------------------------------------

    def begin_iteration(self, iteration: int) -> None:
        """Restart the random streams of all decisions for iteration `iteration`."""
        for stream in self._streams.values():
            stream.begin(iteration)

    def schedule(self, learn_step: int, env_step: int) -> dict[str, float]:
        """Return temperature and epsilon for collecting at this point of the run."""
        cfg = self._cfg
        self._env_step = env_step
        temperature = collect_temperature(
            learn_step,
            fixed=cfg.fixed_temperature_value,
            decays=cfg.manual_temperature_decay,
            threshold=cfg.threshold_training_steps_for_final_temperature,
        )
        eps = cfg.eps
        if not eps.eps_greedy_exploration_in_collect:
            return {"temperature": temperature, "epsilon": 0.0}
        epsilon = collect_epsilon(
            env_step, kind=eps.type, start=eps.start, end=eps.end, decay=eps.decay
        )
        return {"temperature": temperature, "epsilon": epsilon}

    def initial_priority(self, segment: Segment) -> Array | None:
        """Return |predicted - searched value| of new rows; None: the buffer's maximum.

        Rows that no search has valued leave the whole segment to the maximum.
        """
        if self._cfg.use_max_priority_for_new_data:
            return None
        rows = slice(segment.length)
        error = segment.columns["predicted_value"][rows] - segment.columns["root_value"][rows]
        return None if np.isnan(error).any() else np.abs(error.astype(np.float64)) + 1e-6

    def _process_transition(self, obs: Any, policy_output: Any, timestep: Any) -> None:
        """Nothing: the collector stores the columns."""

    def _get_train_sample(self, data: Any) -> Any:
        """Return data unchanged: `make_batch` makes the targets."""
        return data
