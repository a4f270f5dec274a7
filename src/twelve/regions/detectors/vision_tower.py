"""Vision towers of transformers: the patch tokens of ViT, CLIP, SigLIP, DINOv2 and similar models.

A folder written by ``save_pretrained``, ``package:MODULE`` or a hub name gives both network and weights. Of a model
that also reads text, only the vision part is kept. Tokens before the patches (class, registers) are dropped.
"""

from __future__ import annotations

import inspect
from typing import Any

import torch
from PIL import Image
from torch import nn

from twelve.errors import ConfigError, RegionError
from twelve.io.hub import resolve
from twelve.progress import counted
from twelve.regions.detectors import weights as weight_files
from twelve.regions.detectors.backbone import Backbone
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.sizes import FixedSize, InputSize

NAME = "transformers"
"""``--backbone`` of every vision tower; ``--weights`` names the tower."""

FILES = ("config.json", "preprocessor_config.json", "processor_config.json", "*.safetensors", "*.index.json")
"""Files that are downloaded from a hub repository."""
_OTHER = "name a vision transformer's folder, package:MODULE or hub name as --weights, such as facebook/dinov2-small"


class VisionTower(Backbone):
    """A vision transformer of transformers. Its one level is the map of its last hidden states.

    Args:
        network: takes ``pixel_values``.
        patch: side of a patch, in pixels.
        processor: the model's image processor; gives mean, standard deviation, size and resampling. Images are resized
            to its size without cropping.
    """

    def __init__(self, network: nn.Module, name: str, patch: int, processor: Any) -> None:
        super().__init__(name, ("head",), processor.image_mean, processor.image_std)
        self.network, self.multiple = network, patch
        self.resample = Image.Resampling(processor.resample)
        self.input_size = _size(processor)
        self._any_size = "interpolate_pos_encoding" in inspect.signature(network.forward).parameters
        with torch.inference_mode():
            # Twice as wide as high, so that a transposed map is noticed.
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


def build(config: ExtractorConfig) -> VisionTower:
    """Build the vision tower in the folder, package or hub repository ``config.weights``, in evaluation mode.

    Raises:
        ConfigError: none is named, it is not a vision transformer, or it has no such level.
        RegionError: the files are missing, damaged or incomplete.
    """
    if not config.weights or config.weights in ("pretrained", "random"):
        raise ConfigError(f"--backbone {NAME} needs the name of a network", remedy=_OTHER)
    if config.map_levels not in (None, ("head",)):
        raise ConfigError(f"{NAME} has no level {config.map_levels[0]!r}", remedy="leave --levels out")
    folder = resolve(config.weights, *FILES, error=RegionError)
    network, processor = _load(str(folder))
    kind: Any = network.config
    patch = getattr(kind, "patch_size", None)
    if not isinstance(patch, int) or not getattr(processor, "image_mean", None):
        raise ConfigError(f"{kind.model_type} is not a vision transformer", file=folder, remedy=_OTHER)
    network.eval().requires_grad_(False)
    try:
        tower = VisionTower(network, f"{NAME}/{kind.model_type}", patch, processor)
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise ConfigError(f"{kind.model_type} needs more than images ({why})", file=folder, remedy=_OTHER) from error
    tower.weights_hash = weight_files.content_hash(network)
    tower.configure(config.input_size, patches=config.patches)
    return tower.eval()


def _load(folder: str) -> tuple[nn.Module, Any]:
    """The vision part of a model, and its image processor."""
    from transformers import AutoImageProcessor, AutoModel
    from transformers.utils import logging

    reports: Any = logging
    before, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    reports.set_verbosity_error()  # missing tensors are reported below, in one line
    reports.disable_progress_bar()
    try:
        processor = AutoImageProcessor.from_pretrained(folder, local_files_only=True)  # type: ignore[no-untyped-call]
        network, found = AutoModel.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32, output_loading_info=True
        )
    except Exception as error:  # for a damaged folder the library raises nearly anything
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
            f"{counted(len(lacking), 'tensor', 'are')} missing: {', '.join(lacking[:3])}",
            file=folder,
            remedy="name a folder that was saved completely",
        )
    return vision, processor


def _size(processor: Any) -> FixedSize | InputSize:
    """The size at which a processor passes images to its network."""
    for size in (getattr(processor, "crop_size", None), processor.size):
        if size is not None and size["height"]:
            return FixedSize(size["width"], size["height"])
    short = processor.size["shortest_edge"]
    return FixedSize(short, short) if short else InputSize()
