"""``twelve evaluate``: evaluate a run's model and print its table of results."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from twelve import forked
from twelve.data.examples.columns import distinct_images
from twelve.data.examples.reading import read_examples
from twelve.data.own_files import contradictions
from twelve.data.prepare import Prepared, ValidationImages, prepare_measuring
from twelve.errors import DataError
from twelve.evaluation import published_scores, recorded
from twelve.evaluation.calibration import uncalibrated
from twelve.evaluation.compare import comparison, earlier
from twelve.evaluation.evaluate import Evaluator
from twelve.evaluation.result_files import ResultFolder, told
from twelve.evaluation.results import TaskResult, write_results
from twelve.evaluation.submission import Unlabelled, unlabelled, write_submission
from twelve.evaluation.zero_shot import lend_pretraining
from twelve.forked import HelperLost
from twelve.formats.data_root import is_drawn
from twelve.formats.records import finite
from twelve.io import files
from twelve.io.files import check_folder, is_there
from twelve.model.opening import open_saved
from twelve.model.precision import for_predicting
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.processes import Processes, connected, joined, own_device
from twelve.progress import counted, tell
from twelve.run_folder import RunFolder, model_folder
from twelve.runs.asked import asked, label
from twelve.runs.base_images import recorded_in
from twelve.runs.cut_texts import is_official
from twelve.runs.next_command import next_report
from twelve.runs.results_table import lines_of
from twelve.runs.run_card import kept_scores, write_run_card
from twelve.runs.same_regions import SameRegions
from twelve.runs.tested_files import with_files
from twelve.runs.unfinished import unfinished
from twelve.settings import RunConfig
from twelve.tasks.base import get
from twelve.tasks.custom import FileTask, own_tasks
from twelve.threads import Threads, given_back
from twelve.training.provenance import machine
from twelve.types.predictions import Prediction, RecordedPrediction


@given_back()
def evaluate_run(
    folder: str | Path,
    *,
    tasks: Sequence[str] | None = None,
    split: str | None = None,
    protocols: Sequence[str] = (),
    gallery: int | None = None,
    baselines: bool = True,
    submit: str | Path | None = None,
    results_folder: str | Path | None = None,
    allow_other_features: bool = False,
    allow_changed_data: bool = False,
    settings: Sequence[str] = (),
    console: Console | None = None,
) -> list[TaskResult]:
    """Evaluate the tasks of a run, write the results into its folder, and print the table of them. A model folder can
    be evaluated too if the settings name its data; nothing is written then.

    Args:
        folder: of the run, or of a model.
        tasks: names; by default all tasks of the run. A model that was pretrained can be asked for retrieval, too.
        split: the split to evaluate on; by default each task's test split.
        protocols, gallery: see :func:`twelve.runs.asked.asked`; by default those of the run's configuration.
        baselines: measure them, too.
        submit: file for the official results of one task; a split without labels is then predicted, not evaluated.
        results_folder: folder for the result file of every task in its dataset's official format
            (:mod:`twelve.evaluation.result_files`).
        allow_other_features: regions of another extractor than that of the training data are a warning, not an error.
        allow_changed_data: the same for regions of the same extractor that have changed since; what has is written into
            the results.
        settings: ``a.b=c`` changes of the run's configuration.
        console: shows the table; by default on standard output.

    Raises:
        RegionError: the regions have changed.
        Unlabelled: no split that was asked for has public answers.
        ConfigError: see :func:`twelve.runs.asked.asked`.
    """
    folder, submit, results_folder = Path(folder), _path(submit), _path(results_folder)
    with _alongside(console or Console()) as (processes, say):
        config, names = asked(folder, tasks, submit, settings, protocols, gallery, results_folder)
        written = _result_files(results_folder, folder, config, names, split)
        run, chosen, whole = RunFolder(folder), label(protocols, gallery), not tasks and split is None
        trained, target = is_there(run.config, DataError), run.evaluation_by(chosen) if chosen else run.evaluation
        if saved := trained and whole and baselines and not settings:
            check_folder(folder)
            run.check_links()
            files.check_links([target], run.path, "run")
        model, processor = _opened(folder, config, allow_other_features)
        if processes.main and (line := unfinished(folder)) is not None:
            tell(f"warning: {line}", Console(stderr=True))
        regions = SameRegions(run, processor.region_fingerprints, allow=allow_changed_data, say=say)
        taught = baselines and trained
        data = _prepared(run, config, processor, names, taught and submit is None)
        network = for_predicting(model, config.evaluation.precision)
        evaluator = Evaluator(config, network, processor, baselines=baselines, data=data, check=regions.check)
        for lacking in filter(None, evaluator.data.lacking.values()):
            say(lacking)
        began, predictions = time.monotonic(), None
        if submit is not None:
            predictions = _submitted(evaluator, submit, names[0], split, main=processes.main, say=say)
            if predictions is None:
                return []
            # Only baselines need the training files.
            evaluator.prepare(_prepared(run, config, processor, names, taught))
        most = 1 if allow_changed_data or processes.count > 1 else config.evaluation.together
        written = written if processes.main else None
        results, wrote = _measured(evaluator, names, split, predictions, say, written=written, skip=whole, most=most)
        facts = _facts(run, model, evaluator, round(time.monotonic() - began, 1)) | regions.facts
        results = [_completed(_calibrated(result, run, processor), evaluator, run) for result in results]
        for line in (
            *lines_of(results, facts),
            *comparison(earlier(config.model.init), results),
            *wrote,
            *_warnings(evaluator, results, split),
            *_cut(evaluator, results, trained=trained),
            *_known_to_base(evaluator, run, settings, names, split),
        ):
            say(line)
        if trained and not saved and submit is None:
            say("not saved to the run: to save, omit --task, --split, --no-baselines and --set")
        if saved and processes.main:
            write_results(target, results, facts)
            done = f"written to {target}" if chosen else _complete(run, model, evaluator, results, facts)
            if chosen or console is None or not console.stderr:  # with --json, a program reads the results
                say(done)
        return results


def _path(name: str | Path | None) -> Path | None:
    return None if name is None else Path(name)


@contextmanager
def _alongside(console: Console) -> Iterator[tuple[Processes, Callable[[str], None]]]:
    """The processes that evaluate together, and what prints lines when the block ends, in the main one: once a reader
    has closed the pipe (``| head``), the next line that is printed ends the program, which must not happen before the
    results are saved."""
    said: list[str] = []
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers shows one for every file it reads
    with joined() as processes, connected(processes.rank, processes.count):
        try:
            yield processes, said.append
        finally:
            for line in said if processes.main else ():
                tell(line, console)


def _opened(folder: Path, config: RunConfig, allow_other_features: bool) -> tuple[Twelve, TwelveProcessor]:
    """The saved model, on this process's device, and its processor, which knows the tasks that are asked for."""
    model, processor = open_saved(model_folder(folder))
    lend_pretraining(processor, config)
    processor.allow_other_features = allow_other_features
    torch.nn.Module.to(model, own_device())
    return model, processor


