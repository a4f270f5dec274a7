"""A training run from its configuration to its folder.

A run folder holds config.yaml, data.json (what was trained on), validation_images.json (what was not), machine.json,
metrics.jsonl, checkpoints/ and model/.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console

from twelve.config import load
from twelve.data.columns import distinct_images
from twelve.data.prepare import Prepared, prepare, sources_of
from twelve.errors import CheckpointError, ConfigError, DataError, RegionError, quoted
from twelve.formats.records import read_object
from twelve.io import files
from twelve.model.checkpoints import load_text_encoder, text_config_from
from twelve.model.config import TwelveConfig
from twelve.model.familiarity import MOST, Familiarity, familiarity_of
from twelve.model.processor import TOKEN_ROWS, TwelveProcessor, load_tokenizer
from twelve.model.vilbert import Twelve
from twelve.model.wordpieces import tokenizer_from
from twelve.progress import clock, tell
from twelve.regions.recipe import recipe_of
from twelve.regions.store.region_store import RegionStore
from twelve.run_folder import CONFIG, TRAINED, VALIDATION_IMAGES, check_links, model_folder
from twelve.runs.run_card import write_run_card
from twelve.runs.run_summary import history, remembered
from twelve.settings import RunConfig
from twelve.threads import counted, given_back
from twelve.training.checkpoint import checkpoints
from twelve.training.continued import architecture, continued, reserved_rows, start_heads
from twelve.training.log import check_trackers, logged
from twelve.training.memory import advice, need_of
from twelve.training.provenance import fingerprints, machine
from twelve.training.sameness import check_same, record_of
from twelve.training.schedules import check_stops
from twelve.types.half_precision import as_tensor

if TYPE_CHECKING:
    from twelve.training.devices import Devices
    from twelve.training.trainer import Trainer


STATISTICS_IMAGES = 1000
"""Training images whose features decide how the region embedding of a new model is scaled."""


Start: TypeAlias = tuple[Twelve, TwelveProcessor, Prepared, list[str]]
"""What a run begins with: the model, its processor, the data, and which of its tasks the model has learnt before."""


@given_back()
def train(
    config: RunConfig,
    *,
    resume: bool = False,
    go_on: bool = False,
    allow_changed_data: bool = False,
    console: Console | None = None,
    start: Start | None = None,
) -> Path:
    """Train as configured and return the run's folder.

    Args:
        resume: go on with the run that is there.
        go_on: resume if something trained is there, else begin.
        allow_changed_data: resume though what is trained on is not what the run was begun with.
        start: what :func:`beginning` would find, for runs that are to differ in nothing but their configuration.

    Raises:
        ConfigError: the folder already holds a run and ``resume`` is False, or there is none to resume, or another one.
        DataError: the data changed.
    """
    from accelerate.utils import set_seed
    from transformers.utils.logging import disable_progress_bar

    from twelve.training.devices import Devices

    console = console or Console(stderr=True)
    disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers shows one for every file it writes
    folder = Path(config.run)
    resume = resume or (go_on and files.is_there(folder / CONFIG, ConfigError) and holds_training(folder))
    _check_folder(config, folder, resume)
    check_trackers(config.training.trackers)
    if config.replay:
        check_stops(config.schedule.name)
    if config.training.threads != "auto":
        torch.set_num_threads(config.training.threads)
    elif not torch.cuda.is_available():
        torch.set_num_threads(1)  # until they are measured
    set_seed(config.seed)
    devices = Devices(config.training, folder)
    if not devices.main:
        console = Console(quiet=True)
    with files.alone(folder) if devices.main else nullcontext(), devices.together():
        _train(config, folder, devices, console, resume, allow_changed_data, start)
    devices.end()
    return folder


def beginning(config: RunConfig) -> Start:
    """What a configuration's run begins with: the saved model that it names, or one of random weights."""
    if config.model.init:
        return continued(config, model_folder(Path(config.model.init)))
    return _new(config, config.seed)


