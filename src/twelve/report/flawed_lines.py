"""The step that a report advises where lines of one's own files are wrong, or may be: test answers that the model does
not know, lines that contradict each other, and what ``twelve data check`` warns about. Neither more examples of the
same kind nor longer training would help."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

from twelve.report.own_task_steps import new_images
from twelve.report.reading import Run
from twelve.report.scores import LEAST
from twelve.report.step import Step, only, to_check, to_evaluate, to_train_again
from twelve.report.tables import converting, sources
from twelve.report.verdict import ScoredTask

SHOWN = 2
"""Warnings about a file that are shown at once."""


def corrected(run: Run, scored: Sequence[ScoredTask]) -> Iterator[Step]:
    """Correct the lines that the evaluation has found in the files of tasks of one's own, and measure again."""
    own = [each for each in scored if each.name in run.config.tasks]
    flawed = [each for each in own if run.results[each.name].unanswerable or run.results[each.name].contradicted]
    warned = {each.name: found for each in own if (found := _warnings(run, each))}
    if not flawed and not warned:
        return
    splits = dict.fromkeys(split for each in flawed for split in _files(run, each))
    splits |= dict.fromkeys(split for found in warned.values() for split in found)
    how, details, extract = _how(run, flawed, splits)
    said = [clause for each in flawed for clause in _clauses(run, each)]
    for name, found in warned.items():
        said += [f"{_of(run, name)}{warning}" for each in found.values() for warning in each[:SHOWN]]
    if more := [warning for found in warned.values() for each in found.values() for warning in each[SHOWN:]]:
        details.append(f"`twelve data check` also says: {'; '.join(more)}.")
    why = "; ".join(said)
    then = f". {how[:1].upper()}{how[1:]}." if warned else f": {how}."  # a warning has colons itself
    commands = dict.fromkeys([*converting(run, splits), *extract])
    again = _again(run, list(dict.fromkeys([*(each.name for each in flawed), *warned])), warned)
    trained = {run.task(each.name).train_split for each in own}
    files = {"the training file": trained & splits.keys(), "the test file": splits.keys() - trained}
    title = f"Correct {' and '.join(file for file in files if files[file])}"
    if flawed and not any(trained & found.keys() for found in warned.values()):
        title = "Correct the lines that no model can answer"
    yield Step(title, f"{why[:1].upper()}{why[1:]}{then}", [*commands, *to_check(run), *again], " ".join(details))


def _warnings(run: Run, each: ScoredTask) -> dict[str, Sequence[str]]:
    """Each file of a task -> what may be wrong with it: with its training file, only if there is much to gain."""
    found = run.results[each.name]
    train = found.train_warnings if each.score.left > LEAST else ()
    both = {found.protocol.split: found.test_warnings, run.task(each.name).train_split: train}
    return {split: warnings for split, warnings in both.items() if warnings}


def _how(run: Run, flawed: Sequence[ScoredTask], splits: Collection[str]) -> tuple[str, list[str], list[str]]:
    """What to do, sentences about it, and the commands that extract the regions of images that are added."""
    if not flawed:
        return f"look at these lines of {sources(run, splits)}, and correct what is wrong", [], []
    how, details, extract = f"correct these lines in {sources(run, splits)}", list[str](), list[str]()
    if lacking := [run.task(each.name) for each in flawed if run.results[each.name].unanswerable]:
        how += f", or add examples with the missing answers to {sources(run, [task.train_split for task in lacking])}"
        extract, which = new_images(run, lacking)
        details += [which, "If you correct test files alone, evaluate this run again instead of training."]
        least = run.config.vocabulary.min_count
        details += [f"Add at least {least} of each answer (vocabulary.min_count)."] if least > 1 else []
    return how, [*details, "The check names answers that are probably misspelt, and contradictions."], extract


def _of(run: Run, name: str) -> str:
    """The start of a clause about a task, unless there is no other."""
    return "" if len(run.results) == 1 else f"{run.task(name).title}: "


def _clauses(run: Run, each: ScoredTask) -> Iterator[str]:
    """What is wrong with the files of a task."""
    from twelve.data.own_files import different_answers  # imports pyarrow, which an early error does not need

    found, of = run.results[each.name], _of(run, each.name)
    yield from (f"{of}{clause}" for clause in found.unanswerable)
    yield from (f"{of}{different_answers(run.task(each.name), *item)}" for item in found.contradicted.items())
    if each.score.upper_bound is not None:
        yield f"{of}the best possible score is at most {each.score.upper_bound.value:.1f}"


def _files(run: Run, each: ScoredTask) -> Iterator[str]:
    """The files that hold these lines."""
    found = run.results[each.name]
    yield from [found.protocol.split] if found.unanswerable else []
    yield from found.contradicted


def _again(run: Run, names: Sequence[str], warned: Mapping[str, Mapping[str, Sequence[str]]]) -> Sequence[str]:
    """The commands that train the tasks again, if what they learn from changes, and measure."""
    for name in names:
        found, split = run.results[name], run.task(name).train_split
        if found.unanswerable or split in found.contradicted or split in warned.get(name, ()):
            return to_train_again(run, "retrained", *only(run, names))
    return to_evaluate(run)
