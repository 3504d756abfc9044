"""The command line. Verbs load on use, so that ``jenga-sim --help`` stays fast."""

import sys
import traceback
from typing import NoReturn

import click

from .._version import __version__
from .lazy import LazyGroup

VERBS = {
    "run": ("run", "Replay a trace against a memory policy and report memory, batches, latency."),
    "verify": (
        "verify",
        "Replay a step-driven case as vLLM would and compare it with a recording.",
    ),
    "trace": ("trace", "Look at traces; convert, cut, mix and make them."),
    "model": ("model", "Look at models: what they keep, and what each policy makes of it."),
    "max-context": ("max_context", "Say how long a request may be under each policy."),
    "calibrate": ("calibrate", "Make and look at profiles of kernel times."),
    "policies": ("policies", "List the memory policies."),
}


@click.group(
    cls=LazyGroup,
    verbs=VERBS,
    package=__name__,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 an SLO or check is not met, 2 configuration, 3 trace, "
    "4 verify found a difference, 5 an invariant broke, 130 interrupted.",
)
@click.version_option(__version__, "-V", "--version", prog_name="jenga-sim")
def cli() -> None:
    """Simulate the memory of LLM serving: which allocator wastes what, and what it costs."""


def main() -> NoReturn:
    """Run the command line; every expected error is one message and an exit code."""
    from ..configs.errors import JengaError

    try:
        code = cli.main(standalone_mode=False, prog_name="jenga-sim")
    except SystemExit:
        # Only how click ends when the reader of our output went away (``jenga-sim ... | head``).
        sys.exit(0)
    except JengaError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        sys.exit(130)
    except Exception as error:
        traceback.print_exc()
        click.echo(
            f"error: {type(error).__name__} in jenga-sim or in a policy of your own (see above): "
            "if it is ours, please report it",
            err=True,
        )
        sys.exit(5)
    sys.exit(code if isinstance(code, int) else 0)
