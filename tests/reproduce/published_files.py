"""A stand-in for everything that was published: tiny official files, packed as the official ones, a checkpoint and
region features as the authors released them, and a registry with their hashes.

The annotations are those of a small drawn world, the regions those that the world's detector finds in it. The weights
are random: every number is near chance, but it is a number.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lmdb
import torch
from small_world import SIZES

from twelve.data.vocabulary import labels_of
from twelve.downloads import registry
from twelve.downloads.download import Download
from twelve.formats.data_root import DataRoot
from twelve.microworld.make import WRITERS, make_microworld
from twelve.model.checkpoints import read_released_config, write_released
from twelve.model.vilbert import Twelve
from twelve.model.wordpieces import tokenizer_from
from twelve.outputs import get_output
from twelve.regions.extraction.extract import extract_root
from twelve.regions.store.region_store import RegionStore
from twelve.runs.convert import PAPER
from twelve.tasks.base import get
from twelve.types.regions import Regions

TASKS = tuple(WRITERS)
SMALL: Mapping[str, Any] = {
    **{"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64},
    **{"max_position_embeddings": 256, "v_hidden_size": 32, "v_num_hidden_layers": 2, "v_num_attention_heads": 4},
    **{"v_intermediate_size": 64, "bi_hidden_size": 32, "bi_num_attention_heads": 4, "initializer_range": 0.2},
    **{"t_biattention_id": [0, 1], "v_biattention_id": [0, 1]},
}
"""Sizes of the checkpoint; everything else as in the paper's."""
ENDING = "resnext152_faster_rcnn_genome.lmdb"
FEATURES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "coco/features_100/COCO_trainval": ("coco", ("vqa", "coco", "refcoco", "refcoco+", "refcocog", "guesswhat")),
    "coco/features_100/COCO_test": ("coco", ()),
    "gqa/gqa": ("vg", ("gqa",)),
    "visual_genome/visual_genome": ("vg", ("vg_qa",)),
    "visual7w/visual7w": ("vg", ("visual7w",)),
    "visual7w/visual7w_gt": ("vg", ("visual7w",)),
    "guesswhat/guesswhat_gt": ("coco", ("guesswhat",)),
    "flickr30k/flickr30k": ("flickr30k", ("flickr30k", "snli_ve")),
    "nlvr2/nlvr2": ("nlvr2", ("nlvr2",)),
}
"""Released features: how their paths begin below datasets -> (source of the images, tasks that they serve)."""


@dataclass(frozen=True, slots=True)
class StandIn:
    """What was published.

    Attributes:
        world: the official files, unpacked, with their images.
        served: the folder to serve, with one file for each download, called by its key.
    """

    world: Path
    served: Path

    def registry(self, path: Path, url: str, **changes: Mapping[str, Any]) -> Path:
        """Write the registry of files that are served at a URL; ``changes``: key of a file -> other fields."""
        entries = json.loads((self.served / "entries.json").read_text())
        text = ""
        for dataset in dict.fromkeys(entry["dataset"] for entry in entries):
            text += f'[{json.dumps(dataset)}]\npage = "http://localhost/{dataset}"\nterms = "for tests"\n\n'
            for entry in (entry for entry in entries if entry["dataset"] == dataset):
                fields = {key: value for key, value in entry.items() if key != "dataset"}
                fields["urls"] = [f"{url}/{dataset}/{entry['name']}"]
                fields |= changes.get(f"{dataset}/{entry['name']}", {})
                lines = [f"{key} = {_toml(value)}\n" for key, value in fields.items()]
                text += f"[[{json.dumps(dataset)}.files]]\n{''.join(lines)}\n"
        path.write_text(text, encoding="utf-8")
        return path


def make(folder: Path) -> StandIn:
    """Draw, extract and pack everything, in about ten seconds."""
    world, served, regions = folder / "world", folder / "served", folder / "regions"
    make_microworld(world, 0, SIZES)
    extract_root(world, regions, progress=False)
    store = RegionStore(regions)
    entries = [*_annotations(world, served), *_features(store, served), *model(world, store.feature_size, served)]
    write_entries(served, entries)
    return StandIn(world, served)


