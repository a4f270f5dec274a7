"""A study on one screen: before it runs (--dry-run), and when it has (study show)."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twelve import cli
from twelve import config as configuration
from twelve.cli import study as cli_study
from twelve.errors import MissingData
from twelve.study.brief import brief
from twelve.study.findings import findings
from twelve.study.studies import STUDIES

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results" / "study-six-tasks"


def test_a_dry_run_counts_and_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["study", "joint-vs-single", "--config", "study-microworld.yaml", "--seeds", "2", "--dry-run"]
    said = CliRunner().invoke(cli.app, asked)
    assert said.exit_code == 0 and not list(tmp_path.iterdir())
    assert "4 arms x 2 seeds (0, 1): 52 runs in 78 steps" in " ".join(said.output.split())
    assert max(map(len, said.output.splitlines())) <= 80 and "nothing was written" in said.output
    assert said.stderr == "" and said.stdout == said.output  # it is the result: `| less` and `> plan.txt` have it
    assert "with 2 seeds, the t interval of a difference of 11.5 standard deviations" in " ".join(said.output.split())
    assert "the study shows a difference of 58 points, but often none that is smaller" in " ".join(said.output.split())
    one = CliRunner().invoke(cli.app, ["study", *asked[1:4], "--seeds", "1", "--dry-run"])
    assert one.exit_code == 0 and "t interval" not in one.output
    few = CliRunner().invoke(cli.app, [*asked, "--only", "stop-and-go"])
    assert "2 runs in 3 steps" in " ".join(few.output.split())


def test_a_dry_run_says_whose_worlds_are_taken(tmp_path: Path) -> None:
    (tmp_path / "seed-0").mkdir()
    for place in ("study.json", "seed-0/world.json"):
        (tmp_path / place).write_text("{}")
    asked = ["study", "joint-vs-single", "--config", "study-microworld.yaml", "--seeds", "2", "--dry-run"]
    said = CliRunner().invoke(cli.app, [*asked, "--worlds-of", str(tmp_path)]).output
    told = f"each seed takes its microworld from {tmp_path} (not there, so generated: seed 1), nothing"
    assert "".join(told.split()) in "".join(said.split())


def test_a_dry_run_prints_the_plan_before_it_misses_the_data(tmp_path: Path) -> None:
    asked = ["study", "real-photographs", "--config", "study-real-photographs.yaml", "--dry-run"]
    said = CliRunner().invoke(cli.app, [*asked, "--set", f"data={tmp_path / 'none'}"])
    assert isinstance(said.exception, MissingData) and "nothing is downloaded" in said.stdout


def test_a_dry_run_prints_the_contrasts_as_they_will_be_measured() -> None:
    """All of the arms that run, in order, with their tasks and with what decides whether a task is learned."""

    def lines(*asked: str) -> list[str]:
        shown = CliRunner().invoke(cli.app, ["study", *asked, "--config", "study-four-tasks.yaml", "--dry-run"])
        assert shown.exit_code == 0
        return shown.output.partition("contrasts")[2].partition("\n\n")[0].splitlines()

    everything = lines("groups")
    assert everything[0] == " (32):" and sum(" minus " in line for line in everything) == 32
    assert everything[1] == "  answering+retrieval minus answering: vqa; the trunks of vqa train at different"
    assert everything[-1] == "  all minus retrieval+pointing+verification: coco, refcoco, snli_ve"
    assert lines("joint-vs-single", "--arms", "always-go") == [
        " (1):",
        "  stop-and-go minus always-go: all 4 tasks",
    ]
    judged = " ".join(" ".join(lines("balancing")).split())
    assert "mixed minus static-fewer: all 4 tasks; static decides whether a task is learned" in judged
    assert lines("affinity") == [": none"]


def test_a_dry_run_tells_the_time_and_names_the_folder_without_a_word_twice(tmp_path: Path) -> None:
    asked = ["study", "real-photographs", "--config", "study-real-photographs.yaml", "--set", f"data={tmp_path}"]
    said = " ".join(CliRunner().invoke(cli.app, [*asked, "--dry-run"]).output.split())
    assert '"Takes about 40 hours on one CPU core"' in said and "folder: runs/real-photographs " in said
    longer = ["study", "groups", "--config", "study-four-tasks.yaml", "--set", "training.iterations=4000", "--dry-run"]
    said = " ".join(CliRunner().invoke(cli.app, longer).output.split())
    assert 'time: study-four-tasks.yaml says at its head: "A joint' in said
    assert 'per seed". So all runs take about 5.3 hours, not counting' in said  # 24 joint runs, each 3.3 times as long
    assert '"A joint run of 1,200 iterations takes about 4 minutes' in said and "(4,000 iterations)" in said
    other = ["study", "balancing", "--config", "study-four-tasks.yaml", "--dry-run"]
    said = " ".join(CliRunner().invoke(cli.app, other).output.split())
    assert '"A joint run of 1,200 iterations takes about 4 minutes of processor time". So all' in said
    main = ["study", "joint-vs-single", "--dry-run", "--config"]
    said = " ".join(CliRunner().invoke(cli.app, [*main, "study-microworld.yaml"]).output.split())
    assert "arms of joint-vs-single take about two to three hours on one CPU core" in said and "take longer." in said
    said = " ".join(CliRunner().invoke(cli.app, [*main, "study-six-tasks.yaml"]).output.split())
    assert (
        'each seed of the two arms about 22". So all runs take about 3.0 hours, not counting' in said
    )  # 25.5 joint runs
    little = [*longer[:5], "training.iterations=10", "--dry-run"]
    said = " ".join(CliRunner().invoke(cli.app, little).output.split())
    assert "So all runs take about a minute, not counting the time for generating worlds and evaluating models." in said
    two = ["study", "groups", "--config", "study-four-tasks.yaml", "--set", "tasks=[vqa, refcoco]", "--dry-run"]
    said = " ".join(CliRunner().invoke(cli.app, two).output.split())
    assert "So all runs, of 2 tasks instead of 4, take about 12 minutes, not counting" in said  # 6 as long as both
    own = tmp_path / "own.yaml"
    own.write_text(configuration.find("study-apart.yaml").read_text())
    said = " ".join(CliRunner().invoke(cli.app, ["study", "groups", "--config", str(own), "--dry-run"]).output.split())
    assert "time: not known. Each step prints how long it took" in said and "folder: runs/apart-groups " in said


def test_a_dry_run_finds_missing_data(tmp_path: Path) -> None:
    asked = ["study", "real-photographs", "--config", "study-real-photographs.yaml", "--dry-run"]
    with pytest.raises(MissingData, match="gone: data root not found -> name a folder that exists"):
        CliRunner().invoke(cli.app, [*asked, "--set", f"data={tmp_path / 'gone'}"], catch_exceptions=False)
    with pytest.raises(MissingData, match="has no folder for vqa -> "):
        CliRunner().invoke(cli.app, [*asked, "--set", f"data={tmp_path}"], catch_exceptions=False)


def test_the_list_has_each_option_as_it_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    said = CliRunner().invoke(cli.app, ["study", "list"]).output
    assert max(map(len, said.splitlines())) <= 60 and "None" not in said
    for name, study in STUDIES.items():
        part = said.partition(f"{name}\n")[2].partition("\n\n")[0]
        given = [shlex.split(line)[1] for line in part.splitlines() if line.strip().startswith("--option ")]
        assert study(**cli_study._options(given)) == study() and len(given) == len(study.model_fields)
        assert all(field.description for field in study.model_fields.values())


def test_brief_is_the_answer_and_the_scores(tmp_path: Path) -> None:
    shutil.copytree(RESULTS, tmp_path / "study")
    (tmp_path / "study" / "notes.md").unlink()  # which may be of any length
    said = CliRunner().invoke(cli.app, ["study", "show", str(tmp_path / "study")]).output
    assert "stop-and-go scores higher than single-longer" in said
    head, first, *_ = said.partition("\narm ")[2].splitlines()  # with the scores of the tasks, where they fit
    assert head.split() == ["normalised", "vqa", "gqa", "flickr30k", "refcoco", "visual7w", "snli_ve"]
    rows = findings(RESULTS).rows
    assert first.split() == ["stop-and-go", "53.9", *(f"{row.scores['stop-and-go'].score.mean:.1f}" for row in rows)]
    twelve = CliRunner().invoke(cli.app, ["study", "show", str(RESULTS.with_name("study-microworld"))]).output
    assert "  normalised score [95%]  by seed\n" in twelve and " 39.3 [37.1, 41.6]      41.4, 37.6, 39.0\n" in twelve
    assert len(said.splitlines()) < 20 and "| " not in said and "results.md" in said


def test_brief_explains_its_numbers_and_gives_each_limit_a_line() -> None:
    *lines, last = brief(findings(RESULTS.with_name("study-four-tasks-groups")), "results.md").splitlines()
    assert max(map(len, lines)) <= 80 and last.endswith(" All tables: results.md")
    assert "Normalised score: 0 best baseline, 100 upper bound. Tasks: official metrics, %." in lines
    assert "Brackets: 95% intervals." in " ".join(" ".join([*lines, last]).split())
    starts = ("Learned on average", "No learning rate was searched. In 13 of 32", "On learned tasks,", "Up to 99%")
    assert all(any(line.startswith(f"- {start}") for line in lines) for start in starts)


def test_brief_has_the_scores_before_the_limits() -> None:
    """And says which data a column has whose task has another name, and how to see the differences on each task."""
    said = brief(findings(RESULTS.with_name("study-real-sample")), "results.md")
    places = [said.index(part) for part in ("\n- stop-and-go scores lower", "\n- Note: ", "\narm ", "\n- On learned")]
    assert places == sorted(places)
    assert "\nvqa: DAQUAR; refcoco: Flickr30k Entities; nlvr2: NLVR.\n" in said
    assert said.endswith(" Differences on each task: --tables. All tables: results.md")
    assert "vqa: " not in brief(findings(RESULTS), "results.md")
