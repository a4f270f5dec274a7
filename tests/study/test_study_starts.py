"""All arms of a study begin alike: parameters, data, the order of the data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from twelve import config as configuration
from twelve.data.prepare import Prepared, prepare
from twelve.microworld import make as world
from twelve.model.opening import open_saved
from twelve.model.processor import TwelveProcessor
from twelve.regions.extraction import extract as regions
from twelve.settings import RunConfig
from twelve.study import pretraining
from twelve.study.arms import Arm
from twelve.study.initialization import Beginning, of_seed, save
from twelve.study.runs import run_config
from twelve.study.worlds import draw
from twelve.training.devices import Devices
from twelve.training.trainer import Trainer

NAMES = ("flickr30k", "refcoco", "snli_ve")
SHARED = "flickr30k/9003"
"""Flickr30k is measured on this image; the other two tasks have it in their training files."""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> RunConfig:
    root = tiny.make(tmp_path_factory.mktemp("root"), train=16, val=4)
    path = root / "flickr30k" / "dataset_flickr30k.json"
    tree = json.loads(path.read_text())
    tree["images"][3]["split"] = "val"
    path.write_text(json.dumps(tree))
    run = tiny.tree(root, Path("unused"), hold_out="test")
    run["tasks"] = {name: run["tasks"][name] for name in NAMES}
    return configuration.parse(run)


@pytest.fixture(scope="module")
def begun(config: RunConfig, tmp_path_factory: pytest.TempPathFactory) -> Beginning:
    return Beginning(of_seed(config, 5, Path("unused"), worlds=False), tmp_path_factory.mktemp("seed"))


JOINT = Arm(name="joint", meaning="", models=(NAMES,))
ALWAYS = Arm(name="always-go", meaning="", models=(NAMES,), overrides={"schedule": {"name": "always-go"}})
SINGLE = Arm(name="single", meaning="", models=tuple((name,) for name in NAMES))


def of(begun: Beginning, *names: str) -> RunConfig:
    """The configuration of a run of these tasks."""
    tree = begun.config.model_dump(mode="json")
    return configuration.parse(tree | {"tasks": {name: tree["tasks"][name] for name in names}})


def start(begun: Beginning, *names: str, folder: Path | None = None) -> Any:
    return begun.start(of(begun, *names), folder or begun.folder)


def ids(data: Prepared, name: str) -> tuple[list[str], list[str]]:
    return [e.id for e in data.tasks[name].train], [e.id for e in data.tasks[name].validation]


def test_a_study_can_begin_with_a_model_that_knows_other_tasks(begun: Beginning, tmp_path: Path) -> None:
    tree = of(begun, "refcoco", "snli_ve").model_dump(mode="json")
    later = Beginning(configuration.parse(tree | {"model": {"init": str(begun.folder)}}), tmp_path / "seed")
    assert set(TwelveProcessor.from_pretrained(later.folder).left_out) == {"flickr30k"}
    model, processor, _, _ = start(later, "snli_ve")
    save(model, processor, tmp_path / "saved")
    again = open_saved(tmp_path / "saved")[1]
    assert [*again.task_outputs] == ["snli_ve"] and not again.left_out


def test_a_task_alone_begins_with_the_joint_models_parameters(begun: Beginning) -> None:
    joint = start(begun, *NAMES)[0]
    everything = joint.state_dict()
    for name in NAMES:
        model = start(begun, name)[0]
        assert list(model.heads) == [begun.data.tasks[name].task.output]
        for key, value in model.state_dict().items():
            assert torch.equal(value, everything[key]), key
        missing = everything.keys() - model.state_dict().keys()
        assert missing and all(key.startswith("heads.") for key in missing)
    again = Beginning(begun.config, begun.folder.parent)
    assert all(torch.equal(value, everything[key]) for key, value in start(again, *NAMES)[0].state_dict().items())
    other = Beginning(of_seed(begun.config, 6, Path("unused"), worlds=False), begun.folder.parent / "other")
    assert not torch.equal(start(other, *NAMES)[0].poolers.text.weight, everything["poolers.text.weight"])


def test_a_task_alone_trains_and_looks_on_the_joint_runs_examples(begun: Beginning) -> None:
    joint = prepare(begun.config)
    for name in NAMES:
        alone = start(begun, name)[2]
        assert list(alone.tasks) == [name] and ids(alone, name) == ids(joint, name)
    tree = begun.config.model_dump(mode="json")
    careless = prepare(configuration.parse(tree | {"tasks": {"refcoco": tree["tasks"]["refcoco"]}}))
    images = {image for part in (careless, joint) for e in part.tasks["refcoco"].train for image in e.images}
    assert SHARED in images  # a run of that task alone, made by hand, would train on an image that is measured
    train, validation = start(begun, "refcoco")[2].tasks["refcoco"].train, joint.tasks["refcoco"].validation
    assert SHARED not in {image for example in [*train, *validation] for image in example.images}


def trainer(begun: Beginning, folder: Path, names: tuple[str, ...], arm: Arm) -> Trainer:
    found = run_config(begun.config, begun.data, arm, folder, names, iterations=4, factor=1.0, start=begun.folder)
    model, processor, data, known = begun.start(found, begun.folder)
    return Trainer(found, data, model, processor, folder, Devices(found.training, folder), known)


def test_batches_come_in_the_same_order_with_the_same_negatives(begun: Beginning, tmp_path: Path) -> None:
    joint = trainer(begun, tmp_path, NAMES, JOINT)
    for name in NAMES:
        alone = trainer(begun, tmp_path, (name,), SINGLE)
        assert alone.streams.keys() == {name} and alone.schedule.name == "always-go"
        for _ in range(3):
            ours, theirs = (each.streams[name].next() for each in (joint, alone))
            assert [e.id for e in ours.examples] == [e.id for e in theirs.examples]
            one, other = ours.inputs(), theirs.inputs()
            assert one.keys() == other.keys()
            for key, value in one.items():
                same = torch.equal(value, other[key]) if isinstance(value, torch.Tensor) else value == other[key]
                assert same, key


def test_a_runs_configuration(begun: Beginning) -> None:
    def made(arm: Arm, names: tuple[str, ...], **more: Any) -> RunConfig:
        given: dict[str, Any] = {"iterations": 40, "factor": 2.0, "start": begun.folder} | more
        return run_config(begun.config, begun.data, arm, Path("x"), names, **given)

    joint = made(JOINT, NAMES)
    assert joint.schedule.name == "stop-and-go" and joint.optimizer.head_learning_rate == pytest.approx(12e-3)
    assert joint.tasks["snli_ve"].learning_rate == pytest.approx(12e-3) and joint.training.iterations == 40
    assert made(ALWAYS, NAMES).schedule.name == "always-go"
    short = made(SINGLE, ("refcoco",), share=0.25)
    assert list(short.tasks) == ["refcoco"] and short.schedule.name == "always-go"
    assert (short.training.iterations, short.training.eval_every) == (10, 1)


def test_learning_rates_are_those_of_the_runs_configuration(begun: Beginning, tmp_path: Path) -> None:
    """Of trunk and heads: the trainer takes the trunk's from the data."""
    run = run_config(begun.config, begun.data, JOINT, tmp_path, NAMES, iterations=4, factor=3.0, start=begun.folder)
    model, processor, data, known = begun.start(run, begun.folder)
    scaled = Trainer(run, data, model, processor, tmp_path, Devices(run.training, tmp_path), known)
    plain = trainer(begun, tmp_path, NAMES, JOINT)
    ours, theirs = ([group["lr"] for group in each.optimizer.param_groups] for each in (scaled, plain))
    assert ours == pytest.approx([3 * rate for rate in theirs])


