"""A table of one's own (CSV) with a row for each example: read strictly, and divided into training and test by
image."""

from __future__ import annotations

import csv
import io
import os
import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cache, partial
from itertools import islice
from pathlib import Path

from twelve.data.image_sizes import size_or_flaw
from twelve.errors import ConfigError, DataError, check_all, located_problem, nearest, quoted, shortened
from twelve.formats.content_digest import content_digest
from twelve.formats.data_root import NO_FILE, image_key
from twelve.formats.flaws import without_flaws
from twelve.formats.records import steering
from twelve.io.files import folder_beside, from_here, is_there, reading_remedy
from twelve.io.image_suffixes import NO_IMAGE, SUFFIXES, flaw
from twelve.metrics.entailment import CLASSES
from twelve.progress import counted
from twelve.tasks.formats.field_names import MEANT

KINDS: Mapping[str, tuple[str, ...]] = {
    "answer": ("text", "image", "target"),
    "entailment": ("text", "image", "target"),
    "retrieval": ("text", "image"),
}
"""Kind of a task -> the columns that a table needs for it."""
LEAST = 3
"""Fewest images of a table that is divided: one to test on, one to train on, and one to watch training with."""
_LONGEST = 255
"""Most bytes of a file's name."""
_TRIED = 100
"""At most so many images are looked for in other folders, and in at most so many folders of one."""
USUAL = 2
"""Other names of a column that an error about it tells."""
_SEPARATORS = ",;\t"
_NAMED_SEPARATOR = re.compile(r"sep=([,;|\t])(?:[\r\n]|$)", re.IGNORECASE)
"""A first line for Excel, which no row follows in the same line."""
_SUFFIXES = " or ".join(", ".join(sorted(SUFFIXES)).rsplit(", ", 1))
_AS_TEXT = "save the table as CSV in UTF-8 (Excel: CSV UTF-8)"


@dataclass(frozen=True, slots=True)
class ExampleRow:
    """One row.

    Attributes:
        place: ``line 12``.
        image: the image's file.
        name: a name for the file in a folder without subfolders.
        target: None for retrieval.
    """

    place: str
    text: str
    image: Path
    name: str
    target: str | None

    @property
    def line(self) -> int:
        """The number in ``place``."""
        return int(self.place.removeprefix("line "))


def read_table(
    file: Path, folder: Path, kind: str, columns: Mapping[str, str | None]
) -> tuple[list[ExampleRow], dict[str, str]]:
    """The rows of a table, and what its columns are called: ``{"text": "question", ...}``.

    Args:
        file: UTF-8; the header, or a line ``sep=;`` before it, shows what separates its columns.
        folder: of the images, to which the table's paths are relative.
        kind: one of :data:`KINDS`.
        columns: "text", "image", "target" -> the column; None: the only one with such a name.

    Raises:
        ConfigError: there is no such folder.
        DataError: the file is no such table, lacks a column, has one column for two fields, or has bad rows, the first
            ten of which are listed.
    """
    if not folder.is_dir():
        hint = folder_beside(folder) or from_here(folder)
        raise ConfigError(f"no such folder of images{hint}", file=folder, remedy="name the folder with --images")
    rows = _rows(file, _text(file))
    start, header = next(rows, ("line 1", []))
    if not header:
        columns_needed = ",".join(KINDS[kind])
        remedy = f"write a first line of column names, such as {columns_needed}, and a row for each example"
        raise DataError("is empty", file=file, remedy=remedy)
    names = [name.strip() for name in header]
    _check_header(names, kind, columns, file, start)
    places: dict[str, int] = {}

    def place_of(field: str) -> None:
        places[field] = _place(names, field, columns.get(field), file, start)

    check_all([partial(place_of, field) for field in KINDS[kind]])
    _check_distinct(places, names, columns, file, start)
    flaw_in = cache(_flaw)  # several rows may be about an image
    read = [_row(place, row, names, places, folder, file, kind, flaw_in) for place, row in rows]
    missing = [each.image for each in read if isinstance(each, _NoImage)]
    if len(missing) == len(read) > 1:
        raise _none_there(missing, folder, file)
    found = without_flaws(read, file)
    if not found:
        raise DataError("has no rows below its header", file=file, remedy="write a row for each example")
    return found, {field: names[place] for field, place in places.items()}


