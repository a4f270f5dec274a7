"""``twelve report``: gather everything a run folder knows and write report.html into it.

The page is one file without anything from outside: styles, curves (SVG) and images (JPEG data URIs) are inside.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twelve.errors import ConfigError, quoted
from twelve.io import files
from twelve.report import words
from twelve.report.curves import Chart, chart
from twelve.report.gallery import Gallery, galleries
from twelve.report.reading import Run, read_run
from twelve.report.scores import TaskScore, task_score
from twelve.run_folder import check_links

FILE = "report.html"


@dataclass(frozen=True, slots=True)
class Section:
    """Everything about one task; what the run does not know is None."""

    name: str
    title: str
    kind: str
    asks: str
    score: TaskScore | None
    loss: Chart | None
    validation: Chart | None
    stopped: Sequence[tuple[int, int]]
    gallery: Gallery | None


@dataclass(frozen=True, slots=True)
class DataRow:
    """What one task was trained on.

    Attributes:
        left: why images left: "120 in NAME SPLIT", by number.
        coverage: which answers can be given at all, in words, or "".
    """

    title: str
    examples_before: int
    examples_after: int
    images_before: int
    images_after: int
    train: int
    validation: int
    left: Sequence[str]
    coverage: str


def write_report(run: Path) -> Path:
    """Write ``run``/report.html and return its path.

    Raises:
        ConfigError: the folder holds no run.
        DataError: one of its files is damaged; names it.
    """
    read = read_run(run)
    files.check_folder(run)
    check_links(run)
    page = render(read)
    with files.replacing(run / FILE) as partial:
        partial.write_text(page, encoding="utf-8")
    return run / FILE


def render(run: Run) -> str:
    """The page of a run as HTML; every text from outside is escaped by the template."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("twelve.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    parts = sections(run)
    return environment.get_template("report.html").render(
        run=run,
        name=run.folder.resolve().name,
        sections=parts,
        scored=[part for part in parts if part.score is not None],
        summary=summary(run, parts),
        timeline=run.history.iterations > 0,
        kept=kept_rows(run),
        data=data_rows(run),
        files=file_rows(run),
        cleaned=run.data.get("cleaned", {}),
        stages=stages(run, parts),
        machine=machine(run),
        commands=commands(run),
        words=words,
    )


def sections(run: Run) -> list[Section]:
    """One section a task, in the configuration's order; tasks measured in another order or later come after."""
    measured: Mapping[str, Any] = run.evaluation.get("tasks", {})
    shown = galleries(run.config, run.predictions)
    history, found = run.history, []
    for name in dict.fromkeys([*run.config.tasks, *measured]):
        task = run.task(name)
        spans = history.stopped(name)
        validations = [(at, 100 * score) for at, score in history.scores.get(name, ())]
        found.append(
            Section(
                name=name,
                title=task.title,
                kind=task.kind,
                asks=words.KINDS.get(task.kind, ""),
                score=task_score(measured[name], task.kind) if name in measured else None,
                loss=chart("Loss", "", history.losses.get(name, ()), history.iterations, spans),
                validation=chart("Validation score", "per cent", validations, history.iterations, spans, form=".1f"),
                stopped=spans,
                gallery=shown.get(name),
            )
        )
    return found


def summary(run: Run, parts: Sequence[Section]) -> str:
    """The run in two or three sentences."""
    facts, history = run.evaluation.get("facts", {}), run.history
    size = f" of {facts['parameters'] / 1e6:.1f} million parameters" if "parameters" in facts else ""
    tasks = "one task" if len(parts) == 1 else f"{len(parts)} tasks"
    text = f"One model{size}, trained on {tasks}"
    if history.iterations:
        text += f" for {history.iterations:,} iterations ({history.pairs:,} pairs of text and image)"
    if history.seconds:
        text += f" in {words.minutes(history.seconds)}"
    scores = [part.score for part in parts if part.score is not None]
    if not scores:
        return text + ". It has not been measured yet."
    beaten = sum(score.beats_all for score in scores)
    baselines = sum(bool(score.baselines) for score in scores)
    if not baselines:
        return f"{text}. Its baselines were not measured."
    return f"{text}. It beats every baseline on {beaten} of {baselines} measured tasks."


