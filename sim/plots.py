"""The two pictures of a run. The only place that draws; figures are made without a display."""

from pathlib import Path
from typing import TYPE_CHECKING

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from .result import Result

GIB = 1 << 30
WASTE_COLORS = {
    "cached": "#8fbc8f",
    "dead": "#c0392b",
    "padding": "#e67e22",
    "internal": "#f1c40f",
    "external": "#8e44ad",
    "reserved": "#7f8c8d",
    "free": "#ecf0f1",
}
KIND_COLORS = ("#1f4e79", "#2e86c1", "#5dade2", "#1abc9c", "#117864", "#aed6f1", "#154360")


def memory_figure(result: "Result") -> Figure:
    """The pool over time: what each layer kind needs, and where the rest of the bytes are."""
    figure = _figure(result, "KV pool of one GPU over time")
    axes = figure.add_subplot()
    steps = result.steps
    if steps.empty:
        return _nothing(figure, axes)
    kinds = [name.split(":", 1)[1] for name in steps.columns if name.startswith("needed:")]
    series = [(f"needed: {kind}", steps[f"needed:{kind}"] / GIB) for kind in kinds]
    colors = [KIND_COLORS[index % len(KIND_COLORS)] for index in range(len(kinds))]
    for part, color in WASTE_COLORS.items():
        if steps[part].any():
            series.append((part, steps[part] / GIB))
            colors.append(color)
    axes.stackplot(
        _seconds(steps),
        *(values for _, values in series),
        labels=[label for label, _ in series],
        colors=colors,
        step="post",
        linewidth=0,
    )
    axes.set_ylabel("GiB")
    axes.set_xlabel("time since the first arrival, s")
    axes.margins(x=0, y=0)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def batch_figure(result: "Result") -> Figure:
    """Requests that run and wait over time."""
    figure = _figure(result, "Requests running and waiting over time")
    axes = figure.add_subplot()
    steps = result.steps
    if steps.empty:
        return _nothing(figure, axes)
    seconds = _seconds(steps)
    axes.step(seconds, steps["running"], where="post", color="#1f4e79", label="running")
    axes.set_ylabel("running")
    axes.set_xlabel("time since the first arrival, s")
    axes.set_ylim(bottom=0)
    axes.margins(x=0)
    queue = axes.twinx()
    queue.step(seconds, steps["waiting"], where="post", color="#c0392b", label="waiting", lw=0.8)
    queue.set_ylabel("waiting", color="#c0392b")
    queue.set_ylim(bottom=0, top=max(1, steps["waiting"].max()) * 1.05)
    queue.margins(x=0)
    lines = [*axes.get_lines(), *queue.get_lines()]
    axes.legend(lines, [str(line.get_label()) for line in lines], loc="upper left")
    return figure


def memory_over_time(result: "Result", path: Path) -> None:
    """Write ``memory_figure`` as a PNG."""
    _write(memory_figure(result), path)


def batch_over_time(result: "Result", path: Path) -> None:
    """Write ``batch_figure`` as a PNG."""
    _write(batch_figure(result), path)


def _figure(result: "Result", title: str) -> Figure:
    figure = Figure(figsize=(10, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    summary = result.summary
    run = f"{summary['model_id']}, {summary['num_gpus']} x {summary['gpu']}, {summary['policy']}"
    incomplete = "" if summary["complete"] else " (interrupted)"
    figure.suptitle(f"{title}: {run}{incomplete}", fontsize=11)
    return figure


def _seconds(steps: "pd.DataFrame") -> "pd.Series[float]":
    return (steps["start_ms"] - steps["start_ms"].iloc[0]) / 1e3


def _nothing(figure: Figure, axes: "Axes") -> Figure:
    axes.text(0.5, 0.5, "no step was simulated", ha="center", va="center")
    return figure


def _write(figure: Figure, path: Path) -> None:
    # Without metadata the same run gives the same bytes.
    figure.savefig(path, format="png", metadata={"Software": None})
