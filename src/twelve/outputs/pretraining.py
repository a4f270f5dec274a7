"""Pretraining: hidden words, hidden regions, and whether caption and image belong together.

The objective is ViLBERT's (Lu et al. 2019) as modified in "12-in-1" (Lu et al. 2020, section 3): half of the images get
another image's caption, and such a pair only contributes the mismatch. A pretrained model is evaluated by retrieving
the images of captions without further training.

Axes: E examples, P pairs (one an example), L text length, R regions (without the global one here), C region classes (or
feature size), M hidden words, N hidden regions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from twelve.errors import ConfigError, RegionError
from twelve.outputs.alignment import Ranking
from twelve.outputs.base import Examples, Labels, Prospects, RegionSets, Rng, TextImagePairs, register
from twelve.outputs.parts.later import F, Tensor, nn, torch
from twelve.outputs.parts.losses import precise
from twelve.outputs.parts.masking import choose_regions, hide_words, without
from twelve.types.examples import Example
from twelve.types.keeping import Keep, computed
from twelve.types.predictions import Prediction
from twelve.types.regions import Regions

if TYPE_CHECKING:
    from twelve.types.batch import Batch
    from twelve.types.processor import TextProcessor

CLASSES, FEATURES = 0, 1
"""Values of ``visual_target``: the model predicts a hidden region's class probabilities, or its feature."""
TRIES = 1000
"""Captions that are drawn at most to find one of another image."""


@dataclass(frozen=True, slots=True)
class PretrainingLogits:
    """Logits at hidden positions: words (M, vocabulary), regions (N, C), alignment (P, 2) with column 0 for pairs that
    belong together; ``visual_target`` as in the model's configuration."""

    words: Tensor
    regions: Tensor
    alignment: Tensor
    visual_target: int

    def float(self) -> PretrainingLogits:
        return replace(
            self, words=precise(self.words), regions=precise(self.regions), alignment=precise(self.alignment)
        )


@dataclass(frozen=True)
class PretrainingLosses:
    """The three terms, scalars; a term without hidden positions is 0 (in the original it is not a number)."""

    words: Tensor
    regions: Tensor
    alignment: Tensor

    @property
    def total(self) -> Tensor:
        return self.words + self.regions + self.alignment


def losses_of(logits: PretrainingLogits, *, words: Tensor, regions: Tensor, mismatched: Tensor) -> PretrainingLosses:
    """The three terms of the original's loss, each a mean over its hidden positions; 0 without any.

    Args:
        words: (M,) int64 word pieces that were hidden.
        regions: (N, C) class distributions or features that were hidden.
        mismatched: (P,) int64, 1 if text and image do not belong together, -1 if the pair does not count.
    """
    scores = precise(logits.words)
    alignment = F.cross_entropy(precise(logits.alignment), mismatched, ignore_index=-1, reduction="sum")
    return PretrainingLosses(
        words=F.cross_entropy(scores, words, reduction="sum") / max(1, len(words)),
        regions=region_loss(logits.regions, regions, logits.visual_target),
        alignment=alignment / (mismatched != -1).sum().clamp(min=1),
    )


def region_loss(scores: Tensor, targets: Tensor, visual_target: int) -> Tensor:
    """Loss of N hidden regions from (N, C) scores and targets: Kullback-Leibler divergence from the class distribution,
    summed over the classes and averaged over the regions (0), or mean squared error to the feature (1)."""
    scores, targets = precise(scores), targets.to(precise(scores).dtype)
    if visual_target == CLASSES:
        total = F.kl_div(scores.log_softmax(-1), targets, reduction="sum")
        return total / max(1, len(scores))
    if visual_target == FEATURES:
        return (scores - targets).square().sum() / max(1, scores.numel())
    raise _not_offered(visual_target)


def _not_offered(visual_target: object) -> ConfigError:
    return ConfigError(
        f"no loss is offered for visual_target {visual_target}", remedy="pretrain with visual_target 0 or 1"
    )


