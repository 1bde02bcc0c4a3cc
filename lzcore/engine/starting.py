"""From what a person asks for to a plan that is carried out: `lz run` and `lzcore.train`."""

import sys
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import attrs

from lzcore.base.env import Spaces
from lzcore.base.errors import ConfigError, ContractError
from lzcore.base.structure import Mistake, nest, told
from lzcore.base.toml import show
from lzcore.engine.config import RunSettings
from lzcore.engine.failure import blaming
from lzcore.engine.plan import Outcome, Plan
from lzcore.engine.progress import Progress
from lzcore.engine.rundir import RunDirectory, default_directory
from lzcore.engine.settings import Resolved, resolve
from lzcore.registry import PolicySpec, Registry, get_registry, load, made

EnvMaker: TypeAlias = Callable[..., Any]  # returns a gymnasium.Env
BUDGETS = ("max_env_steps", "max_learn_steps", "max_minutes", "stop_value")  # may change on resume


def plan_run(
    policy: str,
    env: str | EnvMaker | None = None,
    *,
    out: Path | str | None = None,
    config_file: Path | str | None = None,
    overrides: Sequence[str] = (),
    named: Mapping[str, Any] | None = None,
    observers: Sequence[object] = (),
    command: Sequence[str] = (),
) -> Plan:
    """Settle a new run.

    Args:
        policy: a registered name.
        env: an id, "module:Id", or what returns an environment; None: the policy's own first one.
        out: the run directory; None: a new one under runs/.
        config_file: TOML of settings.
        overrides: "KEY=VALUE" each.
        named: settings by nested or dotted name, laid over all others.
        observers: watch the run, beside the plugins'.
        command: what was typed, for run.json.
    Raises:
        ConfigError: a setting is wrong.
        EnvError: the environment cannot be made, or the policy cannot act in it.
        UnknownNameError, PluginError: something is not installed, or broken.
    """
    registry = get_registry()
    make_env = None if env is None or isinstance(env, str) else env
    with blaming(registry):
        resolved = resolve(
            registry.spec("policies", policy),
            name_of(make_env) if make_env else env,  # type: ignore[arg-type]
            config_file=config_file,
            overrides=overrides,
            named=named,
            spaces_of=make_env and partial(_spaces_of, registry, make_env),
            registry=registry,
        )
    wanted = resolved.policy_name, resolved.env_id, resolved.run.seed
    return Plan(
        resolved=resolved,
        directory=Path(out) if out else default_directory(*wanted),
        registry=registry,
        observers=tuple(observers),
        make_env=make_env,
        command=tuple(command),
    )


def plan_resume(
    directory: Path | str,
    *,
    env: EnvMaker | None = None,
    budgets: Mapping[str, Any] | None = None,
    observers: Sequence[object] = (),
    command: Sequence[str] = (),
) -> Plan:
    """Settle how a run goes on.

    Args:
        directory: of the run, which decides everything but the following.
        env: what returns its environment, where an id alone does not find it.
        budgets: new values for some of `BUDGETS`.
        observers: as for `plan_run`.
        command: as for `plan_run`.
    Raises:
        CheckpointError: it is no run directory.
        ConfigError: a setting is wrong, or cannot be changed any more.
    """
    registry = get_registry()
    given = {name: value for name, value in (budgets or {}).items() if value is not None}
    fixed = sorted(given.keys() - set(BUDGETS))
    if fixed:
        raise ConfigError(
            f"{', '.join(fixed)} cannot change when a run is resumed; only "
            f"{', '.join(BUDGETS)} can. Start a new run for the rest."
        )
    found = RunDirectory.open(Path(directory))
    resolved = Resolved.from_toml(found.read_config(), registry, found.config)
    run = RunSettings.of({**resolved.run.to_dict(), **given})
    changed = _changed(resolved, run)
    return Plan(
        resolved=attrs.evolve(resolved, run=run, layers=(), overrides=changed),
        directory=Path(directory),
        registry=registry,
        resume=True,
        observers=tuple(observers),
        make_env=env,
        command=tuple(command),
    )