def test_every_seed_draws_its_own_world(config: RunConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []

    def make(out: Path, seed: int, sizes: Any, *, apart: bool, draw_wordings: bool, collections: set[str]) -> None:
        made.append((out, seed, sizes.flickr30k, apart, draw_wordings, collections))

    monkeypatch.setattr(world, "make_microworld", make)
    monkeypatch.setattr(regions, "extract_root", lambda data, out: made.append((data, out)))
    tree = config.model_dump(mode="json") | {"microworld": {"scale": 0.5, "apart": True, "draw_wordings": True}}
    drawn = of_seed(configuration.parse(tree), 4, tmp_path, worlds=True)
    draw(drawn)
    data, store = tmp_path / "data", tmp_path / "regions"
    assert (drawn.seed, drawn.data, drawn.regions_folder) == (4, str(data), store)
    assert made == [(data, 4, (350, 240), True, True, {"flickr30k"}), (data, store)]
    store.mkdir()
    (store / regions.COMPLETE).touch()
    draw(drawn)
    assert len(made) == 3  # what is there is checked to be this world, and not looked at again


def test_pretraining_changes_the_trunk_alone_and_sees_no_other_image(begun: Beginning) -> None:
    arm = Arm(name="joint", meaning="", models=(NAMES,), start="pretrained")
    folder = pretraining.start(begun, arm)
    assert folder == pretraining.start(begun, arm)
    plain, trained = start(begun, *NAMES)[0].state_dict(), start(begun, *NAMES, folder=folder)[0].state_dict()
    assert plain.keys() == trained.keys()
    different = {key for key in plain if not torch.equal(plain[key], trained[key])}
    assert different and not any(key.startswith("heads.") for key in different)
    told = json.loads((begun.folder.parent / "runs" / "start-pretrained" / "trained.json").read_text())
    assert told["iterations"] == 12 and list(told["batches"]) == ["flickr30k_captions"]
    spent = pretraining.cost(begun, arm)
    assert spent is not None and (spent.iterations, spent.examples) == (12, told["examples"]["flickr30k_captions"])
    assert spent.processor_seconds is not None and spent.processor_seconds > 0
    for other in ({"pretraining": 0.5}, {"pretraining_rate": 1e-3}):
        assert pretraining.cost(begun, arm.model_copy(update=other)) is None
    assert [each["learning_rate"] for each in pretraining.caption_tasks(begun, 1e-3).values()] == [1e-3]
    held_back = json.loads((begun.folder.parent / "runs" / "start-pretrained" / "validation_images.json").read_text())
    assert SHARED in held_back["left_out"]
    validated = {image for task in begun.data.tasks.values() for e in task.validation for image in e.images}
    assert validated <= set(held_back["validation"])
