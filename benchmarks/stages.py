"""Where the time of a run goes: the requests of ``chat``, from a file to files."""

import tempfile
from itertools import pairwise
from pathlib import Path
from time import process_time

from cases import LEAST, Case, Effort, Line
from measure import rss_mb
from workloads import chat

from jenga_sim import read_trace, write_trace
from jenga_sim.sim.run import make_replica, make_result, prepare

REQUESTS = 10_000
STAGES = ("read", "prepare", "wire", "engine", "figures", "tables", "files")


def _case(policy: str) -> Case:
    def case(effort: Effort) -> Line:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_trace(chat(LEAST), folder / "few.jsonl")
            write_trace(chat(effort.share(REQUESTS)), folder / "all.jsonl")
            _stages(folder / "few.jsonl", policy)
            runs = [_stages(folder / "all.jsonl", policy) for _ in range(effort.repeat)]
        best = (min(seconds) for seconds in zip(*runs, strict=True))
        figures = {f"{stage}_ms": round(s * 1e3, 2) for stage, s in zip(STAGES, best, strict=True)}
        return {"requests": effort.share(REQUESTS), **figures, "rss_mb": rss_mb()}

    return case


def _stages(path: Path, policy: str) -> list[float]:
    """CPU seconds of each stage of a run."""
    moments = [process_time()]
    trace = read_trace(path)
    moments.append(process_time())
    setup = prepare(
        trace,
        model="gemma-3-27b",
        gpu="h200-sxm",
        policy=policy,
        max_num_seqs=256,
        enable_prefix_caching=False,
    )
    moments.append(process_time())
    replica = make_replica(setup)
    moments.append(process_time())
    replica.run()
    moments.append(process_time())
    result = make_result(setup, replica)
    moments.append(process_time())
    _ = result.requests, result.steps
    moments.append(process_time())
    result.save(path.parent / "out")
    moments.append(process_time())
    return [end - start for start, end in pairwise(moments)]


CASES = {policy: _case(policy) for policy in ("lcm", "paged")}
