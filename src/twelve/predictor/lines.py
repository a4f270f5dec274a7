"""The questions of ``twelve predict``, from the command line or from a file of JSON lines.

Each line is one question. Further fields are copied to its result::

    {"image": "boat.jpg", "answer": "what colour is the boat?"}
    {"image": "boat.jpg", "answer": "is the boat red?", "task": "gqa"}
    {"image": "boat.jpg", "locate": "the small red cup", "threshold": 0.3, "id": 7}
    {"image": "boat.jpg", "entails": "two people eat"}
    {"image": "boat.jpg", "choose": "which one can swim?", "boxes": [[10, 20, 60, 80], [70, 20, 99, 80]]}
    {"image": "boat.jpg", "guess": [["is it a dog?", "no"]], "boxes": [[10, 20, 60, 80], [70, 20, 99, 80]]}
    {"images": ["left.jpg", "right.jpg"], "verify": "both show a dog"}

Paths are relative to the file. Turns of a dialogue may also be ``{"question": "is it a dog?", "answer": "no"}``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twelve.errors import DataError, InputError, nearest
from twelve.formats.flaws import without_flaws
from twelve.formats.mistaken import as_table
from twelve.formats.records import Record, read_each_line
from twelve.formats.results import mended
from twelve.io.image_suffixes import refuse_url
from twelve.outputs.parts.result import field_names
from twelve.predictor.checks import CHOOSING, FINDING, METHODS, Turns, check_shape, corners, readable, turns_of
from twelve.tasks.formats.tables import given_as_table
from twelve.types.examples import Box

OPTIONS = ("image", "images", "boxes", "task", "threshold")
"""Fields of a line besides its method."""
REPLY = frozenset({"method", "error", "image", "images"} | field_names())
"""Fields of results, whose names further fields of a line must not have."""
MEANT = {
    **dict.fromkeys(("ask", "question", "query"), "answer"),
    **dict.fromkeys(("phrase", "expression", "find", "point"), "locate"),
    **dict.fromkeys(("statement", "hypothesis", "entailment"), "entails"),
    **dict.fromkeys(("dialog", "dialogue", "turns"), "guess"),
    **dict.fromkeys(("img", "image_path", "file", "path"), "image"),
    **dict.fromkeys(("box", "bbox", "bboxes", "candidates"), "boxes"),
}
"""Names that people and other programs give to fields -> ours."""
_REMEDY = "correct this line; docs/predict.md shows an example of every kind"


@dataclass(frozen=True, slots=True)
class Request:
    """A question of the command line or of a file, about image files.

    Attributes:
        content: a question, phrase or statement, or the turns of a dialogue.
        images: one image, or two to verify.
        extra: fields of the line that are copied to the result.
        place: file and line, for errors.
    """

    method: str
    content: str | Turns
    images: tuple[Path, ...]
    boxes: tuple[Box, ...] = ()
    task: str | None = None
    threshold: float | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    place: Record | None = None

    @property
    def named_images(self) -> str:
        """The images as one text."""
        return " + ".join(map(str, self.images))

    @property
    def arguments(self) -> dict[str, Any]:
        """Arguments of :meth:`Predictor.question`, without the scenes."""
        options = {"task": self.task, "boxes": self.boxes, "threshold": self.threshold}
        return {"method": self.method, "text": self.content, **options}

    @property
    def text(self) -> str:
        """The question as readable text."""
        return self.content if isinstance(self.content, str) else readable(self.content)

    @property
    def correction(self) -> str:
        """What to do where an image of the question is not there."""
        if self.place is None:
            return "check its path"
        return f"correct {self.place.place} of {self.place.file}; paths are relative to its folder"


def requests_of(
    images: Sequence[Path],
    texts: Mapping[str, Sequence[str]],
    task: str | None = None,
    threshold: float | None = None,
) -> list[Request]:
    """Every text for every image, grouped by image. ``threshold`` applies to the methods that take one."""
    return [
        Request(method, text, (image,), task=task, threshold=threshold if method in FINDING else None)
        for image in images
        for method, own in texts.items()
        for text in own
    ]


def requests_in(file: Path, task: str | None = None, threshold: float | None = None) -> list[Request]:
    """The questions in the lines of a file.

    Args:
        task, threshold: defaults of lines without these fields.

    Raises:
        DataError: a line is malformed (:class:`twelve.formats.flaws.BadLines`: several are), or there are no lines.
    """
    if not file.exists() or file.is_dir():
        problem = "this is a folder" if file.is_dir() else "no such file"
        raise DataError(problem, file=file, remedy="give a file of questions; docs/predict.md shows one")
    found = without_flaws(_requests(file, task, threshold), file)
    if not found:
        raise DataError("the file has no lines", file=file, remedy="docs/predict.md shows a line of every kind")
    return found


def _requests(file: Path, task: str | None, threshold: float | None) -> Iterator[Request | DataError]:
    """The question of each line, or what is wrong with it."""
    try:
        if (table := given_as_table(file, as_table("docs/predict.md"))) is not None:
            raise table
        for record in read_each_line(file):
            try:
                if isinstance(record, DataError):
                    raise record
                yield _request(record, file.parent, task, threshold)
            except DataError as error:
                yield mended(error, file, _REMEDY)
    except DataError as error:  # about the file, or a line beyond which it is no text
        yield mended(error, file, _REMEDY)


def _request(record: Record, folder: Path, task: str | None, threshold: float | None) -> Request:
    method = _method(record)
    if "image" in record.fields and "images" in record.fields:
        raise record.error("expected 'image' or 'images', found both", "keep one of the two")
    if not {"image", "images"} & set(record.fields) and (hint := _hint(record, ("image", "images"))):
        raise record.error(f"field 'image' is missing{hint}", _REMEDY)
    if method in CHOOSING and "boxes" not in record.fields and (hint := _hint(record, ("boxes",))):
        raise record.error(f"{method} needs boxes{hint}", _REMEDY)
    paths = record.strings("images") if "images" in record.fields else [record.text("image")]
    for path in paths:
        try:
            refuse_url(path)
        except InputError as error:
            raise record.error(f"{error.problem}: {error.file}", error.remedy or _REMEDY) from None
    extra = {key: value for key, value in record.fields.items() if key not in (method, *OPTIONS)}
    if taken := sorted(REPLY & set(extra)):
        raise record.error(f"field {taken[0]!r} is also a field of results", "give it another name")
    content = record.fields[method] if method == "guess" else record.text(method)
    if not content or (isinstance(content, str) and not content.strip()):
        raise record.error(f"field {method!r} is empty")
    try:
        boxes = corners(record.items("boxes")) if "boxes" in record.fields else ()
        content = turns_of(content) if method == "guess" else content
        own = record.fields.get("threshold")
        check_shape(method, len(boxes) > 0, own, len(paths))
    except InputError as error:
        raise record.error(error.problem, error.remedy or _REMEDY) from None
    if own is None and method in FINDING:
        own = threshold
    task = record.text("task") if record.fields.get("task") is not None else task
    return Request(method, content, tuple(folder / path for path in paths), boxes, task, own, extra, record)


def _method(record: Record) -> str:
    """The method that a line uses."""
    methods = [name for name in METHODS if name in record.fields]
    if len(methods) == 1:
        return methods[0]
    hint = "" if methods else _hint(record, METHODS)
    raise record.error(f"expected one of {', '.join(METHODS)}, found {' and '.join(methods) or 'none'}{hint}")


def _hint(record: Record, wanted: Collection[str]) -> str:
    """A hint at the first field that has another name than one of the wanted ones."""
    for name in record.fields:
        if name in (*METHODS, *OPTIONS, "id"):
            continue
        ours = MEANT.get(name.lower(), name)
        if found := nearest(ours if ours in wanted else name, wanted):
            return f"; {name!r} is not a known field{found}"
    return ""
