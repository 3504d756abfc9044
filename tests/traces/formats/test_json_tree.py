from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces.formats.json_tree import (
    BadValueError,
    Seconds,
    Tokens,
    converted,
    decoded,
    document,
    documents,
)


class Inner(msgspec.Struct, rename={"tokens": "usage.tokens"}):
    tokens: Tokens
    seconds: Seconds | None = None


class Outer(msgspec.Struct):
    items: list[Inner]


DECODER = msgspec.json.Decoder(Outer)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"[]", "must be an object, is []"),
        (b"{}", "items: is missing"),
        (b'{"items": [{}]}', "items[0].usage.tokens: is missing"),
        (b'{"items": 3}', "items: must be a list, is 3"),
        (
            b'{"items": [{"usage.tokens": -1}]}',
            "items[0].usage.tokens: must be an integer >= 0, is -1",
        ),
        (
            b'{"items": [{"usage.tokens": 1.5}]}',
            "items[0].usage.tokens: must be an integer, is 1.5",
        ),
        (
            b'{"items": [{"usage.tokens": 1, "seconds": "x"}]}',
            'items[0].seconds: must be a number or null, is "x"',
        ),
        (b'{"items": [', "is not valid JSON: Input data was truncated"),
        (b'{"items": [], "x": ' + b"[" * 5000 + b"]" * 5000 + b"}", "is nested too deeply"),
    ],
)
def test_a_wrong_value_is_named_with_its_key_and_what_it_must_be(text: bytes, message: str) -> None:
    with pytest.raises(BadValueError) as error:
        decoded(DECODER, text)

    assert str(error.value) == message


def test_a_value_that_was_decoded_before_is_named_below_its_key() -> None:
    with pytest.raises(BadValueError) as error:
        converted({"usage.tokens": "x"}, Inner, "attributes")

    assert str(error.value) == 'attributes.usage.tokens: must be an integer, is "x"'


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ('{"a": 1}', ["1"]),
        ('{\n "a": 1\n}\n', ["1"]),
        ('[{"a": 1}, 2]', [" [0]", " [1]"]),
        ('{"a": 1}\n\n{"a": NaN}\n', ["1", "3"]),
    ],
)
def test_documents_are_one_value_or_a_list_or_lines(
    tmp_path: Path, text: str, places: list[str]
) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)

    assert [place for place, _ in documents(path)] == places


@pytest.mark.parametrize("text", ["", "{", '{"a": 1,\n"b" 2}', "[1, 2", "x\ny"])
def test_what_is_no_json_is_refused_in_line_one(tmp_path: Path, text: str) -> None:
    path = tmp_path / "file.json"
    path.write_text(text)

    with pytest.raises(TraceError, match=r"file.json:1: is not valid JSON"):
        documents(path)


def test_nan_and_infinity_of_python_become_null(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text('{"a": NaN, "b": [-Infinity, "NaN"], "c": 2}')

    found = document(path, msgspec.json.Decoder(dict[str, Any]))

    assert found == {"a": None, "b": [None, "NaN"], "c": 2}
