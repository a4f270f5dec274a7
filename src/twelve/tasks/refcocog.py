"""RefCOCOg: longer phrases, written outside a game (Mao et al. 2016, Nagaraja et al. 2016; refer.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from twelve.tasks.base import Defaults, register
from twelve.tasks.formats.referring import ReferTask


@register
class RefCOCOg(ReferTask):
    """RefCOCOg on the University of Maryland's split, where train and val share no image (as Google's do)."""

    name: ClassVar[str] = "refcocog"
    title: ClassVar[str] = "RefCOCOg"
    token: ClassVar[int] = 11
    defaults: ClassVar[Defaults] = Defaults(batch_size=256, learning_rate=2e-5, max_text=20)
    toolbox: ClassVar[bool] = True
    split_by: ClassVar[str] = "umd"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test")
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "train": (None, 21_899),
        "val": (None, 1_300),
        "test": (None, 2_600),
    }
