"""Where a result comes from: the machine, the code, and the files that were read."""

from __future__ import annotations

import os
import platform
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from twelve.data.examples.store import checksum
from twelve.data.prepare import Prepared, sources_of
from twelve.progress import Track
from twelve.settings import RunConfig
from twelve.tasks.base import tasks_of
from twelve.version import __version__


def machine() -> dict[str, Any]:
    """The machine, and the versions of the software."""
    processor = platform.processor()
    if os.path.exists("/proc/cpuinfo"):
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.split(":", 1)[1].strip() for line in stream if line.startswith("model name")]
        processor = names[0] if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "twelve": __version__,
        "commit": commit(Path(__file__).parents[3]),
    }


def commit(checkout: Path) -> str | None:
    """The git commit of the code, followed by ``+`` if files have changed since; None without a checkout or git."""
    if not (checkout / ".git").exists() or not (checkout / "src" / "twelve" / "__init__.py").is_file():
        return None
    try:
        head, changes = (
            subprocess.run(
                ["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=10, check=True
            ).stdout.strip()
            for arguments in (("rev-parse", "HEAD"), ("status", "--porcelain", "--untracked-files=no"))
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return head + ("+" if changes else "")


def official_files(config: RunConfig, data: Prepared) -> list[Path]:
    """Every file of the data root that the run reads: for training, validation and test, and to hold out images."""
    read = [
        (task.task, split)
        for task in data.tasks.values()
        for split in (task.settings.train or task.task.train_split, task.settings.val_split, task.test_split)
        if split is not None
    ]
    for task in tasks_of(data.root).values():
        read += [(task, split) for role in config.hold_out.split("+") for split in task.held_out_splits.get(role, ())]
    paths = (path for task, split in read for path in task.input_files(data.root, split))
    return sorted({path for path in paths if path.is_file()})


def fingerprints(config: RunConfig, data: Prepared) -> dict[str, Any]:
    """``files``: path in the data root -> its size and SHA-256; ``regions``: image source -> the fingerprint of the
    extractor that made its regions."""
    paths = official_files(config, data)
    with (
        ThreadPoolExecutor(min(len(paths), os.cpu_count() or 1) or 1) as pool,
        Track("hashing official files", len(paths), "files") as track,
    ):
        files = {}
        for path, found in zip(paths, pool.map(checksum, paths), strict=True):
            name = os.path.relpath(path, data.root.path)
            files[Path(name).as_posix()] = {"bytes": path.stat().st_size, "sha256": found}
            track.advance()
    return {"files": files, "regions": {source: data.store.fingerprint(source) for source in sources_of(data)}}
