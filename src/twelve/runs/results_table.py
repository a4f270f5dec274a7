"""What ``twelve evaluate`` prints: a table of scores beside their baselines, how to read it, and every protocol."""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console

from twelve.evaluation import published_scores
from twelve.evaluation.compared import BETTER, GUESS, MAY_BE_CHANCE, NOT_SHOWN, UNDECIDED, WORSE, explained, standing
from twelve.evaluation.results import TaskResult
from twelve.metrics.bootstrap import FEW, Interval, few_groups
from twelve.progress import WIDTH, clock, counted, tell, with_sign
from twelve.tasks.base import all_tasks, foreign
from twelve.types.measurement import OFFICIAL, Owner

_OF: Mapping[Owner, str] = {"file": "the metric on your file", "code": "the metric of your task"}
_RESAMPLED = "interval: 95%, from resampling images"
_ALIKE = "; of 0 and 100, where every sample is alike, Wilson's"
_SHARE = (
    "interval: 95%, by Wilson's formula if the score is the share of correct examples and each image has one example; "
    "otherwise from resampling images"
)
_ONE_TRAINING = (
    "It shows how much the score could change with different test images. Another training seed may change it more."
)
_BASELINES = (
    f"over ...: a baseline, {GUESS}; lead: the model minus it, points. "
    f"{BETTER}: the interval is above 0; {WORSE}: below 0; {UNDECIDED}: {NOT_SHOWN}, {MAY_BE_CHANCE}."
)
_BOUND = (
    "upper bound: what the answers or regions allow. normalised score: 0 at the best baseline, 100 at the upper bound."
)


def show(results: Sequence[TaskResult], facts: Mapping[str, Any], console: Console) -> None:
    """Print :func:`lines_of`."""
    for line in lines_of(results, facts):
        tell(line, console)


def lines_of(results: Sequence[TaskResult], facts: Mapping[str, Any]) -> Iterator[str]:
    """The table, the protocols, and the size and the training time of the model."""
    yield f"{table(results)}\n"
    for result in results:
        for line in protocol_line(result).splitlines():
            yield textwrap.fill(line, WIDTH, subsequent_indent="    ")
    spent = [clock(facts[f"{stage}_seconds"]) for stage in ("training", "evaluation")]
    yield from published_scores.lines(results, drawn=facts.get(published_scores.DRAWN) is True)
    size = f"one model, {facts['parameters'] / 1e6:.1f} M parameters"
    yield f"{size}; trained in {spent[0]}, evaluated in {spent[1]} (minutes:seconds)"


def table(results: Sequence[TaskResult]) -> str:
    """Every score with its interval and, below it, each baseline with the model's lead; 80 columns wide."""
    lines = [f"{'task, metric / baseline':<33}{'score':>6} {'lead':>7} {'[95% interval]':<17}verdict"]
    for result in results:
        score = result.score
        lines.append(f"{result.title + ', ' + result.metric:<33}{score.mean:6.1f} {_range(score)}")
        for baseline in result.baselines.values():
            stands = standing(baseline.advantage.low, baseline.advantage.high)
            verdict = "too few to tell" if result.groups < FEW else stands
            gain = f"{with_sign(baseline.advantage.mean):>7} {_range(baseline.advantage, with_sign):<17}"
            lines.append(f"  over {baseline.name:<26}{baseline.score:6.1f} {gain}{verdict}")
        if result.upper_bound is not None:
            share = f"{result.normalised:7.1f} normalised score" if result.normalised is not None else ""
            lines.append(f"  {'upper bound':<31}{result.upper_bound:6.1f} {share}".rstrip())
    legend = [f"score: {_metric(results)}, per cent. {_interval(results)}. {_ONE_TRAINING}"]
    legend += [_BASELINES] if any(result.baselines for result in results) else []
    guesses = {name: explained(name) for each in results for name in each.baselines}
    legend += ["; ".join(f"{name}: {said}" for name, said in guesses.items()) + "."] if guesses else []
    legend += [_BOUND] if any(result.upper_bound is not None for result in results) else []
    return "\n".join([*lines, "", *(line for told in legend for line in textwrap.wrap(told, WIDTH))])


def _metric(results: Sequence[TaskResult]) -> str:
    """What a score is: the official metric of a dataset, or the metric of a task of one's own, of any split."""
    owners = {_owner(result) for result in results}
    if owners == {"dataset"}:
        return "official metric"
    told = " or ".join(words for owner, words in _OF.items() if owner in owners)
    return f"the official metric; of your own tasks, {told}" if "dataset" in owners else told


def _interval(results: Sequence[TaskResult]) -> str:
    """Where the intervals come from (metrics/bootstrap.py)."""
    several = [result for result in results if result.examples > result.groups]
    alike = _ALIKE if any(result.score.mean in (0, 100) for result in several) else ""
    return f"{_RESAMPLED if several == list(results) else _SHARE}{alike}"


def _owner(result: TaskResult) -> Owner:
    """Whose metric it is; a task that is not registered is one of the configuration."""
    task = all_tasks().get(result.task)
    return "file" if task is None else "code" if foreign(task) else "dataset"


def _range(found: Interval, form: Callable[[float], str] = "{:.1f}".format) -> str:
    return f"[{form(found.low)}, {form(found.high)}]"


def protocol_line(result: TaskResult) -> str:
    """Everything that is needed to compare a score with that of another model."""
    protocol, own = result.protocol, _owner(result) != "dataset"
    unit = "cluster" if own else all_tasks()[result.task].unit
    parts = [
        *(() if own and protocol.name == OFFICIAL else (f"protocol {protocol.name}",)),
        f"split {protocol.split}",
        f"{counted(result.examples, 'example')}, resampled by {counted(result.groups, unit)}",
        f"{protocol.boxes} boxes",
        *((f"ties: {protocol.ties}",) if result.ties_matter or not own else ()),
    ]
    if protocol.gallery:
        several = f"{protocol.galleries} galleries" if protocol.galleries > 1 else "gallery"
        parts.append(f"{several} of {protocol.gallery:,} images")
    if protocol.shortlist:
        parts.append(f"shortlists of {protocol.shortlist} by the contrast head, which alone ranks the rest")
    if protocol.contrast_weight:
        parts.append(f"with {protocol.contrast_weight:g} times the contrast head's logit")
    if protocol.note:
        parts.append(protocol.note)
    told = ""
    others = [f"{name} {value:.2f}" for name, value in result.metrics.items() if "question type" not in name]
    if result.calibration_error is not None:
        why = result.uncalibrated.removeprefix("not calibrated").removeprefix(": ")
        raw = f", without calibration{why and f' ({why})'}" if result.uncalibrated else ""
        told = f"\n  calibration error {result.calibration_error:.2f} percentage points{raw}"
    note = result.interval_note and f"\n  {result.interval_note}"
    if not note and result.examples > result.groups and (few := few_groups(result.groups)):
        note = f"\n  warning: {few}"
    return f"{result.title}: {'; '.join(parts)}\n  {', '.join(others)}{told}{note}"
