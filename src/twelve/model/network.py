"""The model: a trunk over distinct texts and distinct images, fused pair by pair, with the outputs' heads.

Axes: T texts, I images, P pairs, L text length (one more inside, with a task token), R regions (region 0 global),
F feature size, H text width, V visual width, B fused width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from twelve.errors import CheckpointError, ConfigError, found_in
from twelve.model.heads import FINAL, PRETRAINING, Head, needs
from twelve.model.model_outputs import ImageStates, TextStates, TwelveOutput
from twelve.model.pretraining import PretrainingHeads
from twelve.model.saved_settings import settings_of
from twelve.model.settings import Settings
from twelve.model.streams import Need, Trace, gather, identity_as_none
from twelve.model.tensors import INDEX, WEIGHTS, Weight, read_weights, weights_of
from twelve.model.trunk import Trunk, trunk_class
from twelve.model.weights import check_finite
from twelve.outputs import get_output
from twelve.outputs.parts.heads import PositionScorer

CONFIG = "config.json"
"""In a saved model's folder."""
SAVED = (CONFIG, WEIGHTS, "model-*-of-*.safetensors", INDEX)
"""Whatever ``save_pretrained`` may write there; of a large model the weights are several files."""
MASKED = -10000.0
"""Added to the logit of a region that is not there."""