def kept_rows(run: Run) -> list[tuple[str, float, float]]:
    """(task, score before the first step, score of the model kept), of 100, of what an earlier run had learnt."""
    kept = ((name, scores) for name, scores in run.history.kept.items() if name in run.config.tasks)
    return [(run.task(name).title, 100 * old, 100 * new) for name, (old, new) in kept]


def file_rows(run: Run) -> list[tuple[str, str]]:
    """(official file, size and the beginning of its SHA-256) of what was read; damaged entries say nothing."""
    files = run.data.get("files")
    found = files.items() if isinstance(files, Mapping) else ()
    return [
        (str(name), f"{entry['bytes']:,} bytes, {entry['sha256'][:16]}…")
        for name, entry in found
        if isinstance(entry, Mapping) and type(entry.get("bytes")) is int and isinstance(entry.get("sha256"), str)
    ]


def data_rows(run: Run) -> list[DataRow]:
    """Sizes of the training sets before and after cleaning, from data.json."""
    cleaned, coverage = run.data.get("cleaned", {}), run.data.get("coverage", {})
    rows = []
    for name, sizes in run.data.get("tasks", {}).items():
        removed = cleaned.get("removed", {}).get(name, {})
        overlap = cleaned.get("overlap", {}).get(name, {})
        causes = sorted(((count, split) for split, count in overlap.items() if count), key=lambda each: -each[0])
        rows.append(
            DataRow(
                title=run.task(name).title,
                examples_before=int(removed.get("examples_before", 0)),
                examples_after=int(removed.get("examples_after", 0)),
                images_before=int(removed.get("images_before", 0)),
                images_after=int(removed.get("images_after", 0)),
                train=int(sizes.get("train", 0)),
                validation=int(sizes.get("validation", 0)),
                left=[f"{count:,} in {_readable(run, split)}" for count, split in causes],
                coverage=str(coverage.get(name, "")),
            )
        )
    return rows


def _readable(run: Run, split: str) -> str:
    """``"name split" -> "TITLE split"``, for a task that is known."""
    name, _, part = split.partition(" ")
    try:
        return f"{run.task(name).title} {part}"
    except ConfigError:  # a task that is no longer there
        return split


def stages(run: Run, parts: Sequence[Section]) -> list[tuple[str, str]]:
    """(stage, time) of everything that was timed."""
    rows = []
    facts = run.evaluation.get("facts", {})
    if run.history.seconds:
        rows.append(("training, validation included", words.minutes(run.history.seconds)))
    for key, value in facts.items():
        stage = key.removesuffix("_seconds")
        if stage != key and stage not in ("training", "evaluation"):
            rows.append((stage.replace("_", " "), words.minutes(float(value))))
    if "evaluation_seconds" in facts:
        rows.append(("measuring, baselines included", words.minutes(float(facts["evaluation_seconds"]))))
        rows += [
            (f"of it, {part.title}", words.minutes(part.score.seconds)) for part in parts if part.score is not None
        ]
    return rows


def machine(run: Run) -> list[tuple[str, str]]:
    """(what, which) of the machine that trained, and of the one that measured where it is another."""
    rows = _named(run.machine)
    other = run.evaluation.get("facts", {}).get("machine", {})
    if other and {key: other.get(key) for key in run.machine} != dict(run.machine):
        rows += [(f"measured on: {key}", value) for key, value in _named(other)]
    return rows


def _named(tree: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, str(value)) for key, value in tree.items() if value is not None]


def commands(run: Run) -> list[str]:
    """What makes this run and this page again."""
    config = run.folder / "config.yaml"
    return [
        f"twelve train {quoted(config)} --set run=ANOTHER_FOLDER",
        f"twelve evaluate {quoted(run.folder)}",
        f"twelve report {quoted(run.folder)}",
    ]
