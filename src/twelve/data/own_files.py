"""What may be wrong with the files of a task of one's own although they can be read: data check, training and
evaluation say it."""

from __future__ import annotations

import shlex
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from itertools import islice
from pathlib import Path

from twelve.data import table_origin
from twelve.data.examples.columns import counted, distinct_images, images_of, texts_of
from twelve.data.vocabulary import labels_of
from twelve.errors import DataError, shortened
from twelve.formats.data_root import IMAGES, DataRoot
from twelve.io.image_suffixes import SUFFIXES
from twelve.progress import counted as number
from twelve.settings import RunConfig
from twelve.tasks.base import Task
from twelve.tasks.custom import (
    AnswerFile,
    EntailmentFile,
    FileTask,
    PairFile,
    PretrainingFile,
    RetrievalFile,
    own_tasks,
)
from twelve.types.examples import Example, Target

FEW = 20
"""With fewer training examples of a task, a warning says that there may be too few to learn it."""
ONE_ANSWER = 0.7
"""Share of the examples with one answer, from which a warning says that the model may learn little else, or that a
model which has learned nothing scores high."""
_SHOWN = 10
"""Most answers that are listed."""
_ANSWER = 60
"""Most characters of an answer that are printed."""
_SUSPECTS = 5
"""Most answers that are said to be misspelt."""
_RARER = 4
"""An answer is taken for a misspelling by a letter only if the other one is this many times as frequent."""
_MISSPELLING = "may be a misspelling of {}"
_SHORTEST, _LONGEST = 3, 40
"""Fewest letters, and greatest length, of a misspelling: of two letters, nearly any change gives another word."""


def warnings_of(
    task: Task, root: DataRoot, split: str, examples: Sequence[Example], trained: Sequence[Example] | None
) -> list[str]:
    """What may be wrong with a file of a task of one's own.

    Args:
        trained: the examples of its training file; None where that cannot be read.
    """
    if not isinstance(task, FileTask):
        return []
    found = [said] if (said := empty_texts(task, root, split, examples)) else []
    found += other_suffixes(task, root, split)
    if not isinstance(task, PretrainingFile):  # of millions of lines, some are the same
        found += repeats(task, root, split, examples)
    if split != task.train_split and trained is not None:
        found += shared_images(split, examples, trained)
    found += contradictions(task, root, split, examples)
    if isinstance(task, PairFile | EntailmentFile):
        classes = _classes_of(examples)
        found += _one_answer(task, split, classes, classes)
    if not isinstance(task, AnswerFile):
        return found
    if split == task.train_split:
        labels = labels_of(examples)
        return found + one_answer(labels) + misspelt(labels, at=_answers_at(root, split, examples))
    found += _one_answer(task, split, labels_of(examples), _marks_of(examples))
    found += untaught(task, examples, trained)
    if trained is not None and (lacking := unknown(examples, taught := labels_of(trained))):
        found += misspelt(taught, lacking, f" in {task.train_split}", _answers_at(root, split, examples))
    return found


def one_answer(counts: Mapping[str, int]) -> list[str]:
    """A sentence about training examples of which all, or nearly all, have the same answer or class."""
    total, most = sum(counts.values()), max(counts.values(), default=0)
    if total < 2 or most < ONE_ANSWER * total:
        return []
    which = f"all {total:,}" if most == total else f"{most:,} of {total:,}"
    learns = "can learn only this one" if most == total else "may learn to give it always"
    return [
        f"{which} training examples have the answer {_shown(_by_count(counts)[0])}, so the model {learns}; "
        "add examples with other answers"
    ]


def _one_answer(task: Task, split: str, counts: Mapping[str, int], marks: Mapping[str, float]) -> list[str]:
    """:func:`one_answer` of a training file, or a sentence about a file for evaluation of the same kind.

    Args:
        counts: answer -> number of examples of which it is the best one.
        marks: answer -> the sum of its marks, 0..1, in all examples.
    """
    if split == task.train_split:
        return one_answer(counts)
    total, most = sum(counts.values()), max(counts.values(), default=0)
    if total < 2 or most < ONE_ANSWER * total:
        return []
    answer = _by_count(counts)[0]
    right = "right" if marks[answer] == most else "the best one"  # others give it marks, or it is right in part
    always = f"the answer {_shown(answer)} to everything is {right} for {most:,} of {total:,} examples"
    return [f"{always}, so that alone scores {100 * marks[answer] / total:.1f}; add examples with other answers"]


