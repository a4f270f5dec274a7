"""The extractor: a network, the boxes that it describes, and how its regions are stored.

The same class makes region files and serves single images::

    extractor = Extractor.from_recipe(Recipe.of(store.metadata("coco")))
    regions = extractor.extract("photograph.jpg")
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from twelve.device import usable
from twelve.errors import ConfigError, InputError, RegionError
from twelve.formats.records import describe
from twelve.regions.detectors.build import build, takes_levels
from twelve.regions.detectors.feature_extractor import FeatureExtractor, fingerprint, lacking
from twelve.regions.extraction.box_sources import (
    BadBox,
    BoxFiles,
    BoxSource,
    Cells,
    Detected,
    FilesElsewhere,
    TheseBoxes,
    box_source,
)
from twelve.regions.extraction.pipeline import Pipeline
from twelve.regions.extractor_config import DETECT, GRID, ExtractorConfig
from twelve.regions.images import ImageLike, refused
from twelve.regions.recipe import KEY, Recipe
from twelve.regions.store.arrow_format import schema
from twelve.types.regions import Regions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

_BOXES = "give four numbers per box: x1, y1, x2, y2 in pixels of the image"


class Extractor:
    """Extracts the regions of images: boxes and their features.

    Args:
        network: your own network, instead of the one that ``config.backbone`` names.

    Attributes:
        config: the parameters.
        network: on ``config.device``.
        settings, mark: everything that the features of a given box depend on, and its fingerprint.
        feature_size: F.
        boxes: where the boxes come from.

    Raises:
        ConfigError: the settings cannot work.
        RegionError: the weights or box files are missing or damaged, or the weights belong to another network.
    """

    def __init__(self, config: ExtractorConfig, network: FeatureExtractor | None = None) -> None:
        where = usable(config.device)
        built = build(config) if network is None else network
        levels = config.levels
        if network is None and takes_levels(config.backbone):
            levels = built.levels  # type: ignore[assignment]  # recorded in full, as the command line has other defaults
        self.config = replace(
            config, backbone=config.backbone or built.name, levels=levels, boxes=_boxes(config, built)
        )
        self.network: FeatureExtractor = built.to(where)
        self.settings = built.settings()
        self.feature_size = built.feature_size
        self.mark = fingerprint(self.settings)
        if config.class_probabilities and not built.has_probabilities:
            raise lacking(built.name, "probabilities")
        self.boxes = box_source(self.config, (built.most, built.threshold))
        if isinstance(self.boxes, Cells) and not built.has_patches:
            raise lacking(built.name, "patches")
        if isinstance(self.boxes, Detected) and not built.classes:
            raise lacking(built.name, "detect")

    @classmethod
    def from_recipe(cls, recipe: Recipe, *, weights: str | None = None, **options: Any) -> Extractor:
        """Build the extractor that made some regions.

        Args:
            weights: where the weights are now, if they came from a file or folder.
            options: further fields of :class:`ExtractorConfig` that a recipe does not record, such as ``device``.

        Raises:
            ConfigError: the weights are not available. If boxes came from files, :meth:`extract` needs ``boxes``.
            RegionError: the weights are not the recorded weights; the message names both fingerprints.
        """
        config = recipe.config
        if recipe.weights_file and weights is None:
            raise ConfigError(
                f"{config.backbone} needs the weights {config.weights} with which the regions were made",
                remedy="say where that file or folder is",
            )
        if weights is None and not recipe.own_weights:
            raise ConfigError(
                f"the recipe of the regions names the weights {config.weights!r} of {config.backbone}, which are "
                "opened, imported or downloaded only if you name them",
                remedy="name the weights yourself: --weights FILE, package:NAME, pretrained or random",
            )
        found = cls(replace(config, weights=config.weights if weights is None else weights, **options))
        if not config.boxes:
            found.boxes = FilesElsewhere()
        if found.mark != recipe.fingerprint:
            raise RegionError(
                f"expected features with fingerprint {recipe.fingerprint} as in the regions, found {found.mark}",
                file=weights,
                remedy="give the weights that the regions were made with, under the same version of this package",
            )
        return found

    def recipe(self, supply: BoxSource | None = None) -> Recipe:
        """How to build this extractor again, with the boxes of ``supply`` (None: its own boxes)."""
        supply = supply or self.boxes
        own, weights = self.config, self.config.weights
        weights_file = weights is not None and Path(weights).expanduser().exists()
        config = ExtractorConfig(
            own.backbone,
            Path(weights).expanduser().resolve().name if weights is not None and weights_file else weights,
            levels=own.levels,
            input_size=own.input_size,
            legacy=own.legacy,
            precision=self.network.precision,
            boxes=supply.spec,
            max_boxes=supply.most if isinstance(supply, Detected | BoxFiles) else None,
            threshold=supply.threshold if isinstance(supply, Detected) else None,
        )
        return Recipe(config, self.mark, weights_file, supply.made_by if isinstance(supply, BoxFiles) else None)

    def schema(self, supply: BoxSource, source: str) -> pa.Schema:
        """Columns and metadata of a region file with these boxes."""
        metadata = {
            "format": "twelve regions 1",
            "fingerprint": self.mark,
            "settings": json.dumps(self.settings, sort_keys=True),
            "boxes_origin": supply.origin,
            "source": source,
            KEY: self.recipe(supply).to_json(),
        }
        if isinstance(supply, Detected):
            metadata["classes"] = json.dumps(self.network.classes)
        probabilities = self.config.class_probabilities and not isinstance(supply, Cells)
        return schema(
            feature_size=self.feature_size,
            scores=supply.has_scores,
            class_ids=supply.has_classes,
            class_probabilities=1 + len(self.network.classes) if probabilities else None,
            feature_dtype=self.config.dtype,
            metadata=metadata,
        )

    def extract(self, image: ImageLike, boxes: ArrayLike | None = None, *, image_id: str = "") -> Regions:
        """The regions of one image, as an extraction to files would store them.

        Args:
            image: a path, the bytes of a file, a Pillow image, an array (H, W, 3) or (H, W), or a tensor (3, H, W) or
                (H, W). Arrays and tensors are uint8, or floats in 0..1.
            boxes: (R, 4) xyxy pixels of the image after its EXIF rotation; None: boxes from :attr:`boxes`.

        Raises:
            InputError: ``image`` is not an image, or a box is invalid.
            ConfigError: boxes came from files, and none are given.
        """
        supply = self.boxes if boxes is None else TheseBoxes(_corners(boxes))
        try:
            (found,) = Pipeline(self.network, self.config, [supply], {}).one(image, image_id)
        except (OSError, ValueError, TypeError, SyntaxError, RuntimeError, IndexError) as error:
            if isinstance(error, BadBox):
                name = image if isinstance(image, (str, Path)) else None
                raise InputError(str(error), file=name, remedy=error.remedy or _BOXES) from error
            raise refused(image, error) from error
        return found


def _boxes(config: ExtractorConfig, network: FeatureExtractor) -> str:
    """The boxes asked for, or those that suit the network."""
    if config.boxes or config.box_files:
        return config.boxes
    return DETECT if network.classes else GRID


def _corners(boxes: ArrayLike) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # numbers beyond float32 become infinite, and are refused
            found = np.asarray(boxes.detach() if isinstance(boxes, torch.Tensor) else boxes, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"expected boxes as numbers, found {describe(boxes)}", remedy=_BOXES) from None
    if found.size == 0:
        return np.empty((0, 4), dtype=np.float32)
    if found.ndim != 2 or found.shape[1] != 4:
        raise InputError(f"expected boxes of shape (R, 4), found {found.shape}", remedy=_BOXES)
    return found
