"""Request traces: the columns in memory, readers, generators and statistics."""

from .generate.generate import generate_trace
from .generate.sample import sample_path, sample_trace
from .meta import Meta
from .read import Reading, read_trace
from .record import Trace
from .write import write_trace

__all__ = [
    "Meta",
    "Reading",
    "Trace",
    "generate_trace",
    "read_trace",
    "sample_path",
    "sample_trace",
    "write_trace",
]