def _text(file: Path) -> str:
    if file.is_dir():
        raise DataError("is a folder, not a table", file=file, remedy="name the table in it")
    if not is_there(file, DataError):
        there = [one.name for one in file.parent.glob("*.[ct]sv")]
        hint = nearest(file.name, there, str(file).removesuffix(file.name)) or from_here(file)
        raise DataError(f"{NO_FILE}{hint}", file=file, remedy="name the table")
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        remedy = reading_remedy(error, file, "copy it to another disk")
        raise DataError(f"cannot be read: {error.strerror}", file=file, remedy=remedy) from None
    except UnicodeDecodeError as error:
        raise DataError(f"is not text in UTF-8 (byte {error.start:,})", file=file, remedy=_AS_TEXT) from None
    if "\0" in text:
        raise DataError("is not text: it has NUL characters", file=file, remedy=_AS_TEXT)
    return text


def _rows(file: Path, text: str) -> Iterator[tuple[str, list[str]]]:
    """The place and the cells of each row that is not empty, the header first."""
    first = text.lstrip("\r\n").splitlines()[:1]
    named = _NAMED_SEPARATOR.match(text)
    separator = named[1] if named else max(_SEPARATORS, key=lambda mark: _width(first, mark))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    if named:
        next(reader)
    while True:
        place = f"line {reader.line_num + 1}"
        try:
            row = next(reader, None)
        except csv.Error as error:
            remedy = 'write "" for a quote within quotes, and end every quote'
            if "field limit" in str(error):
                remedy = "shorten this cell; if it should have ended earlier, a quote before it is not ended"
            raise DataError(f"cannot be read as CSV: {error}", file=file, record=place, remedy=remedy) from None
        if row is None:
            return
        if any(map(str.strip, row)):
            yield place, row


def _width(line: Sequence[str], mark: str) -> int:
    """How many cells a separator makes of a line; 0 if it leaves a cell that is too long to be read."""
    try:
        return len(next(csv.reader(line, delimiter=mark), []))
    except csv.Error:
        return 0


def _check_header(names: Sequence[str], kind: str, columns: Mapping[str, str | None], file: Path, start: str) -> None:
    """Raise DataError if the first row names an image, as rows below a header do, and no column."""
    known = {*KINDS[kind], *MEANT, *columns.values()}
    image = next((place for place, name in enumerate(names) if Path(name).suffix.lower() in SUFFIXES), None)
    if image is None or any(name in known or name.lower() in known for name in names):
        return
    needed = [field for field in KINDS[kind] if field != "image"]
    needed.insert(image, "image")
    remedy = f"write a line above it that names your columns in their order, such as {','.join(needed)}"
    raise DataError(f"expected the names of columns, found {', '.join(names)}", file=file, record=start, remedy=remedy)


def _place(names: Sequence[str], field: str, wanted: str | None, file: Path, start: str) -> int:
    """Which column holds a field; a column that is not named may be called what people call it (``question``)."""
    places = [place for place, name in enumerate(names) if name == (wanted or field)]
    if wanted is None and not places:
        places = [place for place, name in enumerate(names) if MEANT.get(name.lower(), name.lower()) == field]
    if len(places) == 1:
        return places[0]
    there, remedy = ", ".join(names), f"name the column with --{field}-column"
    if not places:
        hint = "" if wanted is None else nearest(wanted, names)
        if wanted is None:  # these names need no option
            others = [name for name, ours in MEANT.items() if ours == field]
            remedy += f", or call it {field}, {', '.join(others[:USUAL])} ..."
            left = [name for name in names if name and MEANT.get(name.lower(), name.lower()) not in KINDS["answer"]]
            if len(left) == 1:
                remedy = f"if {left[0]} is this column, rename it to {field}, or add --{field}-column {quoted(left[0])}"
        problem = f"expected a column {wanted or field}, found {there or 'no columns'}{hint}"
    elif len({names[place] for place in places}) > 1:
        problem = f"expected one column {field}, found {', '.join(names[place] for place in places)}"
    else:
        problem, remedy = f"several columns are called {names[places[0]]}", "rename all of them but one"
    raise DataError(problem, file=file, record=start, remedy=remedy)


def _check_distinct(
    places: Mapping[str, int], names: Sequence[str], columns: Mapping[str, str | None], file: Path, start: str
) -> None:
    """Raise DataError if one column serves two fields."""
    for field, place in places.items():
        others = [other for other, column in places.items() if column == place and other != field]
        if others and columns.get(field) is not None:
            problem = f"the column {names[place]} would be both {field} and {others[0]}"
            raise DataError(problem, file=file, record=start, remedy=f"name another column with --{field}-column")


