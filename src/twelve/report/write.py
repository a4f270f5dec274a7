"""``twelve report``: write report.html into a run folder.

The page is one file: styles, curves (SVG) and images (JPEG data URIs) are inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twelve.errors import ConfigError, quoted
from twelve.evaluation.parts import FEWEST_GROUPS
from twelve.evaluation.published_scores import DRAWN
from twelve.evaluation.results import ScoredPart
from twelve.formats.data_root import NO_FILE
from twelve.io import files
from twelve.outputs import get_output
from twelve.outputs.base import Output
from twelve.progress import with_sign
from twelve.report import words
from twelve.report.curves import PERCENT, Chart, Sketch, chart, sketch
from twelve.report.gallery import Gallery, galleries, glimpses
from twelve.report.heading import heading
from twelve.report.mixed_up import mixed_up
from twelve.report.next_steps import next_steps
from twelve.report.reading import Run, read_run
from twelve.report.reliability import reliability
from twelve.report.scores import TaskScore, task_score
from twelve.report.step import Step, beside, in_program, to_evaluate
from twelve.report.verdict import ScoredTask, verdict
from twelve.report.weak import LISTED, PER_TASK, WORSE_PER_TASK, weak
from twelve.run_folder import RunFolder
from twelve.runs.next_command import only_in_a_program
from twelve.tasks.base import all_tasks
from twelve.types.measurement import Owner

ELSEWHERE = "'s images in other sources"
"""What follows a task's name where it is not known which of its images other datasets have, too (data/clean.py)."""


@dataclass(frozen=True, slots=True)
class Section:
    """The section about a task; missing parts are None.

    Attributes:
        owner: whose metric it has.
        validated: what its validation score is the share of, where that is easier than its score; else "".
    """

    name: str
    title: str
    asks: str
    legend: str
    owner: Owner
    score: TaskScore | None
    loss: Chart | None
    validation: Chart | None
    validated: str
    sketch: Sketch | None
    stopped: Sequence[tuple[int, int]]
    gallery: Gallery | None
    parts: Sequence[ScoredPart]


@dataclass(frozen=True, slots=True)
class DataRow:
    """The training data of one task.

    Attributes:
        removed: images that are in held-out splits: "120 in NAME SPLIT", by number.
        coverage: how many answers the vocabulary covers, in words, or "".
    """

    title: str
    examples_before: int
    examples_after: int
    images_before: int
    images_after: int
    train: int
    validation: int
    removed: Sequence[str]
    coverage: str


def write_report(run: str | Path) -> Path:
    """Write the report of a run, ``report.html``, into its folder, as ``twelve report`` does, and return its path.

    Args:
        run: its folder.

    Raises:
        ConfigError: the folder holds no run.
        DataError: one of its files is damaged; names it.
    """
    folder = RunFolder(run)
    read, file = read_run(folder.path), folder.report
    files.check_folder(folder.path)
    folder.check_links()
    page = render(read)
    with files.replacing(file) as partial:
        partial.write_text(page, encoding="utf-8")
    return file


