"""One recorded agent session, and its requests as rows: sub-agents flattened, waits as links."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import Annotated, Any

import msgspec
import numpy as np
from msgspec import UNSET, UnsetType
from msgspec import Meta as Rule

from ..columns import NONE, Labels, Ragged, offsets_of
from ..limits import MAX_HASH_ID, MAX_TIMESTAMP_MS, MAX_TOKENS
from ..rows import Rows
from ..runs import encode_runs

_Seconds = Annotated[float, Rule(ge=0, le=MAX_TIMESTAMP_MS / 1000)]
_Tokens = Annotated[int, Rule(ge=0, le=MAX_TOKENS)]
_Id = Annotated[int, Rule(ge=0, le=MAX_HASH_ID)]


class Request(msgspec.Struct, gc=False, rename={"tokens_in": "in", "tokens_out": "out"}):
    """A call of the model, or a sub-agent with calls of its own."""

    t: _Seconds
    type: str = "n"
    tokens_in: _Tokens = 0
    tokens_out: _Tokens = 0
    model: str | None = None
    hash_ids: list[_Id] | UnsetType = UNSET
    hash_runs: list[_Id] | UnsetType = UNSET
    api_time: _Seconds | None = None
    ttft: _Seconds | None = None
    think_time: _Seconds | None = None
    stop: str | None = None
    input_types: msgspec.Raw | UnsetType = UNSET
    output_types: msgspec.Raw | UnsetType = UNSET
    agent_id: str | None = None
    subagent_type: str | None = None
    status: str | None = None
    duration_ms: Annotated[float, Rule(ge=0, le=MAX_TIMESTAMP_MS)] | None = None
    requests: list[Request] = []


class Session(msgspec.Struct):
    """A file: calls in the order in which they were made."""

    id: str
    block_size: Annotated[int, Rule(ge=1, le=MAX_TOKENS)]
    requests: list[Request]
    hash_id_scope: str = "local"
    tool_tokens: msgspec.Raw | UnsetType = UNSET
    system_tokens: msgspec.Raw | UnsetType = UNSET

    def contradiction(self) -> str | None:
        """What the parts of a session say against each other."""
        calls = [
            (index, call)
            for index, request in enumerate(self.requests)
            for call in (request, *request.requests)
        ]
        has_ids = any(call.hash_ids for _, call in calls)
        for index, call in calls:
            if call.hash_runs and (has_ids or len(call.hash_runs) % 2):
                return f"requests[{index}].hash_runs: must be pairs, in a session without hash_ids"
        return None


class Batch:
    """Rows of several sessions of one file; hash ids of sessions are kept apart."""

    def __init__(self, first_row: int = 0, first_id: int = 0) -> None:
        self.path: Path | None = None
        self._first_row = first_row
        self._next_id = first_id
        self._columns: dict[str, list[int]] = {name: [] for name in _INTEGERS}
        self._models: list[str | None] = []
        self._sessions: list[str] = []
        self._places: list[str] = []
        self._unknown: list[bytes] = []
        self._after: list[list[tuple[int]]] = []
        self._runs: list[Ragged] = []
        self._usual_s: float | None = None
        self.estimated = 0
        """Pauses after a call whose duration was not recorded."""

    def __len__(self) -> int:
        return len(self._places)

    def next(self) -> Batch:
        """Return an empty batch for what follows."""
        return Batch(self._first_row + len(self), self._next_id)

    def add(self, path: Path, place: str, session: Session) -> None:
        """Take in a session; main turns wait for sub-agents that ended before them."""
        self.path = path
        self._usual_s = _usual_s(session)
        calls: list[Request] = []
        before = len(self)
        turns: list[_Call] = []
        ended: list[_Call] = []
        for index, request in enumerate(session.requests):
            key = f"{place}{':' if place else ''} requests[{index}]"
            if request.type != "subagent":
                last = self._call(request, request.t, [*turns[-1:], *ended], session, key)
                turns, ended = [last], []
                calls.append(request)
                continue
            agent = self._sub_agent(request, turns[-1:], session, key)
            calls += request.requests
            if agent is not None and request.duration_ms is not None:
                ended.append(agent)
        self._hashes(calls, len(self) - before)

    def _sub_agent(
        self, agent: Request, spawner: list[_Call], session: Session, key: str
    ) -> _Call | None:
        """Take in a sub-agent's calls, each after the one before; the last one, if there is one."""
        start = agent.t - (agent.duration_ms or 0.0) / 1000
        last = list(spawner)
        call: _Call | None = None
        for index, inner in enumerate(agent.requests):
            inner_key = f"{key}.requests[{index}]"
            call = self._call(inner, max(start + inner.t, 0.0), last, session, inner_key, agent)
            last = [call]
        return call

    def _call(
        self,
        request: Request,
        at_s: float,
        after: list[_Call],
        session: Session,
        key: str,
        agent: Request | None = None,
    ) -> _Call:
        row = self._first_row + len(self)
        columns = self._columns
        columns["arrival_ns"].append(_ns(at_s))
        columns["input_tokens"].append(request.tokens_in)
        columns["output_tokens"].append(request.tokens_out)
        columns["delay_ns"].append(_pause(at_s, after, self._usual_s))
        columns["recorded_api_ns"].append(_optional_ns(request.api_time))
        columns["recorded_ttft_ns"].append(_optional_ns(request.ttft))
        self.estimated += any(call.lasted_s is None for call in after)
        self._models.append(request.model)
        self._sessions.append(session.id)
        self._places.append(key)
        self._after.append([(call.row,) for call in after])
        facts = session if session.requests and request is session.requests[0] else None
        self._unknown.append(_rest(request, agent, facts))
        return _Call(row, at_s, request.api_time)

    def _hashes(self, calls: list[Request], count: int) -> None:
        assert len(calls) == count
        runs = _runs_of(calls)
        values = runs.values.copy()
        values[:, 0] += self._next_id
        self._runs.append(Ragged(runs.offsets, values))
        ends = values.sum(axis=1)
        self._next_id = max(self._next_id, int(ends.max()) if len(ends) else 0)

    def rows(self) -> Rows:
        """Return everything taken in."""
        assert self.path is not None
        places, first = self._places, self._first_row
        columns: dict[str, Any] = {
            name: np.array(values, dtype=np.int64) for name, values in self._columns.items()
        }
        columns["session"] = Labels.of(self._sessions)
        columns["model"] = Labels.of(self._models)
        columns["after"] = Ragged.of(self._after, 1)
        columns["hash_runs"] = Ragged.joined(self._runs)
        return Rows(
            path=self.path,
            columns=columns,
            numbers=np.arange(first, first + len(self), dtype=np.int64),
            where=lambda number: places[number - first],
            keys={"input_tokens": "in", "output_tokens": "out", "arrival_ns": "t"},
            unknown=tuple(self._unknown),
        )


