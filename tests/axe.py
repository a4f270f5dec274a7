"""What axe-core finds on a page. Its script comes with the Python package: no network is needed."""

from __future__ import annotations

from typing import Any

from axe_playwright_python.sync_playwright import Axe

GRAVE = ("serious", "critical")


def findings(page: Any) -> list[str]:
    """Serious and critical violations on a page of playwright: the rule, what it demands, and each element."""
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {each['help']}: {node['html'][:200]}"
        for each in found
        if each["impact"] in GRAVE
        for node in each["nodes"]
    ]
