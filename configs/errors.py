"""Errors that a user sees, each with the exit code of the command line.

Exit codes: 0 done, 1 an SLO or check is not met, 2 configuration, 3 trace, 4 ``verify`` found a
difference, 5 an invariant broke (or a run cannot make progress), 130 interrupted.
"""


class JengaError(Exception):
    """Base of every error that the command line prints as one message without a stack trace."""

    exit_code = 1


class ConfigError(JengaError):
    """A model, GPU, engine or policy setting is unknown, contradictory or impossible."""

    exit_code = 2


class TraceError(JengaError):
    """A trace cannot be read; the message names file, line and field."""

    exit_code = 3


class InvariantError(JengaError):
    """The books of a memory manager do not balance: a defect, never the user's fault."""

    exit_code = 5


class StalledError(JengaError):
    """Requests are waiting, nothing runs, nothing will arrive: the run cannot make progress."""

    exit_code = 5
