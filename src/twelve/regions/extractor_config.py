"""The parameters of a feature extractor, spelled once: from the command line to the recipe in a region file."""

from __future__ import annotations

from collections import Counter
from dataclasses import KW_ONLY, dataclass
from pathlib import Path

from twelve.errors import ConfigError
from twelve.formats.data_root import is_apart
from twelve.regions.sizes import MAX_PIXELS, WINDOWS, Size

DETECT, GRID, PATCHES = "detect", "grid", "patches"
"""Values of ``boxes``."""


@dataclass(frozen=True, slots=True)
class ExtractorConfig:
    """Parameters of an extraction: the network, the boxes, what is stored of them, and how it runs.

    Region files record the fields from ``backbone`` to ``threshold`` (:class:`twelve.regions.recipe.Recipe`). The
    others affect what is stored, or speed only.

    Attributes:
        backbone: ``x152``; ``microworld`` or ``microworld-apart``; a detection model of torchvision; a network of
            torchvision or timm; or ``transformers``, with the vision tower that ``weights`` names.
        weights: a file, ``package:MODULE``, ``pretrained`` (the library's download) or ``random`` (untrained, to try
            things out). For ``transformers``: a folder, ``package:MODULE`` or a hub name. None: the network's own.
        levels: for networks of torchvision and timm: the feature maps to pool from, each named by its stride (``"8"``)
            or ``"head"`` for the last one. None: every stride from 8 on, and the head.
        input_size: the size at which images enter the network; None: the network's default. Detectors read only the
            short side.
        legacy: for ``x152``: reproduce the original program, including behaviour that is considered a mistake.
        precision: for ``x152``: ``fp32``, or ``bf16``, which is faster and gives different regions.
        boxes: ``detect`` (the network detects them), ``patches`` (every cell of its last feature map), or ``grid``,
            ``grid:ROWSxCOLUMNS``, ``grid:SIZE``, ``grid:SIZE/STEP`` (pixels of the image). Empty: ``detect`` if the
            network detects boxes, else ``grid``.
        box_files: region files with the boxes, instead of ``boxes``; their features are ignored.
        max_boxes: keep the best ``max_boxes`` boxes of an image; None: the network's default, or all boxes of a file.
        threshold: lowest score of a detected box, 0..1; None: the network's default.
        class_probabilities: store each box's distribution over the classes.
        dtype: of stored features, ``float16`` or ``bfloat16``.
        max_pixels: larger images are not decoded.
        batch_size: images of one size per batch; None: chosen by device and image size.
        workers: threads that decode images and, on a CPU, run the network; None: one per core.
        device: ``cpu`` or ``cuda``.

    Raises:
        ConfigError: a level is named twice, or ``max_boxes`` or ``threshold`` is out of range.
    """

    backbone: str = ""
    weights: str | None = None
    _: KW_ONLY
    levels: tuple[str, ...] | None = None
    input_size: Size | None = None
    legacy: bool = False
    precision: str = "fp32"
    boxes: str = ""
    box_files: tuple[str, ...] = ()
    max_boxes: int | None = None
    threshold: float | None = None
    class_probabilities: bool = False
    dtype: str = "float16"
    max_pixels: int = MAX_PIXELS
    batch_size: int | None = None
    workers: int | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        if twice := [level for level, count in Counter(self.levels or ()).items() if count > 1]:
            raise ConfigError(f"level {twice[0]!r} is named twice", remedy="name every level once in --levels")
        if self.max_boxes is not None and not 0 < self.max_boxes <= WINDOWS:
            raise ConfigError(f"--max-boxes {self.max_boxes:,}", remedy=f"keep 1 to {WINDOWS:,} boxes of an image")
        if self.threshold is not None and not 0 <= self.threshold <= 1:  # NaN is refused, too
            raise ConfigError(f"--threshold {self.threshold}", remedy="give a score from 0 to 1")

    @property
    def patches(self) -> bool:
        """Whether the cells of the network's last feature map are the regions."""
        return self.boxes == PATCHES

    @property
    def map_levels(self) -> tuple[str, ...] | None:
        """The levels to read: patches come from one feature map, by default the last."""
        return ("head",) if self.patches and len(self.levels or ()) != 1 else self.levels


def drawn_by(root: Path) -> str:
    """The backbone for a microworld."""
    return "microworld-apart" if is_apart(root) else "microworld"
