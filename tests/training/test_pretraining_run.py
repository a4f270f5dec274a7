"""Pretraining as a run: what a batch hides, losses that go down, an exact resume, and going on from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import tiny_others
import tiny_web_captions
import torch
from rich.console import Console
from safetensors.torch import load_file

from twelve import config as configuration
from twelve.data.batch import Collator
from twelve.data.examples import columns
from twelve.data.prepare import prepare
from twelve.errors import CheckpointError, ConfigError, DataError, RegionError
from twelve.formats.data_root import DataRoot
from twelve.model.pretraining import PRETRAINING_STATES, pretraining_losses
from twelve.model.processor import TwelveProcessor
from twelve.model.vilbert import Twelve
from twelve.outputs import get_output
from twelve.report.write import write_report
from twelve.runs.evaluate import evaluate_run
from twelve.runs.train import train
from twelve.tasks import base
from twelve.training.optimizer import AdamW, LearningRate, linear_schedule
from twelve.training.trainer import Trainer
from twelve.types.batch import Batch

QUIET = Console(quiet=True)
CAPTIONS = "conceptual_captions"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_web_captions.make(tiny.make(tmp_path_factory.mktemp("root")))


def tree(root: Path, run: Path, **training: Any) -> dict[str, Any]:
    made = tiny.tree(root, run, sources={}, tasks={CAPTIONS: tiny_web_captions.settings(CAPTIONS)})
    made["training"] |= {"iterations": 60, "eval_every": 30, "save_every": 30} | training
    made["optimizer"] |= {"eps": 1e-8, "betas": [0.9, 0.98], "rate_first": True}
    made["schedule"] = {"name": "always-go"}
    return made


@pytest.fixture(scope="module")
def pretrained(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(configuration.parse(tree(root, tmp_path_factory.mktemp("runs") / "run")), console=QUIET)


def steps(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [next(iter(line["losses"].values())) for line in lines if line["kind"] == "step"]


def collator_of(root: Path, model: Path, name: str = CAPTIONS) -> tuple[Collator, Any]:
    data = prepare(configuration.parse(tree(root, root / "none")))
    found = data.tasks[name]
    processor = TwelveProcessor.from_pretrained(model)
    pool = found.output.prepare(found.train, data.store.get)
    return Collator(name, found.output, "pretraining", processor, data.store, pool), found.train


def test_losses_go_down_and_it_says_how_much_has_regions(root: Path, pretrained: Path) -> None:
    losses = steps(pretrained)
    assert np.mean(losses[-8:]) < 0.8 * np.mean(losses[:8])
    assert json.loads((pretrained / "data.json").read_text())["found"] == {CAPTIONS: "16 of 24 captions have regions"}
    model = Twelve.from_pretrained(pretrained / "model")
    assert model.config.visual_target == 0 and model.config.v_target_size == tiny_web_captions.CLASSES
    assert TwelveProcessor.from_pretrained(pretrained / "model").token_rows == {CAPTIONS: 0}


def test_it_is_measured_by_finding_images(pretrained: Path) -> None:
    (result,) = evaluate_run(pretrained, console=QUIET)
    assert (
        result.metric == "R@1 of 6" and result.examples == 6 and set(result.baselines) == {"chance", "shuffled images"}
    )
    assert "Conceptual Captions" in write_report(pretrained).read_text(encoding="utf-8")


def test_resume_is_bit_identical(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trees = [tree(root, tmp_path / name, iterations=8, save_every=4, eval_every=4) for name in ("whole", "cut")]
    whole = train(configuration.parse(trees[0]), console=QUIET)
    step, calls = Trainer._step, 0

    def killed(self: Trainer, name: str) -> float:
        nonlocal calls
        calls += 1
        if calls == 7:
            raise KeyboardInterrupt
        return step(self, name)

    monkeypatch.setattr(Trainer, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        train(configuration.parse(trees[1]), console=QUIET)
    monkeypatch.undo()
    cut = train(configuration.parse(trees[1]), resume=True, console=QUIET)
    assert steps(whole) == steps(cut)
    states = [load_file(run / "model" / "model.safetensors") for run in (whole, cut)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_rate_goes_on_before_the_step(accumulate: int) -> None:
    """As the original's pretraining: the first step has f(1), the last one f(total) = 0."""
    optimizer = AdamW([{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 1.0}])
    rate = LearningRate.over(optimizer, iterations=10 * accumulate, warmup=0.2, accumulate=accumulate, first=True)
    used = []
    for iteration in range(10 * accumulate):
        if iteration == 4:  # goes on from a checkpoint
            state = rate.state_dict()
            rate = LearningRate.over(
                optimizer, iterations=10 * accumulate, warmup=0.2, accumulate=accumulate, first=True
            )
            rate.load_state_dict(state)
        rate.start_iteration(iteration)
        for _task in range(2):
            if rate.due(iteration):
                used.append(rate.value)
                rate.after_step()
    assert used == [linear_schedule(step, 2, 10) for step in range(1, 11) for _task in range(2)]


