"""One contract for every trunk: what heads, tasks, training, evaluation, prediction and export count on."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_model
import tiny_others
import tiny_web_captions
import torch
from rich.console import Console
from torch import Tensor

import twelve
from twelve import config as configuration
from twelve.errors import CheckpointError, ConfigError
from twelve.microworld.draw import draw
from twelve.microworld.scene import sample_scene
from twelve.model.checkpoints import load_text_encoder, text_config_from, write_released
from twelve.model.config import TwelveConfig
from twelve.model.linear import onednn_is_faster
from twelve.model.network import Network, load_network
from twelve.model.settings import Settings
from twelve.model.trunk import TRUNKS
from twelve.model.vilbert import Twelve
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.settings import FreezeSettings
from twelve.training.freezing import HEADS, depth_of, freeze

QUIET = Console(quiet=True)
SIZES: dict[str, Any] = {
    **{"vocab_size": 24, "hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32},
    **{"max_position_embeddings": 12, "v_feature_size": 8, "v_hidden_size": 24, "v_num_hidden_layers": 2},
    **{"v_num_attention_heads": 2, "v_intermediate_size": 32, "bi_hidden_size": 8, "bi_num_attention_heads": 2},
    **{"t_biattention_id": [1, 2], "v_biattention_id": [0, 1], "initializer_range": 0.2},
    "heads": {"answer": {"kind": "answer", "size": 5}, "region": {"kind": "region", "size": 1}},
}


@pytest.fixture(params=sorted(TRUNKS))
def trunk(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(trunk: str) -> Twelve:
    torch.manual_seed(0)
    return Twelve(TwelveConfig(**SIZES, trunk=trunk, pretraining=True, word_logit=True)).eval()


def inputs(texts: int = 2, images: int = 2, length: int = 5, regions: int = 4) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return {
        "input_ids": torch.randint(5, 24, (texts, length), generator=generator),
        "text_mask": torch.ones(texts, length, dtype=torch.bool),
        "task_rows": torch.arange(texts),
        "features": torch.rand(images, regions, 8, generator=generator),
        "boxes": tiny_model.boxes(images, regions, 5, generator=generator),
        "region_mask": torch.ones(images, regions, dtype=torch.bool),
    }


def close(one: Any, other: Any) -> bool:
    return torch.allclose(one, other, atol=1e-5)


def test_shapes(model: Twelve) -> None:
    given = inputs(texts=3, images=2)
    pairs = {"pair_text": torch.tensor([0, 1, 2, 2]), "pair_image": torch.tensor([0, 1, 1, 0])}
    with torch.no_grad():
        found = model(**given, **pairs, outputs=("answer", "region", "word_logit", "words", "regions"))
    assert found.words.shape == (4, 6, 16) and found.regions.shape == (4, 4, model.trunk.visual_size)
    assert found.pooled_text.shape == found.pooled_image.shape == found.fused.shape == (4, model.trunk.fused_size)
    assert found.logits["answer"].shape == (4, 5) and found.logits["region"].shape == (4, 4)
    assert found.logits["word_logit"].shape == (4, 6) and found.text_mask.shape == (4, 6)
    texts = model.encode_texts(given["input_ids"], given["text_mask"], task_rows=given["task_rows"])
    assert texts.states.shape == (3, 6, 16) and texts.mask is not None and texts.mask.shape == (3, 6)
    assert model.trunk.words is model.get_parameter("text.embedding.words.weight")


@pytest.mark.parametrize("outputs", [("answer",), ("region",), ("word_logit",), ("words",), ("regions",)])
def test_what_is_left_out_changes_nothing(model: Twelve, outputs: tuple[str, ...]) -> None:
    with torch.no_grad():
        part, whole = model(**inputs(), outputs=outputs), model(**inputs())
        complete = model(**inputs(), return_states=True)
    for name in outputs:
        if name in ("words", "regions"):
            assert close(getattr(part, name), getattr(complete, name))
        else:
            assert close(part.logits[name], whole.logits[name]) and close(whole.logits[name], complete.logits[name])


def test_padding_changes_nothing(model: Twelve) -> None:
    given = inputs()
    padded = {
        "input_ids": torch.cat([given["input_ids"], torch.full((2, 3), 7)], 1),
        "text_mask": torch.cat([given["text_mask"], torch.zeros(2, 3, dtype=torch.bool)], 1),
        "task_rows": given["task_rows"],
        "features": torch.cat([given["features"], 9 * torch.ones(2, 2, 8)], 1),
        "boxes": torch.cat([given["boxes"], torch.ones(2, 2, 5)], 1),
        "region_mask": torch.cat([given["region_mask"], torch.zeros(2, 2, dtype=torch.bool)], 1),
    }
    bare = {name: value for name, value in given.items() if not name.endswith("_mask")}
    one_mask = {name: value for name, value in padded.items() if name in ("input_ids", "text_mask", "task_rows")}
    one_mask |= {name: bare[name] for name in ("features", "boxes")}
    with torch.no_grad():
        wanted = model(**bare)
        for other in (given, padded, one_mask):
            found = model(**other)
            assert close(found.logits["answer"], wanted.logits["answer"])
            assert close(found.logits["region"][:, :4], wanted.logits["region"])
            assert close(found.words[:, :6], wanted.words)
        unmasked = model(**{name: value for name, value in padded.items() if not name.endswith("_mask")})
    assert not close(unmasked.logits["answer"], wanted.logits["answer"])  # the mask is what hides it


def test_text_and_image_meet(model: Twelve) -> None:
    given = inputs()
    with torch.no_grad():
        before = model(**given)
        other = given | {"features": given["features"].flip(0)}
        assert not close(model(**other).words, before.words)
        other = given | {"input_ids": given["input_ids"].flip(0)}
        assert not close(model(**other).regions, before.regions)


def test_pairs_repeated_give_equal_rows(model: Twelve) -> None:
    pairs = {"pair_text": torch.tensor([1, 0, 1]), "pair_image": torch.tensor([0, 1, 0])}
    given = inputs()
    with torch.no_grad():
        found = model(**given, **pairs)
        alone = model(**{name: given[name][1:] for name in ("input_ids", "task_rows")},
                      **{name: given[name][:1] for name in ("features", "boxes")})  # fmt: skip
    assert close(found.logits["answer"][0], found.logits["answer"][2])
    assert close(found.logits["answer"][:1], alone.logits["answer"])
    assert not close(found.logits["answer"][0], found.logits["answer"][1])


def test_gradients_reach_what_is_used(model: Twelve) -> None:
    model.train()
    found = model(**inputs(), outputs=("answer", "region", "word_logit", "pretraining.words", "pretraining.regions",
                                       "pretraining.alignment"))  # fmt: skip
    sum(logits.float().square().sum() for logits in found.logits.values()).backward()
    still = {name for name, parameter in model.named_parameters() if not moved(parameter)}
    assert all(name.endswith("key.bias") for name in still)  # it adds the same to all of a query's scores


def moved(parameter: Tensor) -> bool:
    return parameter.grad is not None and bool(parameter.grad.any())


def test_a_saved_model_is_the_same(model: Twelve, trunk: str, tmp_path: Path) -> None:
    model.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["trunk"] == trunk
    with torch.no_grad():
        wanted = model(**inputs()).logits
        for loaded in (Twelve.from_pretrained(tmp_path), load_network(tmp_path)):
            assert type(loaded.trunk) is TRUNKS[trunk]
            found = loaded(**inputs()).logits
            assert all(torch.equal(found[name], logits) for name, logits in wanted.items())


def test_the_trunk_shares_its_parts_with_the_model(model: Twelve) -> None:
    other = copy.deepcopy(model)
    for each in (model, other, model.double()):
        parts = dict(each.named_children())
        assert all(parts[name] is part for name, part in each.trunk.named_children())
        assert not any(name.startswith("trunk") for name in each.state_dict())
    assert next(other.parameters()) is not next(model.parameters())


def test_depth(model: Twelve, trunk: str) -> None:
    depths = {name: depth_of(name, model.config) for name, _ in model.named_parameters()}
    assert {name for name, depth in depths.items() if not depth} == {
        name for name in depths if name.startswith((*HEADS, "poolers", model.trunk.tokens))
    }
    most = model.trunk.stream_layers(model.config)
    assert depths["text.embedding.words.weight"] == most["text"] + 1 == max(depths.values())
    assert {*range(max(depths.values()) + 1)} == {*depths.values()}


@pytest.mark.parametrize("stream", ["text", "image"])
def test_freezing_from_below(model: Twelve, stream: str) -> None:
    most = model.trunk.stream_layers(model.config)[stream]
    frozen: set[str] = set()
    for count in range(most + 1):
        freeze(model, FreezeSettings(**{f"{stream}_layers": count}))
        fixed = {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
        assert f"{stream}.embedding.norm.weight" in fixed and f"{model.trunk.tokens}.weight" not in fixed
        assert frozen < fixed and all(depth_of(name, model.config) for name in fixed)
        frozen = fixed
    with pytest.raises(ConfigError, match=f"the stream has {most} layers, not {most + 1}"):
        freeze(model, FreezeSettings(**{f"{stream}_layers": most + 1}))


def test_attention_sums_to_one(model: Twelve) -> None:
    given = inputs()
    given["region_mask"][1, 2:] = False
    with torch.no_grad():
        found = model(**given, return_attention=True, outputs=("answer",))
        assert close(found.logits["answer"], model(**given, outputs=("answer",)).logits["answer"])
    steps = [name.removesuffix(".text") for name in found.attentions if name.endswith(".text")]
    assert steps
    for step in steps:
        words, regions = found.attentions[f"{step}.text"], found.attentions[f"{step}.image"]
        assert words.shape == (2, 2, 6, 4) and regions.shape == (2, 2, 4, 6)
        assert not words[1, :, :, 2:].any()
    for probabilities in found.attentions.values():
        assert close(probabilities.sum(-1), torch.ones(probabilities.shape[:-1]))


def test_it_starts_from_an_encoder(trunk: str, tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    fields = {name: value for name, value in SIZES.items() if not name.startswith(("v_", "bi_", "t_", "heads", "init"))}
    bert = BertModel(BertConfig(**fields))
    bert.save_pretrained(tmp_path)
    model = Twelve(TwelveConfig(**SIZES | text_config_from(tmp_path), trunk=trunk))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    load_text_encoder(model, tmp_path)
    changed = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    # Biases and LayerNorms of both are 0 and 1.
    assert sum("attention.query.weight" in name for name in changed) == 3
    assert torch.equal(model.trunk.words, bert.embeddings.word_embeddings.weight)
    assert model.trunk.tokens + ".weight" not in changed and not any(name.startswith("image.") for name in changed)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"))


def test_it_trains_evaluates_and_goes_on(trunk: str, root: Path, tmp_path: Path) -> None:
    tree = tiny.tree(root, tmp_path / "run", training={"iterations": 60, "eval_every": 30, "threads": 1})
    tree["tasks"] = {task: tree["tasks"][task] for task in ("vqa", "refcoco")}
    tree["model"]["architecture"] |= {"trunk": trunk}
    tree["optimizer"]["layer_decay"] = 0.95
    run = train(configuration.parse(tree), console=QUIET)
    for result in evaluate_run(run, console=QUIET):
        assert result.score.mean > result.baselines["shuffled images"].score + 10, result.task
    card = (run / "model" / "README.md").read_text()
    sizes = TRUNKS[trunk].sizes(Twelve.from_pretrained(run / "model").config)
    assert all(f"- {what}: {size}" in card for what, size in sizes.items())
    assert "- text: 2 layers of 32, 4 heads; 24 word pieces" in card and "regions of 8 features" in card
    settings = [f"init={run}", "tasks=[vqa]", f"run={tmp_path / 'more'}", "freeze.text_layers=1"]
    settings += ["training.iterations=2", "training.eval_every=2", "training.patience=null"]
    more = train(configuration.load("configs/finetune.yaml", settings), console=QUIET)
    assert Twelve.from_pretrained(more / "model").config.trunk == trunk


@pytest.mark.parametrize("trunk", sorted(TRUNKS.keys() - {"two_stream"}))
def test_it_trains_on_all_twelve_and_pretrains(trunk: str, tmp_path: Path) -> None:
    """Two streams: tests/test_contract.py, tests/training/test_pretraining_run.py."""
    root = tiny_web_captions.make(tiny_others.make(tmp_path / "root", train=12, val=4))
    tree = tiny.tree(root, tmp_path / "run", training={"iterations": 2, "eval_every": 2, "threads": 1})
    tree["tasks"] = {task: tiny_others.settings(root, task) for task in tiny_others.ALL_TASKS}
    tree["model"]["architecture"] |= {"trunk": trunk}
    run = train(configuration.parse(tree), console=QUIET)
    assert {result.task for result in evaluate_run(run, baselines=False, console=QUIET)} == {*tiny_others.ALL_TASKS}
    captions = "conceptual_captions"
    tree |= {"run": str(tmp_path / "other"), "tasks": {captions: tiny_web_captions.settings(captions)}, "sources": {}}
    model = Twelve.from_pretrained(train(configuration.parse(tree), console=QUIET) / "model")
    assert model.config.trunk == trunk and model.pretraining is not None


@pytest.fixture
def folder(trunk: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that can be asked everything, with this trunk."""
    made = TwelveConfig
    monkeypatch.setattr(tiny_model, "TwelveConfig", lambda **fields: made(**fields, trunk=trunk))
    return tiny_model.make(tmp_path / "model")