def _marks_of(examples: Sequence[Example]) -> Mapping[str, float]:
    """Answer -> the sum of its marks in all examples."""
    found: defaultdict[str, float] = defaultdict(float)
    for target, count in counted(examples, "target"):
        for answer, mark in target.items() if isinstance(target, Mapping) else ():
            found[answer] += mark * count
    return found


def _classes_of(examples: Sequence[Example]) -> Counter[str]:
    """Class -> number of examples that have it: of a pair, true or false."""
    found: Counter[str] = Counter()
    for target, count in counted(examples, "target"):
        found[str(target).lower()] += count
    return found


def too_few(sizes: Mapping[str, int]) -> list[str]:
    """A sentence about tasks with few training examples, if any has; ``sizes``: title -> how many."""
    small = [f"{title} has {number(size, 'training example')}" for title, size in sizes.items() if size < FEW]
    if not small:
        return []
    return [f"{', '.join(small)}: fewer than {FEW} often teach nothing; compare the test score with the baselines"]


def shared_images(split: str, examples: Sequence[Example], trained: Sequence[Example]) -> list[str]:
    """A sentence about training images that a split for evaluation has too, if some are, but not all
    (:func:`none_left`)."""
    images = distinct_images(trained)
    count = len(set(images).intersection(distinct_images(examples)))
    if count in (0, len(images)):
        return []
    verb, them = ("is", "it") if count == 1 else ("are", "them")
    return [f"{count:,} of {len(images):,} training images {verb} also in {split}; training leaves {them} out"]


def repeats(task: FileTask, root: DataRoot, split: str, examples: Sequence[Example]) -> Iterator[str]:
    """A sentence about lines that are the same but for case and spaces of their text, and one about captions of several
    images, which no search can find by their caption."""
    asked, extra, first, captioned = _asked(examples), 0, list[int](), defaultdict[str, list[int]](list)
    for (_, text), rows in asked.items():
        captioned[text].append(rows[0])
        if len(rows) > 1:
            distinct = {repr((examples[row].target, examples[row].candidates)) for row in rows}
            first = rows if not extra and len(distinct) < len(rows) else first
            extra += len(rows) - len(distinct)
    if extra:
        verb = "repeats an earlier one" if extra == 1 else "repeat earlier ones"
        lines = f"{extra:,} of {len(examples):,} lines of {split} {verb}"
        yield f"{lines}, first: {_named(task, root, split, [examples[row] for row in first])}; remove what counts twice"
    if task.kind == RetrievalFile.kind and (shared := [rows for rows in captioned.values() if len(rows) > 1]):
        most = max(shared, key=len)
        are = f"{number(len(shared), 'caption', 'are')} of several images in {split}"
        said = f"{are}, such as {shortened(examples[most[0]].text)!r} of {len(most):,}"
        yield f"{said}; a search for it cannot find the right one: write what only that image shows"


def _asked(examples: Sequence[Example]) -> dict[tuple[int, str], list[int]]:
    """(images, text without case and spaces) -> rows of the examples that have both."""
    found: defaultdict[tuple[int, str], list[int]] = defaultdict(list)
    for row, (images, text) in enumerate(zip(images_of(examples).codes.tolist(), texts_of(examples), strict=True)):
        found[images, _folded(text)].append(row)
    return found


def _named(task: FileTask, root: DataRoot, split: str, examples: Sequence[Example]) -> str:
    """Examples that ask the same, by their text and the names of their images; of a table, also by their lines."""
    lines = (task.line_of(image, root, split) for image in examples[0].images)
    origin = table_origin.of_split(root.path, split)
    where = "" if origin is None else f" ({origin.lines(split, [example.id for example in examples])})"
    return f"{shortened(examples[0].text)!r} about {' and '.join(line[1] for line in lines if line)}{where}"


def _answers_at(root: DataRoot, split: str, examples: Sequence[Example]) -> Callable[[str], str]:
    """What says of an answer in which lines of a table it is; nothing where the file is not made from one."""

    noted = cache(lambda: table_origin.of_split(root.path, split))  # hashes the file, which few need

    def at(answer: str) -> str:
        if (origin := noted()) is None:
            return ""
        ids = [each.id for each in examples if isinstance(each.target, Mapping) and answer in each.target]
        return f": {origin.lines(split, ids)}"

    return at


