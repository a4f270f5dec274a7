"""The released models' trunk: connected streams of words and regions (Lu et al. 2019).

Axes: T texts, I images, P pairs, L text length (task token included), R regions (region 0 global), F feature size,
H text width, V visual width, B fused width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from torch import Tensor, nn

from twelve.model.embeddings import Poolers
from twelve.model.sequences import Sequences
from twelve.model.settings import Settings, Step
from twelve.model.streams import (
    Connection,
    ImageStream,
    Layers,
    Need,
    Planned,
    TextStream,
    Trace,
    image_layer,
    plan,
    text_layer,
)

_LAYER = re.compile(r"(text|image)\.layers\.(\d+)\.")
_CONNECTION = re.compile(r"connections\.(\d+)\.(text|image)\.")


def before_fusion(config: Settings) -> list[Step]:
    """Steps that depend on one text or one image alone: those before the first connection, without visual layers if
    attention is dynamic. Without connections, none: in the original's order, gates then see bare embeddings."""
    steps = config.steps
    first = next((place for place, (kind, _) in enumerate(steps) if kind == "connection"), 0)
    return [step for step in steps[:first] if step[0] == "text" or not config.dynamic_attention]


class TwoStream(nn.Module):
    """See :class:`twelve.model.trunk.Trunk`. Layers and positions that nothing reads are skipped."""

    tokens: ClassVar[str] = "text.embedding.tasks"
    released: ClassVar[bool] = True

    def __init__(self, config: Settings) -> None:
        super().__init__()
        self.config = config
        self.visual_size, self.fused_size = config.v_hidden_size, config.bi_hidden_size
        self.text = TextStream(config)
        self.image = ImageStream(config)
        self.connections = nn.ModuleList(Connection(config) for _ in config.t_biattention_id)
        self.poolers = Poolers(config.hidden_size, config.v_hidden_size, config.bi_hidden_size)

    @property
    def words(self) -> Tensor:
        return self.text.embedding.words.weight

    # --- forward pass ------------------------------------------------------------------------------------------
    def encode_texts(
        self, ids: Tensor, mask: Tensor | None, segments: Tensor | None, tasks: Tensor | None, pack: bool, trace: Trace
    ) -> Sequences:
        """Run distinct texts up to the first connection."""
        text = self.text.embedding(ids, mask, segments, tasks, pack)
        trace.keep("text.embedding", text.states)
        steps = [Planned("text", i, text=Need.ALL) for kind, i in self._before_fusion if kind == "text"]
        return self._layers.run(steps, text, text, trace)[0]

    def encode_images(
        self, features: Tensor, boxes: Tensor, mask: Tensor | None, pack: bool, trace: Trace
    ) -> Sequences:
        """Run distinct images up to the first connection; with ``dynamic_attention``, whose layers read the text, only
        the embedding."""
        image = self.image.embedding(features, boxes, mask, pack)
        trace.keep("image.embedding", image.states)
        steps = [Planned("image", i, image=Need.ALL) for kind, i in self._before_fusion if kind == "image"]
        return self._layers.run(steps, image, image, trace)[1]

    def fuse(
        self, text: Sequences, image: Sequences, text_need: Need, image_need: Need, trace: Trace
    ) -> tuple[Sequences, Sequences]:
        steps = plan(self._after_encoding, text_need, image_need, dynamic=self.config.dynamic_attention)
        return self._layers.run(steps, text, image, trace)

    def pool(self, words: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        pooled: tuple[Tensor, Tensor] = self.poolers(words, regions)
        return pooled

    def standardise_regions(self, mean: Tensor, std: Tensor) -> None:
        self.image.embedding.standardise(mean, std)

    @property
    def _layers(self) -> Layers:
        return Layers(self.text.layers, self.image.layers, self.connections)

    @property
    def _before_fusion(self) -> list[Step]:
        return before_fusion(self.config)

    @property
    def _after_encoding(self) -> list[Any]:
        done = set(self._before_fusion)
        return [step for step in self.config.steps if step not in done]

    # --- description of a configuration ------------------------------------------------------------------------
    @classmethod
    def layer(cls, stream: str, config: Settings) -> nn.Module:
        return text_layer(config) if stream == "text" else image_layer(config)

    @classmethod
    def layers_before_fusion(cls, config: Settings) -> Mapping[str, int]:
        kinds = [kind for kind, _ in before_fusion(config)]
        return {stream: kinds.count(stream) for stream in ("text", "image")}

    @classmethod
    def depth(cls, name: str, config: Settings) -> int:
        """1 for the last layer of either stream; an embedding lies below all layers of its stream. Each direction of a
        connection is as deep as the next layer of its stream."""
        layers = cls.stream_layers(config)
        if layer := _LAYER.match(name):
            return layers[layer[1]] - int(layer[2])
        if connection := _CONNECTION.match(name):
            places = config.t_biattention_id if connection[2] == "text" else config.v_biattention_id
            return layers[connection[2]] - places[int(connection[1])]
        for stream, count in layers.items():
            if name.startswith(f"{stream}.embedding.") and not name.startswith(f"{cls.tokens}."):
                return count + 1
        return 0

    @classmethod
    def stream_layers(cls, config: Settings) -> Mapping[str, int]:
        return {"text": config.num_hidden_layers, "image": config.v_num_hidden_layers}

    @classmethod
    def lowest(cls, stream: str, count: int) -> Sequence[str]:
        return [f"{stream}.embedding", *(f"{stream}.layers.{layer}" for layer in range(count))]

    @classmethod
    def counterpart(cls, name: str) -> str:
        return name

    @classmethod
    def sizes(cls, config: Settings) -> Mapping[str, str]:
        return {
            "text": f"{config.num_hidden_layers} layers of {config.hidden_size}, {config.num_attention_heads} heads",
            "image": f"{config.v_num_hidden_layers} layers of {config.v_hidden_size}, "
            f"{config.v_num_attention_heads} heads",
            "connections": f"{len(config.t_biattention_id)} of {config.bi_hidden_size}, "
            f"{config.bi_num_attention_heads} heads",
        }
