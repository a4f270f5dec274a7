"""Networks that turn images into feature maps: any convolutional network of torchvision or timm, and timm's vision
transformers, by name.

A *level* is one feature map: a stride ("4", "8", "16", "32": the last map of the network at that stride) or "head"
(the network's last map, e.g. the 1280 channels behind EfficientNet's last convolution). The maps of several levels
are pooled box by box and concatenated.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import torch
from PIL import Image
from torch import nn

from twelve.errors import ConfigError
from twelve.regions.detectors.pooling import pool_boxes
from twelve.regions.sizes import InputSize, Size

CODE_VERSION = 1
"""Raised when a change of this package changes the features it makes; part of the fingerprint."""

_PROBE = 96
"""Pixels of the image that is pushed through a network to learn its strides."""


@dataclass(frozen=True, slots=True)
class Detections:
    """What was found in one image, best first.

    Attributes:
        boxes: (R, 4) float32 xyxy as fractions of width and height.
        scores: (R,) float32 probability of the class, 0..1.
        class_ids: (R,) int64 index into the network's classes.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    class_ids: torch.Tensor


class Backbone(nn.Module):
    """A network, its preprocessing and the levels that are read from it.

    Attributes:
        name: ``timm/NAME`` or ``torchvision/NAME``.
        levels: names of the levels, in the order of their features.
        channels: features of each level.
        feature_size: F, their sum.
        multiple: pixels that the sides of its input must be multiples of.
        input_size: how large images should enter it, where nothing else is asked for.
        resample: how images are resized for it.
        classes: names of what it finds, if it finds boxes of its own (:meth:`detect`); else empty.
        most, threshold: boxes kept of an image and their least score, where nothing else is asked for.
    """

    mean: torch.Tensor
    std: torch.Tensor
    input_size: Size = InputSize()
    resample = Image.Resampling.BICUBIC
    classes: tuple[str, ...] = ()
    most = 100
    threshold = 0.05

    def __init__(self, name: str, levels: Sequence[str], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.name, self.levels = name, tuple(levels)
        self.channels: tuple[int, ...] = ()
        self.register_buffer("mean", torch.tensor(mean).view(3, 1, 1) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std).view(3, 1, 1) * 255, persistent=False)
        self.weights_hash = ""
        self.multiple = 1

    @property
    def feature_size(self) -> int:
        return sum(self.channels)

    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """(I, 3, H, W) normalised pixels -> one (I, C, h, w) map a level."""
        raise NotImplementedError

    def prepare(self, pixels: torch.Tensor) -> torch.Tensor:
        """(I, H, W, 3) uint8 -> (I, 3, H, W) float32 as the network was trained on, channels last in memory."""
        return (pixels.permute(0, 3, 1, 2).float() - self.mean) / self.std

    @torch.inference_mode()
    def regions(self, pixels: torch.Tensor, boxes: torch.Tensor) -> torch.Tensor:
        """Features of boxes.

        Args:
            pixels: (I, H, W, 3) uint8.
            boxes: (I, R, 4) xyxy as fractions of width and height.

        Returns:
            (I, R, F) float32.
        """
        return self.pool(self.look(pixels), boxes)

    @torch.inference_mode()
    def look(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        """The maps of (I, H, W, 3) uint8 pixels: all that the methods below need of the images."""
        return self.maps(self.prepare(pixels))

    @torch.inference_mode()
    def pool(self, maps: Sequence[torch.Tensor], boxes: torch.Tensor) -> torch.Tensor:
        """(I, R, F) float32 features of boxes, (I, R, 4) xyxy as fractions of width and height."""
        return torch.cat([pool_boxes(level, boxes) for level in maps], dim=-1)

    @torch.inference_mode()
    def cells(self, maps: Sequence[torch.Tensor]) -> tuple[torch.Tensor, int, int]:
        """Every cell of the last level as a region: (I, h * w, C) float32 in row order, h, w."""
        return maps[-1].flatten(2).transpose(1, 2), maps[-1].shape[2], maps[-1].shape[3]

    def detect(self, maps: Sequence[torch.Tensor], threshold: float, most: int) -> list[Detections]:
        """What the network finds in each image, best first.

        Args:
            threshold: the least score, 0..1.
            most: keep the best so many.
        """
        raise NotImplementedError

    def probabilities(self, features: torch.Tensor) -> torch.Tensor:
        """(R, 1 + classes) of boxes with these features (R, F), background first; of networks that find boxes."""
        raise NotImplementedError

    def settings(self, size: Size, mode: str) -> dict[str, Any]:
        """What the features depend on, for the metadata and the fingerprint."""
        # Every network that names no resampling of its own uses the bicubic one.
        other = {} if self.resample == Image.Resampling.BICUBIC else {"resample": self.resample.name.lower()}
        return {
            "backbone": self.name,
            "weights": self.weights_hash,
            "levels": list(self.levels),
            "input": asdict(size),
            "mean": [round(float(v) / 255, 6) for v in self.mean.flatten()],
            "std": [round(float(v) / 255, 6) for v in self.std.flatten()],
            "mode": mode,
            "code": CODE_VERSION,
        } | other


def fingerprint(settings: dict[str, Any]) -> str:
    """Short hash of all that the features of a given box depend on; the boxes' origin is not part of it."""
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


class TimmBackbone(Backbone):
    """A network of timm (PyTorch Image Models), through its ``forward_intermediates``."""

    def __init__(self, network: nn.Module, name: str, levels: Sequence[str] | None, cfg: dict[str, Any]) -> None:
        info: Any = network.feature_info
        strides = [str(stage["reduction"]) for stage in info]
        default = ["head"] if len(set(strides)) == 1 else [s for s in dict.fromkeys(strides) if int(s) > 4] + ["head"]
        super().__init__(name, levels or default, cfg["mean"], cfg["std"])
        _check_levels(self.levels, strides, name)
        self.network = network
        self._strides = strides
        patch: Any = getattr(getattr(network, "patch_embed", None), "patch_size", 1)
        self.multiple = max(patch) if isinstance(patch, (tuple, list)) else int(patch)
        self._last = len(strides) - 1
        with _probing(name), torch.inference_mode():
            found = self.maps(torch.zeros(1, 3, *[max(1, _PROBE // self.multiple) * self.multiple] * 2))
        if not levels and len(found) > 1 and torch.equal(found[-1], found[-2]):
            # Nothing follows the last stage: it is the head.
            self.levels, found = (*self.levels[:-2], "head"), found[:-1]
        self.channels = tuple(level.shape[1] for level in found)

    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        last_of = {stride: index for index, stride in enumerate(self._strides)}
        indices = [last_of[level] for level in self.levels if level != "head"]
        wanted = sorted({*indices, self._last})
        final, found = self.network.forward_intermediates(pixels, indices=wanted, norm=True)  # type: ignore[operator]
        by_index = dict(zip(wanted, found, strict=True))
        # Token networks end in a sequence, some others in channels-last maps: their last intermediate is the map.
        is_map = final.dim() == 4 and final.shape[2:] == by_index[self._last].shape[2:]
        head = final if is_map else by_index[self._last]
        return [head if level == "head" else by_index[last_of[level]] for level in self.levels]


class TorchvisionBackbone(Backbone):
    """A convolutional network of torchvision; its levels are outputs of its stages."""

    def __init__(self, network: nn.Module, name: str, levels: Sequence[str] | None) -> None:
        with _probing(name):
            stages = _stages(network)
        strides = list(stages)
        default = [s for s in strides if int(s) > 4]
        # Preprocessing of all torchvision classification weights.
        super().__init__(name, levels or default, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        _check_levels(self.levels, strides, name)
        self.network = network
        self._kept = threading.local()  # several threads may run the network at once
        for level in self.levels:
            stages[strides[-1] if level == "head" else level].register_forward_hook(self._keep(level))
        with torch.inference_mode():
            self.channels = tuple(m.shape[1] for m in self.maps(torch.zeros(1, 3, _PROBE, _PROBE)))

    def _keep(self, level: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
            setattr(self._kept, level, output)

        return hook

    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        self.network(pixels)
        return [vars(self._kept).pop(level) for level in self.levels]


@contextmanager
def _probing(name: str) -> Iterator[None]:
    """Names the network where it refuses the image that is pushed through it: what it raises is not ours to choose.

    Raises:
        ConfigError: instead of the network's own error.
    """
    try:
        yield
    except (AssertionError, RuntimeError, ValueError, IndexError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f"{name} takes images of one size only ({why})", remedy="choose another --backbone"
        ) from error


def _stages(network: nn.Module) -> dict[str, nn.Module]:
    """The last module of each stride, in order, among the children of the part that holds the stages."""
    trunk: nn.Module = network
    while True:
        outputs: list[tuple[nn.Module, int]] = []

        def note(module: nn.Module, inputs: Any, output: Any, seen: list[tuple[nn.Module, int]] = outputs) -> None:
            if isinstance(output, torch.Tensor) and output.dim() == 4 and output.shape[-1] > 1:
                seen.append((module, round(_PROBE / output.shape[-1])))

        handles = [child.register_forward_hook(note) for child in trunk.children()]
        training = network.training
        with torch.no_grad():
            network.eval()(torch.zeros(1, 3, _PROBE, _PROBE))
        network.train(training)
        for handle in handles:
            handle.remove()
        stages = {str(stride): module for module, stride in outputs}
        if len(stages) >= 3:
            return stages
        children = [module for module, _ in outputs if any(True for _ in module.children())]
        if not children:
            raise ConfigError("this network has no feature maps of falling size", remedy="choose another --backbone")
        trunk = max(children, key=lambda child: sum(p.numel() for p in child.parameters()))


def _check_levels(levels: Sequence[str], strides: Sequence[str], name: str) -> None:
    known = [*dict.fromkeys(strides), "head"]
    for level in levels:
        if level not in known:
            raise ConfigError(f"{name} has no level {level!r}", remedy=f"choose --levels among {', '.join(known)}")
