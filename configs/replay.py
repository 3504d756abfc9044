"""How a trace is replayed: by its clock, by its sessions, or with so many sessions at once."""

from dataclasses import dataclass
from typing import Literal, get_args

from .errors import ConfigError

ReplayMode = Literal["open", "session", "closed"]
ZeroOutput = Literal["one", "prefill", "skip"]


@dataclass(frozen=True)
class ReplayConfig:
    """When requests arrive.

    Attributes:
        mode: ``open``: each request at its timestamp, whatever the engine does. ``session``: a
            request that comes after others when all of them have ended, and its think time has
            passed; the others at their timestamps. ``closed``: so too, but a session begins when
            another one has ended, so that always ``concurrency`` of them are in flight.
        concurrency: Sessions in flight, at least 1; for ``closed`` only.
        zero_output: What becomes of requests without an output. ``one``: each generates one token,
            as an engine always does; ``prefill``: the prompt is computed, and the token that comes
            out is not counted; ``skip``: they are left out.

    Raises:
        ConfigError: A value is out of range, or ``concurrency`` does not go with ``mode``.
    """

    mode: ReplayMode = "open"
    concurrency: int | None = None
    zero_output: ZeroOutput = "one"

    def __post_init__(self) -> None:
        modes, wanted = get_args(ReplayMode), self.concurrency
        if self.mode not in modes:
            raise ConfigError(f"replay.mode: {self.mode!r} is none of {', '.join(modes)}")
        if self.zero_output not in get_args(ZeroOutput):
            choices = ", ".join(get_args(ZeroOutput))
            raise ConfigError(f"replay.zero_output: {self.zero_output!r} is none of {choices}")
        if self.mode == "closed" and wanted is None:
            raise ConfigError(
                "replay.concurrency: closed needs the number of sessions in flight; give 1 or more"
            )
        if self.mode != "closed" and wanted is not None:
            raise ConfigError(
                f"replay.concurrency: {wanted!r} was given, but {self.mode} has no such limit; "
                "choose closed, or leave it out"
            )
        if wanted is not None and (type(wanted) is not int or wanted < 1):
            raise ConfigError(f"replay.concurrency: must be a positive whole number, is {wanted!r}")
