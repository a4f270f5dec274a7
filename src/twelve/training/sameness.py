"""Checks that a resumed run is the run that was begun: every checkpoint keeps a record, which is compared.

Changes that would make another model are refused. Other changes (a longer run, other validations, another machine) are
logged, and are part of the record of later checkpoints.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from twelve.data.examples.codec import Codec
from twelve.data.examples.columns import distinct_images, texts_of
from twelve.data.examples.store import Examples
from twelve.data.kept import kept_of_examples
from twelve.data.prepare import Prepared, TaskData
from twelve.errors import ConfigError, DataError, quoted
from twelve.run_folder import RunFolder
from twelve.settings import RunConfig
from twelve.types.examples import Example

if TYPE_CHECKING:
    from twelve.model.processor import TwelveProcessor

FREE = ("run", "data", "regions", "training", "evaluation")
"""Keys that may change when a run is resumed: places, lengths, intervals, numbers of threads."""
FIXED = ("precision", "packed", "tf32", "compile")
"""Keys of ``training`` that may not change."""
ADDED: Mapping[str, Mapping[str, Any]] = {
    "optimizer": {"task_scale": "lr", "states": "shared", "update": "task", "together": 1},
    "microworld": {"draw_wordings": False},
}
"""Section -> its keys that runs of earlier versions lack, and what these did."""
TRAINED_ON = ("images", "target", "candidates", "options")
"""Fields of an example, other than its text, that training reads."""
IMAGES_COMPARED = 64
"""Images of each source whose regions are compared."""
TEXTS = 1 << 14
"""Texts that are hashed at a time."""
_ANEW = "or train anew: --set run=ANOTHER"
_ELSEWHERE = "train into a new folder: --set run=ANOTHER, without --resume or --continue"


@dataclass(frozen=True, slots=True)
class Part:
    """A part of the record.

    Attributes:
        title: its name in messages.
        refused: whether a run in which it has changed cannot be resumed.
        remedy: what to do then.
        waived: whether ``--allow-changed-data`` allows the change.
    """

    title: str
    refused: bool = False
    remedy: str = ""
    waived: bool = False


@dataclass(frozen=True, slots=True)
class Change:
    """A difference in words, and whether ``--allow-changed-data`` has allowed it."""

    words: str
    waived: bool

    def __str__(self) -> str:
        return self.words


_RESTORE = f"restore the files that it was begun with, {_ANEW}"
PARTS: Mapping[str, Part] = {
    "settings": Part("the configuration", True, f"set it back, {_ANEW}"),
    "precision": Part("training.precision", True, f"set it back, {_ANEW}"),
    "examples": Part("the data", True, f"{_RESTORE}, or resume with the changed data: --allow-changed-data", True),
    "regions": Part("the regions", True, f"{_RESTORE}, or resume with the changed data: --allow-changed-data", True),
    "answers": Part("the answers of a head", True, _RESTORE),
    "words": Part("the tokenizer, or the rows of the task tokens", True, _RESTORE),
    "iterations": Part("the length, which the learning rate follows from here"),
    "validations": Part("when and how training validates"),
    "processes": Part("the processes"),
    "machine": Part("the machine, so rounding may differ from here"),
}
"""Everything that is compared, in the order of the messages."""


def record_of(
    config: RunConfig, data: Prepared, processor: TwelveProcessor, *, iterations: int, processes: int
) -> dict[str, Any]:
    """Everything that determines which model a run trains: a plain value for each of :data:`PARTS`."""
    from twelve.training.provenance import machine

    paths = {"model": {"init", "text_encoder", "tokenizer"}, "vocabulary": {"label_maps"}}
    free: dict[str, Any] = dict.fromkeys(FREE, True)
    settings = config.model_dump(mode="json", exclude=free | paths)
    # As in runs begun before these could be asked for.
    for section in ("contrast", "balancing"):
        if settings[section] is None:
            del settings[section]
    if settings["model"]["task_tokens"] is None:
        del settings["model"]["task_tokens"]
    training = config.training
    names = {name: processor.token_rows.get(name) for name in sorted(data.tasks)}
    lengths = {name: processor.max_text[name] for name in sorted(data.tasks)}
    words = [processor.tokenizer.to_str(), repr(names), repr(lengths), repr(processor.max_regions)]
    return {
        "settings": _without_added(settings),
        "precision": training.precision,
        "examples": {
            name: {
                part: _examples(task, examples)
                for part, examples in (("train", task.train), ("validation", task.validation))
            }
            for name, task in data.tasks.items()
        },
        "regions": _regions(data),
        "answers": {key: _digest(answers) for key, answers in sorted(data.vocabularies.items())},
        "words": _digest(words),
        "iterations": iterations,
        "validations": {key: getattr(training, key) for key in ("eval_every", "eval_examples", "patience")}
        | ({} if training.keep_model == "best" else {"keep_model": training.keep_model}),  # as in earlier versions
        "processes": {"count": processes, "sharding": training.sharding and processes > 1},
        "machine": machine(),
    }


def _without_added(settings: Any) -> Any:
    """Settings without those keys of :data:`ADDED` that say what runs without them did."""
    if not isinstance(settings, Mapping):
        return settings

    def kept(section: str, value: Any) -> Any:
        if section not in ADDED or not isinstance(value, Mapping):
            return value
        return {key: each for key, each in value.items() if (key, each) not in ADDED[section].items()}

    return {section: kept(section, value) for section, value in settings.items()}


def compare(
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    *,
    done: int,
    file: Path,
    allow_changed_data: bool = False,
    complete: bool = False,
) -> list[Change]:
    """What has changed since a checkpoint was written.

    Args:
        then: the record of the checkpoint.
        now: the record of the resumed run.
        done: iterations of the checkpoint.
        file: the checkpoint, for errors.
        complete: nothing is left to train, so that other data need another run.

    Raises:
        ConfigError: the change would make another model, or fewer iterations are configured than are done.
        DataError: the data have changed.
    """
    if now["iterations"] < done:
        raise ConfigError(
            f"{now['iterations']} are asked for, but {done} are done",
            file=file,
            record="training.iterations",
            remedy=f"ask for {done} or more, {_ANEW}",
        )
    changed = []
    then = {**then, "settings": _without_added(then.get("settings"))}
    for key, part in PARTS.items():
        if then.get(key) == now[key]:
            continue
        place, was, here = difference("", then.get(key), now[key])
        values = f"{_short(was)} before, {_short(here)} now"
        what = f"{part.title}{f' ({place[1:]})' if place else ''}: {values}"
        if part.refused and not (part.waived and allow_changed_data):
            kind = DataError if part.waived else ConfigError
            if complete:
                name, _, split = place[1:].rpartition(".")
                if key == "examples" and name:
                    what = f"the {'training' if split == 'train' else split} examples of {name}: {values}"
                raise kind(f"changed since this run was trained: {what}", file=file, remedy=_ELSEWHERE)
            raise kind(f"not what this run was begun with: {what}", file=file, remedy=part.remedy)
        changed.append(Change(what, part.waived))
    return changed


def check_same(config: RunConfig, begun: RunConfig, folder: Path) -> None:
    """Check, before the data are read, that a resumed run has the configuration that it was begun with.

    Raises:
        ConfigError: names the first key that differs.
    """
    now, then = (
        {key: value for key, value in tree.items() if key not in FREE}
        | {"training": {key: tree["training"][key] for key in FIXED}}
        for tree in (config.absolute(), begun.absolute())
    )
    place, ours, theirs = difference("", now, then)
    if now == then and list(config.tasks) != list(begun.tasks):  # which decides the order of weights and of steps
        place, ours, theirs = ".tasks", ", ".join(config.tasks), ", ".join(begun.tasks)
    if place:
        again = f"twelve train {quoted(RunFolder(folder).config)} --continue"
        raise ConfigError(
            f"is {ours!r}, but the run in {folder} was begun with {theirs!r}",
            record=place[1:],
            remedy=f"{_ELSEWHERE}; or, to go on as it was begun: {again}",
        )


def difference(place: str, one: Any, other: Any) -> tuple[str, Any, Any]:
    """Key path of the first difference of two trees, and the two values."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in dict.fromkeys([*one, *other]):
            if one.get(key) != other.get(key):
                return difference(f"{place}.{key}", one.get(key), other.get(key))
    return place, one, other


