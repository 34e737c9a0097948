"""What every part of the page is written with: escaped text, numbers as a reader wants them, tables."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence


def text(value: object) -> str:
    """`value` as HTML text, safe in content and in quoted attributes; control characters become U+FFFD."""
    return html.escape(re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "\ufffd", str(value)))


def table(name: str, caption: str, columns: Sequence[str], rows: Sequence[str]) -> str:
    """A table of class `name`; `rows` are finished <tr> elements."""
    head = "".join(f'<th scope="col">{column}</th>' for column in columns)
    body = f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody>"
    return f'<table class="{name}">{caption}{body}</table>'


def of_100(share: float) -> str:
    """A share as a score from 0 to 100."""
    return f"{100 * share:.1f}".replace("-", "−")


def signed(share: float) -> str:
    """As `of_100`, with its sign."""
    return f"{100 * share:+.1f}".replace("-", "−")


def signed_points(weight: float) -> str:
    """A criterion's points with their sign."""
    return f"{weight:+g}".replace("-", "−")
