"""The small check of JSON values, beside the library that knows all of JSON Schema."""

import copy
import json
import math
import random
from pathlib import Path

import jsonschema
import pytest

from adqc.gallery import card_schema
from adqc.schema import KEYWORDS, find_misfit

CARDS = sorted((Path(__file__).parents[1] / "circuits").glob("*/card.json"))
OTHERS = (None, True, 0, -1, 3, 1.5, "", "word", [], [1], {}, {"a": 1}, 10**30)


@pytest.fixture(scope="module")
def validator():
    return jsonschema.Draft202012Validator(card_schema())


def places(value, path=()):
    """Where a JSON value has parts, from the outside in."""
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from places(part, (*path, key))


def altered(card, path, draw):
    """The card with one part left out or replaced."""
    changed = copy.deepcopy(card)
    *outer, last = path
    inner = changed
    for key in outer:
        inner = inner[key]
    if isinstance(inner, dict) and draw.random() < 0.3:
        del inner[last]
    else:
        inner[last] = draw.choice(OTHERS)
    return changed


def test_the_schema_is_one(validator):
    jsonschema.Draft202012Validator.check_schema(card_schema())
    used = set()

    def collect(schema):
        used.update(schema)
        for part in (*schema.get("properties", {}).values(), schema.get("items"), schema.get("additionalProperties")):
            if part is not None:
                collect(part)

    collect(card_schema())
    assert used <= KEYWORDS, "adqc.schema does not know these"


@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.parent.name)
def test_cards_fit(path, validator):
    card = json.loads(path.read_bytes())
    assert find_misfit(card, card_schema(), "card") is None
    validator.validate(card)


def test_both_checks_find_the_same_misfits(validator):
    card, draw = json.loads(CARDS[0].read_bytes()), random.Random(0)
    paths = [path for path in places(card) if path]
    verdicts = set()
    for _ in range(600):
        path = draw.choice(paths)
        changed = altered(card, path, draw)
        problem = find_misfit(changed, card_schema(), "card")
        assert (problem is None) == validator.is_valid(changed), (path, problem)
        verdicts.add(problem is None)
    assert verdicts == {True, False}


@pytest.mark.parametrize(
    ("value", "schema", "said"),
    [
        (1, {"type": "string"}, "card must be of type string, got 1"),
        (True, {"type": ["integer", "null"]}, "card must be of type integer or null, got True"),
        (None, {"type": ["integer", "null"]}, None),
        (2.0, {"type": "integer"}, "card must be of type integer, got 2.0"),
        (math.nan, {"type": "number"}, "card must be finite, got nan"),
        (0, {"minimum": 1}, "card must be at least 1, got 0"),
        (101, {"maximum": 100}, "card must be at most 100, got 101"),
        (4, {"enum": [2, 3]}, "card must be one of [2, 3], got 4"),
        ("x", {"const": "y"}, "card must be 'y', got 'x'"),
        ("", {"minLength": 1}, "card must not be empty"),
        ("g" * 90, {"pattern": "^[a-f]+$"}, "card must match ^[a-f]+$, got 'ggg"),
        ({}, {"required": ["a", "b"]}, "card lacks 'a', 'b'"),
        ({"a": {"b": [0, "x"]}}, {"properties": {"a": {"properties": {"b": {"items": {"type": "integer"}}}}}},
         "card.a.b[1] must be of type integer, got 'x'"),
        ({"any": -1}, {"additionalProperties": {"minimum": 0}}, "card.any must be at least 0, got -1"),
        ([1], {"minItems": 2, "maxItems": 2}, "card must have 2 to 2 entries, got 1"),
        ([1, 2, 3], {"minItems": 2, "maxItems": 2}, "card must have 2 to 2 entries, got 3"),
        ([], {"minItems": 1}, "card must have 1 to any number of entries, got 0"),
    ],
)  # fmt: skip
def test_what_is_said(value, schema, said):
    problem = find_misfit(value, schema, "card")
    assert problem is None if said is None else problem.startswith(said)
    assert problem is None or len(problem) < 120
