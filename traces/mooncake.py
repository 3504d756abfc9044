"""Requests as lines of the Mooncake format, for other tools: four keys, every hash id."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from .columns import Numbered
from .lines import heads, joined_texts
from .record import Trace
from .runs import expand

_OTHER_KEYS = {
    "session": "session_id",
    "turn": "turn",
    "after": "after",
    "delay_ns": "delay",
    "reuse_output": "reuse_output",
    "reasoning_tokens": "reasoning_length",
    "images": "images",
    "cross_tokens": "cross_tokens",
    "model": "model",
    "lora": "lora",
    "tenant": "tenant",
    "priority": "priority",
    "slo_ttft_ns": "slo",
    "slo_tpot_ns": "slo",
    "cancelled": "cancelled",
    "recorded_ttft_ns": "recorded",
    "recorded_e2e_ns": "recorded",
    "recorded_api_ns": "recorded",
    "recorded_cached_tokens": "recorded",
    "unknown": "unknown fields",
}


class MooncakeLines:
    """Makes lines part by part and notes what the format has no place for."""

    def __init__(self) -> None:
        self._dropped: dict[str, None] = {}
        self._guessed = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What is not in the lines as it was in the trace."""
        notes: list[str] = []
        if self._dropped:
            notes.append(f"left out, the Mooncake format has no: {', '.join(self._dropped)}")
        if self._guessed:
            notes.append(
                f"{self._guessed} requests had no arrival, only others before them; they have the "
                "earliest time that these allow"
            )
        return tuple(notes)

    def of(self, part: Trace) -> Iterator[str]:
        """Yield the lines of the next requests."""
        self._note(part)
        runs, bounds = part.hash_runs.values, part.hash_runs.offsets.tolist()
        lists = (expand(runs[a:b]).tolist() for a, b in pairwise(bounds))
        return joined_texts([heads(part), [f', "hash_ids": {ids}' for ids in lists]])

    def _note(self, part: Trace) -> None:
        if not isinstance(part.request_ids, Numbered):
            self._dropped["request_id"] = None
        for column, key in _OTHER_KEYS.items():
            value = getattr(part, column)
            empty = column in ("cross_tokens", "priority") and not value.any()
            if value is not None and not empty:
                self._dropped[key] = None
        if part.untimed is not None:
            self._guessed += int(np.sum(part.untimed == 1))
