"""How results are shown in a notebook: HTML with the image inside."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

    from twelve.outputs.parts.warned import Warned

BARS = 5
"""Alternatives that are shown as bars."""
_BAR = (
    '<div style="display:flex;gap:.6em;align-items:center"><span style="width:12em;overflow:hidden;'
    'text-overflow:ellipsis;white-space:nowrap">{name}</span><span style="background:#1f77b4;height:.7em;'
    'width:{width:.0f}px"></span><small>{share}</small></div>'
)


def png(image: Image.Image) -> bytes:
    """An image as a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def figure(
    image: Image.Image | None,
    lines: Sequence[str],
    bars: Sequence[tuple[str, float, str]] = (),
    warnings: Sequence[Warned] = (),
) -> str:
    """An image with lines of text and bars below it; every text is escaped.

    Args:
        image: embedded as JPEG; None shows the text alone.
        lines: the first one is bold.
        bars: (name, length in 0..1, text beside it).
    """
    parts = []
    if image is not None:
        file = io.BytesIO()
        image.convert("RGB").save(file, "JPEG", quality=90)
        source = base64.b64encode(file.getvalue()).decode("ascii")
        parts.append(f'<img alt="{escape(" ".join(lines))}" src="data:image/jpeg;base64,{source}">')
    parts += [
        f"<div><b>{escape(line)}</b></div>" if not n else f"<div>{escape(line)}</div>" for n, line in enumerate(lines)
    ]
    for name, length, share in bars[:BARS]:
        width = 160 * min(1.0, max(0.0, length))
        parts.append(_BAR.format(name=escape(name), width=width, share=escape(share)))
    parts += [f'<div style="color:#a33">{escape(warning.line)}</div>' for warning in warnings]
    return f'<figure style="margin:0">{"".join(parts)}</figure>'