def _train(
    config: RunConfig,
    folder: Path,
    devices: Devices,
    console: Console,
    resume: bool,
    allow_changed_data: bool,
    start: Start | None,
) -> None:
    from twelve.training.trainer import Trainer

    model, processor, data, known = start or beginning(config)
    devices.draw_apart(config.seed)

    def say(text: str) -> None:
        tell(text, console)

    trainer = Trainer(config, data, model, processor, folder, devices, known, say)
    trainer.record = record_of(config, data, processor, iterations=trainer.total, processes=devices.count)
    if devices.main:
        _describe(config, data, model, trainer, say)
    if resume:
        for noted in trainer.resume(allow_changed_data=allow_changed_data):
            say(noted)
        say(f"resumed at iteration {trainer.iteration} of {trainer.total}")
    if devices.main:
        for noted in _write_down(config, data, trainer, folder):
            say(noted)
    trainer.log.start_trackers(folder.resolve().name, config.model_dump(mode="json"))
    if trainer.iteration == 0:
        trainer.begin()
    if devices.main:
        (folder / TRAINED).unlink(missing_ok=True)
    trainer.fit()
    if devices.main:
        calibrate(folder, trainer)
        _write_json(folder / TRAINED, history(trainer))
    for line in remembered(trainer):
        tell(line, console)
    tell(
        f"trained {trainer.iteration} iterations, {trainer.pairs:,} pairs in {clock(trainer.seconds)}; "
        f"next: twelve evaluate {quoted(folder)}",
        console,
    )


def _write_down(config: RunConfig, data: Prepared, trainer: Trainer, folder: Path) -> list[str]:
    """Write what a run is about into its folder; what a resumed one still has of it stays. Returns what was lost."""
    lost = []
    for name in ("data.json", "machine.json"):
        if trainer.iteration and _is_object(folder / name):
            continue
        if trainer.iteration:
            lost.append(f"{name} was lost or damaged; it is written again, as it is now")
        about = summary(data) | {"trained_on": trainer.record["examples"]}
        _write_json(folder / name, machine() if name == "machine.json" else about | fingerprints(config, data))
    if trainer.changed_data:
        tree = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        change = {"iteration": trainer.iteration, "what": trainer.changed_data}
        tree["changed"] = [*(tree["changed"] if isinstance(tree.get("changed"), list) else []), change]
        _write_json(folder / "data.json", tree)
    data.validation_images.write(folder / VALIDATION_IMAGES)
    config.write(folder / CONFIG)
    return lost


def _is_object(path: Path) -> bool:
    """Whether a file holds a JSON object."""
    try:
        read_object(path)
    except DataError:
        return False
    return True


def calibrate(folder: Path, trainer: Trainer) -> None:
    """Fit the temperatures of the saved model, the best one, on what training validated on, find what its images have
    in common, and save both with it."""
    from twelve.evaluation.calibration import fit_temperatures

    saved = model_folder(folder)
    model = Twelve.from_pretrained(saved).to(trainer.device)
    collators = {name: stream.collator for name, stream in trainer.streams.items()}
    validations = {name: task.validation for name, task in trainer.data.tasks.items()}
    trainer.processor.temperatures = fit_temperatures(model, collators, validations, seed=trainer.config.seed)
    trainer.processor.familiar = _familiar(trainer.data, trainer.processor.max_regions)
    trainer.processor.save_pretrained(saved)
    write_run_card(folder, model, trainer.processor, trainer.kept)


