"""The tables of a study as files (study show --tables-to): CSV that programs read, and LaTeX that compiles."""

from __future__ import annotations

import csv
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from twelve import cli
from twelve.errors import ConfigError
from twelve.study.findings import findings
from twelve.study.table import markdown
from twelve.study.tables import PageTable, tables, titles, write_tables

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def rows_of(table: PageTable) -> list[list[str]]:
    return list(csv.reader(table.csv.splitlines()))


def test_intervals_become_columns_of_numbers() -> None:
    cells = ["+3.1 [+1.1, +5.2] *", "-1.0 [-2.0, -0.1] ‡", "not learned (+23.1)", ""]
    table = PageTable(("a, b", "gain"), tuple((f'"{place}"', cell) for place, cell in enumerate(cells)))
    assert rows_of(table) == [
        ["a, b", "gain", "gain low", "gain high", "gain mark"],
        ['"0"', "+3.1", "+1.1", "+5.2", "*"],
        ['"1"', "-1.0", "-2.0", "-0.1", "‡"],
        ['"2"', "", "", "", "not learned (+23.1)"],
        ['"3"', "", "", "", ""],
    ]


def test_other_cells_are_numbers_where_they_can_be() -> None:
    table = PageTable(
        ("arm", "score (shuffled)", "t interval", "updates", "by seed"),
        (
            ("joint", "54.5 (37.2)", "[-1.0, +2.5]", "12,345", "+1.0, -2.0"),
            ("single", "", "", "400", ""),
            ("other", "1,045.1", "not learned", "1", ""),
        ),
    )
    head = ["arm", "score (shuffled)", "score (shuffled) in parentheses"]
    head += ["t interval low", "t interval high", "t interval mark"]
    assert rows_of(table) == [
        [*head, "updates", "by seed"],
        ["joint", "54.5", "37.2", "-1.0", "+2.5", "", "12345", "+1.0, -2.0"],
        ["single", "", "", "", "", "", "400", ""],
        ["other", "1045.1", "", "", "", "not learned", "1", ""],
    ]


def test_latex_escapes_what_it_would_read_in_another_way() -> None:
    table = PageTable(("a_b & c", "50%"), (("[-1.0, +2] ‡", r"\x{y}~^<#$"), ("* stop-and-go", "-0.5 †")))
    assert table.latex.splitlines() == [
        r"\begin{tabular}{lr}",
        r"\hline",
        r"a\_b \& c & 50\% \\",
        r"\hline",
        r"{}[$-$1.0, +2] $\ddagger$ & \textbackslash{}x\{y\}\textasciitilde{}\textasciicircum{}\textless{}\#\$ \\",
        r"{}* stop-and-go & $-$0.5 $\dagger$ \\",
        r"\hline",
        r"\end{tabular}",
    ]


@pytest.mark.parametrize(
    "name", ["four-tasks-groups", "four-tasks-affinity", "four-tasks-balancing", "six-tasks-joint-vs-single"]
)
def test_each_table_of_a_page_is_written_whole(name: str, tmp_path: Path) -> None:
    page = markdown(findings(RESULTS / f"study-{name}"))
    found = tables(page)
    assert len(found) == page.count("\n| --- |") > 3
    assert all(len(row) == len(table.header) for table in found for row in table.rows)
    assert sum(1 + len(table.rows) for table in found) == len(re.findall(r"^\| (?!---)", page, re.MULTILINE))
    files = write_tables(page, tmp_path / "new" / "tables")
    assert len(set(files)) == 2 * len(found) and sorted(files) == sorted((tmp_path / "new" / "tables").iterdir())
    for table, path in zip(found, files[::2], strict=True):
        with path.open(encoding="utf-8", newline="") as stream:
            header, *rows = csv.reader(stream)
        assert [row[0] for row in rows] == [row[0] for row in table.rows]
        assert len(set(header)) == len(header) and {len(row) for row in rows} == {len(header)}
    for path in files[1::2]:
        text = path.read_text(encoding="utf-8")
        counts = {len(re.findall(r"(?<!\\)&", line)) for line in text.splitlines() if line.endswith(r" \\")}
        assert len(counts) == 1 and f"\n\\begin{{tabular}}{{l{'r' * counts.pop()}}}\n" in text
        assert text.startswith("\\begin{table}\n\\centering\n\\caption{") and text.endswith("\\end{table}\n")
        assert f"}}\n\\label{{tab:{path.stem}}}\n" in text
    assert len({path.stem[2:] for path in files}) == len(found)


