"""``twelve train``: from a configuration to the folder of a trained run (run_folder.py)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import nullcontext, suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from twelve import freed_memory
from twelve.config import load_run
from twelve.data.examples.columns import counted as values_of
from twelve.data.examples.columns import distinct_images, take
from twelve.data.prepare import Prepared, TaskData, sources_of
from twelve.errors import CheckpointError, ConfigError, MissingData, RegionError
from twelve.io import files
from twelve.model.familiarity import MOST, Familiarity, familiarity_of
from twelve.model.known_words import MOST_TEXTS, KnownWords, usual_in, words_in
from twelve.model.precision import for_predicting
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.outputs.pretraining import Pretraining
from twelve.progress import clock, counted, tell
from twelve.regions.store.samples import sampled
from twelve.run_folder import DIVERGED, RunFolder, model_folder
from twelve.runs.announced import announced
from twelve.runs.base_images import BaseImages, compare, trained_images
from twelve.runs.complete import completion
from twelve.runs.early import base_folder, check
from twelve.runs.measured_data import taught
from twelve.runs.new_model import Start, new_model
from twelve.runs.next_command import next_command
from twelve.runs.run_card import write_run_card
from twelve.runs.run_summary import history, kept, remembered
from twelve.settings import OptimizerSettings, RunConfig
from twelve.tasks.base import foreign
from twelve.threads import given_back
from twelve.training.checkpoint import record_in
from twelve.training.continued import continued
from twelve.training.hooks import TrainingHook
from twelve.training.losses import NonFiniteLoss
from twelve.training.provenance import fingerprints, machine
from twelve.training.sameness import check_same, record_of
from twelve.training.sameness import compare as compare_records
from twelve.types.cut import Cut
from twelve.types.half_precision import as_tensor

if TYPE_CHECKING:
    from twelve.training.devices import Devices
    from twelve.training.trainer import Trainer


TRAINING_EXAMPLES = 500
"""Training examples of a task that are scored after training, at most."""


@given_back()
def train(
    config: RunConfig,
    *,
    resume: bool = False,
    go_on: bool = False,
    allow_changed_data: bool = False,
    console: Console | None = None,
    start: Start | None = None,
    hook: TrainingHook | None = None,
) -> Path:
    """Train as configured, and return the run's folder. A complete run that is to be resumed is left as it is.

    Args:
        config: of the run; ``config.run`` is its folder.
        resume: resume the run in the folder.
        go_on: resume if the folder holds anything trained, else begin.
        allow_changed_data: resume even though the data differ from those that the run was begun with.
        console: shows progress; by default on standard error.
        start: use this instead of what :func:`beginning` makes.
        hook: is told about every step (training/hooks.py).

    Raises:
        ConfigError: the folder holds a run and is not to be resumed, or it is to be resumed and holds none, or one with
            another configuration.
        DataError: the data have changed, also those of a complete run.
    """
    from accelerate.utils import set_seed
    from transformers.utils.logging import disable_progress_bar

    from twelve.training.devices import Devices

    console = console or Console(stderr=True)
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers shows one for every file it writes
    run = RunFolder(config.run)
    resume = resume or (go_on and files.is_there(run.config, ConfigError) and run.holds_training())
    check(config, resume=resume, reads=False)
    if resume:
        _check_resumed(config, run)
    if config.training.threads != "auto":
        torch.set_num_threads(config.training.threads)
    elif not torch.cuda.is_available():
        torch.set_num_threads(1)  # until they are measured
    set_seed(config.seed)
    devices = Devices(config.training, run.path)
    if not devices.main:
        console = Console(quiet=True)
    created = [folder for folder in (run.path, *run.path.parents) if not folder.exists()]
    try:
        if resume and (told := completion(config, run)) is not None:
            _check_trained_on(config, run, start, allow_changed_data)
            tell(told, console)
            return run.path
        with files.alone(run.path) if devices.main else nullcontext(), devices.together():
            _train(config, run, devices, console, resume, allow_changed_data, start, hook)
    except BaseException:
        with suppress(OSError):  # only empty folders are removed
            for folder in created:
                folder.rmdir()
        raise
    finally:
        devices.end()
    return run.path


def beginning(config: RunConfig) -> Start:
    """What a run begins with: the saved model that ``model.init`` names, or, without it, a new one
    (:func:`twelve.runs.new_model.new_model`).

    Returns:
        The model, its processor, the data of all tasks, and the tasks that the model was trained on before.

    Raises:
        ConfigError: there is no such model, or a new one's sizes do not suit the tokenizer, the texts or the regions.
        CheckpointError: the saved model is damaged.
        RegionError: the regions are of several extractors, of another one than the saved model's, or not finite.
        DataError: see :func:`twelve.data.prepare.prepare`.
    """
    folder = base_folder(config)
    return new_model(config) if folder is None else continued(config, folder)


def _train(
    config: RunConfig,
    run: RunFolder,
    devices: Devices,
    console: Console,
    resume: bool,
    allow_changed_data: bool,
    start: Start | None,
    hook: TrainingHook | None,
) -> None:
    from twelve.training.trainer import Trainer

    freed_memory.keep()
    model, processor, data, known = start or beginning(config)
    devices.draw_apart(config.seed)
    base = BaseImages()
    if devices.main:
        base = _record_images(config, processor, data, bool(known))

    say = partial(tell, to=console)
    trainer = Trainer(config, data, model, processor, run.path, devices, known, say, hook)
    trainer.record = record_of(config, data, processor, iterations=trainer.total, processes=devices.count)
    if devices.main:
        for noted in announced(config, data, model, trainer, base):
            say(noted)
    if resume:
        for noted in trainer.checkpoints.resume(trainer.record, allow_changed_data=allow_changed_data):
            say(noted)
        at = trainer.state.iteration
        say(f"resumed at iteration {at} of {trainer.total}" if at else "the run has no checkpoint: it starts again")
    if devices.main:
        for noted in _write_facts(config, data, trainer, base):
            say(noted)
    trainer.log.start_trackers(run.path.resolve().name, config.model_dump(mode="json"))
    if trainer.state.iteration == 0:
        trainer.begin()
    if devices.main:
        run.trained.unlink(missing_ok=True)
        describe_known(trainer)
    try:
        trainer.fit()
    except NonFiniteLoss as error:
        if error.task in data.tasks:
            lower = _lower_rate(config, error.task, data.tasks[error.task])
            trainer.log.write("event", trainer.state.iteration, event=DIVERGED, task=error.task, setting=lower)
            remedy = f"train it with a lower learning rate: {run.diverged()}"
            raise NonFiniteLoss(error.problem, file=run.path, remedy=remedy) from error
        raise
    if devices.main:
        for noted in _finish(trainer):
            say(noted)
    for line in (*kept(trainer), *remembered(trainer)):
        say(line)
    tasks = {name: (task.task, task.output) for name, task in data.tasks.items()}
    state = trainer.state
    say(
        f"trained {counted(state.iteration, 'iteration')}, {counted(state.pairs, 'pair')} in {clock(state.seconds)}; "
        f"next: {next_command(run.path, model.config, tasks)}"
    )


def _finish(trainer: Trainer) -> Iterator[str]:
    """Calibrate the saved model, and write the history of its training into the run's folder. Yields a note on each
    task that is not calibrated, and on what the model learned of the training examples of each task of one's own."""
    run, tasks = trainer.run, trainer.data.tasks
    saved = Twelve.from_pretrained(model_folder(run.path)).to(trainer.device)
    yield from calibrate(trainer, saved)
    learned = of_training_examples(trainer, saved)
    counts = {name: len(task.train) for name, task in tasks.items()}
    run.write(run.trained, history(trainer) | {"training_examples": counts, "on_training_examples": learned})
    for name, score in learned.items():
        if _is_own(tasks[name]):
            yield f"{tasks[name].task.title}: {100 * score:.1f} on its own training examples"


