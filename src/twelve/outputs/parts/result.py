"""What a trained model returns: small records that print well, become JSON and draw themselves on their image."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from twelve.errors import InputError
from twelve.io.json_file import readable
from twelve.outputs.parts.warned import Warned
from twelve.outputs.parts.warned import reliable as reliable_with
from twelve.types.examples import Box

if TYPE_CHECKING:
    from PIL import Image

SHOWN = 3
"""Alternatives that are printed."""
DIGITS = 6
"""Decimals, or significant digits, of numbers in JSON: further digits of a confidence mean nothing."""
HIDDEN = {"hidden": True}
"""Metadata of a field that is not written as JSON."""
_PAIRS = "pairs"
LITTLE = 0.0095
"""Alternatives with less confidence, less than 1%, are not shown, except for the best of them where all have less."""
APART = "the sum may exceed 100%"
"""Said where percentages that are independent of each other add up to more than 100%."""
CLOSE = 0.75
"""Percentages are close if an alternative has at least this share of the best answer's confidence."""
UNDECIDED = "the model is undecided"
"""Said where they are close."""
UNCALIBRATED = "; not calibrated"
"""Ends printed results whose confidence is not calibrated."""
NO_IMAGE = "there is no image to draw on: open the scene from an image, not from regions alone"


def pairs_of(value: str, number: str = "confidence") -> dict[str, tuple[str, str]]:
    """Metadata of a field of (value, number) pairs: in JSON, each is an object with these two names."""
    return {_PAIRS: (value, number)}


@dataclass(frozen=True, kw_only=True)
class Result:
    """What the results of every output have.

    Attributes:
        text: the question, phrase, statement or dialogue, for people.
        task: the task that answered.
        confidence: the model's estimate of the probability that the result is correct, 0..1.
        calibrated: whether training has calibrated the confidence of the task. If not, compare values of
            ``confidence`` with each other, but do not read them as probabilities.
        warnings: reasons to doubt the result (:mod:`twelve.predictor.warnings`), each a text with a ``code``; most
            results have none.
        image: the photograph, upright.
        explained: :attr:`attention`; None without ``explain=True``.
    """

    text: str
    task: str
    confidence: float
    calibrated: bool = False
    warnings: tuple[Warned, ...] = ()
    image: Image.Image | None = field(default=None, repr=False, compare=False, metadata=HIDDEN)
    explained: Any = field(default=None, repr=False, compare=False, metadata=HIDDEN)

    def __str__(self) -> str:
        return "\n".join((self.line, *(warning.line for warning in self.warnings)))

    @property
    def attention(self) -> Any:
        """A :class:`twelve.predictor.Attention` to :attr:`image`.

        Raises:
            InputError: the question was asked without ``explain=True``.
        """
        if self.explained is None:
            raise InputError("this result has no attention", remedy="ask again with explain=True")
        return self.explained

    @property
    def reliable(self) -> bool:
        """False where a warning says that the result may be meaningless: then do not trust the confidence, even if
        it is calibrated."""
        return reliable_with(self.warnings)

    @property
    def words(self) -> str:
        """The result in words, without the warnings."""
        raise NotImplementedError

    @property
    def value(self) -> str:
        """The answer alone, for a cell of a table; empty if there is none. By default :attr:`words`."""
        return self.words

    @property
    def line(self) -> str:
        """:attr:`words`, with a remark if the confidence is not calibrated."""
        return self.words + suffix(self.calibrated)

    @property
    def frames(self) -> Sequence[tuple[Box, float]]:
        """Boxes to draw, each with its strength (0..1), the strongest first."""
        return ()

    def to_dict(self) -> dict[str, Any]:
        """The result as plain values, numbers :func:`rounded`; fields of :func:`pairs_of` are lists of objects."""
        tree: dict[str, Any] = {}
        for name in (f.name for f in fields(self) if not f.metadata.get("hidden")):
            tree[name] = rounded(getattr(self, name))
            if name == "calibrated":
                tree["reliable"] = self.reliable
        tree["warnings"] = [warning.to_dict() for warning in self.warnings]
        for name, names in ((f.name, f.metadata[_PAIRS]) for f in fields(self) if _PAIRS in f.metadata):
            tree[name] = [dict(zip(names, pair, strict=True)) for pair in tree[name]]
        return tree

    def to_json(self) -> str:
        """:meth:`to_dict` as a line of JSON."""
        return readable(self.to_dict())

    def draw(self) -> Image.Image:
        """The image with the result drawn on it.

        Raises:
            ValueError: there is no image (the scene was made from regions).
        """
        from twelve.outputs.parts.drawing import caption_below

        return caption_below(self.drawn(), f"{self.text}\n{self}")

    def drawn(self) -> Image.Image:
        """:meth:`draw` without the text below."""
        from twelve.outputs.parts.drawing import framed

        if self.image is None:
            raise ValueError(NO_IMAGE)
        return framed(self.image, self.frames)

    def _repr_html_(self) -> str:
        from twelve.outputs.parts.notebook import figure

        try:
            drawn = self.drawn()
        except ValueError:  # made from regions
            drawn = None
        return figure(drawn, (self.text, self.line), self.bars, self.warnings)

    @property
    def bars(self) -> Sequence[tuple[str, float, str]]:
        """What a notebook shows as bars: (name, length in 0..1, text beside it); none by default."""
        return ()


