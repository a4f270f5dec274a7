"""Which words of a configuration's tasks the tokenizer of its base model lacks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from unicodedata import category

from tokenizers import Tokenizer

from twelve.data.examples.columns import texts_of
from twelve.errors import TwelveError
from twelve.model.bert_tokenizer import load_tokenizer
from twelve.model.known_words import split
from twelve.progress import Track, counted
from twelve.runs.early import base_folder
from twelve.settings import RunConfig
from twelve.tasks.base import Task
from twelve.types.examples import Example

_NAMED = 8
"""Most words that are named."""
_SHOWN = 40
"""Most characters of a word that are shown."""


class UnknownWords:
    """Counts the texts with words that the tokenizer of the base model lacks, for ``twelve data check``. Without a base
    model, there are none: the tokenizer of a new model is made of the texts, or is one that the user chose."""

    def __init__(self, config: RunConfig) -> None:
        self._tasks, self._known = config.tasks, dict[str, bool]()
        self._tokenizer: Tokenizer | None = None
        with suppress(TwelveError):  # a base model that is missing or damaged is reported with the cut texts
            if (folder := base_folder(config)) is not None:
                self._tokenizer = load_tokenizer(folder)

    def __call__(self, task: Task, read: Mapping[str, Sequence[Example]]) -> list[str]:
        """A note about a task whose splits were read; none if the tokenizer has all words."""
        if (tokenizer := self._tokenizer) is None or task.name not in self._tasks:
            return []
        texts, lacking = sum(map(len, read.values())), 0
        words = Counter[str]()
        with Track(f"checking the words of {task.name}", texts, "texts") as track:
            for examples in read.values():
                for text in texts_of(examples):
                    parts = split(tokenizer, text.replace("[SEP]", " "))  # which stands between turns of a dialogue
                    found = [word for word in dict.fromkeys(parts) if self._lacks(tokenizer, word)]
                    lacking += bool(found)
                    words.update(found)
                    track.advance()
        if not lacking:
            return []
        named = [f"{word[:_SHOWN]} ({count:,})" for word, count in words.most_common(_NAMED)]
        more = [f"and {counted(len(words) - _NAMED, 'other')}"] if len(words) > _NAMED else []
        have = "has" if lacking == 1 else "have"
        return [
            f"{lacking:,} of {counted(texts, 'text')} {have} words that the base model does not know: "
            f"{', '.join([*named, *more])}; it reads such a word letter by letter or as [UNK], which is harmless if "
            "all questions are the same"
        ]

    def _lacks(self, tokenizer: Tokenizer, word: str) -> bool:
        """Whether a word has no piece of its own, and no pieces of several characters; False for punctuation."""
        if word not in self._known:
            pieces = tokenizer.encode(word, add_special_tokens=False).tokens
            spelt = len(pieces) > 1 and all(len(piece.removeprefix("##")) == 1 for piece in pieces)
            mark = all(category(each).startswith("P") for each in word)
            self._known[word] = mark or not (spelt or "[UNK]" in pieces)
        return not self._known[word]
