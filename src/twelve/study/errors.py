"""``twelve study errors``: on which kinds of examples does one arm of a study win over another, and how alike are their
models?

It trains nothing. Differences come from the results of the study; the similarity of the models' states, which needs
these models and the data, is computed only if it is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from rich.console import Console

from twelve.errors import ConfigError, DataError, found_in, nearest
from twelve.evaluation.kinds import ANSWERS
from twelve.io import files
from twelve.metrics.bootstrap import Interval
from twelve.progress import counted, tell
from twelve.study.arms import Arm
from twelve.study.cells import MARK, gain_of, table
from twelve.study.finding_types import Row
from twelve.study.findings import findings
from twelve.study.measures.errors import Compared, KindDifference, differences, spread
from twelve.study.plan import Plan
from twelve.study.results import AGAIN, read_result, result_file
from twelve.study.table import ALONE, NOT_LEARNED

TABLE, FOUND = "errors.md", "errors.json"
WEAKLY = "by the bootstrap alone"
BY_ANSWER = (
    f"{', '.join(ANSWERS)}: the correct answer. An arm that gives one answer more often scores higher where it is "
    "correct."
)
SHOWN = 30
"""Most differences of the table; errors.json holds all."""
BATCH, BATCHES = 32, 8
"""Examples of a batch, and most batches of a task, that states are compared on."""


def show(
    source: Path,
    arms: Sequence[str] = (),
    out: Path | None = None,
    *,
    similarity: bool = False,
    console: Console | None = None,
) -> str:
    """Print where two arms differ, and write it into a folder if one is named; returns it.

    Args:
        source: the study's folder.
        arms: names of the two; by default those of the study's main contrast.
        similarity: compare the states of the first seed's models too; needs the models and the data.

    Raises:
        DataError: no study, a damaged file, or one whose kinds of examples were not recorded.
        ConfigError: there are no such arms.
    """
    found = findings(source)
    with found_in(source):
        first, second = chosen(found.plan, arms)
    tasks = [task for task in first.tasks if task in second.tasks]
    measured = {task: differences_of(found.plan, source, found.seeds, (first, second), task) for task in tasks}
    rows = {row.name: row for row in found.rows}
    learned = [task for task in tasks if task in rows and _learned(rows[task], second)]
    unlearned = [task for task in tasks if task not in learned]
    alike = alignments(found.plan, source, found.seeds[0], (first, second), tasks) if similarity else {}
    titles = {task: rows[task].title if task in rows else task for task in tasks}
    told: tuple[str, ...] = sentences(first, second, {titles[task]: measured[task] for task in learned})
    if unlearned:
        names = ", ".join(titles[task] for task in unlearned)
        titles |= {task: f"{titles[task]} ({NOT_LEARNED})" for task in unlearned}
        if learned:
            told = (*told, f"Not counted, because {second.name} has not learned them: {names}.")
    text = _page(first, second, told, {titles[task]: own for task, own in measured.items()}, alike)
    if out is not None:
        tree = {
            "arms": [first.name, second.name],
            "sentences": told,
            "differences": {task: [asdict(each) for each in own] for task, own in measured.items()},
            "similarity": {task: {name: asdict(each) for name, each in own.items()} for task, own in alike.items()},
        }
        for name, page in ((TABLE, text), (FOUND, json.dumps(tree, indent=1) + "\n")):
            with files.replacing(out / name) as partial:
                partial.write_text(page, encoding="utf-8")
    tell(text, console or Console())
    return text


def _learned(row: Row, arm: Arm) -> bool:
    score = row.scores.get(arm.name)  # none of an arm that is not complete
    return score is not None and score.learned


def chosen(plan: Plan, names: Sequence[str]) -> tuple[Arm, Arm]:
    """Two arms of a study.

    Raises:
        ConfigError: it has no such arms, or they train no task in common.
    """
    if not names and plan.contrasts:
        names = (plan.contrasts[0].arm, plan.contrasts[0].minus)
    for name in names:
        if name not in plan.names:
            remedy = f"choose among {', '.join(plan.names)}"
            raise ConfigError(f"unknown arm {name!r}{nearest(name, plan.names)}", record="arms", remedy=remedy)
    if len(names) != 2:
        problem, remedy = f"expected two arms, found {len(names)}", f"name two of {', '.join(plan.names)}"
        raise ConfigError(problem, record="arms", remedy=remedy)
    first, second = plan.arm(names[0]), plan.arm(names[1])
    if not set(first.tasks) & set(second.tasks):
        problem = f"{first.name} and {second.name} train no task in common"
        raise ConfigError(problem, record="arms", remedy="name arms of the same tasks")
    return first, second


def differences_of(
    plan: Plan, out: Path, seeds: Sequence[int], arms: tuple[Arm, Arm], task: str
) -> list[KindDifference]:
    """The differences of two arms on one task, by kind of example.

    Raises:
        DataError: the kinds of its examples were not recorded.
    """
    base, compared = plan.base(task).name, []
    for seed in seeds:
        first, second = (read_result(plan, out, seed, arm.name, task) for arm in arms)
        kinds = read_result(plan, out, seed, base, task).kinds
        if kinds is None:
            problem = "the kinds of its examples were not recorded, as in studies of earlier versions"
            raise DataError(problem, file=result_file(out, seed, base, task), record="kinds", remedy=AGAIN)
        compared.append(Compared(np.array(first.values), np.array(second.values), first.groups, kinds))
    return differences(compared, shared=not plan.worlds, resamples=plan.parsed().evaluation.resamples)


def alignments(
    plan: Plan, out: Path, seed: int, arms: tuple[Arm, Arm], tasks: Sequence[str]
) -> dict[str, dict[str, Interval]]:
    """Task -> layer -> similarity (measures/cka.py) of the two arms' models on the task's validation examples.

    Raises:
        ConfigError, CheckpointError: a model is not there any more.
    """
    from twelve.data.batch import Collator
    from twelve.model.opening import open_saved
    from twelve.study.execution import Seed
    from twelve.study.measures.cka import compare

    place, found = Seed(plan, out, seed), dict[str, dict[str, Interval]]()
    data = place.beginning.data
    for name in tasks:
        (first, processor), (second, _) = (open_saved(place.kept(arm, arm.model_of(name))) for arm in arms)
        task = data.tasks[name]
        collator = Collator(task.task.name, task.output, task.task.output, processor, data.store)
        rows = range(0, min(len(task.validation), BATCH * BATCHES), BATCH)
        batches = (collator(list(task.validation[start : start + BATCH])) for start in rows)
        found[name] = {layer: own.value() for layer, own in compare(first, second, batches).items()}
    return found


# --- the page -----------------------------------------------------------------------------------------------------
def sentences(first: Arm, second: Arm, measured: Mapping[str, Sequence[KindDifference]]) -> tuple[str, ...]:
    """Two sentences that can be quoted, on tasks that the second arm has learned. They leave out the kinds that are
    answers: an arm that gives one answer more often scores higher where it is correct."""
    if not measured:
        return (f"{second.name} has learned none of the tasks, so no difference is a gain or a loss.",)
    every = [(task, each) for task, each in _distinct(measured) if each.kind not in ANSWERS]
    counts = [sum(sign * each.gain.mean > 0 and each.significant for _, each in every) for sign in (1, -1)]
    more = [sum(sign * each.gain.mean > 0 and each.by_bootstrap_alone for _, each in every) for sign in (1, -1)]
    better, worse = (
        f"{count}{f' ({alone} more {WEAKLY})' if alone else ''}" for count, alone in zip(counts, more, strict=True)
    )
    said = (
        f"Of {counted(len(every), 'kind')} of examples on {counted(len(measured), 'task')}, {first.name} is "
        f"significantly better than {second.name} on {better} and worse on {worse}; if the arms were "
        f"equal, about {0.05 * len(every):.0f} or fewer would be significant by chance."
    )
    if not every:
        return said, "No kind has enough examples."
    gain, loss = _largest(every, 1), _largest(every, -1)
    return said, f"{gain[:1].upper()}{gain[1:]}; {loss}."


def _distinct(measured: Mapping[str, Sequence[KindDifference]]) -> list[tuple[str, KindDifference]]:
    """(task, difference) of all kinds; once where several kinds have a value with the same examples."""
    return [(task, each) for task, own in measured.items() for each in own if not each.same]


def _largest(every: Sequence[tuple[str, KindDifference]], sign: int) -> str:
    """The largest significant gain, or loss; if there is none, the largest by the bootstrap alone."""
    name = "gain" if sign > 0 else "loss"
    signed = [(task, each) for task, each in every if sign * each.gain.mean > 0]
    if own := [pair for pair in signed if pair[1].significant]:
        return f"the largest significant {name} is on {_named(*max(own, key=_size))}"
    if own := [pair for pair in signed if pair[1].by_bootstrap_alone]:
        return f"no {name} is significant, and the largest {WEAKLY} is on {_named(*max(own, key=_size))}"
    return f"no {name} is significant"


def _size(pair: tuple[str, KindDifference]) -> float:
    return abs(pair[1].gain.mean)


def _named(task: str, each: KindDifference) -> str:
    return f"{task}, {each.kind} {each.value} ({_gain(each)} points, {counted(each.examples, 'example')})"


def _page(
    first: Arm,
    second: Arm,
    told: Sequence[str],
    measured: Mapping[str, Sequence[KindDifference]],
    alike: Mapping[str, Mapping[str, Interval]],
) -> str:
    every = sorted(
        (pair for pair in _distinct(measured) if pair[1].significant or pair[1].by_bootstrap_alone),
        key=lambda pair: (not pair[1].significant, -_size(pair)),
    )
    rows = [
        [task, each.kind, each.value, f"{each.examples:,}", f"{each.first:.1f}", f"{each.second:.1f}", _gain(each)]
        for task, each in every[:SHOWN]
    ]
    header = ["task", "kind", "value", "examples", first.name, second.name, "difference, points"]
    strongest = [[task, *_strongest(own)] for task, own in measured.items()]
    said = " ".join(told)
    parts = [
        said,
        f"The largest differences of {first.name} minus {second.name}, the significant ones first, with paired 95% "
        "intervals.",
        table(header, rows),
        *([BY_ANSWER] if any(each.kind in ANSWERS for _, each in every[:SHOWN]) else []),
        *([ALONE] if MARK in said or any(each.by_bootstrap_alone for _, each in every[:SHOWN]) else []),
        table(["task", "kind that tells most about the difference", "standard deviation over it, points"], strongest),
    ]
    if alike:
        layers = list(dict.fromkeys(layer for own in alike.values() for layer in own))
        lines = [
            [task, *(f"{own[layer].mean:.2f}" if layer in own else "" for layer in layers)]
            for task, own in alike.items()
        ]
        parts += ["Similarity of the two models' states (linear CKA, unbiased).", table(["task", *layers], lines)]
    return "\n\n".join(parts) + "\n"


def _strongest(found: Sequence[KindDifference]) -> tuple[str, str]:
    if not found:
        return "", ""
    kinds = spread(found)
    kind = max(kinds, key=kinds.__getitem__)
    return kind, f"{kinds[kind]:.1f}"


def _gain(each: KindDifference) -> str:
    return gain_of(each.gain) + MARK * each.by_bootstrap_alone