class Network(nn.Module):
    """The trunk that ``config.trunk`` names, with the heads of ``config.heads``. With two streams it is ViLBERT (Lu et
    al. 2019) and computes what the released model's program does.

    ``outputs`` names what a call computes: keys of ``config.heads``, "word_logit", "pretraining.words",
    "pretraining.regions", "pretraining.alignment", "pretraining" for these three at hidden positions alone, and "words"
    or "regions" for final states alone; None means every head, everywhere. Layers and positions that nothing asked for
    reads are left out.

    Needs torch alone; :class:`twelve.Twelve` is the same as a model of transformers, which takes seconds to import.
    """

    config: Settings
    trunk: Trunk

    def __init__(self, config: Settings) -> None:
        config.check()
        super().__init__()
        self.config = config
        self._build(config)

    def _build(self, config: Settings) -> None:
        trunk = trunk_class(config)(config)
        for name, part in trunk.named_children():  # parameters are named as they were before there were trunks
            self.add_module(name, part)
        object.__setattr__(self, "trunk", trunk)  # unregistered: its parts are the model's
        self.dropout = nn.Dropout(config.pooled_dropout)
        self.heads = nn.ModuleDict()
        self._heads: dict[str, Head] = {}
        for key, head in config.heads.items():
            if hasattr(self.heads, key):
                raise ConfigError(f"{key!r} cannot name a head", remedy="choose another key")
            output = get_output(head["kind"])
            self._heads[key] = Head(f"heads.{key}", (output.reads,))
            self.heads[key] = output.head(fused_size=trunk.fused_size, visual_size=trunk.visual_size, size=head["size"])
        self.pretraining = PretrainingHeads(config, trunk.visual_size) if config.pretraining else None
        self.word_logit = PositionScorer(config.hidden_size) if config.word_logit else None
        self._heads |= PRETRAINING if config.pretraining else {}
        self._heads |= {"word_logit": Head("word_logit", ("words",))} if config.word_logit else {}
        self._heads |= FINAL

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    # --- the way through ---------------------------------------------------------------------------------------
    def encode_texts(
        self,
        input_ids: Tensor,
        text_mask: Tensor | None = None,
        segment_ids: Tensor | None = None,
        task_rows: Tensor | None = None,
        *,
        return_attention: bool = False,
        return_states: bool = False,
    ) -> TextStates:
        """Distinct texts, as far as no image decides them.

        Args:
            input_ids: (T, L) int64 word pieces.
            text_mask: (T, L) bool, None when nothing is padded.
            segment_ids: (T, L) int64, None for segment 0.
            task_rows: (T,) int64 rows of the task-token table; required exactly when there is one.
        """
        trace = Trace(return_states, return_attention)
        states, mask = self.trunk.encode_texts(input_ids, text_mask, segment_ids, task_rows, trace)
        return TextStates(states, mask, trace)

    def encode_images(
        self,
        features: Tensor,
        boxes: Tensor,
        region_mask: Tensor | None = None,
        *,
        return_attention: bool = False,
        return_states: bool = False,
    ) -> ImageStates:
        """Distinct images, as far as no text decides them.

        Args:
            features: (I, R, F) of any float type; region 0 is the mean.
            boxes: (I, R, 5) x1/W, y1/H, x2/W, y2/H, area share; region 0 is 0 0 1 1 1.
            region_mask: (I, R) bool, None when nothing is padded.
        """
        trace = Trace(return_states, return_attention)
        states = self.trunk.encode_images(features, boxes, region_mask, trace)
        return ImageStates(states, region_mask, trace)

    def fuse(
        self,
        texts: TextStates,
        images: ImageStates,
        pair_text: Tensor | None = None,
        pair_image: Tensor | None = None,
        *,
        outputs: Sequence[str] | None = None,
        hidden_words: Tensor | None = None,
        hidden_regions: Tensor | None = None,
        return_attention: bool = False,
        return_states: bool = False,
    ) -> TwelveOutput:
        """Pairs of encoded texts and images through the rest of the trunk and the heads asked for.

        Args:
            pair_text, pair_image: (P,) int64 rows of texts and of images; None pairs row i with row i.
            outputs: what to compute, see the class; None for every head.
            hidden_words, hidden_regions: (P, L) and (P, R - 1) bool, where "pretraining" is asked; without a task token
                and the global region.
            return_attention, return_states: run everything and return it step by step (both encodings must have been
                made with the same wish).
        """
        everything = return_attention or return_states
        heads = self._asked(outputs)
        pair_text = identity_as_none(pair_text, texts.states.shape[0])
        pair_image = identity_as_none(pair_image, images.states.shape[0])
        text, image = gather(texts.states, pair_text), gather(images.states, pair_image)
        text_mask = None if texts.mask is None else gather(texts.mask, pair_text)
        image_mask = None if images.mask is None else gather(images.mask, pair_image)
        if text.shape[0] != image.shape[0]:
            raise ValueError(f"{len(text)} texts cannot be paired row by row with {len(image)} images: give the pairs")
        trace = Trace(return_states, return_attention)
        trace.take(texts.trace, pair_text)
        trace.take(images.trace, pair_image)
        text_need, image_need = (Need.ALL, Need.ALL) if everything else needs(heads.values())
        text, image = self.trunk.fuse(text, text_mask, image, image_mask, text_need, image_need, trace)
        result = TwelveOutput(
            words=text if text_need is Need.ALL else None,
            regions=image if image_need is Need.ALL else None,
            text_mask=text_mask,
            region_mask=image_mask,
            attentions=trace.attentions,
            states=trace.states,
        )
        if everything or any("fused" in head.reads for head in heads.values()):
            result.pooled_text, result.pooled_image = self.trunk.pool(text, image)
            product = self.config.fusion_method == "mul"
            pooled = (result.pooled_text, result.pooled_image)
            result.fused = pooled[0] * pooled[1] if product else pooled[0] + pooled[1]
        beside = {"embedding": self.trunk.words, "hidden_words": hidden_words, "hidden_regions": hidden_regions}
        self._run_heads(heads, result, beside)
        return result

    def forward(
        self,
        input_ids: Tensor,
        features: Tensor,
        boxes: Tensor,
        text_mask: Tensor | None = None,
        region_mask: Tensor | None = None,
        segment_ids: Tensor | None = None,
        task_rows: Tensor | None = None,
        pair_text: Tensor | None = None,
        pair_image: Tensor | None = None,
        *,
        outputs: Sequence[str] | None = None,
        hidden_words: Tensor | None = None,
        hidden_regions: Tensor | None = None,
        return_attention: bool = False,
        return_states: bool = False,
    ) -> TwelveOutput:
        """:meth:`encode_texts`, :meth:`encode_images` and :meth:`fuse` in one."""
        keep: dict[str, Any] = {"return_attention": return_attention, "return_states": return_states}
        texts = self.encode_texts(input_ids, text_mask, segment_ids, task_rows, **keep)
        images = self.encode_images(features, boxes, region_mask, **keep)
        asked: dict[str, Any] = {"outputs": outputs, "hidden_words": hidden_words, "hidden_regions": hidden_regions}
        return self.fuse(texts, images, pair_text, pair_image, **asked, **keep)

    # --- heads -------------------------------------------------------------------------------------------------
    def reads(self, name: str) -> tuple[str, ...]:
        """What a head reads: see :class:`twelve.model.heads.Head`."""
        return self._heads[name].reads

    def _asked(self, outputs: Sequence[str] | None) -> dict[str, Head]:
        """The heads of these names; None for all of them."""
        known = {name: head for name, head in self._heads.items() if head.everywhere}
        if outputs is None:
            return known
        for name in outputs:
            if name not in self._heads:
                raise ConfigError(f"the model has no head {name!r}", remedy=f"it has {', '.join(known) or 'none'}")
        return {name: self._heads[name] for name in outputs}

    def _run_heads(self, heads: Mapping[str, Head], result: TwelveOutput, others: Mapping[str, Tensor | None]) -> None:
        """Fill ``result.logits``; dropout is drawn once for each representation, as in the original.

        Args:
            others: arguments beside the states.
        """
        dropped: dict[str, Tensor] = {}

        def read(what: str, dropout: bool) -> Tensor | None:
            if what in others:
                return others[what]
            states: Tensor = getattr(result, what)
            if not dropout and what != "fused":
                return states
            if what not in dropped:
                dropped[what] = self.dropout(states)
            return dropped[what]

        for name, head in heads.items():
            if not head.module:
                continue
            logits = self.get_submodule(head.module)(*(read(what, head.dropout) for what in head.reads))
            if name in self.heads and head.reads == ("regions",) and result.region_mask is not None:
                hidden = MASKED * (~result.region_mask).to(logits.dtype)
                logits = logits + hidden.view(*hidden.shape, *[1] * (logits.ndim - 2))
            result.logits[name] = logits

    # --- starting points ---------------------------------------------------------------------------------------
    def standardise_regions(self, mean: Tensor, std: Tensor) -> None:
        """Start for a model trained from scratch: the region embedding sees standardised features, formula unchanged.

        Args:
            mean, std: (F,) of the training images' region features.
        """
        self.trunk.standardise_regions(mean, std)


