"""A flat schema for the tests of constrained rows: a text, then a boolean that stays the model's."""

from __future__ import annotations

import json

VERDICT = {
    "type": "object",
    "properties": {"reason": {"type": "string", "maxLength": 300}, "met": {"type": "boolean"}},
    "required": ["reason", "met"],
    "additionalProperties": False,
}


def parse_verdict(text: str) -> tuple[str, bool]:
    """(reason, met) of a text of `VERDICT`; ValueError for any other."""
    match json.loads(text, object_pairs_hook=list):
        case [("reason", str(reason)), ("met", bool(met))]:
            return reason, met
    raise ValueError(text)
