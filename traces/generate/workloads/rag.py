"""Retrieval: popular documents in random order before a question."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ...columns import IntColumn
from ...record import Trace
from ...words import check, number
from ..blocks import Blocks, Mint, as_runs
from ..draw import Draw, zipf_weights
from ..elementary import exp, log
from ..lengths import Lengths
from ..workload import Maker, part_of

_WEIGHED = 2**19


@dataclass(frozen=True)
class Rag:
    """Prompts of a system prompt, some retrieved documents in random order, and a question.

    Two prompts share what comes before the first document in which they differ, so mostly the
    system prompt and sometimes a document. All figures are assumptions about an ordinary service.
    It keeps the beginnings of all prompts in memory.

    Attributes:
        documents: Documents to retrieve from.
        zipf: Exponent of their popularity.
        per_request: Different documents in a prompt.
        short_tokens: Length of the shortest document.
        long_tokens: Length of the longest; their logarithms are uniform between.
        shared_tokens: System prompt that all requests begin with.
        question_tokens: Length of a question, lognormal.
        question_p90_tokens: Its 90 % quantile.
        output_tokens: Length of an answer, lognormal.
        output_p90_tokens: Its 90 % quantile.
        block_tokens: Tokens per hash id; only full blocks have one.
    """

    NAME: ClassVar[str] = "rag"
    ARRIVALS: ClassVar[str] = "poisson"

    documents: int = number(1_000, least=1, most=100_000)
    zipf: float = number(1.0, most=10.0)
    per_request: int = number(4, least=1, most=100)
    short_tokens: int = number(512, least=1)
    long_tokens: int = number(4_096, least=1)
    shared_tokens: int = number(200)
    question_tokens: float = number(40.0, least=1.0)
    question_p90_tokens: float = number(100.0)
    output_tokens: float = number(200.0, least=1.0)
    output_p90_tokens: float = number(500.0)
    block_tokens: int = number(16, least=1)

    def __post_init__(self) -> None:
        check(self)

    @property
    def blocks(self) -> Blocks:
        """See ``Workload``."""
        return Blocks(self.block_tokens)

    @property
    def batch(self) -> int:
        """See ``Workload``; every request weighs all documents."""
        return min(max(_WEIGHED // self.documents, 1), 512)

    @property
    def requests_per_arrival(self) -> float:
        """See ``Workload``."""
        return 1.0

    def maker(self, draw: Draw) -> Maker:
        """See ``Workload``."""
        return _Requests(self, draw).part


class _Requests:
    """Makes requests batch by batch."""

    def __init__(self, rag: Rag, draw: Draw) -> None:
        self._rag = rag
        self._weights = zipf_weights(rag.documents, rag.zipf)
        low, high = float(log(rag.short_tokens)), float(log(rag.long_tokens))
        place = draw.stream("document").uniform(rag.documents)
        self._lengths = np.rint(exp(low + (high - low) * place)).astype(np.int64)
        self._pick = draw.stream("pick")
        self._order = draw.stream("order")
        self._question = draw.stream("question")
        self._output = draw.stream("output")
        self._mint = Mint()
        self._paths = _Paths(self._mint)

    def part(self, start_ns: IntColumn) -> Trace:
        """See ``Maker``."""
        rag, count = self._rag, len(start_ns)
        picked = self._picked(count)
        ends = rag.shared_tokens + np.cumsum(self._lengths[picked], axis=1)
        question = Lengths(rag.question_tokens, rag.question_p90_tokens)
        input_tokens = ends[:, -1] + question.draw(self._question, count)
        output = Lengths(rag.output_tokens, rag.output_p90_tokens)
        begin = np.full((count, 1), rag.shared_tokens)
        full = np.hstack([begin, ends, input_tokens[:, None]]) // rag.block_tokens
        counts = np.diff(full, axis=1, prepend=0)
        shared = [
            np.stack([self._paths.firsts(picked[:, :depth], counts[:, depth]), counts[:, depth]], 1)
            for depth in range(picked.shape[1] + 1)
        ]
        own = np.stack([self._mint.take(counts[:, -1]), counts[:, -1]], axis=1)
        return part_of(
            start_ns,
            input_tokens,
            output.draw(self._output, count),
            as_runs(*shared, own),
        )

    def _picked(self, count: int) -> IntColumn:
        """Different documents per request, popular ones more often, in random order."""
        rag = self._rag
        wanted = min(rag.per_request, rag.documents)
        # Whoever waits shortest is picked, at rates that are the weights.
        waits = self._pick.exponential(count * rag.documents).reshape(count, -1) / self._weights
        picked = np.argsort(waits, axis=1, kind="stable")[:, :wanted]
        order = self._order.raw(picked.size).reshape(picked.shape)
        return np.take_along_axis(picked, np.argsort(order, axis=1, kind="stable"), axis=1)


class _Paths:
    """The ids of every sequence of documents that a prompt began with."""

    def __init__(self, mint: Mint) -> None:
        self._mint = mint
        self._first: dict[bytes, int] = {}

    def firsts(self, paths: IntColumn, counts: IntColumn) -> IntColumn:
        """Return the first id of the blocks that end in the last document of each path.

        Args:
            paths: Shape (requests, depth): documents in order.
            counts: How many blocks that are; the same for equal paths.
        """
        found = np.empty(len(paths), dtype=np.int64)
        for at, (path, count) in enumerate(zip(paths, counts.tolist(), strict=True)):
            key = path.tobytes()
            if key not in self._first:
                self._first[key] = self._mint.next
                self._mint.next += count
            found[at] = self._first[key]
        return found
