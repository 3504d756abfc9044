"""The table of a run on standard output."""

import os
from collections.abc import Callable
from io import StringIO
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from ..sim.metrics import PERCENTILES, quantile_row

PARTS = ("needed", "cached", "dead", "padding", "internal", "external", "reserved", "free")
PLAIN_WIDTH = 100
UNLIMITED = 1000
"""Characters that no table needs."""
LATENCIES = (("TTFT", "ttft"), ("TPOT", "tpot"), ("ITL", "itl"), ("E2E", "e2el"))


def print_result(summary: dict[str, Any]) -> None:
    """Print what a run found."""
    print_tables(lambda console, style: _print(console, summary, style))


def print_tables(draw: Callable[[Console, box.Box], None]) -> None:
    """Let ``draw`` print: as wide as the terminal, where there is none as COLUMNS says, or 100."""
    console = Console(highlight=False)
    if console.is_terminal:
        draw(console, box.HEAVY_HEAD)
        return
    # Plain ASCII, which every locale can print and Markdown renders.
    text = StringIO()
    draw(Console(file=text, highlight=False, width=_plain_width()), box.MARKDOWN)
    for line in text.getvalue().splitlines():
        click.echo(line.rstrip())


def _plain_width() -> int:
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isascii() and given.isdigit() and int(given) else PLAIN_WIDTH


def print_table(console: Console, table: Table, style: box.Box) -> None:
    """Print a table below its title, which may be wider than the table.

    A table of more numbers than the width holds is wider: no figure is cut.
    """
    title, table.title, table.box = table.title, None, style
    if title is not None:
        console.print(title, style="italic", markup=False)
    least = Measurement.get(console, console.options.update(width=UNLIMITED), table).minimum
    if least > console.width:
        table.width = least
    console.print(table, crop=False)


def _print(console: Console, summary: dict[str, Any], style: box.Box) -> None:
    title = (
        f"{summary['trace']}: {summary['model_id']} on {summary['num_gpus']} x {summary['gpu']}, "
        f"policy {summary['policy']}"
    )
    console.print(title if summary["complete"] else f"{title} (interrupted)", style="bold")
    console.print(_counts(summary))
    for table in (_latencies(summary), _memory(summary)):
        print_table(console, table, style)
    console.print(
        f"step times: {_step_times(summary['latency_model'])}; "
        f"KV pool: {summary['kv_pool']['explanation']}",
        style="dim",
    )


def _step_times(latency: dict[str, Any]) -> str:
    """Where they come from, and how wrong they may be."""
    if latency["uncertainty_pct"] is not None:
        return f"analytical roofline, about +-{latency['uncertainty_pct']:g} %"
    shares = ", ".join(f"{100 * share:.0f} % {name}" for name, share in latency["shares"].items())
    return f"{latency['model']}: {shares}; not checked against whole steps"


def _counts(summary: dict[str, Any]) -> Table:
    batch = summary["batch_size"]
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    unfinished = f", {summary['unfinished']:,} unfinished" if summary["unfinished"] else ""
    reasons = ", ".join(f"{count} {name}" for name, count in summary["rejected_by"].items())
    table.add_row(
        "requests",
        f"{summary['completed']:,} done, {summary['rejected']:,} rejected"
        f"{f' ({reasons})' if reasons else ''}, {summary['preempted']:,} preempted "
        f"({summary['num_preemptions']:,} times){unfinished}",
    )
    table.add_row(
        "throughput",
        f"{summary['request_throughput']:.3f} req/s, {summary['output_throughput']:,.1f} output "
        f"tok/s, {summary['total_token_throughput']:,.1f} tok/s; per GPU "
        f"{summary['request_throughput_per_gpu']:.3f} req/s, "
        f"{summary['output_throughput_per_gpu']:,.1f} output tok/s",
    )
    table.add_row(
        "batch size", f"mean {batch['mean']:.1f}, p95 {batch['p95']:.0f}, max {batch['max']:.0f}"
    )
    if summary["replay"]["mode"] != "open":
        table.add_row("replay", _replay(summary))
    table.add_row("duration", f"{summary['duration']:,.1f} s in {summary['num_steps']:,} steps")
    table.add_row("hit rate", _hits(summary))
    copies = summary["copies"]
    if copies["launches"]:
        table.add_row(
            "copies",
            f"{copies['bytes'] / 1e6:,.1f} MB moved within the pool of each GPU in "
            f"{copies['seconds'] * 1e3:,.2f} ms, {copies['share_of_busy_time']:.3%} of the steps",
        )
    return table


def _replay(summary: dict[str, Any]) -> str:
    """When requests arrived, and how many sessions they made up."""
    replay, sessions = summary["replay"], summary["sessions"]
    mode = "each session at its time"
    if replay["mode"] == "closed":
        mode = f"closed loop, {replay['concurrency']:,} sessions in flight"
    rejected = f", {sessions['rejected']:,} with a rejected request" if sessions["rejected"] else ""
    mean, p99 = sessions["mean_duration_ms"], sessions["p99_duration_ms"]
    took = "" if mean is None else f", mean {mean / 1e3:,.1f} s, p99 {p99 / 1e3:,.1f} s each"
    return (
        f"{mode}; {sessions['completed']:,} of {sessions['num']:,} sessions done{rejected}, "
        f"{sessions['throughput']:.3f} sessions/s{took}"
    )


def _hits(summary: dict[str, Any]) -> str:
    """Share of prompt tokens found in the cache, and the kind that cost the most hits."""
    rate = f"{summary['prefix_hit_rate']:.1%} of prompt tokens"
    if not summary["prefix_caching"]:
        return f"{rate} (prefix caching off)"
    limits = [
        f"{label} in {limit['requests']:,} requests ({limit['tokens']:,} tokens)"
        for label, limit in summary["hit_limiter"].items()
    ]
    return f"{rate}; limiter: {', '.join(limits) or 'none'}"


def _latencies(summary: dict[str, Any]) -> Table:
    table = Table(title="Latency, ms", title_justify="left")
    table.add_column("")
    for name in ("mean", *(f"p{percent}" for percent in PERCENTILES)):
        table.add_column(name, justify="right")
    for title, key in LATENCIES:
        values = [summary[f"mean_{key}_ms"], *quantile_row(summary, key)]
        table.add_row(title, *("-" if value is None else f"{value:,.1f}" for value in values))
    return table


def _memory(summary: dict[str, Any]) -> Table:
    waste = f"waste {summary['waste']:.1%} of the bytes held"
    table = Table(title=f"KV pool, % of bytes x time; {waste}", title_justify="left")
    table.add_column("", no_wrap=True)
    for part in PARTS:
        table.add_column(part, justify="right")
    for label, parts in summary["memory_by_kind"].items():
        table.add_row(label, *(_percent(parts.get(part)) for part in PARTS))
    table.add_row("total", *(_percent(summary["memory"][part]) for part in PARTS), style="bold")
    return table


def _percent(share: float | None) -> str:
    return "" if share is None else f"{100 * share:.2f}"
