"""The model card: the README.md beside a saved model ("Model Cards for Model Reporting", Mitchell et al. 2019). Model
hubs read its head."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twelve.io import files
from twelve.model.config import TwelveConfig
from twelve.model.processor import TwelveProcessor
from twelve.model.trunk import trunk_class
from twelve.outputs import get_output
from twelve.tasks.base import Task, all_tasks
from twelve.version import __version__

if TYPE_CHECKING:
    from twelve.evaluation.results import TaskResult

FILE = "README.md"

_HEAD = """---
library_name: transformers
tags: [vision-and-language, multi-task, vilbert, visual-question-answering]
---

# A vision-and-language model for {count}

{origin}
"""
_DRAWN = """
**It was trained on a drawn world (microworld), not on the real datasets:** the names below say whose tasks, formats and
metrics the examples have. The model has never seen a photograph.
"""
_USE = """
## Use

```python
import twelve

model = twelve.load("PATH OF THIS FOLDER")
scene = model.scene("{image}")
print(scene.{call})
```
"""
_LIMITS = """
## Limits

The model sees {regions} regions of an image and nothing else: it knows nothing about what the region network misses.
It answers as {writer} of its training data did, with their habits and errors. Its scores say how often such an answer
was right on those data, not elsewhere. Nobody should be judged, ranked or refused anything by its answers.

## Licence

The program that wrote this folder is under the Apache License 2.0. {licence}
"""
_LICENCE_DRAWN = "It drew the training data as well."
_LICENCE = """The training data have licences of their own,
which anyone who uses the model or passes it on must respect."""


@dataclass(frozen=True, slots=True)
class Origin:
    """How a model was made.

    Attributes:
        words: one or two sentences.
        drawn: whether its data are a drawn world.
        data: task -> what it was trained on, in words.
        validations: task -> validation score when the model was saved, 0..1.
        results: its evaluation.
        machine: the processor that evaluated it.
    """

    words: str
    drawn: bool = False
    data: Mapping[str, str] = field(default_factory=dict)
    validations: Mapping[str, float] = field(default_factory=dict)
    results: Sequence[TaskResult] = ()
    machine: str = ""


def write_card(
    folder: Path,
    config: TwelveConfig,
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
    count = len(processor.task_outputs)
    text = _HEAD.format(count=f"{count} task{'' if count == 1 else 's'}", origin=origin.words)
    text += _DRAWN if origin.drawn else ""
    text += _use(config, processor, origin)
    text += _tasks(config, processor, origin, all_tasks(own))
    text += _sizes(config, processor, parameters)
    if origin.results:
        text += _results(origin)
    text += _LIMITS.format(
        regions=f"at most {processor.max_regions}",
        writer="the program that wrote the texts" if origin.drawn else "the annotators",
        licence=_LICENCE_DRAWN if origin.drawn else _LICENCE,
    )
    text += f"\nWritten on {date.today().isoformat()} by twelve {__version__}.\n"
    with files.replacing(folder / FILE) as partial:
        partial.write_text(text, encoding="utf-8")
    return folder / FILE


def _use(config: TwelveConfig, processor: TwelveProcessor, origin: Origin) -> str:
    kinds = [config.heads[key]["kind"] for key in processor.task_outputs.values() if key in config.heads]
    call = next(filter(None, (get_output(kind).example_call for kind in kinds)), None)
    image = "AN IMAGE OF THE DRAWN WORLD" if origin.drawn else "PATH OF A PHOTOGRAPH"
    return "" if call is None else _USE.format(call=call, image=image)


def _tasks(config: TwelveConfig, processor: TwelveProcessor, origin: Origin, known: Mapping[str, Task]) -> str:
    header = ["task", "kind", "head", "token row", "longest text"]
    header += ["trained on"] if origin.data else []
    header += ["score when saved, %"] if origin.validations else []
    lines = ["", "## Tasks", "", f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for name, key in processor.task_outputs.items():
        size = len(processor.vocabularies.get(key, ()))
        cells = [
            known[name].title if name in known else name,
            config.heads[key]["kind"] if key in config.heads else "",
            f"{key}, {size:,} answers" if size else key,
            f"{processor.token_rows.get(name, '')}",
            f"{processor.max_text.get(name, '')}",
        ]
        cells += [origin.data.get(name, "")] if origin.data else []
        cells += (
            [f"{100 * origin.validations[name]:.1f}" if name in origin.validations else ""]
            if origin.validations
            else []
        )
        lines.append(f"| {' | '.join(cells)} |")
    if origin.validations:
        lines += [
            "",
            "The scores when saved are on training images that were held back for validation, not on a test set.",
        ]
    return "\n".join(lines) + "\n"


def _sizes(config: TwelveConfig, processor: TwelveProcessor, parameters: int) -> str:
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
        lines.append("- scores are calibrated: one temperature for each task, fitted on the validation images")
    return "\n".join(lines) + "\n"


def _results(origin: Origin) -> str:
    lines = ["", "## Results", "", "| task, metric | split | score [95 %] | best baseline |", "|---|---|---|---|"]
    for result in origin.results:
        score = result.score
        best = max(result.baselines.values(), key=lambda baseline: baseline.score, default=None)
        baseline = "" if best is None else f"{best.score:.1f} ({best.name})"
        lines.append(
            f"| {result.title}, {result.metric} | {result.protocol.split} | "
            f"{score.mean:.1f} [{score.low:.1f}, {score.high:.1f}] | {baseline} |"
        )
    machine = f" Measured on {origin.machine}." if origin.machine else ""
    return "\n".join(lines) + f"\n\nA baseline is a score that needs no understanding of the image.{machine}\n"


def origin_of_run(
    data: Mapping[str, Any],
    *,
    drawn: bool,
    began: str | None,
    validations: Mapping[str, float],
    results: Sequence[TaskResult] = (),
    machine: str = "",
) -> Origin:
    """The origin of a model that a run trained.

    Args:
        data: what the run trained on, as its folder has it.
        drawn: whether its data root is a drawn world.
        began: the saved model that it continued from.
        validations: see :class:`Origin`.
    """
    tasks = {name: part for name, part in data.get("tasks", {}).items() if isinstance(part, dict)}
    kind = "drawn examples" if drawn else "examples"
    trained = {name: f"{part['train']:,} {kind}" for name, part in tasks.items()}
    words = "Trained on this task alone." if len(tasks) == 1 else "One model, trained on all of these tasks together."
    words += " Images that any of the tasks is evaluated on were removed from the training sets of all tasks."
    if began is not None:
        words += f" It continued from the model `{'/'.join(Path(began).parts[-2:])}`."
    if not results:
        words += " It has not been evaluated yet: `twelve evaluate` puts its scores here, beside the best baseline."
    return Origin(words, drawn, trained, validations, results, machine)
