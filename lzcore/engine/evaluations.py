"""When a run is evaluated, and what is remembered of it: the best weights, the latest return.

With `eval_offline` the weights of each evaluation point are put aside and measured when the run
has ended.
"""

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from lzcore.base.policy import Policy
from lzcore.engine.checkpoint import BEST, CheckpointStore, load_file
from lzcore.engine.evaluator import Evaluates, EvaluationResult
from lzcore.engine.plan import Run
from lzcore.registry import Relay

ASIDE = "aside_"  # begins the name of a file with weights that are measured later


class Evaluations:
    """The evaluations of one run."""

    def __init__(
        self,
        run: Run,
        policy: Policy,
        evaluator: Evaluates,
        store: CheckpointStore,
        hook: Relay,
        *,
        every: int,
        offline: Callable[[], tuple[Policy, Evaluates]] | None = None,
    ) -> None:
        """Prepare them.

        Args:
            run: whose counters are kept up to date.
            policy: that learns.
            evaluator: plays with it.
            store: where the best weights are kept.
            hook: told of each evaluation.
            every: learn steps between two of them.
            offline: makes a policy of its own to measure weights with that were put aside, and
                its evaluator; None: weights are measured at once.
        """
        self._run = run
        self._policy = policy
        self._evaluator = evaluator
        self._store = store
        self._hook = hook
        self._every = every
        self._offline = offline

    def due(self) -> bool:
        """Whether enough learn steps were made since the last one."""
        counters = self._run.counters
        if self._run.settings.eval_at_start and not counters.evaluation + len(counters.pending):
            return True
        return counters.learn_step - counters.evaluated_at >= self._every

    def missing(self) -> bool:
        """Whether the present weights have not been evaluated."""
        counters = self._run.counters
        return counters.learn_step > counters.evaluated_at or not (
            counters.evaluation or counters.pending
        )

    def evaluate(self) -> None:
        """Measure the present weights, or put them aside."""
        counters = self._run.counters
        counters.evaluated_at = counters.learn_step
        at = {"env_step": counters.env_step, "learn_step": counters.learn_step}
        content = {"kind": "weights", "policy": {"eval": self._policy.eval_mode.state_dict()}}
        if self._offline is None:
            self._measure(self._evaluator, at, content)
        else:
            name = f"{ASIDE}{counters.learn_step}.pt"
            self._store.save_as(name, content)
            counters.pending.append({"file": name, "at": at})

    def measure_pending(self) -> list[str]:
        """Measure what was put aside, oldest first; return the files, no longer needed."""
        counters = self._run.counters
        if self._offline is None or not counters.pending:
            return []
        policy, evaluator = self._offline()
        for aside in counters.pending:
            content = load_file(self._store.path(aside["file"]))
            policy.eval_mode.load_state_dict(content["policy"]["eval"])
            self._measure(evaluator, aside["at"], content)
        evaluator.close()
        measured = [aside["file"] for aside in counters.pending]
        counters.pending = []
        return measured

    def forget_others(self) -> None:
        """Delete weights put aside that no evaluation waits for: a killed run left them."""
        waiting = {aside["file"] for aside in self._run.counters.pending}
        found = {path.name for path in self._store.path(".").glob(f"{ASIDE}*.pt")}
        self._store.forget(found - waiting)

    def solved(self) -> bool:
        """Whether the last evaluation reached the stop value."""
        goal, reached = self._run.settings.stop_value, self._run.counters.last_return
        return goal is not None and reached is not None and reached >= goal

    def _measure(
        self, evaluator: Evaluates, at: Mapping[str, int], content: Mapping[str, Any]
    ) -> None:
        run, counters = self._run, self._run.counters
        counters.evaluation += 1
        self._hook.lz_working(run=run, doing="evaluating", done=0, total=None)
        result = evaluator.evaluate(counters.evaluation, run.settings.eval_episodes, run.clock)
        result = attrs.evolve(result, at=at)
        counters.last_return = result.mean
        if counters.best_return is None or result.mean > counters.best_return:
            self._remember_best(result, content)
        self._hook.lz_evaluated(run=run, result=result)

    def _remember_best(self, result: EvaluationResult, content: Mapping[str, Any]) -> None:
        counters = self._run.counters
        counters.best_return = result.mean
        counters.best_env_step = result.at["env_step"]
        counters.best_learn_step = result.at["learn_step"]
        kept = {name: content[name] for name in ("kind", "policy")}
        self._store.save_as(BEST, {**kept, "evaluation": result.to_dict()})
