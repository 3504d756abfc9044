"""Reader for recorded agent sessions in the form of kv-cache-tester (Claude Code at WEKA).

A session is a JSON object; a trace is one such file, a folder of them, or JSONL (``.gz``) with a
session per line, where ids may be written as runs (``hash_runs``: first id, length, ...).

Times are seconds on the session's own clock. A sub-agent's entry has the time at which it *ended*
(``t - duration_ms`` is within 1.1 s of the end of the turn before it in 57 of 59 recorded ones),
and the times inside it count from its start. One that was launched asynchronously has no
duration: its ``t`` is its start, and nobody waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from ..meta import OWN_CLOCKS, Meta
from ..problems import Problems
from ..rows import Rows
from ..schema import DECODE_ERRORS, explain_syntax
from ..source import Source, line_blocks, read_bytes, text_problem
from ..text import shown
from .format import Format
from .weka_session import Batch, Session

BLOCK_SIZE = 64
_BATCH = 8192
"""Requests that are checked together."""
_ALIKE = 50
"""Sessions whose first requests are equal are copies: as many are compared."""

_decode = msgspec.json.Decoder(Session).decode
Place = tuple[Path, str]


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    seen: dict[object, str] = {}
    sessions = estimated = 0
    copies: list[str] = []
    batch = Batch()
    for (path, place), text in _texts(source):
        session = _session(path, place, text, problems)
        if session is None:
            continue
        sessions += 1
        start = tuple((r.t, r.tokens_in, r.tokens_out) for r in session.requests[:_ALIKE])
        if len(start) == _ALIKE and seen.setdefault(start, session.id) != session.id:
            copies.append(f"{session.id} of {seen[start]}")
        if len(batch) >= _BATCH or (batch.path is not None and batch.path != path):
            yield batch.rows()
            estimated += batch.estimated
            batch = batch.next()
        batch.add(path, place, session)
    if len(batch):
        yield batch.rows()
    problems.notes += _notes(sessions, estimated + batch.estimated, copies)


FORMAT = Format(
    name="weka",
    summary="Agent sessions (kv-cache-tester): a folder of JSON, one JSON, or JSONL with runs",
    rows=rows,
    json_keys=frozenset(("id", "requests", "block_size", "hash_id_scope")),
    folder="trace_*.json",
    meta=Meta(
        block_size=BLOCK_SIZE, hash_tail="floor", hash_scope="session", time_quantum_ms=1000.0
    ),
)


def _texts(source: Source) -> Iterator[tuple[Place, bytes]]:
    """The text of each session with its place: a file, or a line of one."""
    if source.is_folder:
        for path in source.files(FORMAT.folder):
            yield (path, ""), read_bytes(path)
    elif Path(source.path.name.removesuffix(".gz")).suffix == ".json":
        yield (source.path, ""), read_bytes(source.path)
    else:
        for first, block in line_blocks(source.path, 16):
            for number, line in enumerate(block, first):
                if not line.isspace():
                    yield (source.path, str(number)), line


def _session(path: Path, place: str, text: bytes, problems: Problems) -> Session | None:
    where = f"{path}:{place}" if place else f"{path}"
    problem = text_problem(int(place or 1), text) if not text.isascii() else None
    try:
        session = _decode(text)
    except msgspec.ValidationError as error:
        problem = problem or _explained(error)
    except DECODE_ERRORS as error:
        problem = problem or explain_syntax(text, error)
    else:
        problem = problem or session.contradiction()
        if problem is None:
            return session
    problems.add(where, problem)
    return None


def _explained(error: Exception) -> str:
    """From "Expected ... - at `$.requests[3].in`" to "requests[3].in: expected ..."."""
    words, _, at = str(error).partition(" - at `$")
    return shown(f"{at.strip('.`') or 'session'}: {words[:1].lower()}{words[1:]}", limit=200)


def _notes(sessions: int, estimated: int, copies: list[str]) -> list[str]:
    notes: list[str] = []
    if sessions > 1:
        notes.append(OWN_CLOCKS)
    if estimated:
        notes.append(
            f"{estimated} pauses are estimates: the call before had no recorded duration, and the "
            "median of its session was taken"
        )
    if copies:
        more = "" if len(copies) <= 3 else f" and {len(copies) - 3} more"
        notes.append(
            f"{len(copies)} sessions begin like others and are most likely copies: "
            f"{', '.join(copies[:3])}{more}"
        )
    return notes