class _Unfilled(TorchFunctionMode):
    """No weights are drawn that others take the place of; on no device, drawing would import torch's compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def load_network(folder: Path, settings: tuple[Settings, str | None] | None = None) -> Network:
    """The model in a folder that ``save_pretrained`` wrote, in evaluation mode; nothing in the folder is believed
    (:meth:`twelve.Twelve.from_pretrained`).

    Args:
        settings: what :func:`settings_of` found in the folder; None: it is read.

    Raises:
        CheckpointError: names the weights in question.
        ConfigError: the configuration is none that a model can have.
    """
    config, kind = settings_of(folder) if settings is None else settings
    weights = weights_of(folder)
    with found_in(folder / CONFIG), torch.device("meta"), _Unfilled():
        network = Network(config)
    check_fit(folder, network, weights)
    state = read_weights(weights)
    check_finite(state, folder)
    network.load_state_dict(state, assign=True)
    if kind is not None:
        network.to(getattr(torch, kind.removeprefix("torch.")))
    return network.eval()


def check_fit(folder: Path, built: Network, there: Mapping[str, Weight]) -> None:
    """Compare a saved model's names and sizes with those of its configuration, ``built`` on no device.

    Raises:
        CheckpointError: names the weights in question.
    """
    wanted = {name: tuple(value.shape) for name, value in built.state_dict().items()}
    other = {name for name in wanted.keys() & there.keys() if wanted[name] != there[name].shape}
    refuse_differences(folder, wanted.keys() - there.keys(), there.keys() - wanted.keys(), other)


def refuse_differences(file: Path, missing: Iterable[str], unknown: Iterable[str], other: Iterable[object]) -> None:
    """Raise CheckpointError when a checkpoint's weights are not those of its configuration."""
    for what, found in (("lacks", missing), ("has unknown", unknown), ("has another size of", other)):
        names = sorted(found, key=str)
        if names:
            some = ", ".join(map(str, names[:5]))
            raise CheckpointError(
                f"the checkpoint {what} {len(names)} weights: {some}",
                file=file,
                remedy="use the configuration that was saved with it",
            )
