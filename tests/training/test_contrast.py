"""The contrast head in training: its loss, with the tasks and added afterwards, interrupted and resumed."""

from __future__ import annotations

import json
import math
import shlex
import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_own
import torch
from rich.console import Console
from safetensors.torch import load_file

from twelve import config as configuration
from twelve.data.batch import Collator
from twelve.data.prepare import prepare
from twelve.errors import CheckpointError, ConfigError
from twelve.evaluation.results import TaskResult
from twelve.model.checkpoints import write_released
from twelve.model.precision import for_predicting
from twelve.model.processor import TwelveProcessor
from twelve.model.vectors import image_vectors, similarities, text_vectors
from twelve.model.vilbert import Twelve
from twelve.outputs.parts.contrast import Vectors, belonging, contrastive_loss, distillation_loss
from twelve.outputs.parts.neighbours import HardPool, HardRows
from twelve.predictor.abilities import check_head
from twelve.predictor.loading import check_contrast
from twelve.run_folder import RunFolder, model_folder
from twelve.runs.evaluate import evaluate_run
from twelve.runs.results_table import protocol_line
from twelve.runs.train import train
from twelve.settings import RunConfig
from twelve.training.contrast import hard_rows
from twelve.training.trainer import Trainer
from twelve.types.examples import Example

CAPTIONS = "the head learns from captions, which this model's tasks do not have"
QUIET = Console(quiet=True)
TASKS = ("flickr30k", "snli_ve")


# --- the loss -----------------------------------------------------------------------------------------------------
def test_infonce_is_the_mean_of_both_directions() -> None:
    scores = torch.randn(4, 4, dtype=torch.float64)
    target = torch.arange(4)
    plain = torch.nn.functional.cross_entropy
    wanted = (plain(scores, target) + plain(scores.T, target)) / 2
    assert torch.allclose(contrastive_loss(scores, torch.eye(4, dtype=torch.bool)), wanted)


