"""``twelve predict`` and ``twelve match``: pictures, folders and JSON lines in, answers out.

A line of a JSON-lines file asks one thing; what else it holds comes back with the answer::

    {"image": "boat.jpg", "answer": "what colour is the boat?"}
    {"image": "boat.jpg", "locate": "the small red cup", "id": 7}
    {"image": "boat.jpg", "entails": "two people eat"}
    {"image": "boat.jpg", "choose": "which one can swim?", "boxes": [[10, 20, 60, 80], [70, 20, 99, 80]]}
    {"image": "boat.jpg", "guess": [["is it a dog?", "no"]], "boxes": [[10, 20, 60, 80], [70, 20, 99, 80]]}
    {"images": ["left.jpg", "right.jpg"], "verify": "both show a dog"}

Paths are relative to the file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from twelve.data.records import Record, read_lines
from twelve.data.root import image_key
from twelve.errors import ConfigError, DataError, RegionError, TwelveError, found_in, nearest
from twelve.files import replacing
from twelve.predictor.predictor import Predictor, Question
from twelve.predictor.results import Matched, Result
from twelve.predictor.scene import Scene, corners
from twelve.progress import Track
from twelve.regions.images import SUFFIXES
from twelve.regions.store import RegionStore
from twelve.tasks.base import Box
from twelve.tasks.shared import dialogue

METHODS = ("answer", "locate", "entails", "choose", "guess", "verify")


@dataclass(frozen=True, slots=True)
class Asked:
    """One thing to ask.

    Attributes:
        images: one picture, or two to verify.
        extra: fields of a line that come back with the answer.
        place: file and line, for errors.
    """

    method: str
    text: str
    images: tuple[Path, ...]
    boxes: tuple[Box, ...] = ()
    extra: dict[str, Any] = field(default_factory=dict)
    place: Record | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """What came of it: a result, or why there is none."""

    asked: Asked
    result: Result | None
    error: str = ""

    def to_dict(self) -> dict[str, Any]:
        names = [str(image) for image in self.asked.images]
        tree: dict[str, Any] = {**self.asked.extra, "image": names[0]} if len(names) == 1 else {**self.asked.extra}
        if len(names) > 1:
            tree["images"] = names
        tree["method"] = self.asked.method
        if self.result is None:
            return {**tree, "text": self.asked.text, "error": self.error}
        return {**tree, **self.result.to_dict()}

    def __str__(self) -> str:
        names = " + ".join(image.name for image in self.asked.images)
        said = f"error: {self.error}" if self.result is None else str(self.result)
        return f"{names}: {self.asked.text} -> {said}"


def pictures_in(paths: Sequence[Path]) -> list[Path]:
    """The picture files named, and those in the folders named, in order.

    Raises:
        RegionError: there is no such file, or no picture in a folder.
    """
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(one for one in path.iterdir() if one.suffix.lower() in SUFFIXES and one.is_file())
            if not inside:
                raise RegionError("no pictures in this folder", file=path, remedy="name a folder of pictures")
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise RegionError("no such picture", file=path, remedy="check its path")
    return found


def asked_of(images: Sequence[Path], texts: Mapping[str, Sequence[str]]) -> list[Asked]:
    """Every text asked of every picture, a picture's questions together."""
    return [Asked(method, text, (image,)) for image in images for method, own in texts.items() for text in own]


def asked_in(file: Path) -> list[Asked]:
    """What the lines of a file ask.

    Raises:
        DataError: a line is malformed; names it.
    """
    return [_asked(record, file.parent) for record in read_lines(file)]


def _asked(record: Record, folder: Path) -> Asked:
    methods = [name for name in METHODS if name in record.fields]
    if len(methods) != 1:
        hint = nearest(next(iter(record.fields), ""), METHODS) if not methods else ""
        raise record.error(f"a line asks one thing ({', '.join(METHODS)}), this one {len(methods)}{hint}")
    method = methods[0]
    paths = record.strings("images") if "images" in record.fields else [record.text("image")]
    wanted = 2 if method == "verify" else 1
    if len(paths) != wanted:
        raise record.error(f"{method} is asked of {wanted} picture{'s' * (wanted > 1)}, {len(paths)} given")
    boxes: tuple[Box, ...] = ()
    if method in ("choose", "guess"):
        try:
            boxes = corners(record.items("boxes"))
        except ConfigError as error:
            raise record.error(f"field 'boxes': {error.problem}") from None
    text = _turns(record) if method == "guess" else record.text(method)
    if not text.strip():
        raise record.error(f"field {method!r} is empty")
    known = {method, "image", "images", "boxes"}
    extra = {key: value for key, value in record.fields.items() if key not in known}
    return Asked(method, text, tuple(folder / path for path in paths), boxes, extra, record)


