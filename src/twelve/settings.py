"""What a run may be told: typed, strict, written beside everything it produces. How a file is read: config.py."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, field_validator
from pydantic_core import PydanticCustomError

from twelve.io import files, paths

Share: TypeAlias = Annotated[float, Field(ge=0, lt=1)]
Precision: TypeAlias = Literal["auto", "fp32", "bf16"]
"""Of predictions, see twelve/model/precision.py."""
MOST_WEIGHT = 1000
"""Largest weight of the contrast head's logit in a retrieval score."""


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

    test_split: str | None = None
    """Split that is reported, once, at the end."""
    val_split: str | None = None
    """Split that training validates on; a share of the training images (``val_fraction``) when absent."""
    batch_size: int | None = Field(None, ge=1, examples=[64])
    """Examples a batch (an example may be several pairs)."""
    learning_rate: float | None = Field(None, gt=0, examples=[4e-5])
    """The task's loss is multiplied by learning_rate / the smallest one among the run's tasks (unless
    optimizer.task_scale says otherwise)."""
    max_text: int | None = Field(None, ge=3, examples=[30])
    """Maximum number of word pieces of a text, including [CLS] and [SEP]; longer texts are cut."""
    negatives: Literal["batch", "train"] | None = None
    """Retrieval: where the other caption and the other image of a training example come from. ``batch``, the default:
    from its batch, so that nothing more is encoded; ``train``, as the original: from the whole training set."""
    max_train: int | None = Field(None, ge=1, examples=[1000])
    """Train on this many examples only (whole images, chosen by the seed): for learning curves."""
    train: str | None = None
    """Split to train on; the task's own training split when absent. Of a task of your own: the file, which it needs."""
    kind: str | None = None
    """Makes this a task of your own, one of the kinds in tasks/custom.py: its splits are files, and it alone has what
    follows."""
    captions: str | None = None
    """Of kind pretraining: the task whose captions it learns from, instead of files."""
    images: str | None = None
    """Folder of its images in the data root's ``images``; the task's name when absent."""
    output: str | None = None
    """Head that it uses; the one of its kind when absent, a new one under a new name."""
    title: str | None = None
    """Its name for people. Of a known task: what the data are called that stand in for the dataset's; published scores
    are then not shown beside its own."""


class VocabularySettings(Strict):
    """Answers that an answer head can give."""

    min_count: int = Field(9, ge=1)
    """An answer is kept when at least this many training questions have it (9: the official threshold)."""
    counted: Mapping[str, Mapping[str, tuple[str, ...]]] = Field(default_factory=dict)
    """output key -> task -> splits whose questions are counted; the training examples of all tasks with this output
    when absent. {answer: {vqa: [train, val]}} gives the original's 3,129 answers of VQA v2."""
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
    task_tokens: Literal["dataset", "head", "none"] | None = None
    """The learned token after [CLS]: one for each dataset (as the original), one for the tasks of a head, or none. When
    absent: as in ``init``, one for each dataset in a new model."""
    architecture: Mapping[str, Any] = Field(default_factory=dict)
    """Fields of TwelveConfig, by their names in the released configurations."""

    @property
    def grows(self) -> bool:
        """Whether the text layers begin with random weights, so that they can have any number of positions."""
        return self.init is None and self.text_encoder is None


class OptimizerSettings(Strict):
    """AdamW and the learning-rate schedule of the original program: see twelve/training/optimizer.py."""

    head_learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.01, ge=0)
    betas: tuple[Share, Share] = (0.9, 0.999)
    eps: float = Field(1e-6, gt=0)
    bias_correction: bool = False
    warmup: float = Field(0.1, ge=0, le=1)
    """Share of the steps with a rising learning rate."""
    decay: Literal["linear", "none"] = "linear"
    """Whether the learning rate falls to 0 at the end of the run, or stays after the warm-up."""
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
    task_scale: Literal["lr", "norm", "lr_norm"] = "lr"
    """Factors of the tasks' gradients: "lr", their learning rates over the smallest one, as the original; "norm", such
    that all have the same running norm on the trunk; "lr_norm", norms in the ratio of the rates (task_scale.py)."""
    states: Literal["shared", "task"] = "shared"
    """Whether tasks share the moments of AdamW, or each has its own."""
    update: Literal["task", "iteration"] = "task"
    """A step after each task's batch, or one with the sum of the gradients of all batches of an iteration."""
    together: int = Field(1, ge=1, le=255)
    """Tasks whose gradients are computed at the same weights, before the steps of these tasks. On Linux, processes then
    compute them at the same time, one on each of ``training.threads`` cores (training/side_by_side.py)."""


