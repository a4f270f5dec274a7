"""The packages form a staircase: whatever is imported lies further down, lazy imports and those for types included."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "twelve"
LAYERS = (
    ("__init__", "__main__"),
    ("cli",),
    ("harness", "parity", "quickstart", "reproduce", "study", "web"),
    ("score",),
    ("report",),
    ("export", "runs"),
    ("predictor",),
    ("evaluation", "training", "microworld"),
    ("model",),
    ("data",),
    ("regions",),
    ("config",),
    ("config_checks", "inheriting"),
    ("outputs",),
    ("tasks",),
    ("settings",),
    ("downloads", "metrics"),
    ("formats",),
    ("run_folder", "types"),
    ("forked",),
    ("io", "device", "freed_memory", "printing", "processes", "threads"),
    ("progress",),
    ("published",),
    ("client", "errors", "extras", "meant", "renamed", "stopping", "version"),
)
"""From the top; packages and modules of one layer do not import each other."""


def modules() -> dict[str, Path]:
    """Name of every module -> its file."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(name: str, source: str, known: Mapping[str, object]) -> Iterator[str]:
    """Modules among the known ones that the source text of a module imports, wherever in it."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            assert not node.level, f"{name}: expected absolute imports"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield from {full if full in known else str(node.module)} & known.keys()
        elif isinstance(node, ast.Import):
            yield from {alias.name for alias in node.names} & known.keys()


def graph(files: Mapping[str, Path]) -> dict[str, set[str]]:
    return {name: {*imported(name, path.read_text(encoding="utf-8"), files)} - {name} for name, path in files.items()}


def package(module: str) -> str:
    return (*module.split("."), "__init__")[1]


def uphill(edges: Mapping[str, set[str]]) -> list[str]:
    """Imports that do not lead down the staircase."""
    place = {name: number for number, layer in enumerate(LAYERS) for name in layer}
    return [
        f"{one} imports {other}"
        for one, others in edges.items()
        for other in sorted(others)
        if package(one) != package(other) and place[package(one)] >= place[package(other)]
    ]


def circle(edges: Mapping[str, set[str]]) -> str | None:
    """Modules that import each other in a circle."""
    try:
        TopologicalSorter(edges).prepare()
    except CycleError as error:
        return " imports ".join(reversed(error.args[1]))
    return None


def test_every_import_leads_downhill() -> None:
    edges = graph(modules())
    assert len(edges) > 300  # this very package was read
    assert not uphill(edges)


def test_no_modules_form_a_circle() -> None:
    assert circle(graph(modules())) is None


@pytest.mark.parametrize(
    ("module", "line", "found"),
    [
        ("twelve.io.files", "from twelve.data import batch", "twelve.io.files imports twelve.data.batch"),
        (
            "twelve.data.batch",
            "def f():\n    import twelve.model.network",
            "twelve.data.batch imports twelve.model.network",
        ),
        (
            "twelve.training.trainer",
            "if TYPE_CHECKING:\n    from twelve.evaluation.predict import predict",
            "evaluation",
        ),
    ],
)
def test_an_import_that_leads_up_is_seen(module: str, line: str, found: str) -> None:
    files = modules()
    edges = graph(files)
    edges[module] |= {*imported(module, line, files)}
    assert any(found in import_ for import_ in uphill(edges))


def test_a_circle_is_seen() -> None:
    files = modules()
    edges = graph(files)
    edges["twelve.model.settings"] |= {*imported("twelve.model.settings", "from twelve.model import network", files)}
    assert "twelve.model.network" in (circle(edges) or "")
