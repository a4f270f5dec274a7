"""The model: a trunk that encodes distinct texts and images and fuses pairs of them, with one head per output.

Axes: T texts, I images, P pairs, L text length (one more inside, with a task token), R regions (region 0 global),
F feature size, H text width, V visual width, B fused width.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from twelve.errors import CheckpointError, ConfigError, found_in
from twelve.io import json_file
from twelve.io.hub import inside
from twelve.model.contrast import Contrast, is_earlier
from twelve.model.heads import FINAL, MASK, PRETRAINING, Head, needs
from twelve.model.input_checks import check_images, check_texts
from twelve.model.model_outputs import ImageStates, TextStates, TwelveOutput
from twelve.model.pretraining import PretrainingHeads
from twelve.model.settings import WRITTEN_BY_TRANSFORMERS, Settings, check_library_key, defaults, no_contrast
from twelve.model.streams import Need, Trace, identity_as_none
from twelve.model.tensors import Weight, read_weights, weights_of
from twelve.model.trunk import Trunk, trunk_class
from twelve.model.weights import check_finite
from twelve.outputs import foreign, get_output
from twelve.outputs.parts.contrast import Vectors
from twelve.outputs.parts.heads import PositionScorer
from twelve.run_folder import INDEX, WEIGHTS
from twelve.types.batch import CONTRAST

CONFIG = "config.json"
"""Configuration file in a saved model's folder."""
SAVED = (CONFIG, WEIGHTS, "model-*-of-*.safetensors", INDEX)
"""Files that ``save_pretrained`` writes; large models have several weights files."""
STALE = ("model*.safetensors", INDEX)
"""Weights of an earlier model, which a new one in the same repository replaces."""
MASKED = -10000.0
"""Added to the logits of padded regions."""


