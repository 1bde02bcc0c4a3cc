"""The local runner: the training loop in this process.

An iteration collects, learns, perhaps evaluates, and is followed by a checkpoint. A checkpoint is
the whole run, and an iteration a function of it: random numbers derive from the run's seed and the
iteration, so that on a CPU a run that was killed and resumed ends with the same bytes as one that
was not.
"""

import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import torch

from lzcore.base.errors import DivergedError, LzError
from lzcore.base.policy import Policy
from lzcore.base.seeding import derive_seed, stream_key
from lzcore.engine.assemble import Parts, assemble, make_evaluator, make_policy, seed_torch
from lzcore.engine.clock import Clock
from lzcore.engine.evaluations import Evaluations
from lzcore.engine.evaluator import Evaluates
from lzcore.engine.failure import blaming
from lzcore.engine.files import writing
from lzcore.engine.interrupt import Interrupts
from lzcore.engine.learner import reanalyses_due, steps_allowed, steps_owed
from lzcore.engine.metrics import JsonLines
from lzcore.engine.observers import MetricsLog, TensorBoard
from lzcore.engine.plan import Ending, Outcome, Plan, Run
from lzcore.engine.pulse import Pulse
from lzcore.engine.ranks import NoLines, facts_of, joined, opened, plan_of, together
from lzcore.engine.rundir import RunDirectory, session_facts
from lzcore.engine.saving import Saver, counters_of
from lzcore.registry import Relay, unheard


def run_local(plan: Plan) -> Outcome:
    """Carry a plan out in this process, which may be one of several ranks.

    Returns:
        How the run ended.
    Raises:
        LzError: something that the user can mend stopped it; the run directory stays usable.
    """
    with (
        steady_torch(plan.resolved.run.threads),
        joined(plan.resolved.policy.multi_gpu) as ranks,
        Interrupts(quiet=not ranks.first) as interrupts,
        opened(plan, ranks) as directory,
    ):
        plan = plan_of(plan, ranks, directory.path)
        parts = assemble(plan, ranks)
        try:
            if ranks.first:
                directory.write_config(plan.resolved.to_toml())
            with writing(directory.failure):
                directory.failure.unlink(missing_ok=True)  # of an earlier session
            return Trainer(plan, directory, parts, interrupts).train()
        finally:
            parts.close()


