"""The words of the training texts, to warn about questions with other words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tokenizers import Tokenizer

MOST_TEXTS = 50_000
"""Maximum number of texts of a task in which words are counted."""
FEW = 1000
"""With fewer texts than this, every word of a task is known; otherwise those that occur at least twice."""
_JOINED = 1000
"""Number of texts that are split into words at once."""
USUAL = 3
"""Maximum number of usual texts of a task."""
_LONG = 120
"""Characters of the longest one."""


@dataclass(frozen=True, slots=True)
class KnownWords:
    """The words that a model was trained on.

    Attributes:
        words: as the tokenizer normalises them.
        complete: whether these are all of them. Not if the model continues from one whose words were not recorded.
    """

    words: frozenset[str]
    complete: bool = True

    def knows(self, word: str) -> bool | None:
        """Whether a normalised word is known; None if the record cannot tell."""
        return True if word in self.words else False if self.complete else None

    def joined(self, base: KnownWords | None) -> KnownWords:
        """These words and those of the model that the training started from; None if it recorded none."""
        if base is None:
            return KnownWords(self.words, complete=False)
        return KnownWords(self.words | base.words, base.complete)

    def to_tree(self) -> dict[str, Any]:
        """Plain values."""
        return {"words": " ".join(sorted(self.words)), "complete": self.complete}

    @classmethod
    def from_tree(cls, tree: dict[str, Any]) -> KnownWords:
        """Inverse of :meth:`to_tree`; check the tree with :func:`sound` first."""
        return cls(frozenset(tree["words"].split()), tree["complete"])


def words_in(tokenizer: Tokenizer, tasks: Iterable[Sequence[str]]) -> KnownWords:
    """The words in the training texts of each task."""
    found: set[str] = set()
    for texts in tasks:
        total: Counter[str] = Counter()
        for start in range(0, len(texts), _JOINED):
            total.update(split(tokenizer, "\n".join(texts[start : start + _JOINED])))
        least = 1 if len(texts) < FEW else 2
        found.update(word for word, count in total.items() if count >= least)
    return KnownWords(frozenset(found))


def usual_in(texts: Iterable[str]) -> list[str]:
    """A few texts of a task that people can ask too: those that occur most often, and of these the first."""
    counts = Counter(text.strip() for text in texts)
    return [text for text, _ in counts.most_common() if 0 < len(text) <= _LONG and text.isprintable()][:USUAL]


def split(tokenizer: Tokenizer, text: str) -> list[str]:
    """The words and punctuation marks of a text, normalised."""
    return [word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(normalised(tokenizer, text))]


def normalised(tokenizer: Tokenizer, text: str) -> str:
    """A text as the tokenizer reads it: in lower case, for instance."""
    return str(tokenizer.normalizer.normalize_str(text)) if tokenizer.normalizer is not None else text


def sound(tree: Any) -> bool:
    """Whether a value read from a file is None or could come from :meth:`KnownWords.to_tree`."""
    if tree is None:
        return True
    return (
        isinstance(tree, dict)
        and tree.keys() == {"words", "complete"}
        and isinstance(tree["words"], str)
        and isinstance(tree["complete"], bool)
    )
