"""The step that a report advises where no model can be right: test answers that it does not know, and lines that
contradict each other. Neither more examples of the same kind nor longer training would help."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from twelve.data import table_origin
from twelve.data.table_origin import TableOrigin
from twelve.progress import enumerated
from twelve.report.own_task_steps import new_images
from twelve.report.reading import Run
from twelve.report.scores import LEAST
from twelve.report.step import Step, as_named, only, to_check, to_evaluate, to_train_again
from twelve.report.verdict import ScoredTask

SHOWN = 2
"""Warnings about a training file that are shown at once."""


def corrected_lines(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """Correct the lines that the evaluation has found in the files of tasks of one's own, and measure again."""
    own = [each for each in scored if each.name in run.config.tasks]
    flawed = [each for each in own if run.results[each.name].unanswerable or run.results[each.name].contradicted]
    lacking = [run.task(each.name) for each in flawed if run.results[each.name].unanswerable]
    if not flawed:
        return
    said = "; ".join(clause for each in flawed for clause in _clauses(run, each))
    names = dict.fromkeys(name for each in flawed for name in _files(run, each))
    how, details, extract = f"correct these lines in {_sources(run, names)}", "", list[str]()
    if lacking:
        how += f", or add examples with the missing answers to {_sources(run, [task.train_split for task in lacking])}"
        extract, which = new_images(run, lacking)
        least = run.config.vocabulary.min_count
        rare = f" Add at least {least} of each answer (vocabulary.min_count)." if least > 1 else ""
        only = "If you correct test files alone, evaluate this run again instead of training."
        details = f"{which} {only}{rare} "
    details += "The check names answers that are probably misspelt, and contradictions."
    commands = [*_convert(run, names), *extract, *to_check(run), *_again(run, flawed)]
    yield Step("Correct the lines that no model can answer", f"{said[:1].upper()}{said[1:]}: {how}.", commands, details)


def corrected_training(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """Correct what the evaluation has found in the training files of tasks of one's own, and train again, unless the
    score leaves nothing to gain."""
    own = [each for each in scored if each.name in run.config.tasks and each.score.left > LEAST]
    for each in own:
        warnings = run.results[each.name].train_warnings
        folder = "retrained" if each.name == run.alone else f"{each.name}-retrained"
        train = to_train_again(run, folder, *only(run, [each.name]))
        if warnings and train:
            name = run.task(each.name).train_split
            said = "; ".join(warnings[:SHOWN])
            more = f"`twelve data check` also says: {'; '.join(warnings[SHOWN:])}." if warnings[SHOWN:] else ""
            where = _sources(run, [name])
            why = f"{said[:1].upper()}{said[1:]}. Look at these lines of {where}, and correct what is wrong."
            yield Step("Correct the training file", why, [*_convert(run, [name]), *to_check(run), *train], more)


def _table_of(run: Run, name: str) -> TableOrigin | None:
    return table_origin.of_split(Path(run.config.data), name)


def _sources(run: Run, names: Iterable[str]) -> str:
    """The files that a person edits: of files made from a table, the table."""
    files = []
    for name in names:
        origin = _table_of(run, name)
        files.append(origin.tables[name] if origin else str(as_named(run, Path(run.config.data, name))))
    return enumerated([*dict.fromkeys(files)])


def _convert(run: Run, names: Iterable[str]) -> Iterable[str]:
    """The commands that convert corrected tables again."""
    return dict.fromkeys(shlex.join(origin.command) for name in names if (origin := _table_of(run, name)))


def _clauses(run: Run, each: ScoredTask) -> Iterator[str]:
    """What is wrong with the files of a task."""
    from twelve.data.own_files import different_answers  # imports pyarrow, which an early error does not need

    found, of = run.results[each.name], "" if len(run.results) == 1 else f"{each.title}: "
    yield from (f"{of}{clause}" for clause in found.unanswerable)
    yield from (f"{of}{different_answers(run.task(each.name), *item)}" for item in found.contradicted.items())
    if each.score.upper_bound is not None:
        yield f"{of}the best possible score is at most {each.score.upper_bound.value:.1f}"


def _files(run: Run, each: ScoredTask) -> Iterator[str]:
    """The files that hold these lines."""
    found = run.results[each.name]
    yield from [found.protocol.split] if found.unanswerable else []
    yield from found.contradicted


def _again(run: Run, flawed: Sequence[ScoredTask]) -> Sequence[str]:
    """The commands that train the tasks again, if what they learn from changes, and measure."""
    names = [each.name for each in flawed]
    results = [run.results[name] for name in names]
    if not any(each.unanswerable or run.task(each.task).train_split in each.contradicted for each in results):
        return to_evaluate(run)
    return to_train_again(run, "corrected", *only(run, names))
