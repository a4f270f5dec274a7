"""Which tasks of a model were trained on synthetic images alone, and what to tell people about that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from twelve.errors import RegionError
from twelve.regions.recipe import Recipe
from twelve.tasks.base import all_tasks

if TYPE_CHECKING:
    from twelve.model.processor import TwelveProcessor

BACKBONE = "microworld"


def note_for(processor: TwelveProcessor, titles: Mapping[str, str]) -> str | None:
    """A sentence for users of a model whose images, apart from those of the user's own tasks, were all synthetic;
    otherwise None.

    Args:
        titles: task -> its readable name.
    """
    if not (synthetic := synthetic_tasks(processor)):
        return None
    own = [named(name, titles) for name in processor.task_outputs if name not in synthetic]
    if own and synthetic.issubset(processor.left_out):  # they are of an earlier training
        first = "This model was first trained on synthetic images only, not on photographs"
        return f"{first}; then on {', '.join(reversed(own))}."  # the last run's are the first ones
    if own:
        return f"Apart from {', '.join(own)}, this model was trained on synthetic images only, not on photographs."
    return "This model was trained on synthetic images only, not on photographs."


def named(task: str, titles: Mapping[str, str]) -> str:
    """The title of a task; in quotation marks if it is a user's, which may be any word."""
    return titles[task] if task in all_tasks() else f"“{titles[task]}”"


def synthetic_tasks(processor: TwelveProcessor) -> set[str]:
    """The tasks whose data are a microworld's stand-ins of a dataset. A task of one's own is never one of them: only
    its author knows what its images are, whichever network extracted their regions."""
    found, known = drawn(processor), all_tasks()
    return {name for name in processor.task_outputs if name in known} if found and all(found) else set()


def own_tasks(processor: TwelveProcessor) -> list[str]:
    """The tasks that the program does not know: those of the runs that trained the model, the last one's first."""
    known = all_tasks()
    return [name for name in processor.task_outputs if name not in known]


def drawn(processor: TwelveProcessor) -> list[bool]:
    """For each source of training images, whether it is a microworld; empty if unknown."""
    try:
        recipes = [Recipe.from_json(recipe) for recipe in processor.region_recipes.values()]
    except RegionError:
        return []
    return [recipe.config.backbone == BACKBONE for recipe in recipes]