def _short(value: Any) -> str:
    """A value of the record for a message, shortened."""
    text = "none" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _examples(task: TaskData, examples: Sequence[Example]) -> str:
    """The number of examples and a digest of what training reads of them; the same for a list and stored examples."""

    def compute() -> NDArray[np.uint8]:
        digest, codec = hashlib.sha256(), Codec(task.task.fact_types)
        for column in TRAINED_ON:
            values, codes = _numbered(examples, column, codec)
            digest.update(_digest(values).encode() + codes.tobytes())
        texts = iter(texts_of(examples))
        while part := list(islice(texts, TEXTS)):
            digest.update(_digest(part).encode())
        return np.frombuffer(digest.digest(), np.uint8)

    found = kept_of_examples("digests", examples, (), compute).tobytes().hex()
    return f"{len(examples):,} examples, {found[:16]}"


def _numbered(examples: Sequence[Example], column: str, codec: Codec) -> tuple[list[str], np.ndarray[Any, Any]]:
    """Distinct values of a column as text, in order of first occurrence, and (N,) which of them each example has."""
    known: dict[str, int] = {}
    seen: dict[Any, int] = {}

    def number(value: Any) -> int:
        # Values that are equal in Python but not as text (1, True, 1.0) must stay distinct.
        key = (type(value), value) if isinstance(value, str | bool | int | float) else None
        if key is not None and key in seen:
            return seen[key]
        try:
            text = codec.encode(value)
        except TypeError:  # a task from outside has a value that cannot be cached either
            text = type(value).__name__
        found = known.setdefault(text, len(known))
        if key is not None:
            seen[key] = found
        return found

    if isinstance(examples, Examples):
        codes = examples.codes(column)
        distinct, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
        order = np.argsort(first, kind="stable")
        numbers = np.zeros(len(distinct), np.int32)
        numbers[order] = [known.setdefault(text, len(known)) for text in examples.encoded(distinct[order])]
        return list(known), numbers[inverse]
    found = np.fromiter((number(getattr(example, column)) for example in examples), np.int32, len(examples))
    return list(known), found


def _regions(data: Prepared) -> dict[str, dict[str, str]]:
    """Of each image source the extractor's fingerprint, and a digest of the regions of some of the images."""
    images = distinct_images(*(part for task in data.tasks.values() for part in (task.train, task.validation)))
    by_source: dict[str, list[str]] = {}
    for image in sorted(images):
        by_source.setdefault(image.partition("/")[0], []).append(image)
    found = {}
    for source, there in sorted(by_source.items()):
        digest = hashlib.sha256()
        for image in there[:: max(1, len(there) // IMAGES_COMPARED)]:
            regions = data.store.get(image)
            for array in (regions.boxes, regions.features):
                digest.update(b"" if array is None else np.ascontiguousarray(array).tobytes())
        found[source] = {"extractor": data.store.fingerprint(source), "content": digest.hexdigest()[:16]}
    return found


def _digest(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode("utf-8", "surrogatepass")).hexdigest()