def _lower_rate(config: RunConfig, name: str, task: TaskData) -> str:
    """A setting with a lower learning rate, of a task that diverged or of its head: the default, or a tenth of less."""
    heads = OptimizerSettings().head_learning_rate
    rate, usual = task.learning_rate, task.task.defaults.learning_rate
    key = f"tasks.{name}.learning_rate"
    if config.optimizer.head_learning_rate / heads > rate / usual:
        key, rate, usual = "optimizer.head_learning_rate", config.optimizer.head_learning_rate, heads
    return f"{key}={usual if rate > usual else rate / 10:g}"


def _write_facts(config: RunConfig, data: Prepared, trainer: Trainer, base: BaseImages) -> list[str]:
    """Write the configuration, and facts about data and machine, into the run's folder; a resumed run keeps the facts
    that it has. Returns a note on each file that was lost."""
    run, resumed, lost = trainer.run, trainer.state.iteration > 0, []
    tasks = {name: each.task for name, each in data.tasks.items()}
    for file in (run.data, run.machine):
        if resumed and run.read(file):
            continue
        if resumed:
            lost.append(f"{file.name} was lost or damaged; it is written again, as it is now")
        about = summary(data, trainer.cut) | {
            "trained_on": trainer.record["examples"],
            "taught": taught(tasks, data.root),
            "region_samples": _samples(data),
        }
        about |= {"base_images": asdict(base)} if base.tasks else {}
        run.write(file, machine() if file == run.machine else about | fingerprints(config, data))
    if trainer.checkpoints.changed_data:
        tree = run.read(run.data)
        change = {"iteration": trainer.state.iteration, "what": trainer.checkpoints.changed_data}
        tree |= {"region_samples": _samples(data), "taught": taught(tasks, data.root)} | fingerprints(config, data)
        tree["changed"] = [*(tree["changed"] if isinstance(tree.get("changed"), list) else []), change]
        run.write(run.data, tree)
    data.validation_images.write(run.validation_images)
    config.write(run.config)
    return lost


