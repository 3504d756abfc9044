"""How fast traces are read, inspected and made. The files are made here."""

import tempfile
from collections.abc import Callable
from pathlib import Path

from cases import Case, Effort, Line
from measure import worked
from workloads import chat

from jenga_sim import Trace, generate_trace, read_trace, write_trace
from jenga_sim.traces import Reading
from jenga_sim.traces.generate.generate import generate, parse_arrivals, parse_workload
from jenga_sim.traces.inspection import inspect_file
from jenga_sim.traces.transform.shaping import Shaping

ROWS = 1_000_000


def _lengths(path: Path, effort: Effort) -> None:
    write_trace(chat(effort.share(ROWS)), path)


def _mooncake(path: Path, effort: Effort) -> None:
    """A chat trace with its ids in full."""
    _generated(path, "chat", effort.share(12_000), "mooncake")


def _sessions(path: Path, effort: Effort) -> None:
    """Sessions of agents, with ids as runs."""
    _generated(path, "agent", effort.share(20_000), "jenga")


def _csv(path: Path, effort: Effort) -> None:
    """A table of BurstGPT's columns."""
    trace = chat(effort.share(ROWS))
    with path.open("w", encoding="ascii") as file:
        file.write("Timestamp,Model,Request tokens,Response tokens\n")
        file.writelines(f"{at / 1e9},m,{i},{o}\n" for at, i, o in _rows(trace))


def _rows(trace: Trace) -> "zip[tuple[int, int, int]]":
    columns = (trace.arrival_ns, trace.input_tokens, trace.output_tokens)
    return zip(*(column.tolist() for column in columns), strict=True)


def _generated(path: Path, workload: str, requests: int, form: str) -> None:
    trace = generate_trace(parse_workload(workload), requests=requests)
    write_trace(trace, path, to="mooncake" if form == "mooncake" else "jenga")


FILES: dict[str, tuple[str, Callable[[Path, Effort], None]]] = {
    "lengths": ("lengths.jsonl", _lengths),
    "mooncake": ("chat.jsonl", _mooncake),
    "sessions": ("agents.jsonl.gz", _sessions),
    "csv": ("lengths.csv", _csv),
}


def _case(kind: str, *, inspects: bool) -> Case:
    name, make = FILES[kind]

    def case(effort: Effort) -> Line:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / name
            make(path, effort)
            requests = len(read_trace(path))
            if inspects:
                return worked(
                    requests, effort, lambda: inspect_file(lambda: Reading(path), Shaping())
                )
            return worked(requests, effort, lambda: read_trace(path))

    return case


def _generating(effort: Effort) -> Line:
    rows = effort.share(ROWS)

    def work() -> None:
        for _ in generate(parse_workload("lengths"), parse_arrivals("poisson"), requests=rows):
            pass

    return worked(rows, Effort(repeat=1), work)


CASES: dict[str, Case] = {
    **{f"read-{kind}": _case(kind, inspects=False) for kind in FILES},
    **{f"inspect-{kind}": _case(kind, inspects=True) for kind in FILES},
    "generate-lengths": _generating,
}
