"""Random traces: any mix of optional columns, sessions, links and shared prefixes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from jenga_sim.traces import Trace
from jenga_sim.traces.columns import NONE, Labels, Ragged

WORDS = st.sampled_from(["a", "b", "caf\u00e9", 'quo"te'])


@st.composite
def traces(draw: st.DrawFn, least: int = 1, most: int = 12, block_size: int = 16) -> Trace:
    """Draw a trace with hash ids that are shared now and then."""
    count = draw(st.integers(least, most))

    def column(low: int, high: int) -> list[int]:
        return draw(st.lists(st.integers(low, high), min_size=count, max_size=count))

    inputs = column(1, 100)
    cut = draw(st.booleans())
    ids: list[list[int]] = []
    for index, tokens in enumerate(inputs):
        blocks = tokens // block_size if cut else -(-tokens // block_size)
        shared = draw(st.integers(0, blocks))
        ids.append(
            [*range(shared), *range(1000 * index + 100, 1000 * index + 100 + blocks - shared)]
        )
    trace = Trace.from_columns(
        sorted(column(0, 10**10)),
        inputs,
        column(0, 50),
        cross_tokens=column(0, 5),
        priority=column(-3, 3),
        hash_ids=ids if draw(st.booleans()) else None,
        block_size=block_size,
    )
    return draw(_with_options(trace))


@st.composite
def _with_options(draw: st.DrawFn, trace: Trace) -> Trace:
    count = len(trace)

    def integers(low: int, high: int) -> np.ndarray:
        values = draw(st.lists(st.integers(low, high), min_size=count, max_size=count))
        return np.array(values, dtype=np.int64)

    for name, low, high in (
        ("turn", NONE, 9),
        ("reuse_output", NONE, 1),
        ("reasoning_tokens", NONE, 9),
        ("slo_ttft_ns", NONE, 10**9),
        ("slo_tpot_ns", NONE, 10**9),
        ("cancelled", 0, 1),
        ("recorded_ttft_ns", NONE, 10**9),
        ("recorded_e2e_ns", NONE, 10**9),
        ("recorded_api_ns", NONE, 10**9),
        ("recorded_cached_tokens", NONE, 9),
    ):
        if draw(st.booleans()):
            trace = replace(trace, **{name: integers(low, high)})
    for name in ("session", "model", "lora", "tenant"):
        if draw(st.booleans()):
            words = draw(st.lists(st.none() | WORDS, min_size=count, max_size=count))
            trace = replace(trace, **{name: Labels.of(words)})
    if draw(st.booleans()):
        before = [
            draw(st.lists(st.integers(0, at - 1), unique=True, max_size=2)) if at else []
            for at in range(count)
        ]
        after = Ragged.of([[(position,) for position in rows] for rows in before], 1)
        trace = replace(trace, after=after, delay_ns=integers(NONE, 10**9))
    if draw(st.booleans()):
        names = tuple(f"r{index}" for index in range(count))
        trace = replace(trace, request_ids=names)
    if draw(st.booleans()):
        lists = [
            [(draw(st.integers(0, 1)), draw(st.integers(NONE, 99)), NONE, NONE, NONE)]
            * draw(st.integers(0, 2))
            for _ in range(count)
        ]
        trace = replace(trace, images=Ragged.of(lists, 5), image_names=("cat", "dog"))
    if draw(st.booleans()):
        texts = draw(
            st.lists(
                st.sampled_from([b"", b'{"x":1}', b'{"y":{"z":[]}}']),
                min_size=count,
                max_size=count,
            )
        )
        trace = replace(trace, unknown=tuple(texts))
    return trace


def assert_same(one: Trace, other: Trace) -> None:
    """Fail unless two traces have equal requests."""
    assert len(one) == len(other)
    assert tuple(one.request_ids) == tuple(other.request_ids)
    for name in _INTEGERS:
        left, right = getattr(one, name), getattr(other, name)
        none = 0 if name in ("cancelled", "untimed") else NONE
        assert _known(left, none, len(one)) == _known(right, none, len(one)), name
    for name in ("session", "model", "lora", "tenant"):
        assert _words(getattr(one, name), len(one)) == _words(getattr(other, name), len(one)), name
    for index in range(len(one)):
        assert one.hash_ids(index).tolist() == other.hash_ids(index).tolist()
        assert _before(one, index) == _before(other, index)
        assert _images(one, index) == _images(other, index)
    assert _unknown(one) == _unknown(other)


_INTEGERS = (
    "arrival_ns",
    "input_tokens",
    "output_tokens",
    "cross_tokens",
    "priority",
    "turn",
    "delay_ns",
    "reuse_output",
    "reasoning_tokens",
    "slo_ttft_ns",
    "slo_tpot_ns",
    "cancelled",
    "recorded_ttft_ns",
    "recorded_e2e_ns",
    "recorded_api_ns",
    "recorded_cached_tokens",
    "untimed",
)


def _known(column: np.ndarray | None, none: int, count: int) -> list[int]:
    return [none] * count if column is None else column.tolist()


def _words(labels: Labels | None, count: int) -> list[str | None]:
    return [None if labels is None else labels.word(index) for index in range(count)]


def _before(trace: Trace, index: int) -> list[int]:
    return [] if trace.after is None else sorted(trace.after.rows(index)[:, 0].tolist())


def _images(trace: Trace, index: int) -> list[tuple[object, ...]]:
    if trace.images is None:
        return []
    rows = trace.images.rows(index).tolist()
    return [(trace.image_names[row[0]], *row[1:]) for row in rows]


def _unknown(trace: Trace) -> list[bytes]:
    return [b""] * len(trace) if trace.unknown is None else list(trace.unknown)