@dataclass(frozen=True, slots=True)
class Context:
    """What turns a prediction into a result.

    Attributes:
        fields: the fields of :class:`Result` itself.
        boxes: the candidates, or none.
        threshold: confidence below which nothing counts as found; None for no threshold.
        likely: confidence below which a result is unlikely to be right; 0 if it is not known.
        images: the photographs, upright, or None each.
    """

    fields: Mapping[str, Any]
    boxes: tuple[Box, ...] = ()
    threshold: float | None = None
    images: tuple[Image.Image | None, ...] = ()
    likely: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Judged(Result):
    """One of a few classes.

    Attributes:
        label: e.g. entailment, neutral or contradiction; true or false.
        alternatives: all classes with their probabilities, best first.
    """

    label: str
    alternatives: tuple[tuple[str, float], ...] = field(default=(), metadata=pairs_of("label"))

    @property
    def value(self) -> str:
        return self.label

    @property
    def words(self) -> str:
        return ranked(self.label, self.confidence, self.alternatives)

    @property
    def bars(self) -> Sequence[tuple[str, float, str]]:
        return best_bars(self.alternatives)


def field_names(cls: type[Result] = Result) -> set[str]:
    """The JSON fields of a class of results and of all its subclasses."""
    own = {each.name for each in fields(cls) if not each.metadata.get("hidden")}
    return own.union(("reliable",), *map(field_names, cls.__subclasses__()))


def named(value: Any) -> str:
    """A value in words."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def ranked(value: str, confidence: float, alternatives: Sequence[tuple[str, float]]) -> str:
    """A value and its best alternatives, in words. Percentages of independent answers can add up to more than 100%:
    then it says so, and that the model is undecided if the best two are close."""
    best = worth_showing([(other, share) for other, share in alternatives if other != value])[:SHOWN]
    others = ", ".join(f"{other} {percent(share)}" for other, share in best)
    apart = ""
    if exceed(confidence, *(share for _, share in best)):
        apart = f" ({f'{UNDECIDED}; ' * (best[0][1] >= CLOSE * confidence)}{APART})"
    return f"{value} ({percent(confidence)})" + (f"; {others}{apart}" if others else "")


def bars_of(alternatives: Sequence[tuple[str, float]]) -> list[tuple[str, float, str]]:
    """Values with the confidence of each, best first, as :attr:`Result.bars`."""
    return [(str(value), share, percent(share)) for value, share in alternatives]


def best_bars(alternatives: Sequence[tuple[str, float]]) -> list[tuple[str, float, str]]:
    """:func:`bars_of` the best value and of the alternatives to it that are worth showing."""
    return bars_of([*alternatives[:1], *worth_showing(alternatives[1:])])


def worth_showing(alternatives: Sequence[tuple[Any, float]]) -> Sequence[tuple[Any, float]]:
    """The alternatives to a value, best first, without those of less than 1%; at least the best one."""
    return [alternative for place, alternative in enumerate(alternatives) if not place or alternative[1] >= LITTLE]


def suffix(calibrated: bool) -> str:
    """What ends a printed result: nothing, or that its confidence is not calibrated."""
    return "" if calibrated else UNCALIBRATED


def exceed(*shares: float) -> bool:
    """Whether percentages that are shown together add up to more than 100%."""
    return sum(shares) > 1.005


def percent(share: float) -> str:
    """A share in 0..1 in per cent; below one per cent with a decimal, so that a small share is not shown as 0, and
    one below 1 not as 100%."""
    if 0 < share < 0.0005:
        return "<0.1%"
    if 0.995 <= share < 1:
        return ">99%"
    return f"{share:.1%}" if 0 < share < 0.0095 else f"{share:.0%}"


def rounded(value: Any) -> Any:
    """A value for JSON: tuples as lists, numpy's numbers as Python's, and those with a fraction rounded to
    :data:`DIGITS` decimals, or to as many significant digits if they are below 1: a small share does not become 0, nor
    one below 1 become 1.

    Example:
        >>> rounded([0.97421345710754, 0.0000012345678, 123.4567891234])
        [0.974213, 1.23457e-06, 123.456789]
    """
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [rounded(item) for item in value]
    value = value.item() if isinstance(value, np.generic) else value
    if not isinstance(value, float):
        return value
    return min(float(f"{value:.{DIGITS}g}"), 1 - 10**-DIGITS) if abs(value) < 1 else round(value, DIGITS)
