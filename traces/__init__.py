"""Request traces: the columns in memory, readers, generators and statistics."""

from .meta import Meta
from .read import Reading, read_trace
from .record import Trace
from .synthetic import Row, chat_trace, sample_path, sample_rows, write_jsonl

__all__ = [
    "Meta",
    "Reading",
    "Row",
    "Trace",
    "chat_trace",
    "read_trace",
    "sample_path",
    "sample_rows",
    "write_jsonl",
]
