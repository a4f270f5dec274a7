"""RefCOCO: phrases that refer to one object in a COCO image (Kazemzadeh et al. 2014, Yu et al. 2016; refer.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from twelve.tasks.base import Defaults, register
from twelve.tasks.formats.referring import ReferTask


@register
class RefCOCO(ReferTask):
    """RefCOCO on UNC's split: testA refers to people, testB to other objects; ``test`` is both, also measured alone."""

    name: ClassVar[str] = "refcoco"
    title: ClassVar[str] = "RefCOCO"
    token: ClassVar[int] = 9
    defaults: ClassVar[Defaults] = Defaults(batch_size=256, learning_rate=2e-5, max_text=20)
    split_by: ClassVar[str] = "unc"
    splits: ClassVar[tuple[str, ...]] = ("train", "val", "test", "testA", "testB")
    official_counts: ClassVar[Mapping[str, tuple[int | None, int | None]]] = {
        "train": (120_624, None),
        "val": (10_834, None),
        "test": (10_752, None),
    }
