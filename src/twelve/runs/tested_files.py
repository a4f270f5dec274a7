"""What an evaluation records about the files that it has read, so that a report can tell what is wrong with them, and
whether they have changed since."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from os.path import relpath
from pathlib import Path

from twelve.data.examples.columns import distinct_images
from twelve.data.examples.reading import read_examples
from twelve.data.examples.store import checksum
from twelve.data.image_digests import image_digests
from twelve.data.own_files import contradicted, contradictions, shared_images, unanswerable, untaught, warnings_of
from twelve.data.prepare import TaskData
from twelve.errors import DataError
from twelve.evaluation.results import TaskResult
from twelve.formats.data_root import DataRoot
from twelve.model.processor import TwelveProcessor
from twelve.tasks.custom import FileTask
from twelve.types.trained_images import TrainedImages


def with_files(
    result: TaskResult, data: TaskData, root: DataRoot, processor: TwelveProcessor, known: Collection[str]
) -> TaskResult:
    """A result with the checksums of its split's files and, of a file of one's own, what is wrong with it.

    Args:
        processor: of the model.
        known: images that are known to be among those of the base model.
    """
    task, split = data.task, result.protocol.split
    paths = sorted({path for path in task.input_files(root, split) if path.is_file()})
    result = replace(result, files={Path(relpath(path, root.path)).as_posix(): checksum(path) for path in paths})
    if not isinstance(task, FileTask):
        return result
    examples, trained, lines, warnings = read_examples(task, root, split), data.train, None, list[str]()
    with suppress(DataError):  # it is not needed where nothing is trained
        # As data check reads it, with the lines that are held out.
        trained = lines = read_examples(task, root, task.train_split)
        warnings = warnings_of(task, root, task.train_split, trained, None)
        warnings = [each for each in warnings if each not in contradictions(task, root, task.train_split, trained)]
    told = [*contradictions(task, root, split, examples), *untaught(task, examples, lines)]
    told += [] if lines is None else shared_images(split, examples, lines)
    counts = {name: len(contradicted(task, each)) for name, each in ((task.train_split, trained), (split, examples))}
    vocabulary = processor.vocabularies.get(task.output, ())
    return replace(
        result,
        trained_images=_trained(processor.trained_images, sorted({*distinct_images(examples)}.difference(known)), root),
        unanswerable=tuple(unanswerable(task, split, examples, data.train, vocabulary)),
        contradicted={name: count for name, count in counts.items() if count},
        train_warnings=tuple(warnings),
        test_warnings=tuple(each for each in warnings_of(task, root, split, examples, lines) if each not in told),
    )


def _trained(known: TrainedImages | None, images: Sequence[str], root: DataRoot) -> int:
    """How many of these images the model was trained on, whatever they were called then."""
    if known is None or not known.digests:
        return 0
    return sum(content in known.digests for content, _ in image_digests(images, root, {}).values())
