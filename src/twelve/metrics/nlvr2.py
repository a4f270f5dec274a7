"""NLVR2's accuracy and consistency, as in lil-lab/nlvr's nlvr2/eval (Suhr et al. 2019)."""

from __future__ import annotations

import csv
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from twelve.errors import Again, DataError
from twelve.formats.records import check_regular, unreadable


@dataclass(frozen=True, slots=True)
class NLVR2Scores:
    """Shares in 0..1. ``consistency``: sentences judged correctly for every image pair they occur with."""

    accuracy: float
    consistency: float
    correct: Mapping[str, bool]
    sentences: Mapping[str, bool]


def sentence_key(identifier: str) -> str:
    """``dev-850-0-1`` -> ``dev-850--1``: identifies the sentence within its set, regardless of the image pair."""
    split, images, _, sentence = identifier.split("-")
    return f"{split}-{images}--{sentence}"


def evaluate(labels: Mapping[str, str], predictions: Mapping[str, str]) -> NLVR2Scores:
    """Official metric over all identifiers of ``labels``.

    Case does not matter; words other than true and false are wrong; predictions for unknown identifiers are ignored.
    (Where this function raises, the official program stops without a score.)

    Raises:
        DataError: an identifier has no prediction.
    """
    missing = [identifier for identifier in labels if identifier not in predictions]
    if missing:
        raise DataError(
            f"{len(missing):,} of {len(labels):,} examples have no prediction",
            record=missing[0],
            remedy="predict every example of the split",
        )
    correct = {key: predictions[key].lower() == label.lower() for key, label in labels.items()}
    sentences: dict[str, bool] = {}
    for identifier, right in correct.items():
        key = sentence_key(identifier)
        sentences[key] = sentences.get(key, True) and right
    return NLVR2Scores(_share(correct.values()), _share(sentences.values()), correct, sentences)


def accuracy_among(scores: NLVR2Scores, identifiers: Collection[str]) -> float:
    """Accuracy in 0..1 over a subset of the examples, such as a balanced file or a category."""
    return _share([scores.correct[identifier] for identifier in identifiers])


def by_category(sentences: Mapping[str, str], categories: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Category -> identifiers of its examples, sorted by name.

    Args:
        sentences: identifier -> sentence.
        categories: sentence -> its categories, see :func:`read_categories`.
    """
    members: dict[str, list[str]] = {}
    for identifier, sentence in sentences.items():
        for category in categories.get(sentence, ()):
            members.setdefault(category, []).append(identifier)
    return dict(sorted(members.items()))


def _share(flags: Collection[bool]) -> float:
    return sum(flags) / len(flags)


def read_predictions(path: Path) -> dict[str, str]:
    """Identifier -> prediction, from lines ``identifier,True`` or ``identifier,False``.

    Raises:
        DataError: a line does not have two fields, or an identifier occurs twice.
    """
    predictions: dict[str, str] = {}
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            for number, row in enumerate(csv.reader(stream), 1):
                if len(row) != 2:
                    raise DataError(
                        f"expected identifier,True or identifier,False, found {len(row)} fields",
                        file=path,
                        record=f"line {number}",
                        remedy="write one prediction per line, without a header",
                    )
                if row[0] in predictions:
                    raise DataError(
                        f"example {row[0]} is predicted twice",
                        file=path,
                        record=f"line {number}",
                        remedy="keep one prediction",
                    )
                predictions[row[0]] = row[1]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, error) from None
    return predictions


def read_categories(path: Path) -> dict[str, list[str]]:
    """Sentence -> its linguistic categories, from the official annotated examples.

    A block is a sentence followed by lines ``- category`` (or ``* category``); empty lines separate blocks.

    Raises:
        DataError: the file cannot be read, or contains no sentence with a category.
    """
    categories: dict[str, list[str]] = {}
    sentence = ""
    try:
        check_regular(path)
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise unreadable(path, error) from None
    for line in lines:
        text = line.strip()
        if text[:2] in ("- ", "* ") and sentence:
            categories[sentence].append(text[2:])
        elif text:
            sentence = text
            categories.setdefault(sentence, [])
    if not any(categories.values()):
        raise DataError("contains no sentence with a category", file=path, remedy=Again("download the file again"))
    return categories