def _complete(
    run: RunFolder, model: Twelve, evaluator: Evaluator, results: Sequence[TaskResult], facts: Mapping[str, Any]
) -> str:
    """Write what a run has once it is evaluated, beside its results: single predictions and the model's card. Returns
    what to do next."""
    recorded.write(run.predictions, evaluator.recorded)
    made_by = str(facts["machine"].get("processor", ""))
    write_run_card(run.path, model, evaluator.processor, kept_scores(run.path), results, made_by)
    known = {name: (data.task, data.output) for name, data in evaluator.data.tasks.items()}
    return f"next: {next_report(run.path, known)}"


def _result_files(
    path: Path | None, folder: Path, config: RunConfig, names: Sequence[str], split: str | None
) -> ResultFolder | None:
    """The folder of result files; raises ConfigError, before anything is computed, if a task's could not be written."""
    if path is None:
        return None
    written, known = ResultFolder(path, folder), own_tasks(config.tasks)
    for task in (get(name, known) for name in names):
        written.check(task, split or task.test_split)
    return written


def _submitted(
    evaluator: Evaluator, submit: Path, name: str, split: str | None, *, main: bool, say: Callable[[str], None]
) -> Sequence[Prediction] | None:
    """Predict a split and write the official results; the predictions, or None if the split has no public answers."""
    examples, predictions = evaluator.predict(name, split)
    if main:
        write_submission(submit, evaluator.data.tasks[name].task, examples, predictions)
    say(f"wrote {counted(len(predictions), 'prediction')} to {submit}")
    return None if unlabelled(examples) else predictions


