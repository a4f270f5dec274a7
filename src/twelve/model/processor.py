"""The processor saved beside a model: tokenizer, labels, task tokens, feature extractors; makes a model's inputs.

It has two files: tokenizer.json (of the ``tokenizers`` library) and processor_config.json (the rest).
"""

from __future__ import annotations

import hashlib
import json
import shlex
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer
from tokenizers import __version__ as tokenizers_version

from twelve.errors import CheckpointError, ConfigError, RegionError
from twelve.io import files
from twelve.io.files import is_there
from twelve.io.hub import HUB_NAME, inside, resolve, upload
from twelve.io.json_file import read_object
from twelve.model.bert_tokenizer import TOKENIZER_FILE, load_tokenizer, shortened, special_rows
from twelve.model.familiarity import Familiarity
from twelve.model.known_words import KnownWords
from twelve.model.processor_file import CONFIG_FILE, SAVED, read_fields
from twelve.progress import tell
from twelve.regions.recipe import Made, preferred
from twelve.run_folder import saved_in
from twelve.tasks.base import TOKEN_ROWS
from twelve.types.trained_images import TrainedImages

if TYPE_CHECKING:
    from torch import Tensor

    from twelve.model.inputs import ModelInputs, SceneLike
    from twelve.model.model_outputs import TwelveOutput
    from twelve.regions.store.region_store import RegionStore
    from twelve.types.predictions import Prediction

MODEL_FILE = "config.json"
"""The model's own configuration, which tells the kinds of its outputs."""
FILES = (CONFIG_FILE, TOKENIZER_FILE)
REGIONS = 100
"""Default number of detected regions kept per image."""
MANY = 1024
"""Texts from which on it pays that several threads share them; fewer would wait for each other on a busy machine."""


