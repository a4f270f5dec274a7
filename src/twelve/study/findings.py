"""The findings of a study, from the results of its runs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
from pydantic import ValidationError

from twelve.errors import DataError, quoted
from twelve.evaluation.own_kinds import SEEN, UNSEEN
from twelve.io import files, json_file
from twelve.io.invalid import problem_of
from twelve.metrics.bootstrap import Interval
from twelve.metrics.retrieval import of_size
from twelve.study import costs, multiple, uneven, unseen
from twelve.study import plan as plans
from twelve.study.arms import Arm, Contrast
from twelve.study.bootstrap import Array, Resampled, Sampled, between, interval, observed, sign, two_level
from twelve.study.finding_types import Cell, Comparison, Curve, Findings, Part, Row, Score, Uneven
from twelve.study.measures.errors import LEAST
from twelve.study.plan import EARLIER_GALLERY, Plan
from twelve.study.results import AGAIN, ByType, Result, has_result, read_result, result_file
from twelve.study.studies import FROM_FILES, STUDIES
from twelve.study.studies.base import said

NOTES = "notes.md"
WARNING = "Warning: "
"""How a note begins that stands before the answer."""
"""What somebody wrote about a recorded study: retractions, limits."""
EARLIER_METRIC = "R@1"
"""What results of retrieval called their metric before they said how many images were ranked."""
SHUFFLED = "shuffled images"
RESAMPLES_ALONE = 1000
"""Most resamples of each seed by itself: these intervals are only compared with 0."""
MODELS_OWN = (SHUFFLED,)
"""Baselines that depend on a model: those of the first arm's model count for all arms."""


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
    tasks = [_Task(plan, out, name, seeds, arms) for name in plan.tasks if any(name in arm.tasks for arm in arms)]
    usable = [task for task in tasks if task.has_room]
    if not usable:
        problem = "no task has room between its baseline and its upper bound"
        raise DataError(problem, file=out, remedy="measure other tasks")
    drawn = _Samples(plan, usable)
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
    tasks: Sequence[_Task], arms: Sequence[Arm], contrasts: Sequence[Contrast]
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


class _Task:
    """The results of one task: seed -> arm -> result, checked to be on the same examples in all arms of a seed."""

    def __init__(self, plan: Plan, out: Path, name: str, seeds: Sequence[int], arms: Sequence[Arm]) -> None:
        self.name, base = name, plan.base(name).name
        self._plan = plan
        self.arms = tuple(arm.name for arm in arms if name in arm.tasks)
        self.results = {seed: {arm: read_result(plan, out, seed, arm, name) for arm in self.arms} for seed in seeds}
        self.bases = {
            seed: by_arm[base] if base in by_arm else read_result(plan, out, seed, base, name)
            for seed, by_arm in self.results.items()
        }
        for seed, by_arm in self.results.items():
            if self.bases[seed].baselines is None:
                file = result_file(out, seed, base, name)
                problem = "no baselines, which the first arm that trains a task has"
                raise DataError(problem, file=file, record="baselines", remedy=AGAIN)
            for arm, result in by_arm.items():
                if result.groups != self.bases[seed].groups:
                    file = result_file(out, seed, arm, name)
                    problem = f"of other examples than those of {base}"
                    raise DataError(problem, file=file, record="groups", remedy=AGAIN)

    @property
    def title(self) -> str:
        result = next(iter(self.bases.values()))
        return f"{result.title}, {self.metric}"

    @property
    def metric(self) -> str:
        """Its name; that of retrieval says the gallery, which earlier results did not."""
        metric = next(iter(self.bases.values())).metric
        if metric == EARLIER_METRIC and (gallery := self._plan.parsed().evaluation.gallery) == EARLIER_GALLERY:
            return of_size(metric, gallery)
        return metric

    @property
    def has_room(self) -> bool:
        return all(cell.upper_bound > cell.baseline for cell in self.cells())

    def by_seed(self, arm: str) -> list[Result] | None:
        """An arm's results, one per seed; None if it does not train the task."""
        return [by_arm[arm] for by_arm in self.results.values()] if arm in self.arms else None

    def cells(self, *, models_own: bool = True) -> list[Sampled]:
        """One a seed: values of all arms and, after them, those with shuffled images of all arms."""
        return [self._cell(seed, models_own) for seed in self.results]

    def _cell(self, seed: int, models_own: bool) -> Sampled:
        base, results = self.bases[seed], [self.results[seed][arm] for arm in self.arms]
        scores = [score for name, score in (base.baselines or {}).items() if models_own or name not in MODELS_OWN]
        upper_bound = 100.0 if base.upper_bound is None else base.upper_bound
        values = [result.values for result in results]
        values += [result.shuffled_values or result.values for result in results]
        return Sampled(np.array(values), base.groups, max(scores, default=0.0) / 100, upper_bound / 100)

    def parts(self) -> list[_PartCells]:
        """The values of all arms on the examples that are like those of training, and on the others, for each kind that
        tells which are."""
        found, cells = [], self.cells()
        recorded = [base.kinds or {} for base in self.bases.values()]
        for kind in recorded[0]:
            if not all({*kinds.get(kind, ())} == {SEEN, UNSEEN} for kinds in recorded):
                continue
            for value in (SEEN, UNSEEN):
                rows = [np.flatnonzero(np.array(kinds[kind]) == value) for kinds in recorded]
                if sum(map(len, rows)) >= LEAST:
                    parts = [
                        replace(cell, values=cell.values[:, own], groups=[cell.groups[row] for row in own.tolist()])
                        for cell, own in zip(cells, rows, strict=True)
                    ]
                    shares = [len(own) / len(kinds[kind]) for own, kinds in zip(rows, recorded, strict=True)]
                    found.append(_PartCells(kind, value == SEEN, float(np.mean(shares)), parts))
        return found

    def curves(self) -> list[Curve]:
        found = []
        for seed, by_arm in self.results.items():
            for arm, result in by_arm.items():
                if (recorded := result.recorded) is not None:
                    points = tuple((iteration, 100 * score) for iteration, score in recorded.curve)
                    norms = recorded.gradient_norms
                    found.append(Curve(arm, self.name, seed, points, recorded.events, norms, result.parts))
        return found


