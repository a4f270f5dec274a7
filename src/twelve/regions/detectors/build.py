"""Builds the feature extractor that a configuration names."""

from __future__ import annotations

import twelve.regions.detectors.vision  # noqa: F401 (before anything that imports torchvision)

# isort: split
from collections.abc import Callable, Mapping

from twelve.errors import ConfigError
from twelve.regions.detectors import (
    apart_detector,
    library_backbones,
    shipped_detector,
    torchvision_detector,
    vision_tower,
    x152,
)
from twelve.regions.detectors.feature_extractor import FeatureExtractor, lacking
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import FixedSize

_NAMED: Mapping[str, Callable[[ExtractorConfig], FeatureExtractor]] = {
    vision_tower.NAME: vision_tower.build,
    apart_detector.NAME: apart_detector.build,
}
"""Value of ``--backbone`` -> what builds it, for networks of this package; they take no levels."""


def build(config: ExtractorConfig) -> FeatureExtractor:
    """Build ``config.backbone`` on the CPU.

    Raises:
        ConfigError: there is no such network, or it does not support one of the settings.
        RegionError: the weights are missing, damaged or belong to another network.
    """
    name = config.backbone
    if not name:
        raise ConfigError("no network named", remedy="name one: --backbone NAME")
    if name != x152.NAME:
        for option, wrong, what in (
            ("--legacy", config.legacy, "legacy mode"),
            ("--precision", config.precision != "fp32", f"precision {config.precision}"),
        ):
            if wrong:
                raise ConfigError(
                    f"{name} has no {what}", remedy=f"leave {option} out, or choose --backbone {x152.NAME}"
                )
    if name == x152.NAME or torchvision_detector.knows(name):
        if config.patches:
            raise lacking(name, "patches")
        if config.levels is not None:
            raise ConfigError(
                f"{name} has no level {config.levels[0]!r}", remedy="leave --levels out: its features are fixed"
            )
        if isinstance(config.input_size, FixedSize):
            raise ConfigError(f"{name} keeps the aspect ratio of images", remedy="give only a short side")
        return x152.build_from(config) if name == x152.NAME else torchvision_detector.build(config)
    named = _named()
    if name in named:
        return named[name](config)
    return library_backbones.build(config, others=(x152.NAME, *named))


def _named() -> Mapping[str, Callable[[ExtractorConfig], FeatureExtractor]]:
    """:data:`_NAMED` and the detectors whose weights lie beside this file."""
    return {**_NAMED, **dict.fromkeys(shipped_detector.shipped(), shipped_detector.build)}


def takes_levels(name: str) -> bool:
    """Whether a backbone offers a choice of feature maps, as plain networks of torchvision and timm do."""
    plain = name.removeprefix("torchvision/")
    return plain not in (x152.NAME, *_named()) and not torchvision_detector.knows(plain)
