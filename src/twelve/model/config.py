"""The model's settings as a transformers configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from transformers import AutoConfig, PretrainedConfig

from twelve.errors import ConfigError
from twelve.io import json_file
from twelve.io.hub import HUB, inside, resolve
from twelve.model.settings import (
    WRITTEN_BY_TRANSFORMERS,
    Settings,
    check_library_key,
    defaults,
    unknown_setting,
)
from twelve.run_folder import saved_in


class TwelveConfig(Settings, PretrainedConfig):  # type: ignore[no-untyped-call, misc, unused-ignore]
    """The model's configuration: :class:`twelve.model.settings.Settings` with transformers' methods."""

    model_type: ClassVar[str] = "twelve"

    def __init__(self, **settings: Any) -> None:
        given = {key: settings.pop(key) for key in list(settings) if key in defaults()}
        _refuse_unknown(settings)
        PretrainedConfig.__init__(self, **settings)
        self._take(given)

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: str | os.PathLike[Any], **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read config.json, and no other file that it may name, for the library's ``from_pretrained``."""
        hub = {key: kwargs.pop(key) for key in HUB if key in kwargs}
        file = Path(pretrained_model_name_or_path)
        if not file.is_file():
            folder = saved_in(resolve(file, "config.json", **hub) / kwargs.pop("subfolder", ""))
            file = inside(folder, "config.json")
        tree = json_file.read_object(file, remedy="use the file saved with the model")
        try:
            cls(**tree)  # so that errors name the file
        except ConfigError as error:
            raise error.located(file) from None
        return tree, kwargs


def _refuse_unknown(settings: Mapping[str, Any]) -> None:
    """Accept the library's keys that it writes itself, and its other keys only at their defaults."""
    library = PretrainedConfig().to_dict()
    for key, value in settings.items():
        if key in WRITTEN_BY_TRANSFORMERS:
            check_library_key(key, value)
            continue
        if key in library and library[key] in (value, _numbered(value)):
            continue
        raise unknown_setting(key, value)


def _numbered(value: Any) -> Any:
    """Restore integer keys of label maps, which JSON writes as strings."""
    if isinstance(value, Mapping) and all(isinstance(key, str) and key.isdigit() for key in value):
        return {int(key): item for key, item in value.items()}
    return value


AutoConfig.register("twelve", TwelveConfig, exist_ok=True)