@dataclass(frozen=True, slots=True)
class _PartCells:
    """One cell a seed, of a part of the examples; see :class:`Part`. ``share`` is 0..1."""

    kind: str
    seen: bool
    share: float
    cells: list[Sampled]


class _Samples:
    """The observed scores of all tasks, and resampled ones; of every arm, and of every arm with shuffled images."""

    def __init__(self, plan: Plan, tasks: Sequence[_Task]) -> None:
        self.tasks = {task.name: task for task in tasks}
        resamples, shared = plan.parsed().evaluation.resamples, not plan.worlds

        def both(models_own: bool) -> tuple[Resampled, Resampled]:
            cells = {task.name: task.cells(models_own=models_own) for task in tasks}
            return observed(cells), two_level(cells, resamples=resamples, shared=shared)

        self.seen, self.drawn = both(True)
        self.free_seen, self.free_drawn = both(False)
        self.alone = _alone(tasks, min(resamples, RESAMPLES_ALONE))
        self.parts = {task.name: task.parts() for task in tasks}
        self.on_parts = {
            (name, part.kind, part.seen): (
                observed({name: part.cells}).points[name],
                two_level({name: part.cells}, resamples=resamples, shared=shared).points[name],
            )
            for name, parts in self.parts.items()
            for part in parts
        }

    def place(self, arm: str, task: str, *, shuffled: bool = False) -> int:
        arms = self.tasks[task].arms
        return arms.index(arm) + shuffled * len(arms)

    def mean(self, arm: str, tasks: Sequence[str]) -> Interval:
        """Mean of ``closed`` over tasks, per cent."""
        seen, drawn = (
            np.mean([each.closed[task][:, self.place(arm, task)] for task in tasks], axis=0)
            for each in (self.seen, self.drawn)
        )
        return _interval(seen, drawn)

    def mean_seeds(self, arm: str, tasks: Sequence[str]) -> tuple[float, ...]:
        return _seeds(np.mean([self.seen.closed[task][:, self.place(arm, task)] for task in tasks], axis=0))

    def difference(self, contrast: Contrast, task: str, scale: str) -> tuple[Array, Array]:
        """(S,) observed and (R,) resampled differences: of ``points``, ``closed``, or ``free``."""
        seen, drawn = {
            "points": (self.seen.points, self.drawn.points),
            "closed": (self.seen.closed, self.drawn.closed),
            "free": (self.free_seen.closed, self.free_drawn.closed),
        }[scale]
        return self._subtracted(contrast, task, seen[task]), self._subtracted(contrast, task, drawn[task])

    def _subtracted(self, contrast: Contrast, task: str, scores: Array) -> Array:
        """The difference of a contrast in (R, A) scores."""
        places = [self.place(arm, task) for arm in contrast.compared]
        signs = np.array((1.0, -1.0, -1.0, 1.0)[: len(places)])
        difference: Array = scores[:, places] @ signs
        return difference

    def by_part(self, contrast: Contrast, task: str) -> tuple[Part, ...]:
        """The difference of ``points`` on each part of the examples."""
        found = []
        for part in self.parts[task]:
            seen, drawn = (self._subtracted(contrast, task, each) for each in self.on_parts[task, part.kind, part.seen])
            found.append(Part(part.kind, part.seen, 100 * part.share, _interval(seen, drawn), _seeds(seen)))
        return tuple(found)

    def learned(self, arm: str, task: str) -> bool:
        """Whether the intervals of an arm's lead over the best baseline and, where that was measured, of what it
        gains from the correct image are above zero."""
        return self._is_learned(arm, task, self.seen, self.drawn)

    def learned_seeds(self, arm: str, task: str) -> tuple[bool, ...]:
        """The same of each seed by itself; empty for one seed."""
        return tuple(self._is_learned(arm, task, seen, drawn) for seen, drawn in self.alone)

    def _is_learned(self, arm: str, task: str, seen: Resampled, drawn: Resampled) -> bool:
        place = self.place(arm, task)
        advantage = _interval(seen.closed[task][:, place], drawn.closed[task][:, place])
        looking = self._looking(arm, task, seen, drawn)
        return advantage.low > 0 and (looking is None or looking.low > 0)

    def looking(self, arm: str, task: str) -> Interval | None:
        """The score minus that with shuffled images; None if that was not measured."""
        return self._looking(arm, task, self.seen, self.drawn)

    def _looking(self, arm: str, task: str, seen: Resampled, drawn: Resampled) -> Interval | None:
        if any(
            result.shuffled is None or result.shuffled_values is None for result in self.tasks[task].by_seed(arm) or []
        ):
            return None
        place, other = self.place(arm, task), self.place(arm, task, shuffled=True)
        observed, samples = seen.points[task], drawn.points[task]
        return _interval(observed[:, place] - observed[:, other], samples[:, place] - samples[:, other])


