"""What ``twelve regions`` is asked: what is misspelt is refused before anything heavy is imported."""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from twelve.config import load
from twelve.device import check_usable
from twelve.errors import ConfigError, RegionError, nearest
from twelve.formats.data_root import DataRoot
from twelve.io.files import check_folder, is_there
from twelve.io.image_suffixes import images_in
from twelve.regions.extraction.shards import shard_of
from twelve.regions.extractor_config import DETECT, GRID, PATCHES
from twelve.regions.sizes import WINDOWS, grid_numbers
from twelve.tasks.base import get
from twelve.tasks.custom import own_tasks

PREFIX = "given:"
"""``--boxes given:TASK``."""
DTYPES = ("float16", "bfloat16")
"""Of stored features."""
WEIGHT_FILES = (".safetensors", ".pth", ".pt", ".bin")
"""How files of weights end: what ends so is a path, not the name of a package or of published weights."""
OWN = ("x152", "microworld", "microworld-apart", "transformers")
"""Values of ``--backbone`` that are no network of torchvision or timm."""
_NETWORK = re.compile(r"@register_model\b.*?\ndef (\w+)", re.DOTALL)
_DEPTHS = ("*.arrow", "*/*.arrow", "*/given/*.arrow")
"""Of a source, of a store, and of the boxes given in it (a source's own are at the second depth)."""


def check_extract(
    images: Sequence[Path],
    boxes: Sequence[str],
    out: Path,
    *,
    backbone: str,
    weights: str | None,
    dtype: str,
    shard: str | None,
    device: str,
    data: Path | None,
    config: str | None,
) -> DataRoot | None:
    """Check the folders, files and words of an extraction; the arguments are those of the command.

    Returns:
        The data root with the configuration's own tasks; None without ``data``.

    Raises:
        ConfigError, DataError, RegionError: names the option.
    """
    check_images(images)
    tasks = [one.removeprefix(PREFIX) for one in boxes if one.startswith(PREFIX)]
    if asked := [one for one in boxes if not one.startswith(PREFIX)]:
        check_boxes(asked)
    if dtype not in DTYPES:
        raise ConfigError(f"no dtype {dtype!r}{nearest(dtype, DTYPES)}", remedy=f"choose {' or '.join(DTYPES)}")
    shard_of(shard)
    check_usable(device)
    check_backbone(backbone)
    check_weights(weights)
    own = own_tasks(load(config).tasks) if config is not None else {}
    for task in tasks:
        get(task, own)
    root = None if data is None else DataRoot(data, own_tasks=own)
    check_folder(out)
    return root


def check_images(folders: Sequence[Path]) -> None:
    """Raise InputError for a folder of images that is missing or has none."""
    for folder in folders:
        images_in(folder)


def check_boxes(given: Sequence[str]) -> None:
    """Raise ConfigError for boxes that are neither files nor a word of ``--boxes``, or a grid that makes no sense."""
    if len(given) == 1 and given[0] in (DETECT, PATCHES):
        return
    if len(given) == 1 and (given[0] == GRID or given[0].startswith(f"{GRID}:")):
        if grid_numbers(given[0]) is None:
            remedy = f"write grid:SIZE, grid:SIZE/STEP or grid:ROWSxCOLUMNS (at most {WINDOWS:,} windows)"
            raise ConfigError(f"--boxes {given[0]}", remedy=remedy)
        return
    for path in given:
        if Path(path).exists():
            continue
        if {"/", "\\", "."} & set(path):
            raise RegionError("no such file", file=path, remedy="check --boxes")
        known = nearest(path.partition(":")[0], (GRID, PATCHES, DETECT, "given"))
        problem = f"--boxes {path} is neither a file nor one of its words{known}"
        raise ConfigError(problem, remedy="give a region file, grid:SIZE, patches, detect or given:TASK")


def check_backbone(name: str) -> None:
    """Raise ConfigError for a network that nobody has.

    The libraries' names are looked for in their sources, which are read much faster than imported. A name that occurs
    there may still be no network's; that is said once they are imported.
    """
    plain = name.rpartition("/")[2].split(".")[0]  # timm's names may end in a tag of the weights
    sources = [_sources(library) for library in ("torchvision", "timm")]
    if name in OWN or not plain or not all(sources) or re.search(rf"\b{re.escape(plain)}\b", "\n".join(sources)):
        return
    known = [*OWN, *(network for text in sources for network in _NETWORK.findall(text))]
    raise ConfigError(
        f"unknown backbone {name!r}{nearest(plain, known)}",
        remedy=f"give {', '.join(OWN)}, or the name of a torchvision or timm network",
    )


def _sources(library: str) -> str:
    """The sources of a library's networks; empty where it is not installed as such files."""
    found = find_spec(library)
    folders = () if found is None else found.submodule_search_locations or ()
    files = (file for folder in folders for file in sorted(Path(folder, "models").rglob("*.py")))
    return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)


def check_weights(weights: str | None) -> None:
    """Raise RegionError for a file of weights that is not there."""
    is_path = weights is not None and (weights.startswith((".", "/", "~")) or weights.endswith(WEIGHT_FILES))
    if weights is not None and is_path and not Path(weights).expanduser().exists():
        raise RegionError("no such weight file", file=weights, remedy="check --weights")


def check_there(paths: Sequence[Path]) -> None:
    """Raise RegionError for a file or folder that is not there."""
    for path in paths:
        if not path.exists():
            raise RegionError("no such file", file=path, remedy="check the path")


def region_files(path: Path) -> list[Path]:
    """Every region file at ``path``: a file, a source's folder or a store.

    Raises:
        RegionError: there is none.
    """
    if not path.is_dir() and is_there(path, RegionError):
        return [path]
    files = [file for depth in _DEPTHS for file in sorted(path.glob(depth))]
    if not files:
        problem = "no region files here" if path.exists() else "no such file or folder"
        raise RegionError(problem, file=path, remedy="make some: twelve regions extract --help")
    return files
