"""The table of ``jenga-sim model list``."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ..report import print_tables
from .units import in_bytes, in_tokens


def print_list(rows: list[dict[str, Any]]) -> None:
    """Print one line per model."""
    print_tables(lambda console, style: _print(console, rows, style))


def _print(console: Console, rows: list[dict[str, Any]], style: box.Box) -> None:
    table = Table(box=style)
    table.add_column("model", no_wrap=True)
    for name in ("params", "active", "positions", "KV at 32k"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("caches")
    for row in rows:
        table.add_row(
            row["name"],
            f"{row['params_total'] / 1e9:,.1f} B",
            f"{row['params_active'] / 1e9:,.1f} B",
            in_tokens(row["max_model_len"]),
            in_bytes(row["kv_bytes_32k"]),
            " + ".join(f"{count} {label}" for label, count in row["caches"].items()),
        )
    console.print(table)
    console.print(
        f"{len(rows)} models. KV at 32k: what a request of 32,768 tokens needs, bf16, all GPUs "
        "together. jenga-sim model show NAME says more.",
        style="dim",
    )
