"""Loading a saved model together with its processor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from twelve.errors import found_in
from twelve.io.hub import resolve
from twelve.model.fit import check_fit
from twelve.model.network import Network, load_network, settings_of
from twelve.model.processor import TwelveProcessor
from twelve.model.settings import Settings
from twelve.outputs import check_kinds
from twelve.run_folder import saved_in

if TYPE_CHECKING:
    from twelve.model.vilbert import Twelve

_FILES = ("*.json", "*.safetensors")


def open_saved(name: str | Path) -> tuple[Twelve, TwelveProcessor]:
    """Load a model and its processor from a folder (or hub repository) written by ``save_pretrained``. Compares the two
    before building anything large.

    Raises:
        CheckpointError, ConfigError: a file is missing or damaged, or the files do not match.
    """
    from twelve.model.config import TwelveConfig
    from twelve.model.vilbert import Twelve

    folder = saved_in(resolve(name, *_FILES))
    config: TwelveConfig = TwelveConfig.from_pretrained(folder)
    processor = _fitting(folder, config)
    return Twelve.from_pretrained(folder, config=config), processor


def open_network(name: str | Path) -> tuple[Network, TwelveProcessor]:
    """:func:`open_saved` without transformers, whose import takes seconds.

    Raises:
        CheckpointError, ConfigError: as :func:`open_saved`.
    """
    folder = saved_in(resolve(name, *_FILES))
    settings, kind = settings_of(folder)
    processor = _fitting(folder, settings)
    return load_network(folder, (settings, kind)), processor


def _fitting(folder: Path, settings: Settings) -> TwelveProcessor:
    settings.name_or_path = str(folder)  # for later error messages
    check_kinds(folder)
    processor = TwelveProcessor.from_pretrained(folder)
    with found_in(folder / "config.json"):
        check_fit(processor, settings, folder)
    if not settings.task_specific_tokens:
        processor.use_task_tokens("none")
    return processor
