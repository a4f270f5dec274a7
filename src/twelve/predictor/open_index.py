"""An index that is opened once, for many searches: that of ``twelve serve``."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.errors import DataError, InputError, RegionError
from twelve.predictor.asked import short_names
from twelve.predictor.index import (
    Entry,
    best_rows,
    check_index,
    entry_of,
    folders_of,
    indexing,
    read_index,
    vector_sets,
)
from twelve.predictor.search import stored_ids

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from twelve.predictor.predictor import Predictor
    from twelve.predictor.scene import Scene


class OpenIndex:
    """The images of an index and their vectors. The index and the images are read, never written.

    Images that are gone, or have changed since they were indexed, are not found.

    Args:
        file: written by :meth:`twelve.Predictor.search` or ``twelve match --index``.
        regions: as :meth:`twelve.Predictor.search` takes it.

    Attributes:
        names: of the images, in order: their paths relative to the folder of ``file``. If images lie outside of that
            folder, relative to the deepest folder that has all of them.
        folders: those of the images, as paths from the current folder -> number of their images.
        left_out: number of images that were gone or had changed when the index was opened.

    Raises:
        InputError: the model has no task for matching.
        ConfigError: it has no contrast head.
        DataError: there is no index, it is damaged or of another model, or none of its images is left.
        RegionError: ``regions`` is empty, or was made by another extractor.
    """

    def __init__(
        self, predictor: Predictor, file: str | os.PathLike[str], regions: str | os.PathLike[str] | None = None
    ) -> None:
        from twelve.model.settings import no_contrast
        from twelve.regions.store.region_store import RegionStore

        file, model = Path(file), str(predictor.model.config.name_or_path) or "MODEL"
        predictor.task_for("match")
        if not predictor.model.contrasts:
            raise no_contrast()
        check_index(model, file)
        found, mark = read_index(file)
        paths = {name: file.parent / name for name in found}
        folders = {path.parent for path in paths.values()}
        if mark != predictor.vectors_mark():
            problem = f"expected vectors of this model, found {len(found):,} images of another"
            remedy = f"compute them again: {indexing(model, file, folders)}"
            raise DataError(problem, file=file, remedy=remedy)
        left = [name for name, (entry, _) in found.items() if entry_of(paths[name]) == entry]
        if not left:
            problem = f"expected images as they were indexed, found none of {len(found):,}"
            remedy = f"put them where they were, beside the index; or index them: {indexing(model, file, folders)}"
            raise DataError(problem, file=file, remedy=remedy)
        self._predictor = predictor
        self._images: dict[str, tuple[Path, Entry]] = {
            shown: (paths[name], found[name][0]) for shown, name in zip(_names(file, left), left, strict=True)
        }
        self._vectors = vector_sets([found[name][1] for name in left])
        self.names, self.left_out = tuple(self._images), len(found) - len(left)
        self.folders = folders_of(paths[name] for name in left)
        self._store = (
            None if regions is None else RegionStore(Path(regions), recipes=predictor.processor.region_recipes)
        )
        files = [path for path, _ in self._images.values()]
        self._stored = {} if self._store is None else stored_ids(predictor, self._store, files)

    def __len__(self) -> int:
        return len(self._images)

    def closest(self, captions: Sequence[NDArray[np.float32]], count: int) -> list[str]:
        """Names of the images that are among the ``count`` closest of any of ``captions``, which are vectors (words, D)
        of :meth:`twelve.Predictor.caption_vectors`."""
        return [self.names[row] for row in best_rows(captions, self._vectors, count)]

    def path(self, name: str) -> Path | None:
        """The file of an image, by its name; None if the index has no such image, or its file has changed."""
        path, entry = self._images.get(name, (None, None))
        return path if path is not None and entry_of(path) == entry else None

    def scene(self, name: str) -> Scene | None:
        """The image of a name with its regions; None if :meth:`path` has none, or it cannot be read."""
        path = self.path(name)
        if path is None:
            return None
        try:
            seen = self._store.get(self._stored[path]) if self._store is not None and path in self._stored else path
            return self._predictor.scene(seen, name=name)
        except (InputError, RegionError):
            return None


def _names(file: Path, stored: Sequence[str]) -> list[str]:
    """What images of an index are called, from their paths in it. No name tells of folders that are not searched."""
    if not any(name.startswith(os.pardir) or os.path.isabs(name) for name in stored):
        return [Path(name).as_posix() for name in stored]
    return list(short_names(file.parent / name for name in stored).values())