def _samples(data: Prepared) -> dict[str, str]:
    """Image id -> digest of its regions, which ``twelve evaluate`` compares."""
    found: dict[str, str] = {}
    for source in sources_of(data):
        found |= sampled(data.store, source)
    return found


def calibrate(trainer: Trainer, model: Twelve) -> list[str]:
    """Finish the saved model, which is ``model``: fit its temperatures on the validation sets. Returns a line for each
    task that is not calibrated."""
    from twelve.evaluation.calibration import calibrate as calibrate_scores
    from twelve.evaluation.calibration import uncalibrated

    if trainer.contrast.alone:  # nothing that the temperatures and the images depend on has changed
        write_run_card(trainer.run.path, model, trainer.processor, trainer.state.kept)
        return []
    collators = {name: stream.collator for name, stream in trainer.streams.items()}
    validations = {name: task.validation for name, task in trainer.data.tasks.items()}
    found = calibrate_scores(model, collators, validations, seed=trainer.config.seed)
    trainer.processor.temperatures, trainer.processor.likely = found
    trainer.processor.save_pretrained(model_folder(trainer.run.path))
    write_run_card(trainer.run.path, model, trainer.processor, trainer.state.kept)
    own = {name: examples for name, examples in validations.items() if collators[name].output.own_head}
    noted = {name: uncalibrated(name, found.temperatures, len(examples)) for name, examples in own.items()}
    return [f"{trainer.data.tasks[name].task.title}: confidence {why}" for name, why in noted.items() if why]


def describe_known(trainer: Trainer) -> None:
    """Describe the training images and record the words of the training texts, before the first model is saved: a model
    of a run that is interrupted is asked about them too."""
    if trainer.contrast.alone:  # nothing that they depend on changes
        return
    trainer.processor.familiar = _familiar(trainer.data, trainer.processor.max_regions, trainer.processor.familiar)
    _record_words(trainer)


