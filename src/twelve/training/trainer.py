"""The training loop: in every iteration, one batch and one update of each task that the schedule names.

The trainer knows streams, outputs and a schedule, but no dataset and no kind of output.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack, closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from twelve.data.loader import Pool
from twelve.data.prepare import Prepared
from twelve.data.text_lengths import cut_of, text_lengths
from twelve.io import files
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.progress import Track
from twelve.run_folder import RunFolder
from twelve.settings import RunConfig
from twelve.stopping import Stop, Stopped, awaited
from twelve.training import checkpoint
from twelve.training.building import check_heads, optimizer_of, schedule_of, set_layers, streams_of
from twelve.training.contrast import ContrastTraining, HardNegatives
from twelve.training.devices import Devices, whole
from twelve.training.eta import Pace
from twelve.training.freezing import freeze
from twelve.training.gradients import own_parts
from twelve.training.hooks import MeasuringHook, SelectiveHook, TrainingHook
from twelve.training.log import RunLog
from twelve.training.losses import Losses, diverged
from twelve.training.run_checkpoints import RunCheckpoints
from twelve.training.side_by_side import Computed, SideBySide, computed, helpers
from twelve.training.state import TrainerState
from twelve.training.step_threads import StepThreads
from twelve.training.unused import leaves_out
from twelve.training.validation import Validation, in_words
from twelve.training.weighing import Weighing
from twelve.types.batch import Batch


class Trainer:
    """Trains one model on several tasks.

    Args:
        folder: the run's folder; the log, checkpoints and the model to keep are written into it.
        known: tasks of the run that an earlier run has trained the model on.
        say: called with each line of progress.
        hook: is called at every step; None costs nothing. Checkpoints keep the state of a measuring hook.

    Attributes:
        frozen: number of parameters that are frozen.
        cut: task -> number of training texts that are longer than the task keeps.
        epoch: iterations of an epoch: the number of batches of the task with the most batches.
        total: iterations of the whole run.
        state: how far the run has come.
        record: everything that determines the model (sameness.py); kept in every checkpoint.
        helpers: number of processes that compute gradients beside this one, while :meth:`fit` runs.
    """

    def __init__(
        self,
        config: RunConfig,
        data: Prepared,
        model: Twelve,
        processor: TwelveProcessor,
        folder: str | Path,
        devices: Devices,
        known: Collection[str] = (),
        say: Callable[[str], None] = lambda text: None,
        hook: TrainingHook | None = None,
    ) -> None:
        check_heads(model, data)
        self.config, self.data, self.processor, self.run = config, data, processor, RunFolder(folder)
        self.devices, self.device, self.model = devices, devices.device, model
        self.known, self.say, self.hook = known, say, hook
        self.log = RunLog(self.run, devices, config.training.trackers)
        set_layers(model, config.training)
        self.frozen = freeze(model, config.freeze, new_tasks=not set(data.tasks) <= set(known))
        self.contrast = ContrastTraining(config.contrast, model, data.tasks, sharded=devices.sharded)
        self.pool = Pool(config.training.workers, pin=self.device.type == "cuda")
        counted = {name: text_lengths(task.train, processor, name) for name, task in data.tasks.items()}
        self.cut = {
            name: cut_of(data.tasks[name].train, processor, lengths, processor.max_text[name])
            for name, lengths in counted.items()
        }
        self.streams = streams_of(config, data, processor, self.pool, devices.part, counted)
        self.negatives = HardNegatives(config.contrast, model, self.streams)
        idle = devices.count > 1 and leaves_out(model, (stream.typical() for stream in self.streams.values()))
        self.wrapped = devices.place(model, unused=idle)
        self.epoch = max(stream.batches_per_epoch for stream in self.streams.values())
        self.total = config.training.iterations or math.ceil(config.training.epochs * self.epoch)
        self.optimizer, self.rate = optimizer_of(config, model, data.tasks, self.total)
        self.schedule = schedule_of(config, data.tasks, self.total)
        rates = {name: task.learning_rate for name, task in data.tasks.items()}
        self.weighing = Weighing(config, rates, self.schedule, model, devices)
        self.helpers = helpers(config, devices, self.weighing, hook)
        self._beside: SideBySide | None = None
        names, alone = list(self.streams), not self.helpers
        self.threads = StepThreads(config.training, devices, names, self._trial, self._log, say, measured=alone)
        self.state = TrainerState()
        self.record: Mapping[str, Any] = {}
        self.losses = Losses(self.run.path)
        self.validation = Validation(
            config,
            model,
            data.tasks,
            {name: stream.collator for name, stream in self.streams.items()},
            devices,
            contrast_alone=self.contrast.alone,
            processes=1 + self.helpers,
            # Several processes must end together, and forks of this one do not know of a signal.
            between=self._end_if_asked if devices.count == 1 and alone else lambda: None,
        )
        self.probe = hook if isinstance(hook, MeasuringHook) else None
        if self.probe is not None:
            self.probe.attach(self)
        others = self._stateful()
        self.checkpoints = RunCheckpoints(
            config, self.run, devices, self.log, model, self.optimizer, self.state, others
        )
        self._stop = Stop()
        self._ready = 0.0  # when the last batch was there
        self._updates = False  # whether the batch at hand is the last one before an update
        self._saved = False  # whether the run's folder has a model

    def _stateful(self) -> dict[str, checkpoint.Stateful]:
        """What a checkpoint keeps beside the model, its optimizer, :attr:`state` and random generators."""
        return {
            "rate": self.rate,
            "schedule": self.schedule,
            "threads": self.threads,
            "losses": self.losses,
            **({"negatives": self.negatives} if self.negatives.streams else {}),
            **self.weighing.kept,
            **{f"stream {name}": stream for name, stream in self.streams.items()},
            **({} if self.probe is None else {"probe": self.probe}),
        }

    # --- the loop ---------------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Prepare the first step: validate the known tasks, and let the replayed ones begin stopped."""
        self.log.clear()
        self.threads.choose(0)
        # Of a contrast head that is added to a trained model there is no score before: it is new.
        for name, score in self.validation.scores([] if self.contrast.alone else [*self.known]):
            self.state.before[name] = score
            self._log("validation", task=name, score=round(score, 5), seconds=0.0)
        for name in self.config.replay:
            self.schedule.begin_stopped(name, self.state.before[name])
            self._log("event", task=name, event="stop", best=self.state.before[name])

    def fit(self) -> None:
        """Train from the current state to the end, with validations, logs and checkpoints on the way.

        Raises:
            Stopped: on the command line, a signal ended training.
        """
        with ExitStack() as ends:
            self._stop = ends.enter_context(awaited(self.devices.main))  # before other processes start
            ends.enter_context(closing(self.pool))
            if self.helpers:
                self._beside = ends.enter_context(closing(self._helped()))
            if not self.threads.measured:
                self.threads.choose(self.state.iteration)
            self._fit()

    def _helped(self) -> SideBySide:
        """This process and its helpers."""
        self.model.train()  # in helpers too, and they never validate
        parameters, together = self.weighing.gradients.parameters, self.config.optimizer.together
        return SideBySide(self.helpers, parameters, together, self._apart, lambda name: self.streams[name].skip())

    def _fit(self) -> None:
        state, started = self.state, time.monotonic() - self.state.seconds
        self._saved = self.run.lacking() is None  # here, where no process can have written it yet
        with Track("training", self.total, "iterations", done=state.iteration, shown=self.devices.main) as track:
            reading = {name: self._eval_examples(name) for name in self.streams}
            pace = Pace(self.total - state.iteration, reading, stops=self.schedule.stops)
            if state.unvalidated:  # a signal ended the run before these validations
                self._end_iteration({})
            while state.iteration < self.total and not self._out_of_patience:
                self.negatives.refresh(state.iteration)
                took = self._iterate(pace)
                if any(map(self._due, self.data.tasks)):  # before the log says that this iteration is done
                    self._check_finite()
                state.seconds = time.monotonic() - started
                if self.probe is not None:
                    self.probe.after_iteration(state.iteration)
                self._log_losses()
                self._end_iteration(took)
                track.advance(1, note=in_words(state.scores))
        state.seconds = time.monotonic() - started
        if not self._saved:  # the model is gone from a resumed run, and none since was better
            state.kept = dict(state.scores)
            self.save_model()
            self.say(f"the model was gone: saved the last one, of iteration {state.iteration:,}")
        self.save()
        for name in (name for name in state.before if name in state.kept):
            self._log("kept", task=name, before=round(state.before[name], 5), after=round(state.kept[name], 5))

    def _end_iteration(self, took: Mapping[str, float]) -> None:
        """What follows the steps of an iteration, which took so many seconds by task."""
        self._validate()
        self._forget()
        if self._out_of_patience:
            self._log("event", event="early stop", best=self.state.best)
        self._checkpoint(took)

    @property
    def _out_of_patience(self) -> bool:
        """Whether too many validations in a row were no better than the best one."""
        patience = self.config.training.patience
        return patience is not None and self.state.bad_validations >= patience

    def _iterate(self, pace: Pace) -> dict[str, float]:
        """One step of each task that the schedule names; returns their seconds, without waiting for batches."""
        begun = time.perf_counter()
        self.rate.start_iteration(self.state.iteration)
        self.model.train()
        names, size = self.schedule.tasks_at(self.state.iteration), self.config.optimizer.together
        took: dict[str, float] = {}
        if size == 1:
            took = self._one_by_one(names, pace)
        else:
            for start in range(0, len(names), size):
                took |= self._together(names[start : start + size], pace)
        self.weighing.end_iteration()
        self.state.iteration += 1
        if said := pace.iteration(time.perf_counter() - begun):
            self.say(said)
        return took

    def _one_by_one(self, names: Sequence[str], pace: Pace) -> dict[str, float]:
        """Steps that each begin with the weights that the one before has left; see :meth:`_iterate`."""
        due, each, took = self.rate.due(self.state.iteration), self.config.optimizer.update == "task", {}
        for place, name in enumerate(names, start=1):
            before = time.perf_counter()
            self._updates = due and (each or place == len(names))
            self._step(name)
            if pace.measuring:
                self.devices.wait()
            now = time.perf_counter()
            took[name] = now - max(before, self._ready)
            pace.step(name, now - before, self.streams[name].batch_size)
        return took

    def _together(self, names: Sequence[str], pace: Pace) -> dict[str, float]:
        """Steps whose gradients are computed at the same weights; see :meth:`_iterate`."""
        state, parameters = self.state, self.weighing.gradients.parameters
        self._updates = True
        found: Mapping[str, Computed]
        if self._beside is None:
            found = {name: computed(partial(self._apart, name, state), parameters) for name in names}
        else:
            found = self._beside.compute(names, state)
        for name in names:
            step = found[name]
            for parameter, gradient in zip(parameters, step.gradients, strict=True):
                parameter.grad = gradient
            self.losses.add(name, state.iteration, state.steps, step.loss)
            state.pairs += step.pairs
            self._update(name)
            pace.step(name, step.seconds, self.streams[name].batch_size)
        return {name: step.seconds for name, step in found.items()}

    def _apart(self, name: str, state: TrainerState) -> tuple[Tensor, int]:
        """See :meth:`_gradients`. Dropout depends on the iteration and the task alone, so it is the same in whichever
        process this is called."""
        self.state = state
        drawn = np.random.SeedSequence((self.config.seed, self.devices.rank, state.iteration, self.streams[name].seed))
        torch.manual_seed(int(drawn.generate_state(1, np.uint64)[0]))
        return self._gradients(name, Losses(self.run.path))

    def _log_losses(self) -> None:
        state = self.state
        if state.iteration % self.config.training.log_every == 0 or state.iteration == self.total:
            losses, weights = self.losses.means(), self.weighing.told()
            seconds, rate = round(state.seconds, 1), self.rate.factor
            self._log("step", losses=losses, lr=rate, pairs=state.pairs, seconds=seconds, **weights)

    def _forget(self) -> None:
        """Reset the schedule after the epochs that it names."""
        epochs, rest = divmod(self.state.iteration, self.epoch)
        if not rest and epochs - 1 in self.schedule.reset_epochs:
            self.schedule.reset()
            self._log("event", event="reset")

    def _checkpoint(self, took: Mapping[str, float]) -> None:
        """Save when a checkpoint is due, or when the number of threads changes, because steps have become slow; or end
        if a signal asks for it."""
        self._end_if_asked()
        iteration, slow = self.state.iteration, self.threads.slow(took)
        if iteration % self.config.training.save_every == 0 and iteration < self.total:
            self.threads.choose(iteration)
            self.save()
        elif slow and self.threads.choose(iteration, alarm=True):
            self.save()

    def _end_if_asked(self) -> None:
        """Save and raise Stopped if a signal asks for it, in all processes of the run together. Where steps do not wait
        for the device, several processes agree only when the losses are logged, for which they wait anyway."""
        state, several = self.state, self.devices.count > 1
        if several and self.devices.late and state.iteration % self.config.training.log_every:
            return
        if number := int(self.devices.largest(self._stop.signal)):
            self.save()
            self.devices.total(0.0)  # wait: a process that ends before the checkpoint is written ends the others
            raise Stopped(number, state.iteration, self.total, told=self.devices.main)

    # --- one step ---------------------------------------------------------------------------------------------

    def _step(self, name: str) -> None:
        """One batch of one task and, where it is due, an update."""
        self.state.pairs += self._gradients(name, self.losses)[1]
        if self._updates:
            self._update(name)

    def _gradients(self, name: str, losses: Losses) -> tuple[Tensor, int]:
        """One batch of one task: forward pass, loss and backward pass; returns the loss, and pairs in all processes.

        Args:
            losses: takes the loss.

        Raises:
            NonFiniteLoss: before anything is changed.
        """
        batch = self.streams[name].next()
        self._ready = time.perf_counter()
        state, here = self.state, len(batch.examples)
        exchanges = self._updates or self.weighing.apart or self._watched
        with nullcontext() if exchanges else self.devices.apart(self.wrapped):
            loss = self._loss(self.wrapped, name, batch)
            value = self.devices.summed(loss.detach(), here) / batch.everywhere
            losses.add(name, state.iteration, state.steps, value)
            if self.weighing.waits or not self.devices.late:
                losses.read()
            else:
                self.optimizer.leave_out(~value.isfinite())
            observe = partial(self._tell, name) if self._watched else None
            self.weighing.backward(name, loss, value, here, batch.everywhere, observe)
        return value, batch.pairs * batch.everywhere // here

    def _tell(self, name: str) -> None:
        """Tell the hook the gradients of a batch."""
        assert self.hook is not None
        found, scale = self.weighing.gradients.of_trunk(), self.devices.loss_scale
        self.hook.after_backward(self.state.iteration, name, {key: each / scale for key, each in found.items()})

    def _loss(self, network: nn.Module, name: str, batch: Batch) -> Tensor:
        """Mean loss of a batch."""
        output = self.data.tasks[name].output
        asked = self.contrast.outputs(batch)
        with self.devices.accelerator.autocast():
            logits = network(**batch.inputs(self.device), outputs=asked).logits
        contrast = self.contrast.loss(logits, batch, output)
        if contrast is not None and self.contrast.alone:
            return contrast
        loss = output.loss(logits[batch.output], batch.targets_on(self.device))
        return loss if contrast is None else loss + contrast

    def _update(self, name: str) -> None:
        """One step of the optimizer, after the batch of a task."""
        self.optimizer.use(name)
        self.weighing.before_update()
        if self.hook is not None:
            self.hook.before_step(self.state.iteration, self.optimizer)
        self.devices.step(self.optimizer)
        if self.hook is not None:
            self.hook.after_step(self.state.iteration, self.optimizer)
        self.rate.after_step()
        self.optimizer.zero_grad(fill=self.config.optimizer.idle_gradients == "zero")
        self.state.steps += 1

    @property
    def _watched(self) -> bool:
        """Whether a hook is told the gradients of this iteration."""
        hook = self.hook
        return hook is not None and (not isinstance(hook, SelectiveHook) or hook.watches(self.state.iteration))

    def _trial(self, name: str) -> Callable[[], None]:
        """A step's work on a typical batch; it leaves parameters, gradients, generators and streams as they are."""
        batch = self.streams[name].typical()

        def work() -> None:
            parameters = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
            self.model.train()
            # Sharded parameters have no gradients of their own: there, the forward pass alone is timed.
            with torch.random.fork_rng(devices=[]), torch.set_grad_enabled(not self.devices.sharded):
                loss = self._loss(self.model, name, batch)
                if not self.devices.sharded:
                    torch.autograd.grad(loss, parameters, allow_unused=True)

        return work

    # --- validation -------------------------------------------------------------------------------------------

    def _validate(self) -> None:
        """Validate the tasks that are due, tell the schedule their scores, and keep the best model, or the last."""
        state, due = self.state, [name for name in self.data.tasks if self._due(name)]
        state.unvalidated = bool(due)
        if due:
            self.losses.read()
            self._end_if_asked()
            scores = [*self.validation.scores(due)]
            state.unvalidated = False
            for name, score in scores:
                state.scores[name] = score
                event = self.schedule.observe(name, score)
                self._log("validation", task=name, score=round(score, 5), seconds=round(state.seconds, 1))
                if event is not None:
                    self._log("event", task=name, event=event.change, best=event.best)
        if due and len(state.scores) == len(self.data.tasks):
            mean = float(np.mean(list(state.scores.values())))
            better = mean > state.best
            if better:
                state.best, state.bad_validations = mean, 0
            else:
                state.bad_validations += 1
            if better or self.config.training.keep_model == "last":
                state.kept = dict(state.scores)
                self.save_model()

    def _every(self, name: str) -> int:
        """Iterations between two validations of a task."""
        return self.config.training.eval_every or self.streams[name].batches_per_epoch

    def _due(self, name: str) -> bool:
        return self.state.iteration % self._every(name) == 0 or self.state.iteration == self.total

    def _eval_examples(self, name: str) -> float:
        """Examples that the remaining validations of a task will read."""
        validations = (self.total - self.state.iteration) / self._every(name)
        return validations * len(self.validation.examples(name))

    # --- what is written --------------------------------------------------------------------------------------

    def save(self) -> None:
        """Write a checkpoint.

        Raises:
            NonFiniteLoss: a loss since the last time was not a number, or weights are not finite.
        """
        self.losses.read()
        self._check_finite()
        self.checkpoints.save(self.record)

    def _check_finite(self) -> None:
        """Stop before a model or a checkpoint is overwritten by one that cannot be used. The loss of a next step would
        tell, but none follows the last one.

        Raises:
            NonFiniteLoss: a weight, or a moment of the optimizer, is not finite, in any process.
        """
        here = own_parts([*self.model.parameters(), *self.optimizer.moments])
        finite = torch.stack([each.detach().isfinite().all() for each in here]).all()
        if self.devices.largest(float(not finite)):
            tasks = self.data.tasks  # the one whose rate is most above the usual one
            rates = {name: task.learning_rate / task.task.defaults.learning_rate for name, task in tasks.items()}
            problem = f"the weights are no longer finite numbers after iteration {self.state.iteration}"
            raise diverged(problem, max(rates, key=rates.__getitem__), self.run.path)

    def save_model(self) -> None:
        """Write the model and its processor into the run's folder, where from_pretrained opens them."""
        self._saved = True
        weights = whole(self.model.state_dict())
        if self.devices.main:
            with files.replacing(self.run.model) as partial:
                self.model.save_pretrained(partial, state_dict=weights)
                self.processor.save_pretrained(partial)

    def _log(self, kind: str, **values: Any) -> None:
        self.log.write(kind, self.state.iteration, **values)
