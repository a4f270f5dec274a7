"""Reads result files; an error names the record, and shows what a record should look like."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from twelve.errors import Again, DataError, MissingData
from twelve.formats.records import REMEDY, Record, describe, read_json
from twelve.progress import counted

Value = TypeVar("Value")


class Mismatch(DataError):
    """Predictions and truth are each valid, but do not belong together."""


@contextmanager
def mended_by(path: Path, remedy: str) -> Iterator[None]:
    """Errors from within about ``path``, which the user wrote, get this remedy instead of downloading it again."""
    try:
        yield
    except DataError as error:
        if (better := mended(error, path, remedy)) is error:
            raise
        raise better from None


def mended(error: DataError, path: Path, remedy: str) -> DataError:
    """An error with this remedy, where it is about ``path`` and would have it downloaded again; else the error."""
    if error.file != path or not (error.remedy is None or isinstance(error.remedy, Again)):
        return error
    return DataError(error.problem, file=path, record=error.record, remedy=remedy)


def written_like(path: Path, sample: str) -> AbstractContextManager[None]:
    """Errors from within about the result file ``path`` show what a prediction looks like."""
    return mended_by(path, f"write each prediction as {sample}")


def by_id(records: Iterable[Record], key_of: Callable[[Record], str], one: str) -> dict[str, Record]:
    """Id -> record, in file order; raises DataError when two records have the same id.

    Args:
        one: what an id is of, such as "question".
    """
    found: dict[str, Record] = {}
    for record in records:
        key = key_of(record)
        if key in found:
            raise record.error(
                f"{one} {key} is predicted twice, first in {found[key].place}",
                "predict everything once, keep one of the two",
            )
        found[key] = record
    return found


def read_mapping(path: Path) -> dict[str, Any]:
    """The content of a file that is one JSON object whose keys are ids.

    Raises:
        DataError: unreadable, no object, or a key that occurs twice.
    """
    content = read_json(path)
    if not isinstance(content, dict):
        raise DataError(
            f"expected an object whose keys are ids, found {describe(content)}", file=path, record=None, remedy=REMEDY
        )
    return content


def complete(wanted: Collection[str], predicted: Collection[str], path: Path, one: str, what: str = "") -> None:
    """Raise Mismatch where a prediction is missing, MissingData where there is nothing to predict.

    Args:
        one: what an id is of, such as "question".
        what: all that must be predicted; by default the plural of ``one``.
    """
    what = what or f"{one}s"
    if not wanted:
        raise MissingData(
            f"the official files contain no {what}", file=path, remedy="give the files of the split that was predicted"
        )
    missing = [key for key in wanted if key not in predicted]
    if missing:
        raise Mismatch(
            f"{len(missing):,} of {len(wanted):,} {what} have no prediction",
            file=path,
            record=f"{one} {missing[0]}",
            remedy="predict all of them, or check that predictions and truth are of the same split",
        )


def known(predicted: Iterable[str], truth: Collection[str], path: Path, one: str, what: str = "truth") -> None:
    """Raise Mismatch where a prediction has no counterpart in the truth; ``one``: what an id is of."""
    foreign = [key for key in predicted if key not in truth]
    if foreign:
        raise Mismatch(
            f"{counted(len(foreign), 'prediction', 'have')} no counterpart in the {what}",
            file=path,
            record=f"{one} {foreign[0]}",
            remedy="leave them out, or check that predictions and truth are of the same split",
        )


def only(paths: Collection[Path], what: str) -> Path:
    """The only file; raises DataError where there are several or none."""
    files = list(paths)
    if len(files) != 1:
        raise DataError(
            f"expected one file, {what}, found {len(files)}",
            file=files[1] if files else None,
            remedy=f"give {what} and no other",
        )
    return files[0]


def one(found: Mapping[str, list[Value]], kind: str, path: Path, remedy: str) -> Value:
    """The only file of a kind; raises DataError where there are several or none."""
    those = found.get(kind, [])
    if len(those) != 1:
        raise DataError(
            f"{'no' if not those else 'more than one'} file of {kind} among the truth", file=path, remedy=remedy
        )
    return those[0]


def passed_over(count: int, what: str) -> list[str]:
    """A note on predictions that do not count, if there are any."""
    return [f"{count:,} predictions are {what}, and are skipped"] if count else []
