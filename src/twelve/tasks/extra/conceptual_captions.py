"""Conceptual Captions: web images with their alt texts, for pretraining (Sharma et al. 2018).

A row of ``Train_GCC-training.tsv`` or ``Validation_GCC-1.1.0-Validation.tsv``, which have no header::

    a very typical bus station<TAB>http://lh6.ggpht.com/-IvRtNLNcG8o/TpFyrudaT6I/AAAAAAAAM6o/_11MuAAKalQ/IMG_3422.JPG

The dataset contains URLs, not images, and many are dead by now; examples with regions are used. An image id is the row
number from 0 in nine digits, ``cc/000000000`` for training and ``cc_val/000000000`` for validation, as img2dataset
names images when it downloads the whole list. If the images have other names, list them in ``train_images.tsv`` and
``val_images.tsv`` beside the official files: one URL, a tab and the image file per line.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from twelve.errors import DataError
from twelve.formats.data_root import DataRoot, image_key
from twelve.formats.records import REMEDY, text_lines, writable
from twelve.io.files import is_there
from twelve.metrics import retrieval as metric
from twelve.tasks.base import Defaults, Task, register
from twelve.tasks.formats.captions import CaptionTask
from twelve.tasks.formats.shared import some_of
from twelve.types.examples import Example
from twelve.types.measurement import Scored

FILES = {"train": "Train_GCC-training.tsv", "val": "Validation_GCC-1.1.0-Validation.tsv"}
NAMES = {"train": "train_images.tsv", "val": "val_images.tsv"}
"""Split -> optional file that maps URLs to image files."""
SOURCES = {"train": "{}", "val": "{}_val"}
"""Split -> image source; row numbers start at 0 in each file."""
HEADER = ["caption", "url"]
"""A header row that download tools need; skipped."""
PRETRAINING = Defaults(batch_size=512, learning_rate=1e-4, max_text=36, epochs=10)
"""Settings of the original's pretraining."""


@register
class ConceptualCaptions(CaptionTask):
    """One caption per image. A pretrained model is measured by retrieving the images of validation captions."""

    name: ClassVar[str] = "conceptual_captions"
    title: ClassVar[str] = "Conceptual Captions"
    output: ClassVar[str] = "pretraining"
    kind: ClassVar[str] = "pretraining"
    token: ClassVar[int] = 0
    source: ClassVar[str] = "cc"
    extra: ClassVar[bool] = True
    partial: ClassVar[bool] = True
    page: ClassVar[str] = "https://ai.google.com/research/ConceptualCaptions/download"
    defaults: ClassVar[Defaults] = PRETRAINING
    file_names: ClassVar[Mapping[str, str]] = FILES
    test_split: ClassVar[str] = "val"
    held_out_splits: ClassVar[Mapping[str, tuple[str, ...]]] = {"val": ("val",)}
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "train": (3_318_333, 3_318_333),
        "val": (15_840, 15_840),
    }
    scoring_protocols: ClassVar[Mapping[str, str]] = {}

    @property
    def protocols(self) -> Mapping[str, str]:
        return metric.PROTOCOLS

    def input_files(self, root: DataRoot, split: str) -> tuple[Path, ...]:
        names = root.path / self.folder / NAMES[split]
        return (*super().input_files(root, split), *([names] if names.is_file() else []))

    def read(self, root: DataRoot, split: str) -> list[Example]:
        return list(self.iterate(root, split))

    def iterate(self, root: DataRoot, split: str) -> Iterator[Example]:
        path = root.file(self.folder, *self.files(split), page=self.page)
        source = SOURCES[split].format(root.image_source(self))
        names = path.parent / NAMES[split]
        keys = {url: image_key(name) for _, (url, name) in rows(names)} if is_there(names, DataError) else None
        yield from some_of(_examples(path, source, keys), path, split)

    def score(self, truth: object, predictions: object, protocol: str) -> Scored:
        return Task.score(self, (), (), protocol)


def _examples(path: Path, source: str, keys: Mapping[str, str] | None) -> Iterator[Example]:
    for number, (caption, url) in rows(path):
        key = f"{number:09}"
        if keys is not None:
            key = keys.get(url) or f"unnamed-{key}"
        image = f"{source}/{key}"
        yield Example(id=str(number), text=caption, images=(image,), group=image)


def rows(path: Path) -> Iterator[tuple[int, tuple[str, str]]]:
    """(row number from 0, (first, second)) for each row of a two-column file, skipping empty lines and a header.

    Raises:
        DataError: the file is unreadable, or a line does not have two columns.
    """
    count = 0
    for number, line in text_lines(path):
        cells = line.rstrip("\r\n").split("\t")
        if cells == [""] or (count == 0 and [cell.strip().lower() for cell in cells] == HEADER):
            continue
        if len(cells) != 2 or not all(cell.strip() and writable(cell) for cell in cells):
            found = f"{len(cells)}" if len(cells) != 2 else "an empty one"
            problem = f"expected two text columns separated by a tab, found {found}"
            raise DataError(problem, file=path, record=f"line {number}", remedy=REMEDY)
        yield count, (cells[0].strip(), cells[1].strip())
        count += 1