class FreezeSettings(Strict):
    """Parts of the model that do not train: no gradients are computed for them, no optimizer states kept."""

    text_layers: int | None = Field(None, ge=0, examples=[4])
    """Embedding and first layers of the text stream (0: the embedding alone); the task tokens train all the same."""
    image_layers: int | None = Field(None, ge=0, examples=[2])
    """The same of the visual stream."""
    names: tuple[str, ...] = ()
    """Prefixes of parameter names, e.g. [connections.0, text.embedding.tasks]."""
    all_but_heads: bool = False
    """Everything but the heads (and, where a task is new to the model, the task tokens)."""
    but: tuple[str, ...] = ()
    """Prefixes of what trains all the same, e.g. [text.embedding.words]."""


class ContrastSettings(Strict):
    """A head that gives each word and each region a vector, which retrieval makes its shortlists of."""

    size: int = Field(64, ge=8, le=4096)
    """Width of the vectors."""
    weight: float = Field(1.0, gt=0)
    """Factor of the head's loss beside that of the task."""
    distill: float = Field(1.0, ge=0)
    """Weight of learning the joint model's choice among the pairs that it scores, beside the contrastive loss."""
    hard_negatives: float = Field(0.0, ge=0, le=1)
    """Share of the tasks' hard negatives that the head chooses, drawn by its similarities; the others are captions of
    images with similar features."""
    refresh: int = Field(500, ge=1)
    """Iterations after which the head chooses again; it does not choose before."""


class ScheduleSettings(Strict):
    """Which tasks train in an iteration."""

    name: str = "stop-and-go"
    options: Mapping[str, Any] = Field(default_factory=dict)


class BalancingSettings(Strict):
    """How much each task counts (training/balancing)."""

    name: str
    options: Mapping[str, Any] = Field(default_factory=dict)


class TrainingSettings(Strict):
    """Length, precision and rhythm of a run."""

    iterations: int | None = Field(None, ge=1, examples=[1000])
    """Length of the run; ``epochs`` of the longest task when absent."""
    epochs: float = Field(20, gt=0)
    precision: Literal["fp32", "bf16", "fp16"] = "fp32"
    packed: bool = False
    """Compute no padding, on a CPU: faster. Dropout then draws for fewer positions, so the same seed trains another
    model."""
    tf32: bool = False
    """On a GPU, products of fp32 numbers read 10 bits of their fractions, not 23 (TF32): several times as fast."""
    compile: bool = False
    """torch.compile makes one program of each layer: minutes at the start, faster steps on a GPU, other rounding."""
    sharding: bool = False
    """Several processes share the parameters, gradients and optimizer states (FSDP) instead of each holding all."""
    gradient_checkpointing: bool = False
    """Activations of the layers are computed again in the backward pass instead of kept: less memory, more time."""
    eval_every: int | None = Field(None, ge=1, examples=[200])
    """Iterations between validations; each task's own epoch when absent (as the original)."""
    eval_examples: int | None = Field(None, ge=1, examples=[1000])
    """Examples that a validation reads at most."""
    log_every: int = Field(10, ge=1)
    save_every: int = Field(200, ge=1)
    keep: int = Field(2, ge=1)
    """Checkpoints kept."""
    keep_model: Literal["best", "last"] = "best"
    """Which model stays in the run's folder: that of the best mean validation score, or of the last validation. The
    last is safer where so few validation examples are held out that the best score is chance."""
    patience: int | None = Field(None, ge=1, examples=[5])
    """Stop when the mean validation score has not risen for this many validations (never when absent)."""
    workers: int = Field(0, ge=0)
    threads: Annotated[int | Literal["auto"], PlainValidator(_threads)] = "auto"
    """CPU threads; ``auto`` measures how many are fastest, now and then (twelve/threads.py)."""
    trackers: tuple[Literal["tensorboard", "wandb", "trackio"], ...] = ()


