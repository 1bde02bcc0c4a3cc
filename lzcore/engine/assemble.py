"""From a plan to the parts of a run: environments, policy, buffer, and what drives them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import attrs
import torch

from lzcore.base.config import LoopSettings
from lzcore.base.env import ENV_PARTS, Env
from lzcore.base.errors import ConfigError, ContractError, EnvError
from lzcore.base.policy import Policy
from lzcore.base.ranks import ALONE, Ranks
from lzcore.base.replay import BUFFER_PARTS, Buffer, Column
from lzcore.base.seeding import stream_key
from lzcore.engine.collector import Collector
from lzcore.engine.evaluator import Evaluates, Evaluator
from lzcore.engine.learner import Learner
from lzcore.engine.match import MatchEvaluator
from lzcore.engine.plan import Plan
from lzcore.engine.ranks import share_of
from lzcore.engine.rundir import RunDirectory
from lzcore.engine.segments import SegmentCollector
from lzcore.engine.settings import Resolved
from lzcore.envs.check import unlike_from
from lzcore.envs.games import GameEnv
from lzcore.envs.opponents import make_opponent
from lzcore.registry import PolicySpec, Registry, made


@attrs.frozen(kw_only=True, eq=False)
class Parts:
    """What a run consists of."""

    policy: Policy
    loop: LoopSettings
    env: Env
    buffer: Buffer
    collector: Collector
    evaluator: Evaluates
    learner: Learner
    ranks: Ranks

    def close(self) -> None:
        """Let go of the environments."""
        self.env.close()
        self.evaluator.close()


def assemble(plan: Plan, ranks: Ranks = ALONE) -> Parts:
    """Build everything that a plan names; a function of the plan and the ranks alone.

    Raises:
        ConfigError: the ranks cannot share a batch.
        EnvError: the environment cannot be made, or the policy cannot act in it.
        PluginError: a class cannot be imported.
    """
    policy = make_policy(plan.resolved, plan.registry)
    env = make_env(plan, policy.loop_settings().collector_env_num)
    try:
        return _joined(plan, policy, env, ranks)
    except BaseException:
        env.close()
        raise


def _joined(plan: Plan, policy: Policy, env: Env, ranks: Ranks) -> Parts:
    resolved, seed = plan.resolved, plan.resolved.run.seed
    loop = policy.loop_settings()
    reason = policy.check_spaces(env.spaces)
    if reason is not None:
        raise EnvError(f"{resolved.policy_name} cannot act in {resolved.env_id}: {reason}")
    if policy.plans_with_rules and getattr(env, "simulator", None) is None:
        raise EnvError(
            f"{resolved.policy_name} plans with the rules of a game, and {resolved.env_id} does "
            "not tell its rules. Choose a game whose kind does, or a policy that learns a model; "
            "`lz list` shows what is installed."
        )
    if policy.resign_played_on is not None:
        _require_two(env, resolved.env_id)
    columns = policy.columns(policy.cfg, env.spaces)
    spec = plan.registry.spec("policies", resolved.policy_name)
    buffer_class = plan.registry.resolve("buffers", resolved.run.buffer or spec.buffer)
    with_others = {"ranks": ranks} if ranks.count > 1 else {}
    key = stream_key(seed, "replay")
    parts = (*BUFFER_PARTS, *(["revisit"] if loop.buffer_reanalyze_freq else []))
    buffer = made(buffer_class, parts, columns, policy.replay_settings(), key, **with_others)
    diverged = RunDirectory(plan.directory).of_rank(ranks).diverged
    return Parts(
        policy=policy,
        loop=loop,
        env=env,
        buffer=buffer,
        collector=_collector(plan, policy, columns, env),
        evaluator=make_evaluator(plan, policy, seed, like=env),
        learner=Learner(policy, buffer, share_of(loop.batch_size, ranks), diverged, ranks),
        ranks=ranks,
    )


def _collector(plan: Plan, policy: Policy, columns: tuple[Column, ...], env: Env) -> Collector:
    loop, seed = policy.loop_settings(), plan.resolved.run.seed
    collector_class: type[Collector] = Collector
    if loop.num_segments is not None:
        _require_repeatable(env, plan.resolved.env_id, seed)
        collector_class = SegmentCollector
    return collector_class(
        env,
        policy,
        columns,
        seed,
        ignore_done=loop.ignore_done,
        segment_length=loop.game_segment_length,
    )


def _require_two(env: Env, name: str) -> None:
    """Refuse an environment in which nobody can resign."""
    if isinstance(env, GameEnv) and env.spaces.players == 2:
        return
    bot = isinstance(env, GameEnv) and env.simulator.spaces.players == 2
    why = "has a bot (env.bot) on the other side" if bot else "is no game for two with known rules"
    raise ConfigError(
        f"The policy resigns games, but nobody can in {name}: it {why}. Expected a game for two in "
        "self-play, or a policy that is set not to resign."
    )


def _require_repeatable(env: Env, name: str, seed: int) -> None:
    """Refuse an environment whose running episodes no checkpoint could hold."""
    step = unlike_from(env, seed)
    if step is not None:
        raise EnvError(
            f"{name} does not repeat itself: the same seed and actions differ from step {step} "
            "on, so that no checkpoint can hold its running episodes. Leave num_segments at "
            f'"none" to collect whole ones, or mend it: `lz check-env {name}` says more.'
        )


def make_policy(resolved: Resolved, registry: Registry, **given: Any) -> Policy:
    """Construct the policy; its initial weights follow from the run's seed.

    Args:
        resolved: names it, with its settings.
        registry: finds its class.
        given: further arguments of the constructor.
    Raises:
        ContractError: it is not derived from `Policy`, or leaves out what a policy has to define.
    """
    seed = resolved.run.seed
    policy_class = registry.resolve("policies", resolved.policy_name)
    _require_policy(registry.spec("policies", resolved.policy_name), policy_class)
    with drawing_from(stream_key(seed, "model")):
        policy: Policy = made(policy_class, (), attrs.evolve(resolved.policy, seed=seed), **given)
    return policy


def _require_policy(spec: PolicySpec, policy_class: Any) -> None:
    if not (isinstance(policy_class, type) and issubclass(policy_class, Policy)):
        raise ContractError(spec, "is no lzcore.base.Policy; derive its class from that.")
    lacking = sorted(policy_class.__abstractmethods__)
    if lacking:
        raise ContractError(spec, f"lacks {', '.join(lacking)}; define them in its class.")


def make_env(plan: Plan, num_envs: int, *, evaluation: bool = False) -> Env:
    """Make a batch of the plan's environment.

    Args:
        plan: names it, with its settings.
        num_envs: how many.
        evaluation: leave out what only learning may see, where the settings know of it.
    """
    resolved = plan.resolved
    settings: Any = resolved.env
    if evaluation and hasattr(settings, "for_evaluation"):
        settings = settings.for_evaluation()
    env_class = plan.registry.resolve("envs", resolved.env_kind.name)
    env: Env = made(env_class, ENV_PARTS, plan.make_env or resolved.env_id, num_envs, settings)
    return env


def make_evaluator(
    plan: Plan, policy: Policy, seed: int, purpose: str = "eval", like: Env | None = None
) -> Evaluates:
    """Make an evaluator for a policy in the plan's environment.

    Args:
        plan: names the environment, and the opponent in games for two.
        policy: that plays.
        seed: together with `purpose`, decides the reset seeds of every episode.
        purpose: "eval" while a run goes on; another name for other episodes.
        like: an environment of the plan, to see what it is; None: one is made for that.
    Raises:
        ConfigError, UnknownNameError, PluginError: there is no such opponent, or it cannot play.
    """
    key = stream_key(seed, purpose)
    env = like or make_env(plan, 1, evaluation=True)
    try:
        if is_match(env):
            return _match_evaluator(plan, policy, key, env)
    finally:
        if like is None:
            env.close()
    num_envs = policy.loop_settings().evaluator_env_num
    return Evaluator(partial(make_env, plan, num_envs, evaluation=True), policy, key)


def is_match(env: Env) -> bool:
    """Whether evaluations are matches: a game for two whose rules are known."""
    return env.spaces.players == 2 and getattr(env, "simulator", None) is not None


def _match_evaluator(plan: Plan, policy: Policy, key: int, env: Any) -> MatchEvaluator:
    run = plan.resolved.run
    return MatchEvaluator(
        env.simulator,
        policy,
        key,
        (run.opponent, make_opponent(run.opponent, env.simulator, plan.registry)),
        run.opening_plies,
        all_lines=run.openings == "all",
        frame_dtype=env.spaces.frame_dtype,
        max_moves=plan.resolved.env.get("max_moves"),
    )


@contextmanager
def drawing_from(key: int) -> Iterator[None]:
    """Seed torch's global generators inside; afterwards the CPU's draws on as before.

    Those of other devices stay seeded from `key`.
    """
    with torch.random.fork_rng(devices=[]):
        seed_torch(key)
        yield


def seed_torch(key: int) -> None:
    """Seed torch's global generators from a 64-bit key."""
    torch.manual_seed(key >> 1)  # torch takes 63 bits
