"""A saved model and its processor, opened together: they must be of one another."""

from __future__ import annotations

from pathlib import Path

from twelve.model.config import TwelveConfig
from twelve.model.processor import TwelveProcessor, check_fit
from twelve.model.sources import resolve
from twelve.model.vilbert import Twelve


def open_saved(name: str | Path) -> tuple[Twelve, TwelveProcessor]:
    """What ``save_pretrained`` of both wrote into a folder (or a hub repository), compared before anything large is
    built.

    Raises:
        CheckpointError, ConfigError: a file is missing or damaged, or they do not belong together.
    """
    folder = resolve(name, "*.json", "*.safetensors")
    config = TwelveConfig.from_pretrained(folder)
    processor = TwelveProcessor.from_pretrained(folder)
    check_fit(processor, config, folder)
    return Twelve.from_pretrained(folder, config=config), processor
