"""What stands beside the model and is saved with it: tokenizer, labels, task tokens, extractors of its regions.

Two files: tokenizer.json (of the ``tokenizers`` library) and processor_config.json (everything else).
"""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from twelve.errors import CheckpointError, ConfigError, RegionError, nearest
from twelve.io import files
from twelve.io.hub import inside, resolve
from twelve.io.json_file import read_object
from twelve.model.familiarity import Familiarity, sound
from twelve.model.tokenizer_file import read_tokenizer, read_vocabulary
from twelve.progress import tell
from twelve.regions.recipe import Made, Recipe, preferred
from twelve.regions.sizes import WINDOWS

if TYPE_CHECKING:
    from twelve.model.settings import Settings
    from twelve.regions.store.region_store import RegionStore

_SAVED = "use the file that was saved with the model"
CONFIG_FILE = "processor_config.json"
TOKENIZER_FILE = "tokenizer.json"
FILES = (CONFIG_FILE, TOKENIZER_FILE)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
REGIONS = 100
"""Detected regions of an image that are kept."""
TOKEN_ROWS = 20
"""Rows of the task-token table."""


class TwelveProcessor:
    """Text to word pieces, and the meaning of the model's rows and columns.

    Attributes:
        tokenizer: lower-cased BERT word pieces.
        vocabularies: output key -> labels, in the order of the head's columns.
        token_rows: task -> row of the task-token table.
        task_outputs: task -> output key.
        max_text: task -> word pieces a text keeps, [CLS] and [SEP] included.
        region_fingerprints: image source -> fingerprint of the extractor that its regions came from.
        region_recipes: image source -> how to make that extractor again, as :class:`twelve.regions.recipe.Recipe`
            writes it; imported regions have none.
        allow_other_features: only warn of regions of another extractor; not saved.
        temperatures: task -> what its logits are divided by before they are shown as scores.
        max_regions: detected regions of an image that are kept (the global one comes on top).
        familiar: what the training images' regions have in common; None where that is not known.
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
        max_regions: int = REGIONS,
        familiar: Familiarity | None = None,
    ) -> None:
        tokenizer.no_padding()
        tokenizer.no_truncation()
        self.tokenizer = tokenizer
        self.vocabularies = {key: list(labels) for key, labels in (vocabularies or {}).items()}
        self.token_rows = dict(token_rows or {})
        self.task_outputs = dict(task_outputs or {})
        self.max_text = dict(max_text or {})
        self.region_fingerprints = dict(region_fingerprints or {})
        self.region_recipes = dict(region_recipes or {})
        self.temperatures = dict(temperatures or {})
        self.allow_other_features = False
        self._warned: set[str] = set()
        self.max_regions = max_regions
        self.familiar = familiar
        self.special = {token: _special(tokenizer, token) for token in SPECIAL}

    @classmethod
    def from_tokenizer(cls, source: str | Path) -> TwelveProcessor:
        """An empty processor around a tokenizer: a vocab.txt or tokenizer.json, or anything with one inside that
        :func:`twelve.io.hub.resolve` knows (a folder, ``package:MODULE``, a hub name)."""
        return cls(load_tokenizer(source))

    # --- text --------------------------------------------------------------------------------------------------
    def tokenize(self, texts: Sequence[str], max_length: int) -> list[list[int]]:
        """[CLS], the first ``max_length`` - 2 word pieces, [SEP], of each text; never padded. Of a text in parts, which
        [SEP] divides, the longest part is shortened (:func:`shortened`)."""
        if max_length < 3:
            raise ConfigError(f"a text of {max_length} word pieces holds no word", remedy="allow at least 3 (max_text)")
        begin, end = self.special["[CLS]"], self.special["[SEP]"]
        encoded = self.tokenizer.encode_batch(list(texts), add_special_tokens=False)
        return [[begin, *shortened(text.ids, max_length - 2, end), end] for text in encoded]

    @property
    def vocab_size(self) -> int:
        """Rows that the model's word embedding must have."""
        size: int = self.tokenizer.get_vocab_size(with_added_tokens=True)
        return size

    def tokens(self, ids: Iterable[int]) -> list[str]:
        """Word pieces as text, for showing."""
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
    ) -> int:
        """Make a task known, or change its output and length, and return its row of the task-token table.

        A task that has a row keeps it. A new one gets ``row`` if that is free, else the first free row, if possible
        none of ``reserved`` (rows that known tasks have in the released model).

        Raises:
            ConfigError: all ``rows`` are taken.
        """
        self.task_outputs[name], self.max_text[name] = output, max_text
        if name in self.token_rows:
            return self.token_rows[name]
        taken, kept = set(self.token_rows.values()), set(reserved)
        free = sorted((r for r in range(rows) if r not in taken), key=lambda r: (r in kept, r))
        if not free:
            raise ConfigError(
                f"no task token is left for {name!r}: all {rows} rows are taken by {', '.join(self.token_rows)}",
                remedy="train fewer tasks, or a new model with more: --set model.architecture.num_task_tokens=N",
            )
        self.token_rows[name] = row if row in free else free[0]
        return self.token_rows[name]

    def check_regions(self, store: RegionStore, sources: Iterable[str], *, insist: str = "") -> None:
        """Refuse regions that were made in another way than those that the model was trained on: by another extractor,
        or with boxes of another kind, number or least score.

        A source that was not trained on is held against the others: the model knows one kind of features.

        Args:
            insist: what one says to go on nevertheless, for the error.

        Raises:
            RegionError: says how both were made, and the commands that make the right ones. Under
                ``allow_other_features`` a line of warning instead, once.
        """
        wrong = {source: differs for source in sources if (differs := self._difference(store, source))}
        if not wrong:
            return
        source, (found, expected) = next(iter(wrong.items()))
        problem = f"the regions of {source!r} are of {found}, the model was trained on those of {expected}"
        if not self.allow_other_features:
            others = f" (as are those of {', '.join(list(wrong)[1:])})" if len(wrong) > 1 else ""
            remedy = " && ".join(self._mended(store, source) for source in wrong)
            raise RegionError(
                problem + others,
                file=Path(store.root) / source,
                remedy=remedy + (f"; or insist with {insist}" if insist else ""),
            )
        for source in wrong.keys() - self._warned:
            found, expected = wrong[source]
            problem = f"the regions of {source!r} are of {found}, the model was trained on those of {expected}"
            tell(f"warning: {problem}")
            self._warned.add(source)

    def _difference(self, store: RegionStore, source: str) -> tuple[str, str] | None:
        """What the regions of a source are, and what the model was trained on, in words; None where they fit."""
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
        """What to do to have the right regions of a source."""
        recipes = preferred(self.region_recipes, source)
        if not recipes:
            return f"put the regions that the model was trained on into {Path(store.root) / source}"
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
        with files.replacing(folder / TOKENIZER_FILE) as partial:
            self.tokenizer.save(str(partial))
        with files.replacing(folder / CONFIG_FILE) as partial:
            partial.write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> TwelveProcessor:
        """Read what :meth:`save_pretrained` wrote (a folder or a hub name; the hub's own options are left alone).

        Raises:
            CheckpointError: a file is missing, a key unknown, a value of the wrong type.
        """
        found = resolve(folder, CONFIG_FILE, TOKENIZER_FILE)
        file = inside(found, CONFIG_FILE)
        tree = read_object(file, remedy=_SAVED)
        for key in tree:
            if key not in _FIELDS and key not in ("processor_class", "familiar"):
                raise CheckpointError(
                    f"unknown key {key!r}{nearest(key, _FIELDS)}", file=file, remedy="remove it or correct its name"
                )
        for key, (right, wanted) in _FIELDS.items():
            if key not in tree or not right(tree[key]):
                problem = f"{key} must be {wanted}" if key in tree else f"{key} is missing"
                raise CheckpointError(problem, file=file, remedy=_SAVED)
        if not sound(tree.get("familiar")):
            raise CheckpointError("familiar holds no statistics of regions", file=file, remedy=_SAVED)
        familiar = Familiarity.from_tree(tree["familiar"]) if tree.get("familiar") is not None else None
        for source, recipe in tree["region_recipes"].items():
            try:
                mark = Recipe.from_json(recipe).fingerprint
                if mark != (known := tree["region_fingerprints"].get(source)):
                    raise RegionError(f"expected fingerprint {known} as in region_fingerprints, found {mark}")
            except RegionError as error:
                raise CheckpointError(
                    error.problem, file=file, record=f"region_recipes.{source}", remedy=_SAVED
                ) from None
        known = {key: tree[key] for key in _FIELDS}
        return cls(load_tokenizer(inside(found, TOKENIZER_FILE)), **known, familiar=familiar)


