"""A trained model with its processor and its extractor."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from twelve.device import usable
from twelve.errors import ConfigError, InputError, RegionError, found_in
from twelve.evaluation.predict import finished
from twelve.formats.records import describe
from twelve.model.network import Network
from twelve.model.precision import for_predicting, weights_of
from twelve.model.processor import TwelveProcessor
from twelve.model.processor_file import CONFIG_FILE
from twelve.model.vectors import image_vectors, text_vectors
from twelve.outputs.pair import Verified
from twelve.outputs.parts.result import Result
from twelve.outputs.parts.warned import Warned
from twelve.predictor import warnings
from twelve.predictor.abilities import Abilities
from twelve.predictor.checks import (
    Turn,
    check_inside,
    check_threshold,
    check_weight,
    corners,
    readable,
    texts_of,
    turns_of,
)
from twelve.predictor.dependence import Dependence
from twelve.predictor.forward import BATCH, depending, results
from twelve.predictor.forward import NotFiniteLogits as NotFiniteLogits
from twelve.predictor.matched import Matched
from twelve.predictor.matching import matching, scenes_collator
from twelve.predictor.measured import TaskStanding, standings_of
from twelve.predictor.questions import Question
from twelve.predictor.scene import Scene, photograph
from twelve.predictor.search import search
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.images import ImageLike
from twelve.regions.recipe import preferred
from twelve.settings import Precision
from twelve.tasks.base import Task
from twelve.threads import Threads, unchanged
from twelve.types.examples import Box
from twelve.types.regions import Regions

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


class Predictor(Abilities):
    """A trained model; :func:`load` opens one.

    Args:
        extractor: extracts regions from images. By default, the extractor of the training regions, built when
            first needed.
        weights: of the extractor; needed only if neither this package nor the extra ``sample`` includes them: a file,
            ``package:NAME``, ``pretrained`` or ``random``.
        device: cpu or cuda.
        precision: of the model's layers: fp32, bf16, or auto for bf16 where it is faster.
        own: the tasks that the run of the model defines itself.
        folder: the folder that the model was opened from, if the model is as saved there.

    Attributes:
        model: as saved, or a copy that predicts faster (:func:`twelve.model.precision.for_predicting`).
        processor: as saved.
        methods: method -> its tasks; the first is the default.
        titles: task -> its readable name.
        threads: number of threads for the model; torch's number of threads until :meth:`measure_threads` is called.

    Raises:
        ConfigError: the device cannot be used, or there is no such precision.
    """

    def __init__(
        self,
        model: Network,
        processor: TwelveProcessor,
        *,
        extractor: Extractor | None = None,
        weights: str | None = None,
        device: str = "cpu",
        precision: Precision = "auto",
        own: Mapping[str, Task] | None = None,
        folder: Path | None = None,
    ) -> None:
        super().__init__(processor, model.config.heads, own)
        torch.nn.Module.to(model, usable(device))
        self.model = for_predicting(model, precision)
        self._extractor, self._weights, self.device, self.folder = extractor, weights, device, folder
        self.threads = unchanged(self.model.device)

    def measure_threads(self, say: Callable[[str], None] = lambda text: None) -> None:
        """Measure from now on which number of threads is fastest, and use it (:meth:`twelve.threads.Threads.run`). This
        pays if there are many questions.

        Args:
            say: called with a message about the result.
        """
        self.threads = Threads("auto", say, auto=self.model.device.type == "cpu")

    @cached_property
    def standings(self) -> Mapping[str, TaskStanding]:
        """Task -> what the evaluation that is stored with the model says of it; empty if there is none."""
        return {} if self.folder is None else standings_of(self.folder)

    def doubts(self, task: str) -> tuple[Warned, ...]:
        """A warning if the stored evaluation does not show that a task is better than every baseline."""
        return warnings.of_standing(task, self.standings.get(task, TaskStanding()))

    def __repr__(self) -> str:
        return f"Predictor({', '.join(f'{method}: {tasks[0]}' for method, tasks in self.methods.items())})"

    @cached_property
    def extractor(self) -> Extractor:
        """The extractor of regions.

        Raises:
            ConfigError: the model does not record how its regions were made, or the extractor's weights are missing.
            RegionError: the weights are not those of the training regions.
        """
        if self._extractor is not None:
            return self._extractor
        # A model that was built from a configuration alone has no folder to name in errors.
        folder = str(self.model.config.name_or_path)
        with found_in(os.path.join(folder, CONFIG_FILE)) if folder else nullcontext():
            if not (recipes := preferred(self.processor.region_recipes)):
                raise ConfigError(
                    "the model does not record how its training regions were made (they were imported)",
                    remedy="pass an extractor of the same features: twelve.load(..., extractor=Extractor(...))",
                )
            # All recipes have the same fingerprint; one without files of boxes comes first.
            found = Extractor.from_recipe(recipes[0], weights=self._weights, device=self.device)
            if found.feature_size != (size := self.model.config.v_feature_size):
                raise RegionError(
                    f"expected {size} features (v_feature_size), found {found.feature_size} of "
                    f"{recipes[0].config.backbone}",
                    remedy="use the processor_config.json that was saved with the model",
                )
            return found

    # --- images ---------------------------------------------------------------------------------------------
    def scene(self, image: ImageLike | Regions, *, name: str | None = None, boxes: ArrayLike | None = None) -> Scene:
        """Extract the regions of an image, once for any number of questions.

        Args:
            image: a path, a file's bytes, a Pillow image, an array or a tensor (:meth:`Extractor.extract`); or regions
                that were extracted before.
            name: name of the scene in results; by default, the name of the file.
            boxes: (R, 4) xyxy pixels of the regions, instead of boxes that the extractor chooses.

        Raises:
            InputError: ``image`` cannot be read as an image, or both boxes and regions were passed.
            ConfigError, RegionError: as :attr:`extractor`.
        """
        if isinstance(image, Regions):
            if boxes is not None:
                raise InputError("expected boxes or regions, found both", remedy="omit boxes, or pass the image")
            return Scene(self, image, None, name or image.image_id, warnings.of_regions(self.processor, image))
        name = name or (Path(image).name if isinstance(image, str | Path) else "image")
        opened = photograph(image, self.extractor.config.max_pixels)
        regions = self.extractor.extract(opened, boxes, image_id=name)
        doubts = warnings.of_regions(self.processor, regions)
        if not len(regions.boxes):
            regions = self.extractor.extract(opened, [[0, 0, regions.width, regions.height]], image_id=name)
        return Scene(self, regions, opened, name, doubts)

    def describe(self, scene: Scene, boxes: tuple[Box, ...]) -> Regions:
        """The regions of given boxes in a scene.

        Raises:
            InputError: the scene has no image; less than half of a box lies inside it.
        """
        if scene.image is None:
            raise InputError("boxes require an image, but this scene was made from regions", remedy="pass the image")
        check_inside(boxes, scene.image.size)
        return self.extractor.extract(scene.image, boxes)

    # --- questions --------------------------------------------------------------------------------------------
    def question(
        self,
        method: str,
        text: str | Iterable[Turn],
        scenes: Sequence[Scene] | Scene,
        *,
        task: str | None = None,
        boxes: ArrayLike = (),
        threshold: float | None = None,
    ) -> Question:
        """Create a question for :meth:`ask`.

        Args:
            method: answer, locate, entails, choose, guess or verify, or a method of a further output.
            text: a question, phrase or statement; for ``guess``, the turns of a dialogue (:meth:`Scene.guess`).
            scenes: the image; for ``verify``, the left and the right one.
            boxes: candidates of ``choose`` and ``guess``, (C, 4) xyxy pixels.
            task: the task that answers, if the model has several of this kind; None for the first.
            threshold: for ``locate``, ``choose`` and ``guess``: confidence (0..1) below which a box does not count as
                found.

        Raises:
            InputError: the model has no such task, or the method does not take these arguments.
        """
        if method == "match":
            raise InputError("match takes no question", remedy="call match(images, captions)")
        several = tuple(texts_of(scenes))
        if others := [scene for scene in several if not isinstance(scene, Scene)]:
            raise InputError(
                f"expected scenes, found {describe(others[0])}", remedy="make them first: model.scene(image)"
            )
        candidates = () if isinstance(boxes, list | tuple) and not boxes else corners(boxes)
        turns = turns_of(text) if method == "guess" else ()
        self.check(method, turns or text, task=task, boxes=candidates, threshold=threshold, images=len(several))
        shown = readable(turns) if turns else str(text)
        return Question(method, self.task_for(method, task), shown, several, candidates, threshold, turns)

    def ask(
        self, questions: Sequence[Question], *, explain: bool = False, threshold: float | None = None
    ) -> list[Result]:
        """Answer questions about any scenes; the results are in the order of the questions.

        Questions of one task share a forward pass.

        Args:
            questions: made with :meth:`question`, of any methods, about any scenes of this model.
            explain: keep the attention; each question then takes a forward pass.
            threshold: default threshold of the questions: confidence below which a box does not count as found.

        Raises:
            InputError: ``questions`` is not a list of questions, the threshold is not in 0..1, or a box lies outside
                its image.
        """
        check_threshold(threshold)
        listed = isinstance(questions, list | tuple)
        others = [one for one in questions if not isinstance(one, Question)] if listed else [questions]
        if others:
            raise InputError(
                f"expected a list of questions, found {describe(others[0])}{' in it' if listed else ''}",
                remedy="create them with question(method, text, scene)",
            )
        by_task: dict[tuple[str, bool], list[int]] = {}
        for row, question in enumerate(questions):
            by_task.setdefault((question.task, bool(question.boxes)), []).append(row)
        found: dict[int, Result] = {}
        step = 1 if explain else BATCH
        for rows in by_task.values():
            for start in range(0, len(rows), step):
                part = rows[start : start + step]
                found |= zip(part, results(self, [questions[row] for row in part], explain, threshold), strict=True)
        return [found[row] for row in range(len(questions))]

    def verify(
        self,
        left: ImageLike | Scene,
        right: ImageLike | Scene,
        statement: str,
        *,
        task: str | None = None,
        explain: bool = False,
    ) -> Verified:
        """Whether a statement is true of two images.

        Args:
            left, right: scenes, or what :meth:`scene` takes.
            task: the task that answers, if the model has several of this kind; None for the first.
            explain: keep the attention of the LEFT image.

        Raises:
            InputError: the text is empty, an image cannot be read, or the model has no such task.
        """
        self.check("verify", statement, task=task)
        scenes = [image if isinstance(image, Scene) else self.scene(image) for image in (left, right)]
        result = self.ask([self.question("verify", statement, scenes, task=task)], explain=explain)[0]
        assert isinstance(result, Verified)
        return result

    def depends(self, question: Question) -> Dependence:
        """How much the confidence of a result falls without each region of the image, or of both images.

        The question and its variants, one for each region that the model reads, share forward passes of up to 64.

        Args:
            question: made with :meth:`question`: of a method whose results are answers or classes (answer, entails,
                verify).

        Raises:
            InputError: the result is a box.
        """
        return finished(self.depending(question))

    def depending(self, question: Question) -> Generator[int, None, Dependence]:
        """:meth:`depends` as a generator that returns its result; it yields the number of answered variants after
        every forward pass, so that other questions can be answered in between.

        Raises:
            InputError: as :meth:`depends`, at the first step.
        """
        return depending(self, question)

    def match(
        self,
        images: Sequence[ImageLike | Scene] | ImageLike | Scene,
        captions: Sequence[str] | str,
        *,
        task: str | None = None,
        shortlist: int | None = None,
        contrast_weight: float = 0.0,
    ) -> Matched:
        """How well each caption matches each image, or the images on its shortlist.

        Args:
            images: scenes, or what :meth:`scene` takes; one or several.
            captions: one or several.
            task: the retrieval task to match as, if the model has several; None for the first.
            shortlist: number of images that are ranked for a caption, chosen by the contrast head; 0 for all, None for
                128 if there are more than 2,000 pairs and the model has the head.
            contrast_weight: weight, 0 to 1,000, of the contrast head's logit in the score of a pair, beside the model's
                own logit. With a head, a weight of 1 often ranks better (docs/search.md); shares are calibrated for a
                weight of 0.

        Raises:
            InputError: there is no image or no caption, a caption is empty, the weight is out of range, an image
                cannot be read, or the model has no task for matching.
            ConfigError: there is a weight, and the model has no contrast head.
        """
        options: dict[str, Any] = {"shortlist": shortlist, "contrast_weight": contrast_weight}
        return finished(self.matching(images, captions, task=task, **options))

    def matching(
        self,
        images: Sequence[ImageLike | Scene] | ImageLike | Scene,
        captions: Sequence[str] | str,
        *,
        task: str | None = None,
        pairs: int = 2 * BATCH,
        shortlist: int | None = None,
        contrast_weight: float = 0.0,
    ) -> Generator[int, None, Matched]:
        """:meth:`match` as a generator that returns its result; it yields the number of scored pairs after every
        forward pass, so that other questions can be answered in between.

        Args:
            pairs: pairs in a forward pass.

        Raises:
            InputError: as :meth:`match`, at the first step.
        """
        several: list[Any] = list(images) if isinstance(images, list | tuple) else [images]
        texts, task = texts_of(captions), self.task_for("match", task)
        if not several or not texts:
            raise InputError("nothing to match", remedy="give at least one image and one caption")
        check_weight(contrast_weight)
        for text in texts:
            self.check_words(text, "caption")
        paths = tuple(str(image) if isinstance(image, str | Path) else "" for image in several)
        files = Counter(Path(path).name for path in paths)  # what several are called does not say which is meant
        named = [path if path and files[Path(path).name] > 1 else None for path in paths]
        given = zip(several, named, strict=True)
        scenes = [image if isinstance(image, Scene) else self.scene(image, name=name) for image, name in given]
        options: dict[str, Any] = {"pairs": pairs, "shortlist": shortlist, "contrast_weight": contrast_weight}
        return replace((yield from matching(self, task, scenes, texts, **options)), paths=paths)

    def search(
        self,
        images: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        captions: Sequence[str] | str,
        *,
        index: str | os.PathLike[str] | None = None,
        task: str | None = None,
        shortlist: int | None = None,
        contrast_weight: float | None = None,
        regions: str | os.PathLike[str] | None = None,
        progress: bool = False,
    ) -> Matched:
        """Search image files for captions, as ``twelve match`` does.

            model = twelve.load("examples/quickstart-model")
            found = model.search("photographs", "a red boat", index="vectors")
            for path, share in found.ranked_images()[:5]:
                print(path, share)

        With an index, the images of the result are those on the shortlist of a caption. A second search extracts
        regions only from these images, and from images that are new or have changed.

        Args:
            images: a folder, or image files and folders. Subfolders are searched, except hidden and linked ones.
            captions: one or several.
            index: a file that keeps the contrast head's vectors of the images; written, and updated by every search.
                None to extract the regions of all images.
            task: the retrieval task to match as, if the model has several; None for the first.
            shortlist: number of images that are ranked for a caption, chosen by the contrast head; 0 for all. None for
                128 with an index, otherwise as :meth:`match`.
            contrast_weight: as :meth:`match`; None for 1 with an index, otherwise 0.
            regions: a region store that has some of the images, by file name. Regions are extracted for the other
                images, and for images that share a file name.
            progress: whether to show the progress on stderr.

        Returns:
            The matches. Their ``images`` are paths; ``skipped`` has the files that cannot be read.

        Raises:
            InputError: an argument is invalid, there is no such image, none can be read, or the model has no task for
                matching.
            ConfigError: the model has no contrast head.
            RegionError: ``regions`` is empty or was made by another extractor.
            DataError: ``index`` is damaged, or is a file of another kind.
        """
        return search(
            self,
            images,
            captions,
            index=index,
            task=task,
            shortlist=shortlist,
            contrast_weight=contrast_weight,
            regions=regions,
            progress=progress,
        )

    # --- vectors ----------------------------------------------------------------------------------------------
    def image_vectors(self, scenes: Sequence[Scene]) -> list[NDArray[np.float32]]:
        """(regions, D) unit vectors of each of at least one image, which :func:`twelve.predictor.index.best_images`
        compares with :meth:`caption_vectors`.

        Raises:
            ConfigError: the model has no contrast head.
        """
        collator = scenes_collator(self, self.task_for("match"), scenes)
        found = image_vectors(self.model, collator, [scene.id for scene in scenes])
        return [rows.numpy() for rows in found.rows()]

    def caption_vectors(self, captions: Sequence[str], *, task: str | None = None) -> list[NDArray[np.float32]]:
        """(words, D) unit vectors of each caption; as :meth:`image_vectors`."""
        collator = scenes_collator(self, self.task_for("match", task), ())
        read = [warnings.respelt(self.processor, caption) for caption in captions]
        return [rows.numpy() for rows in text_vectors(self.model, collator, read).rows()]

    def vectors_mark(self) -> str:
        """Fingerprint of everything that the vectors of images depend on: weights, extractor, number of regions."""
        digest = hashlib.sha256(f"{self.extractor.mark} {self.processor.max_regions}".encode())
        for name, weight in weights_of(self.model):
            if name.startswith(("image.", "contrast.image.")):
                raw = weight.detach().cpu().contiguous().view(torch.uint8).numpy()
                digest.update(f"{name} {weight.dtype} {tuple(weight.shape)}".encode() + raw.tobytes())
        return digest.hexdigest()[:32]