# --- a batch ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def batch(root: Path, pretrained: Path) -> Batch:
    collator, examples = collator_of(root, pretrained / "model")
    return collator(list(examples) * 4, np.random.default_rng(5))


def test_half_of_the_pairs_do_not_match(batch: Batch) -> None:
    mismatched = batch.targets["mismatched"].bool()
    assert batch.pair_text is None and batch.pair_image is None and batch.pairs == len(batch.examples)
    assert 0.3 < mismatched.double().mean() < 0.7
    assert batch.hidden_words is not None and batch.hidden_regions is not None
    assert not batch.hidden_words[mismatched].any() and not batch.hidden_regions[mismatched].any()
    assert batch.hidden_words.any() and batch.hidden_regions.any()
    # What is hidden differs between two examples of one image.
    assert len({row.numpy().tobytes() for row in batch.hidden_regions}) > 2


def test_targets_are_what_was_hidden(root: Path, batch: Batch, pretrained: Path) -> None:
    targets, hidden = batch.targets, batch.hidden_regions
    assert hidden is not None and batch.hidden_words is not None
    assert len(targets["words"]) == len(targets["word_pair"]) == int(batch.hidden_words.sum())
    rows, places = hidden.nonzero().T
    for row, place, classes, feature in zip(
        rows.tolist(), places.tolist(), targets["region_classes"], targets["region_features"], strict=True
    ):
        own = batch.regions[row]
        assert own.class_probabilities is not None and own.features is not None
        assert np.array_equal(classes.numpy(), own.class_probabilities[place].astype(np.float32))
        assert np.array_equal(feature.numpy(), own.features[place])
    assert targets["region_pair"].tolist() == rows.tolist()
    processor = TwelveProcessor.from_pretrained(pretrained / "model")
    for pair, piece in zip(targets["word_pair"].tolist(), targets["words"].tolist(), strict=True):
        assert processor.tokens([piece])[0] in batch.examples[pair].text.split()


def test_heads_at_hidden_positions_are_the_heads_everywhere(batch: Batch, pretrained: Path) -> None:
    """The loss of a run is that of the recordings' function, from the same states."""
    model = Twelve.from_pretrained(pretrained / "model").eval()
    inputs = batch.inputs()
    hidden_words, hidden_regions = inputs.pop("hidden_words"), inputs.pop("hidden_regions")
    assert hidden_words is not None and hidden_regions is not None
    word_labels = torch.full(hidden_words.shape, -1).masked_scatter(hidden_words, batch.targets["words"])
    classes = torch.zeros(*hidden_regions.shape, tiny_web_captions.CLASSES)
    classes[hidden_regions] = batch.targets["region_classes"]
    with torch.no_grad():
        ours = model(**batch.inputs(), outputs=("pretraining",)).logits["pretraining"]
        wanted = pretraining_losses(
            model.pretraining,
            model(**inputs, outputs=PRETRAINING_STATES),
            embedding=model.text.embedding.words.weight,
            has_task=model.config.task_specific_tokens,
            word_labels=word_labels,
            region_labels=hidden_regions.long(),
            region_targets=classes,
            mismatched=batch.targets["mismatched"],
        )
        found = get_output("pretraining").terms(ours, batch.targets)  # type: ignore[attr-defined]
    for name in ("words", "regions", "alignment"):
        assert torch.allclose(getattr(found, name), getattr(wanted, name), atol=1e-6), name
    scores = get_output("pretraining").score(ours, batch.targets)
    assert scores.shape == (batch.pairs,) and ((scores >= 0) & (scores <= 1)).all() and len(scores.unique()) > 2