def render(run: Run) -> str:
    """The page of a run as HTML; the template escapes every text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("twelve.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"whole": words.whole, "with_sign": with_sign}
    parts, low = sections(run), weak(run)
    shown = {part.name: part.gallery for part in parts if part.gallery is not None}
    results = list(run.results.values())
    scored = [ScoredTask(part.name, part.title, part.score) for part in parts if part.score is not None]
    program = _program(run)
    steps = [Step("Evaluate it", "", to_evaluate(run)), *next_steps(run, scored)]
    measuring, *steps = [*map(in_program, steps)] if program else steps
    *_, evaluating, reporting = measuring.commands
    return environment.get_template("report.html").render(
        run=run,
        heading=heading(run),
        verdict=verdict(run, scored),
        weak=low,
        glimpses=glimpses(dict.fromkeys([*(each.task for each in low.parts), *shown]), shown),
        titles={part.name: part.title for part in parts},
        fewest=(LISTED, FEWEST_GROUPS, PER_TASK, WORSE_PER_TASK),
        steps=steps,
        evaluating=evaluating,
        reporting=reporting,
        chosen=run.kept,
        sketches=[part for part in parts if part.sketch is not None],
        easier=_easier([part for part in parts if part.sketch is not None]),
        program=program,
        place="" if run.folder.is_absolute() else str(Path.cwd()),
        sections=parts,
        only=parts[0] if len(parts) == 1 else None,
        scored=[part for part in parts if part.score is not None],
        wrong=[part for part in parts if part.gallery is not None and part.gallery.wrong],
        reliability=reliability(results),
        mixed_up=mixed_up(results),
        stopped=any(part.stopped for part in parts),
        kept=kept_rows(run),
        data=data_rows(run),
        files=file_rows(run),
        files_read=files_read(run),
        cleaned=run.data.cleaned,
        uncompared=run.config.model.init is not None and not run.data.base_images.tasks,
        of_base=of_base(run),
        unread=unread(run),
        unlinked=unlinked(run),
        stages=stages(run),
        evaluations=[(part.title, words.minutes(part.score.seconds)) for part in parts if part.score is not None],
        machine=machine(run),
        commands=commands(run),
        words=words,
    )


def _program(run: Run) -> str:
    """The part of the run that no command knows, in words; "" if there is none."""
    tasks = [run.task(name) for name in run.config.tasks]
    return only_in_a_program({task.name: (task, get_output(task.kind)) for task in tasks})


def sections(run: Run) -> list[Section]:
    """One section per task, in the configuration's order, then further measured tasks."""
    shown = galleries(run)
    history, found = run.history, []
    for name in dict.fromkeys([*run.config.tasks, *run.results]):
        task = run.task(name)
        output = get_output(task.kind)
        spans = history.stopped(name)
        result = run.results.get(name)
        validations = [(at, 100 * score) for at, score in history.scores.get(name, ())]
        found.append(
            Section(
                name=name,
                title=task.title,
                asks=output.asks_as.get(task.method or "", output.asks),
                legend=words.legend(output.legend, "" if result is None else result.uncalibrated),
                owner=run.owner(name),
                score=None if result is None else _score(run, name, output),
                loss=chart("Loss", "", history.losses.get(name, ()), history.iterations, spans),
                sketch=sketch(validations, spans),
                validation=chart(
                    "Validation score", "per cent", validations, history.iterations, spans, form=".1f", most=PERCENT
                ),
                validated="" if _contrast_alone(run) else output.validated,
                stopped=spans,
                gallery=shown.get(name),
                parts=() if result is None else sorted(result.parts, key=lambda each: each.score.mean),
            )
        )
    return found


def _contrast_alone(run: Run) -> bool:
    """Whether only the contrast head was trained, whose validation scores are its own recall."""
    freeze = run.config.freeze
    return run.config.contrast is not None and freeze.all_but_heads and "heads" in freeze.names


def _easier(parts: Sequence[Section]) -> str:
    """Which validation scores are easier than the scores of their tasks, and why, in sentences; "" if none is."""
    titles: dict[str, list[str]] = {}
    for part in parts:
        if part.validated:
            titles.setdefault(part.validated, []).append(part.title)
    return " ".join(f"{', '.join(names)}: the share of {words.EASIER.format(what)}" for what, names in titles.items())


def _score(run: Run, name: str, output: Output) -> TaskScore:
    owner, meanings = run.owner(name), output.metrics
    answers = run.data.vocabularies.get(run.task(name).output) if output.needs_vocabulary else None
    if owner == "file" and output.kind == "answer":
        marked = run.results[name].protocol.marked
        meanings = {**meanings, "accuracy": words.OWN_MARKS if marked else words.OWN_ANSWERS}
    if owner == "code":
        meanings = {name: meaning for name, meaning in meanings.items() if name != "accuracy"}  # it may be any
    return task_score(run.results[name], meanings, drawn=run.facts.get(DRAWN) is True, owner=owner, answers=answers)


def kept_rows(run: Run) -> list[tuple[str, float, float]]:
    """(task, score before the first step, score of the model kept), per cent, for tasks of an earlier run."""
    kept = ((name, scores) for name, scores in run.history.kept.items() if name in run.config.tasks)
    return [(run.task(name).title, 100 * old, 100 * new) for name, (old, new) in kept]


def file_rows(run: Run) -> list[tuple[str, str]]:
    """(official file, its size and the start of its SHA-256) of the files that were read, without damaged entries."""
    found = run.data.files.items() if isinstance(run.data.files, Mapping) else ()
    return [
        (str(name), f"{entry['bytes']:,} bytes, {entry['sha256'][:16]}…")
        for name, entry in found
        if isinstance(entry, Mapping) and type(entry.get("bytes")) is int and isinstance(entry.get("sha256"), str)
    ]


def files_read(run: Run) -> str:
    """How many files were read, in words: official ones, or one's own."""
    names = {name for name, _ in file_rows(run)}
    tasks = [settings for name, settings in run.config.tasks.items() if run.is_own(name)]
    own = names & {each for settings in tasks for each in (settings.train, settings.test_split)}
    plural = "" if len(names) == 1 else "s"
    if names == own:
        return f"{len(names)} of your files"
    if own:
        return f"{len(names)} file{plural}, {len(own)} of them yours,"
    return f"{len(names)} {'' if 'code' in run.owners else 'official '}file{plural}"


