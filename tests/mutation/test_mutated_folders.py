"""A model's folder, damaged and hostile: refused in one line that names the file, or opened as if nothing had been
done: the same weights, the same answers. Nothing is opened outside of it, imported, fetched or run on the way."""

from __future__ import annotations

import fnmatch
import importlib
import json
import os
import random
import shutil
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import harness
import mutator
import pytest
import tiny_model
import torch
from mutator import Mutation
from PIL import Image

import twelve
from twelve.errors import TwelveError
from twelve.model.vilbert import Twelve
from twelve.predictor import load

COUNT = int(os.environ.get("TWELVE_FOLDER_MUTATIONS", "500"))
"""Mutations of every kind of file."""
_HUGE = (0, -1, 1.5, 1e300, 10**9, 10**18, 10**40, True, None, "", "os.system", "/etc/passwd", "../x", [], {}, [[[]]])
_PATHS = ("w.bin", "../outside.safetensors", "/dev/zero", "/dev/stdin", "package:this", "evil/evil", "hf_hub:evil/evil")
_TEXTS = ("pretrained", "random", "grid:100000x100000", "grid:1/1", "NaN", "a" * 10_000, "\u202e\x1b[2J", "\ud800")
_OTHERS = (*_HUGE, *_PATHS, *_TEXTS, float("nan"), float("inf"), {"type": "Replace", "content": "a" * 999})


ASKED = ("this model has no task for", "the regions have boxes from files")
"""What is said of a sound folder that cannot do what is asked of it, in which no file is at fault."""
MEANT = (
    *("vocabularies.answer.*", "$.vocabularies.answer*", "*token_rows.*", "*temperatures*"),
    *("boxes: *", "threshold: *", "most: *"),
)
"""Mutations that make another model, which is as good as the first: its labels are called otherwise, it asks with
another task's token, its scores are sharper, it looks at other boxes."""


LIBRARIES = ("torchvision", "timm")
"""The program looks any network's name up in these two, which it names itself; timm need not be installed."""
for _library in LIBRARIES:
    with suppress(ImportError):  # now, or what they import in turn would be taken for what a folder asked for
        importlib.import_module(_library)


class _Watch:
    """What Python was asked for while it was on."""

    def __init__(self) -> None:
        self.on, self.allowed, self.seen = False, (), []  # type: ignore[var-annotated]
        sys.addaudithook(self.note)

    def note(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not path.startswith(self.allowed):
                self.seen.append(f"opened {path}")
        elif event == "import" and arguments[0] not in sys.modules and arguments[0] not in LIBRARIES:
            self.seen.append(f"imported {arguments[0]}")
        elif event == "exec" and os.path.isabs(file := getattr(arguments[0], "co_filename", "")):
            self.seen.append(f"ran {file}")  # a module: importlib.import_module tells of no import
        elif event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "urllib.")):
            self.seen.append(event)

    @contextmanager
    def __call__(self, *folders: Path) -> Iterator[list[str]]:
        self.allowed, self.seen, self.on = tuple(os.path.realpath(folder) for folder in folders), [], True
        try:
            yield self.seen
        finally:
            self.on = False


WATCH = _Watch()
INSTALLED = (Path(twelve.__file__).parent, Path(sys.prefix), Path(sys.base_prefix), Path("/proc/cpuinfo"))
"""Programs are read from there, whatever lies in a model's folder; the first product asks for the processor's maker."""


@pytest.fixture(scope="module")
def image() -> Image.Image:
    made = Image.new("RGB", (64, 48), "white")
    made.paste("red", (8, 8, 30, 30))
    return made


def opened(folder: Path, image: Image.Image) -> list[Any]:
    """The weights, and what the model says of an image."""
    model = load(folder)
    scene = model.scene(image)
    said = [str(scene.answer(text)) for text in ("what colour is the ball ?", "show both things yes no", "9 naïve")]
    said += [str(scene.entails("the ball is red")), str(scene.locate("the red ball"))]
    # Copied: loaded weights are the file's own memory, which the next mutation writes over.
    return [*said, *((name, value.clone()) for name, value in model.model.state_dict().items())]


