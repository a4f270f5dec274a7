"""What a study has found: typed data, from which its table, its plots and a report are made.

:func:`twelve.study.findings.findings` makes them of a study's folder. Scores, differences and shares are per cent,
times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from twelve.metrics.bootstrap import Interval
from twelve.study.arms import Arm, Contrast
from twelve.study.bootstrap import by_bootstrap_alone, significant
from twelve.study.plan import Plan
from twelve.study.results import ByType, Event
from twelve.training.convergence import Gain


@dataclass(frozen=True, slots=True)
class Score:
    """One arm on one task.

    Attributes:
        score: the official metric, a mean over the seeds.
        closed: the normalised score: 0 at the best baseline, 100 at the upper bound.
        seeds: the score of each seed; ``closed_seeds``: the normalised score of each.
        learned: the intervals of its lead over the best baseline and of ``looking`` are above zero.
        shuffled: the score with shuffled images; None if it was not measured.
        looking: the score minus that with shuffled images: how much comes from the correct image.
        looking_seeds: the same of each seed; empty if it was not measured.
        validation: the validation score of the kept model, of each seed.
        converged: whether the run had converged, of each seed; None where that is not known.
        falling: whether its validation score fell at the end, of each seed; such a run has not converged.
        late_gains: what its validation score gained over the last third of the run, of each seed; None where that is
            not known.
        extensions: how often the run was extended, of each seed.
        updates: of this task, of each seed.
        by_type: kind of type -> type -> (mean score, examples of all seeds); empty if it was not recorded.
        learned_seeds: ``learned`` of each seed by itself, from intervals over its examples alone; empty for one seed.
        on_training_examples: the validation score of the kept model on examples that it was trained on, of each seed;
            None where it was not measured.
        passes: how often the arm's own training has seen each training example of the task, of each seed; None where
            that is not known.
    """

    score: Interval
    closed: Interval
    seeds: tuple[float, ...]
    closed_seeds: tuple[float, ...]
    learned: bool
    shuffled: float | None
    looking: Interval | None
    looking_seeds: tuple[float, ...]
    validation: tuple[float, ...]
    converged: tuple[bool | None, ...]
    falling: tuple[bool, ...]
    late_gains: tuple[Gain | None, ...]
    extensions: tuple[int, ...]
    updates: tuple[int, ...]
    by_type: ByType
    learned_seeds: tuple[bool, ...] = ()
    on_training_examples: tuple[float | None, ...] = ()
    passes: tuple[float | None, ...] = ()

    @property
    def learned_by_bootstrap_alone(self) -> bool:
        """Whether the task is learned, but a t interval of its lead over the best baseline or over its own score with
        shuffled images contains 0."""
        over_text = self.looking is not None and by_bootstrap_alone(self.looking, self.looking_seeds)
        return self.learned and (over_text or by_bootstrap_alone(self.closed, self.closed_seeds))


@dataclass(frozen=True, slots=True)
class Row:
    """One task.

    Attributes:
        group: the skill that the task needs (``Output.skill``); tasks with the same skill form a group.
        baselines: name -> score, means over the seeds.
        baseline: the best of them; ``baseline_seeds``: that of each seed.
        upper_bound: of the metric on these regions; 100 where nothing is known to bound it.
        scores: arm -> score, for the arms that train the task.
    """

    name: str
    title: str
    metric: str
    group: str
    baselines: Mapping[str, float]
    baseline: float
    upper_bound: float
    scores: Mapping[str, Score]
    baseline_seeds: tuple[float, ...] = ()

    @property
    def short(self) -> str:
        """The title without the metric."""
        return self.title.rpartition(", ")[0] or self.title


@dataclass(frozen=True, slots=True)
class Part:
    """The difference of a contrast on the test examples of a task that are like those of training in one respect, or
    unlike them (evaluation/own_kinds.py).

    Attributes:
        kind: the respect, such as the wording.
        seen: whether training has it.
        share: of the task's examples, per cent.
        points: difference of the official metric; ``seeds``: the same of each seed.
    """

    kind: str
    seen: bool
    share: float
    points: Interval
    seeds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """One task of a contrast.

    Attributes:
        points: difference of the official metric.
        closed: the same in points of normalised score.
        seeds, closed_seeds: ``points`` and ``closed`` of each seed.
        learned: whether the contrast's reference has learned the task; if not, this is no gain and no loss.
        by_none: whether no arm of the contrast has learned it.
        unlearned: the arms that have to learn it (``Contrast.judges``) and have not.
        parts: the difference on examples that are like those of training, and on the others; empty if it was not
            recorded which ones are.
        p: p-value of ``points`` (multiple.py): the larger of the bootstrap's and Student's.
        remains: whether the task is learned, there are three seeds or more, and ``points`` remains significant after
            Holm's correction for all differences of the study on learned tasks.
    """

    task: str
    points: Interval
    closed: Interval
    seeds: tuple[float, ...]
    learned: bool
    closed_seeds: tuple[float, ...] = ()
    by_none: bool = False
    unlearned: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    p: float = 1.0
    remains: bool = False

    @property
    def significant(self) -> int:
        """1 or -1 where neither interval of ``points`` contains 0, else 0."""
        return significant(self.points, self.seeds)

    @property
    def by_bootstrap_alone(self) -> bool:
        """Whether, of both intervals of ``points``, only the t interval over the seeds contains 0."""
        return by_bootstrap_alone(self.points, self.seeds)


@dataclass(frozen=True, slots=True)
class Uneven:
    """Where a difference comes from, if most of it is from tasks that the arm that is behind hardly learns.

    Attributes:
        behind: the arm that is behind.
        tasks: tasks on which the normalised score of this arm is below 10.
        share: what these tasks contribute to the difference over all tasks, per cent; more than 100 if the difference
            over the other tasks has the opposite sign.
        rest: mean over the other tasks, in points of normalised score; None if there are no other tasks.
        rest_seeds: the same of each seed.
    """

    behind: str
    tasks: tuple[str, ...]
    share: float
    rest: Interval | None
    rest_seeds: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Comparison:
    """A contrast and its intervals.

    Attributes:
        cells: one for each task.
        learned, learned_points: means over the learned tasks (``closed`` and ``points``); None if no task is learned.
        every, every_points: means over all tasks.
        image_free: ``every`` on a scale without the baselines that depend on a model.
        seeds, learned_seeds: ``every`` and ``learned`` of each seed; ``learned_seeds`` is empty if no task is learned.
        between: share of the variance of the interval of ``every`` that comes from the seeds, per cent, estimated from
            these seeds; None for one seed.
        uneven: where ``every`` comes from. None unless the interval of ``every`` excludes 0 and at least half of
            ``every`` is from tasks that the arm that is behind hardly learns.
        warned: whether a note of the study begins with "Warning: ".
        p: p-value of ``every`` (multiple.py).
        every_remains: whether ``every`` counts, there are three seeds or more, and it remains significant after Holm's
            correction for all means over several tasks of the study that count.
    """

    contrast: Contrast
    cells: tuple[Cell, ...]
    learned: Interval | None
    learned_points: Interval | None
    every: Interval
    every_points: Interval
    image_free: Interval
    seeds: tuple[float, ...]
    between: float | None = None
    learned_seeds: tuple[float, ...] = ()
    uneven: Uneven | None = None
    warned: bool = False
    p: float = 1.0
    every_remains: bool = False

    @property
    def uncounted(self) -> str:
        """Why the mean over all tasks is not significant, whatever its intervals; empty if they decide."""
        if self.warned:
            return "see the warning"
        lost, count = sum(cell.by_none for cell in self.cells), len(self.cells)
        if 2 * lost <= count:
            return self.none_learned * (count > 1 and self.learned is None)
        tasks = f"{lost} of {count} tasks" if count > 1 else "the task"
        arms = "neither arm" if len(tuple(self.contrast.arms)) == 2 else "none of its arms"
        return f"{tasks} learned by {arms}"

    @property
    def none_learned(self) -> str:
        """That no task is learned by all arms that have to learn it, in words."""
        judges = self.contrast.judges
        together = f"no task is learned by both {' and '.join(judges)}"
        return together if len(judges) > 1 else f"{judges[0]} learned none of them"

    @property
    def every_significant(self) -> int:
        """1 or -1 where neither interval of ``every`` contains 0 and it is not :attr:`uncounted`, else 0."""
        return 0 if self.uncounted else significant(self.every, self.seeds)

    @property
    def every_by_bootstrap_alone(self) -> bool:
        """Whether, of both intervals of ``every``, only the t interval contains 0, and it is not :attr:`uncounted`."""
        return not self.uncounted and by_bootstrap_alone(self.every, self.seeds)

    @property
    def learned_points_seeds(self) -> tuple[float, ...]:
        """``learned_points`` of each seed; empty if no task is learned."""
        learned = [cell.seeds for cell in self.cells if cell.learned]
        return tuple(sum(seed) / len(seed) for seed in zip(*learned, strict=True))

    @property
    def main_measure(self) -> Interval:
        """The mean over the learned tasks; over all if none is learned."""
        return self.every if self.learned is None else self.learned

    @property
    def main_measure_points(self) -> Interval:
        """``main_measure`` in the official metrics."""
        return self.every_points if self.learned_points is None else self.learned_points

    @property
    def main_measure_seeds(self) -> tuple[float, ...]:
        """``main_measure`` of each seed."""
        return self.seeds if self.learned is None else self.learned_seeds

    @property
    def significant(self) -> int:
        """1 or -1 where ``main_measure`` is significant, else 0."""
        return self.every_significant if self.learned is None else significant(self.learned, self.learned_seeds)

    @property
    def by_bootstrap_alone(self) -> bool:
        """Whether ``main_measure`` is significant by its bootstrap interval alone."""
        if self.learned is None:
            return self.every_by_bootstrap_alone
        return by_bootstrap_alone(self.learned, self.learned_seeds)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of an arm, a mean over the seeds.

    Attributes:
        models, parameters: of all its models.
        updates, seconds, processor_seconds: of training, without searches; None if it was not recorded.
        examples: that it was trained on, without searches; None if they were not recorded.
        memory: bytes of parameters, gradients, optimizer states, and what balancing keeps, of the largest model.
        memory_step: the same with the activations of the largest batch.
        search_updates, search_seconds: of the searches of its learning rates, in all, on one seed.
        pretraining, pretraining_seconds: updates and processor time of pretraining, which its models share; None where
            nothing was pretrained, or it was not recorded.
    """

    models: int
    parameters: float
    updates: float
    seconds: float
    processor_seconds: float | None
    search_updates: int
    search_seconds: float | None
    examples: float | None = None
    memory: float | None = None
    memory_step: float | None = None
    pretraining: float | None = None
    pretraining_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Curve:
    """What was recorded while one task of one arm trained in one seed; empty where it was not.

    Attributes:
        points: (iteration, validation score in per cent).
        events: when the schedule stopped the task and let it go on.
        gradient_norms: (iteration, norm of the gradient that a batch of the task gives the trunk).
        parts: iterations of the run and of each of its extensions.
    """

    arm: str
    task: str
    seed: int
    points: tuple[tuple[int, float], ...]
    events: tuple[Event, ...]
    gradient_norms: tuple[tuple[int, float], ...]
    parts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Searched:
    """The search of one model's learning rates.

    Attributes:
        validations: factor -> mean validation score, per cent; None where the loss became infinite.
        at_edge: the chosen factor is the smallest or the largest of three or more.
    """

    arm: str
    model: tuple[str, ...]
    validations: Mapping[float, float | None]
    chosen: float
    at_edge: bool