def data_rows(run: Run) -> list[DataRow]:
    """Sizes of the training sets before and after cleaning, from data.json."""
    cleaned, rows = run.data.cleaned, []
    for name, sizes in run.data.tasks.items():
        counts = cleaned.removed.get(name, {})
        overlap = cleaned.overlap.get(name, {})
        causes = sorted(((count, split) for split, count in overlap.items() if count), key=lambda each: -each[0])
        rows.append(
            DataRow(
                title=run.task(name).title,
                examples_before=counts.get("examples_before", 0),
                examples_after=counts.get("examples_after", 0),
                images_before=counts.get("images_before", 0),
                images_after=counts.get("images_after", 0),
                train=sizes.train,
                validation=sizes.validation,
                removed=[f"{count:,} in {_readable(run, split)}" for count, split in causes],
                coverage=run.data.coverage.get(name, ""),
            )
        )
    return rows


def _readable(run: Run, split: str) -> str:
    """``"name split" -> "TITLE split"``, if the task is known."""
    name, _, part = split.partition(" ")
    return f"{_title(run, name)} {part}"


def _title(run: Run, name: str) -> str:
    try:
        return run.task(name).title
    except ConfigError:  # a task that no longer exists
        return name


def of_base(run: Run) -> list[tuple[str, Sequence[str]]]:
    """What the comparison of the test images with those of the base model found: (sentence, ids of images)."""
    found = run.data.base_images
    if not found.tasks:
        return []
    said = found.sentences({name: _title(run, name) for name in found.tasks})
    return [(text[:1].upper() + text[1:], found.tasks[name].seen if name else ()) for name, text in said.items()]


def unread(run: Run) -> dict[str, str]:
    """Split -> why its images could not be held out, with the files that are absent. Datasets that the data root does
    not have are left out if the run trains on images of one's own, which no dataset shows."""
    from twelve.data.clean import NO_FOLDER  # imports pyarrow, which an early error does not need

    skipped, shown = run.data.cleaned.skipped, {image.partition("/")[0] for image in run.data.region_samples}
    if shown and not shown & {task.source for task in all_tasks().values()}:
        skipped = {split: reason for split, reason in skipped.items() if reason != NO_FOLDER}
    return {
        split: _absent(run, split) if reason == NO_FILE else reason
        for split, reason in skipped.items()
        if not split.endswith(ELSEWHERE)
    }


def unlinked(run: Run) -> dict[str, str]:
    """Task -> why it is not known which of its images are in other datasets, too."""
    found = run.data.cleaned.skipped.items()
    return {_title(run, name.removesuffix(ELSEWHERE)): reason for name, reason in found if name.endswith(ELSEWHERE)}


def _absent(run: Run, split: str) -> str:
    """Which files of a split, ``"name split"``, are not in the data root."""
    name, _, part = split.partition(" ")
    try:
        task = run.task(name)
        names = [f"{task.folder}/{file}" for file in task.files(part)]
    except ConfigError:  # a task or a split that no longer exists
        return NO_FILE
    gone = [file for file in names if not Path(run.config.data, file).exists()] or names
    return f"there is no {' and no '.join(gone)}"


def stages(run: Run) -> list[tuple[str, str]]:
    """(stage, time) of all stages."""
    rows = []
    if run.history.seconds:
        rows.append(("training, including validation", words.minutes(run.history.seconds)))
    for key, value in run.facts.items():
        stage = key.removesuffix("_seconds")
        if stage != key and stage not in ("training", "evaluation"):
            rows.append((stage.replace("_", " "), words.minutes(float(value))))
    if "evaluation_seconds" in run.facts:
        rows.append(("evaluation, including baselines", words.minutes(float(run.facts["evaluation_seconds"]))))
    return rows


def machine(run: Run) -> list[tuple[str, str]]:
    """(property, value) of the machine used for training and what differs on that used for evaluation."""
    rows = _named(run.machine)
    other = run.facts.get("machine", {})
    changed = {key: value for key, value in other.items() if value != run.machine.get(key)}
    rows += [(f"evaluation: {key}", value) for key, value in _named(changed)]
    return rows


def _named(tree: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in tree.items() if value is not None]


def commands(run: Run) -> list[str]:
    """The commands that repeat this run and this page, in a folder beside it."""
    chosen = beside(run, "again")
    folder = chosen.removeprefix("run=")
    found = [
        f"twelve train {quoted(RunFolder(run.folder).config)} --set {quoted(chosen)}",
        f"twelve evaluate {quoted(folder)}",
        f"twelve report {quoted(folder)}",
    ]
    return list(in_program(Step("", "", found)).commands) if _program(run) else found