@contextmanager
def steady_torch(threads: int) -> Iterator[None]:
    """Fix torch's threads inside, and leave them and its global CPU generator as they were.

    Generators of other devices are not put back: a run on one leaves them where it ended.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(before)


class Trainer:
    """One session of a run."""

    def __init__(
        self, plan: Plan, directory: RunDirectory, parts: Parts, interrupts: Interrupts
    ) -> None:
        """Begin the run, or continue from its latest checkpoint."""
        self._plan = plan
        self._parts = parts
        self._ranks = parts.ranks
        self._interrupts = interrupts
        self._saver = Saver(directory, parts, plan.resolved.run.keep_checkpoints)
        self._run = self._begun(directory)
        self._hook = self._watched() if self._ranks.first else unheard()
        self._timed: dict[str, float] = {}  # what times.jsonl has told of
        self._pulse = Pulse(self._tell)
        self._idle = ""  # why the latest iteration has made no learn step
        self._torch_key = stream_key(self._run.settings.seed, "torch")
        self._evaluations = Evaluations(
            self._run,
            parts.policy,
            parts.evaluator,
            self._saver.store,
            self._hook,
            every=self._run.settings.eval_every or parts.loop.eval_freq,
            offline=self._second_policy if parts.loop.eval_offline else None,
        )
        if self._ranks.first:
            self._evaluations.forget_others()

    def _begun(self, directory: RunDirectory) -> Run:
        plan = self._plan
        content = self._saver.restore() if plan.resume else None
        logs = content["logs"] if content else {"metrics": 0, "times": 0}
        lines = JsonLines if self._ranks.first else NoLines
        if self._ranks.first:
            self._note_session(directory)
        return Run(
            plan=plan,
            directory=directory,
            counters=counters_of(content),
            clock=Clock(),
            metrics=lines(directory.metrics, logs["metrics"]),
            times=lines(directory.times, logs["times"]),
            facts=self._parts.policy.facts() | facts_of(self._ranks, self._parts.loop.batch_size),
            players=self._parts.env.spaces.players,
        )

    def _note_session(self, directory: RunDirectory) -> None:
        resolved = self._plan.resolved
        device = str(self._parts.policy.learn_mode.get_attribute("device"))
        about = {
            "policy": resolved.policy_name,
            "environment": resolved.env_id,
            "seed": resolved.run.seed,
        }
        changed = directory.add_session(about, session_facts(self._plan.command, device))
        if changed:
            print(f"lz: other versions than before: {', '.join(changed)}.", file=sys.stderr)

    def _watched(self) -> Relay:
        own = (MetricsLog(), *(TensorBoard() for _ in range(self._run.settings.tensorboard)))
        return self._plan.registry.observers((*own, *self._plan.observers))

    def _tell(self, doing: str, done: int, total: int | None) -> None:
        self._hook.lz_working(run=self._run, doing=doing, done=done, total=total)

    def _second_policy(self) -> tuple[Policy, Evaluates]:
        policy = make_policy(self._plan.resolved, self._plan.registry, enable_field=["eval"])
        return policy, make_evaluator(self._plan, policy, self._run.settings.seed)

    # --- the story --------------------------------------------------------------------------------

    def train(self) -> Outcome:
        """Go on until a limit, the stop value or Ctrl-C ends the run."""
        try:
            with blaming(self._plan.registry, self._run.directory.failure):
                ended_by = self._story()
        except KeyboardInterrupt:
            self._finish_early("interrupted")
            raise LzError(f"Stopped at once. {self._last_checkpoint()}") from None
        except BaseException as err:
            self._finish_early("diverged" if isinstance(err, DivergedError) else "failed", str(err))
            raise
        return self._finish(ended_by)

    def _story(self) -> Ending:
        self._hook.lz_run_started(run=self._run)
        ended_by = self._loop()
        measured = [] if ended_by == "interrupted" else self._measure_the_end()
        self._save()
        self._tell_times(self._run.counters.iteration - 1)  # a resumed run cuts this line off
        self._saver.store.forget(measured)
        return ended_by

    def _loop(self) -> Ending:
        run = self._run
        if run.counters.iteration == 0:
            self._save()
            self._evaluate_if_due()
        while (ended_by := self._ranks.from_first(self._ending())) is None:
            self._iterate()
            if run.counters.iteration % run.settings.checkpoint_every == 0:
                self._save()
        return ended_by

    def _iterate(self) -> None:
        counters, clock = self._run.counters, self._run.clock
        seed_torch(int(derive_seed(self._torch_key, counters.iteration)))
        self._learn(self._collect())
        self._evaluate_if_due()
        clock.lap("glue")
        self._tell_times(counters.iteration)
        self._run.metrics.flush()
        counters.iteration += 1

    def _evaluate_if_due(self) -> None:
        """Evaluate on rank 0; the others wait for it where they next exchange something."""
        if self._ranks.first and self._evaluations.due():
            self._evaluations.evaluate()

    def _tell_times(self, iteration: int) -> None:
        """Write down what was spent since the last time."""
        run = self._run
        place = {"iteration": iteration, "env_step": run.counters.env_step}
        run.times.add({**place, "seconds": run.clock.since(self._timed)})
        self._timed = dict(run.clock.total)

    def _collect(self) -> int:
        """Collect into the buffer; return the env steps that learning owes steps for."""
        counters, parts, clock = self._run.counters, self._parts, self._run.clock
        before, loop = dict(clock.total), self._parts.loop
        at_random = counters.iteration == 0 and loop.random_collect_episode_num > 0
        count = loop.random_collect_episode_num if at_random else loop.collected_at_once
        self._pulse.begin("collecting", count)
        stats, segments = parts.collector.collect(
            counters.iteration,
            count,
            "random" if at_random else "collect",
            schedule=parts.policy.schedule(counters.learn_step, counters.env_step),
            first_episode=counters.episode,
            clock=clock,
            tell=self._pulse.at,
        )
        stats = together(self._ranks.gathered(stats))
        parts.buffer.push(segments)
        parts.buffer.remove_oldest_data_to_fit()
        counters.env_step += stats.env_steps
        counters.episode += stats.begun
        clock.lap("glue")
        told = {**stats.to_dict(), "seconds": clock.since(before)}
        self._hook.lz_collected(run=self._run, stats=told)
        return 0 if at_random else stats.env_steps

    def _learn(self, new_steps: int) -> None:
        counters, parts, limit = self._run.counters, self._parts, self._run.settings.max_learn_steps
        self._idle = self._hindrance(new_steps)
        if self._idle:
            return
        steps = steps_allowed(steps_owed(parts.loop, counters, new_steps), limit, counters)
        if steps < 1:
            self._idle = "so few env steps owe none"
            return
        least = -self._ranks.largest(-parts.buffer.num_transitions)
        reanalyses = reanalyses_due(parts.loop, counters, least)
        self._pulse.begin("learning", steps)
        metrics = parts.learner.learn(steps, self._run.clock, reanalyses, self._pulse.at)
        counters.learn_step += steps
        self._hook.lz_learned(run=self._run, metrics=metrics)

    def _hindrance(self, new_steps: int) -> str:
        """Say why an iteration does not learn, on every rank alike; "" if nothing hinders it."""
        parts, start = self._parts, self._parts.loop.train_start_after_envsteps
        if self._run.counters.env_step < start:
            return f"learning begins after {start:,} env steps"
        if not new_steps:
            return "only random episodes were played"
        if not parts.learner.ready():
            held, wanted = parts.buffer.num_transitions, parts.learner.batch_size
            return f"replay holds {held:,} transitions, too few for a batch of {wanted:,} positions"
        return ""

    # --- the end ----------------------------------------------------------------------------------

    def _ending(self) -> Ending | None:
        """Return why no further iteration begins, if none does; what rank 0 returns holds."""
        limits, counters = self._run.settings, self._run.counters
        if self._interrupts.asked:
            return "interrupted"
        if self._evaluations.solved():
            return "stop_value"
        if limits.max_env_steps is not None and counters.env_step >= limits.max_env_steps:
            return "max_env_steps"
        if limits.max_learn_steps is not None and counters.learn_step >= limits.max_learn_steps:
            return "max_learn_steps"
        if limits.max_minutes is not None and self._run.seconds >= 60.0 * limits.max_minutes:
            return "max_minutes"
        return None

    def _measure_the_end(self) -> list[str]:
        """Evaluate the last weights, and those put aside, whose files are returned: on rank 0."""
        if not self._ranks.first:
            return []
        if self._evaluations.missing():
            self._evaluations.evaluate()
        return self._evaluations.measure_pending()

    def _save(self) -> None:
        path = self._saver.save(self._run)
        self._run.clock.lap("save")
        self._hook.lz_checkpoint_saved(run=self._run, path=path)

    def _finish(self, ended_by: Ending, error: str = "") -> Outcome:
        run, counters = self._run, self._run.counters
        outcome = Outcome(
            ended_by=ended_by,
            directory=run.directory.path,
            iterations=counters.iteration,
            env_steps=counters.env_step,
            learn_steps=counters.learn_step,
            best_return=counters.best_return,
            last_return=counters.last_return,
            seconds=run.seconds,
            error=error,
            idle="" if counters.learn_step else self._idle,
        )
        with closing(run.metrics), closing(run.times):
            self._hook.lz_run_finished(run=run, outcome=outcome)
        return outcome

    def _finish_early(self, ended_by: Ending, error: str = "") -> None:
        """Finish because of an error; a further one, of closing the logs, does not replace it."""
        with suppress(LzError):
            self._finish(ended_by, error)

    def _last_checkpoint(self) -> str:
        kept, go_on = self._saver.store.kept(), self._run.directory.go_on
        if not kept:
            return f"There is no checkpoint yet; `{go_on}` begins again."
        return f"`{go_on}` goes on from {kept[-1].name}."
