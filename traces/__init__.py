"""Request traces: the columns in memory, the JSONL reader and a synthetic sample."""

from .jsonl import read_jsonl
from .record import Trace
from .synthetic import Row, chat_trace, sample_path, sample_rows, write_jsonl

__all__ = [
    "Row",
    "Trace",
    "chat_trace",
    "read_jsonl",
    "sample_path",
    "sample_rows",
    "write_jsonl",
]