def test_how_many_processes_divide_a_batch_changes_nothing(root: Path, pretrained: Path) -> None:
    collator, examples = collator_of(root, pretrained / "model")
    examples = list(examples)[:10]
    whole = collator(examples, np.random.default_rng(1))
    for start in range(3):
        part = slice(start, None, 3)
        own = collator(examples, np.random.default_rng(1), part)
        for name in ("features", "hidden_regions"):
            assert torch.equal(getattr(own, name), getattr(whole, name)[part])
        assert torch.equal(own.targets["mismatched"], whole.targets["mismatched"][part])
        length = own.input_ids.shape[1]
        assert torch.equal(own.input_ids, whole.input_ids[part][:, :length])


def test_without_another_caption_no_pair_can_be_mismatched() -> None:
    examples = [base.Example(str(n), "the same words", (f"cc/{n}",)) for n in range(8)]
    with pytest.raises(ConfigError, match="no caption of another image than cc/"):
        get_output("pretraining").pairs(examples, np.random.default_rng(0), examples)


# --- what it is trained on and goes on to -------------------------------------------------------------------------


def test_multi_task_training_goes_on_from_it(root: Path, pretrained: Path, tmp_path: Path) -> None:
    made = tiny.tree(root, tmp_path / "run")
    made["tasks"] = {name: made["tasks"][name] for name in ("vqa", "flickr30k")}
    made["model"] = {"init": str(pretrained)}
    made["training"] |= {"iterations": 2}
    made["sources"] = {}
    run = train(configuration.parse(made), console=QUIET)
    before, after = (Twelve.from_pretrained(folder / "model") for folder in (pretrained, run))
    assert after.pretraining is None and set(after.config.heads) == {"answer", "alignment"}
    old, new = before.state_dict(), after.state_dict()
    assert {name for name in old if name not in new} == {name for name in old if name.startswith("pretraining.")}
    near = [name for name in new if name in old and torch.allclose(new[name], old[name], atol=0.1)]
    assert len(near) == len([name for name in new if not name.startswith("heads.")])
    processor = TwelveProcessor.from_pretrained(run / "model")
    assert processor.token_rows == {"vqa": 1, "flickr30k": 8} and CAPTIONS not in processor.task_outputs


def test_a_pretrained_model_without_task_tokens_gets_them(root: Path, pretrained: Path, tmp_path: Path) -> None:
    """The released pretrained model has none."""
    settings = Twelve.from_pretrained(pretrained / "model").config
    settings.task_specific_tokens = False
    bare = Twelve(settings)
    bare.save_pretrained(tmp_path / "bare")
    TwelveProcessor.from_tokenizer(root / "tokenizer").save_pretrained(tmp_path / "bare")
    made = tiny.tree(root, tmp_path / "run", sources={}, model={"init": str(tmp_path / "bare")})
    made["tasks"] = {"vqa": made["tasks"]["vqa"]}
    made["training"] |= {"iterations": 1}
    model = Twelve.from_pretrained(train(configuration.parse(made), console=QUIET) / "model")
    assert model.text.embedding.tasks is not None and model.pretraining is None
    assert torch.allclose(model.text.embedding.words.weight, bare.text.embedding.words.weight, atol=0.1)