def write_entries(served: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    (served / "entries.json").write_text(json.dumps(entries), encoding="utf-8")


def _annotations(world: Path, served: Path) -> Iterable[dict[str, Any]]:
    """The annotation files that the project's registry names for the twelve tasks, packed as it says."""
    for one in registry.choose(registry.shipped(), TASKS, ("annotation",)):
        there = [(member, place) for member, place in one.places if (world / place).is_file()]
        if not there or one.instead_of:
            continue
        path = served / one.dataset / one.file
        path.parent.mkdir(parents=True, exist_ok=True)
        if one.packed:
            _pack(path, {f"some/folder/{member}": world / place for member, place in there})
        else:
            path.write_bytes((world / there[0][1]).read_bytes())
        yield _entry(one, path, there)


def _pack(path: Path, members: Mapping[str, Path]) -> None:
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for member, file in members.items():
                archive.write(file, member)
    else:
        with tarfile.open(path, "w:gz") as archive:
            for member, file in members.items():
                archive.add(file, member)


def _entry(one: Download, path: Path, places: Sequence[tuple[str, str]]) -> dict[str, Any]:
    goals: dict[str, Any] = {"unpack": dict(places)} if one.packed else {"to": places[0][1]}
    return _described(path, one.dataset, one.kind, one.tasks) | goals


def _described(path: Path, dataset: str, kind: str, tasks: Sequence[str]) -> dict[str, Any]:
    content = path.read_bytes()
    stated = {"is": f"sha256:{hashlib.sha256(content).hexdigest()}", "source": "a test"}
    facts = {"dataset": dataset, "name": path.name, "kind": kind, "tasks": list(tasks), "bytes": len(content)}
    return facts | {"hashes": [stated], "source": "a test"}


def _released(served: Path, name: str, content: bytes, to: str, kind: str, tasks: Sequence[str] = ()) -> dict[str, Any]:
    path = served / "released" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return _described(path, "released", kind, ["released", *tasks]) | {"to": f"released/{to}"}


def _features(store: RegionStore, served: Path) -> Iterable[dict[str, Any]]:
    """Region features as the original program's convert_to_lmdb.py wrote them."""
    for begin, (source, tasks) in FEATURES.items():
        given, records = begin.endswith("_gt"), {}
        for image in store.ids(source):
            if given and not store.has_given(image):
                continue
            key, found = image.partition("/")[2], store.get(image)
            if given:
                whole = store.get(image, given=True)
                found = Regions(
                    image,
                    whole.width,
                    whole.height,
                    whole.boxes[len(found.boxes) :],
                    whole.features[len(found.boxes) :],
                )
            name = f"v7w_{key}" if begin.startswith("visual7w") else key
            records[name] = _record(name, found)
        ending = f"{begin}_{ENDING}"
        content = _lmdb(served / "work.lmdb", records)
        name = f"{ending.rpartition('/')[2]}.data.mdb"
        yield _released(served, name, content, f"datasets/{ending}/data.mdb", "feature", tasks)


def _record(name: str, found: Regions) -> bytes:
    features = found.features.astype("float32")
    fields = {"image_id": name, "image_h": found.height, "image_w": found.width, "num_boxes": len(found.boxes)}
    return pickle.dumps(fields | {"boxes": found.boxes, "features": features})


def _lmdb(path: Path, records: Mapping[str, bytes]) -> bytes:
    with lmdb.open(str(path), map_size=2**28) as environment, environment.begin(write=True) as transaction:
        for key, value in records.items():
            transaction.put(key.encode(), value)
        transaction.put(b"keys", pickle.dumps([key.encode() for key in records]))
    content = (path / "data.mdb").read_bytes()
    for file in path.iterdir():
        file.unlink()
    path.rmdir()
    return content


def model(world: Path, features: int, served: Path) -> Iterable[dict[str, Any]]:
    """A checkpoint in the released layout, for regions of so many features, with its configuration, word pieces, and
    names of answers."""
    root = DataRoot(world)
    train = {name: get(name).read(root, get(name).train_split) for name in TASKS}
    tokenizer = tokenizer_from(example.text for examples in train.values() for example in examples)
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    answers: dict[str, list[str]] = {}
    for name in TASKS:
        if get_output(get(name).kind).needs_vocabulary:
            known = answers.setdefault(get(name).output, [])
            known += [label for label in sorted(labels_of(train[name])) if label not in known]
    sizes = dict(PAPER) | SMALL | {"vocab_size": len(words), "v_feature_size": features}
    heads = {
        get(name).output: {"kind": get(name).kind, "size": len(answers.get(get(name).output, "1"))} for name in TASKS
    }
    torch.manual_seed(0)
    model = Twelve(read_released_config(sizes, task_specific_tokens=True, heads=heads))
    state = {f"module.{name}": value for name, value in write_released(model).items()}
    torch.save(state, served / "weights.bin")
    weights = (served / "weights.bin").read_bytes()
    (served / "weights.bin").unlink()
    yield _released(served, "multi_task_model.bin", weights, "multi_task_model.bin", "weight")
    config = json.dumps(sizes).encode()
    yield _released(served, "bert_base_6layer_6conect.json", config, "bert_base_6layer_6conect.json", "weight")
    yield _released(served, "vocab.txt", "\n".join(words).encode(), "vocab.txt", "weight")
    yield _archive_of_answers(served, answers)


def _archive_of_answers(served: Path, answers: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The authors' archive of all their files, of which the names of answers are wanted."""
    members = {}
    for output, folder in (("answer", "VQA"), ("answer_gqa", "gqa")):
        file = served / f"{output}.pkl"
        file.write_bytes(pickle.dumps(list(answers[output]), protocol=0))
        members[f"datasets/{folder}/cache/trainval_label2ans.pkl"] = file
    path = served / "released" / "datasets.tar.gz"
    _pack(path, members)
    for file in members.values():
        file.unlink()
    places = {
        f"{folder}/cache/trainval_label2ans.pkl": f"released/{folder}/trainval_label2ans.pkl"
        for folder in ("VQA", "gqa")
    }
    return _described(path, "released", "feature", ["released-labels"]) | {"unpack": places}


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value)
