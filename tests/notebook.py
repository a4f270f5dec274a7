"""Makes docs/train-from-code.ipynb from docs/train-from-code.md, so that there is one text: python tests/notebook.py

The notebook has no outputs: what it prints and draws differs between machines, and every change of a number would be a
change of the file. tests/test_train_from_code.py runs its cells one after the other, which needs no Jupyter: nbclient
would bring a kernel, ZeroMQ and twenty more packages for cells that are plain Python.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parents[1] / "docs"
PAGE, NOTEBOOK = DOCS / "train-from-code.md", DOCS / "train-from-code.ipynb"


def notebook(page: str) -> str:
    """The notebook of a page: its Python blocks are cells of code, the text between them cells of Markdown."""
    cells: list[dict[str, Any]] = []
    for place, part in enumerate(re.split(r"^```python\n(.*?)^```\n", page, flags=re.S | re.M)):
        source = part.strip("\n").splitlines(keepends=True)
        if not source:
            continue
        cell: dict[str, Any] = {"id": f"cell-{len(cells)}", "metadata": {}, "source": source}
        code = {"cell_type": "code", "execution_count": None, "outputs": []}
        cells.append(cell | (code if place % 2 else {"cell_type": "markdown"}))
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    tree = {"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(tree, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def cells(notebook: str) -> list[str]:
    """The cells of code."""
    return ["".join(cell["source"]) for cell in json.loads(notebook)["cells"] if cell["cell_type"] == "code"]


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
