"""Word pieces for a model trained from scratch, taken from its training texts.

The pieces are frequent whole words and all single characters, so rare words split into characters. (The tokenizers
library's trainer also finds pieces in between, but breaks ties randomly: runs with the same seed would differ.)
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable

from tokenizers import Tokenizer, normalizers, pre_tokenizers

from twelve.model.bert_tokenizer import SPECIAL, wordpieces

VOCABULARY = 30_522
"""Maximum number of pieces, as in BERT."""
RARE = 2
"""Minimum number of occurrences of a word to become a piece."""


def tokenizer_from(texts: Iterable[str], size: int = VOCABULARY) -> Tokenizer:
    """Build a lower-case WordPiece tokenizer with at most ``size`` pieces (characters first).

    The result does not depend on the order of the texts.
    """
    normalize, split = normalizers.BertNormalizer(lowercase=True), pre_tokenizers.BertPreTokenizer()
    counts = Counter(word for text in texts for word, _ in split.pre_tokenize_str(normalize.normalize_str(text)))
    characters = sorted({character for word in counts for character in word})
    pieces = [*SPECIAL, *characters, *(f"##{character}" for character in characters)]
    frequent = sorted((word for word, count in counts.items() if count >= RARE), key=lambda word: (-counts[word], word))
    # Single characters are already included.
    words = itertools.chain(pieces, (word for word in frequent if len(word) > 1))
    return wordpieces(list(itertools.islice(words, size)))
