"""The trace in memory: one numpy column per quantity, one entry per request."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from ..configs.errors import TraceError
from .columns import NONE, IntColumn, Labels, Ragged, offsets_of, take_names
from .given import IntValues, integers, predecessors, runs_of_ids, unique_names
from .limits import MAX_NS, MAX_TOKENS
from .meta import DEFAULT_BLOCK_SIZE, PLAIN, Meta
from .runs import expand

IMAGE_COLUMNS = ("name", "tokens", "width", "height", "pos")
"""Columns of ``Trace.images``: position in ``image_names``, then integers, ``NONE`` if unknown."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace:
    """Requests in order of arrival. All columns have one entry per request and are read-only.

    Optional columns are None where no request has a value; in the others ``NONE`` (-1) stands for
    a request without one.

    Attributes:
        arrival_ns: Arrival in nanoseconds after the trace's own zero, ascending. Where only
            ``after`` is known (see ``untimed``), the earliest time that it allows.
        input_tokens: Prompt length in tokens, at least 1; context of earlier turns included.
        output_tokens: Generated length in tokens, reasoning included; 0 where nothing came out.
        hash_runs: Ids of the prompt's blocks as rows (first id, length), see ``runs``; equal ids
            mean equal block and equal prefix. A request without known ids has none.
        request_ids: Unique name of each request.
        cross_tokens: Encoder-side tokens that are not part of the prompt length.
        priority: Scheduling priority; smaller is served first.
        session: Conversation that the request belongs to.
        turn: Place of the request in its session.
        after: Requests (positions in this trace) that all must have ended first.
        delay_ns: Pause after them: reading, thinking, tools. NONE if it is not known.
        untimed: 1 where the file has no arrival, only ``after``.
        reuse_output: 1 if the prompt contains what the turn before generated, 0 if not.
        reasoning_tokens: Part of the output that was reasoning.
        images: Rows of ``IMAGE_COLUMNS`` per request.
        image_names: Hashes of images, each once.
        model: Name of the model that was asked.
        lora: Name of the adapter.
        tenant: Who asked.
        slo_ttft_ns: Time to first token that was promised.
        slo_tpot_ns: Time per output token that was promised.
        cancelled: 1 where the client went away.
        recorded_ttft_ns: Time to first token where the trace was recorded; only for validation.
        recorded_e2e_ns: Time to last token, likewise.
        recorded_api_ns: Duration of the call that a client saw, likewise.
        recorded_cached_tokens: Tokens that were cached, likewise.
        unknown: JSON object with the fields of the file that have no column here; empty if none.
        meta: Where the trace comes from and what its hash ids mean.
    """

    arrival_ns: IntColumn
    input_tokens: IntColumn
    output_tokens: IntColumn
    hash_runs: Ragged
    request_ids: Sequence[str]
    cross_tokens: IntColumn
    priority: IntColumn
    session: Labels | None = None
    turn: IntColumn | None = None
    after: Ragged | None = None
    delay_ns: IntColumn | None = None
    untimed: IntColumn | None = None
    reuse_output: IntColumn | None = None
    reasoning_tokens: IntColumn | None = None
    images: Ragged | None = None
    image_names: tuple[str, ...] = ()
    model: Labels | None = None
    lora: Labels | None = None
    tenant: Labels | None = None
    slo_ttft_ns: IntColumn | None = None
    slo_tpot_ns: IntColumn | None = None
    cancelled: IntColumn | None = None
    recorded_ttft_ns: IntColumn | None = None
    recorded_e2e_ns: IntColumn | None = None
    recorded_api_ns: IntColumn | None = None
    recorded_cached_tokens: IntColumn | None = None
    unknown: tuple[bytes, ...] | None = None
    meta: Meta = PLAIN

    def __post_init__(self) -> None:
        for field in fields(self):
            column = getattr(self, field.name)
            if isinstance(column, np.ndarray):
                column.setflags(write=False)

    def __len__(self) -> int:
        return len(self.arrival_ns)

    @property
    def name(self) -> str:
        """File name without folder."""
        return self.meta.name

    @property
    def block_size(self) -> int:
        """Tokens that one hash id stands for."""
        return self.meta.block_size

    @property
    def has_hashes(self) -> bool:
        """Whether any request has hash ids."""
        return bool(len(self.hash_runs.values))

    @property
    def lacks_hashes(self) -> npt.NDArray[np.bool_]:
        """Which requests have no hash ids, though their prompts fill a block."""
        return (self.hash_runs.counts == 0) & (self.input_tokens >= self.block_size)

    @property
    def span_ns(self) -> int:
        """Time from the first to the last arrival in nanoseconds (0 for an empty trace)."""
        return int(self.arrival_ns[-1] - self.arrival_ns[0]) if len(self) else 0

    def hash_ids(self, index: int) -> IntColumn:
        """Return the ids of one request's blocks, expanded."""
        return expand(self.hash_runs.rows(index))

    def take(self, index: IntColumn) -> Trace:
        """Return the requests ``index``, in that order; each at most once.

        Who came after a request that is not among them no longer waits for it.
        """
        changes: dict[str, Any] = {}
        for field in fields(self):
            column = getattr(self, field.name)
            if isinstance(column, np.ndarray):
                changes[field.name] = column[index]
            elif isinstance(column, Ragged | Labels):
                changes[field.name] = column.take(index)
        if self.unknown is not None:
            changes["unknown"] = tuple(self.unknown[position] for position in index.tolist())
        changes["request_ids"] = take_names(self.request_ids, index)
        if self.after is not None:
            after = _moved(self.after.take(index), index, len(self))
            changes |= {"after": after} | self._freed(index, after)
        return replace(self, **changes)

    def _freed(self, index: IntColumn, after: Ragged) -> dict[str, IntColumn]:
        """Columns of requests that wait for nobody any more: no pause, and a time of their own."""
        assert self.after is not None
        freed = (after.counts == 0) & (self.after.counts[index] > 0)
        changes: dict[str, IntColumn] = {}
        if self.delay_ns is not None:
            changes["delay_ns"] = np.where(freed, NONE, self.delay_ns[index])
        if self.untimed is not None:
            changes["untimed"] = np.where(freed, 0, self.untimed[index])
        return changes

    def select(self, keep: npt.NDArray[np.bool_]) -> Trace:
        """Return the requests for which ``keep`` is true."""
        return self.take(np.flatnonzero(keep))

    def head(self, n: int) -> Trace:
        """Return the first ``n`` requests, or all of them where there are fewer.

        Raises:
            TraceError: ``n`` is negative.
        """
        if n < 0:
            raise TraceError(f"head: {n} requests were asked for; give 0 or more")
        return self.take(np.arange(min(n, len(self)), dtype=np.int64))

    def in_order(self) -> Trace:
        """Return the trace sorted by arrival; requests of the same time keep their order."""
        if not np.any(self.arrival_ns[1:] < self.arrival_ns[:-1]):
            return self
        return self.take(np.argsort(self.arrival_ns, kind="stable"))

    def with_meta(self, **changes: Any) -> Trace:
        """Return the trace with other facts about it, by their names in ``Meta``."""
        return replace(self, meta=msgspec.structs.replace(self.meta, **changes))

    @classmethod
    def from_columns(
        cls,
        arrival_ns: IntValues,
        input_tokens: IntValues,
        output_tokens: IntValues,
        *,
        cross_tokens: IntValues | None = None,
        priority: IntValues | None = None,
        request_ids: Sequence[str] | None = None,
        hash_ids: Sequence[Sequence[int]] | None = None,
        session_ids: Sequence[str | None] | None = None,
        after: Sequence[Sequence[int]] | None = None,
        delay_ns: IntValues | None = None,
        name: str = "columns",
        block_size: int = DEFAULT_BLOCK_SIZE,
    ) -> Trace:
        """Build a trace from Python or numpy columns, which are copied.

        Args:
            arrival_ns: Arrivals in nanoseconds, ascending.
            input_tokens: Prompt lengths in tokens, at least 1.
            output_tokens: Generated lengths in tokens; 0 where nothing came out.
            cross_tokens: Encoder-side tokens; 0 for every request if left out.
            priority: Priorities, smaller first; 0 for every request if left out.
            request_ids: Unique names; ``"0"``, ``"1"``, ... if left out.
            hash_ids: One list of block ids per request; no ids if left out.
            session_ids: Name of each request's session, or None.
            after: Positions of the requests that must end before each request.
            delay_ns: Pause after them; -1 where it is not known.
            name: Name of the trace in reports.
            block_size: Tokens that one hash id stands for.

        Raises:
            TraceError: A column has the wrong length or type, or a value out of range.
        """
        count = len(arrival_ns)
        zeros = np.zeros(count, dtype=np.int64)
        arrivals = integers("arrival_ns", arrival_ns, count, 0, MAX_NS)
        inputs = integers("input_tokens", input_tokens, count, 1)
        late = np.flatnonzero(np.diff(arrivals) < 0)
        if late.size:
            raise TraceError(f"arrival_ns: entry {late[0] + 1} is earlier than the one before it")
        return cls(
            arrival_ns=arrivals,
            input_tokens=inputs,
            output_tokens=integers("output_tokens", output_tokens, count, 0),
            cross_tokens=zeros
            if cross_tokens is None
            else integers("cross_tokens", cross_tokens, count),
            priority=zeros
            if priority is None
            else integers("priority", priority, count, -MAX_TOKENS),
            request_ids=unique_names(request_ids, count),
            hash_runs=runs_of_ids(hash_ids, inputs, block_size),
            session=None if session_ids is None else Labels.of(session_ids),
            after=None if after is None else predecessors(after, count),
            delay_ns=None
            if delay_ns is None
            else integers("delay_ns", delay_ns, count, NONE, MAX_NS),
            meta=Meta(name=name, block_size=block_size),
        )


def _moved(after: Ragged, index: IntColumn, count: int) -> Ragged:
    """Predecessors by their new positions, without those that are gone."""
    position = np.full(count, NONE, dtype=np.int64)
    position[index] = np.arange(len(index))
    new = position[after.values[:, 0]]
    kept = new != NONE
    totals = offsets_of(kept.astype(np.int64))
    return Ragged(totals[after.offsets], new[kept][:, None])
