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
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeVar

import numpy as np

from twelve.outputs.parts.result import Context, Judged, Result, named
from twelve.types.predictions import Card, CardImage, Choice, Prediction, RecordedPrediction

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from twelve.types.batch import Batch
    from twelve.types.examples import Example
    from twelve.types.processor import TextProcessor
    from twelve.types.regions import Regions


@dataclass(frozen=True, slots=True)
class Prospects:
    """What each of N examples can score, whatever the model is.

    Attributes:
        chance: (N,) mean score, 0..1, of a value drawn uniformly from all that could be decoded.
        best: (N,) score of the best of these values: the upper bound that the vocabulary or the regions set.
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
    """Representation that the head is applied to: fused (P, B) or regions (P, R, V)."""
    images: ClassVar[int] = 1
    """Images of an example."""
    needs_vocabulary: ClassVar[bool] = False
    ranks_gallery: ClassVar[bool] = False
    """Measured by ranking every image of a gallery for every text, not example by example."""
    own_head: ClassVar[bool] = True
    """Applies a head of the model's ``heads``; else parts of the model that :meth:`architecture` asks for."""
    shares: ClassVar[bool] = True
    """Texts and images that occur twice in a batch are the same rows of it; else each pair has its own."""
    shown_as: ClassVar[Literal["sigmoid", "softmax"]] = "sigmoid"
    """Function that turns logits into scores in 0..1: of each logit by itself, or of all classes together."""
    image_free: ClassVar[Literal["classes", "boxes", "options", "none"]] = "classes"
    """Baselines without images: of :meth:`label` from the text, of a box from its geometry, of the options' texts."""

    # --- presentation: data and words; pages and windows are made by their callers -------------------------------
    asks: ClassVar[str] = ""
    """What a task of this kind asks for, as a sentence in the report."""
    legend: ClassVar[str] = ""
    """How to read its cards in the report."""
    metrics: ClassVar[Mapping[str, str]] = {}
    """Meanings of official metrics that differ between kinds: {name: sentence}."""
    methods: ClassVar[tuple[str, ...]] = ()
    """Methods of :class:`twelve.Predictor` that ask it; a task may name one, the first is the default. None: a model
    cannot be asked for it."""
    example_call: ClassVar[str] = ""
    """A call of such a method, for a model's card."""
    values: ClassVar[tuple[type, ...]] = (str,)
    """JSON types of its values in ``predictions.jsonl``; a list is a box."""
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
        """The head's module; ``size`` is its number of classes where that is not fixed by the kind."""

    def architecture(
        self, images: Sequence[str], lookup: Callable[[str], Regions], visual_target: int | None = None
    ) -> dict[str, Any]:
        """Fields of the model's configuration that follow from this output and its training images.

        Args:
            visual_target: what the run or the model that goes on says of this field, if anything.
        """
        return {}

    @abc.abstractmethod
    def loss(self, logits: Any, targets: Mapping[str, Tensor]) -> Tensor:
        """Scalar loss as the original program computes it; ``logits`` is whatever the head returns."""

    @abc.abstractmethod
    def score(self, logits: Any, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) what each example scores, as the original's training and validation score it."""

    def ranks_by(self, key: str) -> str:
        """What a model is asked for where a gallery is ranked, by an output of the head ``key``."""
        return key

    def matching(self, logits: Tensor) -> Tensor:
        """(P,) how much text and image of each pair belong together, from the logits of :meth:`ranks_by`."""
        matches: Tensor = logits.reshape(len(logits))
        return matches

    def start_from(self, head: nn.Module, targets: Mapping[str, Tensor]) -> None:
        """Let an untrained head begin at what is known without looking: the frequency of each label in ``targets``.

        Heads with many labels of which few are right would else spend their first hundreds of steps on learning
        that, with gradients that drown the other tasks' (the prior bias of "Focal Loss for Dense Object Detection",
        Lin et al. 2017, section 4.1). The other heads start balanced as they are.
        """
        return None

    # --- the data's side --------------------------------------------------------------------------------------
    def prepare(self, examples: Sequence[Example], lookup: Callable[[str], Regions]) -> Any:
        """Whatever :meth:`pairs` needs to know of the whole training set (a pool of hard negatives), computed once."""
        return None

    def pairs(
        self, examples: Sequence[Example], rng: np.random.Generator | None = None, pool: Any = None
    ) -> list[list[tuple[str, str]]]:
        """(text, image id) pairs of every example, in the order the head expects its rows.

        ``rng`` is given while training; an output that needs negatives draws them with it from ``examples`` (other
        members of the batch) and from ``pool`` (what :meth:`prepare` returned).
        """
        return [[(example.text, example.images[0])] for example in examples]

    def label(self, example: Example) -> Hashable | None:
        """The example's right class, for baselines that learn classes from texts; None where there are no classes."""
        return None

    @abc.abstractmethod
    def targets(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> dict[str, Tensor]:
        """Tensors that :meth:`loss` and :meth:`score` read. ``regions`` holds the first image's regions per example
        (without the global one); ``vocabulary`` is the head's label list or empty."""

    def hide(
        self,
        batch: Batch,
        pairs: Sequence[tuple[str, str]],
        processor: TextProcessor,
        rng: np.random.Generator,
        part: slice,
    ) -> Batch:
        """The batch as training sees it, with parts of it hidden where they are what is learnt; ``part``: which of all
        processes' examples it holds."""
        return batch

    @abc.abstractmethod
    def prospects(
        self, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> Prospects:
        """Chance and upper bound of every example. Where a gallery is ranked, that is the gallery's matter, and the
        examples here are single pairs."""

    @abc.abstractmethod
    def decode(
        self, logits: Any, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> list[Prediction]:
        """Predictions of every example from the head's logits."""

    def confidence(
        self, logits: Tensor, examples: Sequence[Example], regions: Sequence[Regions], vocabulary: Sequence[str]
    ) -> NDArray[np.float64]:
        """(E,) how sure each prediction is, 0..1: the scores that :meth:`decode` gives."""
        return np.array([found.score for found in self.decode(logits, examples, regions, vocabulary)])


OUTPUTS: dict[str, Output] = {}
"""Every registered output by kind."""
_Class = TypeVar("_Class", bound=type[Output])


def register(cls: _Class) -> _Class:
    """Class decorator: make a kind of output known under its name."""
    if cls.kind in OUTPUTS and type(OUTPUTS[cls.kind]) is not cls:
        raise ValueError(f"two outputs are of kind {cls.kind!r}")
    OUTPUTS[cls.kind] = cls()
    return cls
