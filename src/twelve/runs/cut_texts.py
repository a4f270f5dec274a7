"""Which texts of a configuration's tasks are longer than its model reads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

from twelve.data.examples.reading import read_examples
from twelve.data.text_lengths import cut_of, text_lengths
from twelve.errors import CheckpointError, TwelveError
from twelve.formats.data_root import DataRoot
from twelve.io.hub import resolve
from twelve.model.bert_tokenizer import TOKENIZER_FILE, load_tokenizer
from twelve.model.encoder import text_config_from
from twelve.model.network import settings_of
from twelve.model.processor import TwelveProcessor
from twelve.model.settings import Settings
from twelve.model.wordpieces import tokenizer_from
from twelve.runs.early import base_folder
from twelve.settings import RunConfig
from twelve.tasks.base import Task, foreign, get
from twelve.tasks.custom import FileTask
from twelve.types.examples import Example


def is_official(task: Task) -> bool:
    """Whether the texts of a task are a dataset's, not files or code of one's own."""
    return not isinstance(task, FileTask) and not foreign(task)


class CutTexts:
    """Counts the texts that a run of a configuration would cut, for ``twelve data check``. Nothing is downloaded.

    Args:
        root: the data root, whose training texts give the word pieces of a new model without a tokenizer.

    Attributes:
        blocked: why the run cannot start: its base model is missing; "" if it is not.
    """

    def __init__(self, config: RunConfig, root: DataRoot) -> None:
        self._config, self._root = config, root
        self._base, self.blocked = None, ""
        try:
            self._base = base_folder(config)
        except TwelveError as error:
            self.blocked = str(error)
        self._told = bool(self.blocked)

    def __call__(self, task: Task, split: str, examples: Sequence[Example]) -> tuple[list[str], list[str]]:
        """Warnings and notes about a split; none if no text is cut."""
        settings = self._config.tasks.get(task.name)
        if settings is None or self._told:
            return [], []
        try:
            processor, positions = self._opened
        except TwelveError as error:
            self._told = True
            return [], [f"whether texts are cut is not known: {error}"]
        usual = processor.max_text.get(task.name, task.defaults.max_text)
        lengths = text_lengths(examples, processor, task.name)
        cut = cut_of(examples, processor, lengths, settings.max_text or usual)
        if not cut.cut:
            return [], []
        told = [cut.told(task.name, positions, grows=self._config.model.grows)]
        return (told, []) if cut.matters(official=is_official(task)) else ([], told)

    @cached_property
    def _opened(self) -> tuple[TwelveProcessor, int]:
        """The processor, and how many word pieces the model reads, at most."""
        model = self._config.model
        if (folder := self._base) is not None:
            return TwelveProcessor.from_pretrained(folder), settings_of(folder)[0].max_position_embeddings
        positions = Settings().max_position_embeddings
        if model.text_encoder is not None:
            positions = text_config_from(_here(model.text_encoder, "config.json"))["max_position_embeddings"]
        named = model.tokenizer or model.text_encoder
        tokenizer = load_tokenizer(_here(named)) if named else tokenizer_from(self._texts())
        asked = model.architecture.get("max_position_embeddings")
        return TwelveProcessor(tokenizer), asked if isinstance(asked, int) else positions

    def _texts(self) -> Iterator[str]:
        for name, settings in self._config.tasks.items():
            task = get(name, self._root.own_tasks)
            for example in read_examples(task, self._root, settings.train or task.train_split):
                yield from (example.text, *example.options)


def _here(name: str, *files: str) -> str:
    """A tokenizer or encoder on this machine; raises CheckpointError if it would have to be downloaded."""
    if name.endswith((".json", ".txt")):
        return name
    try:
        return str(resolve(name, TOKENIZER_FILE, "vocab.txt", *files, local_files_only=True))
    except CheckpointError:
        remedy = "start the training: it fetches the tokenizer, and reports how many texts are cut"
        raise CheckpointError("the tokenizer is not on this machine", file=name, remedy=remedy) from None
