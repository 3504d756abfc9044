"""How fast traces are read, inspected and made, one JSON line each.

CPU seconds of one process, best of ``--repeat``; imports do not count. The files are made here, so
that nothing has to be at hand; ``--file`` adds one of yours. Compare lines of one machine only.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd

from jenga_sim import generate_trace, read_trace, write_trace
from jenga_sim.traces import Reading, Trace
from jenga_sim.traces.generate.generate import generate, parse_arrivals, parse_workload
from jenga_sim.traces.inspection import inspect_file
from jenga_sim.traces.transform.shaping import Shaping


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--file", nargs="*", default=[], help="Traces to read, too.")
    parser.add_argument("--rows", type=int, default=1_400_000, help="Rows of the CSV file.")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = [*arguments.file, *_made(Path(folder), arguments.rows)]
        for path in map(Path, paths):
            requests = len(read_trace(path))
            _report(f"read/{path.name}", arguments.repeat, requests, lambda p=path: read_trace(p))
        for path in paths:
            requests = len(read_trace(path))
            _report(
                f"inspect/{Path(path).name}",
                arguments.repeat,
                requests,
                lambda p=path: inspect_file(lambda: Reading(p), Shaping()),
            )
        _report("generate/lengths", 1, arguments.rows, lambda: _lengths(arguments.rows))


def _made(folder: Path, rows: int) -> list[Path]:
    """A chat trace with ids in full, agent sessions with runs, a CSV file of lengths."""
    chat, agents, table = folder / "chat.jsonl", folder / "agents.jsonl.gz", folder / "lengths.csv"
    write_trace(generate_trace(parse_workload("chat"), requests=12_000), chat, to="mooncake")
    write_trace(generate_trace(parse_workload("agent"), requests=20_000), agents)
    parts = [_columns(part) for part in _parts(rows)]
    pd.concat(parts).to_csv(table, index=False)
    return [chat, agents, table]


def _columns(part: Trace) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "Timestamp": part.arrival_ns / 1e9,
            "Model": "m",
            "Request tokens": part.input_tokens,
            "Response tokens": part.output_tokens,
        }
    )


def _parts(rows: int) -> list[Trace]:
    return list(generate(parse_workload("lengths"), parse_arrivals("poisson"), requests=rows))


def _lengths(rows: int) -> None:
    for _ in generate(parse_workload("lengths"), parse_arrivals("poisson"), requests=rows):
        pass


def _report(name: str, repeat: int, requests: int, work: Callable[[], object]) -> None:
    best = float("inf")
    for _ in range(max(1, repeat)):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    figures = {
        "name": name,
        "cpu_seconds": round(best, 3),
        "requests_per_cpu_second": round(requests / best),
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
