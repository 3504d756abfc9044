"""The tables of ``jenga-sim trace inspect``."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from ..report import print_table, print_tables

if TYPE_CHECKING:
    from ...traces.inspection import Inspection
    from ...traces.stats import Distribution, LruFigures, PrefixFigures, SessionFigures

FINE_MS = 1.0
"""A clock that is no coarser does not show in the times between arrivals."""
COLUMNS = ("mean", "p10", "p50", "p90", "p99", "max")


def print_inspection(figures: "Inspection") -> None:
    """Print what is in a trace."""
    print_tables(lambda console, style: _print(console, figures, style))


def _print(console: Console, figures: "Inspection", style: box.Box) -> None:
    meta = figures.meta
    console.print(f"{meta.name}: format {meta.format}", style="bold", markup=False)
    console.print(_facts(_load(figures)))
    print_table(console, _lengths(figures), style)
    prompts = figures.prompts
    if prompts.prefixes is not None:
        console.print(_facts(_sharing(figures, prompts.prefixes)))
    if prompts.lru is not None:
        print_table(console, _hits(prompts.lru), style)
    if prompts.sessions is not None:
        print_table(console, _sessions(prompts.sessions), style)


def _facts(rows: list[tuple[str, str]]) -> Table:
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    for name, text in rows:
        table.add_row(name, text)
    return table


def _load(figures: "Inspection") -> list[tuple[str, str]]:
    arrivals = figures.arrivals
    rows = [
        ("requests", f"{arrivals.requests:,} in {_seconds(arrivals.span_s)}{_rate(figures)}"),
        ("arrivals", _burstiness(figures)),
    ]
    if figures.no_output:
        share = figures.no_output / arrivals.requests
        rows.append(("no output", f"{figures.no_output:,} requests ({share:.1%})"))
    if figures.correlation is not None:
        rows.append(("correlation", f"{figures.correlation:.2f} of input and output lengths"))
    return rows


def _rate(figures: "Inspection") -> str:
    rate = figures.arrivals.rate_per_s
    return "" if rate is None else f", {rate:.3g}/s"


def _burstiness(figures: "Inspection") -> str:
    arrivals = figures.arrivals
    if arrivals.cv is None:
        return "too few different times"
    text = f"CV {arrivals.cv:.2f}"
    coarse = arrivals.quantum_ms is not None and arrivals.quantum_ms > FINE_MS
    if coarse and arrivals.cv_spread is not None:
        text += (
            f", {arrivals.cv_spread:.2f} spread over quanta of {arrivals.quantum_ms:g} ms "
            f"({arrivals.per_timestamp_mean:.1f} requests each, at most "
            f"{arrivals.per_timestamp_max})"
        )
    if arrivals.idc60 is not None:
        text += f"; dispersion of counts per minute {arrivals.idc60:.3g}"
    return text


def _lengths(figures: "Inspection") -> Table:
    table = _distributions("Lengths in tokens", "tokens")
    for name, distribution in figures.lengths.items():
        if distribution is not None:
            _add(table, name.replace("_", " "), distribution)
    return table


def _sharing(figures: "Inspection", prefixes: "PrefixFigures") -> list[tuple[str, str]]:
    meta = figures.meta
    rows = [
        ("ideal hit", f"{prefixes.token_hit:.1%} of prompt tokens with an infinite cache"),
        (
            "blocks",
            f"{prefixes.references:,} of {meta.block_size} tokens, {prefixes.unique:,} different; "
            f"{prefixes.block_hit:.1%} hit, {prefixes.used_once:.0%} used once",
        ),
        (
            "requests",
            f"{prefixes.requests_with_hit:.2%} with a hit; the most common prefix goes on in "
            f"{prefixes.widest_fork:,} ways",
        ),
    ]
    if figures.without_hashes:
        rows.append(
            (
                "without ids",
                f"{figures.without_hashes:,} requests have no hash ids: they hit nothing",
            )
        )
    if prefixes.chain_share is not None:
        inferred = " (inferred)" if prefixes.chain_inferred else ""
        rows.append(
            (
                "hits",
                f"{prefixes.chain_share:.0%} from the same session{inferred}, "
                f"{1 - prefixes.chain_share:.0%} from a shared prefix",
            )
        )
    if prefixes.conflicts:
        rows.append(
            (
                "not chained",
                f"{prefixes.conflicts:,} ids follow different ids: they name contents, not "
                f"prefixes; {prefixes.any_hit:.1%} of the blocks were there before",
            )
        )
    if prefixes.reuse_s is not None:
        times = prefixes.reuse_s
        rows.append(
            (
                "reuse after",
                f"p10 {_seconds(times.p10)}, p50 {_seconds(times.p50)}, "
                f"p90 {_seconds(times.p90)}, p99 {_seconds(times.p99)}",
            )
        )
    return rows


def _hits(lru: "LruFigures") -> Table:
    estimate = ""
    if lru.sampling_rate < 1:
        estimate = f" (an estimate from {lru.sampling_rate:.2%} of the blocks)"
    table = Table(title=f"LRU hit of blocks by cache size{estimate}")
    for size in lru.sizes_tokens:
        table.add_column(f"{size / 1e6:g}M tokens", justify="right")
    table.add_row(*(f"{hit:.1%}" for hit in lru.size_hits))
    return table


def _sessions(sessions: "SessionFigures") -> Table:
    origin = "inferred from shared blocks" if sessions.inferred else "given"
    table = _distributions(
        f"Sessions: {sessions.sessions:,} {origin}, {sessions.follow_ups:.1%} follow-ups", "session"
    )
    rows: dict[str, Distribution | None] = {
        "turns": sessions.turns,
        "gap, s": sessions.gap_s,
        "think time, s": sessions.think_s,
        "new tokens per turn": sessions.new_tokens,
        "longest context": sessions.context_tokens,
    }
    for name, distribution in rows.items():
        if distribution is not None:
            _add(table, name, distribution)
    if sessions.hit is not None:
        table.add_row("hit", *(f"{getattr(sessions.hit, column):.1%}" for column in COLUMNS))
    return table


def _distributions(title: str, first: str) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for name in COLUMNS:
        table.add_column(name, justify="right")
    return table


def _add(table: Table, name: str, distribution: "Distribution") -> None:
    if distribution.relative_error:
        name = f"{name} (+-{distribution.relative_error:.1%})"
    table.add_row(name, *(_number(getattr(distribution, column)) for column in COLUMNS))


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:,.1f}"


def _seconds(seconds: float) -> str:
    """A time that people read: 0.25 s, 59 min, 4.5 h."""
    for unit, size in (("d", 172_800.0), ("h", 7_200.0), ("min", 600.0)):
        if seconds >= size:
            return f"{seconds / {'d': 86_400, 'h': 3_600, 'min': 60}[unit]:.3g} {unit}"
    return f"{seconds:.3g} s"
