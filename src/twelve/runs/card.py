"""The model card: the README.md beside a saved model ("Model Cards for Model Reporting", Mitchell et al. 2019). Model
hubs read its head."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from twelve.evaluation.compared import height
from twelve.io import files
from twelve.model.processor import TwelveProcessor
from twelve.model.settings import Settings
from twelve.model.trunk import trunk_class
from twelve.outputs import get_output
from twelve.predictor.abilities import Abilities
from twelve.progress import counted
from twelve.runs.card_metadata import metadata
from twelve.runs.card_origin import Origin
from twelve.tasks.base import Task
from twelve.version import __version__

if TYPE_CHECKING:
    from twelve.evaluation.results import TaskResult

FILE = "README.md"

_HEAD = """---
{head}---

# A vision-and-language model for {count}

{origin}
"""
_DRAWN = """
**The model was trained on synthetic stand-ins for the datasets:** small generated images (the microworld), and
examples about them in the datasets' formats. The model has never seen a photograph, and its scores cannot be compared
with published ones.
"""
_LEFT_OUT = """
**The last training left out these tasks of the base model:** {tasks}. The model may have forgotten them, and was not
evaluated on them again. For these tasks, use the model that was last trained on them.
"""
_USE = """
## Use

Install the package as the README of its repository says. Then run:

```python
{imports}
model = twelve.load("{source}")
scene = model.scene({image})
{calls}
```
"""
_DRAWING = """import numpy as np
import twelve
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
"""
_DRAWN_IMAGE = "draw(sample_scene(np.random.default_rng(3645)), seed=3645)"
"""An image with one boat and one small red cup, which the outputs' examples ask about."""
_QUESTION = re.compile(r'"[^"]*"')
_LIMITS = """
## Limits

- The model sees {regions} regions of an image and nothing else. It knows nothing about objects that the region network
  misses.
- It answers like {writer} of its training data, including their biases and errors.
- Its confidence states how often such an answer was correct on those data, not on others. `result.warnings` names
  images and words that are unlike them.
- Do not use its answers to judge, rank or reject people.

## Licence

The program that wrote this folder, twelve, is under the Apache License 2.0. {licence}

It implements "12-in-1: Multi-Task Vision and Language Representation Learning" (Lu, Goswami, Rohrbach, Parikh, Lee,
CVPR 2020); please cite it.
"""
_LICENCE_DRAWN = "It also generated the training data."
_LICENCE = """The training data have licences of their own,
which everyone who uses or shares the model must respect."""


def write_card(
    folder: Path,
    config: Settings,
    processor: TwelveProcessor,
    origin: Origin,
    parameters: int,
    own: Mapping[str, Task] | None = None,
) -> Path:
    """Write the card of the model in ``folder``.

    Args:
        parameters: number of parameters of the model.
        own: the run's own tasks.
    """
    abilities = Abilities(processor, config.heads, own)
    count = len(processor.task_outputs.keys() - set(processor.left_out))
    kinds = {config.heads[key]["kind"] for key in processor.task_outputs.values() if key in config.heads}
    text = _HEAD.format(
        head=metadata(origin, kinds, synthetic=origin.drawn or abilities.note is not None),
        count=counted(count, "task"),
        origin=origin.words,
    )
    text += _DRAWN if origin.drawn else f"\n**{abilities.note}**\n" if abilities.note else ""
    if processor.left_out:
        text += _LEFT_OUT.format(tasks=", ".join(abilities.titles[name] for name in processor.left_out))
    text += _use(config, abilities, origin)
    text += _results(origin) if origin.results else ""
    text += _tasks(config, abilities, origin)
    text += _sizes(config, processor, parameters)
    text += _LIMITS.format(
        regions=f"at most {processor.max_regions}",
        writer="the program that wrote the texts" if origin.drawn else "the annotators",
        licence=f"The weights are under {origin.licence}. " * (origin.licence is not None)
        + (_LICENCE_DRAWN if origin.drawn else _LICENCE),
    )
    text += f"\nWritten on {date.today().isoformat()} by twelve {__version__}.\n"
    with files.replacing(folder / FILE) as partial:
        partial.write_text(text, encoding="utf-8")
    return folder / FILE


