"""The picture of a trace: load, lengths, what a prefix cache of some size hits, sessions."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ..traces.inspection import Inspection

_LEAST_TICKS = 10
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))
BLUE, RED, GREY = "#1f4e79", "#c0392b", "#7f8c8d"


def trace_figure(inspection: "Inspection") -> Figure:
    """Four panels: arrivals over time, lengths, hits by cache size, and reuse or turns."""
    figure = Figure(figsize=(11, 7.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    arrivals = inspection.arrivals
    rate = "" if arrivals.rate_per_s is None else f", {arrivals.rate_per_s:.3g}/s"
    figure.suptitle(f"{inspection.meta.name}: {arrivals.requests:,} requests{rate}", fontsize=11)
    first, second, third, fourth = figure.subplots(2, 2).flat
    _arrivals(first, inspection)
    _lengths(second, inspection)
    _hits(third, inspection)
    _quantiles(fourth, inspection)
    return figure


def draw_trace(inspection: "Inspection", path: Path) -> None:
    """Write ``trace_figure`` as a PNG."""
    # Without metadata the same trace gives the same bytes.
    trace_figure(inspection).savefig(path, format="png", metadata={"Software": None})


def _arrivals(axes: "Axes", inspection: "Inspection") -> None:
    axes.set_title("Arrivals", fontsize=10)
    timeline = inspection.timeline
    counts, width_ns = timeline.counts, timeline.width_ns
    tick_ms = inspection.arrivals.quantum_ms or 0.0
    while width_ns < _LEAST_TICKS * tick_ms * 1e6 and len(counts) > 4:
        # Few ticks of a coarse clock per bin would beat with the bins.
        counts = np.append(counts, np.zeros(len(counts) % 2, np.int64)).reshape(-1, 2).sum(axis=1)
        width_ns *= 2
    if len(counts) < 2:
        return _nothing(axes, "all requests arrive at once")
    width_s = width_ns / 1e9
    # The last bin is cut short by the end of the trace, and would look like a drop.
    whole = counts[:-1] / width_s
    span_s = len(whole) * width_s
    unit, size = next((pair for pair in _UNITS if span_s >= 3 * pair[1]), ("s", 1))
    axes.stairs(whole, np.arange(len(counts)) * width_s / size, color=BLUE, fill=True, alpha=0.8)
    axes.set_xlabel(f"time since the first arrival, {unit}")
    axes.set_ylabel(f"requests per second, in bins of {width_s:g} s")
    axes.margins(x=0)
    axes.set_ylim(bottom=0)


def _lengths(axes: "Axes", inspection: "Inspection") -> None:
    axes.set_title("Lengths", fontsize=10)
    for name, color in (("input", BLUE), ("output", RED)):
        values, counts = inspection.tables[name]
        share = np.cumsum(counts) / max(int(counts.sum()), 1)
        axes.step(np.maximum(values, 0.5), share, where="post", color=color, label=name)
    axes.set_xscale("log")
    axes.set_xlabel("tokens")
    axes.set_ylabel("share of requests up to")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="lower right")
    axes.grid(alpha=0.3)


def _hits(axes: "Axes", inspection: "Inspection") -> None:
    axes.set_title("Prefix cache: LRU hit by size", fontsize=10)
    lru, prefixes = inspection.prompts.lru, inspection.prompts.prefixes
    if lru is None or prefixes is None:
        return _nothing(axes, "the trace has no hash ids")
    axes.plot(lru.curve_tokens, lru.curve_hits, color=BLUE, label="blocks hit")
    axes.axhline(
        prefixes.token_hit,
        color=GREY,
        ls="--",
        lw=1,
        label=f"tokens, infinite cache: {prefixes.token_hit:.1%}",
    )
    axes.set_xscale("log")
    axes.set_xlabel("tokens that the cache holds")
    axes.set_ylabel("hit")
    axes.set_ylim(0, max(1.1 * max(prefixes.block_hit, prefixes.token_hit), 0.01))
    axes.legend(loc="center left")
    axes.grid(alpha=0.3)


def _quantiles(axes: "Axes", inspection: "Inspection") -> None:
    """Quantiles of times: how long until a block is used again, and between turns."""
    axes.set_title("Time until a block is used again, and between turns", fontsize=10)
    prefixes, sessions = inspection.prompts.prefixes, inspection.prompts.sessions
    named = [
        ("reuse of a block", None if prefixes is None else prefixes.reuse_s, BLUE),
        ("from turn to turn", None if sessions is None else sessions.gap_s, RED),
        ("think time", None if sessions is None else sessions.think_s, GREY),
    ]
    shares = (0.1, 0.5, 0.9, 0.99)
    drawn = False
    for name, times, color in named:
        if times is None:
            continue
        drawn = True
        seconds = np.array([times.p10, times.p50, times.p90, times.p99])
        # What comes back within one tick of the clock has no place on a logarithmic axis.
        seen = seconds > 0
        axes.plot(seconds[seen], np.array(shares)[seen], "o-", color=color, label=name)
    if not drawn:
        return _nothing(axes, "no block and no session comes back")
    axes.set_xscale("log")
    axes.set_xlabel("s (p10, p50, p90, p99)")
    axes.set_ylabel("share up to")
    axes.set_ylim(0, 1.02)
    axes.legend(loc="upper left")
    axes.grid(alpha=0.3)


def _nothing(axes: "Axes", why: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, why, ha="center", va="center", transform=axes.transAxes)