def test_it_predicts_and_explains(folder: Path) -> None:
    scene = twelve.load(folder).scene(draw(sample_scene(np.random.default_rng(1)), seed=1))
    found = scene.answer("is the ball red ?", explain=True)
    assert found.answer in tiny_model.ANSWERS and found.attention is not None
    attention = found.attention
    assert attention.connections == 2 and repr(attention).endswith("2 connections)")
    words, regions = len(attention.words), len(attention.boxes)
    for mean, shape in (
        (attention.words_to_regions(), (words, regions)),
        (attention.regions_to_words(), (regions, words)),
        (attention.words_to_regions(1, 2), (words, regions)),
    ):
        assert mean.shape == shape and mean.sum(-1) == pytest.approx(np.ones(shape[0]), abs=1e-4)
    assert attention.draw("ball") and json.dumps(attention.to_dict())
    assert scene.locate("the red ball") and scene.entails("the ball is red")


def test_it_is_exported(folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="onnx is not installed (extra export)")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed (extra export)")
    from twelve.export.export import export

    onednn_is_faster.cache_clear()  # as in a new process
    for output in ("answer", "region", "pair"):
        assert export(folder, tmp_path / output, output=output).difference < 1e-4


@pytest.mark.parametrize("name", ["two_streams", "", "TwoStream"])
def test_an_unknown_trunk(name: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=f"^trunk: expected one of two_stream, single_stream, found '{name}'"
    ) as caught:
        Network(Settings(**SIZES, trunk=name))
    assert "\n" not in str(caught.value)
    Twelve(TwelveConfig(**SIZES)).save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"trunk": name}))
    for load in (Twelve.from_pretrained, load_network):
        with pytest.raises(ConfigError, match="expected one of two_stream"):
            load(tmp_path)


