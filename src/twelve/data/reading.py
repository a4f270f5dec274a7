"""Reading many splits with progress: by the size of their files, for their number says nothing about the time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeAlias

from twelve.data.cache import read_examples
from twelve.formats.data_root import DataRoot
from twelve.progress import Track
from twelve.tasks.base import Task
from twelve.types.examples import Example

Reader: TypeAlias = Callable[[Task, str], Sequence[Example]]
"""Examples of a task's split, as ``read_examples`` gives them."""
_MEGABYTE = 1e6


@contextmanager
def reading(root: DataRoot, wanted: Iterable[tuple[Task, str]], *, shown: bool = True) -> Iterator[Reader]:
    """A reader of splits of ``root`` that shows how much of the files of ``wanted`` (task, split) has been read."""
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
    """Of the files that are there."""
    return sum(path.stat().st_size for path in task.input_files(root, split) if path.is_file()) / _MEGABYTE
