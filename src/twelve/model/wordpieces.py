"""Word pieces of a model that starts from nothing: taken from the texts it will be trained on.

The pieces are the frequent words as wholes and every character, so that a rare word falls into letters. (The tokenizers
library's own trainer also finds pieces between the two, but breaks ties by chance: runs of one seed would differ.)
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, normalizers, pre_tokenizers

from twelve.model.processor import SPECIAL, wordpieces

VOCABULARY = 30_522
"""Pieces at most: as many as BERT has."""
RARE = 2
"""A word is kept whole when the texts have it at least so often."""


def tokenizer_from(texts: Iterable[str], size: int = VOCABULARY) -> Tokenizer:
    """A lower-cased WordPiece tokenizer with at most ``size`` pieces (characters come first).

    The same texts give the same pieces, in whatever order they come.
    """
    normalize, split = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(word for text in texts for word, _ in split.pre_tokenize_str(normalize.normalize_str(text)))
    characters = sorted({character for word in counts for character in word})
    pieces = [*SPECIAL, *characters, *(f"##{character}" for character in characters)]
    frequent = sorted((word for word, count in counts.items() if count >= RARE), key=lambda word: (-counts[word], word))
    # A word of one character is there already.
    words = itertools.chain(pieces, (word for word in frequent if len(word) > 1))
    return wordpieces(list(itertools.islice(words, size)))