@register
class Pretraining(Ranking):
    """Captions with hidden words beside images with hidden regions."""

    kind = "pretraining"
    skill = "pretraining"
    asks = "Find the image that a caption describes, trained on hidden words and regions alone."
    methods = ()
    own_head = False
    shares = False

    def head(self, *, fused_size: int, visual_size: int, size: int) -> nn.Module:
        raise ConfigError("the heads of pretraining are not among a model's heads", remedy="set pretraining: true")

    def architecture(
        self, images: Sequence[str], lookup: Callable[[str], Regions], visual_target: int | None = None
    ) -> dict[str, Any]:
        """The heads, and their target for regions: class probabilities, if the regions of every source have them.

        Raises:
            RegionError: ``visual_target`` requires class probabilities and the regions have none.
            ConfigError: ``visual_target`` has another value.
        """
        if visual_target not in (None, CLASSES, FEATURES):
            raise _not_offered(visual_target)
        of_source = {image.partition("/")[0]: image for image in reversed(images)}
        seen = [lookup(image) for image in of_source.values()]
        sizes = {None if each.class_probabilities is None else each.class_probabilities.shape[1] for each in seen}
        if visual_target == FEATURES or (visual_target is None and (None in sizes or len(sizes) > 1)):
            features = seen[0].features
            assert features is not None  # a run's regions have features
            return {"pretraining": True, "visual_target": FEATURES, "v_target_size": features.shape[1]}
        size, *more = sizes
        if size is None or more:
            raise RegionError(
                "the regions have no distribution over classes" if size is None else "distributions of several sizes",
                record=", ".join(of_source),
                remedy="delete their region files and extract them again with --class-probabilities, or say "
                "--set model.architecture.visual_target=1",
            )
        return {"pretraining": True, "visual_target": CLASSES, "v_target_size": size}

    # --- the data's side --------------------------------------------------------------------------------------
    def prepare(
        self,
        examples: Sequence[Example],
        lookup: Callable[[str], Regions],
        *,
        negatives: str | None = None,
        keep: Keep = computed,
    ) -> Sequence[Example]:
        """All captions of the training set, for mismatched pairs."""
        return examples

    def pairs(self, examples: Examples, rng: Rng | None = None, pool: Examples | None = None) -> TextImagePairs:
        """One pair an example; in training (with ``rng``), half of them on average get another image's caption from
        ``pool``.

        Raises:
            ConfigError: there is no other caption.
        """
        if rng is None:
            return super().pairs(examples)
        captions = examples if pool is None else pool
        mismatched = rng.random(len(examples)) > 0.5
        return [
            [(_another(example, captions, rng) if other else example.text, example.images[0])]
            for example, other in zip(examples, mismatched.tolist(), strict=True)
        ]

    def targets(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> dict[str, Tensor]:
        """Those of complete, matching pairs; :meth:`hide` makes those of training."""
        return {"mismatched": torch.zeros(len(examples), dtype=torch.int64)}

    def hide(
        self,
        batch: Batch,
        pairs: Sequence[tuple[str, str]],
        processor: TextProcessor,
        rng: Rng,
        part: slice,
    ) -> Batch:
        """The batch with hidden words and regions as targets.

        Targets: ``mismatched`` (P,); ``words`` (M,) and ``word_pair`` (M,), the pair of each; ``region_pair``
        (N,), ``region_features`` (N, F) and, if the regions have them, ``region_classes`` (N, C).
        """
        mismatched = torch.tensor(
            [text != example.text for (text, _), example in zip(pairs, batch.examples, strict=True)]
        )
        special = torch.tensor([processor.special[token] for token in ("[PAD]", "[CLS]", "[SEP]")])
        words = ~torch.isin(batch.input_ids, special)
        # Drawn for the whole batch, so that the number of processes makes no difference.
        draws = [
            torch.from_numpy(rng.random((batch.everywhere, most))[part, :count])
            for most, count in (
                (processor.max_text[batch.task], batch.input_ids.shape[1]),
                (processor.max_regions, batch.boxes.shape[1] - 1),
            )
        ]
        mask_id, vocabulary = processor.special["[MASK]"], processor.vocab_size
        input_ids, labels = hide_words(batch.input_ids, words, draws[0], mask=mask_id, vocabulary=vocabulary)
        mask = batch.region_mask
        present = batch.boxes.new_ones(batch.boxes.shape[:2], dtype=torch.bool) if mask is None else mask
        chosen, hidden = choose_regions(batch.boxes[:, 1:], present[:, 1:], draws[1])
        # A mismatched pair only contributes the mismatch.
        hidden_words = (labels >= 0) & ~mismatched[:, None]
        hidden_regions = chosen & ~mismatched[:, None]
        targets = {
            "mismatched": mismatched.to(torch.int64),
            "words": labels[hidden_words],
            "word_pair": hidden_words.nonzero()[:, 0],
            "region_pair": hidden_regions.nonzero()[:, 0],
            "region_features": batch.features[:, 1:][hidden_regions],
        }
        if all(each.class_probabilities is not None for each in batch.regions):
            targets["region_classes"] = _classes(batch.regions, hidden_regions)
        return replace(
            batch,
            input_ids=input_ids,
            features=without(batch.features, hidden, present[:, 1:]),
            hidden_words=hidden_words,
            hidden_regions=hidden_regions,
            targets=targets,
        )

    # --- loss and score ---------------------------------------------------------------------------------------
    def loss(self, logits: PretrainingLogits, targets: Mapping[str, Tensor]) -> Tensor:
        """The sum of the three terms."""
        return self.terms(logits, targets).total

    def terms(self, logits: PretrainingLogits, targets: Mapping[str, Tensor]) -> PretrainingLosses:
        regions = targets["region_classes" if logits.visual_target == CLASSES else "region_features"]
        return losses_of(logits, words=targets["words"], regions=regions, mismatched=targets["mismatched"])

    def score(self, logits: PretrainingLogits, targets: Mapping[str, Tensor]) -> Tensor:
        """(E,) mean of a pair's parts: 1 if the match is recognised, the share of right hidden words and, if classes
        are predicted, the share of hidden regions with the right class."""
        aligned = (logits.alignment.argmax(1) == targets["mismatched"]).to(torch.float32)
        parts = [(logits.words.argmax(1) == targets["words"], targets["word_pair"])]
        if logits.visual_target == CLASSES:
            found = logits.regions.argmax(1) == targets["region_classes"].argmax(1)
            parts.append((found, targets["region_pair"]))
        total, asked = aligned, torch.ones_like(aligned)
        for right, pair in parts:
            count = torch.zeros_like(aligned).index_add(0, pair, torch.ones_like(right, dtype=torch.float32))
            share = torch.zeros_like(aligned).index_add(0, pair, right.to(torch.float32)) / count.clamp(min=1)
            total, asked = total + share, asked + (count > 0)
        return total / asked

    def ranks_by(self, key: str) -> str:
        """The alignment alone, which does not need the final states of words and regions."""
        return f"{key}.alignment"

    def matching(self, logits: Tensor) -> Tensor:
        """(P,) logit of the probability that a pair belongs together, from (P, 2)."""
        return logits[:, 0] - logits[:, 1]

    def prospects(self, examples: Examples, regions: RegionSets, vocabulary: Labels) -> Prospects:
        """Those of the question whether a pair matches; a gallery's chance is one over its size."""
        return Prospects(chance=np.full(len(examples), 0.5), best=np.ones(len(examples)))

    def decode(
        self, logits: PretrainingLogits, examples: Examples, regions: RegionSets, vocabulary: Labels
    ) -> list[Prediction]:
        """Each example's image id with the probability that text and image belong together."""
        shares = torch.sigmoid(precise(self.matching(logits.alignment))).tolist()
        return [Prediction(example.images[0], share) for example, share in zip(examples, shares, strict=True)]


def _another(example: Example, captions: Sequence[Example], rng: Rng) -> str:
    """A caption of another image that differs from this one."""
    for _ in range(TRIES):
        other = captions[int(rng.integers(len(captions)))]
        if other.images[0] != example.images[0] and other.text != example.text:
            return other.text
    raise ConfigError(
        f"no caption of another image than {example.images[0]} to make a mismatched pair with",
        remedy="pretrain on at least two images with different captions",
    )


def _classes(regions: Sequence[Regions], hidden: Tensor) -> Tensor:
    """(N, C) class distributions of the hidden regions (P, R)."""
    rows: list[Any] = []
    for each, places in zip(regions, hidden.numpy(), strict=True):
        assert each.class_probabilities is not None
        rows.append(each.class_probabilities[np.flatnonzero(places)])
    return torch.from_numpy(np.concatenate(rows).astype(np.float32))