def same(one: list[Any], other: list[Any]) -> bool:
    return len(one) == len(other) and all(
        (a[0] == b[0] and torch.equal(a[1], b[1])) if isinstance(a, tuple) else a == b
        for a, b in zip(one, other, strict=True)
    )


def of_values(tree: Any, write: Callable[[Any], bytes], rng: random.Random, count: int) -> list[Mutation]:
    """``count`` mutations in which one value of a tree becomes any other, is gone, or has a neighbour."""
    places = [path for path, _ in mutator._places(tree) if path]
    found: list[Mutation] = []
    while len(found) < count:
        path, new = rng.choice(places), rng.choice(_OTHERS)
        name = f"{'.'.join(map(str, path))[:80]}: {str(new)[:30]!a}"
        kind = rng.randrange(8)
        if kind == 0:
            whole, name = mutator._changed(tree, path, mutator._GONE), f"{name} (gone)"
        elif kind == 1 and isinstance(path[-1], str):
            whole, name = mutator._changed(tree, (*path[:-1], f"zz{rng.randrange(9)}"), new), f"{name} (one more)"
        elif kind == 2:
            whole, name = mutator._changed(tree, path, bombs_nested(new)), f"{name} (nested)"
        else:
            whole = mutator._changed(tree, path, new)
        found.append(Mutation(name, write(whole)))
    return found


def bombs_nested(value: Any) -> Any:
    for _ in range(150):
        value = [value]
    return value


