"""What an output is: a head, a loss, a score, a decoding, and the presentation of what it decodes.

Outputs are stateless; :func:`register` adds one instance of each kind to :data:`OUTPUTS`. The trainer, the collator,
the evaluator, the predictor and the report call this interface and never ask which kind they hold.

Axes: E examples, P pairs, R regions (region 0 is the global one), A answers, C candidates, B fused width,
V visual width.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias, TypeVar

import numpy as np

from twelve.outputs.parts.result import Context, Judged, Result, named
from twelve.tasks.base import same_class
from twelve.types.keeping import Keep, computed
from twelve.types.predictions import Card, CardImage, Choice, Prediction, RecordedPrediction

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from twelve.types.batch import Batch
    from twelve.types.examples import Example
    from twelve.types.processor import TextProcessor
    from twelve.types.regions import Regions


Examples: TypeAlias = "Sequence[Example]"
RegionSets: TypeAlias = "Sequence[Regions]"
"""Of every example the regions of its first image, without the global one."""
Labels: TypeAlias = "Sequence[str]"
"""Of the head's vocabulary; empty if it has none."""
TextImagePairs: TypeAlias = "list[list[tuple[str, str]]]"
"""Of every example its (text, image id) pairs, in the order in which the head expects its rows."""
Rng: TypeAlias = np.random.Generator


@dataclass(frozen=True, slots=True)
class Prospects:
    """The scores that N examples can have, whatever the model is.

    Attributes:
        chance: (N,) mean score, 0..1, of a value drawn uniformly from all values that could be decoded.
        best: (N,) score of the best of these values: the upper bound set by the vocabulary or the regions.
    """

    chance: NDArray[np.float64]
    best: NDArray[np.float64]


