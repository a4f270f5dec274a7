"""Vision towers of transformers: the patch tokens of ViT, CLIP, SigLIP, DINOv2 and their like.

A folder that ``save_pretrained`` wrote, ``package:MODULE`` or a hub name is weights and network in one. Of a model
that also reads text only the vision part is kept; tokens in front of the patches (class, registers) are dropped.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import nn

from twelve.errors import ConfigError, RegionError
from twelve.io.hub import resolve
from twelve.regions.detectors import weights as weight_files
from twelve.regions.detectors.backbones import Backbone
from twelve.regions.sizes import FixedSize, InputSize

NAME = "transformers"
"""``--backbone`` of all of them; ``--weights`` says which."""

FILES = ("config.json", "preprocessor_config.json", "processor_config.json", "*.safetensors", "*.index.json")
"""What is fetched of a hub repository."""
_OTHER = "name a vision transformer's folder, package:MODULE or hub name as --weights, such as facebook/dinov2-small"


class TowerBackbone(Backbone):
    """A vision transformer of transformers; its one level are its last hidden states, laid out as the patches lie.

    Args:
        network: takes ``pixel_values``.
        patch: pixels of a patch's side.
        processor: the model's own image processor, for mean, deviation, size and resampling. What it would crop away
            is kept: images are squashed to its size.
    """

    def __init__(self, network: nn.Module, name: str, patch: int, processor: Any) -> None:
        super().__init__(name, ("head",), processor.image_mean, processor.image_std)
        self.network, self.multiple = network, patch
        self.resample = Image.Resampling(processor.resample)
        self.input_size = _size(processor)
        self._any_size = "interpolate_pos_encoding" in inspect.signature(network.forward).parameters
        with torch.inference_mode():
            # As wide as twice its height, so that a map laid out the wrong way round is noticed.
            (found,) = self.maps(torch.zeros(1, 3, 2 * patch, 4 * patch))
        self.channels = (found.shape[1],)

    def maps(self, pixels: torch.Tensor) -> list[torch.Tensor]:
        rows, columns = (side // self.multiple for side in pixels.shape[2:])
        more = {"interpolate_pos_encoding": True} if self._any_size else {}
        hidden: torch.Tensor = self.network(pixel_values=pixels, **more).last_hidden_state
        if hidden.dim() != 3 or hidden.shape[1] < rows * columns:
            raise ConfigError(f"{self.name} has no token for every patch", remedy=_OTHER)
        tokens = hidden[:, hidden.shape[1] - rows * columns :]
        return [tokens.transpose(1, 2).reshape(len(tokens), -1, rows, columns)]


def build(weights: str | None, levels: Sequence[str] | None = None) -> TowerBackbone:
    """The vision tower in a folder, package or hub repository, in evaluation mode.

    Raises:
        ConfigError: none is named, it is no vision transformer, or it has no such level.
        RegionError: it is not there, damaged or incomplete.
    """
    if not weights or weights in ("pretrained", "random"):
        raise ConfigError(
            f"--backbone {NAME} wants to know which network",
            remedy=_OTHER,
        )
    if levels is not None and list(levels) != ["head"]:
        raise ConfigError(f"{NAME} has no level {levels[0]!r}", remedy="leave --levels out")
    folder = resolve(weights, *FILES, error=RegionError)
    network, processor = _load(str(folder))
    config: Any = network.config
    patch = getattr(config, "patch_size", None)
    if not isinstance(patch, int) or not getattr(processor, "image_mean", None):
        raise ConfigError(f"{config.model_type} is no vision transformer", file=folder, remedy=_OTHER)
    network.eval().requires_grad_(False)
    try:
        backbone = TowerBackbone(network, f"{NAME}/{config.model_type}", patch, processor)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(
            f"{config.model_type} does not take images alone ({why})", file=folder, remedy=_OTHER
        ) from error
    backbone.weights_hash = weight_files.content_hash(network)
    return backbone.eval()


def _load(folder: str) -> tuple[nn.Module, Any]:
    """The vision part and the image processor."""
    from transformers import AutoImageProcessor, AutoModel
    from transformers.utils import logging

    reports: Any = logging
    before, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    reports.set_verbosity_error()  # what is missing is said below, in one line
    reports.disable_progress_bar()
    try:
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)  # type: ignore[no-untyped-call]
        network, found = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # a damaged or foreign folder makes the library raise nearly anything
        why = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise RegionError(
            f"cannot be read as a model of transformers ({why})",
            file=folder,
            remedy="name a folder with config.json, preprocessor_config.json and model.safetensors",
        ) from error
    finally:
        reports.set_verbosity(before)
        if bars:
            reports.enable_progress_bar()
    vision: nn.Module = getattr(network, "vision_model", network)
    needed = {f"vision_model.{name}" if vision is not network else name for name in vision.state_dict()}
    lacking = sorted(name for name in needed & set(found["missing_keys"]) if "pooler" not in name)
    if lacking:
        raise RegionError(
            f"{len(lacking)} tensors are missing: {', '.join(lacking[:3])}",
            file=folder,
            remedy="name a folder that was saved whole",
        )
    return vision, processor


def _size(processor: Any) -> FixedSize | InputSize:
    """The size that a processor hands to its network."""
    for size in (getattr(processor, "crop_size", None), processor.size):
        if size is not None and size["height"]:
            return FixedSize(size["width"], size["height"])
    short = processor.size["shortest_edge"]
    return FixedSize(short, short) if short else InputSize()
