"""Request traces: the columns in memory, readers, generators and statistics."""

from .meta import Meta
from .read import Reading, read_trace
from .record import Trace
from .sample import sample_path
from .write import write_trace

__all__ = [
    "Meta",
    "Reading",
    "Trace",
    "read_trace",
    "sample_path",
    "write_trace",
]
