"""From the cells of a BLIS trace to columns: whole prompts, sessions, prefixes, latencies."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ..columns import NONE, IntColumn, Labels, Ragged, offsets_of
from ..problems import Problems
from ..record import IMAGE_COLUMNS
from ..rows import Column, Rows
from .lists import integers, predecessors
from .prefix_groups import minted_runs
from .turns import pauses_ns, previous_turns

FloatColumn = npt.NDArray[np.float64]

_FAILED = frozenset(("error", "timeout"))


def labels(table: Rows, name: str) -> Labels:
    """Return a column of words; none where the file has no such column."""
    column = table.columns.get(name)
    return column if isinstance(column, Labels) else Labels.of([None] * len(table))


def counts(table: Rows, name: str) -> IntColumn:
    """Return a column of integers; zeros where the file has no such column."""
    column = table.integers(name)
    return np.zeros(len(table), dtype=np.int64) if column is None else column


def columns_of(
    table: Rows, ratios: FloatColumn, block_size: int, grows: bool, problems: Problems
) -> tuple[dict[str, Column], tuple[str, ...]]:
    """Return the columns of a trace, and the names of its images.

    Args:
        table: Cells by their names in the file, times in nanoseconds.
        ratios: Share of reasoning in each output.
        block_size: Tokens per block of the ids that are made for prefixes.
        grows: Whether the prompts of a session accumulate.
        problems: Where requests that failed are noted.
    """
    session = labels(table, "session_id")
    sessions = [session.word(at) for at in range(len(table))]
    before = previous_turns(sessions, counts(table, "round_index").tolist())
    sent = _sent_ns(table)
    inputs = _inputs(table, before if grows else [()] * len(table))
    outputs = counts(table, "output_tokens")
    failed = _failed(table, problems)
    columns: dict[str, Column] = {
        "arrival_ns": sent,
        "input_tokens": inputs,
        "output_tokens": outputs,
        "priority": counts(table, "vllm_priority"),
        "cancelled": failed,
        **_latencies(table, sent, failed == 0),
        **integers(delay_ns=_delays(table, before, sent)),
        **predecessors([table.numbers[list(positions)].tolist() for positions in before]),
    }
    words = {"session": session, "tenant": labels(table, "tenant_id")}
    words |= {"model": labels(table, "model"), "lora": labels(table, "adapter")}
    columns |= {name: column for name, column in words.items() if column.names}
    if "session" in columns:
        columns["turn"] = np.where(session.codes == NONE, NONE, counts(table, "round_index"))
    if ratios.any():
        columns["reasoning_tokens"] = np.rint(outputs * ratios).astype(np.int64)
    if counts(table, "slo_target_us").any():
        columns["slo_ttft_ns"] = _where_positive(counts(table, "slo_target_us"))
    if grows and columns.get("after") is not None:
        columns["reuse_output"] = np.array([int(bool(b)) for b in before], dtype=np.int64)
    runs = _runs(table, session, inputs, block_size, grows)
    if runs is not None:
        columns["hash_runs"] = runs
    return columns | _images(table)[0], _images(table)[1]


def _where_positive(column: IntColumn) -> IntColumn:
    return np.where(column > 0, column, NONE)


def _sent_ns(table: Rows) -> IntColumn:
    """When requests were sent; those of which it is not known, as long after as they were due."""
    due, sent = counts(table, "arrival_time_us"), counts(table, "send_time_us")
    known = sent > 0
    late = int((sent - due)[known].min()) if known.any() else 0
    return np.where(known, sent, due + late)


def _inputs(table: Rows, before: Sequence[Sequence[int]]) -> IntColumn:
    """Whole prompts: what the server counted, else the prefix or the round before, and the rest."""
    grouped = labels(table, "prefix_group").codes != NONE
    prefix = np.where(grouped, counts(table, "prefix_length"), 0)
    server = counts(table, "server_input_tokens")
    inputs = np.where(server > 0, server, prefix + counts(table, "input_tokens")).tolist()
    outputs = counts(table, "output_tokens").tolist()
    for at in np.argsort(counts(table, "round_index"), kind="stable").tolist():
        if before[at] and not server[at]:
            last = before[at][-1]
            added = inputs[at] - int(prefix[at])
            inputs[at] = min(inputs[last] + outputs[last] + added, 2**62)
    return np.array(inputs, dtype=np.int64)


def _failed(table: Rows, problems: Problems) -> IntColumn:
    status = labels(table, "status")
    bad = np.array([*(name in _FAILED for name in status.names), False], dtype=np.int64)
    failed = bad[status.codes]
    if failed.any():
        problems.notes.append(
            f"{int(failed.sum())} requests failed or timed out; they are kept as cancelled"
        )
    return failed


def _latencies(table: Rows, sent: IntColumn, good: npt.NDArray[np.bool_]) -> dict[str, Column]:
    """Times to the first and the last chunk of requests that were answered."""
    columns: dict[str, Column] = {}
    for name, key in (
        ("recorded_ttft_ns", "first_chunk_time_us"),
        ("recorded_e2e_ns", "last_chunk_time_us"),
    ):
        moment = counts(table, key)
        known = good & (moment > 0) & (moment >= sent)
        if known.any():
            columns[name] = np.where(known, moment - sent, NONE)
    return columns


def _delays(table: Rows, before: Sequence[Sequence[int]], sent: IntColumn) -> list[int | None]:
    """Pauses between rounds: recorded ones, which a session has for all rounds or for none."""
    think = counts(table, "think_time_us").tolist()
    session = labels(table, "session_id").codes.tolist()
    thoughtful = {session[at] for at, time in enumerate(think) if time and before[at]}
    ends = [end or None for end in counts(table, "last_chunk_time_us").tolist()]
    pauses = pauses_ns(before, sent.tolist(), ends)
    return [
        think[at] if before[at] and session[at] in thoughtful else pause
        for at, pause in enumerate(pauses)
    ]


def _runs(
    table: Rows, session: Labels, inputs: IntColumn, block_size: int, grows: bool
) -> Ragged | None:
    """Ids of blocks, if prompts have anything in common."""
    group = labels(table, "prefix_group")
    if not group.names and not (grows and session.names):
        return None
    sequences = np.arange(len(table), dtype=np.int64)
    if grows:
        sequences = np.where(session.codes == NONE, sequences, len(table) + session.codes)
    shared = counts(table, "prefix_length") // block_size
    return minted_runs(group.codes, shared, sequences, inputs // block_size)


def _images(table: Rows) -> tuple[dict[str, Column], tuple[str, ...]]:
    """One image per request that has tokens of images; how many there were is not known."""
    tokens = counts(table, "image_tokens")
    owners = np.flatnonzero(tokens)
    if not len(owners):
        return {}, ()
    images = np.full((len(owners), len(IMAGE_COLUMNS)), NONE, dtype=np.int64)
    images[:, 0] = np.arange(len(owners))
    images[:, 1] = tokens[owners]
    offsets = offsets_of((tokens > 0).astype(np.int64))
    return {"images": Ragged(offsets, images)}, tuple(f"{at}.0" for at in owners.tolist())
