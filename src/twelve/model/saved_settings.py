"""The settings in a model's folder."""

from __future__ import annotations

from pathlib import Path

from twelve.errors import ConfigError
from twelve.io import json_file
from twelve.io.hub import inside
from twelve.model.settings import WRITTEN_BY_TRANSFORMERS, Settings, check_library_key, defaults


def settings_of(folder: Path) -> tuple[Settings, str | None]:
    """The settings in a model's folder, and the type that its weights are to have, if it says so. Without transformers,
    unless the file holds keys of it that are not always there.

    Raises:
        CheckpointError, ConfigError: there is no config.json, or it is none that a model can have.
    """
    file = inside(folder, "config.json")
    tree = json_file.read_object(file, remedy="use the file that was saved with the model")
    own = {key: tree.pop(key) for key in list(tree) if key in defaults()}
    if not all(key in WRITTEN_BY_TRANSFORMERS for key in tree):
        from twelve.model.config import TwelveConfig

        config: TwelveConfig = TwelveConfig.from_pretrained(folder)
        return config, None if config.dtype is None else str(config.dtype)
    try:
        for key, value in tree.items():
            check_library_key(key, value)
        kind = tree.get("dtype", tree.get("torch_dtype"))
        return Settings(**own), None if kind is None else str(kind)
    except ConfigError as error:
        raise error.located(file) from None
