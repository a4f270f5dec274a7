"""Reader of the original x152 program's recordings: ``goldens.json`` beside images and arrays.

The JSON has the models (sizes only; :mod:`twelve.regions.detectors.x152.invented_weights` generates their weights), the
common settings, and the cases. ``NAME.npz`` has the arrays of a case, with ``i/...`` for its image i.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from PIL import Image
from pydantic import AliasChoices, BaseModel, ConfigDict, Field, PositiveInt
from torch import Tensor

from twelve.errors import DataError
from twelve.parity.recording import REMEDY, Recorded, read
from twelve.regions.detectors.x152.anchors import RATIOS, SIZES
from twelve.regions.detectors.x152.preprocessing import MEAN, MULTIPLE
from twelve.regions.detectors.x152.proposals import OVERLAP as PROPOSAL_OVERLAP
from twelve.regions.detectors.x152.selection import OVERLAP as CLASS_OVERLAP
from twelve.regions.detectors.x152.sizes import POOL, STRIDES, X152Sizes

JSON = "goldens.json"

COMMON: Mapping[str, Any] = {
    "stride_in_1x1": False,
    "bn_eps": 0.0,
    "anchor_strides": list(STRIDES),
    "anchor_sizes": list(SIZES),
    "aspect_ratios": list(RATIOS),
    "rpn_nms": PROPOSAL_OVERLAP,
    "rpn_min_size": 0,
    "pool": POOL,
    "sampling_ratio": 2,
    "aligned": False,
    "class_nms": CLASS_OVERLAP,
    "size_divisibility": MULTIPLE,
    "pixel_mean_bgr": list(MEAN),
}
"""Settings that are fixed in this package; recordings with other settings cannot be compared."""


class Arguments(BaseModel):
    """Arguments of the original script; no others change its results."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    background: bool = False
    threshold: float = Field(
        0.0, validation_alias=AliasChoices("confidence_threshold", "conf_thresh", "conf", "threshold")
    )


class Model(Recorded):
    """Sizes under the recording's names; ``num_classes`` includes background."""

    blocks: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt]
    stem_out: PositiveInt
    res2_out: PositiveInt
    groups: PositiveInt
    width_per_group: PositiveInt
    fpn_out: PositiveInt
    mlp_dim: PositiveInt
    num_classes: int = Field(gt=1)
    rpn_pre_nms_top_n: PositiveInt
    rpn_post_nms_top_n: PositiveInt
    rpn_fpn_post_nms_top_n: PositiveInt

    @property
    def sizes(self) -> X152Sizes:
        return X152Sizes(
            blocks=self.blocks,
            stem=self.stem_out,
            width=self.res2_out,
            groups=self.groups,
            group_width=self.width_per_group,
            pyramid=self.fpn_out,
            features=self.mlp_dim,
            classes=self.num_classes - 1,
            candidates=self.rpn_pre_nms_top_n,
            survivors=self.rpn_post_nms_top_n,
            proposals=self.rpn_fpn_post_nms_top_n,
        )


class Statistics(Recorded):
    """Statistics of a tensor; ``samples`` are its elements at (k * size) // n for k from 0 to n - 1."""

    shape: tuple[int, ...]
    mean: float
    std: float
    min: float
    max: float
    samples: tuple[float, ...]


class Case(Recorded):
    """One run of the original script: images, sizes, arguments, and the results of each stage."""

    model: str
    images: tuple[str, ...] = Field(min_length=1)
    min_size: PositiveInt
    max_size: PositiveInt
    num_features: PositiveInt
    gt_path: bool = False
    args: Arguments = Arguments()
    num_boxes: tuple[int, ...]
    image_wh: tuple[tuple[int, int], ...]
    level_counts: tuple[int, ...] | None = None
    stats: dict[str, Statistics] = Field(default_factory=dict)


class Weights(Recorded):
    salt: str
    check_first4_tiny_shapes: dict[str, tuple[float, ...]] = Field(default_factory=dict)
    check_first4_x152_shapes: dict[str, tuple[float, ...]] = Field(default_factory=dict)

    def first(self, model: str) -> Mapping[str, tuple[float, ...]]:
        """First values of some of a model's weights."""
        return {"tiny": self.check_first4_tiny_shapes, "x152": self.check_first4_x152_shapes}.get(model, {})


class LevelMapper(Recorded):
    square_box_x2_minus_x1: tuple[float, ...]
    level_index: tuple[int, ...]


class Goldens(Recorded):
    """The content of ``goldens.json``."""

    weights: Weights
    models: dict[str, Model]
    common: dict[str, Any] = Field(default_factory=dict)
    cases: dict[str, Case] = Field(min_length=1)
    level_mapper: LevelMapper | None = None
    cell_anchors: dict[int, tuple[tuple[float, float, float, float], ...]] = Field(default_factory=dict)


def read_goldens(path: Path) -> tuple[Path, Goldens]:
    """Find and read ``goldens.json``, given the file or its folder.

    Raises:
        DataError: the file is missing or malformed, or was recorded with other settings than :data:`COMMON`.
    """
    file = path / JSON if path.is_dir() else path
    goldens = read(file, Goldens)
    for key, value in goldens.common.items():
        if key in COMMON and value != COMMON[key]:
            raise DataError(
                f"expected {COMMON[key]}, the only supported value, found {value}", file=file, record=f"common.{key}"
            )
    for name, case in goldens.cases.items():
        if case.model not in goldens.models:
            raise DataError(
                f"there is no model {case.model!r} in models", file=file, record=f"cases.{name}", remedy=REMEDY
            )
    return file, goldens


class Arrays:
    """The arrays of a case by name; raises DataError if the file is damaged or an array is missing."""

    def __init__(self, file: Path) -> None:
        self.file = file
        try:
            with np.load(file, allow_pickle=False) as opened:
                self.arrays = {name: torch.from_numpy(opened[name]) for name in opened.files}
        except FileNotFoundError:
            raise DataError("no such file", file=file, remedy=REMEDY) from None
        except (
            OSError,
            ValueError,
            TypeError,
            AttributeError,
            RuntimeError,
            EOFError,
            BadZipFile,
            zlib.error,
        ) as error:
            raise DataError(f"not readable as an npz file: {error}", file=file, remedy=REMEDY) from None

    def __contains__(self, name: str) -> bool:
        return name in self.arrays

    def __getitem__(self, name: str) -> Tensor:
        if name not in self.arrays:
            raise DataError("this array is missing", file=self.file, record=name, remedy=REMEDY)
        return self.arrays[name]


def open_image(file: Path) -> Image.Image:
    """Open an image with Pillow; raises DataError if that fails."""
    try:
        with Image.open(file) as opened:
            opened.load()
            return opened.copy()
    except FileNotFoundError:
        raise DataError("no such file", file=file, remedy=REMEDY) from None
    except Exception as error:  # Pillow can raise almost anything for a damaged file
        raise DataError(f"not readable as an image: {error}", file=file, remedy=REMEDY) from None