def of_json(content: bytes, rng: random.Random, count: int) -> list[Mutation]:
    tree = json.loads(content)
    fixed = list(mutator._shapes(content)) + list(mutator._encodings(content))
    told = mutator.of_tree(tree, mutator.write_json, rng, count // 3)
    found = fixed + told
    found += of_values(tree, mutator.write_json, rng, max(100, 4 * count // 5 - len(found)))
    return found + mutator.drawn(content, rng, max(50, count - len(found)))


def of_safetensors(content: bytes, rng: random.Random, count: int) -> list[Mutation]:
    """Of the header; the numbers behind it stay."""
    length = int.from_bytes(content[:8], "little")
    header, numbers = content[8 : 8 + length], content[8 + length :]
    inner = of_json(header, rng, 3 * count // 4)
    found = [Mutation(m.name, len(m.content).to_bytes(8, "little") + m.content + numbers) for m in inner]
    for number in range(count - len(found)):
        at, bit = rng.randrange(8 + length), 1 << rng.randrange(8)
        one = bytearray(content)
        one[at] ^= bit
        flipped = Mutation(f"bit {bit} of byte {at} flipped", bytes(one))
        found.append(flipped if number % 2 else Mutation(f"cut at byte {at}", content[:at]))
    return found


def of_recipes(content: bytes, rng: random.Random, count: int) -> list[Mutation]:
    """Of the recipes in a processor_config.json."""
    tree = json.loads(content)
    recipe = json.loads(tree["region_recipes"]["coco"])

    def write(changed: Any) -> bytes:
        text = mutator.dump(changed)
        return mutator.write_json(tree | {"region_recipes": {"coco": text}})

    half = of_values(recipe, write, rng, count - count // 4)
    inner = mutator.of_bytes(json.dumps(recipe).encode(), rng, count // 4)
    return half + [
        Mutation(m.name, mutator.write_json(tree | {"region_recipes": {"coco": m.content.decode("utf-8", "replace")}}))
        for m in inner
    ]


KINDS: dict[str, tuple[str, Callable[[bytes, random.Random, int], list[Mutation]]]] = {
    "configuration": ("config.json", of_json),
    "processor": ("processor_config.json", of_json),
    "recipes": ("processor_config.json", of_recipes),
    "tokenizer": ("tokenizer.json", of_json),
    "weights": ("model.safetensors", of_safetensors),
    "index": ("model.safetensors.index.json", of_json),
    "shard": ("model-00002", of_safetensors),
}


def test_nothing_that_a_recipe_names_is_imported(
    tmp_path: Path, image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even what is installed; the watch would notice."""
    (tmp_path / "installed").mkdir()
    (tmp_path / "installed" / "named_by_a_recipe.py").write_text("NOTHING = 0\n")
    monkeypatch.syspath_prepend(str(tmp_path / "installed"))
    folder = tiny_model.make(tmp_path / "model")
    file = folder / "processor_config.json"
    tree = json.loads(file.read_text())
    recipe = json.loads(tree["region_recipes"]["coco"])
    module = tmp_path / "installed" / "named_by_a_recipe.py"
    allowed = (folder, *INSTALLED, module.parent)
    for value in ("{}", "timm/{}", "torchvision/{}", "package:{}", "hf_hub:{}/{}", "{0}:{0}", "{0}.{0}"):
        named = value.format(*["named_by_a_recipe"] * 2)
        for changes in ({"backbone": named}, {"weights": named}, {"backbone": "resnet18", "weights": named}):
            file.write_text(json.dumps(tree | {"region_recipes": {"coco": json.dumps(recipe | changes)}}))
            with WATCH(*allowed) as seen, suppress(TwelveError):
                opened(folder, image)
            assert not any("named_by_a_recipe" in each for each in seen), changes
    with WATCH(*allowed) as seen:
        importlib.import_module("named_by_a_recipe")
    assert seen == [f"ran {module}"]


def places(file: Path, elsewhere: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """What else can lie in a file's place: what it is, and what puts it there."""
    shutil.copy(file, elsewhere / "kept")
    yield "a pipe", lambda: os.mkfifo(file)
    yield "a folder", file.mkdir
    for target in (elsewhere / "kept", "/dev/zero", "/dev/null", "/etc/passwd", "/nowhere", file):
        yield f"a link to {target}", lambda target=target: file.symlink_to(target)  # type: ignore[misc]
    yield "a terabyte of nothing", lambda: _sparse(file, 1 << 40)
    yield "2 GB of nothing", lambda: _sparse(file, 1 << 31)
    if hasattr(socket, "AF_UNIX"):
        yield "a socket", lambda: _socket(file)


def _sparse(file: Path, size: int) -> None:
    with open(file, "wb") as stream:
        stream.truncate(size)


def _socket(file: Path) -> None:
    here = os.getcwd()
    os.chdir(file.parent)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(file.name)
    os.chdir(here)


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_folder(kind: str, tmp_path: Path, image: Image.Image) -> None:
    folder = tiny_model.make(tmp_path / "model")
    if kind in ("index", "shard"):
        Twelve.from_pretrained(folder).save_pretrained(folder, max_shard_size="60KB")
        (folder / "model.safetensors").unlink(missing_ok=True)
    named, make = KINDS[kind]
    file = next(path for path in sorted(folder.iterdir()) if path.name == named or path.name.startswith(f"{named}-of"))
    content = file.read_bytes()
    mutations = make(content, random.Random(f"{harness.SEED} {kind}"), COUNT)
    sound = opened(folder, image)
    tally, failures = {"refused": 0, "the same": 0}, []

    def judge(name: str) -> None:
        problem = None
        with harness.watched(), harness.limited(), WATCH(folder, *INSTALLED) as seen:
            try:
                found = opened(folder, image)
            except TwelveError as error:
                tally["refused"] += 1
                text = str(error)
                if "\n" in text or not text.isprintable() or len(text) > 3000:
                    problem = f"is not one line: {text[:200]!r}"
                elif str(folder) not in text and not any(words in text for words in ASKED):
                    problem = f"names no file: {text[:200]}"
            except harness.Hangs:
                problem = "hangs"
            except Exception as error:
                problem = f"{type(error).__name__}: {str(error)[:200]}"
            else:
                tally["the same"] += 1
                meant = any(fnmatch.fnmatchcase(name, harness.escaped(pattern)) for pattern in MEANT)
                if not meant and not same(found, sound):
                    problem = "opened, and says something else"
        if problem or seen:
            failures.append(f"{file.name}: {name}: {problem} {seen[:3]}")

    for mutation in mutations:
        file.write_bytes(mutation.content)
        judge(mutation.name)
    for name, put in list(places(file, tmp_path)):
        shutil.rmtree(file) if file.is_dir() and not file.is_symlink() else file.unlink(missing_ok=True)
        put()
        judge(name)
    assert not failures, f"{len(failures)} of {sum(tally.values())}, seed {harness.SEED}\n" + "\n".join(failures[:40])
    assert sum(tally.values()) >= COUNT + 10 and min(tally.values()) > 0, tally
