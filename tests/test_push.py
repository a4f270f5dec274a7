"""Models on the hub, with a stand-in of it on this machine: pushed by the shell and from Python, pulled by name."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import hub_server
import pytest
import tiny
import tiny_model
import yaml
from rich.console import Console
from safetensors import safe_open
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.errors import ConfigError
from twelve.evaluation.results import read_results
from twelve.runs.evaluate import evaluate_run
from twelve.runs.push import hub_name
from twelve.runs.train import train

EXAMPLE = Path(__file__).parents[1] / "examples" / "quickstart-model"

PUSHED = {"README.md", "config.json", "model.safetensors", "processor_config.json", "tokenizer.json"}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was trained for seconds, and evaluated."""
    folder = tmp_path_factory.mktemp("run")
    root = tiny.make(folder / "root", train=8, val=3)
    tree = tiny.tree(root, folder / "run")
    tree["training"] |= {"iterations": 2, "eval_every": 2, "save_every": 2}
    train(configuration.parse(tree), console=Console(quiet=True))
    evaluate_run(folder / "run", console=Console(quiet=True))
    return folder / "run"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny_model.make(tmp_path / "model")


@pytest.fixture
def hub() -> Iterator[hub_server.Hub]:
    with hub_server.hub() as server:
        yield server