def check_fit(processor: TwelveProcessor, config: Settings, folder: Path) -> None:
    """Compare what a saved processor says with the model that it was saved with.

    Raises:
        CheckpointError: it names a head, a row or a position that the model lacks, or has more or fewer word pieces or
            labels than the model.
    """

    from twelve.outputs import get_output

    def must(fits: bool, record: str, wanted: object, found: object) -> None:
        if not fits:
            problem = f"expected {wanted}, as the model has, found {found}"
            raise CheckpointError(problem, file=folder / CONFIG_FILE, record=record, remedy=_SAVED)

    if processor.vocab_size != config.vocab_size:
        problem = f"expected {config.vocab_size} word pieces, as the model has, found {processor.vocab_size}"
        raise CheckpointError(problem, file=folder / TOKENIZER_FILE, remedy=_SAVED)
    heads, rows, longest = config.heads, config.num_task_tokens, config.max_position_embeddings
    own = [*heads, *(("pretraining",) if config.pretraining else ())]
    for task, key in processor.task_outputs.items():
        must(key in own, f"task_outputs.{task}", f"one of {', '.join(own)}" if own else "no task", repr(key))
        must(task in processor.max_text, f"max_text.{task}", f"a number up to {longest}", "none")
        must(not config.task_specific_tokens or task in processor.token_rows, f"token_rows.{task}", "a row", "none")
        if key in heads and get_output(heads[key]["kind"]).needs_vocabulary:
            must(key in processor.vocabularies, f"vocabularies.{key}", f"{heads[key]['size']} labels", "none")
    for task, row in processor.token_rows.items():
        must(row < rows, f"token_rows.{task}", f"a row below {rows}", row)
    for task, most in processor.max_text.items():
        must(3 <= most <= longest, f"max_text.{task}", f"3 to {longest} word pieces", most)
    for key, labels in processor.vocabularies.items():
        must(key in heads, f"vocabularies.{key}", f"one of {', '.join(heads)}", repr(key))
        must(len(labels) == heads[key]["size"], f"vocabularies.{key}", f"{heads[key]['size']} labels", len(labels))


