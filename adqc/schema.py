"""A check of JSON values against a schema, for the few keywords of JSON Schema that adqc's own schemas use."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

KEYWORDS = frozenset(
    {"type", "const", "enum", "minLength", "pattern", "minimum", "maximum", "required", "properties", "items",
     "additionalProperties", "minItems", "maxItems", "$schema", "title", "description"}
)  # fmt: skip

_TYPES: Mapping[str, Any] = {
    "object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None),
}  # fmt: skip


def find_misfit(value: Any, schema: Mapping[str, Any], place: str) -> str | None:
    """What is wrong with a value, in one sentence.

    A library for the whole of JSON Schema would be a dependency for the sake of one file; the tests compare this with
    one. Stricter than the standard: 1.0 is no integer, NaN and infinity are no numbers.

    Args:
        value: What ``json.loads`` returned.
        schema: A schema with no other keywords than :data:`KEYWORDS`.
        place: What the value is called.

    Returns:
        The first misfit; None if the value fits.

    Example:
        >>> find_misfit({"depth": 0}, {"properties": {"depth": {"type": "integer", "minimum": 1}}}, "card")
        'card.depth must be at least 1, got 0'
    """
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(_is_a(value, kind) for kind in kinds):
        return f"{place} must be of type {' or '.join(kinds)}, got {_short(value)}"
    if "const" in schema and value != schema["const"]:
        return f"{place} must be {schema['const']!r}, got {_short(value)}"
    if "enum" in schema and (isinstance(value, bool) or value not in schema["enum"]):
        return f"{place} must be one of {schema['enum']}, got {_short(value)}"
    if isinstance(value, str):
        if len(value) < schema.get("minLength", 0):
            return f"{place} must not be empty"
        if "pattern" in schema and not re.search(schema["pattern"], value):
            return f"{place} must match {schema['pattern']}, got {_short(value)}"
    elif _is_a(value, "number"):
        if not math.isfinite(value):
            return f"{place} must be finite, got {value}"
        if value < schema.get("minimum", -math.inf):
            return f"{place} must be at least {schema['minimum']}, got {value}"
        if value > schema.get("maximum", math.inf):
            return f"{place} must be at most {schema['maximum']}, got {value}"
    return _misfit_inside(value, schema, place)


def _misfit_inside(value: Any, schema: Mapping[str, Any], place: str) -> str | None:
    parts: Sequence[tuple[Any, Mapping[str, Any], str]] = ()
    if isinstance(value, dict):
        missing = [key for key in schema.get("required", ()) if key not in value]
        if missing:
            return f"{place} lacks {', '.join(map(repr, missing))}"
        known, other = schema.get("properties", {}), schema.get("additionalProperties", {})
        parts = [(entry, known.get(key, other), f"{place}.{key}") for key, entry in value.items()]
    elif isinstance(value, list):
        if not schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", math.inf):
            fewest, most = schema.get("minItems", 0), schema.get("maxItems", "any number of")
            return f"{place} must have {fewest} to {most} entries, got {len(value)}"
        parts = [(entry, schema.get("items", {}), f"{place}[{k}]") for k, entry in enumerate(value)]
    return next(filter(None, (find_misfit(*part) for part in parts)), None)


def _is_a(value: Any, kind: str) -> bool:
    return isinstance(value, _TYPES[kind]) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
