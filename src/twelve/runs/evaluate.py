"""``twelve evaluate``: evaluate a run's model and print its table of results."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from transformers.utils.logging import disable_progress_bar

from twelve.data.prepare import Prepared, ValidationImages, prepare_measuring
from twelve.errors import DataError
from twelve.evaluation import recorded
from twelve.evaluation.compare import comparison, earlier
from twelve.evaluation.evaluate import Evaluator
from twelve.evaluation.results import TaskResult, write_results
from twelve.evaluation.submission import unlabelled, write_submission
from twelve.formats.records import finite
from twelve.io.files import check_folder, is_there
from twelve.metrics.bootstrap import Interval
from twelve.model.opening import open_saved
from twelve.model.precision import for_predicting
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.processes import connected, joined, own_device
from twelve.progress import clock, tell
from twelve.run_folder import RunFolder, model_folder
from twelve.runs.asked import asked
from twelve.runs.run_card import kept_scores, write_run_card
from twelve.runs.same_regions import SameRegions
from twelve.settings import RunConfig
from twelve.threads import given_back
from twelve.training.provenance import machine

FEW = 10
"""With fewer groups to resample, an interval does not show whether a baseline is beaten."""


@given_back()
def evaluate_run(
    folder: Path,
    *,
    tasks: Sequence[str] | None = None,
    split: str | None = None,
    full: bool = False,
    baselines: bool = True,
    submit: Path | None = None,
    allow_other_features: bool = False,
    allow_changed_data: bool = False,
    settings: Sequence[str] = (),
    console: Console | None = None,
) -> list[TaskResult]:
    """Evaluate the tasks of a run, print the table of results, and write them into the run's folder.

    Args:
        tasks: names; by default all tasks of the run.
        split: the split to evaluate on; by default each task's test split.
        full: use the complete protocol (retrieval: the whole gallery).
        submit: file for the official results of one task; a split without labels is then predicted, not evaluated.
        allow_other_features: regions of another extractor than that of the training data are a warning, not an error.
        allow_changed_data: the same for regions of the same extractor that have changed since; what has is written into
            the results.

    Raises:
        RegionError: the regions have changed.
        ConfigError: see :func:`twelve.runs.asked.asked`.
    """
    with joined() as processes, connected(processes.rank, processes.count):
        console = (console or Console()) if processes.main else Console(quiet=True)
        disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers shows one for every file it reads
        config, names = asked(folder, tasks, submit, settings)
        run, saved = RunFolder(folder), not tasks and split is None and baselines and not settings
        if saved:
            check_folder(folder)
            run.check_links()
        model, processor = open_saved(model_folder(folder))
        torch.nn.Module.to(model, own_device())
        processor.allow_other_features = allow_other_features
        regions = SameRegions(run, processor.region_fingerprints, allow=allow_changed_data, console=console)
        evaluator = Evaluator(
            config,
            for_predicting(model, config.evaluation.precision),
            processor,
            full=full,
            baselines=baselines,
            data=_prepared(run, config, processor, names, baselines and submit is None),
            check=regions.check,
        )
        for lacking in evaluator.data.lacking.values():
            tell(lacking, console)
        results = []
        for name in names:
            started, predictions = time.monotonic(), None
            if submit is not None:
                examples, predictions = evaluator.predict(name, split)
                if processes.main:
                    write_submission(submit, evaluator.data.tasks[name].task, examples, predictions)
                tell(f"{len(predictions):,} predictions are in {submit}", console)
                if unlabelled(examples):
                    return []
                # Only baselines need the training files.
                evaluator.prepare(_prepared(run, config, processor, names, baselines))
            result = evaluator.measure(name, split, predictions)
            results.append(replace(result, seconds=round(time.monotonic() - started, 1)))
        facts = _facts(run, model, results) | {"precision": evaluator.model.precision} | regions.facts
        show(results, facts, console)
        for line in comparison(earlier(config.model.init), results):
            tell(line, console)
        if not saved and submit is None:
            tell("not saved: leave out --task, --split, --no-baselines and --set to write it into the run", console)
        if saved and processes.main:
            write_results(run.full_evaluation if full else run.evaluation, results, facts)
            if not full:
                recorded.write(run.predictions, evaluator.recorded)
                made_by = str(facts["machine"].get("processor", ""))
                write_run_card(folder, model, processor, kept_scores(folder), results, made_by)
        return results


def _prepared(
    run: RunFolder, config: RunConfig, processor: TwelveProcessor, names: Sequence[str], baselines: bool
) -> Prepared | None:
    """The data that an evaluation reads; None where it must find out itself which images were held back."""
    held_back = ValidationImages(frozenset(), frozenset())
    if baselines:
        if not is_there(run.validation_images, DataError):
            return None  # which images were held back follows from the files of all tasks
        held_back = ValidationImages.read(run.validation_images)
    return prepare_measuring(
        config, processor.vocabularies, names, held_back, baselines=baselines, recipes=processor.region_recipes
    )


def _facts(run: RunFolder, model: Twelve, results: Sequence[TaskResult]) -> dict[str, Any]:
    """Size, training time and evaluation time of the model, and the machine."""
    stages = stage_seconds(run)
    logged = (float(line["seconds"]) for line in run.logged() if finite(line.get("seconds")))
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "training_seconds": max(logged, default=0.0),
        "evaluation_seconds": sum(result.seconds for result in results),
        "machine": machine(),
    } | {f"{name}_seconds": spent for name, spent in stages.items() if name not in ("training", "measuring")}


def stage_seconds(run: RunFolder) -> dict[str, float]:
    """Seconds that each stage of ``twelve quickstart`` took; empty for a run that it did not make."""
    return {name: float(spent) for name, spent in run.read(run.stages).items() if finite(spent)}


def show(results: Sequence[TaskResult], facts: Mapping[str, Any], console: Console) -> None:
    """Print the table, the protocols, and the size and the training time of the model."""
    tell(table(results), console)
    for result in results:
        tell(protocol_line(result), console)
    spent = [clock(facts[f"{stage}_seconds"]) for stage in ("training", "evaluation")]
    size = f"one model, {facts['parameters'] / 1e6:.1f} M parameters"
    tell(f"{size}; trained in {spent[0]}, measured in {spent[1]} (minutes:seconds)", console)


def table(results: Sequence[TaskResult]) -> str:
    """Every score with its interval and, below it, each baseline with the model's advantage; 80 columns wide."""
    lines = [f"{'per cent, with 95 % intervals':<33}{'score':>6} {'ahead':>7}"]
    for result in results:
        score = result.score
        lines.append(f"{result.title + ', ' + result.metric:<33}{score.mean:6.1f} {'':>7} {_range(score, '.1f')}")
        for baseline in result.baselines.values():
            verdict = "too few to tell" if result.groups < FEW else "beaten" if baseline.beaten else "NOT beaten"
            gain = f"{baseline.advantage.mean:+7.1f} {_range(baseline.advantage, '+.1f'):<17}"
            lines.append(f"  over {baseline.name:<26}{baseline.score:6.1f} {gain}{verdict}")
        if result.upper_bound is not None:
            gone = f"{result.closed:7.1f} % of the way from the best baseline" if result.closed is not None else ""
            lines.append(f"  {'of at most':<31}{result.upper_bound:6.1f} {gone}".rstrip())
    return "\n".join(lines)


def _range(found: Interval, form: str) -> str:
    return f"[{found.low:{form}}, {found.high:{form}}]"


def protocol_line(result: TaskResult) -> str:
    """Everything that is needed to compare a score with that of another model."""
    protocol = result.protocol
    parts = [
        f"split {protocol.split}",
        f"{result.examples:,} examples, resampled by {result.groups:,} groups",
        f"{protocol.boxes} boxes",
        f"ties: {protocol.ties}",
    ]
    if protocol.gallery:
        parts.append(f"gallery of {protocol.gallery}")
    if protocol.shortlist:
        parts.append(f"shortlists of {protocol.shortlist} by the contrast head, which alone ranks the rest")
    if protocol.note:
        parts.append(protocol.note)
    others = [f"{name} {value:.2f}" for name, value in result.metrics.items() if "question type" not in name]
    if result.calibration_error is not None:
        others.append(f"calibration error {result.calibration_error:.2f}")
    return f"{result.title}: {'; '.join(parts)}\n  {', '.join(others)}"
