"""Progress on standard error, and Ctrl-C that keeps what is done."""

import signal
import sys
import time
from types import FrameType, TracebackType
from typing import Any

from ..sim.engine import Hooks, Replica
from ..sim.requests import Status

QUIET_SECONDS = 2.0
"""Runs shorter than this say nothing."""
LINE_SECONDS = 10.0
"""Between two lines where standard error is no terminal."""


class Progress:
    """Shows how many requests are done; the first Ctrl-C ends the run in order."""

    def __init__(self, total: int, *, quiet: bool) -> None:
        self._total = total
        self._quiet = quiet
        self._interrupted = False
        self._started = self._shown = time.monotonic()
        self._calls = 0
        self._bar: Any = None
        self._task: Any = None
        self._previous: Any = None
        self.hooks = Hooks(after_step=self._after_step, should_stop=lambda: self._interrupted)

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

    def _after_step(self, replica: Replica) -> None:
        self._calls += 1
        if self._quiet or self._calls % 256:
            return
        now = time.monotonic()
        if now - self._started < QUIET_SECONDS:
            return
        done = replica.requests.status.count(Status.FINISHED) + len(replica.rejected)
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
