"""Networks by name: of torchvision, of timm, or a detector that comes with the package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from twelve.errors import ConfigError, nearest
from twelve.regions.detectors import shipped as detector
from twelve.regions.detectors import weights as weight_files
from twelve.regions.detectors.backbones import Backbone, TimmBackbone, TorchvisionBackbone
from twelve.regions.detectors.folding import fold_norms


def build(
    name: str,
    weights: str | None,
    levels: Sequence[str] | None = None,
    *,
    seed: int = 0,
) -> Backbone:
    """The network ``name`` in evaluation mode, batch norms folded into the convolutions before them.

    Args:
        name: ``timm/NAME``, ``torchvision/NAME``, or the bare name (torchvision's where both know it); or a detector
            that comes with the package (:func:`twelve.regions.detectors.shipped.shipped`), which needs no ``weights``.
        weights: a file, ``package:NAME`` (:func:`twelve.regions.detectors.weights.resolve`), ``pretrained`` (the
            library's own download) or ``random`` (untrained, from ``seed``: to try things out).
        levels: see the module; None reads every stride from 8 on and the head.

    Raises:
        ConfigError: no such network, no such level, or no weights given.
        RegionError: the weights are damaged or of another network.
    """
    if twice := [level for level, count in Counter(levels or ()).items() if count > 1]:
        raise ConfigError(f"level {twice[0]!r} is named twice", remedy="name every level once in --levels")
    if name in detector.shipped():
        return detector.build(name, weights, levels, seed=seed)
    if not weights:
        raise ConfigError(
            "no weights given", remedy="give --weights FILE, package:NAME, pretrained, or random to try things out"
        )
    library, name = _library(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, cfg = _create(library, name, pretrained=weights == "pretrained")
    if weights not in ("pretrained", "random"):
        weight_files.load(network, weight_files.resolve(weights))
    network.eval().requires_grad_(False)
    full = f"{library}/{name}"
    content = weight_files.content_hash(network)
    if library == "timm":
        backbone: Backbone = TimmBackbone(network, full, levels, cfg)
    else:
        backbone = TorchvisionBackbone(network, full, levels)
    backbone.weights_hash = content
    fold_norms(backbone)
    return backbone.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]


def _library(name: str) -> tuple[str, str]:
    """Which library a name belongs to, and the name there."""
    import torchvision

    library, slash, rest = name.partition("/")
    own = torchvision.models.list_models(module=torchvision.models)
    try:
        import timm

        others = timm.list_models()
    except ImportError:
        others = []
    plain = (rest if slash else name).split(".")[0]
    if slash and library == "torchvision" and rest in own:
        return library, rest
    if slash and library == "timm" and plain in others:
        return library, rest
    if not slash and name in own:
        return "torchvision", name
    if not slash and plain in others:
        return "timm", name
    if not others:
        raise ConfigError(
            f"{name!r} is no backbone of torchvision, and timm, which has many more, is not installed",
            remedy=f"pip install 'twelve[timm]', or choose one of torchvision, or {' or '.join(detector.shipped())}",
        )
    known = [*detector.shipped(), *torchvision.models.list_models(module=torchvision.models.detection), *own, *others]
    raise ConfigError(
        f"unknown backbone {name!r}{nearest(plain, known)}",
        remedy=f"give the name of a torchvision or timm network, or {' or '.join(detector.shipped())}",
    )


def _create(library: str, name: str, *, pretrained: bool) -> tuple[nn.Module, dict[str, Any]]:
    try:
        if library == "torchvision":
            import torchvision

            return torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None), {}
        import timm

        try:  # vision transformers take images of other sizes only when asked to; other networks know no such option
            network = timm.create_model(name, pretrained=pretrained, dynamic_img_size=True)
        except TypeError:
            network = timm.create_model(name, pretrained=pretrained)
    except OSError as error:
        raise ConfigError(
            f"cannot download the weights of {name} ({error})", remedy="give a local file as --weights"
        ) from error
    if not hasattr(network, "forward_intermediates"):
        raise ConfigError(f"timm network {name} gives no feature maps", remedy="choose another --backbone")
    cfg: Any = network.pretrained_cfg
    return network, dict(cfg)