def load_tokenizer(source: str | Path) -> Tokenizer:
    """A tokenizer.json, a vocab.txt (lower-cased BERT word pieces), or whatever folder, package or hub name holds one.

    Raises:
        CheckpointError: there is none, or it cannot be read.
    """
    file = Path(source)
    if not file.is_file() and file.suffix not in (".json", ".txt"):
        folder = resolve(source, TOKENIZER_FILE, "vocab.txt")
        file = next((folder / name for name in (TOKENIZER_FILE, "vocab.txt") if (folder / name).is_file()), folder)
    if not file.is_file():
        raise CheckpointError("no tokenizer.json or vocab.txt here", file=file, remedy="name a tokenizer's folder")
    return read_tokenizer(file) if file.suffix == ".json" else wordpieces(read_vocabulary(file))


def shortened(pieces: list[int], most: int, separator: int) -> list[int]:
    """The first ``most`` word pieces; of parts between separators the longest (the first of equals) loses
    its last piece until all fit: what comes last, such as an answer to choose among, is not lost."""
    parts = [list(part) for last, part in itertools.groupby(pieces, lambda piece: piece == separator) if not last]
    room = most - (len(parts) - 1)
    if len(pieces) <= most or len(parts) < 2 or room < len(parts):
        return pieces[:most]
    while sum(map(len, parts)) > room:
        max(parts, key=len).pop()
    return [piece for part in parts for piece in (*part, separator)][:-1]


def wordpieces(vocabulary: Sequence[str]) -> Tokenizer:
    """Lower-cased BERT word pieces from the lines of a vocab.txt."""
    table = {token: row for row, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(table, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.add_special_tokens([token for token in SPECIAL if token in table])
    return tokenizer


def _special(tokenizer: Tokenizer, token: str) -> int:
    row: int | None = tokenizer.token_to_id(token)
    if row is None:
        raise CheckpointError(f"the tokenizer has no {token}", remedy="use a BERT word-piece tokenizer")
    return row


def _mapping(of: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, dict) and all(isinstance(key, str) and of(value[key]) for key in value)


def _string(value: Any) -> bool:
    return isinstance(value, str)


def _count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _temperature(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 1e-4 <= value <= 1e4


def _strings(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


_FIELDS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "max_regions": (lambda value: _count(value) and 0 < value <= WINDOWS, f"a whole number from 1 to {WINDOWS}"),
    "token_rows": (_mapping(_count), "a mapping of tasks to rows"),
    "task_outputs": (_mapping(_string), "a mapping of tasks to output keys"),
    "max_text": (_mapping(_count), "a mapping of tasks to numbers of word pieces"),
    "region_fingerprints": (_mapping(_string), "a mapping of image sources to fingerprints"),
    "region_recipes": (_mapping(_string), "a mapping of image sources to recipes"),
    "temperatures": (_mapping(_temperature), "a mapping of tasks to numbers from 0.0001 to 10000"),
    "vocabularies": (_mapping(_strings), "a mapping of output keys to lists of labels"),
}
