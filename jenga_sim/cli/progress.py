"""Progress on standard error, and Ctrl-C that keeps what is done."""

import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any

import click
import numpy as np

from ..sim.engine import Hooks, Replica
from ..sim.requests import FINISHED, STATUS

QUIET_SECONDS = 2.0
"""Runs shorter than this say nothing."""
LOOK_SECONDS = 0.2
"""Between two looks at the requests, which may be a million."""
LINE_SECONDS = 10.0
"""Between two lines where standard error is no terminal."""


COMPILING = "note: compiling the engine for this kind of run, once: 10 to 20 s"


class Progress:
    """Shows how many requests are done; the first Ctrl-C ends the run in order."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._interrupted = False
        self._started = self._shown = time.monotonic()
        self._looked = -LOOK_SECONDS
        self._bar: Any = None
        self._task: Any = None
        self._previous: Any = None
        self.hooks = Hooks(
            after_step=self._after_step,
            should_stop=lambda: self._interrupted,
            before_compiling=self._before_compiling,
        )

    def __enter__(self) -> "Progress":
        self._previous = signal.signal(signal.SIGINT, self._interrupt)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        signal.signal(signal.SIGINT, self._previous)
        if self._bar is not None:
            self._bar.stop()

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        if self._interrupted:
            raise KeyboardInterrupt
        self._interrupted = True

    def _before_compiling(self) -> None:
        if not self._quiet:
            click.echo(COMPILING, err=True)

    def _after_step(self, replica: Replica) -> None:
        if self._quiet:
            return
        now = time.monotonic()
        # Steps take microseconds: nobody sees more than a few pictures a second.
        if now - self._started < QUIET_SECONDS or now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        finished = np.count_nonzero(replica.requests.table[STATUS] == FINISHED)
        done = int(finished) + len(replica.rejected)
        clock = replica.now_ns / 1e9
        if sys.stderr.isatty():
            self._draw(done, clock)
        elif now - self._shown >= LINE_SECONDS:
            self._shown = now
            print(
                f"{done:,} of {self._total:,} requests, {clock:,.0f} s simulated", file=sys.stderr
            )

    def _draw(self, done: int, clock: float) -> None:
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as RichProgress

            self._bar = RichProgress(
                TextColumn("{task.completed:,.0f}/{task.total:,.0f} requests"),
                BarColumn(),
                TextColumn("{task.fields[clock]:,.0f} s simulated"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task("run", total=self._total, clock=clock)
        self._bar.update(self._task, completed=done, clock=clock)
