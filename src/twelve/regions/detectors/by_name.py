"""Lookers by name: what ``--backbone`` means."""

from __future__ import annotations

from collections.abc import Sequence

import twelve.regions.detectors.vision  # noqa: F401 (before whatever imports torchvision)

# isort: split
from twelve.errors import ConfigError
from twelve.regions.detectors import building, torchvision_detector
from twelve.regions.detectors import shipped as detector
from twelve.regions.detectors import vision_towers as towers
from twelve.regions.detectors import x152_network as x152_looker
from twelve.regions.detectors.network import Looker, MapLooker
from twelve.regions.sizes import FixedSize, Size

X152 = "x152"


def build_looker(
    name: str,
    weights: str | None = None,
    *,
    levels: Sequence[str] | None = None,
    size: Size | None = None,
    patches: bool = False,
    legacy: bool = False,
    precision: str = "fp32",
) -> Looker:
    """The looker ``name``.

    Args:
        name: ``x152``; a detection model of torchvision; ``transformers`` (any vision tower of that library, which
            ``weights`` names); a detector that comes with the package; or a network of torchvision or timm.
        weights: see :func:`twelve.regions.detectors.building.build`,
            :func:`twelve.regions.detectors.torchvision_detector.build`,
            :func:`twelve.regions.detectors.vision_towers.build` and
            :func:`twelve.regions.detectors.x152_network.build`.
        levels: feature maps to pool from, of networks that have a choice.
        size: how large images enter the network; None as it likes them. Of detectors the short side alone counts.
        patches: the cells of the network's map are the regions.
        legacy: of x152: do what the original program does where it is thought to be mistaken.
        precision: of x152: ``bf16`` is faster and no longer the same network.

    Raises:
        ConfigError: no such network, or it has no such levels, patches, ways or precision.
        RegionError: the weights are missing, damaged or another network's.
    """
    plain = name.removeprefix("torchvision/")
    finds = name == X152 or plain in torchvision_detector.names()
    if legacy and name != X152:
        raise ConfigError(f"{name} has no legacy ways", remedy=f"leave --legacy out, or choose --backbone {X152}")
    if precision != "fp32" and name != X152:
        raise ConfigError(
            f"{name} has no precision {precision}", remedy=f"leave --precision out, or choose --backbone {X152}"
        )
    if finds and levels is not None:
        raise ConfigError(f"{name} has no level {levels[0]!r}", remedy="leave --levels out: its features are its own")
    if finds and patches:
        raise ConfigError(f"{name} describes boxes, it has no patches", remedy="give --boxes detect, FILE or grid:SIZE")
    if finds:
        if isinstance(size, FixedSize):
            raise ConfigError(f"{name} keeps the shape of images", remedy="give a short side alone")
        short = None if size is None else size.short_side
        if name == X152:
            return x152_looker.build(weights, legacy=legacy, precision=precision, short_side=short)
        return torchvision_detector.build(plain, weights, short_side=short)
    backbone = towers.build(weights, levels) if name == towers.NAME else building.build(name, weights, levels)
    looker = MapLooker(backbone, size, patches=patches)
    if patches and not looker.has_patches:
        raise ConfigError(f"{name} describes boxes, it has no patches", remedy="give --boxes detect, FILE or grid:SIZE")
    return looker


def takes_levels(name: str) -> bool:
    """Whether there is a choice of feature maps: of plain networks of torchvision and timm."""
    own = {X152, towers.NAME, *detector.shipped(), *torchvision_detector.names()}
    return name.removeprefix("torchvision/") not in own
