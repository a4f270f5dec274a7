"""The processor saved beside a model: tokenizer, labels, task tokens, feature extractors.

It has two files: tokenizer.json (of the ``tokenizers`` library) and processor_config.json (the rest).
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

_SAVED = "use the file saved with the model"
CONFIG_FILE = "processor_config.json"
TOKENIZER_FILE = "tokenizer.json"
FILES = (CONFIG_FILE, TOKENIZER_FILE)
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
REGIONS = 100
"""Default number of detected regions kept per image."""
MANY = 1024
"""Texts from which on it pays that several threads share them; fewer would wait for each other on a busy machine."""
TOKEN_ROWS = 20
"""Default number of rows in the task-token table."""
TASK_TOKENS = ("dataset", "head", "none")
"""Which tasks share a task token: none, those of one head, or there are no task tokens."""


class TwelveProcessor:
    """Converts text to word pieces and describes the model's rows and columns.

    Attributes:
        tokenizer: lower-case BERT word-piece tokenizer.
        vocabularies: output key -> labels, in the order of the head's columns.
        task_tokens: one of :data:`TASK_TOKENS`.
        token_rows: task -> row of the task-token table; empty if there is none.
        task_outputs: task -> output key.
        max_text: task -> number of word pieces kept per text, including [CLS] and [SEP].
        region_fingerprints: image source -> fingerprint of the extractor of its regions.
        region_recipes: image source -> how to recreate that extractor, as :class:`twelve.regions.recipe.Recipe` writes
            it; absent for imported regions.
        allow_other_features: only warn about regions of another extractor; not saved.
        temperatures: task -> divisor of its logits, to calibrate scores.
        max_regions: number of detected regions kept per image, without the global one.
        familiar: statistics of the training images' regions, or None.
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
        task_tokens: str = "dataset",
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
        self.allow_other_features = False
        self._warned: set[str] = set()
        self.max_regions = max_regions
        self.familiar = familiar
        self.special = {token: _special(tokenizer, token) for token in SPECIAL}

    @classmethod
    def from_tokenizer(cls, source: str | Path) -> TwelveProcessor:
        """An empty processor around a tokenizer: a vocab.txt or tokenizer.json, or a folder, ``package:MODULE`` or hub
        name with one inside (:func:`twelve.io.hub.resolve`)."""
        return cls(load_tokenizer(source))

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

    def check_regions(self, store: RegionStore, sources: Iterable[str], *, insist: str = "") -> None:
        """Reject regions unlike those that the model was trained on: from another extractor, or with boxes of another
        kind, number or minimum score. Sources that were not trained on are compared with the others.

        Args:
            insist: the option that overrides this check, for the error.

        Raises:
            RegionError: the regions differ; the error describes both and gives commands for the right ones. With
                ``allow_other_features``, prints one warning instead.
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
        if self.task_tokens != "dataset":  # earlier releases have no other
            tree["task_tokens"] = self.task_tokens
        with files.replacing(folder / TOKENIZER_FILE) as partial:
            self.tokenizer.save(str(partial))
        with files.replacing(folder / CONFIG_FILE) as partial:
            partial.write_text(json.dumps(tree, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def from_pretrained(cls, folder: str | Path, **_: Any) -> TwelveProcessor:
        """Load a processor from a folder or hub repository; the hub's options are ignored.

        Raises:
            CheckpointError: a file is missing, a key unknown, a value of the wrong type.
        """
        found = resolve(folder, CONFIG_FILE, TOKENIZER_FILE)
        file = inside(found, CONFIG_FILE)
        tree = read_object(file, remedy=_SAVED)
        for key in tree:
            if key not in _FIELDS and key not in ("processor_class", "familiar", "task_tokens"):
                raise CheckpointError(
                    f"unknown key {key!r}{nearest(key, _FIELDS)}", file=file, remedy="remove it or correct its name"
                )
        for key, (right, wanted) in _FIELDS.items():
            if key not in tree or not right(tree[key]):
                problem = f"{key} must be {wanted}" if key in tree else f"{key} is missing"
                raise CheckpointError(problem, file=file, remedy=_SAVED)
        if (task_tokens := tree.get("task_tokens", "dataset")) not in TASK_TOKENS:
            raise CheckpointError(f"task_tokens must be one of {', '.join(TASK_TOKENS)}", file=file, remedy=_SAVED)
        if not sound(tree.get("familiar")):
            raise CheckpointError("familiar must hold statistics of regions", file=file, remedy=_SAVED)
        familiar = Familiarity.from_tree(tree["familiar"]) if tree.get("familiar") is not None else None
        for source, recipe in tree["region_recipes"].items():
            try:
                mark = Recipe.from_json(recipe).fingerprint
                if mark != (known := tree["region_fingerprints"].get(source)):
                    raise RegionError(f"expected fingerprint {known}, as in region_fingerprints, found {mark}")
            except RegionError as error:
                raise CheckpointError(
                    error.problem, file=file, record=f"region_recipes.{source}", remedy=_SAVED
                ) from None
        known = {key: tree[key] for key in _FIELDS}
        return cls(load_tokenizer(inside(found, TOKENIZER_FILE)), **known, familiar=familiar, task_tokens=task_tokens)


def check_fit(processor: TwelveProcessor, config: Settings, folder: Path) -> None:
    """Check that a saved processor matches its model.

    Raises:
        CheckpointError: the processor refers to a head, row or position that the model lacks, or has another number of
            word pieces or labels.
    """

    from twelve.outputs import get_output

    def must(fits: bool, record: str, wanted: object, found: object) -> None:
        if not fits:
            problem = f"expected {wanted}, as in the model, found {found}"
            raise CheckpointError(problem, file=folder / CONFIG_FILE, record=record, remedy=_SAVED)

    if processor.vocab_size != config.vocab_size:
        problem = f"expected {config.vocab_size} word pieces, as in the model, found {processor.vocab_size}"
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
    """Load a tokenizer.json or vocab.txt (lower-case BERT word pieces), or a folder, package or hub name with one.

    Raises:
        CheckpointError: it is missing or unreadable.
    """
    file = Path(source)
    if not file.is_file() and file.suffix not in (".json", ".txt"):
        folder = resolve(source, TOKENIZER_FILE, "vocab.txt")
        file = next((folder / name for name in (TOKENIZER_FILE, "vocab.txt") if (folder / name).is_file()), folder)
    if not file.is_file():
        raise CheckpointError("no tokenizer.json or vocab.txt here", file=file, remedy="name a folder with a tokenizer")
    return read_tokenizer(file) if file.suffix == ".json" else wordpieces(read_vocabulary(file))


def shortened(pieces: list[int], most: int, separator: int) -> list[int]:
    """The first ``most`` word pieces. If separators divide the text, the longest part (the first, among equals) loses
    its last piece until all fit, so that the last part, such as an answer to choose, is kept."""
    parts = [list(part) for last, part in itertools.groupby(pieces, lambda piece: piece == separator) if not last]
    room = most - (len(parts) - 1)
    if len(pieces) <= most or len(parts) < 2 or room < len(parts):
        return pieces[:most]
    while sum(map(len, parts)) > room:
        max(parts, key=len).pop()
    return [piece for part in parts for piece in (*part, separator)][:-1]


def wordpieces(vocabulary: Sequence[str]) -> Tokenizer:
    """Lower-case BERT word-piece tokenizer from the lines of a vocab.txt."""
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
    "max_regions": (lambda value: _count(value) and 0 < value <= WINDOWS, f"an integer from 1 to {WINDOWS}"),
    "token_rows": (_mapping(_count), "a mapping of tasks to rows"),
    "task_outputs": (_mapping(_string), "a mapping of tasks to output keys"),
    "max_text": (_mapping(_count), "a mapping of tasks to numbers of word pieces"),
    "region_fingerprints": (_mapping(_string), "a mapping of image sources to fingerprints"),
    "region_recipes": (_mapping(_string), "a mapping of image sources to recipes"),
    "temperatures": (_mapping(_temperature), "a mapping of tasks to numbers from 0.0001 to 10000"),
    "vocabularies": (_mapping(_strings), "a mapping of output keys to lists of labels"),
}