def _changed(resolved: Resolved, run: RunSettings) -> tuple[str, ...]:
    """Return what the user changed, a line each, with the budgets that are in force now."""
    lines = {line.partition(" = ")[0]: line for line in resolved.overrides}
    for name in BUDGETS:
        if run[name] != resolved.run[name]:
            lines[f"run.{name}"] = f"run.{name} = {show(run[name])}  [options]"
    return tuple(lines.values())


def carry_out(plan: Plan) -> Outcome:
    """Let the registered runner carry a plan out; errors as for `run_local`."""
    runner = plan.registry.resolve("runners", plan.runner)
    with blaming(plan.registry):
        outcome = made(runner, (), plan)
        if not isinstance(outcome, Outcome):
            was = type(outcome).__name__
            spec = plan.registry.spec("runners", plan.runner)
            raise ContractError(spec, f"returned {was}; expected a lzcore.engine.plan.Outcome.")
    return outcome


def train(
    policy: str | None = None,
    env: str | EnvMaker | None = None,
    *,
    out: Path | str | None = None,
    resume: Path | str | None = None,
    config: Path | str | None = None,
    quiet: bool = False,
    observers: Sequence[object] = (),
    **settings: Any,
) -> Outcome:
    """Train a policy, as `lz run` does.

    Args:
        policy: a registered name; not with `resume`.
        env: an id, "module:Id", or a callable that returns a gymnasium.Env; None: the policy's
            own first one.
        out: the run directory; None: a new one under runs/.
        resume: go on with the run in this directory instead of starting one.
        config: a TOML file of settings.
        quiet: print nothing.
        observers: objects with `lz_*` hooks that watch this run.
        settings: by name (`num_simulations=16`), dotted (`**{"model.latent_state_dim": 64}`) or
            nested; those of the `run` table also without its name (`max_env_steps=1000`).
    Returns:
        How the run ended, and in which directory it lies.
    Raises:
        LzError: one line that says what is wrong and how to mend it.

    Example:
        outcome = lzcore.train("NAME", env="CartPole-v1", max_env_steps=300)
    """
    watching = (*(() if quiet else (Progress(),)), *observers)
    if resume is not None:
        if policy or out or config or isinstance(env, str):
            raise ConfigError("A resumed run keeps its policy, environment, settings and place.")
        plan = plan_resume(resume, env=env, budgets=settings, observers=watching, command=sys.argv)
        return carry_out(plan)
    if policy is None:
        raise ConfigError('Say which policy to train: lzcore.train("NAME", ...).')
    spec: PolicySpec = get_registry().spec("policies", policy)
    plan = plan_run(
        policy,
        env,
        out=out,
        config_file=config,
        named=_with_run_table(spec, settings),
        observers=watching,
        command=sys.argv,
    )
    return carry_out(plan)


def _with_run_table(spec: PolicySpec, given: Mapping[str, Any]) -> dict[str, Any]:
    """Move settings that only the run table knows into it; refuse what nearly is one of them."""
    policy = load(spec.config)
    of_policy = {*attrs.fields_dict(policy), *policy.aliases, "env", "run"}
    of_run = attrs.fields_dict(RunSettings).keys() - of_policy
    known = sorted(of_policy | of_run)
    mistakes = [
        Mistake(name, f"{name} = {show(value)}: there is no such setting. Did you mean {meant!r}?")
        for name, value in given.items()
        for meant in get_close_matches(name, known, n=1, cutoff=0.75)
        if meant in of_run and name != meant and "." not in name
    ]
    if mistakes:
        raise told(mistakes)
    return nest({f"run.{k}" if k in of_run else k: value for k, value in given.items()})


def name_of(make_env: EnvMaker) -> str:
    """Return what stands for a callable in files: "module:name", which finds it again if it can."""
    module = getattr(make_env, "__module__", None) or type(make_env).__module__
    name = getattr(make_env, "__qualname__", type(make_env).__qualname__)
    return f"{module}:{name}"


def _spaces_of(registry: Registry, make_env: EnvMaker, env_id: str, settings: Any) -> Spaces:
    kind = registry.resolve("envs", registry.env_for(env_id).name)
    env = made(kind, ("spaces", "close"), make_env, 1, settings)
    try:
        spaces: Spaces = env.spaces
        return spaces
    finally:
        env.close()
