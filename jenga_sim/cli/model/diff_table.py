"""The tables of ``jenga-sim model diff``."""

from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from ..report import print_tables
from .units import in_bytes, in_tokens


def print_diff(found: dict[str, Any]) -> None:
    """Print what differs; what is alike is named in one line."""
    print_tables(lambda console, style: _print(console, found, style))


def _print(console: Console, found: dict[str, Any], style: box.Box) -> None:
    first, second = found["models"]
    facts = Table(box=style)
    caches = Table(box=style, title="Caches, bytes of one layer", title_justify="left")
    needs = Table(box=style, title="One request needs, bf16", title_justify="left")
    for table, title in ((facts, ""), (caches, "kind"), (needs, "tokens")):
        table.add_column(title, no_wrap=True)
        table.add_column(first, justify="right")
        table.add_column(second, justify="right")
    alike: list[str] = []
    for key, (one, other) in found["facts"].items():
        if one == other and one is not None:
            alike.append(key)
        else:
            facts.add_row(key, _value(one), _value(other))
    for label, (one, other) in found["caches"].items():
        caches.add_row(label, _cache(one), _cache(other))
    for tokens, (one, other) in found["kv_bytes_at"].items():
        ratio = f"  ({other / one:.2f}x)" if one else ""
        needs.add_row(in_tokens(int(tokens)), in_bytes(one), f"{in_bytes(other)}{ratio}")
    if facts.row_count:
        console.print(facts)
    if alike:
        console.print(f"alike: {', '.join(alike)}", style="dim")
    console.print(caches)
    if found["same_caches"]:
        console.print("the caches are the same")
    console.print(needs)


def _value(value: Any) -> str:
    if value is None:
        return "unknown"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _cache(each: dict[str, Any] | None) -> str:
    if each is None:
        return "-"
    state = each["conv_state"] + each["ssm_state"]
    size = f"{state:,} a request" if state else f"{each['bytes_per_token_bf16']:,} a token"
    if each["tokens_per_entry"] > 1:
        size = f"{each['bytes_per_token_bf16']:,} per {each['tokens_per_entry']} tokens"
    return f"{each['layers']} x {size}"
