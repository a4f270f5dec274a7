"""Searching images for captions, with a file that keeps their vectors (:mod:`twelve.predictor.index`)."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from twelve.errors import InputError, RegionError
from twelve.formats.data_root import image_key
from twelve.formats.records import describe, writable
from twelve.io.files import check_folder
from twelve.predictor.asked import images_in
from twelve.predictor.checks import check_weight, texts_of
from twelve.predictor.index import ImageIndex, best_images
from twelve.predictor.matched import Matched
from twelve.progress import Track, counted, silent, tell

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from twelve.model.processor import TwelveProcessor
    from twelve.predictor.scene import Scene
    from twelve.regions.store.region_store import RegionStore
    from twelve.threads import Threads

MANY = 256
"""Number of questions, or of caption-image pairs, above which measuring threads saves more time than it takes."""
INDEXED = 64
"""Images whose vectors are computed together for an index."""

Opened = Iterator[tuple[Path, "Scene"]]


class Searches(Protocol):
    """The part of :class:`twelve.predictor.predictor.Predictor` that a search uses."""

    processor: TwelveProcessor
    threads: Threads

    @property
    def check(self) -> Callable[..., None]: ...

    @property
    def scene(self) -> Callable[..., Scene]: ...

    @property
    def match(self) -> Callable[..., Matched]: ...

    def measure_threads(self, say: Callable[[str], None] = ...) -> None: ...
    def image_vectors(self, scenes: Sequence[Scene]) -> Sequence[NDArray[Any]]: ...
    def caption_vectors(self, captions: Sequence[str], *, task: str | None = None) -> Sequence[NDArray[Any]]: ...
    def vectors_mark(self) -> str: ...


@contextmanager
def measured(predictor: Searches, count: int, say: Callable[[str], None] = tell) -> Iterator[None]:
    """Use the fastest number of threads within the block, if there is enough work to measure it.

    Args:
        count: number of questions, or of caption-image pairs.
        say: called with a message about the result.
    """
    from twelve.threads import given_back

    if count < MANY:
        yield
        return
    before = predictor.threads
    with given_back():
        predictor.measure_threads(say)
        try:
            yield
        finally:
            predictor.threads = before


def weight_of(contrast_weight: float | None, *, indexed: bool) -> float:
    """The weight of the contrast head's logit in a search, which defaults to 1 with an index: that needs the head
    anyway, and ranks better with its logit."""
    if contrast_weight is None:
        return float(indexed)
    check_weight(contrast_weight)
    return contrast_weight


def search(
    predictor: Searches,
    images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    captions: Sequence[str] | str,
    *,
    index: str | os.PathLike[str] | None,
    task: str | None,
    shortlist: int | None,
    contrast_weight: float | None,
    regions: str | os.PathLike[str] | None,
    progress: bool,
) -> Matched:
    """:meth:`twelve.predictor.predictor.Predictor.search`, which describes the arguments."""
    from twelve.regions.store.region_store import RegionStore

    texts = texts_of(captions)
    if not texts:
        raise InputError("nothing to search for", remedy="give at least one caption")
    for text in texts:
        predictor.check("match", text, task=task)
    if shortlist is not None and (not isinstance(shortlist, int) or shortlist < 0):
        raise InputError(
            f"expected a number of images as shortlist, found {describe(shortlist)}", remedy="give 0 to rank all images"
        )
    weight = weight_of(contrast_weight, indexed=index is not None)
    files = images_in([Path(image) for image in ([images] if isinstance(images, str | os.PathLike) else images)])
    kept = None if index is None else Path(index)
    if kept is not None:
        check_folder(kept.parent)  # the file itself is checked when it is read
    # before any image is opened: raises the error of a model without the head
    vectors = predictor.caption_vectors(texts, task=task) if shortlist or weight or kept is not None else ()
    store = None if regions is None else RegionStore(Path(regions), recipes=predictor.processor.region_recipes)
    stored = {} if store is None else stored_ids(predictor, store, files)
    skipped: dict[str, str] = {}

    def opened(some: Sequence[Path], what: str) -> Opened:
        with Track(what, len(some), "images") as track:
            for image in some:
                try:
                    if kept is not None and not writable(os.path.relpath(image, kept.parent)):
                        raise InputError("its name is not UTF-8, which an index needs", file=image, remedy="rename it")
                    seen = store.get(stored[image]) if store is not None and image in stored else image
                    yield image, predictor.scene(seen, name=str(image))
                except (InputError, RegionError) as error:
                    skipped[str(image)] = f"{error.problem} -> {error.remedy}"
                track.advance()

    say: Callable[[str], None] = tell if progress else lambda text: None
    with nullcontext() if progress else silent():
        searched = 0
        if kept is not None:
            known = _indexed(predictor, kept, files, opened, say)
            searched = len(known)
            shortlist = _places() if shortlist is None else shortlist
            chosen = best_images(vectors, list(known.values()), shortlist or searched) if known else []
            files = [list(known)[row] for row in chosen]
        scenes = [scene for _, scene in opened(files, "extracting")]
        if not scenes:
            raise InputError("none of the images can be read", remedy="pass images, or a folder of images")
        with measured(predictor, len(scenes) * len(texts), say):
            found = predictor.match(scenes, texts, task=task, shortlist=shortlist, contrast_weight=weight)
    if kept is not None and 0 < (shortlist or 0) < searched:  # of one caption, all of these images were ranked
        found = replace(found, shortlist=min(shortlist or 0, len(scenes)), searched=searched)
    return replace(found, skipped=skipped)


def _places() -> int:
    from twelve.evaluation.shortlist import PLACES

    return PLACES


def _indexed(
    predictor: Searches,
    file: Path,
    images: Sequence[Path],
    opened: Callable[[Sequence[Path], str], Opened],
    say: Callable[[str], None],
) -> dict[Path, NDArray[Any]]:
    """The vectors of the images that can be read, from an index, which is updated first."""
    index = ImageIndex(file, predictor.vectors_mark())
    if index.dropped:
        say(f"{file}: {counted(index.dropped, 'vector')} of another model will be replaced")
    new = [image for image in images if index.get(image) is None]
    added = 0
    try:
        seen = opened(new, "indexing")
        while part := list(islice(seen, INDEXED)):
            found = predictor.image_vectors([scene for _, scene in part])
            index.add({image: vectors for (image, _), vectors in zip(part, found, strict=True)})
            added += len(part)
    finally:  # what was computed is kept when a search is interrupted
        index.save()
    known = {image: vectors for image in images if (vectors := index.get(image)) is not None}
    others = index.others(images)
    kept = f"; {others:,} of earlier searches, which a service with this index searches too" if others else ""
    say(f"{file}: {counted(len(index), 'image')}, {added:,} of them new or changed{kept}")
    return known


def stored_ids(predictor: Searches, store: RegionStore, images: Collection[Path]) -> dict[Path, str]:
    """Image -> its id in a store, by the file name, without images whose name several of them or several sources have.

    Raises:
        RegionError: the regions were made by another extractor than the model was trained on.
    """
    found: dict[str, str] = {}
    twice: set[str] = set()
    if not (sources := store.sources()):
        raise RegionError(
            "no regions in this folder", file=store.root, remedy="pass a folder written by twelve regions extract"
        )
    predictor.processor.check_regions(store, sources)
    for source in sources:
        for image_id in store.ids(source):
            name = image_id.partition("/")[2]
            if name in found:
                twice.add(name)
            found[name] = image_id
    names = {image: image_key(image.name) for image in images}
    twice |= {name for name, count in Counter(names.values()).items() if count > 1}
    return {image: found[name] for image, name in names.items() if name in found and name not in twice}
