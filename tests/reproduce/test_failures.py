"""What cannot be had is said in one line with the next step, and the other tasks are measured."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from download_server import DownloadServer
from published_files import StandIn, model, write_entries
from reproduce_command import Command

from twelve.downloads.registry import shipped
from twelve.errors import DataError, TwelveError
from twelve.formats.data_root import DataRoot
from twelve.regions.store.region_store import RegionStore
from twelve.reproduce.needs import twelve_tasks, without_features
from twelve.reproduce.run import Asked, Reproduction
from twelve.tasks.base import get

WRONG = {"hashes": [{"is": f"sha256:{'0' * 64}", "source": "a test"}]}


def lines_about(text: str, name: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith(f"not measured: {name}: ")]


def test_a_missing_file_fails_its_task_alone(command: Command, server: DownloadServer) -> None:
    del server.files["snli_ve/snli_ve_test.jsonl"]
    command(tasks="nlvr2,snli_ve")
    assert command.code == 1
    (line,) = lines_about(command.err, "snli_ve")
    assert "snli_ve/snli_ve_test.jsonl: failed: " in line and "404" in line and " -> " in line
    assert "| NLVR2 | test1, " in command.table and "| SNLI-VE | | not measured |" in command.table
    command(tasks="nlvr2")
    assert command.code == 0 and "SNLI-VE" not in command.table


def test_a_missing_file_put_there_by_hand(command: Command, server: DownloadServer, stand_in: StandIn) -> None:
    content = server.files.pop("nlvr2/test1.json").content
    with pytest.raises(TwelveError, match=r"nlvr2/test1\.json: failed: .*404.* -> "):
        command(tasks="nlvr2")
    place = command.root / "nlvr2" / "test1.json"
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(content)
    command(tasks="nlvr2")
    assert command.code == 0 and "| NLVR2 | test1, " in command.table


def test_no_task_can_do_without_the_model(command: Command, server: DownloadServer) -> None:
    del server.files["released/multi_task_model.bin"]
    with pytest.raises(TwelveError, match=r"released/multi_task_model\.bin: failed: .*404.* -> "):
        command(tasks="nlvr2,snli_ve")


def test_another_file_than_the_stated_one(command: Command) -> None:
    command(tasks="nlvr2,snli_ve", changes={"nlvr2/test1.json": WRONG})
    (line,) = lines_about(command.err, "nlvr2")
    assert "expected" in line and "0" * 64 in line and "sha256" in line
    assert command.code == 1 and "| SNLI-VE | test, " in command.table
    assert not (command.root / "nlvr2" / "test1.json").exists()


def test_names_of_answers(command: Command, server: DownloadServer, tmp_path: Path) -> None:
    """They are in an archive of 90 GB, so anybody may have them from elsewhere."""
    del server.files["released/datasets.tar.gz"]
    command(tasks="gqa,nlvr2")
    (line,) = lines_about(command.err, "gqa")
    assert command.code == 1 and "datasets.tar.gz" in line and "--labels answer_gqa=FILE" in line
    processor = json.loads((command.root / "reproduced" / "model" / "processor_config.json").read_text())
    size, names = len(processor["vocabularies"]["answer_gqa"]), tmp_path / "names.json"
    names.write_text(json.dumps([f"a{number}" for number in range(size)]))
    command("--labels", f"answer_gqa={names}", tasks="gqa,nlvr2")
    assert command.code == 0 and "| GQA | testdev_balanced, " in command.table


def test_images_without_released_features(command: Command, stand_in: StandIn, tmp_path: Path) -> None:
    entries = json.loads((stand_in.served / "entries.json").read_text())
    write_entries(tmp_path, [entry for entry in entries if "visual7w_gt" not in entry["name"]])
    command.stand_in = StandIn(stand_in.world, tmp_path)
    command(tasks="visual7w,nlvr2")
    (line,) = lines_about(command.err, "visual7w")
    assert command.code == 1 and "images of visual7w have no regions of the boxes that it gives" in line
    assert " -> fetch the features" in line and "--extract" in line
    told = "cannot be measured like this: visual7w: their released features have no public URL -> put them into "
    assert f"{told}{command.root}/released/datasets/DATASET/NAME.lmdb" in command.out


def test_which_of_the_twelve_have_no_public_features(tmp_path: Path) -> None:
    known = twelve_tasks()
    found = [task.name for task in without_features(tmp_path, known.values(), shipped())]
    assert sorted(found) == ["flickr30k", "guesswhat", "snli_ve", "vg_qa", "visual7w"]
    page = (Path(__file__).parents[2] / "docs" / "get-the-data.md").read_text(encoding="utf-8")
    (line,) = re.findall(r"For (Flickr30k [^.]*?), no public\s+URL", page)
    assert all(get(name).title.removesuffix(" retrieval") in line for name in found), line
    for folder in ("flickr30k/flickr30k.lmdb", "visual7w/visual7w.lmdb", "visual7w/visual7w_gt.lmdb"):
        (tmp_path / "released" / "datasets" / folder).mkdir(parents=True)
    found = [task.name for task in without_features(tmp_path, known.values(), shipped())]
    assert sorted(found) == ["guesswhat", "vg_qa"]


def test_the_word_pieces_are_in_the_plan_and_come_from_elsewhere_if_need_be(
    command: Command, server: DownloadServer, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "bert/vocab.txt" in [one.key for one in Reproduction(Asked(root=tmp_path, tasks=["nlvr2"])).wanted]
    del server.files["released/vocab.txt"]
    monkeypatch.setattr("twelve.reproduce.conversion.TOKENIZER", str(stand_in.served / "released" / "vocab.txt"))
    assert "vocab.txt: weight" in command(tasks="nlvr2")
    assert command.code == 0 and "released/vocab.txt: failed: " in command.err
    assert "the hub's own client is asked for it" in command.err


def test_features_in_a_folder_of_no_dataset(command: Command) -> None:
    command(tasks="nlvr2")
    (command.root / "released" / "mugs" / "x.lmdb").mkdir(parents=True)
    with pytest.raises(DataError, match=r"mugs/x\.lmdb: which dataset's images .* -> move it into a folder"):
        command(tasks="nlvr2")


def test_regions_extracted_from_images(
    command: Command, server: DownloadServer, stand_in: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a small detector of the original's kind, whose weights are served as the original's."""
    import torch
    from x152_tiny import checkpoint, tiny

    monkeypatch.setattr("twelve.regions.detectors.x152.build_from", lambda config: tiny(config.weights))
    served = tmp_path / "served"
    (served / "released").mkdir(parents=True)
    torch.save({"model": checkpoint()}, served / "released" / "detectron_model.pth")
    entries = json.loads((stand_in.served / "entries.json").read_text())
    entries = [entry for entry in entries if entry["kind"] == "annotation"] + list(model(stand_in.world, 64, served))
    detector: dict[str, Any] = {"dataset": "released", "name": "detectron_model.pth", "kind": "weight"}
    entries.append(detector | {"to": "released/detectron_model.pth", "tasks": ["released"], "source": "a test"})
    images: dict[str, Any] = {"dataset": "nlvr2", "name": "images", "kind": "image", "to": "images/nlvr2/"}
    entries.append(images | {"tasks": ["nlvr2"], "source": "a test: nobody states a URL"})
    write_entries(served, entries)
    nowhere = {"nlvr2/images": {"urls": []}}
    for path in (served / "released").iterdir():
        server.add(f"released/{path.name}", path.read_bytes())
    command.stand_in = StandIn(stand_in.world, served)
    with pytest.raises(TwelveError, match=r"nlvr2/images: asked: .* -> ask for it at .* as images/nlvr2/"):
        command("--extract", tasks="nlvr2", changes=nowhere)
    (command.root / "images" / "nlvr2").mkdir(parents=True)
    with pytest.raises(TwelveError, match=r"images of nlvr2 are not here.* -> put them there"):
        command("--extract", tasks="nlvr2", changes=nowhere)
    shutil.copytree(stand_in.world / "images" / "nlvr2", command.root / "images" / "nlvr2", dirs_exist_ok=True)
    command("--extract", tasks="nlvr2", changes=nowhere)
    assert command.code == 0 and "regions: extracted here, not the released features" in command.table
    store = RegionStore(command.root / "reproduced" / "extracted")
    (made,) = store.made("nlvr2")
    assert made.recipe is not None and made.recipe.config.backbone == "x152"
    examples = get("nlvr2").read(DataRoot(command.root), "test1")
    assert set(store.ids("nlvr2")) == {image for example in examples for image in example.images}
