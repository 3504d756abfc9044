"""``jenga-sim model``: what a model's caches amount to, without a trace."""

import click

from ..lazy import LazyGroup

VERBS = {
    "list": ("catalogue", "List the models that come with the package."),
    "show": ("show", "Say what a model keeps, and what each policy would make of it."),
    "diff": ("diff", "Compare the caches of two models."),
    "groups": ("groups", "Show vLLM's groups of a model's layers, and what its pool holds."),
}


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    package=__name__,
    context_settings={"help_option_names": ["-h", "--help"]},
)
def command() -> None:
    """Look at a model's caches without a trace."""