def _measured(
    evaluator: Evaluator,
    names: Sequence[str],
    split: str | None,
    predictions: Sequence[Prediction] | None,
    say: Callable[[str], None],
    *,
    written: ResultFolder | None,
    skip: bool,
    most: int,
) -> tuple[list[TaskResult], list[str]]:
    """The results of the tasks, and what to tell of the result files.

    Args:
        predictions: of the only task, if they are there already.
        written: where result files go.
        skip: pass over tasks whose split has no public answers, as long as one is measured.
        most: tasks that are measured at the same time.

    Raises:
        Unlabelled: no split has public answers; or one has none, without ``skip``.
        HelperLost: a process that measured a task has ended.
    """
    count = 1
    if sys.platform == "linux" and evaluator.model.device.type == "cpu":
        count = min(evaluator.threads.most, most, len(names))

    def measured(name: str) -> tuple[TaskResult, str, list[RecordedPrediction]] | Unlabelled:
        if count > 1:
            evaluator.threads = Threads(1)
        began, evaluator.recorded = time.monotonic(), []
        try:
            result = evaluator.measure(name, split, predictions)
        except Unlabelled as error:
            if not skip:
                raise
            return error
        except DataError as error:
            raise _of_another_task(error, evaluator, name, names, split) from None
        line = ""
        if written is not None:
            own, root = evaluator.data.tasks[name].task, evaluator.data.root
            line = told(written.write(own, root, result, *evaluator.predicted), written.path)
        return replace(result, seconds=round(time.monotonic() - began, 1)), line, evaluator.recorded

    remedy = "free memory, then run the same command again; with OMP_NUM_THREADS=1, it measures one task at a time"
    lost = HelperLost("a process that measured a task has ended", record="evaluation.together", remedy=remedy)
    found = forked.each(measured, names, count, lost, "measuring tasks")
    unmeasured = [each for each in found.values() if isinstance(each, Unlabelled)]
    done = [each for each in found.values() if not isinstance(each, Unlabelled)]
    if unmeasured and not done:
        raise unmeasured[0]
    for error in unmeasured:
        say(f"not measured: {error}")
    evaluator.recorded = [each for _, _, recorded in done for each in recorded]
    return [result for result, _, _ in done], [line for _, line, _ in done if line]


def _completed(result: TaskResult, evaluator: Evaluator, run: RunFolder) -> TaskResult:
    """The result, with what is known of its files."""
    base = recorded_in(run).tasks.get(result.task)
    known = () if base is None else base.seen  # a warning of their own tells of them
    return with_files(result, evaluator.data.tasks[result.task], evaluator.data.root, evaluator.processor, known)


def _warnings(evaluator: Evaluator, results: Sequence[TaskResult], split: str | None) -> Iterator[str]:
    """What speaks against a score: answers of one's own that the model cannot give, or was not trained to give, or that
    contradict each other; and, of a split that was asked for, images that the model was trained on (unknown without the
    training files)."""
    for result in results:
        data = evaluator.data.tasks[result.task]
        task, name, title = data.task, result.protocol.split, data.task.title
        if split is None and not isinstance(task, FileTask):
            continue
        examples, told = read_examples(task, evaluator.data.root, name), [*result.unanswerable]
        if isinstance(task, FileTask):
            told += contradictions(task, evaluator.data.root, name, examples)
        yield from (f"warning: {title}: {line}" for line in told)
        images = set(distinct_images(examples))
        trained = images.intersection(distinct_images(data.train)) if split is not None else ()
        if seen := len(trained) or result.trained_images:
            yield (
                f"warning: {title}: the model was trained on {seen:,} of {name}'s {len(images):,} images, so this is "
                "not a test score"
            )