@dataclass(frozen=True, slots=True)
class Findings:
    """What a study has found.

    Attributes:
        folder: folder of the study.
        title, question, claim: of the study; ``claim`` is the paper's claim that the study tests, or empty.
        seeds: seeds in which every arm of ``arms`` is complete.
        arms: the arms that are complete in these seeds, in the plan's order.
        missing: arms and seeds of the plan that are not complete, in words.
        rows: one for each task that has room between its baseline and its upper bound.
        left_out: title of a task -> why it has no row.
        closed: arm -> mean of the normalised scores of its tasks.
        closed_seeds: the same of each seed.
        comparisons: one for each contrast of the plan whose arms are complete.
        machine: machine on which the study was begun.
        commits, processors: the different ones that the results come from; a commit is "not recorded" in results of
            an earlier version.
        sentences: two sentences that can be quoted. If most of a difference comes from tasks that are hardly learned,
            its sentence is followed by one that says so.
        notes: paragraphs that somebody wrote about the recorded study (notes.md in its folder).
        warned: the notes that begin with "Warning: "; they stand before the answer.
        sections: parts of the page, in Markdown, that only this study has.
        plots: name -> SVG of plots that only this study has.
        identical: pairs of arms of the contrasts whose values are equal on every example of every task that both train,
            in every seed.
    """

    folder: Path
    title: str
    question: str
    claim: str
    plan: Plan
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    missing: tuple[str, ...]
    rows: tuple[Row, ...]
    left_out: Mapping[str, str]
    closed: Mapping[str, Interval]
    closed_seeds: Mapping[str, tuple[float, ...]]
    comparisons: tuple[Comparison, ...]
    costs: Mapping[str, Cost]
    curves: tuple[Curve, ...]
    searches: tuple[Searched, ...]
    machine: Mapping[str, object]
    commits: tuple[str, ...] = ()
    processors: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    warned: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    plots: Mapping[str, str] = field(default_factory=dict)
    identical: tuple[tuple[str, str], ...] = ()

    @property
    def batches_differ(self) -> bool:
        """Whether an arm has batches of another size, so that equal updates are not equal examples."""
        keys = (key for arm in self.arms for key in arm.overrides)
        return any(key.startswith("tasks.") and key.endswith(".batch_size") for key in keys)

    def comparison(self, arm: str, minus: str, than: tuple[str, str] | None = None) -> Comparison | None:
        """The comparison of two arms, or of their difference with the difference of the arms ``than``. None if the plan
        has no such comparison, or an arm is not complete."""
        wanted = (arm, minus, *(than or ()))
        found = (each for each in self.comparisons if each.contrast.compared == wanted)
        return next(found, None)

    def row(self, task: str) -> Row | None:
        """The scores of a task; None if the study has none.

        Args:
            task: its name.
        """
        return next((row for row in self.rows if row.name == task), None)