def correcting(task: Task, root: DataRoot) -> list[str]:
    """A sentence about how to correct the files of a task of one's own that are made from a table; none of others."""
    splits = (task.train_split, task.test_split) if isinstance(task, FileTask) else ()
    origins = [table_origin.of_split(root.path, split) for split in splits]
    return [origins[0].remedy] if origins and origins[0] is not None and None not in origins else []


def contradictions(task: FileTask, root: DataRoot, split: str, examples: Sequence[Example]) -> list[str]:
    """A sentence about lines that contradict each other (:func:`contradicted`)."""
    found = contradicted(task, examples)
    if not found:
        return []
    row, answers = next(iter(found.items()))
    same = next(rows for rows in _asked(examples).values() if rows[0] == row)
    first = f"{_named(task, root, split, [examples[each] for each in same])}: {with_counts(answers)}"
    return [f"{different_answers(task, split, len(found))}, first: {first}"]


def different_answers(task: Task, split: str, count: int) -> str:
    """How many questions have different answers in a file, as a clause."""
    noun = "question" if isinstance(task, AnswerFile) else "statement"
    return f"{number(count, noun, 'have')} different answers in {split}"


def contradicted(task: Task, examples: Sequence[Example]) -> dict[int, Counter[str]]:
    """The first row of each text that several lines have with the same images, but without a right answer in common,
    and these answers; both are compared without case and spaces (:func:`misspelt` tells of the answers that differ only
    in these)."""
    found: dict[int, Counter[str]] = {}
    if not isinstance(task, AnswerFile | PairFile | EntailmentFile):  # a text may mean several boxes, or have no target
        return found
    for rows in _asked(examples).values():
        rights = [right for row in rows if (right := _right(examples[row].target))] if len(rows) > 1 else []
        if rights and not set.intersection(*(set(map(_folded, right)) for right in rights)):
            found[rows[0]] = Counter(best for best, *_ in rights)
    return found


def _right(target: Target) -> list[str]:
    """The answers that a target gives a mark, the best first, or its class."""
    marks = target if isinstance(target, Mapping) else {} if target is None else {str(target).lower(): 1.0}
    return sorted((answer for answer in marks if marks[answer] > 0), key=marks.__getitem__, reverse=True)


def none_left(task: FileTask, root: DataRoot, splits: Sequence[str], removed: int, total: int) -> DataError:
    """The error about a training file of which too little is left without the images of splits for evaluation.

    Args:
        splits: names of those that have images of it.
        removed, total: of how many of its images, or of its examples if these have several images.
    """
    what, verb = ("image", "") if task.images_each == 1 else ("example", "about images that are ")
    which = f"all {total:,}" if removed == total else f"{removed:,} of {total:,}"
    problem = f"{which} training {what}s are {verb}also in {', '.join(splits)}, and are removed from training"
    if total == 1:
        problem = f"the only training {what} is {verb}also in {', '.join(splits)}, and is removed from training"
    elif removed < total:
        problem += "; what is left is too little to validate on a part of it"
    remedy = "put different images into the two files" if len(splits) == 1 else "put different images into these files"
    return DataError(problem, file=root.path / task.train_split, remedy=remedy)


def unanswerable(
    task: Task, split: str, examples: Sequence[Example], trained: Sequence[Example], vocabulary: Collection[str]
) -> list[str]:
    """Of which questions of a split a model cannot be right, in a task of one's own.

    Args:
        trained: the task's training examples; none where they are not known.
        vocabulary: the answers that the model can give, some of which another task may have taught it.
    """
    if not isinstance(task, AnswerFile):
        return []
    found = []
    impossible = unknown(examples, frozenset(vocabulary))
    if impossible:
        answers = f"the answer{'s' * (impossible.total() > 1)} to {_of(impossible, examples)}"
        found.append(f"the model cannot give {answers} of {split}: {with_counts(impossible)}")
    lacking = unknown(examples, labels_of(trained)) if trained else Counter()
    if untaught := Counter({answer: count for answer, count in lacking.items() if answer not in impossible}):
        found.append(_untaught(examples, untaught, "the training examples"))
    return found


def untaught(task: Task, examples: Sequence[Example], trained: Sequence[Example] | None) -> list[str]:
    """A sentence about answers of a file for evaluation that the training file does not have, if there are any."""
    lacking = Counter[str]()
    if isinstance(task, AnswerFile) and trained is not None:
        lacking = unknown(examples, labels_of(trained))
    return [_untaught(examples, lacking, task.train_split)] if lacking else []


