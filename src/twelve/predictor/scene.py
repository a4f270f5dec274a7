"""An image whose regions were extracted once, for any number of questions."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Protocol, overload

from PIL import Image

from twelve.errors import InputError
from twelve.outputs.answer import Answered
from twelve.outputs.parts.result import NO_IMAGE, Judged
from twelve.outputs.parts.warned import Warned
from twelve.outputs.region import Chosen, Located
from twelve.predictor.checks import METHODS, Turn, corners, texts_of, turns_of
from twelve.predictor.dependence import Dependence
from twelve.progress import counted
from twelve.regions.images import ACCEPTED, ImageLike, open_image, refused
from twelve.types.examples import Box
from twelve.types.regions import Regions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Asks(Protocol):
    """The part of :class:`twelve.predictor.predictor.Predictor` that a scene uses."""

    @property
    def question(self) -> Callable[..., Any]: ...

    @property
    def ask(self) -> Callable[..., list[Any]]: ...

    @property
    def depends(self) -> Callable[..., Dependence]: ...

    @property
    def extractor(self) -> Any: ...

    def describe(self, scene: Any, boxes: tuple[Box, ...]) -> Regions: ...


_NUMBERS = itertools.count()


class Scene:
    """An image with its regions; :meth:`Predictor.scene` creates it.

    Attributes:
        name: name of the scene in results (the file's name, if the image came from a file).
        regions: the model's input.
        image: the photograph, upright; None if the scene was made from regions.
        warnings: reasons to doubt results about the scene (:func:`twelve.predictor.warnings.of_regions`).
    """

    def __init__(
        self,
        predictor: Asks,
        regions: Regions,
        image: Image.Image | None,
        name: str,
        warnings: tuple[Warned, ...] = (),
    ) -> None:
        self.predictor, self.regions, self.image, self.name = predictor, regions, image, name
        self.warnings = warnings
        self.id = f"scene/{next(_NUMBERS)}"
        self._candidates: dict[tuple[Box, ...], Regions] = {}

    def __repr__(self) -> str:
        return f"Scene({self.name!r}, {self.regions.width} x {self.regions.height}, {self._counted})"

    @property
    def _counted(self) -> str:
        count = len(self.regions.boxes)
        return counted(count, "region")

    @property
    def labels(self) -> list[str] | None:
        """The detector's class of each region, such as "boat"; None if the detector names no classes, or gave these
        regions no classes.

        Raises:
            ConfigError, RegionError: the model has no extractor (:attr:`Predictor.extractor`).
        """
        if self.regions.class_ids is None:
            return None
        classes = self.predictor.extractor.network.classes
        if not len(classes):
            return None
        return [classes[k] if 0 <= k < len(classes) else "thing" for k in self.regions.class_ids.tolist()]

    def draw(self) -> Image.Image:
        """The image with its regions: what the model sees.

        Raises:
            ValueError: the scene was made from regions, without an image.
        """
        from twelve.outputs.parts.drawing import framed

        if self.image is None:
            raise ValueError(NO_IMAGE)
        return framed(self.image, [((a, b, c, d), 1.0) for a, b, c, d in self.regions.boxes.tolist()], best=False)

    def _repr_html_(self) -> str:
        from twelve.outputs.parts.notebook import figure

        size = f"{self.regions.width} x {self.regions.height} pixels, {self._counted}"
        return figure(None if self.image is None else self.draw(), (self.name, size), warnings=self.warnings)

    @overload
    def answer(self, question: str, *, task: str | None = None, explain: bool = False) -> Answered: ...
    @overload
    def answer(self, question: list[str], *, task: str | None = None, explain: bool = False) -> list[Answered]: ...
    def answer(
        self, question: str | list[str], *, task: str | None = None, explain: bool = False
    ) -> Answered | list[Answered]:
        """The answer to a question, or to several; several questions share a forward pass.

        Args:
            question: one, or a list.
            task: the task that answers, if the model has several of this kind; None for the first.
            explain: keep the attention (:class:`twelve.predictor.Attention`); each question then takes a pass.

        Raises:
            InputError: the text is empty, or the model has no such task.
        """
        return self._asked("answer", question, task, explain)  # type: ignore[no-any-return]

    @overload
    def locate(
        self, phrase: str, *, threshold: float | None = None, task: str | None = None, explain: bool = False
    ) -> Located: ...
    @overload
    def locate(
        self, phrase: list[str], *, threshold: float | None = None, task: str | None = None, explain: bool = False
    ) -> list[Located]: ...
    def locate(
        self,
        phrase: str | list[str],
        *,
        threshold: float | None = None,
        task: str | None = None,
        explain: bool = False,
    ) -> Located | list[Located]:
        """The box that a phrase refers to; ``box`` of the result is None if the confidence is below ``threshold``.

        Args:
            phrase: one, or a list.
            threshold: confidence in 0..1; None accepts every box.
            task: the task that answers, if the model has several of this kind; None for the first.
            explain: keep the attention (:class:`twelve.predictor.Attention`); each phrase then takes a pass.

        Raises:
            InputError: the text is empty, the threshold is not in 0..1, or the model has no such task.
        """
        return self._asked("locate", phrase, task, explain, threshold=threshold)  # type: ignore[no-any-return]

    @overload
    def entails(self, statement: str, *, task: str | None = None, explain: bool = False) -> Judged: ...
    @overload
    def entails(self, statement: list[str], *, task: str | None = None, explain: bool = False) -> list[Judged]: ...
    def entails(
        self, statement: str | list[str], *, task: str | None = None, explain: bool = False
    ) -> Judged | list[Judged]:
        """Whether the image proves a statement: entailment, neutral or contradiction.

        Args:
            statement: one, or a list.
            task: the task that answers, if the model has several of this kind; None for the first.
            explain: keep the attention (:class:`twelve.predictor.Attention`); each statement then takes a pass.

        Raises:
            InputError: the text is empty, or the model has no such task.
        """
        return self._asked("entails", statement, task, explain)  # type: ignore[no-any-return]

    def depends(
        self, text: str, *, method: str = "answer", task: str | None = None, right: Scene | None = None
    ) -> Dependence:
        """What an answer depends on: how much its confidence falls without each region of the image, or of two
        images.

            found = scene.depends("what colour is the boat?")
            print(found)  # Without box 2 (boat), “red” falls from 97% to 3%.

        Args:
            text: a question; a statement for ``method="entails"`` and ``method="verify"``.
            method: answer, entails or verify, or a method of a further output whose results are answers or classes.
            task: the task that answers, if the model has several of this kind; None for the first.
            right: for ``verify``, the right image; this scene is the left image.

        Raises:
            InputError: the text is empty, the results of the method are boxes, the right image is missing or not
                accepted, or the model has no such task.
        """
        if right is None and METHODS.get(method) == 2:
            problem = f"{method}: expected two images, found one"
            raise InputError(problem, remedy="pass the right one too: right=model.scene(image)")
        scenes = (self,) if right is None else (self, right)
        return self.predictor.depends(self.predictor.question(method, text, scenes, task=task))

    def choose(
        self,
        question: str,
        boxes: ArrayLike,
        *,
        threshold: float | None = None,
        task: str | None = None,
        explain: bool = False,
    ) -> Chosen:
        """Which of several boxes answers a question.

        Args:
            boxes: (C, 4) xyxy pixels of the image after its EXIF rotation.
            threshold: confidence in 0..1 below which no box is chosen; None always chooses one.
            task: the task that answers, if the model has several of this kind; None for the first.
            explain: keep the attention (:class:`twelve.predictor.Attention`).

        Raises:
            InputError: the text or the boxes are empty, less than half of a box lies in the image, the scene was made
                from regions, or the model has no such task.
        """
        options = {"boxes": corners(boxes), "threshold": threshold, "task": task}
        found: Chosen = self.ask("choose", question, explain=explain, **options)
        return found

    def guess(
        self,
        dialogue: Iterable[Turn],
        boxes: ArrayLike,
        *,
        threshold: float | None = None,
        task: str | None = None,
        explain: bool = False,
    ) -> Chosen:
        """Which of several boxes a dialogue is about.

        Args:
            dialogue: turns, each as (question, answer) or {"question": ..., "answer": ...}; answers are yes, no or n/a.
            boxes, threshold, task, explain: as in :meth:`choose`.

        Raises:
            InputError: as :meth:`choose`, or a turn has another form; the error names the turn.
        """
        turns, options = turns_of(dialogue), {"boxes": corners(boxes), "threshold": threshold, "task": task}
        found: Chosen = self.ask("guess", turns, explain=explain, **options)
        return found

    def ask(self, method: str, text: str | Iterable[Turn], *, explain: bool = False, **options: Any) -> Any:
        """The result of any of :attr:`Predictor.methods`; ``options`` are those of :meth:`Predictor.question`."""
        return self.predictor.ask([self.predictor.question(method, text, (self,), **options)], explain=explain)[0]

    def regions_of(self, boxes: tuple[Box, ...]) -> Regions:
        """The regions of given boxes, extracted once."""
        if boxes not in self._candidates:
            self._candidates[boxes] = self.predictor.describe(self, boxes)
        return self._candidates[boxes]

    def _asked(self, method: str, texts: str | list[str], task: str | None, explain: bool, **options: Any) -> Any:
        several, asks = texts_of(texts), []
        for number, text in enumerate(several, 1):
            try:
                asks.append(self.predictor.question(method, text, (self,), task=task, **options))
            except InputError as error:
                record = error.record if len(several) == 1 else f"text {number} of {len(several)}"
                raise InputError(error.problem, record=record, remedy=error.remedy) from None
        found = self.predictor.ask(asks, explain=explain)
        return found[0] if isinstance(texts, str) else found


def photograph(image: ImageLike, max_pixels: int) -> Image.Image:
    """An image as :func:`twelve.regions.images.open_image` opens it; raises InputError if it cannot, which says
    what to pass."""
    try:
        return open_image(image, max_pixels)
    except (OSError, ValueError, TypeError, SyntaxError) as error:
        raise refused(image, error, f"{ACCEPTED}; or regions (twelve.Regions)") from None
