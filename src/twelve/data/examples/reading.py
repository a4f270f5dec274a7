"""Reading splits of official files, from the cache where they are large."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from twelve.data.examples.cache import cache_folder, cached
from twelve.data.examples.foreign import check_examples
from twelve.formats.data_root import DataRoot
from twelve.progress import Track
from twelve.tasks.base import Task
from twelve.types.examples import Example

Reader: TypeAlias = Callable[[Task, str], Sequence[Example]]
"""Examples of a task's split, as ``read_examples`` gives them."""
LARGE = 8 << 20
"""Bytes of official files from which a split is cached. A smaller one is parsed within a third of a second, or within
two if it is compressed."""
_MEGABYTE = 1e6


def read_examples(task: Task, root: DataRoot, split: str) -> Sequence[Example]:
    """What ``task.read(root, split)`` returns, from the cache if the files are large.

    Raises:
        DataError, ConfigError: as that does.
    """
    task = task.reader
    with root.mended():
        folder = cache_folder()
        paths = [] if folder is None else task.input_files(root, split)
        # Where a file is missing, the reader gives the best error.
        if folder is None or not all(path.is_file() for path in paths):
            return _read(task, root, split)
        if sum(path.stat().st_size for path in paths) < LARGE:
            return _read(task, root, split)
        return cached(folder / "examples" / task.name, task, root, split, paths)


def _read(task: Task, root: DataRoot, split: str) -> Sequence[Example]:
    examples = task.read(root, split)
    check_examples(task, split, examples)
    return examples


@contextmanager
def reading(root: DataRoot, wanted: Iterable[tuple[Task, str]], *, shown: bool = True) -> Iterator[Reader]:
    """A reader of splits that shows progress, in megabytes of the files of ``wanted`` (task, split)."""
    sizes = {(task.name, split): _megabytes(root, task, split) for task, split in wanted}
    with Track("reading official files", max(1, round(sum(sizes.values()))), "MB", shown=shown) as track:
        done = 0.0

        def read(task: Task, split: str) -> Sequence[Example]:
            nonlocal done
            try:
                return read_examples(task, root, split)
            finally:
                done += sizes.pop((task.name, split), 0.0)
                track.advance(int(done) - track.done, note=f"{task.title} {split}")

        yield read


def _megabytes(root: DataRoot, task: Task, split: str) -> float:
    """Megabytes of the existing files of a split."""
    return sum(path.stat().st_size for path in task.input_files(root, split) if path.is_file()) / _MEGABYTE
