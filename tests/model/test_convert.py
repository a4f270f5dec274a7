"""Released checkpoints become folders that load, with the outputs that were recorded of the original."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

import twelve
from twelve import cli
from twelve.errors import CheckpointError, ConfigError, DataError, TwelveError
from twelve.model.checkpoints import load_released
from twelve.model.vilbert import Twelve
from twelve.runs.convert import PAPER, convert
from twelve.types.regions import Regions


@pytest.fixture(scope="module")
def released(goldens: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small released checkpoint with the files that belong to it: as the original's torch.save wrote them."""
    folder = tmp_path_factory.mktemp("released")
    recorded = goldens / "model/public_multitask"
    state = load_file(recorded / "state.safetensors")
    torch.save({f"module.{name}": value for name, value in state.items()}, folder / "multi_task_model.bin")
    meta = json.loads((recorded / "meta.json").read_text())
    (folder / "config.json").write_text(json.dumps(meta["config"]))
    size = len(state["bert.embeddings.word_embeddings.weight"])
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "is", "it", "red", "?"]
    (folder / "vocab.txt").write_text("\n".join([*words, *(f"w{k}" for k in range(size - len(words)))]))
    answers = len(state["vil_prediction.logit_fc.3.bias"])
    (folder / "label2ans.pkl").write_bytes(pickle.dumps([f"a{k}" for k in range(answers)], protocol=0))
    rows = len(state["vil_prediction_gqa.logit_fc.3.bias"])
    (folder / "gqa.json").write_text(json.dumps({f"g{k}": k for k in range(rows)}))
    return {path.name: path for path in folder.iterdir()}


def options(released: dict[str, Path]) -> dict[str, Any]:
    return {"config": released["config.json"], "tokenizer": str(released["vocab.txt"])}


def test_a_converted_folder_is_the_original(released: dict[str, Path], goldens: Path, tmp_path: Path) -> None:
    labels = {"answer": released["label2ans.pkl"], "answer_gqa": released["gqa.json"]}
    # The original's files have these two as well; its program reads neither.
    theirs = json.loads(released["config.json"].read_text()) | {"bi_intermediate_size": 1024, "bi_attention_type": 1}
    released["config.json"].write_text(json.dumps(theirs))
    folder, lacking = convert(released["multi_task_model.bin"], tmp_path / "out", **options(released), labels=labels)
    assert [what.split(" (")[0] for what in lacking] == ["a detector"]
    model = twelve.load(folder)
    assert {method: tasks[0] for method, tasks in model.methods.items()} == {
        "answer": "vqa",
        "choose": "visual7w",
        "match": "coco",
        "locate": "refcoco",
        "verify": "nlvr2",
        "entails": "snli_ve",
        "guess": "guesswhat",
    }
    rows = model.processor.token_rows
    assert (rows["vqa"], rows["vg_qa"], rows["nlvr2"], rows["guesswhat"]) == (1, 2, 12, 17)
    assert model.processor.vocabularies["answer"][5] == "a5" and model.processor.vocabularies["answer_gqa"][2] == "g2"
    other = load_released(released["multi_task_model.bin"], released["config.json"]).state_dict()
    assert all(torch.equal(value, other[name]) for name, value in Twelve.from_pretrained(folder).state_dict().items())
    card = (folder / "README.md").read_text()
    assert "multi_task_model.bin" in card and "VQA v2" in card and "not recorded" in card
    features = torch.randn(4, model.model.config.v_feature_size).half().numpy()
    scene = model.scene(Regions("coco/1", 64, 48, torch.tensor([[0, 0, 9, 9.0]] * 4).numpy(), features))
    assert scene.answer("is it red ?").answer.startswith("a")