class _Call(msgspec.Struct, gc=False):
    row: int
    at_s: float
    lasted_s: float | None


_INTEGERS = (
    "arrival_ns",
    "input_tokens",
    "output_tokens",
    "delay_ns",
    "recorded_api_ns",
    "recorded_ttft_ns",
)


def _usual_s(session: Session) -> float | None:
    """Seconds that a call of this session takes: the median of those that were recorded."""
    calls = [call for request in session.requests for call in (request, *request.requests)]
    known = [call.api_time for call in calls if call.api_time is not None]
    return median(known) if known else None


def _pause(at_s: float, after: list[_Call], usual_s: float | None) -> int:
    """Nanoseconds between the last end before a call and the call; NONE if it is not known.

    ``think_time`` is no help where an end was not recorded: it then counts from the last end that
    was, and where a turn waits for sub-agents it contains their run.
    """
    if not after:
        return NONE
    lasted = [usual_s if call.lasted_s is None else call.lasted_s for call in after]
    if any(seconds is None for seconds in lasted):
        return NONE
    ends = [call.at_s + (seconds or 0.0) for call, seconds in zip(after, lasted, strict=True)]
    return _ns(max(at_s - max(ends), 0.0))


def _ns(seconds: float) -> int:
    whole = int(seconds)
    return whole * 10**9 + round((seconds - whole) * 1e9)


def _optional_ns(seconds: float | None) -> int:
    return NONE if seconds is None else _ns(seconds)


def _rest(request: Request, agent: Request | None, session: Session | None) -> bytes:
    """What has no column, as the file has it; the first call keeps facts about its session."""
    rest: dict[str, Any] = {"type": request.type}
    if session is not None:
        for key in ("tool_tokens", "system_tokens"):
            if (value := getattr(session, key)) is not UNSET:
                rest[key] = value
    for key in ("think_time", "stop"):
        if (value := getattr(request, key)) is not None:
            rest[key] = value
    for key in ("input_types", "output_types"):
        if (value := getattr(request, key)) is not UNSET:
            rest[key] = value
    if agent is not None:
        for key in ("agent_id", "subagent_type", "status"):
            if (value := getattr(agent, key)) is not None:
                rest[key] = value
    return msgspec.json.encode(rest)


def _runs_of(calls: list[Request]) -> Ragged:
    if any(call.hash_ids for call in calls):
        lists = [call.hash_ids or [] for call in calls]
        flat = np.array([i for ids in lists for i in ids], dtype=np.int64)
        return encode_runs(offsets_of([len(ids) for ids in lists]), flat)
    lists = [call.hash_runs or [] for call in calls]
    flat = np.array([i for runs in lists for i in runs], dtype=np.int64).reshape(-1, 2)
    return Ragged(offsets_of([len(runs) // 2 for runs in lists]), flat)
