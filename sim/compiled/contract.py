"""What the compiled engine asks of block tables, meter, latency model and arrivals.

All are contracts (``policies.compiled``): NamedTuples of arrays, and functions whose body belongs
to the type of their first argument. ``table`` is the request table (``Requests.table``). A request
that runs has a *seat*, ``table[SEAT, slot]``, below ``max_num_seqs``; what only running requests
have is kept per seat.

Every state of block tables has the fields ``allocated`` and ``expired``, of shape (growth classes,
seats), as in ``Tables``, and ``changed`` of shape (seats,): a count that grows whenever one of a
seat's entries in them does.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ...policies.compiled import contract

IntArray = npt.NDArray[np.int64]


# Block tables: see ``Tables`` for what each function promises.


@contract
def begin_step(tables: Any) -> None:
    """See Tables."""
    ...


@contract
def end_step(tables: Any) -> None:
    """See Tables."""
    ...


@contract
def possible(tables: Any, table: IntArray, slot: int, tokens: int) -> bool:
    """``Tables.could_fit``."""
    ...


@contract
def look_up(tables: Any, table: IntArray, slot: int) -> tuple[int, int]:
    """See Tables: hit tokens and junction."""
    ...


@contract
def lacking(
    tables: Any,
    table: IntArray,
    slot: int,
    hit: int,
    new: int,
    watermark: float,
    whole: bool,
    need: IntArray,
) -> bool:
    """See Tables. True if something lacks: then ``need`` holds pages per group."""
    ...


@contract
def allocate(tables: Any, table: IntArray, slot: int, new: int, hit: int) -> bool:
    """See Tables. At an admission the request has a seat already."""
    ...


@contract
def commit(tables: Any, table: IntArray, slot: int, tokens: int) -> None:
    """See Tables."""
    ...


@contract
def trim(tables: Any, table: IntArray, slot: int) -> None:
    """See Tables."""
    ...


@contract
def release(tables: Any, table: IntArray, slot: int) -> None:
    """``Tables.free``. The request still has its seat."""
    ...


@contract
def tables_slack(tables: Any, refused: IntArray, watermark: float, out: IntArray) -> None:
    """``Tables.slack``; see ``policies.batch.slack``."""
    ...


@contract
def tables_tick(tables: Any, now_ns: int, moved: IntArray) -> None:
    """``Tables.tick``; see ``policies.batch.tick``."""
    ...


@contract
def tables_due(tables: Any) -> int:
    """``Tables.due_ns``; see ``policies.batch.due_ns``."""
    ...


# Block tables whose pages several requests may hold.


@contract
def held_pages(tables: Any, out: IntArray) -> None:
    """``Tables.held_pages``, into ``out``."""
    ...


@contract
def window_excess(
    tables: Any, table: IntArray, running: IntArray, count: int, views: IntArray, out: IntArray
) -> None:
    """Fill ``out``, of shape (2, views), with what sums over running requests count too often.

    See ``policies.caching.sharing``: one step of its ``excess``, after the step was scheduled.
    """
    ...


# The meter.


@contract
def measure(
    meter: Any,
    tables: Any,
    table: IntArray,
    running: IntArray,
    count: int,
    alike: bool,
    slack: IntArray,
    parts: IntArray,
) -> None:
    """Fill ``parts``, of shape (PARTS, labels), with bytes after a step was scheduled.

    ``running``: slots, of which the first ``count`` run. ``slack``: what ``tables_slack`` said.
    ``alike`` saves time where the step differs from the last one that was measured in lengths only:
    the same requests run, each decoded one token in both, with as many in flight, and no table
    changed.
    """
    ...


# The latency model.


@contract
def decode_reads(latency: Any, text: int, cross: int, reads: IntArray) -> None:
    """Add what one decode that ends at ``text`` tokens reads to ``reads``, per attention class."""
    ...


@contract
def step_ns(
    latency: Any,
    num_tokens: int,
    num_samples: int,
    decode_rows: int,
    reads: IntArray,
    prefills: IntArray,
    num_prefills: int,
) -> int:
    """``LatencyModel.step_ns``. ``prefills``: columns of new, text and cross tokens."""
    ...


@contract
def copy_ns(latency: Any, moved_bytes: int, launches: int) -> int:
    """``LatencyModel.copy_ns``."""
    ...


# Arrivals.


@contract
def next_ns(arrivals: Any) -> int:
    """``Arrivals.peek``; -1 instead of None."""
    ...


@contract
def next_slot(arrivals: Any) -> int:
    """``Arrivals.pop``."""
    ...


@contract
def has_ended(arrivals: Any, slot: int, now_ns: int) -> None:
    """``Arrivals.ended``."""
    ...
