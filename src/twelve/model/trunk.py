"""The trunk, between inputs and heads: its Protocol and its registry.

Axes: T texts, I images, P pairs, L text length (task token included), R regions (region 0 global), F feature size,
H width of words, V width of regions, B fused width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from torch import Tensor, nn

from twelve.errors import ConfigError, nearest
from twelve.model.sequences import Sequences
from twelve.model.settings import Settings
from twelve.model.single_stream import SingleStream
from twelve.model.streams import Need, Trace
from twelve.model.two_stream import TwoStream
from twelve.run_folder import in_a_program


class Trunk(Protocol):
    """A module whose children, registered in the model under their own names, hold all its parameters.

    Class methods need only the configuration. A step in which words and regions attend to each other records its
    attention as NAME.text (P, N, L, R) and NAME.image (P, N, R, L), with rows that sum to 1.

    Attributes:
        tokens: prefix of the task-token table's parameter name.
        released: whether the released format has a place for all its parameters.
        visual_size, fused_size: V and B.
    """

    tokens: ClassVar[str]
    released: ClassVar[bool]
    visual_size: int
    fused_size: int

    def __init__(self, config: Settings) -> None: ...

    def named_children(self) -> Iterator[tuple[str, nn.Module]]: ...

    @property
    def words(self) -> Tensor:
        """(vocabulary, H): the word embedding."""

    def encode_texts(
        self, ids: Tensor, mask: Tensor | None, segments: Tensor | None, tasks: Tensor | None, pack: bool, trace: Trace
    ) -> Sequences:
        """States (T, L, H) of distinct texts, as far as they do not depend on images; packed if ``pack``, which keeps
        no trace."""

    def encode_images(
        self, features: Tensor, boxes: Tensor, mask: Tensor | None, pack: bool, trace: Trace
    ) -> Sequences:
        """States (I, R, V) of distinct images, as far as they do not depend on texts; packed if ``pack``."""

    def fuse(
        self, text: Sequences, image: Sequences, text_need: Need, image_need: Need, trace: Trace
    ) -> tuple[Sequences, Sequences]:
        """Final words (P, L, H) and regions (P, R, V) of encoded pairs, both packed if these are. Only the first
        position is defined where the need is not ``Need.ALL``, and none where nothing is needed."""

    def pool(self, words: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled vectors (P, B) of both sides, from the first positions (P, H) and (P, V) of :meth:`fuse`."""

    def standardise_regions(self, mean: Tensor, std: Tensor) -> None:
        """Fold mean and standard deviation (F,) of the region features into the region embedding."""

    @classmethod
    def layer(cls, stream: str, config: Settings) -> nn.Module:
        """A new layer, which is no part of the trunk, for the states that :meth:`encode_texts` ("text") or
        :meth:`encode_images` ("image") returns."""

    @classmethod
    def layers_before_fusion(cls, config: Settings) -> Mapping[str, int]:
        """Number of layers that :meth:`encode_texts` and :meth:`encode_images` run, by "text" and "image"."""

    @classmethod
    def depth(cls, name: str, config: Settings) -> int:
        """Number of layers between a parameter and the heads; 0 if it is not the trunk's."""

    @classmethod
    def stream_layers(cls, config: Settings) -> Mapping[str, int]:
        """Number of layers that ``freeze.text_layers`` and ``freeze.image_layers`` can freeze, by "text" and
        "image"."""

    @classmethod
    def lowest(cls, stream: str, count: int) -> Sequence[str]:
        """Prefixes of the parameters in a stream's embedding and its ``count`` lowest layers."""

    @classmethod
    def counterpart(cls, name: str) -> str:
        """The parameter with the same role in the two-stream trunk, whose released name determines learning rate, decay
        and initialization from a text encoder. Other names are returned unchanged."""

    @classmethod
    def sizes(cls, config: Settings) -> Mapping[str, str]:
        """Lines for the model card by topic, including "text" and "image"."""


TRUNKS: dict[str, type[Trunk]] = {"two_stream": TwoStream, "single_stream": SingleStream}
"""Value of the setting ``trunk`` -> class."""


def trunk_class(config: Settings) -> type[Trunk]:
    """The class of a configuration's trunk.

    Raises:
        ConfigError: the name is unknown.
    """
    if config.trunk not in TRUNKS:
        saved = config.name_or_path
        remedy = in_a_program(Path(saved)) if saved else "choose one of them, or leave trunk out"
        raise ConfigError(
            f"trunk: expected one of {', '.join(TRUNKS)}, found {config.trunk!r}{nearest(config.trunk, TRUNKS)}",
            remedy=remedy,
        )
    return TRUNKS[config.trunk]
