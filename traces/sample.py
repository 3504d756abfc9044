"""Where the sample trace is that comes with the package; ``generate/sample.py`` makes it."""

from importlib.resources import files
from pathlib import Path


def sample_path() -> Path:
    """Return the path of the embedded sample trace."""
    return Path(str(files("jenga_sim.traces").joinpath("samples", "chat.jsonl")))