def _flaw(image: Path) -> str:
    """Why a file is not a complete image; an empty string where it is one."""
    if problem := flaw(image):
        return problem
    found = size_or_flaw(image)
    return found if isinstance(found, str) else ""


def _row(
    place: str,
    row: list[str],
    names: Sequence[str],
    places: Mapping[str, int],
    folder: Path,
    file: Path,
    kind: str,
    flaw_in: Callable[[Path], str],
) -> ExampleRow | DataError:
    """A row, or what is wrong with it."""

    def wrong(problem: str, remedy: str) -> DataError:
        return DataError(problem, file=file, record=place, remedy=remedy)

    if len(row) != len(names):
        remedy = 'put a text with separators or line breaks in quotes: "red, green"'
        return wrong(f"expected {len(names)} cells, found {len(row)}", remedy)
    cells = {field: row[column].strip() for field, column in places.items()}
    for field, cell in cells.items():
        if not cell:
            return wrong(f"the {field} is empty", f"write the {field} into the cell, or remove the row")
        if mark := steering(cell):
            return wrong(f"the {field} has the control character {mark}", "remove the character")
    target = cells.get("target")
    if kind == "entailment" and target not in CLASSES:
        return wrong(f"expected a target {', '.join(CLASSES)}, found {target}", "write one of these")
    if "://" in cells["image"]:
        remedy = f"images must be local files: save it in {folder}, and write the file's name into the cell"
        return wrong(f"the image {cells['image']} is a URL", remedy)
    path = Path(os.path.abspath(folder / cells["image"]))
    if not path.is_relative_to(os.path.abspath(folder)):
        return wrong(f"the image {cells['image']} is outside {folder}", "name an image in this folder")
    if path.suffix.lower() not in SUFFIXES:
        return wrong(f"expected a {_SUFFIXES} image, found {cells['image']}", "convert it to one of these")
    inside = path.relative_to(os.path.abspath(folder))
    if problem := flaw_in(path):
        said = located_problem(f"image {inside} in {folder}", problem)
        remedy = "correct the row or the image; paths are relative to the folder that --images names"
        if problem != NO_IMAGE:
            return wrong(said, remedy)
        missing = _NoImage(said, file=file, record=place, remedy=remedy)
        missing.image = inside
        return missing
    *above, _ = inside.parts
    name = "_".join([*above, image_key(path.stem) + path.suffix])
    if (length := len(os.fsencode(name))) > _LONGEST:
        problem = f"the image is copied under its folders' names and its own, which are {length} bytes together"
        return wrong(f"{problem}, more than {_LONGEST}", "shorten these names, also in the table")
    return ExampleRow(place, cells["text"], path, name, target)


class _NoImage(DataError):
    """A row whose image is not there.

    Attributes:
        image: its path in the folder of images.
    """

    image: Path


def _none_there(missing: Sequence[Path], folder: Path, file: Path) -> DataError:
    """The error about a table of whose images none is in the folder, with the folder beside, above or in it that has
    most of them."""
    images = list(dict.fromkeys(missing))
    above = Path(os.path.normpath(folder / os.pardir))
    near = [above, *_folders(folder), *_folders(above)]
    there = {one: sum(os.path.isfile(one / image) for image in images[:_TRIED]) for one in near}
    best = max(near, key=there.__getitem__)
    remedy = "use --images to name the folder that the table's paths are relative to"
    if 2 * there[best] > min(len(images), _TRIED):
        remedy = f"name the folder that has them: --images {quoted(best)}"
    which = "its image is not" if len(images) == 1 else f"none of its {len(images):,} images is"
    return DataError(f"{which} in {folder}: there is no {folder / images[0]}", file=file, remedy=remedy)


def _folders(parent: Path) -> list[Path]:
    """The first folders in a folder; none if it cannot be read."""
    try:
        return list(islice((one for one in sorted(parent.iterdir()) if os.path.isdir(one)), _TRIED))
    except OSError:
        return []


def check_names(rows: Sequence[ExampleRow], file: Path) -> None:
    """Raise DataError if two files of images would have the same id, and so be one image."""
    first: dict[str, ExampleRow] = {}
    for row in rows:
        other = first.setdefault(image_key(row.name), row)
        if other.image != row.image:
            problem = f"{row.image} and {other.image} ({other.place}) would have the same name"
            raise DataError(
                problem, file=file, record=row.place, remedy="rename one of the two files, also in the table"
            )