@pytest.mark.parametrize("asked", [None, "head", "none"])
def test_task_tokens_are_chosen_anew_after_pretraining(asked: str | None, root: Path, tmp_path: Path) -> None:
    """Whatever the pretrained model had: here none."""
    made = tree(root, tmp_path / "first", iterations=1)
    made["model"] |= {"task_tokens": "none"}
    first = train(configuration.parse(made), console=QUIET)
    assert TwelveProcessor.from_pretrained(first / "model").token_rows == {}
    made = tiny.tree(root, tmp_path / "run", sources={}, model={"init": str(first), "task_tokens": asked})
    made["tasks"] = {"vqa": made["tasks"]["vqa"]}
    made["training"] |= {"iterations": 1}
    run = train(configuration.parse(made), console=QUIET) / "model"
    processor, model = TwelveProcessor.from_pretrained(run), Twelve.from_pretrained(run)
    assert processor.task_tokens == (asked or "dataset")
    assert model.config.task_specific_tokens == (asked != "none") == ("vqa" in processor.token_rows)


def test_regions_of_another_extractor_are_refused(root: Path, pretrained: Path, tmp_path: Path) -> None:
    made = tiny.tree(root, tmp_path / "run", regions=str(tmp_path / "regions"), sources={})
    made["tasks"] = {"vqa": made["tasks"]["vqa"]}
    made["model"] = {"init": str(pretrained)}
    tiny.write_regions(tmp_path / "regions", {f"coco/{n}": n for n in range(40)}, fingerprint="another")
    with pytest.raises(RegionError, match="another"):
        train(configuration.parse(made), console=QUIET)


def borrowing(root: Path, run: Path, **mine: Any) -> dict[str, Any]:
    made = tree(root, run, iterations=2, eval_every=2, save_every=2)
    made["tasks"] = {
        "mine": {"kind": "pretraining", "captions": "flickr30k", "test_split": "val", "batch_size": 8} | mine
    }
    made["tasks"]["mine"]["max_text"] = 12
    return made


def test_captions_of_a_task_lose_the_images_that_any_task_is_measured_on(root: Path, tmp_path: Path) -> None:
    config = configuration.parse(borrowing(root, tmp_path / "run"))
    data = prepare(config)
    images = {
        image for part in (data.tasks["mine"].train, data.tasks["mine"].validation) for e in part for image in e.images
    }
    assert len(images) == 24
    entailment = root / "snli_ve" / "snli_ve_test.jsonl"
    row = json.loads((root / "snli_ve" / "snli_ve_dev.jsonl").read_text().splitlines()[0])
    measured = row | {"Flickr30K_ID": "9003", "pairID": "9003.jpg#0", "captionID": "9003.jpg#0"}
    tiny.write_lines(entailment, [measured])
    try:
        data = prepare(config)
    finally:
        entailment.unlink()
    left = set(columns.distinct_images(data.tasks["mine"].train, data.tasks["mine"].validation))
    assert images - left == {"flickr30k/9003"}
    assert data.cleaned.removed["mine"].images_after == 23


def test_regions_without_classes_are_asked_for_their_features(root: Path, tmp_path: Path) -> None:
    run = train(configuration.parse(borrowing(root, tmp_path / "run")), console=QUIET)
    model = Twelve.from_pretrained(run / "model")
    assert model.config.visual_target == 1 and model.config.v_target_size == tiny.FEATURES
    assert evaluate_run(run, baselines=False, console=QUIET)[0].task == "mine"
    made = borrowing(root, tmp_path / "other")
    made["model"]["architecture"]["visual_target"] = 0
    with pytest.raises(RegionError, match=r"\[flickr30k\].*no distribution over classes.*--class-probabilities"):
        train(configuration.parse(made), console=QUIET)
    made["model"]["architecture"]["visual_target"] = 2
    with pytest.raises(ConfigError, match="no loss is offered for visual_target 2"):
        train(configuration.parse(made), console=QUIET)
    made["model"]["architecture"] |= {"visual_target": 1, "v_target_size": 5}
    with pytest.raises(ConfigError, match="v_target_size is 5, pretraining on these regions needs 8"):
        train(configuration.parse(made), console=QUIET)


