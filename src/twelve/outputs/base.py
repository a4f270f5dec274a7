"""What an output is: a head, a loss, a score and a decoding, with the data each needs.

Outputs are stateless; one instance per kind lives in :data:`OUTPUTS`. The trainer, the collate function
and the evaluator call this interface and never ask which kind they hold.

Axes: E examples, P pairs, R regions (region 0 is the global one), A answers, C candidates, B fused width,
V visual width.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from twelve.tasks.base import HEADS
from twelve.types.examples import Example
from twelve.types.regions import Regions

if TYPE_CHECKING:
    from twelve.types.batch import Batch
    from twelve.types.processor import TextProcessor


@dataclass(frozen=True, slots=True)
class Prediction:
    """A decoded output of one example.

    Attributes:
        value: an answer, a box (xyxy pixels), the index of a candidate, a bool or a class name.
        score: of that value, in 0..1.
        alternatives: the best values with their scores, best first; the chosen one is the first of them.
    """

    value: Any
    score: float
    alternatives: tuple[tuple[Any, float], ...] = ()


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
    kind: ClassVar[str]
    skill: ClassVar[str] = "other"
    """What the tasks of one of the paper's four groups have in common: answering, retrieval, pointing, verification."""
    reads: ClassVar[Literal["fused", "regions"]]
    """Which representation the head is applied to: fused (P, B) or regions (P, R, V)."""

    @property
    def head_kind(self) -> str:
        """The kind whose head is applied: several kinds may use one."""
        return HEADS.get(self.kind, self.kind)

    needs_vocabulary: ClassVar[bool] = False
    ranks_gallery: ClassVar[bool] = False
    """Measured by ranking every image of a gallery for every text, not example by example."""
    own_head: ClassVar[bool] = True
    """Applies a head of the model's ``heads``; else parts of the model that :meth:`architecture` asks for."""
    shares: ClassVar[bool] = True
    """Texts and images that occur twice in a batch are the same rows of it; else each pair has its own."""
    shown_as: ClassVar[Literal["sigmoid", "softmax"]] = "sigmoid"
    """What makes a score in 0..1 of logits: of each by itself, or of all classes together."""

    def labels(self, vocabulary: Sequence[str]) -> Sequence[str | bool]:
        """What the head's classes are, in order; empty where it scores regions or pairs instead.

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
