"""The network: residual body, feature pyramid, proposal head and box head.

I images, D channels of the pyramid, F features of a box, C classes (background not counted).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_weights
from torchvision.models.resnet import Bottleneck
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from twelve.regions.detectors.x152.anchors import RATIOS
from twelve.regions.detectors.x152.sizes import POOL, X152Sizes

_Norm = partial(FrozenBatchNorm2d, eps=0.0)  # the original divides by the square root of the variance


class Body(nn.Module):
    """A ResNeXt with frozen batch norms, without its classifier."""

    def __init__(self, sizes: X152Sizes) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, sizes.stem, 7, stride=2, padding=3, bias=False)
        self.bn1: nn.Module = _Norm(sizes.stem)
        channels = sizes.stem
        for stage, depth in enumerate(sizes.blocks):
            out = sizes.width * 2**stage
            setattr(self, f"layer{stage + 1}", _stage(channels, out, depth, 1 if stage == 0 else 2, sizes))
            channels = out

    def forward(self, pixels: Tensor) -> list[Tensor]:
        """(I, 3, H, W) -> the maps of the four stages, at strides 4, 8, 16 and 32."""
        value = functional.relu(self.bn1(self.conv1(pixels)), inplace=True)
        value = functional.max_pool2d(value, 3, stride=2, padding=1)
        maps = []
        for name in ("layer1", "layer2", "layer3", "layer4"):
            value = self.get_submodule(name)(value)
            maps.append(value)
        return maps


def _stage(channels: int, out: int, depth: int, stride: int, sizes: X152Sizes) -> nn.Sequential:
    """``depth`` bottlenecks; the first has the stride (in its 3x3 convolution) and a projection shortcut."""
    planes = out // Bottleneck.expansion
    # torchvision defines a group's width for a network whose first stage has 64 planes.
    base = sizes.group_width * 64 * Bottleneck.expansion // sizes.width
    shortcut = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), _Norm(out))
    first = Bottleneck(channels, planes, stride, shortcut, sizes.groups, base, norm_layer=_Norm)
    rest = [Bottleneck(out, planes, 1, None, sizes.groups, base, norm_layer=_Norm) for _ in range(depth - 1)]
    return nn.Sequential(first, *rest)


class ProposalHead(nn.Module):
    """Predicts for each anchor whether it is an object and how to move it; shared by all levels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)
        self.cls_logits = nn.Conv2d(channels, len(RATIOS), 1)
        self.bbox_pred = nn.Conv2d(channels, 4 * len(RATIOS), 1)

    def forward(self, maps: Sequence[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """(I, D, H, W) per level -> logits (I, 3, H, W) and moves (I, 12, H, W) per level, float32."""
        hidden = [functional.relu(self.conv(level), inplace=True) for level in maps]
        return [self.cls_logits(h).float() for h in hidden], [self.bbox_pred(h).float() for h in hidden]


class X152Network(nn.Module):
    """Everything that has weights; use it through :class:`twelve.regions.detectors.x152.X152`."""

    def __init__(self, sizes: X152Sizes) -> None:
        super().__init__()
        self.body = Body(sizes)
        stages = [sizes.width * 2**stage for stage in range(4)]
        self.fpn = FeaturePyramidNetwork(stages, sizes.pyramid, extra_blocks=LastLevelMaxPool())
        self.rpn_head = ProposalHead(sizes.pyramid)
        self.fc6 = nn.Linear(sizes.pyramid * POOL * POOL, sizes.features)
        self.fc7 = nn.Linear(sizes.features, sizes.features)
        self.cls_score = nn.Linear(sizes.features, sizes.classes + 1)

    def maps(self, pixels: Tensor) -> list[Tensor]:
        """(I, 3, H, W) normalised pixels, sides multiples of 32 -> the five levels of the pyramid, (I, D, h, w)."""
        return self.pyramid(self.body(pixels.to(self.fc6.weight.dtype)))

    def pyramid(self, stages: Sequence[Tensor]) -> list[Tensor]:
        """The body's four maps -> the five levels of the pyramid."""
        levels = self.fpn(OrderedDict((str(number), stage) for number, stage in enumerate(stages)))
        return list(levels.values())

    def describe(self, pooled: Tensor) -> tuple[Tensor, Tensor]:
        """(R, D, 7, 7) pooled boxes -> features (R, F), not negative, and class logits (R, 1 + C), float32."""
        features = functional.relu(self.fc6(pooled.flatten(1).to(self.fc6.weight.dtype)))
        return features.float(), self.cls_score(functional.relu(self.fc7(features))).float()

    def fold(self) -> None:
        """Fold every batch norm into the convolution before it: faster, and equal up to rounding."""
        for module in list(self.body.modules()):
            if isinstance(module, (Body, Bottleneck)):
                for number in (1, 2, 3):
                    if hasattr(module, f"conv{number}"):
                        _fold(module, f"conv{number}", f"bn{number}")
            elif isinstance(module, nn.Sequential) and isinstance(module[-1], FrozenBatchNorm2d):
                _fold(module, "0", "1")


@torch.no_grad()
def _fold(parent: nn.Module, conv_name: str, norm_name: str) -> None:
    conv, norm = parent.get_submodule(conv_name), parent.get_submodule(norm_name)
    assert isinstance(conv, nn.Conv2d) and isinstance(norm, FrozenBatchNorm2d)
    conv.weight, conv.bias = fuse_conv_bn_weights(
        conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    )
    setattr(parent, norm_name, nn.Identity())