def test_hidden_regions_stay_of_one_kind(root: Path, pretrained: Path, tmp_path: Path) -> None:
    made = borrowing(root, tmp_path / "run")
    made["model"] = {"init": str(pretrained)}
    with pytest.raises((CheckpointError, RegionError)):
        train(configuration.parse(made), console=QUIET)


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        ({"captions": "vqa"}, r"tasks\.mine\.captions.*'vqa' has no captions.*choose among coco, flickr30k"),
        ({"captions": "flicker30k"}, r"'flicker30k' is not a task.*flickr30k"),
        ({"kind": "retrieval"}, r"tasks\.mine\.captions.*only pretraining tasks can borrow captions"),
        ({"images": "flickr30k"}, r"tasks\.mine\.images.*borrowed captions bring their images"),
    ],
)
def test_captions_that_cannot_be_borrowed(root: Path, tmp_path: Path, mine: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        configuration.parse(borrowing(root, tmp_path / "run", **mine))
    assert re.search(said, f"{caught.value.record} {caught.value}")


def test_pretraining_beside_the_tasks(root: Path, tmp_path: Path) -> None:
    """One trainer for all: hidden words and regions may be one task among others."""
    made = borrowing(root, tmp_path / "run")
    made["tasks"]["vqa"] = tiny_others.settings(root, "vqa")
    del made["model"]["architecture"]["vocab_size"]
    run = train(configuration.parse(made), console=QUIET)
    model = Twelve.from_pretrained(run / "model")
    assert set(model.config.heads) == {"answer"} and model.pretraining is not None
    assert model.config.vocab_size == len(tiny.WORDS)  # the tokenizer's
    assert TwelveProcessor.from_pretrained(run / "model").own_words == {}  # no question is one of "mine"


# --- the files ------------------------------------------------------------------------------------------------------


def written(tmp_path: Path, text: str, names: str | None = None) -> list[base.Example]:
    folder = tmp_path / CAPTIONS
    folder.mkdir(exist_ok=True)
    (folder / "Train_GCC-training.tsv").write_bytes(text.encode())
    if names is not None:
        (folder / "train_images.tsv").write_text(names)
    return base.get(CAPTIONS).read(DataRoot(tmp_path), "train")


def test_rows_are_numbered_as_downloads_are(tmp_path: Path) -> None:
    plain = written(tmp_path, "a dog\thttp://a/1\n a cat \thttp://a/2\r\n\nlast\thttp://a/3")
    assert [example.images for example in plain] == [("cc/000000000",), ("cc/000000001",), ("cc/000000002",)]
    assert [example.text for example in plain] == ["a dog", "a cat", "last"]
    assert written(tmp_path, "caption\turl\na dog\thttp://a/1\n")[0].images == ("cc/000000000",)
    named = written(tmp_path, "a dog\thttp://a/1\na cat\thttp://a/2\n", "http://a/2\tshard/777.jpg\n")
    assert [example.images[0] for example in named] == ["cc/unnamed-000000000", "cc/777"]


@pytest.mark.parametrize(
    ("text", "place", "said"),
    [
        ("a dog\thttp://a/1\njust words\n", "line 2", "expected two text columns .* found 1"),
        ("a dog\thttp://a/1\tmore\n", "line 1", "expected two text columns .* found 3"),
        ("a dog\thttp://a/1\n\thttp://a/2\n", "line 2", "found an empty one"),
        ("a dog\t \n", "line 1", "found an empty one"),
        ("a d\0g\thttp://a/1\n", "line 1", "found"),
        ("\n\n", None, "no example"),
    ],
)
def test_malformed_rows(tmp_path: Path, text: str, place: str | None, said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        written(tmp_path, text)
    assert caught.value.record == place and str(caught.value.file).endswith("Train_GCC-training.tsv")


def test_captions_none_of_which_has_regions(root: Path, tmp_path: Path) -> None:
    made = tree(root, tmp_path / "run")
    made["regions"] = str(tmp_path / "regions")
    tiny.write_regions(tmp_path / "regions", {"coco/1": 1})
    with pytest.raises(RegionError, match=r"none of 24 images of conceptual_captions has regions.*cc/000000000"):
        prepare(configuration.parse(made))
