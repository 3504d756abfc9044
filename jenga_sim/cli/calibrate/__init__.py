"""``jenga-sim calibrate``: profiles of kernel times, made and looked at."""

import click

from ..lazy import LazyGroup

VERBS = {
    "import": ("imports", "Make a profile from others' measurements."),
    "fit": ("fit", "Fit the priors of a profile, and say how far off it is."),
    "show": ("show", "Say what a profile has, and how far off it is."),
}


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    package=__name__,
    context_settings={"help_option_names": ["-h", "--help"]},
)
def command() -> None:
    """Make and look at profiles: kernel times of one GPU, for `run --profile`."""
