"""``twelve predict`` and ``twelve match``: images, folders and JSON lines in, answers out."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from twelve.device import check_name
from twelve.errors import ConfigError, DataError, RegionError, TwelveError, one_line
from twelve.formats.data_root import image_key
from twelve.io.files import check_file, check_folder, replacing
from twelve.io.json_file import decode, readable
from twelve.predictor.lines import Asked
from twelve.predictor.results import Matched, Result
from twelve.progress import Track, tell
from twelve.regions.asked import check_weights

if TYPE_CHECKING:
    from twelve.predictor.abilities import Abilities
    from twelve.predictor.predictor import Predictor
    from twelve.predictor.scene import Scene
    from twelve.regions.store.region_store import RegionStore


MANY = 256
"""Questions, or pairs of a caption and an image, from which on measuring threads takes less time than it saves."""
_LINE = 1 << 24
"""Bytes of a file's first line that are read to see whether it is an answer."""


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

    def line(self, names: Mapping[Path, str]) -> str:
        """For people; ``names`` of images are those of :func:`short_names`."""
        shown = " + ".join(names[image] for image in self.asked.images)
        said = f"error: {self.error}" if self.result is None else self.result.said
        return one_line(f"{shown}: {self.asked.text} -> {said}")

    def warnings(self) -> list[str]:
        """Those of the answer, with the images that they are about."""
        found = () if self.result is None else self.result.warnings
        return [f"{' + '.join(map(str, self.asked.images))}: {warning}" for warning in found]


def check_outputs(everything: Sequence[Asked], *, out: Path | None, draw: Path | None, jsonl: Path | None) -> None:
    """Refuse outputs that cannot be written, or that would take the place of what is read, before any work is done.

    Raises:
        ConfigError: an output is also an input, through whatever links; ``out`` is a file that is none of answers.
        TwelveError: it cannot be written.
    """
    read = {os.path.realpath(image) for asked in everything for image in asked.images}
    if jsonl is not None:
        read.add(os.path.realpath(jsonl))
    written = [] if out is None else [out]
    if draw is not None:
        check_folder(draw)
        written += [_drawing(draw, number, asked) for number, asked in enumerate(everything)]
    if out is not None:
        check_file(out)
        if os.path.realpath(out) not in read:
            _check_answers(out)
    for path in written:
        if os.path.realpath(path) in read:
            raise ConfigError("would be replaced, and is asked about", file=path, remedy="write to another place")


def _check_answers(out: Path) -> None:
    """Refuse to replace a file that does not begin with an answer, as :func:`write` writes them."""
    if not out.exists() or not out.stat().st_size:
        return
    with out.open("rb") as file:
        line = file.readline(_LINE)
    try:
        first = decode(line.decode("utf-8"))
    except ValueError:
        first = None
    if not isinstance(first, dict) or "method" not in first or not {"image", "images"} & set(first):
        problem = "would be replaced, and holds something else than answers"
        raise ConfigError(problem, file=out, remedy="write to another place")


def predict(predictor: Predictor, everything: Sequence[Asked]) -> Iterator[Said]:
    """Answers in order; each image is looked at once, as long as its questions follow one another.

    What cannot be asked of the model at all is an error; an image that cannot be read or a box outside it only costs
    its own answers.

    Raises:
        ConfigError, DataError: the model has no task for this, or a text says nothing.
    """
    check(predictor, everything)
    _ = predictor.extractor  # what cannot look at all is no fault of the first image
    with measured(predictor, len(everything)), Track("asking", len(everything), "questions") as track:
        for part in _by_images(everything):
            yield from _of_images(predictor, part)
            track.advance(len(part))


@contextmanager
def measured(predictor: Predictor, count: int) -> Iterator[None]:
    """Within, the fastest number of threads is measured where there is enough to ask that it pays.

    Args:
        count: of questions, or of pairs of a caption and an image.
    """
    from twelve.threads import given_back

    if count < MANY:
        yield
        return
    before = predictor.threads
    with given_back():
        predictor.measure_threads(tell)
        try:
            yield
        finally:
            predictor.threads = before


def check(abilities: Abilities, everything: Iterable[Asked]) -> None:
    """Refuse what cannot be asked of a model at all.

    Raises:
        ConfigError, DataError: the model has no task for this, or a text says nothing.
    """
    for asked in everything:
        _check(abilities, asked)


def _check(abilities: Abilities, asked: Asked) -> None:
    try:
        abilities.check(asked.method, asked.said, task=asked.task, boxes=asked.boxes, threshold=asked.threshold)
    except ConfigError as error:
        if asked.place is None:
            raise
        raise DataError(
            error.problem, file=asked.place.file, record=asked.place.place, remedy=error.remedy or "remove the line"
        ) from None


def _by_images(everything: Sequence[Asked]) -> Iterator[list[Asked]]:
    """Runs of questions about the same images."""
    part: list[Asked] = []
    for asked in everything:
        if part and asked.images != part[0].images:
            yield part
            part = []
        part.append(asked)
    if part:
        yield part


def _of_images(predictor: Predictor, part: Sequence[Asked]) -> list[Said]:
    scenes: list[Scene] = []
    for image in part[0].images:
        try:
            scenes.append(predictor.look(image))
        except RegionError as error:
            which = f"{image}: " if len(part[0].images) > 1 else ""
            return [Said(asked, None, which + error.problem) for asked in part]
    try:
        return [Said(asked, found) for asked, found in zip(part, _ask(predictor, part, scenes), strict=True)]
    except TwelveError as error:
        if len(part) == 1:
            return [Said(part[0], None, error.problem)]
    return [_alone(predictor, asked, scenes) for asked in part]  # one of them is at fault: each only its own


