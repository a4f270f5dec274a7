"""The model card: README.md beside every saved model, made from what is known about it and nothing else.

Model cards are "Model Cards for Model Reporting" (Mitchell et al. 2019); the head is what model hubs read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twelve import __version__, files
from twelve.model.config import TwelveConfig
from twelve.model.processor import TwelveProcessor
from twelve.tasks.base import all_tasks

if TYPE_CHECKING:
    from twelve.evaluation.evaluate import Result

FILE = "README.md"

_HEAD = """---
library_name: transformers
tags: [vision-and-language, multi-task, vilbert, visual-question-answering]
---

# A vision-and-language model for {count} tasks

{origin}
"""
_USE = """
## Use

```python
import twelve

model = twelve.load("{folder}")
scene = model.look("photograph.jpg")
print(scene.{call})
```
"""
_LIMITS = """
## Limits

The model sees {regions} regions of a picture and nothing else; what the region network does not show, it cannot tell.
It answers as the annotators of its training data did, with their habits and errors; its scores say how often such an
answer was right on those data, not elsewhere. Nobody should be judged, ranked or refused anything by what it says.
"""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a model came to be.

    Attributes:
        words: one or two sentences.
        data: task -> what it was trained on, in words.
        results: what it was measured at.
        machine: what measured it.
    """

    words: str
    data: Mapping[str, str] = field(default_factory=dict)
    results: Sequence[Result] = ()
    machine: str = ""


def write_card(folder: Path, config: TwelveConfig, processor: TwelveProcessor, origin: Origin, parameters: int) -> Path:
    """Write the card of the model in ``folder``.

    Args:
        parameters: how many the model has.
    """
    text = _HEAD.format(count=len(processor.token_rows), origin=origin.words)
    text += _use(folder, config, processor)
    text += _tasks(config, processor, origin)
    text += _sizes(config, processor, parameters)
    if origin.results:
        text += _results(origin)
    text += _LIMITS.format(regions=f"at most {processor.max_regions}")
    text += f"\nWritten by twelve {__version__}.\n"
    with files.replacing(folder / FILE) as partial:
        partial.write_text(text, encoding="utf-8")
    return folder / FILE


def _use(folder: Path, config: TwelveConfig, processor: TwelveProcessor) -> str:
    kinds = {config.heads[key]["kind"] for key in processor.task_outputs.values() if key in config.heads}
    calls = {
        "answer": 'answer("what colour is the boat?")',
        "region": 'locate("the small red cup")',
        "entailment": 'entails("two people eat")',
    }
    call = next((call for kind, call in calls.items() if kind in kinds), None)
    return "" if call is None else _USE.format(folder=folder.name, call=call)


def _tasks(config: TwelveConfig, processor: TwelveProcessor, origin: Origin) -> str:
    known = all_tasks()
    lines = [
        "",
        "## Tasks",
        "",
        "| task | kind | head | token row | longest text | trained on |",
        "|---|---|---|---|---|---|",
    ]
    for name, key in processor.task_outputs.items():
        title = known[name].title if name in known else name
        kind = config.heads[key]["kind"] if key in config.heads else ""
        size = len(processor.vocabularies.get(key, ()))
        head = f"{key}, {size:,} answers" if size else key
        row, longest = processor.token_rows.get(name, ""), processor.max_text.get(name, "")
        lines.append(f"| {title} | {kind} | {head} | {row} | {longest} | {origin.data.get(name, '')} |")
    return "\n".join(lines) + "\n"


def _sizes(config: TwelveConfig, processor: TwelveProcessor, parameters: int) -> str:
    marks = sorted(set(processor.region_fingerprints.values()))
    depth = config.v_num_hidden_layers, config.v_hidden_size, config.v_num_attention_heads
    fused = len(config.t_biattention_id), config.bi_hidden_size, config.bi_num_attention_heads
    lines = [
        "",
        "## Sizes",
        "",
        f"- {parameters / 1e6:.1f} M parameters",
        f"- text: {config.num_hidden_layers} layers of {config.hidden_size}, {config.num_attention_heads} heads; "
        f"{config.vocab_size:,} word pieces",
        "- picture: {} layers of {}, {} heads; ".format(*depth)
        + f"regions of {config.v_feature_size} features, extractor {', '.join(marks) or 'not recorded'}",
        "- {} connections of {}, {} heads".format(*fused),
    ]
    if processor.temperatures:
        lines.append("- scores are calibrated: one temperature a task, fitted on pictures that training only looked at")
    return "\n".join(lines) + "\n"


def _results(origin: Origin) -> str:
    lines = ["", "## Results", "", "| task, metric | split | score [95 %] | best floor |", "|---|---|---|---|"]
    for result in origin.results:
        score = result.score
        best = max(result.floors.values(), key=lambda floor: floor.score, default=None)
        floor = "" if best is None else f"{best.score:.1f} ({best.name})"
        lines.append(
            f"| {result.title}, {result.metric} | {result.protocol.split} | "
            f"{score.mean:.1f} [{score.low:.1f}, {score.high:.1f}] | {floor} |"
        )
    machine = f" Measured on {origin.machine}." if origin.machine else ""
    return "\n".join(lines) + f"\n\nA floor is what one reaches without understanding the picture.{machine}\n"


def origin_of_run(run: str, data: Mapping[str, Any], results: Sequence[Result] = (), machine: str = "") -> Origin:
    """The origin of a model that a run trained; ``data`` is the run's data.json."""
    tasks = data.get("tasks", {})
    trained = {name: f"{part['train']:,} examples" for name, part in tasks.items() if isinstance(part, dict)}
    words = (
        f"One model, trained by the run `{run}` on all of these tasks together. Pictures that any of the tasks is "
        "measured on were taken out of every task's training set."
    )
    return Origin(words, trained, results, machine)
