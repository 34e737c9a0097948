"""What a request's JSON may hold, field by field. Whatever is wrong is a `Refused` that names the field; null counts as
left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Refused(Exception):
    """An answer that is an error, in OpenAI's form. status: of HTTP. kind: its `type`. param: the field. retry: seconds
    after which to try again.
    """

    def __init__(
        self,
        message: str,
        param: str | None = None,
        *,
        status: int = 400,
        kind: str = "invalid_request_error",
        code: str | None = None,
        retry: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message, self.param, self.status, self.kind, self.code, self.retry = (
            message, param, status, kind, code, retry,
        )  # fmt: skip

    def body(self) -> dict[str, Any]:
        """{"error": {"message", "type", "param", "code"}}"""
        return {"error": {"message": self.message, "type": self.kind, "param": self.param, "code": self.code}}


def only(body: Mapping[str, Any], known: frozenset[str], neutral: Mapping[str, tuple[Any, ...]]) -> None:
    """Refuses what is not known, and of what we cannot do all but the values that ask for nothing."""
    for name, value in body.items():
        if value is None or name in known:
            continue
        if name not in neutral:
            raise Refused(f"there is no parameter {shown(name)}", name[:80], code="unknown_parameter")
        if value not in neutral[name]:
            raise Refused(f"{name} is not supported: leave it out", name, code="unsupported_parameter")


def number(body: Mapping[str, Any], name: str, default: float, low: float, high: float) -> float:
    """A number from low to high."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise wrong(name, value, f"a number from {low:g} to {high:g}")
    return float(value)


def integer(body: Mapping[str, Any], name: str, default: int | None, low: int, high: int) -> int | None:
    """An integer from low to high."""
    value = body.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise wrong(name, value, f"an integer from {low} to {high}")
    return value


def flag(body: Mapping[str, Any], name: str) -> bool:
    """true or false (left out)."""
    value = body.get(name)
    if not isinstance(value, bool | None):
        raise wrong(name, value, "true or false")
    return bool(value)


def text(value: Any, name: str) -> str:
    """A string."""
    if not isinstance(value, str):
        raise wrong(name, value, "a string")
    return value


def mapping(value: Any, name: str) -> dict[str, Any]:
    """An object."""
    if not isinstance(value, dict):
        raise wrong(name, value, "an object")
    return value


def strings(body: Mapping[str, Any], name: str, most: int, longest: int) -> tuple[str, ...]:
    """A string of 1 to `longest` characters without U+FFFD, or up to `most` of them; () where left out."""
    value = body.get(name)
    given = [] if value is None else [value] if isinstance(value, str) else value
    fit = isinstance(given, list) and len(given) <= most
    if not fit or not all(isinstance(s, str) and 0 < len(s) <= longest and "\ufffd" not in s for s in given):
        raise wrong(name, value, f"a string of 1 to {longest} characters without U+FFFD, or up to {most} of them")
    return tuple(given)


def wrong(name: str, value: Any, wanted: str) -> Refused:
    """The value that was given, and what it has to be."""
    return Refused(f"{name} is {shown(value)}; give {wanted}", name, code="invalid_value")


def shown(value: Any) -> str:
    """A value, short enough for a message."""
    said = ascii(value) if not isinstance(value, int) or abs(value) < 1 << 64 else "an integer of many digits"
    return said if len(said) <= 80 else said[:80] + "..."