def _alone(predictor: Predictor, asked: Asked, scenes: Sequence[Scene]) -> Said:
    try:
        return Said(asked, _ask(predictor, [asked], scenes)[0])
    except TwelveError as error:
        return Said(asked, None, error.problem)


def _ask(predictor: Predictor, part: Sequence[Asked], scenes: Sequence[Scene]) -> list[Result]:
    return predictor.ask(
        [
            predictor.question(
                asked.method, asked.said, scenes, task=asked.task, boxes=asked.boxes, threshold=asked.threshold
            )
            for asked in part
        ]
    )


def write(
    said: Iterable[Said],
    *,
    out: Path | None,
    as_json: bool,
    draw: Path | None,
    stream: IO[str],
    names: Mapping[Path, str],
) -> int:
    """Write answers as they come (to ``out`` complete or not at all), and drawings; how many there are not.

    Args:
        names: of images, in text.
    """
    if out is None:
        return _write(said, _json if as_json else lambda one: one.line(names), draw, stream)
    with replacing(out) as partial, partial.open("w", encoding="utf-8") as file:
        return _write(said, _json, draw, file)


def _json(said: Said) -> str:
    """A line of JSON."""
    return readable(said.to_dict())


def _write(said: Iterable[Said], text: Callable[[Said], str], draw: Path | None, stream: IO[str]) -> int:
    missing = 0
    warned: set[str] = set()
    for number, one in enumerate(said):
        print(text(one), file=stream, flush=True)
        warn(one.warnings(), warned)
        missing += one.result is None
        if draw is not None and one.result is not None:
            draw.mkdir(parents=True, exist_ok=True)
            with replacing(_drawing(draw, number, one.asked)) as partial:
                one.result.draw().save(partial, "PNG")
    return missing


def warn(warnings: Iterable[str], told: set[str]) -> None:
    """Print warnings that were not ``told`` yet to stderr, a line each."""
    for warning in warnings:
        if warning not in told:
            told.add(warning)
            print(one_line(f"warning: {warning}"), file=sys.stderr, flush=True)


def _drawing(folder: Path, number: int, asked: Asked) -> Path:
    """The file that an answer is drawn into."""
    return folder / f"{number:05}-{asked.images[0].stem}.png"


def match(
    predictor: Predictor,
    images: Sequence[Path],
    captions: Sequence[str],
    *,
    regions: Path | None = None,
    task: str | None = None,
) -> tuple[Matched, dict[str, str]]:
    """How well captions and images (named by their paths) go together, and {file: why} of those that cannot be read.

    Args:
        regions: a region store that holds some of the images by the names of their files; the others are looked at.

    Raises:
        ConfigError: the model has no task for this, or a caption says nothing.
        RegionError: there are no regions in ``regions``, or those of another extractor; no image can be read.
    """
    from twelve.regions.store.region_store import RegionStore

    check_captions(predictor, captions, task)
    store = None if regions is None else RegionStore(regions, recipes=predictor.processor.region_recipes)
    stored = {} if store is None else _stored(predictor, store)
    scenes: list[Scene] = []
    failed: dict[str, str] = {}
    with Track("looking", len(images), "images") as track:
        for image in images:
            known = stored.get(image_key(image.name))
            try:
                seen = image if store is None or known is None else store.get(known)
                scenes.append(predictor.look(seen, name=str(image)))
            except RegionError as error:
                failed[str(image)] = error.problem
            track.advance()
    if not scenes:
        raise RegionError("none of the images can be read", remedy="name a folder of images")
    with measured(predictor, len(scenes) * len(captions)):
        return predictor.match(scenes, captions, task=task), failed


def check_looking(weights: str | None, device: str) -> None:
    """Refuse what cannot be where a model looks: a file of weights that is not there, a device that has no name.

    Raises:
        ConfigError, RegionError: names the option.
    """
    check_weights(weights)
    check_name(device)


def check_captions(abilities: Abilities, captions: Iterable[str], task: str | None) -> None:
    """Raise ConfigError where a model has no task to match with, or a caption says nothing."""
    for caption in captions:
        abilities.check("match", caption, task=task)


def _stored(predictor: Predictor, store: RegionStore) -> dict[str, str]:
    """Name -> image id of everything in a store; a name that several sources have is left out.

    Raises:
        RegionError: the regions were made by another extractor than the model was trained on.
    """
    found: dict[str, str] = {}
    twice: set[str] = set()
    if not (sources := store.sources()):
        raise RegionError("no regions here", file=store.root, remedy="name a folder of twelve regions extract")
    predictor.processor.check_regions(store, sources)
    for source in sources:
        for image_id in store.ids(source):
            name = image_id.partition("/")[2]
            if name in found:
                twice.add(name)
            found[name] = image_id
    return {name: image_id for name, image_id in found.items() if name not in twice}


def short_names(paths: Iterable[Path]) -> dict[Path, str]:
    """Path -> the name of its file, or the whole path where several files have this name."""
    different = list(dict.fromkeys(paths))
    count = Counter(path.name for path in different)
    return {path: path.name if count[path.name] == 1 else str(path) for path in different}