class Network(nn.Module):
    """The trunk named by ``config.trunk`` with the heads of ``config.heads``. With trunk "two_stream" it is ViLBERT (Lu
    et al. 2019) and reproduces the released models.

    ``outputs`` selects what a call computes: keys of ``config.heads``, "word_logit", "pretraining.words",
    "pretraining.regions", "pretraining.alignment", "pretraining" for these three at masked positions only, "words"
    or "regions" for final states; None selects every head everywhere. Layers and positions that no selected output
    reads are skipped. "contrast", which None does not select, is a :class:`twelve.outputs.parts.contrast.Vectors` of
    the texts and images themselves, whatever the pairs are.

    Needs only torch; :class:`twelve.Twelve` adds transformers' methods, whose import takes seconds.
    """

    config: Settings
    trunk: Trunk
    packs: bool = True
    """Predictions compute no padding where that is possible: on a CPU, if no states or attention are asked for. False:
    they always compute it, as a reference."""
    packs_training: bool = False
    """The same of training, where dropout then draws for fewer positions."""
    precision: Literal["fp32", "bf16"] = "fp32"
    """``bf16`` in a copy whose layers run in it (:func:`twelve.model.precision.for_predicting`); heads never do."""

    def __init__(self, config: Settings) -> None:
        config.check()
        super().__init__()
        self.config = config
        self._build(config)

    def _build(self, config: Settings) -> None:
        trunk = trunk_class(config)(config)
        for name, part in trunk.named_children():  # so that parameter names do not depend on the trunk
            self.add_module(name, part)
        object.__setattr__(self, "trunk", trunk)  # unregistered, since its children already are
        self.dropout = nn.Dropout(config.pooled_dropout)
        self.heads = nn.ModuleDict()
        self._heads: dict[str, Head] = {}
        for key, head in config.heads.items():
            if hasattr(self.heads, key):
                raise ConfigError(f"{key!r} cannot name a head", remedy="choose another key")
            output = get_output(head["kind"])
            made = output.head(fused_size=trunk.fused_size, visual_size=trunk.visual_size, size=head["size"])
            masks = output.reads == "regions" and [*signature(made.forward).parameters][1:2] == ["mask"]
            self._heads[key] = Head(f"heads.{key}", (output.reads, MASK) if masks else (output.reads,))
            self.heads[key] = made
        self.pretraining = PretrainingHeads(config, trunk.visual_size) if config.pretraining else None
        self.word_logit = PositionScorer(config.hidden_size) if config.word_logit else None
        self.contrast = Contrast(config, trunk) if config.contrast else None
        self._heads |= PRETRAINING if config.pretraining else {}
        self._heads |= {"word_logit": Head("word_logit", ("words",))} if config.word_logit else {}
        self._heads |= FINAL

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    @property
    def contrasts(self) -> bool:
        """Whether there is a contrast head."""
        return self.config.contrast > 0

    # --- forward pass ------------------------------------------------------------------------------------------
    def _packs(self, mask: Tensor | None, trace: Trace) -> bool:
        """Whether states are packed."""
        wanted = self.packs_training if self.training else self.packs
        if not wanted or trace.remember or trace.explain or torch.onnx.is_in_onnx_export():
            return False
        return self.device.type == "cpu" and (mask is None or bool(mask[:, 0].all()))

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
        """Encode distinct texts, as far as they do not depend on images.

        Args:
            input_ids: (T, L) int64 word pieces.
            text_mask: (T, L) bool; None without padding.
            segment_ids: (T, L) int64; None for segment 0.
            task_rows: (T,) int64 rows of the task-token table; required if and only if there is one.

        Raises:
            ConfigError: a shape is wrong, or a word piece is not in the vocabulary.
        """
        check_texts(input_ids, text_mask, self.config)
        trace = Trace(return_states, return_attention)
        pack = self._packs(text_mask, trace)
        return TextStates(self.trunk.encode_texts(input_ids, text_mask, segment_ids, task_rows, pack, trace), trace)

    def encode_images(
        self,
        features: Tensor,
        boxes: Tensor,
        region_mask: Tensor | None = None,
        *,
        return_attention: bool = False,
        return_states: bool = False,
    ) -> ImageStates:
        """Encode distinct images, as far as they do not depend on texts.

        Args:
            features: (I, R, F) of any float type; region 0 is the mean.
            boxes: (I, R, 5) x1/W, y1/H, x2/W, y2/H, area fraction; region 0 is (0, 0, 1, 1, 1).
            region_mask: (I, R) bool; None without padding.

        Raises:
            RegionError: a shape is wrong, boxes are pixels, or region 0 is not the whole image. Values are checked on
                a CPU only.
        """
        check_images(features, boxes, region_mask, self.config)
        trace = Trace(return_states, return_attention)
        pack = self._packs(region_mask, trace)
        return ImageStates(self.trunk.encode_images(features, boxes, region_mask, pack, trace), trace)

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
        """Run pairs of encoded texts and images through the rest of the trunk and the requested heads.

        Args:
            pair_text, pair_image: (P,) int64 rows of texts and of images; None pairs row i with row i.
            outputs: what to compute, see the class; None for every head.
            hidden_words, hidden_regions: (P, L) and (P, R - 1) bool, masked positions for "pretraining", without task
                token and global region.
            return_attention, return_states: run all layers and return these for each step; the encodings must have been
                made with the same options.
        """
        everything = return_attention or return_states
        heads = self._asked(outputs)
        text, image = texts.sequences, images.sequences
        if everything or text.packing is None or image.packing is None:
            text, image = text.padded(), image.padded()
        pair_text, pair_image = identity_as_none(pair_text, len(text)), identity_as_none(pair_image, len(image))
        text, image = text.take(pair_text), image.take(pair_image)
        if len(text) != len(image):
            raise ValueError(
                f"cannot pair {len(text)} texts with {len(image)} images by row: pass pair_text and pair_image"
            )
        trace = Trace(return_states, return_attention)
        trace.take(texts.trace, pair_text)
        trace.take(images.trace, pair_image)
        text_need, image_need = (Need.ALL, Need.ALL) if everything else needs(heads.values())
        text_mask, image_mask = text.mask, image.mask
        text, image = self.trunk.fuse(text, image, text_need, image_need, trace)
        if self.precision == "bf16":
            text, image = text.new(text.states.float()), image.new(image.states.float())
        result = TwelveOutput(
            words=text.padded().states if text_need is Need.ALL else None,
            regions=image.padded().states if image_need is Need.ALL else None,
            text_mask=text_mask,
            region_mask=image_mask,
            attentions=trace.attentions,
            states=trace.states,
        )
        if everything or any("fused" in head.reads for head in heads.values()):
            first = text.first().padded().states[:, 0], image.first().padded().states[:, 0]
            result.pooled_text, result.pooled_image = self.trunk.pool(*first)
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
        """:meth:`encode_texts`, :meth:`encode_images` and :meth:`fuse` in one call.

        Args:
            input_ids, text_mask: (T, L) int64 word pieces and bool.
            features, boxes, region_mask: (I, R, F), (I, R, 5) and (I, R) bool; region 0 is the whole image.
            segment_ids, task_rows: (T, L) and (T,) int64.
            pair_text, pair_image: (P,) int64 rows of texts and of images; None pairs row i with row i.
            outputs: what to compute, see the class; None for every head.
            hidden_words, hidden_regions: masked positions, see :meth:`fuse`.
            return_attention, return_states: see :meth:`fuse`.

        Raises:
            ConfigError, RegionError: as the three.
        """
        keep: dict[str, Any] = {"return_attention": return_attention, "return_states": return_states}
        texts = self.encode_texts(input_ids, text_mask, segment_ids, task_rows, **keep)
        images = self.encode_images(features, boxes, region_mask, **keep)
        vectors = self.vectors(texts, images) if CONTRAST in (outputs or ()) else None
        outputs = None if outputs is None else [name for name in outputs if name != CONTRAST]
        asked: dict[str, Any] = {"outputs": outputs, "hidden_words": hidden_words, "hidden_regions": hidden_regions}
        alone = vectors is not None and not outputs
        result = TwelveOutput() if alone else self.fuse(texts, images, pair_text, pair_image, **asked, **keep)
        if vectors is not None:
            result.logits[CONTRAST] = vectors
        return result

    # --- the contrast head -------------------------------------------------------------------------------------
    def vectors(self, texts: TextStates, images: ImageStates) -> Vectors:
        """The vectors of encoded texts and images; raises ConfigError without a contrast head."""
        found: Vectors = self._contrast(texts, images)
        return found

    def text_vectors(self, texts: TextStates) -> Tensor:
        """(T, L, D) unit vectors of the words of encoded texts; raises ConfigError without a contrast head."""
        found: Tensor = self._contrast.text(texts.states, texts.mask)
        return found

    def image_vectors(self, images: ImageStates) -> Tensor:
        """(I, R, D) unit vectors of the regions of encoded images; raises ConfigError without a contrast head."""
        found: Tensor = self._contrast.image(images.states, images.mask)
        return found

    @property
    def similarity_scale(self) -> float:
        """What makes logits of the contrast head's similarities; raises ConfigError without a contrast head."""
        return float(self._contrast.scale.detach())

    @property
    def _contrast(self) -> Contrast:
        if self.contrast is None:
            raise no_contrast()
        return self.contrast

    # --- heads -------------------------------------------------------------------------------------------------
    def reads(self, name: str) -> tuple[str, ...]:
        """The states that a head reads, see :class:`twelve.model.heads.Head`."""
        return self._heads[name].reads

    def _asked(self, outputs: Sequence[str] | None) -> dict[str, Head]:
        """The requested heads by name; None selects all."""
        known = {name: head for name, head in self._heads.items() if head.everywhere}
        if outputs is None:
            return known
        for name in outputs:
            if name not in self._heads:
                raise ConfigError(
                    f"the model has no head {name!r}", remedy=f"choose among {', '.join(known) or 'none'}"
                )
        return {name: self._heads[name] for name in outputs}

    def _run_heads(self, heads: Mapping[str, Head], result: TwelveOutput, others: Mapping[str, Tensor | None]) -> None:
        """Fill ``result.logits``. Heads share one dropout mask per representation, as in the original.

        Args:
            others: arguments other than states, by name.
        """
        dropped: dict[str, Tensor] = {}

        def read(what: str, dropout: bool) -> Tensor | None:
            if what in others:
                return others[what]
            if what == MASK and result.region_mask is None:
                assert result.regions is not None
                return result.regions.new_ones(result.regions.shape[:2], dtype=torch.bool)
            states: Tensor = getattr(result, what)
            if what == MASK or (not dropout and what != "fused"):
                return states
            if what not in dropped:
                dropped[what] = self.dropout(states)
            return dropped[what]

        for name, head in heads.items():
            if not head.module:
                continue
            logits = self.get_submodule(head.module)(*(read(what, head.dropout) for what in head.reads))
            if name in self.heads and head.reads == ("regions",):
                assert result.regions is not None
                if logits.shape[:2] != (wanted := result.regions.shape[:2]):
                    raise _not_of_regions(name, tuple(wanted), tuple(logits.shape))
                if result.region_mask is not None:
                    hidden = MASKED * (~result.region_mask).to(logits.dtype)
                    logits = logits + hidden.view(*hidden.shape, *[1] * (logits.ndim - 2))
            result.logits[name] = logits

    # --- initialization ---------------------------------------------------------------------------------------
    def standardise_regions(self, mean: Tensor, std: Tensor) -> None:
        """Initialize training from scratch: the region embedding standardizes its input features.

        Args:
            mean, std: (F,) of the training images' region features.
        """
        self.trunk.standardise_regions(mean, std)


