"""Comparison of all outputs of a recorded forward pass with this package's.

Each head is compared twice: in a full pass that also returns attention, and in the usual pass, which runs only this
head and the layers it reads. The larger difference counts.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from twelve.model.model_outputs import TwelveOutput
from twelve.model.names import HEADS
from twelve.model.vilbert import Twelve
from twelve.outputs import get_output
from twelve.parity.models import TOLERANCE, Inputs, compare, open_model, required
from twelve.parity.recording import Tensors
from twelve.parity.report import Difference

MASKED_BELOW = -9000.0
"""Logits of padded regions only need to be below this."""

_LOGITS = {
    "vision_prediction": "pretraining.regions",
    "prediction_scores_v": "pretraining.regions",
    "linguisic_prediction": "pretraining.words",
    "prediction_scores_t": "pretraining.words",
    "seq_relationship_score": "pretraining.alignment",
    "linguisic_logit": "word_logit",
}
_ATTRIBUTES = {
    "sequence_output_t": "words",
    "sequence_output_v": "regions",
    "pooled_output_t": "pooled_text",
    "pooled_output_v": "pooled_image",
}
_STATES = (
    (r"debug\.text_embedding", "text.embedding"),
    (r"debug\.image_embedding", "image.embedding"),
    (r"debug\.layer\.(\d+)", r"text.\1"),
    (r"debug\.v_layer\.(\d+)", r"image.\1"),
    (r"debug\.c_layer\.(\d+)\.(text|image)", r"connection.\1.\2"),
)
_ATTENTIONS = (
    (r"attn\.text\.(\d+)", r"text.\1"),
    (r"attn\.image\.(\d+)", r"image.\1"),
    (r"attn\.co\.(\d+)\.(text|image)_to_(?:text|image)", r"connection.\1.\2"),
)
_LOSS = re.compile(r"\w*(masked_lm_loss|masked_img_loss|next_sentence_loss)")
_ODD = "odd_batch."


def run(path: Path) -> list[Difference]:
    """Compare a recording folder: meta.json, state, inputs and outputs; ``pretraining`` compares losses.

    Raises:
        DataError: a file or a tensor is missing or malformed.
        ConfigError, CheckpointError: the model needs an unsupported feature.
    """
    record, model = open_model(path)
    tensors = Tensors(path / "inputs.safetensors")
    tensors.require(record.inputs)
    inputs = Inputs.read(tensors, model)
    required(inputs, model, tensors.file)
    outputs = Tensors(path / "outputs.safetensors")
    outputs.require(record.outputs)
    recorded = outputs.tensors
    passes = _Passes(model, inputs)
    differences = [
        passes.difference(name, theirs)
        for name, theirs in recorded.items()
        if not _LOSS.fullmatch(name) and not name.startswith(_ODD)
    ]
    odd = {name: theirs for name, theirs in recorded.items() if name.startswith(_ODD)}
    if odd:
        passes = _Passes(model, inputs.rows(len(inputs.input_ids) - 1))
        differences += [passes.difference(name, theirs, name.removeprefix(_ODD)) for name, theirs in odd.items()]
    return differences


class _Passes:
    """The full pass over a batch, and single-head passes on demand."""

    def __init__(self, model: Twelve, inputs: Inputs) -> None:
        self.model, self.inputs = model, inputs
        self.pairs = len(inputs.input_ids)
        known = {key: head["kind"] for key, head in model.config.heads.items()}
        self.keys = {HEADS[kind][0].replace("@", key.removeprefix(kind)): key for key, kind in known.items()}
        everything = [key for key in known if self.pairs % self._images(key) == 0]
        everything += ["word_logit"] if model.config.word_logit else []
        everything += [f"pretraining.{part}" for part in ("words", "regions", "alignment")] * model.config.pretraining
        self.complete = self._forward(everything, explain=True)

    @torch.no_grad()
    def _forward(self, outputs: Sequence[str], *, explain: bool = False) -> TwelveOutput:
        arguments = self.inputs.arguments()
        result: TwelveOutput = self.model(**arguments, outputs=outputs, return_attention=explain, return_states=explain)
        return result

    def difference(self, quantity: str, theirs: Tensor, name: str = "") -> Difference:
        """Compare with the recorded tensor ``name`` (by default ``quantity``)."""
        name = name or quantity
        head = self._head(name)
        if head is not None:
            return self._head_difference(quantity, head, theirs)
        for table, found in ((_STATES, self.complete.states), (_ATTENTIONS, self.complete.attentions)):
            for pattern, target in table:
                if match := re.fullmatch(pattern, name):
                    return self._compare(quantity, match.expand(target), found.get(match.expand(target)), theirs)
        ours: Tensor | None = getattr(self.complete, _ATTRIBUTES[name]) if name in _ATTRIBUTES else None
        return self._compare(quantity, _ATTRIBUTES.get(name, name), ours, theirs)

    def _head(self, name: str) -> str | None:
        """Our head for a recorded tensor. For odd batches, the original returns its alignment scores instead of those
        of the two-image head."""
        key = self.keys.get(name, _LOGITS.get(name))
        if key is not None and self.pairs % self._images(key):
            key = "pretraining.alignment"
        return key if key in self.complete.logits else None

    def _head_difference(self, quantity: str, head: str, theirs: Tensor) -> Difference:
        alone = self._forward((head,)).logits[head]
        (where, *_) = self.model.reads(head)
        positions = where != "fused" and not head.startswith("pretraining.")
        worst = Difference(quantity, 0.0, TOLERANCE)
        for ours in (self.complete.logits[head], alone):
            found = self._compare(quantity, where, ours[..., None] if positions else ours, theirs)
            worst = max(worst, found, key=lambda difference: difference.largest)
            hidden = self.inputs.region_mask
            if positions and where == "regions" and hidden is not None and bool((ours[~hidden] > MASKED_BELOW).any()):
                return Difference(quantity, torch.inf, TOLERANCE, "a padded region can win")
        return worst

    def _images(self, head: str) -> int:
        """Images of an example of a head, so that its pairs come in groups of as many."""
        heads = self.model.config.heads
        return get_output(heads[head]["kind"]).images if head in heads else 1

    def _compare(self, quantity: str, where: str, ours: Tensor | None, theirs: Tensor) -> Difference:
        """Compare without the padding of stream ``where`` (for attention (P, N, Q, K), that of the queries)."""
        text = re.fullmatch(r"words|text\..+|connection\..+\.text", where)
        image = re.fullmatch(r"regions|image\..+|connection\..+\.image", where)
        valid = self.complete.text_mask if text else self.complete.region_mask if image else None
        if ours is not None and ours.dim() == theirs.dim() == 4:  # attentions: queries first
            ours, theirs = ours.transpose(1, 2), theirs.transpose(1, 2)
        return compare(quantity, ours, theirs, TOLERANCE, valid)
