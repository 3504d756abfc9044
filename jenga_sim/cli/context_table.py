"""The table of ``jenga-sim max-context``."""

from rich import box
from rich.console import Console
from rich.table import Table

from ..sim.max_context import LongestRequest, MaxContext
from .report import print_tables

GIB = 1 << 30
MEANING = (
    "All bytes are one GPU's. Longest: tokens of one request, alone in an empty pool, that is "
    "served from its prompt on: about (pool - windows and states) / bytes per token, less what "
    "pages and fixed parts leave over. Windows and states: at most while the prompt is computed, "
    "which jenga does at once and others in chunks. Servable: what max_model_len allows of it. "
    "Prefix caching is off."
)


def print_contexts(found: MaxContext) -> None:
    """Print how the pool comes about, and one row per policy."""
    print_tables(lambda console, style: _print(console, found, style))


def _print(console: Console, found: MaxContext, style: box.Box) -> None:
    title = f"{found.model.name} on {found.engine.tp} x {found.gpu.name}"
    console.print(f"{title}: longest single request", style="bold")
    console.print(_pool(found))
    table = _table(found)
    table.box = style
    console.print(table)
    for each in found.longest:
        if each.refused is not None:
            # Plain text: brackets would be read as mark-up.
            console.print(f"{each.policy} serves nothing: {each.refused}", markup=False)
    for text in found.warnings:
        console.print(f"warning: {text}", style="yellow", markup=False)
    console.print(MEANING, style="dim")


def _pool(found: MaxContext) -> Table:
    rows = Table(show_header=False, box=None, pad_edge=False)
    rows.add_column(style="dim", no_wrap=True)
    rows.add_column(justify="right", no_wrap=True)
    rows.add_column()
    sums = found.pool.sums
    if sums is None:
        rows.add_row("pool of a GPU", f"{found.pool.bytes:,}", found.pool.explanation)
    else:
        tp = found.engine.tp
        rows.add_row("memory of a GPU", f"{sums.memory:,}", f"bytes, {found.gpu.name}")
        rows.add_row(f"x {sums.utilization:g}", f"{sums.usable:,}", "--gpu-memory-utilization")
        weights = f"{found.model.weight_dtype}, {found.model.weight_bytes:,} / {tp}"
        rows.add_row("- weights", f"{sums.weights:,}", weights)
        rows.add_row("- overhead", f"{sums.overhead:,}", sums.overhead_source)
        rows.add_row("= pool", f"{found.pool.bytes:,}", f"{found.pool.bytes / GIB:.2f} GiB")
    limit = f"{found.model.max_model_len:,} positions in the config"
    if found.engine.max_model_len != found.model.max_model_len:
        limit += f", {found.engine.max_model_len:,} by --max-model-len"
    rows.add_row("model", "", limit)
    return rows


def _table(found: MaxContext) -> Table:
    table = Table()
    table.add_column("policy", no_wrap=True)
    for name in ("bytes/token", "windows, states", "longest", "of positions", "servable"):
        table.add_column(name, justify="right")
    for each in found.longest:
        cells = ["-"] * 5 if each.refused is not None else _cells(each, found.model.max_model_len)
        table.add_row(each.policy, *cells)
    return table


def _cells(each: LongestRequest, positions: int) -> list[str]:
    longest, share = "no limit", ""
    if each.tokens is not None:
        longest, share = f"{each.tokens:,}", f"{each.tokens / positions:,.0%}"
    return [
        f"{each.token_bytes:,.10g}",
        f"{each.bounded_bytes:,}",
        longest,
        share,
        f"{each.allowed_tokens:,}",
    ]