def test_values_by_seed_become_a_column_for_each_seed() -> None:
    header = ("arm", "by seed", "updates, by seed", "seeds", "other, by seed")
    table = PageTable(
        header,
        (("joint", "+1.0, -2.0", "1,200; 900", "4, 5", "4, 5 (falling)"), ("single", "", "1; 2", "4, 5", "4")),
        seeds=(4, 5),
    )
    assert rows_of(table) == [
        ["arm", "seed 4", "seed 5", "updates, seed 4", "updates, seed 5", "seeds", "other, by seed"],
        ["joint", "+1.0", "-2.0", "1200", "900", "4, 5", "4, 5 (falling)"],
        ["single", "", "", "1", "2", "4, 5", "4"],
    ]


def test_a_table_is_called_by_its_heading_else_by_the_paragraph_before_it() -> None:
    page = (
        "## Arms\n\nSaid: of them.\n\n| arm | meaning |\n| --- | --- |\n\n*: a mark.\n\n## This study only\n\n"
        "| way |\n| --- |\n\nValidation scores. They decide.\n\n| set |\n| --- |\n\n"
        f"Each way minus fixed weights (static), {'in points, ' * 9}.\n\n| way |\n| --- |\n"
    )
    assert titles(tables(page)) == ["Arms", "way", "Validation scores", "Each way minus fixed weights"]


def test_every_column_of_the_arms_and_every_table_has_a_name(tmp_path: Path) -> None:
    found = findings(RESULTS / "study-four-tasks-pretrained")
    files = write_tables(markdown(found), tmp_path, found.seeds)[::2]
    assert [path.name for path in files[:4]] == [
        *("01-arms.csv", "02-differences-means-over-the-tasks.csv", "03-differences-on-each-task.csv"),
        "04-differences-on-each-task-by-seed.csv",
    ]
    for path in files:
        rows = list(csv.reader(path.read_text(encoding="utf-8").splitlines()))
        assert all(rows[0]) and not any("by seed" in name for name in rows[0][1:])
    (arms, means, *_) = (list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) for path in files)
    assert arms[0]["meaning"] == "one model, a task that no longer improves is stopped"
    assert [float(means[0][f"seed {seed}"]) for seed in found.seeds] == [
        pytest.approx(value, abs=0.051) for value in found.comparisons[0].seeds
    ]
    assert "\\caption{Arms}\n" in (tmp_path / "01-arms.tex").read_text(encoding="utf-8")


def test_tables_with_the_same_first_column_have_titles_of_their_own(tmp_path: Path) -> None:
    page = "Gains: of 50%.\n\n|  | a |\n| --- |\n| b | 1 |\n\n| arm | x |\n| --- |\n\n| arm | x | y_z |\n| --- |\n"
    assert titles(tables(page)) == ["Gains", "arm", "arm: y_z"]
    written = write_tables(page, tmp_path)[1::2]
    assert [path.name for path in written] == ["01-gains.tex", "02-arm.tex", "03-arm-y-z.tex"]
    last = written[-1].read_text(encoding="utf-8").splitlines()
    assert last[2:4] == [r"\caption{Arm: y\_z}", r"\label{tab:03-arm-y-z}"]


def test_the_command_prints_the_files(tmp_path: Path) -> None:
    shutil.copytree(RESULTS / "study-six-tasks", tmp_path / "study")
    asked = ["study", "show", str(tmp_path / "study"), "--tables-to", str(tmp_path / "tables")]
    said = CliRunner().invoke(cli.app, asked)
    assert said.exit_code == 0 and sorted(said.output.splitlines()) == sorted(map(str, (tmp_path / "tables").iterdir()))
    differences = next((tmp_path / "tables").glob("*-differences-on-each-task.csv"))
    first = next(csv.DictReader(differences.read_text(encoding="utf-8").splitlines()))
    (comparison,) = findings(tmp_path / "study").comparisons
    for cell, title in zip(comparison.cells, ("VQA v2", "GQA", "Flickr30k retrieval"), strict=False):
        if cell.learned:
            assert [float(first[title + end]) for end in ("", " low", " high")] == [
                pytest.approx(value, abs=0.051) for value in (cell.points.mean, cell.points.low, cell.points.high)
            ]
    (tmp_path / "file").write_text("")
    failed = CliRunner().invoke(cli.app, [*asked[:-1], str(tmp_path / "file")])
    assert isinstance(failed.exception, ConfigError) and "expected a folder, found a file" in str(failed.exception)