def _cut(evaluator: Evaluator, results: Sequence[TaskResult], *, trained: bool) -> Iterator[str]:
    """Which tasks have many texts that the model does not read to the end; ``trained``: its run is known."""
    positions = evaluator.model.config.max_position_embeddings
    for result in results:
        official = is_official(evaluator.data.tasks[result.task].task)
        if result.cut is not None and result.cut.matters(official=official):
            remedy = result.cut.remedy(result.task, positions, grows=trained and evaluator.config.model.grows)
            yield f"warning: {result.title}: {result.cut.sentence(f'texts of {result.protocol.split}')}; {remedy}"


def _of_another_task(
    error: DataError, evaluator: Evaluator, name: str, names: Sequence[str], split: str | None
) -> DataError:
    """An error in a line of a file that was named for several tasks, which may be another one's."""
    others = [each for each in names if each != name]
    if not others or split is None or error.record is None or error.file != evaluator.data.root.path / split:
        return error
    its = f"--task {others[0]}" if len(others) == 1 else f"--task NAME (one of {', '.join(others)})"
    return DataError(
        error.problem, file=error.file, record=error.record, remedy=f"{error.remedy}; or name its task: {its}"
    )


def _known_to_base(
    evaluator: Evaluator, run: RunFolder, settings: Sequence[str], names: Sequence[str], split: str | None
) -> Iterator[str]:
    """Which test images the base model was trained on."""
    if any(each.startswith("data=") for each in settings):  # there, the ids may be those of other images
        return
    base = recorded_in(run)
    for name, data in ((name, evaluator.data.tasks[name]) for name in names if name in base.tasks):
        if split in (None, data.test_split):
            images = distinct_images(read_examples(data.task, evaluator.data.root, data.test_split))
            if said := base.warning(name, data.task.title, images):
                yield f"warning: {said}"


def _calibrated(result: TaskResult, run: RunFolder, processor: TwelveProcessor) -> TaskResult:
    """The result, with a note if its confidence is not calibrated."""
    if result.calibration_error is None:
        return result
    tasks = run.read(run.data).get("tasks")
    own = tasks.get(result.task) if isinstance(tasks, dict) else None
    count = own.get("validation") if isinstance(own, dict) else None
    known = count if isinstance(count, int) and not isinstance(count, bool) else None
    return replace(result, uncalibrated=uncalibrated(result.task, processor.temperatures, known))


def _prepared(
    run: RunFolder, config: RunConfig, processor: TwelveProcessor, names: Sequence[str], baselines: bool
) -> Prepared | None:
    """The data that an evaluation reads; None where it must find out itself which images were held back."""
    held_back = ValidationImages(frozenset(), frozenset())
    if baselines:
        if not is_there(run.validation_images, DataError):
            return None  # which images were held back follows from the files of all tasks
        held_back = ValidationImages.read(run.validation_images)
    data = prepare_measuring(
        config, processor.vocabularies, names, held_back, baselines=baselines, recipes=processor.region_recipes
    )
    if baselines:
        return data
    # Without the training texts, the baselines that learn from them are left out.
    return replace(data, lacking=dict.fromkeys(names, ""))


def _facts(run: RunFolder, model: Twelve, evaluator: Evaluator, seconds: float) -> dict[str, Any]:
    """The date, how far training has come, size, precision, training time and evaluation time of the model, whether its
    data are synthetic, and the machine."""
    stages = stage_seconds(run)
    lines = [line for line in run.logged() if finite(line.get("seconds"))]
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "iterations": run.iterations(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "precision": evaluator.model.precision,
        published_scores.DRAWN: is_drawn(evaluator.data.root.path),
        "training_seconds": max((float(line["seconds"]) for line in lines), default=0.0),
        "evaluation_seconds": seconds,
        "machine": machine(),
    } | {f"{name}_seconds": spent for name, spent in stages.items() if name not in ("training", "measuring")}


def stage_seconds(run: RunFolder) -> dict[str, float]:
    """Seconds that each stage of ``twelve quickstart`` took; empty for a run that it did not make."""
    return {name: float(spent) for name, spent in run.read(run.stages).items() if finite(spent)}
