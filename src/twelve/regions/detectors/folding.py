"""Folds batch norms into the convolutions before them: the same features, faster."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

_PROBE = 96
"""Side of the image that is run through a network to find which norm follows which convolution, in pixels."""


def fold_norms(backbone: Any) -> int:
    """Fold each batch norm that directly follows a convolution into it.

    A probe image shows which norm follows which convolution. If something else also reads the output of a folded
    convolution, the result changes; the network is then left unchanged.

    Args:
        backbone: a module with a method ``maps``: (I, 3, H, W) -> list of (I, C, h, w).

    Returns:
        The number of norms folded.
    """
    made: dict[int, tuple[nn.Conv2d, torch.Tensor]] = {}
    pairs: list[tuple[nn.Conv2d, str]] = []
    handles = []

    def remember(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        made[id(output)] = (module, output)  # type: ignore[assignment]

    for path, module in backbone.named_modules():
        if isinstance(module, nn.Conv2d):
            handles.append(module.register_forward_hook(remember))
        elif isinstance(module, nn.BatchNorm2d):

            def follow(module: nn.Module, inputs: Any, path: str = path) -> None:
                if id(inputs[0]) in made:
                    pairs.append((made[id(inputs[0])][0], path))

            handles.append(module.register_forward_pre_hook(follow))
    probe = torch.randn(1, 3, _PROBE, _PROBE, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        try:
            before = backbone.maps(probe)
        finally:
            for handle in handles:
                handle.remove()
        if not all(torch.isfinite(level).all() for level in before):
            return 0
        kept = [(conv, conv.weight, conv.bias, path, backbone.get_submodule(path)) for conv, path in pairs]
        for conv, path in pairs:
            norm = backbone.get_submodule(path)
            assert isinstance(norm, nn.BatchNorm2d)
            folded = fuse_conv_bn_eval(conv, norm)
            conv.weight, conv.bias = folded.weight, folded.bias
            # timm's norms include the activation that follows them.
            _replace(backbone, path, getattr(norm, "act", nn.Identity()))
        after = backbone.maps(probe)
        if all(torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(b.std())) for a, b in zip(after, before, strict=True)):
            return len(pairs)
        for conv, weight, bias, path, norm in kept:
            conv.weight, conv.bias = weight, bias
            _replace(backbone, path, norm)
    return 0


def _replace(root: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(root.get_submodule(parent), name, module)
