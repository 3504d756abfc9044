"""The table of ``jenga-sim model groups``."""

from collections import Counter

from rich import box
from rich.console import Console
from rich.table import Table

from ...policies.grouping.layer_groups import LayerGroup
from ...sim.startup import Startup
from ..report import print_tables

MEANING = (
    "Concurrency is the number of requests of max_model_len tokens that the blocks hold at once, "
    "each with as many blocks as it ever needs; capacity is that number x max_model_len. vLLM logs "
    "both at start-up. Shorter requests take fewer blocks of the groups that keep every token."
)


def print_groups(startup: Startup) -> None:
    """Print one row per distinct shape of a group, then the figures of the pool."""
    print_tables(lambda console, style: _print(console, startup, style))


def _print(console: Console, startup: Startup, style: box.Box) -> None:
    figures, limits = startup.capacity, startup.limits
    console.print(f"{startup.name}: {_count(len(startup.groups), 'KV cache group')}", style="bold")
    table = _table(startup.groups, figures.bytes_per_block)
    table.box = style
    console.print(table)
    rows = Table(show_header=False, box=None, pad_edge=False)
    rows.add_column(style="dim")
    rows.add_column()
    rows.add_row(
        "pool",
        f"{figures.num_blocks:,} blocks of {figures.bytes_per_block:,} bytes "
        f"in {limits.kv_bytes:,} bytes",
    )
    hashes = f", prefix hash {figures.hash_block_size:,} tokens"
    if not limits.enable_prefix_caching:
        hashes = ""
    rows.add_row(
        "block sizes",
        f"scheduler {figures.scheduler_block_size:,} tokens{hashes}",
    )
    rows.add_row("capacity", f"{figures.capacity_tokens:,} tokens")
    rows.add_row(
        "concurrency",
        f"{figures.max_concurrency:,.2f} requests of {limits.max_model_len:,} tokens",
    )
    console.print(rows)
    console.print(MEANING, style="dim")


def _table(groups: tuple[LayerGroup, ...], block_bytes: int) -> Table:
    shapes = Counter(
        (group.type_name, len(group.specs), group.block_size, group.content_bytes)
        for group in groups
    )
    table = Table()
    table.add_column("type", no_wrap=True)
    for name in ("groups", "layers each", "tokens/block", "bytes/block", "padding %"):
        table.add_column(name, justify="right")
    for (name, layers, block_size, content), count in shapes.items():
        padding = 100 * (1 - content / block_bytes)
        sizes = (f"{number:,}" for number in (count, layers, block_size, content))
        # Plain text: brackets would be read as mark-up.
        table.add_row(name.replace("[", r"\["), *sizes, f"{padding:.2f}")
    return table


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
