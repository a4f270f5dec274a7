"""The findings of a study, from the results of its runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from twelve.errors import DataError, quoted
from twelve.io import files, json_file
from twelve.io.invalid import problem_of
from twelve.metrics.bootstrap import Interval
from twelve.study import costs, multiple, uneven, unseen
from twelve.study import plan as plans
from twelve.study.arms import Arm, Contrast
from twelve.study.bootstrap import Array, between, sign
from twelve.study.finding_types import Cell, Comparison, Findings, Row, Score, Uneven
from twelve.study.plan import Plan
from twelve.study.results import ByType, has_result
from twelve.study.scores import Samples, TaskResults, interval_of, seeds_of
from twelve.study.studies import FROM_FILES, STUDIES
from twelve.study.studies.base import said

NOTES = "notes.md"
"""What somebody wrote about a recorded study: retractions, limits."""
WARNING = "Warning: "
"""How a note begins that stands before the answer."""


def findings(out: str | Path) -> Findings:
    """The findings of a study: of all arms if they are complete in some seed, otherwise of the complete arms.

    Args:
        out: the study's folder.

    Raises:
        DataError: no arm is complete, a file is damaged, or two arms were evaluated on different examples.
    """
    out = Path(out)
    plan = plans.read(out)
    seeds, arms, missing = _complete(plan, out)
    tasks = [TaskResults(plan, out, name, seeds, arms) for name in plan.tasks if any(name in arm.tasks for arm in arms)]
    usable = [task for task in tasks if task.has_room]
    if not usable:
        problem = "no task has room between its baseline and its upper bound"
        raise DataError(problem, file=out, remedy="measure other tasks")
    drawn = Samples(plan, usable)
    rows = tuple(_row(task, drawn) for task in usable)
    results = [result for task in tasks for by_arm in task.results.values() for result in by_arm.values()]
    names = {arm.name for arm in arms}
    contrasts = [each for each in plan.contrasts if names.issuperset(each.arms)]
    kept = {row.name for row in rows}
    notes = _notes(out)
    warned = tuple(note.removeprefix(WARNING) for note in notes if note.startswith(WARNING))
    comparisons = [
        _comparison(each, [task for task in each.tasks if task in kept], drawn, warned=bool(warned))
        for each in contrasts
    ]
    found = Findings(
        folder=out,
        title=plan.study,
        question=plan.question,
        claim=plan.claim,
        plan=plan,
        seeds=seeds,
        arms=arms,
        missing=missing,
        rows=rows,
        left_out={task.title: "its baseline reaches its upper bound" for task in tasks if not task.has_room},
        closed={arm.name: drawn.mean(arm.name, [task for task in arm.tasks if task in kept]) for arm in arms},
        closed_seeds={
            arm.name: drawn.mean_seeds(arm.name, [task for task in arm.tasks if task in kept]) for arm in arms
        },
        comparisons=multiple.corrected([each for each in comparisons if each is not None]),
        costs={arm.name: costs.cost(plan, out, arm, [task.by_seed(arm.name) for task in tasks]) for arm in arms},
        curves=tuple(curve for task in tasks for curve in task.curves()),
        searches=costs.searches(plan, out),
        machine=plans.machine_of(out),
        commits=tuple(dict.fromkeys(result.commit or "not recorded" for result in results)),
        processors=tuple(dict.fromkeys(result.processor for result in results if result.processor)),
        notes=tuple(note for note in notes if not note.startswith(WARNING)),
        warned=warned,
        identical=_identical(tasks, arms, contrasts),
    )
    found = _told(found)
    told = (*_qualified(found, uneven.told(found)), *multiple.named(found), *unseen.told(found))
    return replace(found, sentences=told)


def _notes(out: Path) -> tuple[str, ...]:
    """The paragraphs of notes.md, if it is there; raises DataError if it cannot be read."""
    path = out / NOTES
    if not files.is_there(path, DataError):
        return ()
    text = json_file.read_text(path, DataError, remedy=f"write plain sentences in it, or remove it: rm {quoted(path)}")
    return tuple(" ".join(part.split()) for part in re.split(r"\n\s*\n", text) if part.strip())


def _told(found: Findings) -> Findings:
    """With what the study says; of a study whose file nobody named, what its contrasts found."""
    plan, name = found.plan, found.plan.study
    study = STUDIES.get(name) or FROM_FILES.get(name)
    if study is None:
        return replace(found, sentences=tuple(said(each) for each in found.comparisons[:2]))
    try:
        own = study.model_validate(dict(plan.options))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, ("plan", "options", *first["loc"])))
        raise DataError(problem_of(first), file=found.folder / plans.FILE, record=place, remedy=plans.REMEDY) from None
    sentences, sections = tuple(own.sentences(found)), tuple(own.sections(found))
    return replace(found, question=own.question, sentences=sentences, sections=sections, plots=own.plots(found))


def _qualified(found: Findings, sentences: tuple[str, ...]) -> tuple[str, ...]:
    """The sentences; where seeds of the plan are missing, the first begins with that, since it may be quoted alone."""
    done, planned = len(found.seeds), len(found.plan.seeds)
    if done == planned or not sentences:
        return sentences
    return (f"Preliminary ({done} of {planned} seeds): {sentences[0]}", *sentences[1:])


def _complete(plan: Plan, out: Path) -> tuple[tuple[int, ...], tuple[Arm, ...], tuple[str, ...]]:
    """The seeds and the arms that count, and what is missing, in words."""
    done = {
        seed: [arm for arm in plan.arms if all([has_result(out, seed, arm.name, task) for task in arm.tasks])]
        for seed in plan.seeds
    }
    most = max(done.values(), key=len)
    if not most:
        raise DataError("no arm of this study is complete", file=out, remedy="go on with it: --resume")
    seeds = tuple(seed for seed, arms in done.items() if all(arm in arms for arm in most))
    missing = [f"the arm {arm.name}" for arm in plan.arms if arm not in most]
    missing += [f"seed {seed}" for seed in plan.seeds if seed not in seeds]
    return seeds, tuple(most), tuple(missing)


def _identical(
    tasks: Sequence[TaskResults], arms: Sequence[Arm], contrasts: Sequence[Contrast]
) -> tuple[tuple[str, str], ...]:
    """See :class:`Findings`."""
    compared = {name for each in contrasts for name in each.arms}
    pairs = []
    for one, other in combinations([arm.name for arm in arms if arm.name in compared], 2):
        both = [task for task in tasks if {one, other} <= {*task.arms}]
        seeds = [by_arm for task in both for by_arm in task.results.values()]
        if both and all(by_arm[one].values == by_arm[other].values for by_arm in seeds):
            pairs.append((one, other))
    return tuple(pairs)


def _row(task: TaskResults, drawn: Samples) -> Row:
    cells = task.cells()
    first = next(iter(task.bases.values()))
    bases = [base.baselines or {} for base in task.bases.values()]
    return Row(
        name=task.name,
        title=first.title,
        metric=task.metric,
        group=first.group,
        baselines={
            name: float(np.mean([base[name] for base in bases]))
            for name in bases[0]
            if all(name in base for base in bases)
        },
        baseline=100 * float(np.mean([cell.baseline for cell in cells])),
        baseline_seeds=tuple(100 * cell.baseline for cell in cells),
        upper_bound=100 * float(np.mean([cell.upper_bound for cell in cells])),
        scores={arm: _score(task, arm, drawn) for arm in task.arms},
    )


def _score(task: TaskResults, arm: str, drawn: Samples) -> Score:
    results, place = task.by_seed(arm) or [], drawn.place(arm, task.name)
    seen, samples = drawn.seen.points[task.name], drawn.drawn.points[task.name]
    looking = drawn.looking(arm, task.name)
    shuffled = None if looking is None else float(np.mean([result.shuffled or 0.0 for result in results]))
    unshuffled = seen[:, place] - seen[:, drawn.place(arm, task.name, shuffled=True)]
    return Score(
        score=interval_of(seen[:, place], samples[:, place]),
        closed=interval_of(drawn.seen.closed[task.name][:, place], drawn.drawn.closed[task.name][:, place]),
        seeds=seeds_of(seen[:, place]),
        closed_seeds=seeds_of(drawn.seen.closed[task.name][:, place]),
        learned=drawn.learned(arm, task.name),
        shuffled=shuffled,
        looking=looking,
        looking_seeds=() if looking is None else seeds_of(unshuffled),
        validation=tuple(100 * result.validation for result in results),
        converged=tuple(result.converged and not result.falls for result in results),
        falling=tuple(result.falls for result in results),
        late_gains=tuple(result.late_gain for result in results),
        extensions=tuple(max(0, len(result.parts) - 1) for result in results),
        updates=tuple(result.batches[task.name] for result in results),
        by_type=_by_type([result.by_type for result in results]),
        learned_seeds=drawn.learned_seeds(arm, task.name),
        on_training_examples=tuple(_per_cent(result.on_training_examples) for result in results),
        passes=tuple(result.passes for result in results),
    )


def _per_cent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _by_type(seeds: Sequence[ByType]) -> ByType:
    """Scores by type of all seeds together, weighted by their examples."""
    found: dict[str, dict[str, tuple[float, int]]] = {}
    for one in seeds:
        for kind, types in one.items():
            for name, (score, count) in types.items():
                mean, before = found.setdefault(kind, {}).get(name, (0.0, 0))
                found[kind][name] = ((mean * before + score * count) / max(1, before + count), before + count)
    return found


def _comparison(contrast: Contrast, tasks: Sequence[str], drawn: Samples, *, warned: bool) -> Comparison | None:
    """A contrast on those of its tasks that have room; None if none has."""
    if not tasks:
        return None
    learned = [task for task in tasks if all(drawn.learned(judge, task) for judge in contrast.judges)]

    def mean(scale: str, names: Sequence[str]) -> tuple[Array, Array]:
        seen, samples = zip(*(drawn.difference(contrast, task, scale) for task in names), strict=True)
        return np.mean(seen, axis=0), np.mean(samples, axis=0)

    cells = tuple(
        Cell(
            task=task,
            points=interval_of(*drawn.difference(contrast, task, "points")),
            closed=interval_of(*drawn.difference(contrast, task, "closed")),
            seeds=seeds_of(drawn.difference(contrast, task, "points")[0]),
            learned=task in learned,
            closed_seeds=seeds_of(drawn.difference(contrast, task, "closed")[0]),
            by_none=not any(drawn.learned(arm, task) for arm in contrast.arms),
            unlearned=tuple(judge for judge in contrast.judges if not drawn.learned(judge, task)),
            parts=drawn.by_part(contrast, task),
            p=multiple.p_value(*drawn.difference(contrast, task, "points")),
        )
        for task in tasks
    )
    seen, samples = mean("closed", tasks)
    every = interval_of(seen, samples)
    return Comparison(
        contrast=contrast,
        cells=cells,
        learned=interval_of(*mean("closed", learned)) if learned else None,
        learned_points=interval_of(*mean("points", learned)) if learned else None,
        every=every,
        every_points=interval_of(*mean("points", tasks)),
        image_free=interval_of(*mean("free", tasks)),
        seeds=seeds_of(seen),
        between=between(samples, seen),
        learned_seeds=seeds_of(mean("closed", learned)[0]) if learned else (),
        uneven=_uneven(contrast, cells, every, drawn),
        warned=warned,
        p=multiple.p_value(seen, samples),
    )


def _uneven(contrast: Contrast, cells: Sequence[Cell], every: Interval, drawn: Samples) -> Uneven | None:
    """Where a difference of two arms over several tasks comes from; see :class:`Comparison`."""
    if contrast.than is not None or len(cells) < 2 or sign(every) == 0:
        return None
    behind = contrast.minus if sign(every) > 0 else contrast.arm
    scores = {cell.task: drawn.mean(behind, [cell.task]).mean for cell in cells}
    found = uneven.hardly_learned(scores, {cell.task: cell.closed.mean for cell in cells})
    if found is None:
        return None
    tasks, share = found
    if not (others := [task for task in scores if task not in tasks]):
        return Uneven(behind, tasks, share, None)
    parts = (drawn.difference(contrast, task, "closed") for task in others)
    seen, samples = (np.mean(each, axis=0) for each in zip(*parts, strict=True))
    return Uneven(behind, tasks, share, interval_of(seen, samples), seeds_of(seen))
