"""The training loop: round-robin over the tasks that the schedule names, one batch and one update each.

It knows streams, outputs and a schedule; no dataset, no kind of output.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from twelve.data.batch import Collator
from twelve.data.loader import BUCKET, Stream, watched
from twelve.data.prepare import Prepared, TaskData, text_lengths
from twelve.errors import CheckpointError, TwelveError
from twelve.io import files
from twelve.model.attention import Block
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.progress import Track
from twelve.settings import RunConfig
from twelve.threads import PATIENCE, ROUNDS, Threads, Watch, counted
from twelve.training import checkpoint
from twelve.training.devices import Devices, parted, parted_optimizer, whole
from twelve.training.eta import Pace
from twelve.training.freezing import freeze, rates_by_depth
from twelve.training.log import RunLog
from twelve.training.optimizer import AdamW, LearningRate, loss_scales, parameter_groups
from twelve.training.sameness import compare
from twelve.training.schedules import make_schedule
from twelve.types.batch import Batch

EVAL_BATCH = 64
"""Examples a forward pass of a validation."""


class NonFiniteLoss(TwelveError):
    """The loss is not a number: the run stops before the optimizer spreads it. Exit code 1: nobody misused anything."""

    exit_code = 1


class Trainer:
    """Trains one model on several tasks.

    Args:
        folder: the run's folder; metrics.jsonl, checkpoints/ and model/ are written into it.
        known: tasks of the run that the model has learnt before.
        say: tells a person something on the way.
    """

    def __init__(
        self,
        config: RunConfig,
        data: Prepared,
        model: Twelve,
        processor: TwelveProcessor,
        folder: Path,
        devices: Devices,
        known: Collection[str] = (),
        say: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.config, self.data, self.processor, self.folder = config, data, processor, folder
        self.devices, self.device = devices, devices.device
        self.known, self.say = known, say
        self.log = RunLog(folder, devices, config.training.trackers)
        self.model = model
        for part in model.modules():
            if isinstance(part, Block):
                part.gradient_checkpointing = config.training.gradient_checkpointing
        self.frozen = freeze(model, config.freeze, new_tasks=not set(data.tasks) <= set(known))
        """Numbers of the model that do not train."""
        self.wrapped = devices.place(model)
        self.streams = {name: self._stream(task) for name, task in data.tasks.items()}
        self.epoch = max(stream.batches_per_epoch for stream in self.streams.values())
        """Iterations of an epoch of the run: the longest task's."""
        self.total = config.training.iterations or math.ceil(config.training.epochs * self.epoch)
        rates = {name: task.learning_rate for name, task in data.tasks.items()}
        self.loss_scale = loss_scales(rates)
        settings = config.optimizer
        self.optimizer = AdamW(
            parameter_groups(
                model,
                base_lr=min(rates.values()),
                head_lr=settings.head_learning_rate,
                weight_decay=settings.weight_decay,
                factors=settings.factors,
                by_name=rates_by_depth(model.config, settings.layer_decay),
            ),
            betas=settings.betas,
            eps=settings.eps,
            bias_correction=settings.bias_correction,
        )
        self.rate = LearningRate.over(
            self.optimizer,
            iterations=self.total,
            warmup=settings.warmup,
            accumulate=settings.accumulate,
            first=settings.rate_first,
        )
        self.schedule = make_schedule(
            config.schedule.name,
            config.schedule.options,
            tasks=list(data.tasks),
            sizes={name: len(task.train) for name, task in data.tasks.items()},
            seed=config.seed,
            iterations=self.total,
            groups={name: task.output.skill for name, task in data.tasks.items()},
        )
        self.iteration, self.steps, self.pairs, self.seconds = 0, 0, 0, 0.0
        self.scores: dict[str, float] = {}
        self.best, self.bad_validations = -math.inf, 0
        self.before: dict[str, float] = {}
        """Scores of the known tasks before the first step."""
        self.kept: dict[str, float] = {}
        """Scores that the model in model/ had when it was saved."""
        self.threads = Threads(
            config.training.threads,
            say,
            processes=devices.neighbours,
            agree=devices.largest,
            auto=self.device.type == "cpu",
        )
        self.watch: Watch | None = None
        """Of the steps' pace, once threads have been measured."""
        self._next_measured, self._ready = 0, 0.0
        self.record: Mapping[str, Any] = {}
        """What decides what model this is (sameness.py); every checkpoint keeps it."""
        self.changed_data: list[str] = []
        """How the data differ from those of the checkpoint that was resumed, where that was allowed."""

    # --- the loop ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """What comes before the first step: known tasks are validated, and those to be replayed begin stopped."""
        self.log.clear()
        with self.devices.together():
            self._choose_threads()
            for name in self.known:
                self.before[name] = self.validate(name)
                self._log("validation", task=name, score=round(self.before[name], 5), seconds=0.0)
        for name in self.config.replay:
            self.schedule.rest(name, self.before[name])
            self._log("event", task=name, event="stop", best=self.before[name])

    def fit(self) -> None:
        """Train from where the state stands to the end; validation, logs and checkpoints on the way."""
        with self.devices.together(), watched():
            if self.watch is None:
                self._choose_threads()
            self._fit()

    def _fit(self) -> None:
        started = time.monotonic() - self.seconds
        losses: dict[str, list[float]] = {}
        with Track("training", self.total, "iterations", done=self.iteration, shown=self.devices.main) as track:
            pace = Pace(self.total - self.iteration, {name: self._eval_examples(name) for name in self.streams})
            while self.iteration < self.total:
                begun = time.perf_counter()
                self.rate.start_iteration(self.iteration)
                self.model.train()
                names = self.schedule.tasks_at(self.iteration)
                took: dict[str, float] = {}
                for name in names:
                    before = time.perf_counter()
                    losses.setdefault(name, []).append(self._step(name))
                    now = time.perf_counter()
                    took[name] = now - max(before, self._ready)  # without the wait for its batch
                    pace.step(name, now - before, self.streams[name].batch_size)
                self.iteration += 1
                if said := pace.iteration(time.perf_counter() - begun):
                    self.say(said)
                self.seconds = time.monotonic() - started
                if self.iteration % self.config.training.log_every == 0 or self.iteration == self.total:
                    self._log(
                        "step",
                        losses={name: round(float(np.mean(values)), 7) for name, values in losses.items()},
                        lr=self.rate.factor,
                        pairs=self.pairs,
                        seconds=round(self.seconds, 1),
                    )
                    losses.clear()
                self._validate()
                if self.iteration % self.epoch == 0 and self.iteration // self.epoch - 1 in self.schedule.reset_epochs:
                    self.schedule.reset()
                    self._log("event", event="reset")
                track.advance(1, note=" ".join(f"{name} {score:.3f}" for name, score in self.scores.items()))
                slow = self._slow(took)
                if self.iteration % self.config.training.save_every == 0 and self.iteration < self.total:
                    self._choose_threads()
                    self.save()
                elif slow and self._choose_threads(alarm=True):
                    self.save()  # threads change at a checkpoint, which a resumed run repeats from
                if self.config.training.patience and self.bad_validations >= self.config.training.patience:
                    self._log("event", event="early stop", best=self.best)
                    break
        self.seconds = time.monotonic() - started
        self.save()
        for name in (name for name in self.before if name in self.kept):
            self._log("kept", task=name, before=round(self.before[name], 5), after=round(self.kept[name], 5))

    def _step(self, name: str) -> float:
        """One batch of one task: forward, loss, backward and, unless gradients add up further, an update."""
        batch = self.streams[name].next()
        self._ready = time.perf_counter()
        output = self.data.tasks[name].output
        here = len(batch.examples)
        with self.devices.accelerator.autocast():
            logits = self.wrapped(**batch.inputs(self.device), outputs=(batch.output,)).logits[batch.output]
        loss = output.loss(logits, batch.targets_on(self.device))
        value = self.devices.total(float(loss.detach()) * here) / batch.everywhere
        if not math.isfinite(value):
            raise NonFiniteLoss(
                f"the loss of {name} is {value} in iteration {self.iteration}, step {self.steps}",
                file=self.folder,
                remedy="train again with a lower learning_rate of its task or optimizer.head_learning_rate",
            )
        scale = self.loss_scale[name] * self.schedule.weight(name, value)
        self.devices.backward(loss * scale, here, batch.everywhere)
        self.pairs += batch.pairs * batch.everywhere // here
        if self.rate.due(self.iteration):
            self.devices.step(self.optimizer)
            self.rate.after_step()
            self.optimizer.zero_grad(fill=self.config.optimizer.idle_gradients == "zero")
            self.steps += 1
        return value

    # --- threads ----------------------------------------------------------------------------------------------

    def _choose_threads(self, alarm: bool = False) -> bool:
        """Measure how many threads are fastest and go on with them; whether that is another number than before.

        Args:
            alarm: whether it is done because steps have become slow.
        """
        if not self.threads.auto:
            return False
        names, known, patience, before = list(self.streams), {}, PATIENCE, self.threads.number
        if self.watch is not None:  # a few tasks will do, others every time
            known = self.watch.expected
            first = self._next_measured
            names = [names[(first + turn) % len(names)] for turn in range(min(ROUNDS, len(names)))]
            self._next_measured += ROUNDS
        found = self.threads.choose([partial(self._try, name, self._usual_batch(name)) for name in names])
        works = {names[index]: seconds for index, seconds in found.works.items()}
        scale = np.median([works[name] / known[name] for name in works if name in known] or [1.0])
        changed = self.threads.number != before
        if alarm and not changed and self.watch is not None:
            patience = 2 * self.watch.patience
        if changed or self.watch is None:
            self.threads.tell(found, f"iteration {self.iteration}: " if self.watch is not None else "")
            self._log("event", event="threads", threads=found.number, reason=str(found))
        self.watch = Watch({name: float(scale) * seconds for name, seconds in known.items()} | works, patience)
        return changed

    def _slow(self, took: Mapping[str, float]) -> bool:
        """Whether steps have become so slow that fewer threads may be faster; all processes say the same."""
        if not self.threads.auto:
            return False
        slow = self.watch is not None and self.threads.number > 1 and self.watch.slow(took)
        return self.devices.largest(float(slow)) > 0

    def _try(self, name: str, batch: Batch) -> None:
        """A step's work without its effects: parameters, gradients, generators and streams stay as they are."""
        output = self.data.tasks[name].output
        parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.model.train()
        # Parameters that processes share have no gradients of their own: there, a forward pass must do.
        with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(not self.devices.sharded):
            with self.devices.accelerator.autocast():
                logits = self.model(**batch.inputs(self.device), outputs=(batch.output,)).logits[batch.output]
            loss = output.loss(logits, batch.targets_on(self.device))
            if not self.devices.sharded:
                torch.autograd.grad(loss, parameters, allow_unused=True)

    def _usual_batch(self, name: str) -> Batch:
        """A batch of a task with texts of middling length, apart from the stream."""
        stream = self.streams[name]
        rows = np.unique(np.linspace(0, len(stream.examples) - 1, BUCKET * stream.batch_size).astype(int))
        rows = rows[np.argsort(stream.lengths[rows], kind="stable")]
        start = (len(rows) - stream.batch_size) // 2
        rows = rows[start : start + stream.batch_size]
        return stream.collator([stream.examples[int(row)] for row in rows], np.random.default_rng(0), stream.part)

    # --- validation --------------------------------------------------------------------------

    def _validate(self) -> None:
        """Score the tasks that are due, tell the schedule, keep the best model."""
        due = [name for name in self.data.tasks if self._due(name)]
        for name in due:
            self.scores[name] = self.validate(name)
            event = self.schedule.observe(name, self.scores[name])
            self._log("validation", task=name, score=round(self.scores[name], 5), seconds=round(self.seconds, 1))
            if event is not None:
                self._log("event", task=name, event=event.change, best=event.best)
        if due and len(self.scores) == len(self.data.tasks):
            mean = float(np.mean(list(self.scores.values())))
            if mean > self.best:
                self.best, self.bad_validations, self.kept = mean, 0, dict(self.scores)
                self.save_model()
            else:
                self.bad_validations += 1

    def _due(self, name: str) -> bool:
        every = self.config.training.eval_every or self.streams[name].batches_per_epoch
        return self.iteration % every == 0 or self.iteration == self.total

    def _eval_examples(self, name: str) -> float:
        """Examples that the validations of a task will read from here on."""
        every = self.config.training.eval_every or self.streams[name].batches_per_epoch
        validations = (self.total - self.iteration) / every
        return validations * len(self.data.tasks[name].validation[: self.config.training.eval_examples])

    def validate(self, name: str) -> float:
        """Mean score of a task on the validation split, as the original scores validation batches (0..1)."""
        task, stream = self.data.tasks[name], self.streams[name]
        examples = task.validation[: self.config.training.eval_examples]
        blocks = [slice(start, start + EVAL_BATCH) for start in range(0, len(examples), EVAL_BATCH)]
        total = 0.0
        self.model.train(False)
        with torch.no_grad():
            for first in range(0, len(blocks), self.devices.count):
                number = first + self.devices.rank
                # A model that processes share is put together by all of them: one without a block left repeats one.
                block = blocks[min(number, len(blocks) - 1)]
                # The same negatives at every validation, so that scores can be compared.
                rng = np.random.default_rng((self.config.seed, block.start))
                batch: Batch = stream.collator(examples[block], rng)
                logits = self.model(**batch.inputs(self.device), outputs=(batch.output,)).logits[batch.output]
                scores = task.output.score(logits.float(), batch.targets_on(self.device))
                total += float(scores.sum()) if number < len(blocks) else 0.0
        return self.devices.total(total) / len(examples)

    # --- state ------------------------------------------------------------------------------------------------

    def _stateful(self) -> Mapping[str, checkpoint.Stateful]:
        """Everything that an exact resume needs, behind one protocol."""
        parts: dict[str, checkpoint.Stateful] = {
            "model": self.model,
            "optimizer": self.optimizer,
            "rate": self.rate,
            "schedule": self.schedule,
        }
        return parts | {f"stream {name}": stream for name, stream in self.streams.items()}

    def save(self) -> None:
        """Write a checkpoint and remove all but the newest few."""
        # What is spread over processes is put together by all of them.
        state: dict[str, Any] = {name: whole(part.state_dict()) for name, part in self._stateful().items()}
        state["record"], state["logged"] = dict(self.record), self.log.lines
        state["random"] = self.devices.random_states(checkpoint.rng_state())
        state["trainer"] = {
            "iteration": self.iteration,
            "steps": self.steps,
            "pairs": self.pairs,
            "seconds": self.seconds,
            "scores": dict(self.scores),
            "best": self.best,
            "bad_validations": self.bad_validations,
            "before": dict(self.before),
            "kept": dict(self.kept),
        }
        expected = self.watch.whole() if self.watch is not None else {}
        if self.iteration % self.config.optimizer.accumulate:  # gradients are still adding up
            gradients = {name: parameter.grad for name, parameter in self.model.named_parameters()}
            state["gradients"] = whole({name: found for name, found in gradients.items() if found is not None})
        state["threads"] = {"number": self.threads.number, "expected": expected}
        if not self.devices.main:
            return
        folder = self.folder / "checkpoints"
        checkpoint.save(folder / f"step-{self.iteration:07}", state)
        checkpoint.prune(folder, self.config.training.keep)

    def resume(self, *, allow_changed_data: bool = False) -> list[str]:
        """Load the newest intact checkpoint of the run's folder, if there is one.

        Returns:
            What a person should know: newer checkpoints that were passed over, and what changed since.

        Raises:
            CheckpointError: every checkpoint is damaged, or the intact one is of another model or other tasks.
            ConfigError, DataError: what :func:`twelve.training.sameness.compare` refuses.
        """
        noted: list[str] = []
        found = checkpoint.checkpoints(self.folder / "checkpoints")
        lines = 0
        for folder in reversed(found):
            try:
                state = checkpoint.load(folder)
            except CheckpointError as error:
                noted.append(f"skipped: {folder}: {error.problem}")
                continue
            noted += self._changes(state, folder, allow_changed_data)
            self._restore(state, folder)
            lines = logged if isinstance(logged := state.get("logged"), int) else 0
            break
        else:
            if found:
                raise CheckpointError(
                    f"none of the {len(found)} checkpoints is intact ({noted[0]})",
                    file=self.folder / "checkpoints",
                    remedy="copy them again, or train anew: --set run=ANOTHER, without --resume",
                )
        self.log.keep_until(self.iteration)
        if self.devices.main and self.log.lines < lines:
            noted.append(
                f"history lost: {self.log.path.name} has {self.log.lines} of the {lines} lines up to iteration "
                f"{self.iteration}"
            )
        for note in noted:
            self._log("event", event=note)
        return noted

    def _changes(self, state: Mapping[str, Any], folder: Path, allow_changed_data: bool) -> list[str]:
        """What differs from the run that wrote a checkpoint, in words."""
        then, trainer = state.get("record"), state.get("trainer")
        done = trainer.get("iteration") if isinstance(trainer, Mapping) else None
        if not self.record or not isinstance(done, int):  # what is no checkpoint of a run does not fit it either
            return []
        if not then or not isinstance(then, Mapping):
            return ["begun by an earlier version, which kept no record of its data: whether they changed is not known"]
        changed = compare(then, self.record, done=done, file=folder, allow_changed_data=allow_changed_data)
        self.changed_data = [str(change) for change in changed if change.waived]
        return [f"changed: {change}" for change in changed]

    def _restore(self, state: Mapping[str, Any], folder: Path) -> None:
        try:
            state = {
                **state,
                "model": parted(self.model, state["model"]),
                "optimizer": parted_optimizer(self.optimizer, state["optimizer"]),
            }
            for name, part in self._stateful().items():
                part.load_state_dict(state[name])
            for name, gradient in parted(self.model, state.get("gradients", {})).items():
                parameter = self.model.get_parameter(name)
                parameter.grad = gradient.to(parameter.device)
            # With another number of processes than before, those that are new keep the seed they began with.
            if (own := state["random"].get(str(self.devices.rank))) is not None:
                checkpoint.set_rng_state(own)
            for name, value in state["trainer"].items():
                setattr(self, name, type(getattr(self, name))(value))
            self._restore_threads(state.get("threads"))
        except (RuntimeError, ValueError, LookupError, TypeError, AttributeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise CheckpointError(
                f"does not fit this run ({type(error).__name__}: {reason})",
                file=folder,
                remedy="resume with the configuration it was begun with (config.yaml in the run's folder)",
            ) from error

    def _restore_threads(self, state: Mapping[str, Any] | None) -> None:
        """Go on with the threads of the checkpoint, so that the rest is repeated; measure where it has none, or more
        than this machine."""
        if not self.threads.auto or state is None or not 1 <= (number := int(state["number"])) <= self.threads.most:
            return
        self.threads.set(number)
        self.watch = Watch({str(name): float(seconds) for name, seconds in state["expected"].items()})
        self.say(f"{counted(number)}, as in the checkpoint")

    def save_model(self) -> None:
        """Write the model and its processor to model/, where from_pretrained opens them."""
        weights = whole(self.model.state_dict())
        if not self.devices.main:
            return
        with files.replacing(self.folder / "model") as partial:
            self.model.save_pretrained(partial, state_dict=weights)
            self.processor.save_pretrained(partial)

    def longest_batch(self, name: str) -> Batch:
        """A batch of a task's longest texts, apart from the stream."""
        stream = self.streams[name]
        rows = np.argsort(stream.lengths, kind="stable")[-stream.batch_size :]
        return stream.collator([stream.examples[row] for row in rows], np.random.default_rng(0), stream.part)

    def _stream(self, task: TaskData) -> Stream:
        pool = task.output.prepare(task.train, self.data.store.get)
        collator = Collator(
            task=task.task.name,
            output=task.output,
            output_key=task.task.output,
            processor=self.processor,
            store=self.data.store,
            pool=pool,
        )
        return Stream(
            task.train,
            text_lengths(task.train, self.processor, task.task.name),
            collator,
            batch_size=task.batch_size,
            seed=self.config.seed + task.task.token,
            workers=self.config.training.workers,
            part=self.devices.part,
        )

    def _log(self, kind: str, **values: Any) -> None:
        self.log.write(kind, self.iteration, **values)
