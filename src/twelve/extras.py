"""How to install an extra of this package, which its errors advise where an optional package is missing."""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname

NAME = "twelve-vl"
"""Of the distribution."""
_CLONE = Path(__file__).parents[2]
"""Where pyproject.toml lies, if this is not an installed copy."""


def install(extra: str) -> str:
    """The shell command that installs an extra from where the installed package came from: a folder that is still
    there, a file, a URL or, if nothing usable is recorded, the package index. Source code that is used in place names
    its clone."""
    try:
        return _install(extra, _origin())
    except (AttributeError, KeyError, OSError, TypeError, ValueError):  # no such record as installers write
        return _install(extra, {})


def _install(extra: str, origin: dict[str, Any]) -> str:
    """:func:`install` from an origin; one of its usual errors if the origin is malformed."""
    if "dir_info" in origin and not Path(url2pathname(urlsplit(origin["url"]).path)).is_dir():
        origin = {}
    if not origin and (_CLONE / "pyproject.toml").is_file():
        origin = {"url": _CLONE.as_uri(), "dir_info": {}}
    wanted, url = f"{NAME}[{extra}]", origin.get("url")
    if "dir_info" in origin:
        folder = shlex.quote(f"{url2pathname(urlsplit(origin['url']).path)}[{extra}]")
        return f"pip install {'-e ' * (origin['dir_info'].get('editable') is True)}{folder}"
    if "vcs_info" in origin:
        url = f"{origin['vcs_info']['vcs']}+{origin['url']}@{origin['vcs_info']['commit_id']}"
        url += f"#subdirectory={origin['subdirectory']}" if "subdirectory" in origin else ""
    return f"pip install {shlex.quote(f'{wanted} @ {url}' if url else wanted)}"


def _origin() -> dict[str, Any]:
    """What the installer recorded: https://packaging.python.org/specifications/direct-url/. Empty if it did not.

    Raises:
        TypeError, ValueError: this is no JSON object.
    """
    try:
        return dict(json.loads(distribution(NAME).read_text("direct_url.json") or "{}"))
    except PackageNotFoundError:
        return {}