def _untaught(examples: Sequence[Example], lacking: Counter[str], where: str) -> str:
    occur, them = ("answer {} never occurs", "it") if lacking.total() == 1 else ("answers {} never occur", "them")
    never = occur.format(f"to {_of(lacking, examples)}")
    return f"the {never} in {where}, so training cannot teach {them}: {with_counts(lacking)}"


def _of(counts: Counter[str], examples: Sequence[Example]) -> str:
    return f"{counts.total():,} of {len(examples):,} questions"


def with_counts(counts: Mapping[str, int]) -> str:
    """The most frequent answers with their counts: ``yes (32), no (31), and 3 more``."""
    ordered = _by_count(counts)
    more = [f"and {len(ordered) - _SHOWN:,} more"] if len(ordered) > _SHOWN else []
    return ", ".join([*(f"{_shown(answer)} ({counts[answer]:,})" for answer in ordered[:_SHOWN]), *more])


def misspelt(
    counts: Mapping[str, int],
    lacking: Mapping[str, int] | None = None,
    where: str = "",
    at: Callable[[str], str] = lambda answer: "",
) -> list[str]:
    """A sentence about each answer that differs from a more frequent one only in case, spaces or, if it is much rarer,
    one letter, or two letters that are swapped.

    Args:
        counts: answer -> how often a file has it.
        lacking: the same of answers that only another file has. The sentences are then about these alone, each compared
            with the answers of the first file.
        where: ``" in train.jsonl"``, said of the counts of the first file.
        at: gives what is added to the sentence about an answer.
    """
    found: list[str] = []
    written: dict[str, str] = {}
    wrong: dict[str, str] = {}
    near: dict[str, str] = {}

    def tell(answer: str, what: str, meant: str) -> None:
        if lacking is None or answer in lacking:
            found.append(f"answer {_times(answer, all_counts)} {what.format(_times(meant, counts, where))}{at(answer)}")

    all_counts = {**counts, **(lacking or {})}
    for answer in [*_by_count(counts), *_by_count(lacking or {})]:
        folded, new = _folded(answer), answer not in counts
        if folded in wrong:
            tell(answer, _MISSPELLING, wrong[folded])
            continue
        same = written.get(folded, answer) if new else written.setdefault(folded, answer)
        if same != answer:
            tell(answer, "differs from {} only in case or spaces", same)
            continue
        if not _is_word(folded):
            continue
        patterns = _patterns(folded)
        others = {near[pattern] for pattern in patterns if pattern in near}
        others = {other for other in others if counts[other] >= _RARER * all_counts[answer]}
        meant = [other for other in _by_count({other: counts[other] for other in others}) if _likely(folded, other)]
        if meant:
            wrong[folded] = meant[0]
            tell(answer, _MISSPELLING, meant[0])
        elif not new and counts[answer] >= _RARER:
            for pattern in patterns:
                near.setdefault(pattern, answer)
    more = len(found) - _SUSPECTS
    return found if more <= 0 else [*found[:_SUSPECTS], f"{more:,} more answers may be misspellings"]


def unknown(examples: Sequence[Example], known: Collection[str]) -> Counter[str]:
    """Answer -> number of examples of which it is the best one, where no answer that is right is among the known."""
    found: Counter[str] = Counter()
    for target, count in counted(examples, "target"):
        right = [answer for answer, score in target.items() if score > 0] if isinstance(target, Mapping) else []
        if right and not any(answer in known for answer in right):
            found[max(right, key=target.__getitem__)] += count
    return found


def empty_texts(task: FileTask, root: DataRoot, split: str, examples: Sequence[Example]) -> str:
    """How many texts of a file are empty, and where the first is; "" if none is."""
    empty = sum(not text.strip() for text in texts_of(examples))
    if not empty:
        return ""
    first = next((line.place for line, example in task.sound_lines(root, split) if not example.text.strip()), "")
    return f"{empty:,} of {len(examples):,} texts {'is' if empty == 1 else 'are'} empty, the first in {first}"