def said(environment: Mapping[str, str], *words: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of another Python, since huggingface_hub reads its variables when it is imported."""
    done = subprocess.run(
        [sys.executable, *words],
        env={**os.environ, **environment, "HF_HOME": str(Path("hub-home").resolve())},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def twelve(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, [str(word) for word in words])
    return result.exit_code, result.output + str(result.exception or "")


def test_a_dry_run_writes_what_would_be_pushed(run: Path) -> None:
    code, shown = twelve("push", run, "me/tiny", "--dry-run", "pushed", "--licence", "cc-by-4.0")
    assert code == 0 and {path.name for path in Path("pushed").iterdir()} == PUSHED | {"evaluation.json"}
    assert all(name in shown for name in PUSHED)
    with safe_open("pushed/model.safetensors", "pt") as weights:
        assert len(list(weights.keys())) > 50
    card = Path("pushed/README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---\n")[1])
    results, _ = read_results(run / "evaluation.json")
    assert head["license"] == "cc-by-4.0" and 'twelve.load("hub:me/tiny")' in card
    assert head["model-index"][0]["name"] == "me/tiny"
    indexed = {each["task"]["type"]: each["metrics"][0]["value"] for each in head["model-index"][0]["results"]}
    assert indexed == {each.task: pytest.approx(each.score.mean, abs=0.01) for each in results} and len(results) == 5
    for result in results:  # a number, its interval, and how it was measured
        score = result.score
        assert f"{score.mean:.1f} [{score.low:.1f}, {score.high:.1f}]" in card
        assert re.search(
            rf"- {re.escape(result.title)}: split {result.protocol.split}, {result.examples:,} examples", card
        )
    assert str(run) not in card and str(run.parent) not in "".join(
        path.read_text(encoding="utf-8") for path in Path("pushed").glob("*.json")
    )


def test_scores_of_an_earlier_model_are_not_pushed(run: Path) -> None:
    """Only steps and validations are training: a new evaluation would not change what an event says."""
    for folder, line in (
        ("longer", {"kind": "step", "iteration": 3, "seconds": 1.0}),
        ("ended", {"kind": "event", "event": "diverged", "iteration": 3}),
    ):
        shutil.copytree(run, folder)
        with Path(folder, "metrics.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
    assert twelve("push", "ended", "me/tiny", "--dry-run", "pushed-ended")[0] == 0
    code, shown = twelve("push", "longer", "me/tiny", "--dry-run", "pushed")
    shown = " ".join(shown.split())
    assert code and "measured after 2 iterations, and the run was trained on since then" in shown
    assert "-> twelve evaluate longer" in shown and not Path("pushed").exists()
    evaluate_run(Path("longer"), console=Console(quiet=True))
    assert twelve("push", "longer", "me/tiny", "--dry-run", "pushed")[0] == 0


def test_a_card_that_is_kept_has_the_new_name_everywhere() -> None:
    assert twelve("push", EXAMPLE, "me/tiny", "--dry-run", "first")[0] == 0
    assert twelve("push", "first", "you/other", "--dry-run", "second")[0] == 0
    for folder, name in (("first", "me/tiny"), ("second", "you/other")):
        card = Path(folder, "README.md").read_text(encoding="utf-8")
        assert yaml.safe_load(card.split("---\n")[1])["model-index"][0]["name"] == name
        assert re.findall(r'twelve\.load\("(.*?)"', card) == [f"hub:{name}"]
    assert "me/tiny" not in card


def test_nothing_else_of_a_folder_is_pushed(model: Path) -> None:
    (model / "secret.bin").write_bytes(b"x")
    (model / "optimizer.pt").write_bytes(b"x")
    assert twelve("push", model, "me/tiny", "--dry-run", "pushed")[0] == 0
    assert {path.name for path in Path("pushed").iterdir()} == PUSHED
    code, shown = twelve("push", model, "me/tiny", "--dry-run", "pushed")
    assert code != 0 and "expected an empty folder, found files" in shown


@pytest.mark.parametrize(
    "name", ["tiny", "me/tiny/more", "../tiny", "me/", "me/ti ny", "me/t--y", "me/t.git", "me/t..y"]
)
def test_a_name_is_owner_and_model(model: Path, name: str) -> None:
    code, shown = twelve("push", model, name, "--dry-run", "pushed")
    assert code != 0 and "expected owner/model, found" in shown and not Path("pushed").exists()


def test_names_are_those_that_the_hub_takes() -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    pieces = ["a", "B-9", "a--b", "a..b", "a.git", ".a", "a.", "-a", "a_", "_a", "\u00f6", "x" * 96, "x" * 97, ""]
    for name in (f"{owner}/{model}" for owner in pieces for model in pieces):
        try:
            validate_repo_id(name)
        except HFValidationError:
            with pytest.raises(ConfigError):
                hub_name(name)
        else:
            assert hub_name(name) == hub_name(f"hub:{name}") == name


def test_damaged_models_are_not_pushed(model: Path, tmp_path: Path) -> None:
    weights = model / "model.safetensors"
    shutil.copy(weights, tmp_path / "outside.safetensors")
    weights.unlink()
    weights.symlink_to(tmp_path / "outside.safetensors")
    code, shown = twelve("push", model, "me/tiny", "--dry-run", "pushed")
    assert code != 0 and "a link that leads out of its folder" in shown
    weights.unlink()
    weights.write_bytes((tmp_path / "outside.safetensors").read_bytes()[:-100])
    assert twelve("push", model, "me/tiny", "--dry-run", "pushed")[0] != 0 and not Path("pushed").exists()


def test_a_run_is_pushed_and_pulled(run: Path, hub: hub_server.Hub) -> None:
    code, shown, told = said(hub.environment(), "-m", "twelve", "push", str(run), "me/tiny", "--private")
    assert code == 0 and shown == f"{hub.url}/me/tiny\n", told
    assert set(hub.repositories["me/tiny"]) == PUSHED | {"evaluation.json"} and hub.commits == 1
    assert hub.private == {"me/tiny": True}
    assert any(line.startswith("PUT /lfs/") for line in hub.asked)
    hub.repositories["me/tiny"]["evil.bin"] = b"a pickle"
    program = """
import twelve
model = twelve.load("hub:me/tiny")
print(sorted(model.methods), len(model.processor.vocabularies["answer"]))
print(twelve.Twelve.from_pretrained("me/tiny").config.hidden_size)
"""
    code, shown, told = said(hub.environment(), "-c", program)
    assert code == 0 and shown.splitlines()[0].startswith("['answer', 'entails', 'locate', 'match', 'verify']"), told
    assert shown.splitlines()[1] == "32" and not any("evil" in line for line in hub.asked)


def test_a_model_is_pushed_from_python_and_old_weights_go(model: Path, hub: hub_server.Hub) -> None:
    program = f"""
import twelve
model, processor = (each.from_pretrained({str(model)!r}) for each in (twelve.Twelve, twelve.TwelveProcessor))
model.push_to_hub("me/tiny", max_shard_size="40KB")
processor.push_to_hub("me/tiny")
print(twelve.load("hub:me/tiny"))
print(model.push_to_hub("me/tiny", processor=processor))
"""
    hub.repositories["me/tiny"] = {"README.md": b"---\n---\nmine"}
    code, shown, told = said(hub.environment(), "-c", program)
    assert code == 0 and shown.startswith("Predictor(answer: vqa") and hub.commits == 3, told
    assert set(hub.repositories["me/tiny"]) == PUSHED  # no shards, and the card is still there
    assert hub.repositories["me/tiny"]["README.md"].endswith(b"mine")


def test_a_refusal_is_one_line(model: Path, hub: hub_server.Hub) -> None:
    code, shown, told = said(hub.environment("hf_wrong"), "-m", "twelve", "push", str(model), "me/tiny")
    assert code == 2 and not shown and not hub.repositories
    assert told.startswith("twelve: me/tiny: the hub does not take the model: ") and "hf auth login" in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (None, "Connection refused"),
        (b"garbage\r\n\r\n", "illegal status line"),
        (b"", "disconnected"),
        (hub_server.answer(b"[]"), r"not a valid answer from the hub \(\w+Error: "),
        (hub_server.answer(b"{}"), r"not a valid answer from the hub \(KeyError: '"),
        (hub_server.answer(b"<html>"), r"not a valid answer from the hub \(JSONDecodeError"),
        (hub_server.answer(b"", "503 Busy"), "503"),
    ],
    ids=["no server", "no HTTP", "nothing", "a list", "an empty object", "a page", "busy"],
)
def test_without_the_hub_the_remedy_is_not_a_token(model: Path, answer: bytes | None, reason: str) -> None:
    with hub_server.other(answer) as environment:
        code, shown, told = said(environment, "-m", "twelve", "push", str(model), "me/tiny")
        assert code == 2 and not shown and re.search(f"the hub does not take the model: .*{reason}", told), told
        assert "-> check the connection and the hub's URL" in told and "hf auth" not in told
        assert len(told.splitlines()) == 1
        code, shown, told = said(environment, "-c", "import twelve; twelve.load('hub:a/b')")
        assert code == 1 and "check the connection and the hub's URL" in told.splitlines()[-1], told


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"config.json": b"{"}, "config.json"),
        ({"model.safetensors": b"\x80\x04pickle"}, "model.safetensors"),
        ({"model.safetensors": None}, "no file named model.safetensors"),
        ({"processor_config.json": b'{"exec": 1}'}, "unknown key 'exec'"),
        ({"../../evil.json": b"{}"}, "not available from the hub|"),
    ],
)
def test_what_is_pulled_is_not_trusted(
    model: Path, hub: hub_server.Hub, changes: dict[str, bytes | None], message: str
) -> None:
    files = {path.name: path.read_bytes() for path in model.iterdir()} | changes
    hub.repositories["me/evil"] = {name: content for name, content in files.items() if content is not None}
    code, shown, told = said(hub.environment(), "-m", "twelve", "predict", "hub:me/evil", "--image", "x", "--ask", "x")
    assert code == 2 and not shown and not list(Path.cwd().rglob("evil.json"))
    code, shown, told = said(hub.environment(), "-c", "import twelve; print(twelve.load('hub:me/evil'))")
    assert not list(Path.cwd().rglob("evil.json"))
    if message.endswith("|"):  # left out, or refused
        return
    assert code == 1 and re.search(message, told.splitlines()[-1]), told


def test_facts_of_the_machine_stay(run: Path) -> None:
    """What is pushed names no folder and no user of this machine."""
    assert twelve("push", run, "me/tiny", "--dry-run", "pushed")[0] == 0
    facts = json.loads(Path("pushed/evaluation.json").read_text())["facts"]
    assert not {"user", "host", "node"} & set(facts["machine"])


def test_scores_of_a_test_file_that_has_changed_are_pushed_with_a_warning(run: Path, tmp_path: Path) -> None:
    evaluation = run / "evaluation.json"
    before, tree = evaluation.read_text(), json.loads(evaluation.read_text())
    name, task = next((name, task) for task in tree["tasks"].values() for name in task["files"])
    tree["tasks"] = {task["task"]: task | {"files": {name: "0" * 64}}}
    evaluation.write_text(json.dumps(tree))
    code, shown = twelve("push", run, "me/tiny", "--dry-run", tmp_path / "pushed")
    evaluation.write_text(before)
    assert code == 0 and f"warning: {name} has changed since the evaluation, so the card has scores" in shown
    assert f"to measure them again: twelve evaluate {run}" in shown
    assert "changed since" not in twelve("push", run, "me/tiny", "--dry-run", tmp_path / "again")[1]