class MicroworldSettings(Strict):
    """The microworld that ``twelve quickstart`` generates, with the run's seed, if the data root does not exist; a
    study generates one for each of its seeds."""

    scale: float = Field(1.0, ge=0.05, le=100)
    """Times as many images to train on as the default world has."""
    apart: bool = False
    """Tasks share nothing: each has its own images, words and object appearances."""
    draw_wordings: bool = False
    """The seed draws which wordings the training sets lack; otherwise, these are the same for every seed."""


class EvaluationSettings(Strict):
    batch_size: int = Field(128, ge=1)
    """Pairs a forward pass."""
    precision: Precision = "auto"
    """Of the layers, in validations too; ``auto`` is bf16 where it is faster, in models with wide layers."""
    shortlist: int | None = Field(None, ge=0, examples=[128])
    """Retrieval: images of a caption, and captions of an image, that the model ranks, chosen by the contrast head; 0 or
    absent: all."""
    contrast_weight: float = Field(0.0, ge=0, le=MOST_WEIGHT)
    """Retrieval: weight of the contrast head's logit in the score of a pair, beside the model's own; 0: the model's
    alone."""
    protocols: Mapping[str, str] = Field(default_factory=dict)
    """Task -> name of the protocol that it is evaluated by, as in docs/score.md; a task's first one when absent."""
    gallery: int | None = Field(None, ge=2, examples=[100])
    """Retrieval: rank the first images of the split, this many, in tasks that ``protocols`` does not name; the numbers
    are then called after the gallery ("R@1 of 100"). When absent: the gallery of published numbers."""
    derangements: int = Field(5, ge=0)
    """Fixed shufflings of the images that the shuffled baseline averages."""
    resamples: int = Field(2000, ge=100, le=100_000)
    """Bootstrap resamples; more of them change no digit that is shown, and a study keeps all their means in memory."""
    together: int = Field(1, ge=1, le=255)
    """Tasks that are measured at the same time on Linux, each on one of ``training.threads`` cores; more than one pays
    for small models, and takes memory for each."""


class RunConfig(Strict):
    """A whole run."""

    run: str = Field(min_length=1, examples=["runs/mine"])
    """Folder that the run writes."""
    data: str
    """Data root with the official files."""
    regions: str | None = None
    """Folder with the region stores; ``regions`` in the data root when absent."""
    sources: Mapping[str, str] = Field(default_factory=dict)
    """task -> image source, where it differs from the task's own."""
    tasks: Mapping[str, TaskSettings] = Field(min_length=1)
    replay: tuple[str, ...] = ()
    """Tasks of the model in ``model.init`` that start in stop mode. Such a task resumes full training when its score
    falls below the one it started with. In a file also ``all``: all tasks of the run that ``model.init`` names."""
    hold_out: Literal["none", "test", "test+val"] = "test"
    """Images of these splits of any task are taken out of every task's training set; ``none``: the paper's models that
    are not "clean"."""
    validation_images: Literal["apart", "shared"] = "apart"
    """``apart``: no task trains on an image of a split that any task validates on (``val_split``) or reports.
    ``shared``, as in the original: only ``hold_out`` removes images, and a split that was cut between questions shares
    images with its own training set. Images held back by ``val_fraction`` are apart in any case."""
    val_fraction: float = Field(0.05, gt=0, lt=0.5)
    """Share of the training images that stop-and-go and early stopping validate on."""
    seed: int = Field(0, ge=0, lt=2**32)
    vocabulary: VocabularySettings = VocabularySettings()
    model: ModelSettings = ModelSettings()
    optimizer: OptimizerSettings = OptimizerSettings()
    freeze: FreezeSettings = FreezeSettings()
    contrast: ContrastSettings | None = None
    """Trains the contrast head with every task that matches captions with images; without it there is none."""
    schedule: ScheduleSettings = ScheduleSettings()
    balancing: BalancingSettings | None = None
    """Weighs the tasks' losses or gradients; without it they add up as they are."""
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
        return paths.absolute(self.model_dump(mode="json"))

    def write(self, path: Path) -> None:
        """Write the complete configuration as YAML that :func:`load` reads back, its paths absolute."""
        text = yaml.safe_dump(self.absolute(), sort_keys=False, allow_unicode=True)
        with files.replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")
