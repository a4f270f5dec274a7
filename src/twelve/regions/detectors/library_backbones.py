"""Backbones by name: any convolutional network of torchvision or timm, and timm's vision transformers."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from twelve.errors import ConfigError, nearest
from twelve.extras import install
from twelve.regions.detectors import shipped_detector
from twelve.regions.detectors import weights as weight_files
from twelve.regions.detectors.backbone import Backbone
from twelve.regions.extractor_config import ExtractorConfig

_PROBE = 96
"""Side of the image that is run through a network to find its strides, in pixels."""


class TimmBackbone(Backbone):
    """A network of timm, read through its ``forward_intermediates``."""

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
        # Token networks end in a sequence, some others in channels-last maps: then the last intermediate is the map.
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
        # All classification weights of torchvision use this preprocessing.
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
    """Turn whatever a network raises for the probe image into a ConfigError that names the network."""
    try:
        yield
    except (AssertionError, RuntimeError, ValueError, IndexError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f"{name} takes images of one size only ({why})", remedy="choose another --backbone"
        ) from error


def _stages(network: nn.Module) -> dict[str, nn.Module]:
    """The last module of each stride, in order, among the children of the part that contains the stages."""
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


def build(config: ExtractorConfig, *, seed: int = 0, others: Sequence[str] = ()) -> Backbone:
    """Build the network ``config.backbone`` in evaluation mode.

    The name is ``timm/NAME``, ``torchvision/NAME``, or a bare name (torchvision's if both libraries know it).

    Args:
        seed: for ``random`` weights.
        others: names of this package's own networks, to suggest for an unknown name.

    Raises:
        ConfigError: there is no such network or level, or no weights are given.
        RegionError: the weights are damaged or belong to another network.
    """
    library, name = _library(config.backbone, others)
    weights = weight_files.required(config.weights)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, cfg = _create(library, name, pretrained=weights == "pretrained")
    if weights not in ("pretrained", "random"):
        path = weight_files.resolve(weights)
        weight_files.fit(network, weight_files.read(path), path)
    network.eval().requires_grad_(False)
    content = weight_files.content_hash(network)
    if library == "timm":
        backbone: Backbone = TimmBackbone(network, f"timm/{name}", config.map_levels, cfg)
    else:
        backbone = TorchvisionBackbone(network, f"torchvision/{name}", config.map_levels)
    backbone.weights_hash = content
    backbone.configure(config.input_size, patches=config.patches)
    return backbone.fold()


def _library(name: str, more: Sequence[str]) -> tuple[str, str]:
    """The library that a name belongs to, and the name in that library."""
    import torchvision

    own = torchvision.models.list_models(module=torchvision.models)
    try:
        import timm

        others = timm.list_models()
    except ImportError:
        others = []
    library, _, rest = name.rpartition("/")
    plain = rest.split(".")[0]  # timm's names may end in a tag of the weights
    if rest in own and library in ("", "torchvision"):
        return "torchvision", rest
    if plain in others and library in ("", "timm"):
        return "timm", rest
    shipped = shipped_detector.shipped()
    if not others:
        raise ConfigError(
            f"{name!r} is not a backbone of torchvision, and timm, which has many more, is not installed",
            remedy=f"{install('timm')}, or choose one of torchvision, or {' or '.join(shipped)}",
        )
    known = [*more, *torchvision.models.list_models(module=torchvision.models.detection), *own, *others]
    raise ConfigError(
        f"unknown backbone {name!r}{nearest(plain, known)}",
        remedy=f"give the name of a torchvision or timm network, or {' or '.join(shipped)}",
    )


def _create(library: str, name: str, *, pretrained: bool) -> tuple[nn.Module, dict[str, Any]]:
    try:
        if library == "torchvision":
            import torchvision

            return torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None), {}
        import timm

        try:  # vision transformers accept other image sizes only with this option, which other networks do not know
            network = timm.create_model(name, pretrained=pretrained, dynamic_img_size=True)
        except TypeError:
            network = timm.create_model(name, pretrained=pretrained)
    except OSError as error:
        raise weight_files.no_download(name, error) from error
    if not hasattr(network, "forward_intermediates"):
        raise ConfigError(f"timm network {name} gives no feature maps", remedy="choose another --backbone")
    cfg: Any = network.pretrained_cfg
    return network, dict(cfg)
