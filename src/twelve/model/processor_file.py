"""processor_config.json, the file of a processor: every value is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from twelve.errors import CheckpointError, RegionError, nearest
from twelve.io.json_file import read_object
from twelve.model import familiarity, known_words
from twelve.model.familiarity import Familiarity
from twelve.model.known_words import KnownWords
from twelve.regions.recipe import Recipe
from twelve.regions.sizes import WINDOWS
from twelve.types import trained_images
from twelve.types.trained_images import TrainedImages

SAVED = "use the file saved with the model"
CONFIG_FILE = "processor_config.json"
TASK_TOKENS = ("dataset", "head", "none")
"""Which tasks share a task token: none, those of one head, or there are no task tokens."""
_OPTIONAL = (
    "processor_class",
    "familiar",
    "known_words",
    "own_words",
    "own_texts",
    "own_answers",
    "same_cut",
    "likely",
    "task_tokens",
    "left_out",
    "trained_images",
)


def read_fields(file: Path) -> dict[str, Any]:
    """The arguments of a processor, without its tokenizer.

    Raises:
        CheckpointError: the file is missing, a key unknown, a value of the wrong type.
    """
    tree = read_object(file, remedy=SAVED)
    for key in tree:
        if key not in _FIELDS and key not in _OPTIONAL:
            raise CheckpointError(
                f"unknown key {key!r}{nearest(key, _FIELDS)}", file=file, remedy="remove it or correct its name"
            )
    for key, (right, wanted) in _FIELDS.items():
        if key not in tree or not right(tree[key]):
            problem = f"{key} must be {wanted}" if key in tree else f"{key} is missing"
            raise CheckpointError(problem, file=file, remedy=SAVED)
    if (task_tokens := tree.get("task_tokens", "dataset")) not in TASK_TOKENS:
        raise CheckpointError(f"task_tokens must be one of {', '.join(TASK_TOKENS)}", file=file, remedy=SAVED)
    if not _mapping(_share)(likely := tree.get("likely", {})):
        raise CheckpointError("likely must be a mapping of tasks to numbers from 0 to 1", file=file, remedy=SAVED)
    if not familiarity.sound(tree.get("familiar")):
        raise CheckpointError("familiar must hold statistics of regions", file=file, remedy=SAVED)
    if not known_words.sound(tree.get("known_words")):
        raise CheckpointError("known_words must hold words of training texts", file=file, remedy=SAVED)
    if not _mapping(_string)(own := tree.get("own_words", {})) or not own.keys() <= tree["task_outputs"].keys():
        raise CheckpointError("own_words must be a mapping of tasks of the model to words", file=file, remedy=SAVED)
    if not _mapping(_strings)(texts := tree.get("own_texts", {})) or not texts.keys() <= tree["task_outputs"].keys():
        raise CheckpointError("own_texts must be a mapping of tasks of the model to texts", file=file, remedy=SAVED)
    answers = tree.get("own_answers", {})
    if not _mapping(_strings)(answers) or not answers.keys() <= tree["task_outputs"].keys():
        raise CheckpointError("own_answers must be a mapping of tasks of the model to answers", file=file, remedy=SAVED)
    for key in (lists := ("left_out", "same_cut")):
        if not _strings(tasks := tree.get(key, [])) or not set(tasks) <= set(tree["task_outputs"]):
            raise CheckpointError(f"{key} must be a list of tasks of the model", file=file, remedy=SAVED)
    if not trained_images.sound(images := tree.get("trained_images")):
        raise CheckpointError("trained_images must hold digests of training images", file=file, remedy=SAVED)
    words = KnownWords.from_tree(tree["known_words"]) if tree.get("known_words") is not None else None
    familiar = Familiarity.from_tree(tree["familiar"]) if tree.get("familiar") is not None else None
    for source, recipe in tree["region_recipes"].items():
        try:
            mark = Recipe.from_json(recipe).fingerprint
            if mark != (known := tree["region_fingerprints"].get(source)):
                raise RegionError(f"expected fingerprint {known}, as in region_fingerprints, found {mark}")
        except RegionError as error:
            raise CheckpointError(error.problem, file=file, record=f"region_recipes.{source}", remedy=SAVED) from None
    optional = {"likely": likely, "familiar": familiar, "known_words": words, "task_tokens": task_tokens}
    optional |= {"own_words": {task: text.split() for task, text in own.items()}, "own_texts": texts}
    optional["own_answers"] = answers
    optional |= {key: tree.get(key, []) for key in lists}
    optional["trained_images"] = None if images is None else TrainedImages.from_tree(images)
    return {key: tree[key] for key in _FIELDS} | optional


def recipes_of(folder: Path) -> dict[str, str]:
    """Image source -> how the regions of the model in a folder were made (:class:`twelve.regions.recipe.Recipe`).

    Raises:
        CheckpointError: see :func:`read_fields`.
    """
    recipes: dict[str, str] = read_fields(folder / CONFIG_FILE)["region_recipes"]
    return recipes


def _mapping(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(isinstance(key, str) and of(value[key]) for key in value)


def _string(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _temperature(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1e-4 <= value <= 1e4


def _share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "max_regions": (lambda value: _count(value) and 0 < value <= WINDOWS, f"an integer from 1 to {WINDOWS}"),
    "token_rows": (_mapping(_count), "a mapping of tasks to rows"),
    "task_outputs": (_mapping(_string), "a mapping of tasks to output keys"),
    "max_text": (_mapping(_count), "a mapping of tasks to numbers of word pieces"),
    "region_fingerprints": (_mapping(_string), "a mapping of image sources to fingerprints"),
    "region_recipes": (_mapping(_string), "a mapping of image sources to recipes"),
    "temperatures": (_mapping(_temperature), "a mapping of tasks to numbers from 0.0001 to 10000"),
    "vocabularies": (_mapping(_strings), "a mapping of output keys to lists of labels"),
}
