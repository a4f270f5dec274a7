"""The extractor: a looker, the boxes that it describes, and how its regions are kept.

One and the same serves region files and single photographs::

    extractor = Extractor.from_recipe(Recipe.of(store.metadata("coco")))
    regions = extractor.look("photograph.jpg")
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from twelve.device import usable
from twelve.errors import ConfigError, RegionError
from twelve.regions.detectors.backbones import fingerprint
from twelve.regions.detectors.by_name import build_looker, takes_levels
from twelve.regions.detectors.network import Looker, MapLooker
from twelve.regions.extraction.box_sources import BadBox, BoxFiles, BoxSource, Cells, Detected, TheseBoxes, box_source
from twelve.regions.extraction.pipeline import Pipeline
from twelve.regions.images import MAX_PIXELS, ImageLike, TooLarge
from twelve.regions.recipe import KEY, Recipe
from twelve.regions.sizes import Size
from twelve.regions.store.arrow_format import schema
from twelve.types.regions import Regions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


_BOXES = "give four numbers a box, pixels of the image: x1, y1, x2, y2"


class Extractor:
    """A network with everything that its features depend on.

    Args:
        backbone, weights, levels, input_size, patches, legacy, precision: see
            :func:`twelve.regions.detectors.by_name.build_looker`; or a looker itself.
        boxes: of the images given to :meth:`look`: ``detect``, a grid, ``patches`` or another source; None: those
            that the network finds, if it finds any, else a grid.
        max_boxes, threshold: of boxes that the network finds; None as it likes.
        class_probabilities: keep the distribution over classes of every box.
        dtype: of kept features: float16 or bfloat16.
        max_pixels: of the largest image that is decoded.
        batch_size: images of equal size that go through the network together; None chooses by device and size.
        workers: threads that decode images and, on a processor, run the network; None takes every core.

    Attributes:
        looker: the network.
        mark: the fingerprint.
        boxes: the box source.

    Raises:
        ConfigError: settings that cannot work.
        RegionError: the weights are missing, damaged or another network's.
    """

    def __init__(
        self,
        backbone: str | Looker,
        *,
        weights: str | None = None,
        levels: Sequence[str] | None = None,
        input_size: Size | None = None,
        patches: bool = False,
        legacy: bool = False,
        precision: str = "fp32",
        boxes: str | BoxSource | None = None,
        max_boxes: int | None = None,
        threshold: float | None = None,
        class_probabilities: bool = False,
        dtype: str = "float16",
        max_pixels: int = MAX_PIXELS,
        batch_size: int | None = None,
        workers: int | None = None,
        device: str = "cpu",
    ) -> None:
        patches = patches or boxes == "patches"
        if patches and isinstance(backbone, str) and len(levels or ()) != 1:
            levels = None if backbone == "transformers" else ("head",)
        where = usable(device)
        if isinstance(backbone, str):
            looker = build_looker(
                backbone,
                weights,
                levels=levels,
                size=input_size,
                patches=patches,
                legacy=legacy,
                precision=precision,
            )
        else:
            looker = backbone
        self.looker = looker.to(where)
        self.settings = looker.settings()
        self.feature_size = looker.feature_size
        self.mark = fingerprint(self.settings)
        self.class_probabilities, self.dtype, self.max_pixels = class_probabilities, dtype, max_pixels
        self.batch_size, self.workers, self.device = batch_size, workers, device
        if class_probabilities and not looker.knows_probabilities:
            looker.probabilities(torch.empty(0, self.feature_size))  # says why not
        self.boxes = self.box_source(boxes if boxes is not None else _usual(looker, patches), max_boxes, threshold)
        self._sure = True
        self._recipe = Recipe(
            backbone=backbone if isinstance(backbone, str) else looker.name,
            weights=_name_of(weights),
            weights_file=_is_file(weights),
            levels=_levels(backbone, looker, levels),
            size=input_size,
            legacy=legacy,
            precision=looker.precision,
            patches=patches,
            boxes="",
            most=None,
            threshold=None,
            fingerprint=self.mark,
        )

    @classmethod
    def from_recipe(cls, recipe: Recipe, *, weights: str | None = None, **options: Any) -> Extractor:
        """The extractor that made some regions.

        Args:
            weights: where its weights are now, if they came from a file or folder.
            options: ``device``, ``workers``, ``max_pixels``, ``dtype``, ``class_probabilities``, ``batch_size``.

        Raises:
            ConfigError: the weights are not at hand. Later, where boxes came from files: an image comes without any.
            RegionError: these are other weights; names both fingerprints.
        """
        if recipe.weights_file and weights is None:
            raise ConfigError(
                f"{recipe.backbone} wants the weights {recipe.weights} that the regions were made with",
                remedy="say where that file or folder is",
            )
        if weights is None and not recipe.own_weights:
            raise ConfigError(
                f"the recipe of the regions names the weights {recipe.weights!r} of {recipe.backbone}, which are "
                "opened, imported or fetched only if you say so",
                remedy="name the weights yourself: --weights FILE, package:NAME, pretrained or random",
            )
        found = cls(
            recipe.backbone,
            weights=weights if weights is not None else recipe.weights,
            levels=recipe.levels,
            input_size=recipe.size,
            patches=recipe.patches,
            legacy=recipe.legacy,
            precision=recipe.precision,
            boxes=recipe.boxes or None,
            max_boxes=recipe.most,
            threshold=recipe.threshold,
            **options,
        )
        found._sure = bool(recipe.boxes)
        if found.mark != recipe.fingerprint:
            raise RegionError(
                f"makes other features (fingerprint {found.mark}) than the regions have ({recipe.fingerprint})",
                file=weights,
                remedy="give the weights that the regions were made with, under the same version of this package",
            )
        return found

    def recipe(self, supply: BoxSource | None = None) -> Recipe:
        """How to make this extractor again, with the boxes of ``supply``."""
        supply = supply or self.boxes
        return replace(
            self._recipe,
            boxes=supply.spec,
            most=supply.most if isinstance(supply, Detected | BoxFiles) else None,
            threshold=supply.threshold if isinstance(supply, Detected) else None,
            origin=supply.made_by if isinstance(supply, BoxFiles) else None,
        )

    def box_source(
        self,
        boxes: str | Path | Sequence[str | Path] | BoxSource,
        max_boxes: int | None = None,
        threshold: float | None = None,
    ) -> BoxSource:
        """See :func:`twelve.regions.extraction.box_sources.box_source`; the network says what is usual where nothing
        is asked for.

        Raises:
            ConfigError: the network is to find boxes, or to have patches, and cannot.
        """
        if isinstance(boxes, BoxSource):
            supply = boxes
        else:
            usual = (self.looker.most, self.looker.threshold)
            supply = box_source(boxes, max_boxes, threshold=threshold, usual=usual)
        self.check(supply)
        return supply

    def check(self, supply: BoxSource) -> None:
        """Raise ConfigError if the network is to find boxes, or to have patches, and cannot."""
        if isinstance(supply, Cells) and not self.looker.has_patches:
            Looker.patches(self.looker, None)
        if isinstance(supply, Detected) and not self.looker.classes:
            Looker.detect(self.looker, None, 0, 0.0)

    def schema(self, supply: BoxSource, source: str) -> pa.Schema:
        """Columns and metadata of the file that these boxes of a source go to."""
        metadata = {
            "format": "twelve regions 1",
            "fingerprint": self.mark,
            "settings": json.dumps(self.settings, sort_keys=True),
            "boxes_origin": supply.origin,
            "source": source,
            KEY: self.recipe(supply).to_json(),
        }
        if isinstance(supply, Detected):
            metadata["classes"] = json.dumps(self.looker.classes)
        probabilities = self.class_probabilities and not isinstance(supply, Cells)
        return schema(
            feature_size=self.feature_size,
            scores=supply.has_scores,
            class_ids=supply.has_classes,
            class_probabilities=1 + len(self.looker.classes) if probabilities else None,
            feature_dtype=self.dtype,
            metadata=metadata,
        )

    def pipeline(self, supplies: Sequence[BoxSource], failed: dict[str, str], looker: Looker | None = None) -> Pipeline:
        """What makes the regions of these box sources; ``failed`` receives {image id: why}.

        Args:
            looker: another to look with than the extractor's own, on its device.
        """
        return Pipeline(
            self.looker if looker is None else looker,
            supplies,
            device=self.device,
            batch_size=self.batch_size,
            workers=self.workers,
            failed=failed,
            max_pixels=self.max_pixels,
            dtype=self.dtype,
            class_probabilities=self.class_probabilities,
        )

    def look(self, image: ImageLike, boxes: ArrayLike | None = None, *, image_id: str = "") -> Regions:
        """The regions of one image, as an extraction would store them.

        Args:
            image: a path, a file's bytes, a Pillow image, an array (H, W, 3) or (H, W), or a tensor (3, H, W) or
                (H, W); arrays and tensors of uint8, or of floats in 0..1.
            boxes: (R, 4) xyxy pixels of the image (of an upright one); None: those of the extractor's box source.

        Raises:
            RegionError: it is no image, or a box is not one; says why.
        """
        if boxes is None and not self._sure:
            raise ConfigError(
                "the regions have boxes of files, of which there are none for another image",
                remedy="give the boxes of this image",
            )
        supply = self.boxes if boxes is None else TheseBoxes(_corners(boxes))
        try:
            (found,) = self.pipeline([supply], {}).one(image, image_id)
        except (OSError, ValueError, TypeError, SyntaxError, RuntimeError, IndexError) as error:
            name = image if isinstance(image, (str, Path)) else None
            remedy = (error.remedy or _BOXES) if isinstance(error, BadBox) else _remedy_of(error)
            raise RegionError(str(error) or type(error).__name__, file=name, remedy=remedy) from error
        return found


def _remedy_of(error: Exception) -> str:
    return "scale the image down" if isinstance(error, TooLarge) else "give a whole image"


def _corners(boxes: ArrayLike) -> NDArray[np.float32]:
    try:
        with np.errstate(over="ignore"):  # what is beyond float32 becomes infinite, and is refused
            found = np.asarray(boxes.detach() if isinstance(boxes, torch.Tensor) else boxes, dtype=np.float32)
    except (TypeError, ValueError, RuntimeError):
        raise RegionError("these are no boxes", remedy=_BOXES) from None
    if found.size == 0:
        return np.empty((0, 4), dtype=np.float32)
    if found.ndim != 2 or found.shape[1] != 4:
        raise RegionError(f"boxes of shape {found.shape}", remedy=_BOXES)
    return found


def _levels(backbone: str | Looker, looker: Looker, asked: Sequence[str] | None) -> tuple[str, ...] | None:
    """The levels in full where there is a choice: what is usual for a network is not what the command line takes."""
    if asked is None and isinstance(backbone, str) and takes_levels(backbone) and isinstance(looker, MapLooker):
        return looker.backbone.levels
    return None if asked is None else tuple(asked)


def _usual(looker: Looker, patches: bool) -> str:
    if patches:
        return "patches"
    return "detect" if looker.classes else "grid"


def _is_file(weights: str | None) -> bool:
    return weights is not None and Path(weights).expanduser().exists()


def _name_of(weights: str | None) -> str | None:
    return Path(weights).expanduser().resolve().name if weights is not None and _is_file(weights) else weights
