"""Where the bytes are, for one step or for every step of a leap at once.

Bytes are split per layer kind: what the kind's page content holds is needed, dead or internal;
padding belongs to the group's first kind. All sums are integers.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..configs.specs import Kind
from ..policies.base import MemoryUsage, PageGroup, Slack
from ..policies.demand import live_tokens
from .requests import Requests
from .table_contract import Tables

IntArray = npt.NDArray[np.int64]
PARTS = ("needed", "cached", "dead", "padding", "internal", "external")
"""Parts that belong to a layer kind; reserved and free bytes belong to none."""
INTERNAL, EXTERNAL = PARTS.index("internal"), PARTS.index("external")


class Rows(NamedTuple):
    """Running requests in a step, or in each step of a leap: arrays of the same shape.

    The last axis runs over requests; a leap has the steps on the axis before it.
    """

    text: IntArray
    """Tokens after the step."""
    new: IntArray
    cross: IntArray
    prompt: IntArray
    in_flight: IntArray
    """Tokens of earlier steps that still run."""
    expired: tuple[IntArray, ...]
    """Per growth class: pages given back."""
    allocated: tuple[IntArray, ...]
    """Per growth class: pages up to the last token, those given back included."""
    held: IntArray
    """Per group, where pages are shared: pages that are held, each once. Else empty."""
    excess: IntArray
    """Per view of a windowed content, last: what sums count too often (``caching.sharing``)."""


class KindBytes(NamedTuple):
    """Bytes of every kind in every step: arrays of shape (steps, labels)."""

    needed: IntArray
    dead: IntArray
    padding: IntArray
    internal: IntArray


@dataclass(frozen=True)
class ClassContent:
    """One kind's content in the pages of a growth class, all groups of the class together."""

    label: int
    kind: Kind
    window: int
    entry_bytes: int
    tokens_per_entry: int
    state_bytes: int
    capacity: int
    """Bytes that one block of every group of the class offers to this kind."""
    padding: int
    """Bytes of one block of every group of the class that nothing can fill."""


class UsageMeter:
    """Turns table lengths into bytes, by the layout of the groups."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        groups = tables.groups
        self.labels = tuple(dict.fromkeys(c.label for g in groups for c in g.contents))
        self.group_label = tuple(self.labels.index(g.contents[0].label) for g in groups)
        members: list[list[PageGroup]] = [[] for _ in tables.classes]
        for group, index in zip(groups, tables.class_of, strict=True):
            members[index].append(group)
        self.contents = tuple(self._class_contents(groups) for groups in members)

    def _class_contents(self, groups: list[PageGroup]) -> tuple[ClassContent, ...]:
        found: dict[str, ClassContent] = {}
        for group in groups:
            for position, content in enumerate(group.contents):
                before = found.get(content.label)
                found[content.label] = ClassContent(
                    label=self.labels.index(content.label),
                    kind=content.kind,
                    window=content.window,
                    entry_bytes=content.entry_bytes + (before.entry_bytes if before else 0),
                    tokens_per_entry=content.tokens_per_entry,
                    state_bytes=content.state_bytes + (before.state_bytes if before else 0),
                    capacity=group.capacity_bytes(content) + (before.capacity if before else 0),
                    padding=(group.padding_bytes if position == 0 else 0)
                    + (before.padding if before else 0),
                )
        return tuple(found.values())

    def excess(
        self,
        slots: list[int],
        text: IntArray,
        processed: IntArray,
        expired: tuple[IntArray, ...],
    ) -> IntArray:
        """``Rows.excess`` for steps with ``text`` tokens, ``processed`` before those that run."""
        del slots, processed, expired
        return np.zeros((len(text), 2, 0), dtype=np.int64)

    def rows(self, requests: Requests, slots: list[int]) -> Rows:
        """Gather the running requests, after a step was scheduled."""
        index = np.array(slots, dtype=np.intp)
        chunk = _column(requests.chunk, index)
        return Rows(
            text=_column(requests.computed, index),
            new=chunk,
            cross=_column(requests.cross, index),
            prompt=_column(requests.prompt, index),
            in_flight=np.maximum(_column(requests.in_flight, index) - chunk, 0),
            expired=tuple(_column(column, index) for column in self.tables.expired),
            allocated=tuple(_column(column, index) for column in self.tables.allocated),
            held=_NOTHING,
            excess=_NOTHING,
        )

    def kind_bytes(self, rows: Rows) -> KindBytes:
        """Bytes of every kind that the pages of ``rows`` hold."""
        steps = rows.text.shape[0] if rows.text.ndim == 2 else 1
        result = KindBytes(*(np.zeros((steps, len(self.labels)), np.int64) for _ in range(4)))
        for index, contents in enumerate(self.contents):
            pages = (rows.allocated[index] - rows.expired[index]).sum(axis=-1)
            blocks = pages // self.tables.classes[index].pages_per_block
            for content in contents:
                needed, dead = self._content_bytes(index, content, rows)
                at = content.label
                result.needed[:, at] += needed
                result.dead[:, at] += dead
                result.padding[:, at] += blocks * content.padding
                result.internal[:, at] += blocks * content.capacity - needed - dead
        return result

    def _content_bytes(
        self, index: int, content: ClassContent, rows: Rows
    ) -> tuple[IntArray, IntArray]:
        """Needed and dead bytes of one content, summed over the requests.

        Dead are whole pages that nothing reads; expired tokens in a page that is partly read are
        internal, because no policy could free them at this page size.
        """
        group = self.tables.classes[index]
        if content.state_bytes:
            held = (rows.allocated[index] > rows.expired[index]).sum(axis=-1)
            return held * content.state_bytes, held * 0
        live = live_tokens(
            content.kind, content.window, rows.text, rows.cross, rows.new, rows.in_flight
        )
        dead = live * 0
        if content.window:
            given = rows.expired[index] // group.pages_per_block * group.block_size
            # A prompt computed whole reads tokens of which no page is kept.
            live = np.minimum(live, rows.text - given)
            outside = rows.text - live - given
            dead = np.maximum(outside, 0) // group.block_size * group.block_size
        if group.source == "all":
            dead = dead + (rows.text if content.kind == "cross" else rows.cross)
        # An entry that is begun is needed: the tokens to come complete it.
        live, dead = -(-live // content.tokens_per_entry), dead // content.tokens_per_entry
        return live.sum(axis=-1) * content.entry_bytes, dead.sum(axis=-1) * content.entry_bytes

    def add_slack(self, parts: list[list[int]], slack: Slack) -> None:
        """Add the carving's internal and external bytes to the per-kind rows ``parts``."""
        for group, (internal, external) in enumerate(
            zip(slack.internal, slack.external, strict=True)
        ):
            parts[INTERNAL][self.group_label[group]] += internal
            parts[EXTERNAL][self.group_label[group]] += external


_NOTHING = np.zeros((2, 0), dtype=np.int64)
_NOTHING.setflags(write=False)


def memory_usage(pool_bytes: int, parts: list[list[int]], slack: Slack) -> MemoryUsage:
    """Sum the per-kind rows (in the order of ``PARTS``) into one MemoryUsage."""
    totals = dict(zip(PARTS, (sum(row) for row in parts), strict=True))
    return MemoryUsage(pool=pool_bytes, reserved=slack.reserved, free=slack.free, **totals)


def _column(column: "object", index: npt.NDArray[np.intp]) -> IntArray:
    return np.frombuffer(column, dtype=np.int64)[index]  # type: ignore[call-overload]
