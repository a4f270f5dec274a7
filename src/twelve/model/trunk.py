"""What stands between the inputs and the heads: a trunk, behind a Protocol and a registry.

Axes: T texts, I images, P pairs, L text length (task token included), R regions (region 0 global), F feature size,
H width of words, V width of regions, B fused width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Protocol

from torch import Tensor, nn

from twelve.errors import ConfigError, nearest
from twelve.model.settings import Settings
from twelve.model.single_stream import SingleStream
from twelve.model.streams import Need, Trace
from twelve.model.two_stream import TwoStream


class Trunk(Protocol):
    """A module whose children hold all of its parameters; the model registers them under their own names.

    Class methods need the configuration alone. A step at which words look at regions and back has its attention
    recorded as NAME.text (P, N, L, R) and NAME.image (P, N, R, L); every row sums to 1.

    Attributes:
        tokens: prefix of the task-token table's name.
        released: whether the released files have a place for each of its parameters.
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
        self, ids: Tensor, mask: Tensor | None, segments: Tensor | None, tasks: Tensor | None, trace: Trace
    ) -> tuple[Tensor, Tensor | None]:
        """States (T, L, H) of distinct texts as far as no image decides them, and their mask with the task token."""

    def encode_images(self, features: Tensor, boxes: Tensor, mask: Tensor | None, trace: Trace) -> Tensor:
        """States (I, R, V) of distinct images as far as no text decides them."""

    def fuse(
        self,
        text: Tensor,
        text_mask: Tensor | None,
        image: Tensor,
        image_mask: Tensor | None,
        text_need: Need,
        image_need: Need,
        trace: Trace,
    ) -> tuple[Tensor, Tensor]:
        """Final words (P, L, H) and regions (P, R, V) of encoded pairs. The first position comes first, and the others
        are there where ``Need.ALL`` asks for them; what nothing needs is undefined."""

    def pool(self, words: Tensor, regions: Tensor) -> tuple[Tensor, Tensor]:
        """(P, B) of each side, from what :meth:`fuse` returned."""

    def standardise_regions(self, mean: Tensor, std: Tensor) -> None:
        """Fold mean and standard deviation (F,) of the region features into the region embedding."""

    @classmethod
    def depth(cls, name: str, config: Settings) -> int:
        """How many layers a parameter lies below the heads; 0 for one that is not the trunk's."""

    @classmethod
    def stream_layers(cls, config: Settings) -> Mapping[str, int]:
        """How many layers ``freeze.text_layers`` and ``freeze.image_layers`` can count, by "text" and "image"."""

    @classmethod
    def lowest(cls, stream: str, count: int) -> Sequence[str]:
        """Prefixes of the parameters in a stream's embedding and its ``count`` lowest layers."""

    @classmethod
    def counterpart(cls, name: str) -> str:
        """The parameter of the same role in the trunk of two streams: learning rate, decay and what a text encoder
        gives follow from the name that it has in the released files. Other names are returned as they are."""

    @classmethod
    def sizes(cls, config: Settings) -> Mapping[str, str]:
        """Lines of the model card by what they are about; "text" and "image" are there."""


TRUNKS: dict[str, type[Trunk]] = {"two_stream": TwoStream, "single_stream": SingleStream}
"""By the setting ``trunk``."""


def trunk_class(config: Settings) -> type[Trunk]:
    """The class of a configuration's trunk.

    Raises:
        ConfigError: there is none of this name.
    """
    if config.trunk not in TRUNKS:
        raise ConfigError(
            f"trunk: expected one of {', '.join(TRUNKS)}, found {config.trunk!r}{nearest(config.trunk, TRUNKS)}",
            remedy="choose one of them, or leave trunk out",
        )
    return TRUNKS[config.trunk]
