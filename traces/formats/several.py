"""Result files that hold several runs: which one is read."""

from __future__ import annotations

from collections.abc import Sequence

from ...configs.errors import TraceError
from ..problems import Problems
from ..source import Source
from ..text import shown


def chosen_run(source: Source, names: Sequence[str], problems: Problems) -> int:
    """Return the position of the run to read, and note that there are others.

    Args:
        source: The file, and which run its user wants; the last one by default.
        names: What to call each run.
        problems: Where the choice is noted.

    Raises:
        TraceError: There is no such run.
    """
    if not names:
        raise TraceError(f"{source.path}: has no runs")
    run = len(names) if source.run is None else source.run
    if not 1 <= run <= len(names):
        raise TraceError(f"{source.path}: run: must be from 1 to {len(names)}, is {run}")
    if len(names) > 1:
        listed = shown("; ".join(f"{n}: {name}" for n, name in enumerate(names, 1)), limit=400)
        problems.notes.append(
            f"{source.path.name} holds {len(names)} runs ({listed}); run {run} is read, "
            "--recorded-run N takes another"
        )
    return run - 1