def check_answers(rows: Sequence[ExampleRow], file: Path) -> None:
    """Raise DataError if all rows have the same target: a model can learn nothing from them."""
    answer = rows[0].target
    if answer is not None and all(row.target == answer for row in rows):
        problem = f"all {len(rows):,} rows have the answer {shortened(answer)!r}, so the model can learn nothing"
        raise DataError(problem, file=file, remedy="add rows with other answers")


def contents(rows: Sequence[ExampleRow]) -> dict[Path, bytes]:
    """File of an image -> the digest of its content; the same image under two names has one."""
    return {path: content_digest(path) for path in dict.fromkeys(row.image for row in rows)}


def divided(
    rows: Sequence[ExampleRow],
    fraction: float,
    seed: int,
    file: Path,
    was_tested: Callable[[str, str], bool | None] | None = None,
) -> tuple[list[ExampleRow], list[ExampleRow]]:
    """The rows for training and for test, in the table's order; an image, also under two names, is on one side.

    Of the images with the same targets, the same share is on each side, to within one image.

    Args:
        fraction: share of the images that are tested on, to within one, and at least one.
        seed: chooses the images, also if each has targets of its own.
        was_tested: name and digest of an image -> whether it was tested on before, and stays so; None if it is new.

    Raises:
        DataError: there are fewer than :data:`LEAST` images, or a side has too few of those that stay on it.
    """
    of = contents(rows)
    images: dict[bytes, list[str]] = {digest: [] for digest in of.values()}
    for row in rows:
        images[of[row.image]].append(row.target or "")
    if len(images) < LEAST:
        problem = f"expected at least {LEAST} different images, found {len(images)}"
        raise DataError(problem, file=file, remedy="add rows about other images")
    drawn = list(images)
    random.Random(seed).shuffle(drawn)
    first: dict[tuple[str, ...], int] = {}
    for digest in drawn:
        first.setdefault(tuple(sorted(images[digest])), len(first))
    ordered = sorted(drawn, key=lambda digest: first[tuple(sorted(images[digest]))])  # the same targets are neighbours
    count = min(max(round(fraction * len(ordered)), 1), len(ordered) - LEAST + 1)
    test = {
        digest
        for number, digest in enumerate(ordered)
        if (number + 1) * count // len(ordered) > number * count // len(ordered)
    }
    if was_tested is not None:
        test = _staying(test, {of[row.image]: was_tested(row.name, of[row.image].hex()) for row in rows}, file)
    return [row for row in rows if of[row.image] not in test], [row for row in rows if of[row.image] in test]


def _staying(drawn: Set[bytes], tested: Mapping[bytes, bool | None], file: Path) -> set[bytes]:
    """The images to test on, if those of an earlier table stay on their sides.

    Args:
        drawn: the images to test on, of a table that is new.
        tested: each image -> whether it was tested on before; None if it is new.
    """
    stays = {digest for digest, before in tested.items() if (digest in drawn if before is None else before)}
    left = len(tested) - len(stays)
    if stays and left >= LEAST - 1:
        return stays
    few = f"{counted(left, 'training image')}, at least {LEAST - 1} are needed" if stays else "no test image"
    problem = f"the images that the table had before stay training or test images; this leaves {few}"
    remedy = "add rows about other images, or divide all images anew, and train anew: --seed with another number"
    raise DataError(problem, file=file, remedy=remedy)


def check_apart(train: Sequence[ExampleRow], test: Sequence[ExampleRow], table: Path, file: Path) -> None:
    """Raise DataError if the training rows, which are from ``table``, are about one image, or an image of the test
    rows, which are from ``file``, is also one of the training rows."""
    of, known = contents(test), set(contents(train).values())
    if len(known) < LEAST - 1:
        problem = f"expected at least {LEAST - 1} different images to train on, found {len(known)}"
        raise DataError(problem, file=table, remedy="add rows about other images")
    shared = [row for row in test if of[row.image] in known]
    if shared:
        problem = f"{len(shared):,} of {len(test):,} test rows are about images that the training rows have too"
        remedy = "use different images in the two tables, or leave out --test: one table is divided by image"
        raise DataError(problem, file=file, record=f"{shared[0].place}, the first", remedy=remedy)
