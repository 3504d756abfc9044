"""``jenga-sim trace generate``: synthetic traffic with stated statistics."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .output import to_option, write

if TYPE_CHECKING:
    from ...traces import Trace


FAR = 0.1
"""Share by which a rate may miss without a word."""

WORKLOADS = """Workloads: chat, agent, rag, doc-qa, mmlu-pro, mmmu-pro, reasoning, vlm, lengths.
Arrivals: poisson, constant, gamma, weibull, on-off, diurnal, clients, at-once. --list has keys."""


@click.command(epilog=WORKLOADS, context_settings={"help_option_names": ["-h", "--help"]})
@click.argument("output", type=click.Path(path_type=Path), required=False)
@click.option(
    "--workload", default="chat", show_default=True, help="What arrives: NAME or NAME:key=value,..."
)
@click.option("--arrivals", help="When: NAME or NAME:key=value,...; default: the workload's.")
@click.option("--rate", type=float, help="Mean requests per second; default 1.")
@click.option("--requests", type=int, help="Number of requests.")
@click.option("--duration", type=float, help="Seconds after which nothing arrives.")
@click.option("--seed", type=int, default=0, show_default=True, help="Equal seeds, equal bytes.")
@click.option("--list", "listed", is_flag=True, help="List workloads, arrivals and their keys.")
@click.option("--quiet", "-q", is_flag=True, help="Say nothing on standard error.")
@to_option
def command(
    output: Path | None,
    workload: str,
    arrivals: str | None,
    rate: float | None,
    requests: int | None,
    duration: float | None,
    seed: int,
    listed: bool,
    quiet: bool,
    to: str,
) -> None:
    """Write a synthetic trace to OUTPUT (.jsonl or .jsonl.gz).

    \b
    jenga-sim trace generate chat.jsonl --requests 1000 --rate 4
    jenga-sim trace generate agents.jsonl.gz --workload agent:turns=60 --duration 3600 --rate 0.5
    jenga-sim trace generate bursts.jsonl --workload lengths --arrivals gamma:cv=13 --requests 5000
    """  # noqa: D301  (click reads the backspace character: "do not wrap this paragraph")
    from ...traces.generate.generate import generate, parse_arrivals, parse_workload

    if listed:
        return _list()
    if output is None:
        raise click.UsageError("give OUTPUT, or --list")
    what = parse_workload(workload)
    when = parse_arrivals(arrivals or what.ARRIVALS, rate)
    if requests is None and duration is None:
        raise click.UsageError("give --requests or --duration")
    reached = _Reached()
    parts = generate(what, when, requests=requests, duration_s=duration, seed=seed)
    write(reached.over(parts), output, to, quiet=quiet)
    if not quiet and reached.is_far_from(when.rate_per_s):
        click.echo(
            f"note: {reached.rate_per_s:.3g} requests/s instead of {when.rate_per_s:g}: sessions "
            "start at time 0, and the last ones are cut short; a longer trace comes closer",
            err=True,
        )
    return None


class _Reached:
    """Counts requests as they pass, for the rate that came out."""

    def __init__(self) -> None:
        self._count = self._last_ns = 0

    def over(self, parts: "Iterable[Trace]") -> "Iterator[Trace]":
        for part in parts:
            self._count += len(part)
            self._last_ns = int(part.arrival_ns[-1])
            yield part

    @property
    def rate_per_s(self) -> float:
        return self._count / (self._last_ns / 1e9) if self._last_ns else 0.0

    def is_far_from(self, rate_per_s: float) -> bool:
        return bool(self._last_ns) and abs(self.rate_per_s / rate_per_s - 1) > FAR


def _list() -> None:
    from ...traces.generate.generate import ARRIVALS, WORKLOADS
    from ...traces.words import described

    for title, kinds in (("Workloads", WORKLOADS), ("Arrivals", ARRIVALS)):
        click.echo(f"{title}:")
        for kind in kinds.values():
            summary = (kind.__doc__ or "").strip().splitlines()[0]
            click.echo(f"  {described(kind(), defaults=True)}\n      {summary}")
