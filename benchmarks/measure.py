"""How runs and readings are measured: CPU time of the process, best of some, and its own memory.

Start-up and compiling are no part of it. Compare lines of one machine only.
"""

import resource
import sys
import time
from collections.abc import Callable
from typing import Any

from cases import LEAST, Effort, Line

from jenga_sim import Trace
from jenga_sim.sim.run import prepare, simulate

SHORT_SECONDS = 1.0
"""Of CPU time that runs of a case take together, at least."""


def simulated(trace: Trace, effort: Effort, *, gpu: str = "h200-sxm", **settings: Any) -> Line:
    """Figures of a run of gemma-3-27b, with ``settings`` of ``run``; reading is not counted."""
    settings = {"model": "gemma-3-27b", "gpu": gpu, **settings}
    # The first run loads, or compiles, what it calls.
    _timed(trace.head(LEAST), settings)
    runs = [_timed(trace, settings) for _ in range(effort.repeat)]
    # Memory that is touched for the first time may cost a virtual machine more than the run.
    while sum(seconds for seconds, _ in runs) < SHORT_SECONDS and not effort.quick:
        runs.append(_timed(trace, settings))
    best, summary = min(runs, key=lambda run: run[0])
    return {
        "requests": len(trace),
        "steps": summary["num_steps"],
        "mean_batch": round(summary["batch_size"]["mean"], 1),
        "preemptions": summary["num_preemptions"],
        "cpu_seconds": round(best, 4),
        "requests_per_cpu_second": round(len(trace) / best),
        "steps_per_cpu_second": round(summary["num_steps"] / best),
        "rss_mb": rss_mb(),
    }


def _timed(trace: Trace, settings: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    """CPU seconds of one run, and its summary."""
    setup = prepare(trace, **settings)
    started = time.process_time()
    result = simulate(setup)
    return time.process_time() - started, result.summary


def worked(requests: int, effort: Effort, work: Callable[[], object]) -> Line:
    """Figures of something that is done with so many requests."""
    best = float("inf")
    for _ in range(effort.repeat):
        started = time.process_time()
        work()
        best = min(best, time.process_time() - started)
    return {
        "requests": requests,
        "cpu_seconds": round(best, 4),
        "requests_per_cpu_second": round(requests / best),
        "rss_mb": rss_mb(),
    }


def rss_mb() -> int:
    """The most memory that this process ever had resident, in MB."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            # What ``getrusage`` says may be that of the process from which this one was forked.
            return round(next(int(x.split()[1]) for x in file if x.startswith("VmHWM")) / 1e3)
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)