def _turns(record: Record) -> str:
    turns = record.items("guess")
    if not all(isinstance(turn, list) and len(turn) == 2 and all(isinstance(t, str) for t in turn) for turn in turns):
        raise record.error("field 'guess' must be a list of [question, answer]")
    return dialogue((question, answer) for question, answer in turns)


def predict(predictor: Predictor, everything: Sequence[Asked]) -> Iterator[Said]:
    """Answers in order; each picture is looked at once, as long as its questions follow one another.

    What cannot be asked of the model at all is an error; a picture that cannot be read only costs its own answers.

    Raises:
        ConfigError: the model was not trained to do this.
    """
    for asked in everything:
        _allowed(predictor, asked)
    with Track("asking", len(everything), "questions") as track:
        for part in _by_pictures(everything):
            yield from _of_pictures(predictor, part)
            track.advance(len(part))


def _allowed(predictor: Predictor, asked: Asked) -> None:
    try:
        predictor.task_for(asked.method)
    except ConfigError as error:
        if asked.place is None:
            raise
        raise DataError(
            error.problem, file=asked.place.file, record=asked.place.place, remedy=error.remedy or "remove the line"
        ) from None


def _by_pictures(everything: Sequence[Asked]) -> Iterator[list[Asked]]:
    """Runs of questions about the same pictures."""
    part: list[Asked] = []
    for asked in everything:
        if part and asked.images != part[0].images:
            yield part
            part = []
        part.append(asked)
    if part:
        yield part


def _of_pictures(predictor: Predictor, part: Sequence[Asked]) -> list[Said]:
    try:
        scenes = [predictor.look(image) for image in part[0].images]
    except RegionError as error:
        if not part[0].images[0].exists() or error.file is not None:
            return [Said(asked, None, error.problem) for asked in part]
        raise
    questions: list[Question] = []
    for asked in part:
        questions.append(predictor.question(asked.method, asked.text, scenes, boxes=asked.boxes))
    try:
        return [Said(asked, found) for asked, found in zip(part, predictor.ask(questions), strict=True)]
    except TwelveError as error:
        return [Said(asked, None, error.problem) for asked in part]


def write(said: Iterable[Said], *, out: Path | None, as_json: bool, draw: Path | None, stream: IO[str]) -> int:
    """Write answers as they come (to ``out`` complete or not at all), and drawings; how many there are not."""
    if out is None:
        return _write(said, as_json, draw, stream)
    with replacing(out) as partial, partial.open("w", encoding="utf-8") as file:
        return _write(said, True, draw, file)


def _write(said: Iterable[Said], as_json: bool, draw: Path | None, stream: IO[str]) -> int:
    missing = 0
    for number, one in enumerate(said):
        print(json.dumps(one.to_dict(), ensure_ascii=False) if as_json else str(one), file=stream, flush=True)
        missing += one.result is None
        if draw is not None and one.result is not None:
            draw.mkdir(parents=True, exist_ok=True)
            with replacing(draw / f"{number:05}-{one.asked.images[0].stem}.png") as partial:
                one.result.draw().save(partial, "PNG")
    return missing


def match(
    predictor: Predictor, images: Sequence[Path], captions: Sequence[str], *, regions: Path | None = None
) -> tuple[Matched, dict[str, str]]:
    """How well captions and pictures go together, and {file: why} of pictures that cannot be read.

    Args:
        regions: a region store that holds some of the pictures by the names of their files; the others are looked at.
    """
    store = None if regions is None else RegionStore(regions)
    stored = {} if store is None else _stored(predictor, store)
    scenes: list[Scene] = []
    failed: dict[str, str] = {}
    with Track("looking", len(images), "pictures") as track:
        for image in images:
            known = stored.get(image_key(image.name))
            try:
                seen = image if store is None or known is None else store.get(known)
                scenes.append(predictor.look(seen, name=image.name))
            except RegionError as error:
                failed[str(image)] = error.problem
            track.advance()
    if not scenes:
        raise RegionError("none of the pictures can be read", remedy="name a folder of pictures")
    return predictor.match(scenes, captions), failed


def _stored(predictor: Predictor, store: RegionStore) -> dict[str, str]:
    """Name -> image id of everything in a store; a name that several sources have is left out.

    Raises:
        RegionError: the regions were made by another extractor than the model was trained on.
    """
    found: dict[str, str] = {}
    twice: set[str] = set()
    for source in store.sources():
        with found_in(Path(store.root) / source):
            predictor.processor.check_regions(source, store.fingerprint(source))
        for image_id in store.ids(source):
            name = image_id.partition("/")[2]
            if name in found:
                twice.add(name)
            found[name] = image_id
    return {name: image_id for name, image_id in found.items() if name not in twice}
