"""What ``twelve regions info`` says about a model: the regions that it was trained on, and how others like them are
made. Reads one file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from twelve.errors import one_line
from twelve.model.processor_file import CONFIG_FILE, read_fields
from twelve.regions.recipe import Recipe
from twelve.run_folder import RunFolder, saved_in

OUT = "DATA/regions"
"""Stands for the region store in commands."""


@dataclass(frozen=True, slots=True)
class TrainedRegions:
    """Regions of one kind that a model was trained on.

    Attributes:
        path: the model.
        sources: of the images.
        fingerprint: of the features.
        name: the network, as ``--backbone`` takes it; None for imported regions.
        command: what extracts such regions; None for imported ones.
    """

    path: str
    sources: tuple[str, ...]
    fingerprint: str
    name: str | None = None
    command: str | None = None

    def __str__(self) -> str:
        of = f"{', '.join(self.sources)}: extractor {self.fingerprint}"
        lines = [f"{self.path}: a model, trained on regions of {of}", f"name: {self.name or 'not recorded'}"]
        how = "the regions were imported" if self.command is None else f"regions like these: {self.command}"
        return "\n  ".join(map(one_line, [*lines, how]))

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self)


def trained_regions(path: Path) -> list[TrainedRegions]:
    """The kinds of regions that the model at ``path`` was trained on; none if that is no folder of a model or a run.

    Raises:
        CheckpointError: the run has no model, or the model's file is damaged.
    """
    if not (path / CONFIG_FILE).is_file() and not RunFolder(path).config.is_file():
        return []
    known = read_fields(saved_in(path) / CONFIG_FILE)
    recipes: dict[str, str] = known["region_recipes"]
    kinds: dict[tuple[str, str | None], list[str]] = {}
    for source, fingerprint in known["region_fingerprints"].items():
        kinds.setdefault((fingerprint, recipes.get(source)), []).append(source)
    return [_kind(path, sources, *kind) for kind, sources in kinds.items()]


def _kind(path: Path, sources: list[str], fingerprint: str, recipe: str | None) -> TrainedRegions:
    if recipe is None:
        return TrainedRegions(str(path), tuple(sources), fingerprint)
    from twelve.regions.extract_command import extract_command  # imports torch, which a mistake need not wait for

    made = Recipe.from_json(recipe)
    command = extract_command(made, sources[0], OUT)
    return TrainedRegions(str(path), tuple(sources), fingerprint, made.config.backbone, command)
