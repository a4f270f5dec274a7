"""The configuration of a run: typed, strict, written beside everything it produces.

A file is YAML; ``--set a.b=c`` changes one value. An unknown key is an error that names the nearest known one.
Files are looked for as given, then among those the package ships (``configs/real-sample.yaml``). Paths in them are
relative to the folder one stands in; those of a run's own config.yaml lead to the same files from anywhere (places.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, field_validator
from pydantic_core import PydanticCustomError

from twelve import files, places
from twelve.config_checks import check_names
from twelve.errors import ConfigError, TwelveError, found_in, nearest
from twelve.inheriting import by_name, inherited
from twelve.yaml_text import read_yaml

SHIPPED = Path(__file__).parent / "configs"


Share: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


def _threads(value: Any) -> Any:
    """A number of threads or ``auto``; absent in the configurations of earlier releases."""
    if value is None or value == "auto":
        return "auto"
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= 1024:
        raise PydanticCustomError("threads", "must be auto or a number from 1 to 1024")
    return value


class Strict(BaseModel):
    """Base of every section: unknown keys are refused, values cannot be changed after reading."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class TaskSettings(Strict):
    """What a run may change of one task; an absent value is the task's own default."""

    report: str | None = None
    """Split that is reported, once, at the end."""
    look: str | None = None
    """Split that training looks at; a share of the training pictures (``carve``) when absent."""
    batch_size: int | None = Field(None, ge=1)
    """Examples a batch (an example may be several pairs)."""
    learning_rate: float | None = Field(None, gt=0)
    """The task's loss is multiplied by learning_rate / the smallest one among the run's tasks."""
    max_text: int | None = Field(None, ge=3)
    """Word pieces a text keeps, [CLS] and [SEP] included."""
    max_train: int | None = Field(None, ge=1)
    """Train on this many examples only (whole pictures, chosen by the seed): for learning curves."""
    train: str | None = None
    """Split to train on; the task's own training split when absent. Of a task of your own: the file, which it needs."""
    kind: Literal["answer", "retrieval", "region", "candidates", "pair", "entailment", "pretraining"] | None = None
    """Makes this a task of your own (tasks/custom.py): its splits are files, and it alone has what follows."""
    captions: str | None = None
    """Of kind pretraining: the task whose captions it learns from, in place of files."""
    images: str | None = None
    """Folder of its pictures in the data root's ``images``; the task's name when absent."""
    output: str | None = None
    """Head that it uses; the one of its kind when absent, a new one under a new name."""
    title: str | None = None
    """Its name for people."""


class VocabularySettings(Strict):
    """Answers that an answer head can give."""

    min_count: int = Field(9, ge=1)
    """An answer is kept when at least this many training questions have it (9: the official threshold)."""
    label_maps: Mapping[str, str] = Field(default_factory=dict)
    """output key -> JSON file with a given list of answers, used as it stands."""


class ModelSettings(Strict):
    """Either ``init`` (a saved model to go on from) or the sizes of a new one."""

    init: str | None = None
    """A model folder or a run: its weights, processor and sizes are the start."""
    allow_other_features: bool = False
    """Go on from ``init`` with regions of another extractor than it was trained on: a warning instead of an error."""
    text_encoder: str | None = None
    """BERT-architecture encoder that the text stream starts from: a folder, a hub name or ``package:MODULE``."""
    tokenizer: str | None = None
    """Folder of the tokenizer; the text encoder's own by default, without one the words of the training texts."""
    max_regions: int = Field(100, ge=1)
    """Detected regions of an image that are kept, the first ones of the file (the global one comes on top)."""
    architecture: Mapping[str, Any] = Field(default_factory=dict)
    """Fields of TwelveConfig, by their names in the released configurations."""