def test_captions_of_one_image_are_never_its_negatives() -> None:
    """Texts 0 and 1 belong to image 0, text 2 to image 1, text 3 to none."""
    own = torch.tensor([[1, 0], [1, 0], [0, 1], [0, 0]], dtype=torch.bool)
    scores = torch.randn(4, 2, dtype=torch.float64, requires_grad=True)
    loss = contrastive_loss(scores, own)

    def choice(right: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        return torch.stack([right, *others]).logsumexp(0) - right

    s = scores
    to_image = [choice(s[0, 0], s[0, 1]), choice(s[1, 0], s[1, 1]), choice(s[2, 1], s[2, 0])]
    to_text = [
        choice(s[0, 0], s[2, 0], s[3, 0]),  # not s[1, 0]
        choice(s[1, 0], s[2, 0], s[3, 0]),
        choice(s[2, 1], s[0, 1], s[1, 1], s[3, 1]),
    ]
    wanted = (torch.stack(to_image).mean() + torch.stack(to_text).mean()) / 2
    assert torch.allclose(loss, wanted)
    loss.backward()
    assert (scores.grad[own] < 0).all() and (scores.grad[~own] > 0).all()  # type: ignore[index]


def test_without_negatives_nothing_is_learnt() -> None:
    scores = torch.randn(2, 1, requires_grad=True)
    loss = contrastive_loss(scores, torch.ones(2, 1, dtype=torch.bool))
    loss.backward()
    assert float(loss.detach()) == 0 and scores.grad is not None and not scores.grad.any()
    assert float(contrastive_loss(torch.randn(2, 2), torch.zeros(2, 2, dtype=torch.bool))) == 0


def test_distillation_learns_the_choice_of_the_joint_model() -> None:
    similar = torch.randn(3, 2, requires_grad=True)
    matching = torch.randn(4, 1, requires_grad=True)
    text, image = torch.tensor([0, 1, 2, 0]), torch.tensor([0, 0, 1, 1])
    loss = distillation_loss(similar, matching, text, image, 2)
    shares = matching.detach().reshape(2, 2).softmax(1)
    chosen = torch.stack([similar[0, 0], similar[1, 0], similar[2, 1], similar[0, 1]]).reshape(2, 2)
    assert torch.allclose(loss, -(shares * chosen.log_softmax(1)).sum(1).mean())
    loss.backward()
    assert similar.grad is not None and matching.grad is None
    same = matching.detach().flatten()[:2]
    diagonal = torch.stack([same, same])
    assert torch.allclose(
        distillation_loss(diagonal, same, None, None, 1), distillation_loss(diagonal, same, *[torch.arange(2)] * 2, 1)
    )


def test_a_pair_is_as_similar_as_words_and_their_closest_regions() -> None:
    text, image = (torch.randn(count, 4, 6, dtype=torch.float64, requires_grad=True) for count in (2, 3))
    words, regions = [4, 2], [1, 4, 3]
    masks = [torch.arange(4) < torch.tensor(lengths)[:, None] for lengths in (words, regions)]
    found = Vectors(text, image, *masks, torch.tensor([5.0])).similarities()
    for row, length in enumerate(words):
        for column, count in enumerate(regions):
            products = text[row, :length] @ image[column, :count].T
            assert torch.allclose(found[row, column], 5 * products.max(1).values.mean())
    whole = Vectors(text[:1], image[1:2], None, None, torch.tensor([5.0])).similarities()
    assert torch.allclose(whole, found[:1, 1:2])
    found.sum().backward()
    assert text.grad is not None and text.grad[masks[0]].any(1).all() and not text.grad[~masks[0]].any()
    assert image.grad is not None and not image.grad[~masks[1]].any()


def test_what_belongs_together() -> None:
    examples = [Example("1", "a", ("x",)), Example("2", "b", ("x",)), Example("3", "c", ("y",))]
    texts, images = ["a", "b", "c", "d"], ["x", "y"]
    own = [[True, False], [True, False], [False, True], [False, False]]
    assert belonging(texts, images, examples, None).tolist() == own
    pool = HardPool(("x", "y"), [("a", "b"), ("c", "d", "a")], np.zeros((2, 1), np.int32))
    own[3][1] = own[0][1] = True  # captions of the training set that are not examples of this batch
    assert belonging(texts, images, examples, pool).tolist() == own


# --- runs ---------------------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.make(tmp_path_factory.mktemp("root"), train=12, val=4)


def parsed(root: Path, run: Path, **changes: Any) -> RunConfig:
    tree = tiny.tree(root, run)
    tree |= {"tasks": {task: tree["tasks"][task] for task in TASKS}, "sources": {}}
    tree["training"] |= {"iterations": 8, "save_every": 4, "eval_every": 4}
    return configuration.parse(tree | changes)


CONTRAST = {"size": 16}


@pytest.fixture(scope="module")
def plain(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(parsed(root, tmp_path_factory.mktemp("runs") / "plain"), console=QUIET)


@pytest.fixture(scope="module")
def joint(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(parsed(root, tmp_path_factory.mktemp("runs") / "joint", contrast=CONTRAST), console=QUIET)


def weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def test_it_is_off_by_default(plain: Path, joint: Path) -> None:
    more = weights(joint).keys() - weights(plain).keys()
    assert more and all(name.startswith("contrast.") for name in more) and not weights(plain).keys() - weights(joint)
    assert json.loads((plain / "model" / "config.json").read_text())["contrast"] == 0
    record = json.loads((plain / "checkpoints" / "step-0000008" / "state.json").read_text())["state"]["record"]
    assert "contrast" not in record["settings"]  # runs begun before it existed are resumed


def test_it_trains_with_the_rest(joint: Path) -> None:
    model = Twelve.from_pretrained(joint / "model")
    assert model.contrast is not None and model.contrast.log_scale.item() != pytest.approx(math.log(1 / 0.07))
    losses = [line["losses"]["flickr30k"] for line in logged(joint, "step")]
    assert losses[-1] < losses[0]


def trained(run: Path) -> dict[str, torch.Tensor]:
    """Weights and optimizer states at the end, whichever model was kept."""
    return load_file(run / "checkpoints" / "step-0000008" / "tensors.safetensors")


def logged(run: Path, kind: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    return [line for line in lines if line["kind"] == kind]


def cut_short(monkeypatch: pytest.MonkeyPatch, config: RunConfig) -> None:
    """Train until the sixth iteration."""
    step, calls = Trainer._step, 0

    def fails(self: Trainer, name: str) -> float:
        nonlocal calls
        calls += 1
        if calls > 11:
            raise KeyboardInterrupt
        return step(self, name)

    monkeypatch.setattr(Trainer, "_step", fails)
    with pytest.raises(KeyboardInterrupt):
        train(config, console=QUIET)
    monkeypatch.undo()


def test_it_is_resumed_exactly(root: Path, joint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = parsed(root, tmp_path / "cut", contrast=CONTRAST)
    cut_short(monkeypatch, config)
    cut = trained(train(config, resume=True, console=QUIET))
    assert all(torch.equal(value, cut[name]) for name, value in trained(joint).items())


def test_hard_negatives_are_drawn_by_probability() -> None:
    hard = HardRows(np.array([[1, 2], [0, 2], [0, 1]], np.int32), np.array([[0.8, 0.2]] * 3), 1.0)
    captions = [("a", "b"), ("c",), ("d", "a")]
    pool = HardPool(("x", "y", "z"), captions, np.array([[2], [2], [0]], np.int32), hard)
    rng = np.random.default_rng(0)
    drawn = [pool.lookalike("a", "x", rng) for _ in range(400)]
    share = sum(found == ("c", "y") for found in drawn) / len(drawn)
    assert 0.75 < share < 0.85 and {found for found in drawn if found != ("c", "y")} == {("d", "z")}  # "a" is its own
    never = replace(pool, hard=replace(hard, probability=0.0))
    assert {never.lookalike("a", "x", rng) for _ in range(20)} == {("d", "z")}


def test_the_head_chooses_the_most_similar_captions_of_others(root: Path, joint: Path, tmp_path: Path) -> None:
    model, config = Twelve.from_pretrained(joint / "model"), parsed(root, tmp_path / "run", contrast=CONTRAST)
    task = prepare(config).tasks["flickr30k"]
    processor = TwelveProcessor.from_pretrained(joint / "model")
    pool = task.output.prepare(task.train, prepare(config).store.get)
    collator = Collator("flickr30k", task.output, "alignment", processor, prepare(config).store, pool, contrast=True)
    rows, shares = hard_rows(model.eval(), collator)
    others = len(pool.images) - 1
    assert rows.shape == shares.shape == (others + 1, others) and (shares > 0).all()
    assert all(row not in own and len(set(own)) == others for row, own in enumerate(rows.tolist()))
    assert shares.sum(1) == pytest.approx(1) and (shares[:, :-1] >= shares[:, 1:]).all()
    image = image_vectors(model, collator, pool.images[:1])
    vectors = [text_vectors(model, collator, list(captions)) for captions in pool.captions]
    similar = torch.stack([similarities(texts, image).mean(0) for texts in vectors], dim=1)
    assert float(similar[0, rows[0, 0]]) == pytest.approx(float(similar[0, 1:].max()), abs=1e-5)
    assert float(similar[0, rows[0, -1]]) == pytest.approx(float(similar[0, 1:].min()), abs=1e-5)


def test_with_its_negatives_a_run_is_resumed_exactly(
    root: Path, joint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hard = {"size": 16, "hard_negatives": 1.0, "refresh": 3}  # 4 is resumed from, with what was chosen before 3
    whole = trained(train(parsed(root, tmp_path / "whole", contrast=hard), console=QUIET))
    assert any(not torch.equal(value, whole[name]) for name, value in trained(joint).items())
    config = parsed(root, tmp_path / "cut", contrast=hard)
    cut_short(monkeypatch, config)
    assert (tmp_path / "cut" / "checkpoints" / "step-0000004").is_dir()
    cut = trained(train(config, resume=True, console=QUIET))
    assert all(torch.equal(value, cut[name]) for name, value in whole.items())
    config = parsed(root, tmp_path / "ahead", contrast=hard)  # batches built ahead by processes have the new negatives
    ahead = config.model_copy(update={"training": config.training.model_copy(update={"workers": 1})})
    built = trained(train(ahead, console=QUIET))
    assert all(torch.equal(value, built[name]) for name, value in whole.items())


def test_vectors_in_half_precision(root: Path, joint: Path, tmp_path: Path) -> None:
    model, config = Twelve.from_pretrained(joint / "model"), parsed(root, tmp_path / "run", contrast=CONTRAST)
    data, processor = prepare(config), TwelveProcessor.from_pretrained(joint / "model")
    collator = Collator("flickr30k", data.tasks["flickr30k"].output, "alignment", processor, data.store)
    images = [example.images[0] for example in data.tasks["flickr30k"].train]
    half = for_predicting(model, "bf16")
    for vectors, given in ((text_vectors, ["a red square", "blue"]), (image_vectors, images)):
        whole, rounded = (vectors(each, collator, given).vectors for each in (model.eval(), half))
        assert not torch.equal(whole, rounded) and float((whole * rounded).sum(1).min()) > 0.99


def added(begun: Path, run: Path, *settings: str) -> RunConfig:
    short = ["training.epochs=60", "training.eval_every=20", "tasks.flickr30k.batch_size=16", "contrast.size=16"]
    names = ["tasks=[flickr30k]", f"init={begun}", f"run={run}", "training.threads=1"]
    return configuration.load("configs/contrast.yaml", [*names, *short, *settings])


@pytest.mark.parametrize("distill", [0, 1])
def test_added_afterwards_it_leaves_the_model_as_it_is(plain: Path, tmp_path: Path, distill: float) -> None:
    run = train(added(plain, tmp_path / "run", f"contrast.distill={distill}"), console=QUIET)
    before, after = weights(plain), weights(run)
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    processors = [json.loads((each / "model" / "processor_config.json").read_text()) for each in (plain, run)]
    assert processors[0]["temperatures"] == processors[1]["temperatures"]
    assert not logged(run, "kept")  # the head has no score of before that its own could be compared with
    scores = [line["score"] for line in logged(run, "validation")]
    assert max(scores) >= 0.4  # of four images of three colours
    assert {result.task for result in evaluate_run(run, console=QUIET)} == {"flickr30k"}


def refused(run: Path) -> str:
    """The remedy that a search with this run names."""
    with pytest.raises(ConfigError, match="the model has no contrast head -> ") as caught:
        check_contrast(model_folder(run))
    return str(caught.value.remedy)


def test_a_search_without_the_head_names_a_command_that_adds_it(root: Path, tmp_path: Path) -> None:
    """Also to a run on captions of one's own."""
    own = {"mine": tiny_own.settings(root, "retrieval", 12, 4), "others": tiny_own.settings(root, "answer", 12, 4)}
    begun = train(parsed(root, tmp_path / "my run", tasks=own, contrast=None), console=QUIET)
    words = shlex.split(refused(begun).removeprefix("add one: "))
    settings = [after for before, after in pairwise(words) if before == "--set"]
    assert words[:3] == ["twelve", "train", "configs/contrast.yaml"] and settings == [f"init={begun}", "tasks=[mine]"]
    short = ["training.epochs=1", "contrast.size=16", "training.threads=1", f"run={tmp_path / 'added'}"]
    check_contrast(model_folder(train(configuration.load(words[2], [*settings, *short]), console=QUIET)))
    moved = shutil.copytree(begun / "model", tmp_path / "alone")  # the data of a model by itself are not known
    assert refused(moved) == "search without --index, --shortlist and --contrast-weight; " + CAPTIONS


def test_a_search_without_captions_to_learn_from_names_no_command(
    root: Path, plain: Path, joint: Path, tmp_path: Path
) -> None:
    alone = shutil.copytree(plain / "model", tmp_path / "alone")
    assert refused(alone).endswith(f"--set init={alone} --set data=DATA --set 'tasks=[flickr30k]'")
    without = "search without --index, --shortlist and --contrast-weight"
    own = {"mine": tiny_own.settings(root, "answer", 12, 4)}
    for name, begun, told in (
        ("from plain", plain, without),
        ("from joint", joint, f"{without}, or with the model that this run began with, which has the head: {joint}"),
        ("from gone", tmp_path / "gone", without),
    ):
        model = parsed(root, tmp_path / name, tasks=own, contrast=None)
        changed = model.model.model_copy(update={"init": str(begun)})
        model.model_copy(update={"model": changed}).write(RunFolder(tmp_path / name).config)
        shutil.copytree(plain / "model", tmp_path / name / "model")
        assert refused(tmp_path / name) == f"{told}; {CAPTIONS}"


def test_a_measurement_names_its_shortlist(joint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(**options: Any) -> TaskResult:
        return evaluate_run(joint, tasks=["flickr30k"], console=QUIET, **options)[0]

    exact, short = measured(), measured(settings=["evaluation.shortlist=2"])
    assert exact.protocol.shortlist is None and "shortlist" not in protocol_line(exact)
    assert short.protocol.shortlist == 2 and "shortlists of 2 by the contrast head" in protocol_line(short)
    assert not any("shortlist" in name for result in (exact, short) for name in result.metrics)
    both_logits = measured(settings=["evaluation.contrast_weight=1"])
    assert both_logits.protocol.contrast_weight == 1 and exact.protocol.contrast_weight == 0
    assert "with 1 times the contrast head's logit" in protocol_line(both_logits)
    monkeypatch.setattr("twelve.evaluation.galleries.PLACES", 2)  # of four images
    both = measured()
    assert both.metrics["R@1 of 4"] == exact.metrics["R@1 of 4"] and both.protocol.shortlist is None
    assert 50 <= both.metrics["exact top 10 in shortlists of 2"] <= 100


def test_it_is_not_exported(joint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"head is not exported: .* -> export one of alignment, entailment"):
        check_head("contrast", Twelve.from_pretrained(joint / "model").config.heads, joint)


def test_a_run_without_it_drops_it(joint: Path, tmp_path: Path) -> None:
    settings = [f"init={joint}", f"run={tmp_path / 'run'}", "tasks=[snli_ve]", "training.epochs=1"]
    run = train(configuration.load("configs/finetune.yaml", [*settings, "training.threads=1"]), console=QUIET)
    assert Twelve.from_pretrained(run / "model").contrast is None


def test_refusals(root: Path, plain: Path, joint: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none of the tasks matches captions .* -> add one of .*flickr30k"):
        tree = tiny.tree(root, tmp_path / "run", contrast={}, sources={})
        configuration.parse(tree | {"tasks": {"snli_ve": tree["tasks"]["snli_ve"]}})
    with pytest.raises(ConfigError, match="unknown key"):
        parsed(root, tmp_path / "run", contrast={"sizes": 16})
    with pytest.raises(CheckpointError, match=r"vectors of 16 numbers, not 32 -> --set contrast.size=16"):
        train(added(joint, tmp_path / "run", "contrast.size=32"), console=QUIET)
    with pytest.raises(ConfigError, match="snli_ve does not train it"):
        train(added(plain, tmp_path / "run", "tasks=[flickr30k,snli_ve]"), console=QUIET)
    with pytest.raises(ConfigError, match="contrast follows from the contrast section"):
        config = parsed(root, tmp_path / "run")
        architecture = {**config.model.architecture, "contrast": 16}
        model = config.model.model_copy(update={"architecture": architecture})
        train(config.model_copy(update={"model": model}), console=QUIET)
    with pytest.raises(CheckpointError, match="the released format has no place for the contrast head"):
        write_released(Twelve.from_pretrained(joint / "model"))
