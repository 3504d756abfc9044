"""``jenga-sim trace``: look at traces, convert, cut, mix and make them."""

import click

from ..lazy import LazyGroup

VERBS = {
    "inspect": ("inspect", "Say what is in a trace: load, lengths, shared prefixes, sessions."),
    "convert": ("convert", "Write a trace of any known format as JSONL, changed if wanted."),
    "slice": ("slice", "Write a part of a trace: by time, number or session."),
    "merge": ("merge", "Write several traces as one."),
    "generate": ("generate", "Make a synthetic trace with stated statistics."),
    "formats": ("formats", "List the formats that are read."),
}


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    package=__name__,
    context_settings={"help_option_names": ["-h", "--help"]},
)
def command() -> None:
    """Look at request traces, convert, cut, mix and make them."""