class OptimizerSettings(Strict):
    """AdamW and the learning-rate schedule of the original program: see twelve/training/optimizer.py."""

    head_learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: float = Field(1e-6, gt=0)
    bias_correction: bool = False
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the steps with a rising learning rate."""
    rate_first: bool = False
    """The learning rate goes on before each step (as in the original's pretraining), not after it."""
    idle_gradients: Literal["zero", "none"] = "zero"
    """Gradients of parts that a step does not use: "zero" keeps them moving on momentum, "none" leaves them alone."""
    factors: Mapping[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """Learning-rate factor by prefix of the parameter's name, e.g. {text: 0.3}."""
    layer_decay: float = Field(1.0, gt=0, le=1)
    """Learning-rate factor from a layer to the one below it: heads learn at their full rate, what lies deep slowly."""
    accumulate: int = Field(1, ge=1)
    """Iterations whose gradients add up before a step."""


class FreezeSettings(Strict):
    """Parts of the model that do not train: no gradients are computed for them, no optimizer states kept."""

    text_layers: int | None = Field(None, ge=0)
    """Embedding and first layers of the text stream (0: the embedding alone); the task tokens train all the same."""
    image_layers: int | None = Field(None, ge=0)
    """The same of the visual stream."""
    names: tuple[str, ...] = ()
    """Prefixes of parameter names, e.g. [connections.0, text.embedding.tasks]."""
    all_but_heads: bool = False
    """Everything but the heads (and, where a task is new to the model, the task tokens)."""
    but: tuple[str, ...] = ()
    """Prefixes of what trains all the same, e.g. [text.embedding.words]."""


class ScheduleSettings(Strict):
    """Which tasks train in an iteration."""

    name: str = "stop-and-go"
    options: Mapping[str, Any] = Field(default_factory=dict)


class TrainingSettings(Strict):
    """Length, precision and rhythm of a run."""

    iterations: int | None = Field(None, ge=1)
    """Length of the run; ``epochs`` of the longest task when absent."""
    epochs: float = Field(20, gt=0)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    sharding: bool = False
    """Several processes share the parameters, gradients and optimizer states (FSDP) instead of each holding all."""
    recompute: bool = False
    """Activations of the layers are computed again in the backward pass instead of kept: less memory, more time."""
    look_every: int | None = Field(None, ge=1)
    """Iterations between looks at the carved split; each task's own epoch when absent (as the original)."""
    look_examples: int | None = Field(None, ge=1)
    """Examples a look uses at most."""
    log_every: int = Field(10, ge=1)
    save_every: int = Field(200, ge=1)
    keep: int = Field(2, ge=1)
    """Checkpoints kept."""
    patience: int | None = Field(None, ge=1)
    """Stop when the mean look score has not risen for this many looks (never when absent)."""
    workers: int = Field(0, ge=0)
    threads: Annotated[int | Literal["auto"], PlainValidator(_threads)] = "auto"
    """CPU threads; ``auto`` measures how many are fastest, now and then (twelve/threads.py)."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()


class MicroworldSettings(Strict):
    """The drawn world that ``twelve quickstart`` makes when the data root is not there yet; its seed is the run's."""

    scale: float = Field(1.0, ge=0.05, le=100)
    """Times as many pictures to train on as the default world has."""


class EvaluationSettings(Strict):
    batch_size: int = Field(128, ge=1)
    """Pairs a forward pass."""
    derangements: int = Field(5, ge=0)
    """Fixed shufflings of the pictures that the shuffled floor averages."""
    resamples: int = Field(2000, ge=100, le=100_000)
    """Bootstrap resamples; more of them change no digit that is shown, and a study keeps all their means in memory."""


class RunConfig(Strict):
    """A whole run."""

    run: str = Field(min_length=1)
    """Folder that the run writes."""
    data: str
    """Data root with the official files."""
    regions: str | None = None
    """Folder with the region stores; ``regions`` in the data root when absent."""
    sources: Mapping[str, str] = Field(default_factory=dict)
    """task -> image source, where it differs from the task's own."""
    tasks: Mapping[str, TaskSettings] = Field(min_length=1)
    replay: tuple[str, ...] = ()
    """Tasks that ``model.init`` knows and that begin in stop mode, to be woken when they fall below their first score;
    in a file also ``all``: those of the run that ``model.init`` names."""
    hold_out: Literal["test", "test+val"] = "test"
    """Pictures of these splits of any task are taken out of every task's training set."""
    carve: float = Field(0.05, gt=0, lt=0.5)
    """Share of the training pictures on which stop-and-go and early stopping look."""
    seed: int = Field(0, ge=0, lt=2**32)
    vocabulary: VocabularySettings = VocabularySettings()
    model: ModelSettings = ModelSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    freeze: FreezeSettings = FreezeSettings()
    schedule: ScheduleSettings = ScheduleSettings()
    training: TrainingSettings = TrainingSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    microworld: MicroworldSettings = MicroworldSettings()

    @field_validator("tasks", mode="before")
    @classmethod
    def _empty_settings(cls, value: Any) -> Any:
        """``vqa:`` with nothing under it, or a plain list of names, means defaults."""
        if isinstance(value, list | tuple):
            return {name: {} for name in value}
        if isinstance(value, Mapping):
            return {name: {} if settings is None else settings for name, settings in value.items()}
        return value

    @property
    def regions_folder(self) -> Path:
        return Path(self.regions) if self.regions else Path(self.data) / "regions"

    def absolute(self) -> dict[str, Any]:
        """The complete configuration as plain values, its paths absolute."""
        return places.absolute(self.model_dump(mode="json"))

    def write(self, path: Path) -> None:
        """Write the complete configuration as YAML that :func:`load` reads back, its paths absolute."""
        text = yaml.safe_dump(self.absolute(), sort_keys=False, allow_unicode=True)
        with files.replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")


def shipped() -> dict[str, Path]:
    """Configurations that come with the package, by name."""
    return {path.name: path for path in sorted(SHIPPED.glob("*.yaml"))}


def find(path: str | Path) -> Path:
    """The file itself if it exists, else the shipped configuration of that name."""
    path = Path(path)
    if path.is_file():
        return path
    known = shipped()
    if path.name in known and path.parent in (Path(), Path("configs")):
        return known[path.name]
    stems = [Path(name).stem for name in known]  # every name has the same ending, which says nothing
    raise ConfigError(
        "no such configuration" + nearest(path.stem, stems), file=path, remedy=f"shipped ones: {', '.join(known)}"
    )


def read_text(file: Path) -> str:
    """The text of a configuration.

    Raises:
        ConfigError: it cannot be read, or is no text.
    """
    try:
        return file.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(
            f"cannot be read: {error.strerror}", file=file, remedy=files.reading_remedy(error, file, "copy it again")
        ) from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"not UTF-8 text: {error}", file=file, remedy="save it as UTF-8") from None


def load(path: str | Path, settings: Sequence[str] = ()) -> RunConfig:
    """Read a configuration and apply ``a.b=c`` settings (values are YAML).

    Raises:
        ConfigError: not YAML, an unknown key, a value of the wrong type, an unknown task.
    """
    file = find(path)
    tree = read_yaml(read_text(file), file)
    if not isinstance(tree, dict):
        raise ConfigError(
            "must be a mapping of keys to values",
            file=file,
            remedy="start from a shipped one: twelve configs real-sample.yaml > mine.yaml",
        )
    tree = places.of_run(tree, file)
    for setting in settings:
        tree = _apply(tree, setting)
    with naming(file, settings):
        return parse(inherited(tree))


@contextmanager
def naming(path: str | Path, settings: Sequence[str] = ()) -> Iterator[None]:
    """Errors from within that name no file are put down to the last setting that reaches the key, or to this file."""
    try:
        yield
    except TwelveError as error:
        if error.file is not None:
            raise
        file, place = str(find(path)), f"{error.record}." if error.record else "."
        for setting in reversed(settings):
            key = setting.partition("=")[0] + "."
            if place.startswith(key):
                raise error.located(f"--set {setting}") from None
            if key.startswith(place):  # the setting changes a part of the place; the file may hold the rest
                file = f"{file} with --set {setting}"
                break
        raise error.located(file) from None


def parse(tree: Mapping[str, Any], file: str | Path | None = None) -> RunConfig:
    """Validate a tree of plain values; ``file`` is only named in errors."""
    try:
        config = RunConfig.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        where = [str(part) for part in first["loc"]]
        message, remedy = first["msg"], "see docs/configuration.md"
        if first["type"] == "extra_forbidden":
            known = _keys_at(RunConfig, where[:-1])
            message = f"unknown key{nearest(where[-1], known)}"
            remedy = f"known here: {', '.join(known)}"
        elif first["type"] in ("missing", "tuple_type") and where[0] == "optimizer":
            message, remedy = "two numbers are needed", "write [0.9, 0.999]"
        elif first["type"] in ("dict_type", "model_type"):
            message = f"must be a mapping of keys to values, found {repr(first['input'])[:40]}"
        elif first["type"] == "missing":
            message, remedy = (
                "this key is required",
                f"add {'.'.join(where)} to the file, or --set {'.'.join(where)}=VALUE",
            )
        else:
            message += f", found {repr(first['input'])[:40]}"
        raise ConfigError(message, file=file, record=".".join(where), remedy=remedy) from None
    with nullcontext() if file is None else found_in(file):
        check_names(config)
    return config


def _apply(tree: dict[str, Any], setting: str) -> dict[str, Any]:
    """The tree with one setting."""
    key, equals, text = setting.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"cannot read setting {setting!r}", remedy="write --set a.b=value")
    value = read_yaml(text, f"--set {setting}")
    node, parts = tree, key.split(".")
    if parts[0] == "tasks":
        tree["tasks"] = by_name(tree.get("tasks"))  # tasks: [a, b] in the file
        with found_in(f"--set {setting}"):
            chosen = _chosen_tasks(tree["tasks"], parts[1:], value)
        if chosen is not None:
            return tree | {"tasks": chosen}
    for part in parts[:-1]:
        child = node.get(part)
        if not isinstance(child, dict):
            child = {}
        node[part] = child
        node = child
    node[parts[-1]] = value
    return tree


def _chosen_tasks(tasks: Any, below: Sequence[str], value: Any) -> dict[str, Any] | None:
    """What ``tasks=[a, b]`` and ``tasks.a=null`` leave of the tasks, each with the settings that it had; None for any
    other setting.

    Raises:
        ConfigError: the task to leave out is not there.
    """
    there = tasks if isinstance(tasks, dict) else {}
    names = by_name(value)
    if not below and isinstance(value, list) and isinstance(names, dict):
        return {name: there.get(name) for name in names}
    if len(below) != 1 or value is not None:
        return None
    if below[0] not in there:
        raise ConfigError(
            f"there is no task {below[0]!r} to leave out{nearest(below[0], there)}",
            record=f"tasks.{below[0]}",
            remedy=f"to add it with its defaults: --set tasks.{below[0]}={{}}",
        )
    return {name: settings for name, settings in there.items() if name != below[0]}


def _keys_at(model: type[BaseModel], path: Sequence[str]) -> list[str]:
    """Known keys of the section that ``path`` leads to."""
    for part in path:
        annotation = model.model_fields[part].annotation if part in model.model_fields else None
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
        elif part == "tasks":
            model = TaskSettings
    return list(model.model_fields)