def _not_of_regions(name: str, wanted: tuple[int, ...], found: tuple[int, ...]) -> ConfigError:
    """The error about a head on regions without ``mask`` whose logits are not of regions."""
    pairs, regions = wanted
    return ConfigError(
        f"the head of output {name!r}: expected logits of each region, ({pairs}, {regions}) or "
        f"({pairs}, {regions}, A), found {found}",
        remedy="if it pools regions, define its forward(self, regions, mask) and leave out padded regions, where the "
        "mask is False (docs/train-from-code.md, A head on regions)",
    )


class _Unfilled(TorchFunctionMode):
    """Skip random initialization of weights that are loaded anyway; on the meta device, it imports torch's compiler."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", "") == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def settings_of(folder: Path) -> tuple[Settings, str | None]:
    """Read the settings in a model's folder and, if stated, the type of its weights. Imports transformers only if the
    file has rare keys of it.

    Raises:
        CheckpointError, ConfigError: config.json is missing or invalid.
    """
    file = inside(folder, CONFIG)
    tree = json_file.read_object(file, remedy="use the file saved with the model")
    own = {key: tree.pop(key) for key in list(tree) if key in defaults()}
    if not all(key in WRITTEN_BY_TRANSFORMERS for key in tree):
        from twelve.model.config import TwelveConfig

        config: TwelveConfig = TwelveConfig.from_pretrained(folder)
        return config, None if config.dtype is None else str(config.dtype)
    try:
        for key, value in tree.items():
            check_library_key(key, value)
        kind = tree.get("dtype", tree.get("torch_dtype"))
        return Settings(**own), None if kind is None else str(kind)
    except ConfigError as error:
        raise error.located(file) from None


def load_network(folder: Path, settings: tuple[Settings, str | None] | None = None) -> Network:
    """Load a model from a folder written by ``save_pretrained``, in evaluation mode. The folder is not trusted, see
    :meth:`twelve.Twelve.from_pretrained`.

    Args:
        settings: result of :func:`settings_of` for the folder; None reads it.

    Raises:
        CheckpointError: weights are missing, unknown or of another size; the error names them.
        ConfigError: the configuration is invalid.
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
    """Compare names and sizes of a saved model's weights with ``built``, the empty model of its configuration.

    Raises:
        CheckpointError: they differ; the error names the weights, or the head if its class is none of this package.
    """
    wanted = {name: tuple(value.shape) for name, value in built.state_dict().items()}
    other = {name for name in wanted.keys() & there.keys() if wanted[name] != there[name].shape}
    differing = other | (wanted.keys() ^ there.keys())
    for key, head in built.config.heads.items():
        output = get_output(head["kind"])
        if foreign(output) and any(name.startswith(f"heads.{key}.") for name in differing):
            raise CheckpointError(
                f"its head {key!r} has other weights than {type(output).__name__}.head() makes",
                file=folder,
                remedy="define the class as it was when this model was trained, or train again",
            )
    refuse_differences(folder, wanted.keys() - there.keys(), there.keys() - wanted.keys(), other)


def refuse_differences(file: Path, missing: Iterable[str], unknown: Iterable[str], other: Iterable[object]) -> None:
    """Raise CheckpointError if a checkpoint's weights do not match its configuration."""
    differing: dict[str, list[object]] = {
        "lacks {}": [*missing],
        "has {} unknown": [*unknown],
        "has another size for {}": [*other],
    }
    if is_earlier([str(name) for found in differing.values() for name in found]):
        raise CheckpointError(
            "its contrast head is of an earlier version",
            file=file,
            remedy="add the head again to the run without it: twelve train configs/contrast.yaml --set init=RUN; or "
            "train this run again",
        )
    for what, found in differing.items():
        names = sorted(found, key=str)
        if names:
            some = ", ".join(map(str, names[:5]))
            raise CheckpointError(
                f"the checkpoint {what.format(len(names))} weights: {some}",
                file=file,
                remedy="use the configuration saved with it",
            )