def test_a_trained_model_whose_trunk_is_not_registered(tmp_path: Path) -> None:
    config = Settings(**SIZES, trunk="gated")
    config.name_or_path = str(tmp_path / "model")
    (tmp_path / "config.yaml").write_text("run: x")
    with pytest.raises(ConfigError, match=r"found 'gated' -> .* import the module that registers it") as caught:
        Network(config)
    assert f"evaluate_run(Path({str(tmp_path)!r}))" in str(caught.value) and "leave" not in str(caught.value)


def test_only_two_streams_have_a_pattern() -> None:
    with pytest.raises(ConfigError, match="must name layers from 0 to num_hidden_layers 4, found 6"):
        Settings(num_hidden_layers=4)
    assert Settings(num_hidden_layers=4, trunk="single_stream").num_hidden_layers == 4


def test_a_trunk_that_is_no_name() -> None:
    with pytest.raises(ConfigError, match="trunk must be a name, found 3"):
        Settings(trunk=3)


def test_a_folder_of_before_has_two_streams(tmp_path: Path) -> None:
    model = Twelve(TwelveConfig(**SIZES))
    model.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps({key: value for key, value in json.loads(file.read_text()).items() if key != "trunk"}))
    state = load_network(tmp_path).state_dict()
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert {name.partition(".")[0] for name in state} == {"text", "image", "connections", "poolers", "heads"}


def test_released_files_hold_two_streams() -> None:
    with pytest.raises(CheckpointError, match="no place for trunk 'single_stream'"):
        write_released(Twelve(TwelveConfig(**SIZES, trunk="single_stream")))