def _alone(tasks: Sequence[_Task], resamples: int) -> list[tuple[Resampled, Resampled]]:
    """The observed and the resampled scores of each seed by itself; empty for one seed."""
    every = {task.name: task.cells() for task in tasks}
    seeds = [{name: [cell] for name, cell in zip(every, row, strict=True)} for row in zip(*every.values(), strict=True)]
    if len(seeds) == 1:
        return []
    return [(observed(cells), two_level(cells, resamples=resamples, shared=True)) for cells in seeds]


def _interval(seen: Array, drawn: Array) -> Interval:
    return interval(100 * drawn, 100 * float(seen.mean()))


def _seeds(values: Array) -> tuple[float, ...]:
    return tuple(100 * float(value) for value in values)


def _row(task: _Task, drawn: _Samples) -> Row:
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


def _score(task: _Task, arm: str, drawn: _Samples) -> Score:
    results, place = task.by_seed(arm) or [], drawn.place(arm, task.name)
    seen, samples = drawn.seen.points[task.name], drawn.drawn.points[task.name]
    looking = drawn.looking(arm, task.name)
    shuffled = None if looking is None else float(np.mean([result.shuffled or 0.0 for result in results]))
    unshuffled = seen[:, place] - seen[:, drawn.place(arm, task.name, shuffled=True)]
    return Score(
        score=_interval(seen[:, place], samples[:, place]),
        closed=_interval(drawn.seen.closed[task.name][:, place], drawn.drawn.closed[task.name][:, place]),
        seeds=_seeds(seen[:, place]),
        closed_seeds=_seeds(drawn.seen.closed[task.name][:, place]),
        learned=drawn.learned(arm, task.name),
        shuffled=shuffled,
        looking=looking,
        looking_seeds=() if looking is None else _seeds(unshuffled),
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


def _comparison(contrast: Contrast, tasks: Sequence[str], drawn: _Samples, *, warned: bool) -> Comparison | None:
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
            points=_interval(*drawn.difference(contrast, task, "points")),
            closed=_interval(*drawn.difference(contrast, task, "closed")),
            seeds=_seeds(drawn.difference(contrast, task, "points")[0]),
            learned=task in learned,
            closed_seeds=_seeds(drawn.difference(contrast, task, "closed")[0]),
            by_none=not any(drawn.learned(arm, task) for arm in contrast.arms),
            unlearned=tuple(judge for judge in contrast.judges if not drawn.learned(judge, task)),
            parts=drawn.by_part(contrast, task),
            p=multiple.p_value(*drawn.difference(contrast, task, "points")),
        )
        for task in tasks
    )
    seen, samples = mean("closed", tasks)
    every = _interval(seen, samples)
    return Comparison(
        contrast=contrast,
        cells=cells,
        learned=_interval(*mean("closed", learned)) if learned else None,
        learned_points=_interval(*mean("points", learned)) if learned else None,
        every=every,
        every_points=_interval(*mean("points", tasks)),
        image_free=_interval(*mean("free", tasks)),
        seeds=_seeds(seen),
        between=between(samples, seen),
        learned_seeds=_seeds(mean("closed", learned)[0]) if learned else (),
        uneven=_uneven(contrast, cells, every, drawn),
        warned=warned,
        p=multiple.p_value(seen, samples),
    )


def _uneven(contrast: Contrast, cells: Sequence[Cell], every: Interval, drawn: _Samples) -> Uneven | None:
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
    return Uneven(behind, tasks, share, _interval(seen, samples), _seeds(seen))