class Output(abc.ABC):
    """One kind of output. Subclass it in a file of its own and decorate the class with :func:`register`."""

    kind: ClassVar[str]
    """Its name in configurations and in :attr:`twelve.tasks.base.Task.kind`."""
    skill: ClassVar[str] = "other"
    """Group of tasks that it belongs to in the paper: answering, retrieval, pointing, verification."""
    reads: ClassVar[Literal["fused", "regions"]] = "fused"
    """Representation that the head is applied to: fused (P, B) or regions (P, R, V), which are padded. A head whose
    ``forward`` has a second argument ``mask`` also gets (P, R) bool, False at padding, and may pool regions: its logits
    stay as they are. Any other head on regions returns (P, R) or (P, R, A), and 10,000 is subtracted from the logits of
    padding."""
    images: ClassVar[int] = 1
    """Images of an example."""
    needs_vocabulary: ClassVar[bool] = False
    ranks_gallery: ClassVar[bool] = False
    """Measured by ranking every image of a gallery for every text, not example by example."""
    can_be_absent: ClassVar[bool] = False
    """What is asked for may not be in the image: a confidence below that of most right predictions says so."""
    contrasts: ClassVar[bool] = False
    """Its first pair of each example belongs together, so that it can train the contrast head too."""
    negatives: ClassVar[tuple[str, ...]] = ()
    """Where its negatives in training can come from, the default first; empty if it has none to choose."""
    own_head: ClassVar[bool] = True
    """Uses a head of the model's ``heads``; else parts of the model that :meth:`architecture` asks for."""
    shares: ClassVar[bool] = True
    """Equal texts and equal images of a batch share one row; else each pair has its own."""
    shown_as: ClassVar[Literal["sigmoid", "softmax"]] = "sigmoid"
    """Function that turns logits into confidence, 0..1: of each logit by itself, or of all classes together."""
    image_free: ClassVar[Literal["classes", "boxes", "options", "none"]] = "classes"
    """Baselines without images: of :meth:`label` from the text, of a box from its geometry, of the options' texts."""

    # --- presentation: data and words; pages and windows are made by their callers -------------------------------
    asks: ClassVar[str] = ""
    """What a task of this kind asks for, as a sentence in the report."""
    asks_as: ClassVar[Mapping[str, str]] = {}
    """Method of a task -> the same sentence, where it is another one."""
    legend: ClassVar[str] = ""
    """How to read its cards in the report."""
    metrics: ClassVar[Mapping[str, str]] = {}
    """Meanings of official metrics that differ between kinds: {name: sentence}."""
    validated: ClassVar[str] = ""
    """What a validation score is the share of, where :meth:`score` asks for less than the official metric."""
    methods: ClassVar[tuple[str, ...]] = ()
    """Methods of :class:`twelve.Predictor` that ask it; a task may name one, the first is the default. None: a model
    cannot be asked for it."""
    examples: ClassVar[Mapping[str, str]] = {}
    """Method -> a call of it in Python, for a model's card; its first text in double quotes is the question."""
    values: ClassVar[tuple[type, ...]] = (str,)
    """JSON types of its values and targets in ``predictions.jsonl``; a list is a box."""
    index_of: ClassVar[Literal["candidates", "options"] | None] = None
    """Field of the example that int values are indices of; None: they are numbers."""
    graded: ClassVar[bool] = False
    """Whether ``Example.target`` is {value: score in 0..1} instead of a value."""

    def name(self, value: Any) -> str:
        """A value in words."""
        return named(value)

    def card(self, record: RecordedPrediction) -> Card:
        """How the report shows a prediction: images, the value in words, and the alternatives as bars."""
        return Card(
            text=record.text,
            images=self.card_images(record),
            says=self.name(record.value),
            wanted=self.name(record.target),
            choices=self.choices(record, {record.target}),
        )

    def card_images(self, record: RecordedPrediction) -> list[CardImage]:
        """The images of a card, without frames."""
        return [CardImage(image) for image in record.images]

    def choices(self, record: RecordedPrediction, wanted: Any) -> list[Choice]:
        """The alternatives as bars; those in ``wanted`` are marked as right."""
        return [
            Choice(self.name(value), min(1.0, max(0.0, share)), value in wanted, value == record.value)
            for value, share in record.alternatives
        ]

    def result(self, found: Prediction, context: Context) -> Result:
        """What the predictor returns: from Python, the shell and the service."""
        alternatives = tuple((self.name(value), share) for value, share in found.alternatives)
        return Judged(label=self.name(found.value), alternatives=alternatives, **context.fields)

    @property
    def head_kind(self) -> str:
        """The kind whose head is applied; several kinds may use one."""
        return self.kind

    def labels(self, vocabulary: Sequence[str]) -> Sequence[str | bool]:
        """The head's classes, in order; empty if it scores regions or pairs instead.

        Args:
            vocabulary: the head's labels in the processor, if it has any.
        """
        return ()

    # --- the model's side -------------------------------------------------------------------------------------
    @abc.abstractmethod
    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        """The head's module; ``size`` is its number of classes if the kind does not fix it."""

    def architecture(
        self, images: Sequence[str], lookup: Callable[[str], Regions], visual_target: int | None = None
    ) -> dict[str, Any]:
        """Fields of the model's configuration that this output and its training images determine.

        Args:
            visual_target: this field's value in the run or the initial model, if there is one.
        """
        return {}

    @abc.abstractmethod
    def loss(self, logits: Any, targets: Mapping[str, Tensor]) -> Tensor:
        """Scalar loss as in the original program; ``logits`` is what the head returns."""

    @abc.abstractmethod
    def score(self, logits: Any, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) score of each example, as in the original's training and validation."""

    def ranks_by(self, key: str) -> str:
        """Name of the model's output that ranks a gallery; ``key`` names the head."""
        return key

    def matching(self, logits: Tensor) -> Tensor:
        """(P,) how well text and image of each pair match, from the logits of :meth:`ranks_by`."""
        matches: Tensor = logits.reshape(len(logits))
        return matches

    def start_from(self, head: nn.Module, targets: Mapping[str, Tensor]) -> None:
        """Initialize an untrained head's bias with the frequency of each label in ``targets``.

        A head with many labels, few of them right, would otherwise spend hundreds of steps on learning this, with
        gradients that drown those of other tasks (the prior bias of "Focal Loss for Dense Object Detection", Lin et al.
        2017, section 4.1). Other heads need nothing.
        """
        return None

    # --- the data's side --------------------------------------------------------------------------------------
    def prepare(
        self,
        examples: Sequence[Example],
        lookup: Callable[[str], Regions],
        *,
        negatives: str | None = None,
        keep: Keep = computed,
    ) -> Any:
        """What :meth:`pairs` needs from the whole training set (e.g. a pool of hard negatives), computed once.

        Args:
            negatives: one of :attr:`negatives`; None: the default.
            keep: keeps what takes long for later runs.
        """
        return None

    def pairs(self, examples: Examples, rng: Rng | None = None, pool: Any = None) -> TextImagePairs:
        """The pairs of every example.

        Args:
            rng: in training; for negatives, drawn from ``examples`` (the batch) and ``pool``.
            pool: the result of :meth:`prepare`.
        """
        return [[(example.text, example.images[0])] for example in examples]

    def label(self, example: Example) -> Hashable | None:
        """The example's right class, for baselines that learn classes from texts; None without classes."""
        return None

    @abc.abstractmethod
    def targets(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> dict[str, Tensor]:
        """Tensors that :meth:`loss` and :meth:`score` read; examples of a user's questions have no target."""

    def hide(
        self,
        batch: Batch,
        pairs: Sequence[tuple[str, str]],
        processor: TextProcessor,
        rng: Rng,
        part: slice,
    ) -> Batch:
        """The batch for training, with parts hidden that are to be predicted; ``part``: the examples of the batch among
        the examples of all processes."""
        return batch

    @abc.abstractmethod
    def prospects(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> Prospects:
        """Chance and upper bound of every example. Outputs that rank a gallery return the prospects of single pairs."""

    @abc.abstractmethod
    def decode(self, logits: Any, examples: Examples, regions: RegionSets, vocabulary: Labels) -> list[Prediction]:
        """The prediction of every example from the head's logits."""

    def confidence(
        self, logits: Tensor, examples: Examples, regions: RegionSets, vocabulary: Labels
    ) -> NDArray[np.float64]:
        """(E,) confidence of each prediction, 0..1, as :meth:`decode` gives it."""
        return np.array([found.confidence for found in self.decode(logits, examples, regions, vocabulary)])


OUTPUTS: dict[str, Output] = {}
"""Every registered output by kind."""
_Class = TypeVar("_Class", bound=type[Output])


def register(cls: _Class) -> _Class:
    """Class decorator: make a kind of output known under its name. A class that is defined again, as in a cell of a
    notebook, replaces itself."""
    if cls.kind in OUTPUTS and not same_class(type(OUTPUTS[cls.kind]), cls):
        raise ValueError(f"two outputs are of kind {cls.kind!r}")
    OUTPUTS[cls.kind] = cls()
    return cls