def test_what_is_not_given_is_said(released: dict[str, Path], tmp_path: Path) -> None:
    arguments = [released["multi_task_model.bin"], tmp_path / "out", "--config", released["config.json"]]
    arguments += ["--tokenizer", released["vocab.txt"]]
    result = CliRunner().invoke(cli.app, ["convert", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    assert "--labels answer=FILE" in result.stderr and "--detector" in result.stderr
    assert twelve.load(tmp_path / "out").processor.vocabularies["answer"][0] == "answer 0"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": None}, "expected .* of shape"),
        ({"labels": {"answr": "gqa.json"}}, 'did you mean "answer"'),
        ({"labels": {"answer": "gqa.json"}}, "the head answer has"),
        ({"labels": {"answer": "config.json"}}, "rows of its answers"),
    ],
)
def test_files_that_do_not_fit(released: dict[str, Path], tmp_path: Path, change: dict[str, Any], message: str) -> None:
    labels = {key: released[name] for key, name in change.pop("labels", {}).items()}
    with pytest.raises(TwelveError, match=message):
        convert(released["multi_task_model.bin"], tmp_path / "out", **(options(released) | change), labels=labels)
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_lacks_weights_is_named(released: dict[str, Path], tmp_path: Path) -> None:
    state = torch.load(released["multi_task_model.bin"], weights_only=True)
    state.pop("module.bert.t_pooler.dense.weight")
    torch.save(state, tmp_path / "part.bin")
    with pytest.raises(CheckpointError, match=r"part\.bin: the checkpoint lacks 1 weights: bert\.t_pooler.*-> use"):
        convert(tmp_path / "part.bin", tmp_path / "out", **options(released))
    with pytest.raises(CheckpointError, match=r"part\.bin: the checkpoint lacks 1 weights"):
        load_released(tmp_path / "part.bin", released["config.json"])


def test_only_an_earlier_model_is_replaced(released: dict[str, Path], tmp_path: Path) -> None:
    for _ in range(2):
        convert(released["multi_task_model.bin"], tmp_path / "out", **options(released))
    (tmp_path / "home" / "thesis").mkdir(parents=True)
    (tmp_path / "out" / "notes.txt").write_text("mine")
    for folder, name in (("home", "thesis"), ("out", "notes.txt")):
        with pytest.raises(ConfigError, match=re.escape(f"does not belong to a model ({name}) -> name a new folder")):
            convert(released["multi_task_model.bin"], tmp_path / folder, **options(released))
    assert (tmp_path / "home" / "thesis").is_dir() and (tmp_path / "out" / "notes.txt").is_file()


def test_another_tokenizer_and_a_pickle_that_calls(released: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]")
    changed = options(released) | {"tokenizer": str(tmp_path / "vocab.txt")}
    with pytest.raises(ConfigError, match="has 5 word pieces"):
        convert(released["multi_task_model.bin"], tmp_path / "out", **changed)
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(DataError, match=r"evil\.pkl"):
        convert(
            released["multi_task_model.bin"],
            tmp_path / "out",
            **options(released),
            labels={"answer": tmp_path / "evil.pkl"},
        )


def test_a_configuration_of_bottomless_brackets_is_refused(released: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text("[" * 100_000 + "]" * 100_000)
    words = ["convert", released["multi_task_model.bin"], tmp_path / "out", "--config", tmp_path / "deep.json"]
    with pytest.raises(TwelveError, match=r"deep\.json .*nested too deeply -> use the configuration"):
        CliRunner().invoke(cli.app, [str(word) for word in words], catch_exceptions=False)


def test_the_built_in_configuration_is_the_papers() -> None:
    from twelve.model.checkpoints import read_released_config

    heads = {"answer": {"kind": "answer", "size": 3129}, "answer_gqa": {"kind": "answer", "size": 1533}}
    kinds = {"alignment": "alignment", "region": "region", "pair": "pair", "entailment": "entailment"}
    heads |= {key: {"kind": kind, "size": 1} for key, kind in kinds.items()}
    config = read_released_config(dict(PAPER), task_specific_tokens=True, heads=heads)
    with torch.device("meta"):
        model = Twelve(config)
    trunk = sum(parameter.numel() for name, parameter in model.named_parameters() if not name.startswith("heads."))
    # 246,742,016 of the original's trunk, less its 11,020,800 parameters that nothing reads.
    assert trunk == 246_742_016 - 11_020_800
