"""What several commands share: options, groups of options as dataclasses, pairs, and a warning."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import typer

from twelve.errors import ConfigError

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Setting = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change one value of the configuration, e.g. --set data=DIR."),
]
Run = Annotated[str, typer.Argument(help="A run's folder, a model's folder, or hub:owner/model.")]
Weights = Annotated[
    str | None,
    typer.Option(
        help="The extractor's weights, if the package does not include them: FILE, pretrained, ... (docs/predict.md)."
    ),
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]
Precision = Annotated[
    Literal["auto", "fp32", "bf16"],
    typer.Option(help="Precision of the model's layers; auto is bf16 where it is faster."),
]


def labels_by_head(words: Iterable[str]) -> dict[str, Path]:
    """``--labels HEAD=FILE`` as head -> file; raises ConfigError for anything else."""
    found = {}
    for word in words:
        head, equals, file = word.partition("=")
        if not equals or not head or not file:
            raise ConfigError(f"cannot read --labels {word!r}", remedy="write --labels answer=FILE")
        found[head] = Path(file)
    return found


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take a dataclass of options: its fields become options beside the command's other parameters."""
    hints = get_type_hints(command, include_extras=True)
    groups = {name: kind for name, kind in hints.items() if is_dataclass(kind) and isinstance(kind, type)}
    owners: dict[str, str] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command).parameters.values():
        own = [parameter.replace(annotation=hints[parameter.name], kind=inspect.Parameter.KEYWORD_ONLY)]
        if parameter.name in groups:
            kind = groups[parameter.name]
            types = get_type_hints(kind, include_extras=True)
            own = [each.replace(annotation=types[name]) for name, each in inspect.signature(kind).parameters.items()]
            owners |= {each.name: parameter.name for each in own}
        parameters += own

    def run(**values: Any) -> None:
        fields: dict[str, dict[str, Any]] = {name: {} for name in groups}
        for name in owners.keys() & values.keys():
            fields[owners[name]][name] = values.pop(name)
        command(**values, **{name: kind(**fields[name]) for name, kind in groups.items()})

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in parameters}
    return run


def warn_unfinished(folder: Path) -> None:
    """Print to stderr that the training of the model in a folder has not ended, if that is so."""
    from twelve.errors import one_line
    from twelve.runs.unfinished import unfinished

    if (line := unfinished(folder)) is not None:
        print(one_line(f"warning: {line}"), file=sys.stderr, flush=True)
