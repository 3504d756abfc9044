"""Damaged files: bytes and values that no writer of a format would write."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any, Literal

import numpy as np
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace

DEEP = "\x00deep\x00"
_VALUES: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, "", "x", "NaN", -1, 0, 1, 1.5, -0.5, 2**40, 2**63, 2**64, 10**30, 1e300),
        *([], {}, [[]], [None], {"a": 1}, {"value": -1}, "2026-01-01", "[", DEEP),
    ]
)
_SNIPPETS = st.sampled_from(
    [
        *(b"", b"\n", b"\r\n", b"\0", b'"', b"\\", b"{", b"[" * 3000, b"}", b"]", b",", b"-"),
        *(b"\xff", b"9" * 400, b"1e999", b"NaN", b"Infinity", b"null", b"1_0", b"\\ud800"),
        b"\xef\xbb\xbf",
    ]
)


def damaged_bytes(good: bytes) -> st.SearchStrategy[bytes]:
    """Return a file that is cut short, or in which some bytes are others."""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        content = bytearray(good)
        for _ in range(draw(st.integers(1, 3))):
            start = draw(st.integers(0, len(content)))
            length = draw(st.integers(0, 6))
            content[start : start + length] = draw(_SNIPPETS | st.binary(max_size=3))
        return bytes(content)

    return st.integers(0, len(good)).map(lambda size: good[:size]) | changed() | st.binary()


def damaged_json(good: Any) -> st.SearchStrategy[bytes]:
    """Return a JSON text in which some values are others, or are missing."""

    @st.composite
    def changed(draw: st.DrawFn) -> bytes:
        tree = deepcopy(good)
        for _ in range(draw(st.integers(1, 2))):
            places = list(_places(tree))
            box, key = draw(st.sampled_from(places)) if places else ([None], 0)
            if draw(st.integers(0, 4)):
                box[key] = deepcopy(draw(_VALUES))
            else:
                del box[key]
        return json.dumps(tree).replace(json.dumps(DEEP), "[" * 3000 + "]" * 3000).encode()

    return changed()


def _places(tree: Any) -> Any:
    """Every container in a tree with every key or index in it."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree))
    for key in keys:
        yield tree, key
        if isinstance(tree[key], dict | list):
            yield from _places(tree[key])


def read_or_refuse(
    path: Path, name: str, on_bad_line: Literal["error", "skip"] = "error", **options: Any
) -> Trace | None:
    """Read a file as a format, or check that its error says which file is wrong.

    A trace that was read keeps the promises of every trace.
    """
    refusal = ""
    trace: Trace | None = None
    try:
        trace = read_trace(f"{name}:{path}", on_bad_line=on_bad_line, **options)
    except TraceError as error:
        refusal = str(error)
    if trace is None:
        assert path.name in refusal
        assert refusal.replace("\n", "").isprintable()
        return None
    assert len(trace) > 0
    assert np.all(np.diff(trace.arrival_ns) >= 0)
    assert np.all(trace.input_tokens >= 1)
    assert np.all(trace.output_tokens >= 0)
    assert len(set(trace.request_ids)) == len(trace)
    if trace.after is not None:
        assert np.all((trace.after.values >= 0) & (trace.after.values < len(trace)))
    return trace