class TwelveProcessor:
    """Converts texts and scenes to the inputs of a model, and its outputs to predictions.

        inputs = processor(["what is red?", "how many?"], scene, task="vqa")
        found = processor.decode(model(**inputs), inputs)

    Attributes:
        tokenizer: lower-case BERT word-piece tokenizer.
        vocabularies: output key -> labels, in the order of the head's columns.
        task_tokens: one of :data:`TASK_TOKENS`.
        token_rows: task -> row of the task-token table; empty if there is none.
        task_outputs: task -> output key.
        max_text: task -> number of word pieces kept per text, including [CLS] and [SEP].
        region_fingerprints: image source -> fingerprint of the extractor of its regions.
        region_recipes: image source -> how to recreate the extractor, as :class:`twelve.regions.recipe.Recipe` writes
            it; absent for imported regions.
        kinds: output key -> kind of output; empty if no model's folder has told them; not saved.
        allow_other_features: only warn about regions of another extractor; not saved.
        temperatures: task -> divisor of its logits, to calibrate the confidence.
        likely: task -> confidence that 95% of the task's right validation predictions reach; a box with less is called
            unlikely.
        max_regions: number of detected regions kept per image, without the global one.
        familiar: statistics of the training images' regions, or None.
        known_words: words of the training texts, or None if they were not recorded.
        own_words: task of one's own -> words of its training texts; absent if they were not recorded.
        own_texts: task of one's own -> a few usual training texts, which the page of the service shows; absent if they
            were not recorded.
        own_answers: task of one's own -> the answers in its training data; absent if they were not recorded.
        same_cut: tasks of one's own whose training texts, where they are cut, lose the same part and still differ: what
            is cut then decides nothing.
        trained_images: digests of the training images, or None if they were not recorded.
        left_out: tasks that a later run did not train while it changed the trunk: their answers may no longer be right.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
        *,
        vocabularies: Mapping[str, Sequence[str]] | None = None,
        token_rows: Mapping[str, int] | None = None,
        task_outputs: Mapping[str, str] | None = None,
        max_text: Mapping[str, int] | None = None,
        region_fingerprints: Mapping[str, str] | None = None,
        region_recipes: Mapping[str, str] | None = None,
        temperatures: Mapping[str, float] | None = None,
        likely: Mapping[str, float] | None = None,
        max_regions: int = REGIONS,
        familiar: Familiarity | None = None,
        known_words: KnownWords | None = None,
        own_words: Mapping[str, Iterable[str]] | None = None,
        own_texts: Mapping[str, Iterable[str]] | None = None,
        own_answers: Mapping[str, Iterable[str]] | None = None,
        same_cut: Sequence[str] = (),
        task_tokens: str = "dataset",
        left_out: Sequence[str] = (),
        trained_images: TrainedImages | None = None,
    ) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.vocabularies = {key: list(labels) for key, labels in (vocabularies or {}).items()}
        self.task_tokens = task_tokens
        self.token_rows = dict(token_rows or {})
        self.task_outputs = dict(task_outputs or {})
        self.max_text = dict(max_text or {})
        self.region_fingerprints = dict(region_fingerprints or {})
        self.region_recipes = dict(region_recipes or {})
        self.temperatures = dict(temperatures or {})
        self.likely = dict(likely or {})
        self.kinds: dict[str, str] = {}
        self.allow_other_features = False
        self._warned: set[str] = set()
        self.max_regions = max_regions
        self.familiar = familiar
        self.known_words = known_words
        self.own_words = {task: frozenset(words) for task, words in (own_words or {}).items()}
        self.own_texts = {task: list(texts) for task, texts in (own_texts or {}).items()}
        self.own_answers = {task: sorted(answers) for task, answers in (own_answers or {}).items()}
        self.same_cut = tuple(same_cut)
        self.left_out = tuple(left_out)
        self.trained_images = trained_images
        self.special = special_rows(tokenizer)

    @classmethod
    def from_tokenizer(cls, source: str | Path) -> TwelveProcessor:
        """An empty processor around a tokenizer: a vocab.txt or tokenizer.json, or a folder, ``package:MODULE`` or hub
        name with one inside (:func:`twelve.io.hub.resolve`)."""
        return cls(load_tokenizer(source))

    # --- the model's inputs ------------------------------------------------------------------------------------
    def __call__(
        self,
        texts: str | Sequence[str] | Sequence[Sequence[str]],
        scenes: SceneLike | Sequence[SceneLike] | Sequence[Sequence[SceneLike]],
        *,
        task: str | None = None,
        output: str | None = None,
        boxes: Any = None,
    ) -> ModelInputs:
        """The arguments of a model for texts and scenes: ``model(**processor(texts, scenes, task="vqa"))``.

        Args:
            texts: one text, or one for each scene; a list of texts for each scene; several about a single scene.
            scenes: a scene (``twelve.load(...).scene(image)``) or :class:`twelve.Regions`; several; or (left, right)
                for each text, if the task is about two images. The processor adds region 0, the whole image.
            task: its token, longest text and head are used; None for the only one, or the first one of ``output``.
            output: the head's key.
            boxes: candidates to choose among, (C, 4) xyxy pixels for all texts, or a list with one for each; they are
                extracted if the scene has an image, else they must be among its regions.

        Raises:
            InputError: there is no such task, or the numbers of texts and scenes do not fit.
            RegionError: regions have no features, a wrong shape, or boxes that are not pixels of the image.
        """
        from twelve.model.inputs import inputs_of

        return inputs_of(self, texts, scenes, task=task, output=output, boxes=boxes)

    def decode(self, outputs: TwelveOutput | Tensor, inputs: ModelInputs) -> list[Prediction]:
        """The prediction of every text, in order: its value (an answer, a box in pixels, an index of ``boxes``, a
        class), its confidence (0..1) and its alternatives.

        Args:
            outputs: what the model returned, or the logits of the head.
            inputs: what the model was called with.

        Raises:
            InputError: outputs and inputs do not belong together.
        """
        from twelve.model.inputs import decoded

        return decoded(self, outputs, inputs)

    # --- text --------------------------------------------------------------------------------------------------
    def tokenize(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """[CLS], the first ``max_length`` - 2 word pieces and [SEP] for each text, without padding. In texts with
        [SEP]-separated parts, the longest part is shortened (:func:`shortened`)."""
        if max_length < 3:
            raise ConfigError(f"expected max_text of at least 3, found {max_length}", remedy="increase max_text")
        begin, end = self.special["[CLS]"], self.special["[SEP]"]
        if len(texts) < MANY:
            encoded = [self.tokenizer.encode(text, add_special_tokens=False) for text in texts]
        else:
            encoded = self.tokenizer.encode_batch_fast(list(texts), add_special_tokens=False)
        return [[begin, *shortened(text.ids, max_length - 2, end), end] for text in encoded]

    @property
    def words(self) -> str:
        """A hash of the tokenizer and of the version of its library."""
        return hashlib.sha256(f"{tokenizers_version}\0{self.tokenizer.to_str()}".encode()).hexdigest()

    @property
    def vocab_size(self) -> int:
        """Required number of rows of the model's word embedding."""
        size: int = self.tokenizer.get_vocab_size(with_added_tokens=True)
        return size

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Word pieces as text, for display."""
        return [self.tokenizer.id_to_token(i) or "[UNK]" for i in ids]

    # --- tasks -------------------------------------------------------------------------------------------------
    def add_task(
        self,
        name: str,
        *,
        output: str,
        max_text: int,
        row: int | None = None,
        reserved: Iterable[int] = (),
        rows: int = TOKEN_ROWS,
    ) -> int | None:
        """Add a task, or change its output and length, and return its row of the task-token table.

        An existing task keeps its row. A new task gets the row of a task with the same output if ``task_tokens`` is
        "head". Otherwise it gets ``row`` if it is free, else the first free row, preferably none of ``reserved`` (rows
        of known tasks in the released model). If ``task_tokens`` is "none", no task has a row.

        Raises:
            ConfigError: all ``rows`` are taken.
        """
        shared = [
            self.token_rows[task]
            for task, key in self.task_outputs.items()
            if key == output and task in self.token_rows
        ]
        self.task_outputs[name], self.max_text[name] = output, max_text
        if name in self.token_rows or self.task_tokens == "none":
            return self.token_rows.get(name)
        if shared and self.task_tokens == "head":
            self.token_rows[name] = shared[0]
            return shared[0]
        taken, kept = set(self.token_rows.values()), set(reserved)
        free = sorted((r for r in range(rows) if r not in taken), key=lambda r: (r in kept, r))
        if not free:
            raise ConfigError(
                f"no task token is left for {name!r}: all {rows} rows are used by {', '.join(self.token_rows)}",
                remedy="train fewer tasks, or a new model with more rows: --set model.architecture.num_task_tokens=N",
            )
        self.token_rows[name] = row if row in free else free[0]
        return self.token_rows[name]

    def use_task_tokens(self, task_tokens: str) -> None:
        """Give the known tasks the rows of another of :data:`TASK_TOKENS`.

        For "head", tasks of one output share the row of the first one; for "none", they lose their rows. Nothing
        restores rows that were lost or shared: for "dataset", tasks keep the rows that they have.
        """
        self.task_tokens = task_tokens
        if task_tokens == "none":
            self.token_rows = {}
        elif task_tokens == "head":
            first: dict[str, int] = {}
            for task, row in self.token_rows.items():
                self.token_rows[task] = first.setdefault(self.task_outputs.get(task, task), row)

    def use_heads(self, heads: Any) -> None:
        """Take the kinds of outputs from ``heads`` of a model's configuration; ``heads`` of another form have no
        effect."""
        told = heads.items() if isinstance(heads, Mapping) else ()
        self.kinds = {key: str(head["kind"]) for key, head in told if isinstance(head, Mapping) and "kind" in head}

    def check_regions(self, store: RegionStore, sources: Iterable[str], *, insist: str = "") -> None:
        """Reject regions unlike the training regions: from another extractor, or with boxes of another kind, number or
        minimum score. Sources that the model was not trained on are compared with the sources of the training.

        Args:
            insist: the option that overrides this check, for the error.

        Raises:
            RegionError: the regions differ; the error describes both and gives commands that make matching regions.
                With ``allow_other_features``, prints one warning instead.
        """
        wrong = {source: differs for source in sources if (differs := self._difference(store, source))}
        if not wrong:
            return
        source, (found, expected) = next(iter(wrong.items()))
        problem = f"the regions of {source!r} are from {found}, but the model was trained on regions from {expected}"
        if not self.allow_other_features:
            others = f" (and likewise those of{', '.join(list(wrong)[1:])})" if len(wrong) > 1 else ""
            remedy = " && ".join(self._mended(store, source) for source in wrong)
            raise RegionError(
                problem + others,
                file=Path(store.root) / source,
                remedy=remedy + (f"; or override with {insist}" if insist else ""),
            )
        for source in wrong.keys() - self._warned:
            found, expected = wrong[source]
            problem = (
                f"the regions of {source!r} are from {found}, but the model was trained on regions from {expected}"
            )
            tell(f"warning: {problem}")
            self._warned.add(source)

    def _difference(self, store: RegionStore, source: str) -> tuple[str, str] | None:
        """(regions of a source, regions that the model was trained on), in words; None if they match."""
        known = self.region_fingerprints
        names = [source] if source in known else sorted(known)
        wanted = [Made.of(known[name], self.region_recipes.get(name)) for name in names]
        if not wanted:
            return None
        for made in store.made(source):
            differences = [made.difference(each) for each in wanted]
            if all(differences):
                found, expected = zip(*(pair for pair in differences if pair), strict=True)
                return found[0], " or ".join(dict.fromkeys(expected))
        return None

    def _mended(self, store: RegionStore, source: str) -> str:
        """How to get matching regions for a source."""
        recipes = preferred(self.region_recipes, source)
        if not recipes:
            return f"put regions like those the model was trained on into {Path(store.root) / source}"
        root = Path(store.root)
        move = shlex.join(["mv", str(root / source), str(root.with_name(f"{root.name}-{source}-before"))])
        return f"{move} && {store.command(source, like=recipes[0])}"

    # --- files -------------------------------------------------------------------------------------------------
    def save_pretrained(self, folder: str | Path, **_: Any) -> None:
        """Write processor_config.json and tokenizer.json into ``folder``."""
        folder = Path(folder)
        tree = {
            "processor_class": type(self).__name__,
            "max_regions": self.max_regions,
            "token_rows": self.token_rows,
            "task_outputs": self.task_outputs,
            "max_text": self.max_text,
            "region_fingerprints": self.region_fingerprints,
            "region_recipes": self.region_recipes,
            "temperatures": self.temperatures,
            "vocabularies": self.vocabularies,
        }
        if self.familiar is not None:
            tree["familiar"] = self.familiar.to_tree()
        if self.known_words is not None:
            tree["known_words"] = self.known_words.to_tree()
        known = self.task_outputs  # the heads of other tasks may have been left out
        if self.own_words:
            tree["own_words"] = {
                task: " ".join(sorted(words)) for task, words in self.own_words.items() if task in known
            }
        if self.own_texts:
            tree["own_texts"] = {task: texts for task, texts in self.own_texts.items() if task in known}
        if self.own_answers:
            tree["own_answers"] = {task: answers for task, answers in self.own_answers.items() if task in known}
        if self.same_cut:
            tree["same_cut"] = [task for task in self.same_cut if task in known]
        if self.trained_images is not None:
            tree["trained_images"] = self.trained_images.to_tree()
        if self.left_out:
            tree["left_out"] = list(self.left_out)
        if self.likely:  # earlier folders have none
            tree["likely"] = self.likely
        if self.task_tokens != "dataset":  # earlier releases have no other
            tree["task_tokens"] = self.task_tokens
        with files.replacing(folder / TOKENIZER_FILE) as partial:
            self.tokenizer.save(str(partial))
        with files.replacing(folder / CONFIG_FILE) as partial:
            partial.write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    def push_to_hub(self, name: str, *, private: bool = False, message: str = "A processor of twelve") -> str:
        """Push processor_config.json and tokenizer.json to ``owner/model`` on the hub, beside the model, and return its
        URL.

        Raises:
            CheckpointError: the hub cannot be reached, or refuses it.
        """
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return upload(Path(folder), name.removeprefix(HUB_NAME), private=private, message=message)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> TwelveProcessor:
        """Load a processor from a folder or hub repository; the hub's options are ignored.

        Raises:
            CheckpointError: a file is missing, a key unknown, a value of the wrong type.
        """
        found = saved_in(resolve(folder, CONFIG_FILE, TOKENIZER_FILE, MODEL_FILE))
        known = read_fields(inside(found, CONFIG_FILE))
        processor = cls(load_tokenizer(inside(found, TOKENIZER_FILE)), **known)
        if is_there(found / MODEL_FILE, CheckpointError):
            processor.use_heads(read_object(inside(found, MODEL_FILE), remedy=SAVED).get("heads"))
        return processor