def other_suffixes(task: FileTask, root: DataRoot, split: str) -> list[str]:
    """A sentence about images that lines name with another suffix than their files have, which are used nonetheless."""
    found: dict[str, str] = {}
    for record, example in task.sound_lines(root, split):
        for name, image in zip(task.images_named(record), example.images, strict=True):
            suffix = Path(name).suffix
            if image in found or suffix.lower() not in SUFFIXES or (file := root.image_file(image)) is None:
                continue
            if file.suffix.lower() != suffix.lower() and not file.with_suffix(suffix).exists():
                found[image] = f"{record.place} has {name}, the file is {file.name}"
    if not found:
        return []
    first = next(iter(found.values()))
    if len(found) == 1:
        return [f"1 image is named with another suffix than its file has (the file is used): {first}"]
    return [f"{len(found):,} images are named with another suffix than their files have (the files are used): {first}"]


def missing_images(task: FileTask, root: DataRoot, split: str, lacking: Collection[str]) -> Iterator[DataError]:
    """An error about the first line that names each of these images, which have neither a file nor regions."""
    left = set(lacking)
    for record, example in task.sound_lines(root, split):
        for name, image in zip(task.images_named(record), example.images, strict=True):
            if image in left:
                left.remove(image)
                folder = root.path / IMAGES / image.split("/")[0]
                remedy = f"correct the name in this line, or put the image into {folder}"
                yield record.error(f"there is no image {name} in {folder}, and no regions of it", remedy)


@contextmanager
def with_all_flaws(config: RunConfig, named: str, settings: Sequence[str]) -> Iterator[None]:
    """Reading stops at the first bad line of a user's own file: the error names the command that lists all of them.

    Args:
        config: what the next two make.
        named, settings: the configuration and its changes, as the user wrote them.
    """
    try:
        yield
    except DataError as error:
        if not _has_more_flaws(config, error):
            raise
        changes = [word for setting in settings for word in ("--set", setting)]
        words = ["twelve", "data", "check", config.data, "--config", named, *changes]
        remedy = f"{error.remedy}; to list all bad lines: {shlex.join(words)}"
        raise DataError(error.problem, file=error.file, record=error.record, remedy=remedy) from error.__cause__


def _has_more_flaws(config: RunConfig, error: DataError) -> bool:
    """Whether an error is about a file of the user's own that has another bad line."""
    own = own_tasks(config.tasks)
    root = DataRoot(config.data, config.sources, own)
    return any(
        len(list(islice(task.reader.flaws(root, split), 2))) > 1
        for task in own.values()
        for split in dict.fromkeys((task.train_split, task.test_split))
        if error.file is not None and root.path / split == Path(error.file)
    )


def _by_count(counts: Mapping[str, int]) -> list[str]:
    return sorted(counts, key=lambda answer: (-counts[answer], answer))


def _shown(answer: str) -> str:
    """The answer without its middle if it is long, in quotes where its spaces or commas would mislead."""
    answer = shortened(answer, _ANSWER)
    return answer if answer == " ".join(answer.split()) and "," not in answer else repr(answer)


def _times(answer: str, counts: Mapping[str, int], where: str = "") -> str:
    count = counts[answer]
    return f"{shortened(answer, _ANSWER)!r} ({count:,} time{'s' * (count != 1)}{where})"


def _folded(answer: str) -> str:
    """An answer without case and spaces; between digits, spaces separate numbers."""
    between = " " if any(mark.isdigit() for mark in answer) else ""
    return between.join(answer.casefold().split())


def _is_word(folded: str) -> bool:
    """Whether one letter more, less, other or swapped may be a mistake: not in numbers, nor in scripts that write whole
    words with few signs, which have no case."""
    if len(folded) > _LONGEST or any(mark.isdigit() for mark in folded):
        return False
    letters = [mark for mark in folded if mark.isalpha()]
    return all(mark.upper() != mark.lower() for mark in letters)


def _patterns(word: str) -> set[str]:
    """The word with a gap instead of each letter, between all, and before each two neighbours in alphabetical order:
    two words share one if a single letter differs, or if two neighbours are swapped."""
    replaced = {f"{word[:place]}\0{word[place + 1 :]}" for place in range(len(word))}
    swapped = {
        f"{word[:place]}\0\0{''.join(sorted(word[place : place + 2]))}{word[place + 2 :]}"
        for place in range(len(word) - 1)
    }
    return replaced | swapped | {f"{word[:place]}\0{word[place:]}" for place in range(len(word) + 1)}


def _likely(folded: str, other: str) -> bool:
    """Whether one of two words that differ in a letter may be a misspelling of the other: not a plural."""
    short, long = sorted((folded, _folded(other)), key=len)
    plural = long == f"{short}s" and not short.endswith("s")
    return sum(mark.isalpha() for mark in long) >= _SHORTEST and not plural
