"""The head of a model card, which hubs read: https://huggingface.co/docs/hub/model-cards."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

import yaml

from twelve.io.hub import HUB_NAME

if TYPE_CHECKING:
    from twelve.evaluation.results import TaskResult
    from twelve.runs.card_origin import Origin


def metadata(origin: Origin, kinds: Collection[str], synthetic: bool) -> str:
    """The head as YAML: library, licence, tags, and the results as a *model index*.

    Args:
        kinds: of the model's outputs.
        synthetic: whether the model, or its base model, was trained on synthetic data.
    """
    tree: dict[str, Any] = {
        "library_name": "twelve",  # not transformers: its Auto classes do not know the architecture
        "language": "en",
        "license": origin.licence or ("apache-2.0" if origin.drawn else "other"),
        "tags": ["twelve", "vision-and-language", "multi-task", "vilbert"],
    }
    if "answer" in kinds:
        tree["pipeline_tag"] = "visual-question-answering"
    if synthetic:
        tree["tags"].append("synthetic-data")
    if origin.results:
        name = origin.source.removeprefix(HUB_NAME)
        tree["model-index"] = [{"name": name, "results": [_indexed(each, origin) for each in origin.results]}]
    return yaml.safe_dump(tree, sort_keys=False, allow_unicode=True, width=100)


def _indexed(result: TaskResult, origin: Origin) -> dict[str, Any]:
    value = round(float(result.score.mean), 2)  # an own task's metric may be a numpy number
    return {
        "task": {"type": result.task, "name": result.title},
        "dataset": {
            "type": f"{result.task}-synthetic" if origin.drawn else result.task,
            "name": f"{result.title} (synthetic stand-in)" if origin.drawn else result.title,
            "split": result.protocol.split,
        },
        "metrics": [{"type": result.metric, "name": result.metric, "value": value, "verified": False}],
    }