def _familiar(data: Prepared, most: int) -> Familiarity | None:
    """Of the training images, each task's as many, as the model sees them (its first ``most`` regions)."""
    images: dict[str, None] = {}
    for task in data.tasks.values():
        own = distinct_images(task.train)
        images |= dict.fromkeys(own[:: max(1, len(own) * len(data.tasks) // MOST)])

    def features(image: str) -> NDArray[np.floating[Any]]:
        found = data.store.get(image, most).features
        assert found is not None  # nothing is trained on boxes alone
        return as_tensor(found).float().numpy()

    return familiarity_of(list(images), features)


def _check_folder(config: RunConfig, folder: Path, resume: bool) -> None:
    """Nothing trained is overwritten, nothing outside is, and what is resumed is the same run."""
    check_links(folder)
    exists = files.is_there(folder / CONFIG, ConfigError)
    if exists and not resume and holds_training(folder):
        raise ConfigError("this folder already holds a run", file=folder, remedy="add --resume, or --set run=ANOTHER")
    if resume and not exists:
        remedy = "leave out --resume, or write --continue, which begins where nothing is"
        raise ConfigError("there is no run to resume", file=folder, remedy=remedy)
    if not resume:
        return
    begun = load(folder / CONFIG)
    check_same(config, begun, folder)
    if not checkpoints(folder / "checkpoints") and (
        files.is_there(folder / TRAINED, CheckpointError) or logged(folder) > begun.training.save_every
    ):
        raise CheckpointError(
            "its checkpoints are gone", file=folder, remedy="copy them back, or train anew: --set run=ANOTHER"
        )


def holds_training(folder: Path) -> bool:
    """Whether something trained is in a run's folder; one that failed before its first checkpoint holds nothing."""
    model = folder / "model"
    files.settle(model)
    return model.is_dir() or bool(checkpoints(folder / "checkpoints"))


def _check_one_extractor(store: RegionStore, sources: Sequence[str]) -> None:
    """Raise RegionError unless all regions are of one extractor; their boxes may be of several kinds."""
    for source in sources:
        (first, *_), (made, *_) = store.made(sources[0]), store.made(source)
        if differs := made.difference(first, boxes=False):
            wrong, like = (source, first.recipe) if first.recipe else (sources[0], made.recipe)
            raise RegionError(
                f"the regions are of {differs[0]}, those of {sources[0]!r} of {differs[1]}",
                file=store.root / source,
                remedy=f"move {store.root / wrong} elsewhere and run: {store.command(wrong, like=like)}",
            )


def _new(config: RunConfig, seed: int) -> tuple[Twelve, TwelveProcessor, Prepared, list[str]]:
    """A model of the configured sizes: text from the encoder if one is named, everything else at random."""
    encoder = config.model.text_encoder
    named = config.model.tokenizer or encoder
    data = prepare(config)
    processor = TwelveProcessor(load_tokenizer(named) if named else tokenizer_from(_texts(data)))
    processor.max_regions = config.model.max_regions
    rows = config.model.architecture.get("num_task_tokens")
    rows = rows if isinstance(rows, int) else TOKEN_ROWS  # the model's own check names what is no number
    heads: dict[str, dict[str, Any]] = {}
    for name, task in data.tasks.items():
        key = task.task.output
        processor.add_task(
            name, output=key, max_text=task.max_text, row=task.task.token, reserved=reserved_rows(), rows=rows
        )
        if task.output.own_head:
            heads[key] = {"kind": task.output.head_kind, "size": max(1, len(data.vocabularies.get(key, ())))}
    for key, vocabulary in data.vocabularies.items():
        processor.vocabularies[key] = list(vocabulary)
    sources = sources_of(data)
    _check_one_extractor(data.store, sources)
    for source in sources:
        processor.region_fingerprints[source] = data.store.fingerprint(source)
        processor.region_recipes |= recipe_of(data.store.metadata(source), source)
    asked = architecture(data, config.model.architecture.get("visual_target"))
    fields: dict[str, Any] = {"task_specific_tokens": True, **asked}
    fields |= {"vocab_size": processor.vocab_size} if encoder is None else text_config_from(encoder)
    fields |= {"v_feature_size": data.store.feature_size, "heads": heads}
    if "heads" in config.model.architecture:
        raise ConfigError("heads follow from the tasks", record="model.architecture.heads", remedy="leave it out")
    fields |= config.model.architecture
    _check_fit(fields, data, processor, asked)
    torch.manual_seed(seed)
    try:
        model = Twelve(TwelveConfig(**fields))
    except ConfigError as error:
        raise ConfigError(error.problem, record="model.architecture", remedy=error.remedy) from None
    model.standardise_regions(*_statistics(data))
    start_heads(model, data, data.tasks.values(), processor, seed)
    if encoder is not None:
        load_text_encoder(model, encoder)
    return model, processor, data, []


def _texts(data: Prepared) -> Iterator[str]:
    return (text for task in data.tasks.values() for example in task.train for text in (example.text, *example.options))


def _check_fit(fields: Mapping[str, Any], data: Prepared, processor: TwelveProcessor, asked: Mapping[str, Any]) -> None:
    """The sizes asked for suit the tokenizer, the texts and the regions; better said before a run folder exists."""
    wanted = {
        "vocab_size": (processor.vocab_size, "word pieces of the tokenizer"),
        "max_position_embeddings": (max(processor.max_text.values()), "word pieces of the longest text (max_text)"),
    }
    for name, (least, what) in wanted.items():
        if fields.get(name, least) < least:
            raise ConfigError(
                f"{name} is {fields[name]}, but there are {least} {what}",
                record="model.architecture",
                remedy=f"give {name} at least {least}",
            )
    if fields["v_feature_size"] != data.store.feature_size:
        raise ConfigError(
            f"v_feature_size is {fields['v_feature_size']}, the regions in {data.store.root} have "
            f"{data.store.feature_size} features",
            record="model.architecture",
            remedy="leave v_feature_size out",
        )
    for name, value in asked.items():
        if fields[name] != value:
            raise ConfigError(
                f"{name} is {fields[name]!r}, pretraining on these regions needs {value!r}",
                record="model.architecture",
                remedy=f"leave {name} out",
            )


def _statistics(data: Prepared) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and standard deviation (F,) of region features, every task's images counting the same."""
    means, squares = [], []
    for task in data.tasks.values():
        images = distinct_images(task.train)
        step = max(1, len(images) // (STATISTICS_IMAGES // len(data.tasks)))
        total = square = torch.zeros(())
        count = 0
        for image in images[::step]:
            features = data.store.gather([image]).features[0, 1:].double()
            total, square, count = total + features.sum(0), square + features.square().sum(0), count + len(features)
        means.append(total / count)
        squares.append(square / count)
        if not bool(torch.isfinite(total).all()):
            raise RegionError(
                "features that are not finite numbers",
                file=data.store.root,
                record=task.task.name,
                remedy="delete the files that hold them and extract their images again; those that are damaged are "
                f"found by: twelve regions verify {quoted(data.store.root)}",
            )
    mean = torch.stack(means).mean(0)
    variance = torch.stack(squares).mean(0) - mean.square()
    return mean.float(), variance.clamp_min(1e-6).sqrt().float()


def _describe(config: RunConfig, data: Prepared, model: Twelve, trainer: Trainer, say: Callable[[str], None]) -> None:
    """What will be trained on what, and what that needs, before the first step."""
    say(str(data.cleaned))
    for name, task in data.tasks.items():
        line = f"{task.task.title}: {len(task.train):,} examples to train on, {len(task.validation):,} to validate on"
        for noted in (data.coverage, data.found):
            line += f"; {noted[name]}" if name in noted else ""
        say(line)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    frozen = f" ({trainer.frozen / 1e6:.1f} M frozen)" if trainer.frozen else ""
    threads = "" if trainer.threads.auto else f", {counted(torch.get_num_threads())}"
    say(
        f"one model, {parameters / 1e6:.1f} M parameters{frozen}, {trainer.total} iterations, "
        f"{config.training.precision}{threads} on {trainer.device}"
    )
    need = need_of(trainer)
    for line in (str(need), *advice(need, trainer)):
        say(line)


def summary(data: Prepared) -> dict[str, Any]:
    """What a run was trained on, for its folder."""
    return {
        "cleaned": asdict(data.cleaned),
        "tasks": {
            name: {"train": len(task.train), "validation": len(task.validation), "test_split": task.test_split}
            for name, task in data.tasks.items()
        },
        "coverage": {name: str(coverage) for name, coverage in data.coverage.items()},
        "found": dict(data.found),
        "vocabularies": {key: len(vocabulary) for key, vocabulary in data.vocabularies.items()},
    }


def _write_json(path: Path, tree: Mapping[str, Any] | Sequence[Any]) -> None:
    with files.replacing(path) as partial:
        partial.write_text(json.dumps(tree, indent=1), encoding="utf-8")