def _use(config: Settings, abilities: Abilities, origin: Origin) -> str:
    """A program in Python that asks the tasks of the last run, each method its default task; a model of the microworld
    draws its image."""
    methods, outputs = abilities.methods, abilities.processor.task_outputs
    asked = {method: tasks[0] for method, tasks in methods.items() if tasks[0] in (origin.data or tasks)}
    calls = {
        task: _call(config.heads[outputs[task]]["kind"], method, task in abilities.own)
        for method, task in asked.items()
    }
    if not any(calls.values()):
        return ""
    return _USE.format(
        imports=_DRAWING if origin.drawn else "import twelve\n",
        source=origin.source,
        image=_DRAWN_IMAGE if origin.drawn else '"image.jpg"' if abilities.note else '"photograph.jpg"',
        calls="\n".join(f"print({call})  # {task}" for task, call in calls.items() if call),
    )


def _call(kind: str, method: str, own: bool) -> str:
    """A call of a method; what to ask a task of the run's own, only its author knows."""
    call = get_output(kind).examples.get(method, "")
    return _QUESTION.sub('"YOUR QUESTION"', call, count=1) if own else call


def _tasks(config: Settings, abilities: Abilities, origin: Origin) -> str:
    processor = abilities.processor
    header = ["task", "kind", "head", "token row", "longest text"]
    header += ["trained on"] if origin.data else []
    header += ["score when saved, %"] if origin.validations else []
    lines = ["", "## Tasks", "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name, key in processor.task_outputs.items():
        size = len(processor.vocabularies.get(key, ()))
        cells = [
            abilities.titles[name],
            config.heads[key]["kind"] if key in config.heads else "",
            f"{key}, {counted(size, 'answer')}" if size else key,
            f"{processor.token_rows.get(name, '')}",
            f"{processor.max_text.get(name, '')}",
        ]
        untrained = "left out" if name in processor.left_out else ""
        cells += [origin.data.get(name, untrained)] if origin.data else []
        cells += (
            [f"{100 * origin.validations[name]:.1f}" if name in origin.validations else ""]
            if origin.validations
            else []
        )
        lines.append(f"| {' | '.join(cells)} |")
    if origin.validations:
        lines += [
            "",
            "The scores when saved are those on images held out from training for validation, not on a test set.",
        ]
    return "\n".join(lines) + "\n"


def _sizes(config: Settings, processor: TwelveProcessor, parameters: int) -> str:
    marks = sorted(set(processor.region_fingerprints.values()))
    more = {
        "text": f"; {config.vocab_size:,} word pieces",
        "image": f"; regions of {config.v_feature_size} features, extractor {', '.join(marks) or 'not recorded'}",
    }
    lines = [
        "",
        "## Sizes",
        "",
        f"- {parameters / 1e6:.1f} M parameters",
        *(f"- {what}: {size}{more.get(what, '')}" for what, size in trunk_class(config).sizes(config).items()),
    ]
    if processor.temperatures:
        tasks = ", ".join(processor.temperatures)
        lines.append(f"- calibrated confidence ({tasks}): one temperature per task, fitted on validation images")
    return "\n".join(lines) + "\n"


def _results(origin: Origin) -> str:
    header = "| task, metric | split | score [95%] | best baseline | best possible |"
    lines = ["", "## Results", "", header, "|---|---|---|---|---|"]
    for result in origin.results:
        score = result.score
        best = max(result.baselines.values(), key=lambda each: height(each.name, each.score), default=None)
        cells = [
            f"{result.title}, {result.metric}",
            f"{result.protocol.split}, {counted(result.examples, 'example')}",
            f"{score.mean:.1f} [{score.low:.1f}, {score.high:.1f}]",
            "" if best is None else f"{best.score:.1f} ({best.name})",
            "" if result.upper_bound is None else f"{result.upper_bound:.1f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    machine = f" Measured on {origin.machine}." if origin.machine else ""
    lines += ["", f"A baseline needs no understanding of the image; `twelve evaluate` lists them.{machine}", ""]
    lines += ["<details><summary>Protocols</summary>", ""]
    return "\n".join([*lines, *(f"- {_protocol(result)}" for result in origin.results), "", "</details>"]) + "\n"


def _protocol(result: TaskResult) -> str:
    """What is needed to compare a score with that of another model."""
    protocol = result.protocol
    parts = [
        f"split {protocol.split}, {counted(result.examples, 'example')}",
        f"95% interval from resampling {counted(result.groups, 'cluster')}"
        if result.groups < result.examples
        else "one example per image; 95% interval Wilson's if each is correct or not, otherwise from resampling",
        f"{protocol.boxes} boxes",
        f"ties: {protocol.ties}",
        f"gallery of {protocol.gallery}" if protocol.gallery else "",
        f"shortlists of {protocol.shortlist}" if protocol.shortlist else "",
        f"with {protocol.contrast_weight:g} times the contrast head's logit" if protocol.contrast_weight else "",
        protocol.note,
    ]
    return f"{result.title}: {'; '.join(filter(None, parts))}"