def of_training_examples(trainer: Trainer, model: Twelve) -> dict[str, float]:
    """Task -> score, 0..1, of the saved model, which is ``model``, on (at most :data:`TRAINING_EXAMPLES`) examples that
    it was trained on. Beside the score on other examples, it tells whether the model has memorised them."""
    if trainer.devices.count > 1 or trainer.contrast.alone:
        return {}
    network = for_predicting(model, trainer.config.evaluation.precision)
    every = {name: task.train for name, task in trainer.data.tasks.items()}
    steps = {name: max(1, len(train) // TRAINING_EXAMPLES) for name, train in every.items()}
    return {
        name: round(trainer.validation.score(network, name, train[:: steps[name]][:TRAINING_EXAMPLES]), 5)
        for name, train in every.items()
    }


def _is_own(task: TaskData) -> bool:
    """Whether it is a task of one's own, in JSON lines or in Python."""
    return task.settings.kind is not None or foreign(task.task)


def _familiar(data: Prepared, most: int, base: Familiarity | None) -> Familiarity | None:
    """Statistics of training images, equally many of each task, over their first ``most`` regions. Images that only
    tasks of one's own have are a kind of their own, by source. Too few images widen the limits of ``base``, those of
    the model that the run began with."""
    images: dict[str, None] = {}
    official: set[str] = set()
    for task in data.tasks.values():
        own = distinct_images(task.train)
        images |= dict.fromkeys(own[:: max(1, len(own) * len(data.tasks) // MOST)])
        if task.settings.kind is None:
            official |= {image.partition("/")[0] for image in own}

    def features(image: str) -> NDArray[np.floating[Any]]:
        found = data.store.get(image, most).features
        assert found is not None  # nothing is trained on boxes alone
        return as_tensor(found).float().numpy()

    def kind_of(image: str) -> str:
        source = image.partition("/")[0]
        return "" if source in official else source

    found = familiarity_of(list(images), features, kind_of)
    return base.widened(map(features, images)) if found is None and base is not None else found


def _record_words(trainer: Trainer) -> None:
    """Add the words of the training texts to those that the model knew when the run began, and record a few usual texts
    of tasks of one's own, and whether what is cut of them matters."""
    processor, found = trainer.processor, frozenset[str]()
    for name, task in trainer.data.tasks.items():
        step = max(1, math.ceil(len(task.train) / MOST_TEXTS))
        sample = take(task.train, np.arange(0, len(task.train), step))
        texts = [text for example in sample for text in (example.text, *example.options)]
        words = words_in(processor.tokenizer, [texts]).words
        found |= words
        if task.settings.kind not in (None, Pretraining.kind):
            processor.own_texts[name] = usual_in(example.text for example in sample)
        if task.settings.kind is not None and task.output.own_head:
            if task.output.needs_vocabulary:
                given = {answer for target, _ in values_of(task.train, "target") for answer in target or ()}
                processor.own_answers[name] = sorted(given.union(processor.own_answers.get(name, ())))
            processor.own_words[name] = words | processor.own_words.get(name, frozenset())
    same = {**dict.fromkeys(processor.same_cut, True), **{name: cut.same for name, cut in trainer.cut.items()}}
    processor.same_cut = tuple(name for name in processor.own_texts if same.get(name))
    known = KnownWords(found)
    continues = trainer.config.model.init or processor.known_words is not None
    processor.known_words = known.joined(processor.known_words) if continues else known


def _record_images(config: RunConfig, processor: TwelveProcessor, data: Prepared, known: bool) -> BaseImages:
    """Add the training images to those that the model was trained on when the run began, and return the comparison of
    these with the test images."""
    base = processor.trained_images
    continues = config.model.init or known or processor.known_words is not None or base is not None
    own = trained_images(data)
    processor.trained_images = own.joined(base) if continues else own
    return compare(data, base) if config.model.init else BaseImages()


def _check_resumed(config: RunConfig, run: RunFolder) -> None:
    """Raise an error rather than resume another run, or one that has lost its checkpoints."""
    begun = load_run(run.path)
    check_same(config, begun, run.path)
    last = max((line["iteration"] for line in run.logged() if line.get("kind") == "step"), default=0)
    if not run.saved() and (files.is_there(run.trained, CheckpointError) or last > begun.training.save_every):
        raise CheckpointError(
            "its checkpoints are gone", file=run.path, remedy="copy them back, or train anew: --set run=ANOTHER"
        )


def _check_trained_on(config: RunConfig, run: RunFolder, start: Start | None, allow_changed_data: bool) -> None:
    """Raise an error, as :func:`twelve.training.sameness.compare`, if a complete run was trained on other data. Nothing
    is compared if the data, or what the model began with, are no longer there."""
    if allow_changed_data or not (then := record_in(run.saved()[-1])):  # a run of an earlier version has no record
        return
    try:
        _, processor, data, _ = start or beginning(config)
    except (CheckpointError, ConfigError, MissingData, RegionError):
        return
    now = record_of(config, data, processor, iterations=0, processes=1)  # which are not refused
    compare_records(then, now, done=0, file=run.path, complete=True)


def summary(data: Prepared, cut: Mapping[str, Cut]) -> dict[str, Any]:
    """What a run trained on, for its folder.

    Args:
        cut: task -> how many of its training texts are cut.
    """
    return {
        "cleaned": asdict(data.cleaned),
        "tasks": {
            name: {"train": len(task.train), "validation": len(task.validation), "test_split": task.test_split}
            | ({"cut": asdict(cut[name])} if cut[name].cut else {})
            for name, task in data.tasks.items()
        },
        "coverage": {name: str(coverage) for name, coverage in data.coverage.items()},
        "found": dict(data.found),
        "vocabularies": {key: len(vocabulary) for key, vocabulary in data.vocabularies.items()},
    }
