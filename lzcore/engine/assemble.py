"""From a plan to the parts of a run: environments, policy, buffer, and what drives them."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import attrs
import torch

from lzcore.base.config import LoopSettings
from lzcore.base.env import Env
from lzcore.base.errors import EnvError
from lzcore.base.policy import Policy
from lzcore.base.replay import Buffer, Column
from lzcore.base.seeding import stream_key
from lzcore.engine.collector import Collector
from lzcore.engine.evaluator import Evaluator
from lzcore.engine.learner import Learner
from lzcore.engine.plan import Plan
from lzcore.engine.rundir import RunDirectory
from lzcore.engine.segments import SegmentCollector
from lzcore.engine.settings import Resolved
from lzcore.envs.check import unlike_from
from lzcore.registry import Registry


@attrs.frozen(kw_only=True, eq=False)
class Parts:
    """What a run consists of."""

    policy: Policy
    loop: LoopSettings
    env: Env
    buffer: Buffer
    collector: Collector
    evaluator: Evaluator
    learner: Learner

    def close(self) -> None:
        """Let go of the environments."""
        self.env.close()
        self.evaluator.close()


def assemble(plan: Plan) -> Parts:
    """Build everything that a plan names; a function of the plan alone.

    Raises:
        EnvError: the environment cannot be made, or the policy cannot act in it.
        PluginError: a class cannot be imported.
    """
    policy = make_policy(plan.resolved, plan.registry)
    env = make_env(plan, policy.loop_settings().collector_env_num)
    try:
        return _joined(plan, policy, env)
    except BaseException:
        env.close()
        raise


def _joined(plan: Plan, policy: Policy, env: Env) -> Parts:
    resolved, seed = plan.resolved, plan.resolved.run.seed
    loop = policy.loop_settings()
    reason = policy.check_spaces(env.spaces)
    if reason is not None:
        raise EnvError(f"{resolved.policy_name} cannot act in {resolved.env_id}: {reason}")
    columns = policy.columns(policy.cfg, env.spaces)
    spec = plan.registry.spec("policies", resolved.policy_name)
    buffer_class = plan.registry.resolve("buffers", spec.buffer)
    buffer = buffer_class(columns, policy.replay_settings(), stream_key(seed, "replay"))
    diverged = RunDirectory(plan.directory).diverged
    return Parts(
        policy=policy,
        loop=loop,
        env=env,
        buffer=buffer,
        collector=_collector(plan, policy, columns, env),
        evaluator=make_evaluator(plan, policy, seed),
        learner=Learner(policy, buffer, loop.batch_size, diverged),
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
    """
    seed = resolved.run.seed
    policy_class = registry.resolve("policies", resolved.policy_name)
    with drawing_from(stream_key(seed, "model")):
        policy: Policy = policy_class(attrs.evolve(resolved.policy, seed=seed), **given)
    return policy


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
    env: Env = env_class(plan.make_env or resolved.env_id, num_envs, settings)
    return env


def make_evaluator(plan: Plan, policy: Policy, seed: int, purpose: str = "eval") -> Evaluator:
    """Make an evaluator for a policy in the plan's environment.

    Args:
        plan: names the environment.
        policy: that plays.
        seed: together with `purpose`, decides the reset seeds of every episode.
        purpose: "eval" while a run goes on; another name for other episodes.
    """
    num_envs = policy.loop_settings().evaluator_env_num
    make = partial(make_env, plan, num_envs, evaluation=True)
    return Evaluator(make, policy, stream_key(seed, purpose))


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
