"""Configurations: strict, with errors that name the nearest key."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from twelve import cli, config
from twelve.errors import ConfigError
from twelve.io.yaml_text import read_yaml
from twelve.meant import MEANT
from twelve.renamed import KEYS, TASK
from twelve.settings import TaskSettings

MINIMAL = {"run": "r", "data": "d", "tasks": ["vqa", "snli_ve"]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"trainig": {}}, ["trainig", '"training"']),
        ({"tasks": {"vqa": {"batchsize": 3}}}, ["tasks.vqa.batchsize", '"tasks.vqa.batch_size"']),
        ({"tasks": ["vqaa"]}, ["vqaa", '"vqa"']),
        ({"training": {"epochs": "many"}}, ["training.epochs"]),
        ({"hold_out": "val"}, ["hold_out"]),
        ({"val_fraction": 0.0}, ["val_fraction"]),
    ],
)
def test_mistakes_are_named(change: dict[str, object], words: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        config.parse(MINIMAL | change)
    for word in words:
        assert word in str(caught.value)


def test_missing_key_is_named() -> None:
    with pytest.raises(ConfigError, match="data"):
        config.parse({"run": "r", "tasks": ["vqa"]})


def test_settings_reach_nested_values(tmp_path: Path) -> None:
    file = tmp_path / "c.yaml"
    file.write_text(yaml.safe_dump(MINIMAL))
    found = config.load(file, ["training.epochs=3", "tasks.vqa.batch_size=5", "vocabulary.label_maps={answer: x.json}"])
    assert found.training.epochs == 3
    assert found.tasks["vqa"].batch_size == 5
    assert "snli_ve" in found.tasks
    assert found.vocabulary.label_maps == {"answer": "x.json"}


def test_written_configuration_reads_back_equal(tmp_path: Path) -> None:
    found = config.parse(MINIMAL | {"seed": 7})
    found.write(tmp_path / "config.yaml")
    assert config.load(tmp_path / "config.yaml").model_dump() == found.model_dump() | {
        "run": str(Path("r").absolute()),
        "data": str(Path("d").absolute()),
    }


@pytest.mark.parametrize("name", list(config.shipped()))
def test_every_shipped_configuration_loads_and_starts_with_its_command(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    config.parse(MINIMAL).write(tmp_path / "runs" / "real-sample" / "config.yaml")  # what some of them go on from
    config.load(f"configs/{name}")
    first = config.shipped()[name].read_text().splitlines()[0]
    assert first.startswith("# twelve ") and name.removesuffix(".yaml") in first


def test_unknown_file_suggests_a_shipped_one() -> None:
    with pytest.raises(ConfigError, match="real-sample"):
        config.load("configs/real-sampel.yaml")


@pytest.mark.parametrize(
    ("name", "meant"),
    [("quickstrat.yaml", "quickstart"), ("Paper", "paper"), ("two-tasks.yaml", None)],
)
def test_only_a_close_name_is_suggested(name: str, meant: str | None) -> None:
    with pytest.raises(ConfigError, match="no shipped configuration of this name") as caught:
        config.load(name)
    assert ("did you mean" in str(caught.value)) == (meant is not None)
    assert meant is None or f'"{meant}.yaml"' in str(caught.value)
    assert str(caught.value).endswith("-> check the path; for the shipped ones: twelve configs")


def test_a_shipped_configuration_needs_no_ending(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.find("quickstart") == config.find("quickstart.yaml") == config.find("configs/quickstart")
    (tmp_path / "quickstart").mkdir()  # the folder that the quickstart writes
    with pytest.raises(ConfigError, match="found a folder"):
        config.find("quickstart")


def test_a_file_beside_the_missing_one_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine").mkdir()
    written(tmp_path / "mine", yaml.safe_dump(MINIMAL)).rename("mine/tutorial.yaml")
    for name in ("mine/tutorial.yml", "mine/tutoral.yaml"):
        with pytest.raises(ConfigError, match=r'\(did you mean "mine/tutorial\.yaml"\?\)'):
            config.load(name)
    with pytest.raises(ConfigError, match=r'\(did you mean "quickstart\.yaml"\?\)'):
        config.load("mine/quickstrat.yaml")


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("tasks.vqa.lr", "tasks.vqa.learning_rate"),
        ("tasks.vqa.bs", "tasks.vqa.batch_size"),
        ("tasks.vqa.epochs", "training.epochs"),
        ("training.lr", "tasks.TASK.learning_rate"),
        ("training.steps", "training.iterations"),
        ("evaluation.bs", "evaluation.batch_size"),
        ("wd", "optimizer.weight_decay"),
    ],
)
def test_a_key_by_another_programs_name_is_told_its_own(tmp_path: Path, given: str, key: str) -> None:
    file = written(tmp_path, yaml.safe_dump(MINIMAL))
    with pytest.raises(ConfigError) as caught:
        config.load(file, [f"{given}=1"])
    where = ", where TASK is the name of a task" if TASK in key else ""
    said = f'--set {given}=1 [{given}]: unknown key (did you mean "{key}"?) -> write {key}{where}'
    assert str(caught.value) == said
    config.load(file, [f"{key.replace(TASK, 'vqa')}=1"])


def test_every_key_that_is_meant_exists(tmp_path: Path) -> None:
    file = written(tmp_path, yaml.safe_dump(MINIMAL))
    assert all(config.load(file, [f"{key.replace(TASK, 'vqa')}=1"]) for key in MEANT.values())


def test_a_key_that_is_required_and_misspelt_is_named_as_it_is_written(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("run: runs/mine\ndata: mine\ntask: {vqa: {}}\n")
    with pytest.raises(ConfigError, match=r'mine\.yaml \[task\]: unknown key \(did you mean "tasks"\?\)'):
        config.load(file)
    file.write_text("run: runs/mine\ndata: mine\nsubjects: {vqa: {}}\n")
    with pytest.raises(ConfigError, match=r"mine\.yaml \[tasks\]: this key is required"):
        config.load(file)


def test_all_mistakes_are_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(
        tmp_path, "run: r\ndaat: d\ntasks: {vqa: {batch_size: 0}}\ntraining: {iterations: many, eval_evry: 3}\n"
    )
    monkeypatch.setattr("sys.argv", ["twelve", "train", str(file), "--set", "optimizer.betas=[1, 0.9]"])
    with pytest.raises(SystemExit) as left:
        cli.main()
    lines = capsys.readouterr().err.splitlines()
    for line, start in zip(
        lines,
        (
            "twelve: --set optimizer.betas=[1, 0.9] [optimizer.betas.0]: expected less than 1, found 1 -> change it",
            f"twelve: {file} [training.iterations]: expected an integer, found 'many' -> change it, for example",
            f'twelve: {file} [training.eval_evry]: unknown key (did you mean "training.eval_every"?) -> known here: ',
            # and no data are missing
            f'twelve: {file} [daat]: unknown key (did you mean "data"?) -> known here: run, data',
            f"twelve: {file} [tasks.vqa.batch_size]: expected at least 1, found 0 -> change it, for example: --set ta",
        ),
        strict=True,
    ):
        assert line.startswith(start)
    assert left.value.code == 2
    file.write_text(yaml.safe_dump(MINIMAL | {f"unknown_{number}": 1 for number in range(config.TOLD + 5)}))
    with pytest.raises(ConfigError) as caught:
        config.load(file)
    assert len(caught.value.listed) == config.TOLD - 1


def told(command: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    """What a command that fails prints, without remedies."""
    monkeypatch.setattr("sys.argv", ["twelve", *command])
    with pytest.raises(SystemExit):
        cli.main()
    return [line.partition(" -> ")[0] for line in capsys.readouterr().err.splitlines()]


def test_names_and_paths_that_do_not_exist_are_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file = written(tmp_path, "run: r\ndata: none\ntasks: {vqaa: {}, gqa: {val_split: train_balanced}}\nreplay: [gqa]\n")
    command = ["train", str(file)]
    assert told(command, monkeypatch, capsys) == [
        f"twelve: {file} [tasks.vqaa]: unknown name 'vqaa' (did you mean \"vqa\"?)"
    ]
    file.write_text(file.read_text().replace("vqaa", "vqa"))
    assert told(command, monkeypatch, capsys) == [
        f"twelve: {file} [replay]: a new model has nothing to replay",
        f"twelve: {file} [tasks.gqa.val_split]: training may not validate on the split that it trains on, or on the "
        "test split",
    ]
    file.write_text("run: r\ndata: none\ntasks: {vqa: {}, gqa: {}}\n")
    assert told([*command, "--set", "init=no_run", "--set", "schedule.name=stop"], monkeypatch, capsys) == [
        f"twelve: no_run [model.init]: no such folder (in {tmp_path})",
        f"twelve: none: data root not found (in {tmp_path})",
        "twelve: --set schedule.name=stop [schedule.name]: unknown schedule 'stop'",
    ]
    (tmp_path / "none").mkdir()
    assert told(command, monkeypatch, capsys) == [
        "twelve: none/gqa: the data root has no folder for gqa",
        "twelve: none/vqa: the data root has no folder for vqa",
    ]


def test_all_mistakes_name_the_file() -> None:
    tree = {"run": "r", "data": "d", "tasks": {"vqaa": {}, "gqaa": {}}}
    with pytest.raises(ConfigError) as caught:
        config.parse(tree, "mine.yaml")
    assert [str(each.file) for each in (caught.value, *caught.value.others)] == ["mine.yaml"] * 2


@pytest.mark.parametrize("old,new", KEYS.items())
def test_a_key_of_an_earlier_version_is_told_its_name(tmp_path: Path, old: str, new: str) -> None:
    file = written(tmp_path, yaml.safe_dump(MINIMAL))
    task = next(iter(MINIMAL["tasks"]))
    old, new = old.replace(TASK, task), new.replace(TASK, task)
    with pytest.raises(ConfigError) as caught:
        config.load(file, [f"{old}=3"])
    said = f"--set {old}=3 [{old}]: a key of an earlier version -> it is called {new} now: rename it"
    assert str(caught.value) == said
    if old.startswith("training."):  # as somebody types it who leaves the section out
        with pytest.raises(ConfigError, match=f"it is called {new} now"):
            config.load(file, [f"{old.partition('.')[2]}=3"])


def test_the_page_shows_the_same_table() -> None:
    page = (Path(__file__).parents[1] / "docs" / "renamed.md").read_text(encoding="utf-8")
    keys = page.partition("## Keys of a configuration")[2].partition("\n## ")[0]
    shown = dict(re.findall(r"^\| `(.+)` \| `(.+)` \|$", keys, flags=re.MULTILINE))
    assert shown == KEYS, "docs/renamed.md and twelve/renamed.py name the same keys"


def test_not_yaml(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text("run: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        config.load(tmp_path / "c.yaml")


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "c.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("run: r\ndata: d\nrun: s\n", 3, "'run' occurs in line 1 and again in line 3"),
        ("run: r\ntraining:\n  epochs: 1\n  epochs: 2\n", 4, "'epochs' occurs in line 3 and again in line 4"),
    ],
)
def test_a_key_given_twice_is_named_with_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    with pytest.raises(ConfigError, match=rf"c\.yaml \[line {line}\].*{words}"):
        config.load(written(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "where", "said", "mended"),
    [
        (
            "training:\n    epochs: 1\n  seed: 2\n",
            "3, column 3",
            "indented diff.*align this key",
            ("  s", "    s"),
        ),
        ("run: a\n  seed: 2\n", "2, column 3", "indented deeper.*align this key", ("  seed", "seed")),
        ("a:\n  b: 1\n # c: d\n\n   e: 2\n", "5, column 4", "indented diff.*align this key", ("   e", "  e")),
        ("run: b: c\n", "1, column 7", "second colon.*quotes", ("b: c", "'b: c'")),
        ("run:a\nseed: 3\n", "1, column 1", "without a colon and a space.*key: value", (":a", ": a")),
        ("run: a\ndata\nseed: 3\n", "2, column 1", "without a colon.*key: value", ("data", "data: x")),
        ("training:\n\tepochs: 1\n", "2, column 1", "a tab.*spaces", ("\t", "  ")),
        ("run: @a\n", "1, column 6", "cannot begin with @.*quotes", ("@a", "'@a'")),
        ("tasks: [a, b\nseed: 3\n", "1, column 8", "bracket.*close it with ]", ("b\n", "b]\n")),
        ("tasks: {a: {}\nseed: 3\n", "1, column 8", "bracket.*close it with ] or }", ("{}\n", "{}}\n")),
        ("run: 'a\nseed: 3\n", "1, column 6", "quotation mark is not closed.*close it", ("a\n", "a'\n")),
        ("tasks: b\n- a\n", "2, column 1", "side by side.*indent", ("tasks: b\n- a", "tasks:\n  - a")),
        ('run: "a" b\n', "1, column 10", "quoted value.*whole value in quotes", ('"a" b', "'a b'")),
    ],
)
def test_a_flaw_of_yaml_is_said_in_plain_words(
    tmp_path: Path, text: str, where: str, said: str, mended: tuple[str, str]
) -> None:
    file = tmp_path / "c.yaml"
    with pytest.raises(ConfigError, match=rf"c\.yaml \[line {where}\]: not valid YAML: .*{said}") as caught:
        read_yaml(text, file)
    assert "<" not in str(caught.value), "no word of the parser"
    assert isinstance(read_yaml(text.replace(*mended), file), dict)  # the remedy works


@pytest.mark.parametrize("named", ["alve", "alve/config.yaml"])
def test_the_configuration_of_the_run_with_the_nearest_name_is_told(tmp_path: Path, named: str) -> None:
    (tmp_path / "alive").mkdir()
    written(tmp_path / "alive", yaml.safe_dump(MINIMAL)).rename(tmp_path / "alive" / "config.yaml")
    with pytest.raises(ConfigError, match=rf'\(did you mean "{tmp_path}/alive/config.yaml"\?\) -> check the path'):
        config.load(tmp_path / named)


@pytest.mark.parametrize("text", ["run: 2020-99-99", "[" * 3000, "run: \x00", "{[a]: b}", "a: b: c"])
def test_what_yaml_refuses_is_one_line(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"c\.yaml.*not valid YAML"):
        config.load(written(tmp_path, text))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("training.epoch=3", '--set training.epoch=3 [training.epoch]: unknown key (did you mean "training.epochs"?)'),
        ("seed=[", "--set seed=[ [line 1, column 2]: not valid YAML: a bracket"),
        ("seed=2020-99-99", "--set seed=2020-99-99: not valid YAML"),
        ("seed={a: 1, a: 2}", "--set seed={a: 1, a: 2} [line 1]: the key 'a'"),
        ("tasks={vqq: {}}", "--set tasks={vqq: {}} [tasks.vqq]"),
        ("a..b=1", "cannot read setting 'a..b=1'"),
    ],
)
def test_mistakes_in_settings_name_the_setting(tmp_path: Path, setting: str, words: str) -> None:
    file = written(tmp_path, yaml.safe_dump(MINIMAL))
    with pytest.raises(ConfigError) as caught:
        config.load(file, [setting])
    assert str(caught.value).startswith(words)


FULL = MINIMAL | {
    "tasks": {"vqa": {"batch_size": 5, "test_split": "val"}, "gqa": None, "snli_ve": {"learning_rate": 3e-3}}
}


@pytest.mark.parametrize(
    ("settings", "left"),
    [
        (["tasks=[snli_ve, vqa]"], ["snli_ve", "vqa"]),
        (["tasks=[vqa, nlvr2]"], ["vqa", "nlvr2"]),
        (["tasks.gqa=null"], ["vqa", "snli_ve"]),
        (["tasks.gqa=", "tasks.vqa="], ["snli_ve"]),
        (["tasks=[vqa]", "tasks.vqa.test_split=test"], ["vqa"]),
    ],
)
def test_chosen_tasks_keep_the_files_settings(tmp_path: Path, settings: list[str], left: list[str]) -> None:
    file = written(tmp_path, yaml.safe_dump(FULL, sort_keys=False))
    everything = config.load(file).tasks
    found = config.load(file, settings).tasks
    assert list(found) == left
    for name in left:
        then = everything.get(name, TaskSettings())
        assert found[name] == then.model_copy(update={"test_split": "test"} if "vqa.test_split" in settings[-1] else {})


def test_a_mapping_of_tasks_replaces_the_files(tmp_path: Path) -> None:
    found = config.load(
        written(tmp_path, yaml.safe_dump(FULL, sort_keys=False)), ["tasks={vqa: {test_split: dev}}"]
    ).tasks
    assert found == {"vqa": TaskSettings(test_split="dev")}


def test_a_task_that_is_not_there_is_not_left_out(tmp_path: Path) -> None:
    file = written(tmp_path, yaml.safe_dump(MINIMAL))
    with pytest.raises(ConfigError, match=r"^--set tasks.gqa=null \[tasks.gqa\]: there is no .*--set (.*)$") as caught:
        config.load(file, ["tasks.gqa=null"])
    remedy = str(caught.value).rpartition("--set ")[2]
    assert config.load(file, [remedy]).tasks["gqa"] == TaskSettings()
    with pytest.raises(ConfigError, match=r"tasks\.vqa=null .*at least 1 item"):
        config.load(file, ["tasks.snli_ve=null", "tasks.vqa=null"])


def test_mistakes_in_the_file_name_the_file_whatever_is_set(tmp_path: Path) -> None:
    file = written(tmp_path, yaml.safe_dump(MINIMAL | {"tasks": ["vqq"]}))
    with pytest.raises(ConfigError, match=r"^\S*c\.yaml \[tasks\.vqq\]"):
        config.load(file, ["tasks.vqa.batch_size=3", "seed=4"])


def test_later_mistakes_are_placed_as_well(tmp_path: Path) -> None:
    file = written(tmp_path, yaml.safe_dump(MINIMAL))
    for record, place in (("schedule.name", "--set schedule.name=x"), ("seed", str(file)), (None, str(file))):
        with pytest.raises(ConfigError) as caught, config.naming(file, ["schedule.name=x"]):
            raise ConfigError("wrong", record=record)
        assert caught.value.file == place


def over(folder: Path, text: str) -> Path:
    """A file over a base that has the tasks of FULL."""
    (folder / "base.yaml").write_text(yaml.safe_dump(FULL | {"training": {"epochs": 3}, "seed": 1}, sort_keys=False))
    file = folder / "over.yaml"
    file.write_text(text)
    return file


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("run: other", ["run=other"]),
        ("training: {log_every: 7}", ["training.log_every=7"]),
        ("tasks: [gqa, vqa]", ["tasks=[gqa, vqa]"]),
        ("tasks: {gqa: null}", ["tasks.gqa=null"]),
        ("tasks: {vqa: {max_text: 9}, gqa: {max_text: 8}}", ["tasks.vqa.max_text=9", "tasks.gqa.max_text=8"]),
        ("tasks: {nlvr2: {}}", ["tasks.nlvr2={}"]),
    ],
)
def test_values_over_a_base_are_those_of_settings(
    text: str, same: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = over(tmp_path, f"base: base.yaml\n{text}\n")
    assert config.load(file) == config.load("base.yaml", same)
    assert config.load(file, ["seed=5"]) == config.load("base.yaml", [*same, "seed=5"])


@pytest.mark.parametrize("choice", ["[gqa]", "{vqa: null, snli_ve: null}"])
def test_a_setting_chooses_among_all_tasks_of_the_base(
    choice: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = over(tmp_path, f"base: base.yaml\ntasks: {choice}\n")
    assert list(config.load(file).tasks) == ["gqa"]
    assert config.load(file, ["tasks=[vqa]"]).tasks["vqa"].batch_size == 5
    changed = over(tmp_path, "base: base.yaml\ntasks: {vqa: {max_text: 9}, gqa: null}\n")
    assert config.load(changed, ["tasks=[vqa]"]).tasks == {
        "vqa": TaskSettings(batch_size=5, test_split="val", max_text=9)
    }


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("base: 3", r"over\.yaml \[base\] must be the name of a configuration, found 3"),
        ("base: papr.yaml", r'no shipped configuration of this name \(did you mean "paper\.yaml"\?\)'),
        ("base: over.yaml", r"over\.yaml \[base\]: over\.yaml has a base itself"),
        ("base: base.yaml\ntasks: {nlvr2: null}", r"over\.yaml \[tasks\.nlvr2\]: there is no task"),
        ("base: base.yaml\ntrainig: {epochs: 1}", r"over\.yaml \[trainig\]: unknown key"),
        ("base: base.yaml\n1: 2", r"over\.yaml \[1\]: "),
        ("base: base.yaml\ntasks: {1: null}", r"over\.yaml \[tasks\.1\.\[key\]\]: "),
    ],
)
def test_mistakes_over_a_base(text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    over(tmp_path, text)
    with pytest.raises(ConfigError, match=words):
        config.load("over.yaml")


def test_a_file_larger_than_any_configuration_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(MINIMAL))
    os.truncate(file, 20 << 30)
    with pytest.raises(ConfigError, match=r"config\.yaml: expected at most 1,048,576 bytes, found 21,474,836,480 -> "):
        config.load(file)


@pytest.mark.parametrize(
    ("value", "words"),
    [(":".join(["59"] * 3000), "more than 64 bits"), ('"\\ud800"', "half a character")],
)
def test_values_that_nothing_can_write_are_refused(value: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(f"run: r\nseed: {value}\n")
    with pytest.raises(ConfigError, match=rf"config\.yaml \[line 2, column 7\]: .*{words}"):
        config.load(file)


def test_an_image_is_no_configuration(tmp_path: Path) -> None:
    (tmp_path / "image.yaml").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match="expected YAML in UTF-8, found byte 0xff at 2 -> name a configuration"):
        config.load(tmp_path / "image.yaml")
