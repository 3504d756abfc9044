"""What a format is: a name, how its files look, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from ..meta import PLAIN, Meta
from ..problems import Problems
from ..rows import Rows
from ..source import Source


@dataclass(frozen=True, kw_only=True)
class Format:
    """One public trace format.

    A file is taken for the format of which it has most keys or columns, and all of them.

    Attributes:
        name: As in ``NAME:path`` and in reports.
        summary: One line for the list of formats.
        rows: Reads a source; notes bad rows and leaves them out. File-level errors are TraceError.
        json_keys: Keys that a JSON object of the format has at its top level.
        csv_columns: Columns of its header line, in small letters.
        folder: Pattern of the files that a folder of the format has; empty if it is no folder.
        reads_folders: Whether a folder of such files is read, too.
        matches: Any other test that a head must pass.
        meta: Facts that hold for all files of the format.
    """

    name: str
    summary: str
    rows: Callable[[Source, Problems], Iterator[Rows]]
    json_keys: frozenset[str] = frozenset()
    csv_columns: frozenset[str] = frozenset()
    folder: str = ""
    reads_folders: bool = False
    matches: Callable[[Head], bool] | None = None
    meta: Meta = PLAIN

    def fit(self, head: Head) -> int:
        """Return how many keys or columns tell that a file is of this format; 0 if it is not."""
        wanted, there = self.csv_columns, head.csv_columns
        if self.json_keys:
            wanted, there = self.json_keys, head.json_keys
        if not wanted or not wanted <= there or (self.matches and not self.matches(head)):
            return 0
        return len(wanted)


@dataclass(frozen=True)
class Head:
    """The first bytes of a file."""

    text: bytes

    @cached_property
    def json_keys(self) -> frozenset[str]:
        """Keys at the top level of the first JSON object, as far as it is there."""
        return frozenset(top_level_keys(self.text)) if b"{" in self.text[:64] else frozenset()

    @cached_property
    def csv_columns(self) -> frozenset[str]:
        """Fields of the first line, in small letters."""
        if self.text.lstrip()[:1] in (b"{", b"["):
            return frozenset()
        line = self.text.split(b"\n", 1)[0].decode("utf-8-sig", errors="replace")
        return frozenset(word.strip().strip('"').lower() for word in line.split(","))


_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"(\s*:)?|[{}\[\]]')


def top_level_keys(text: bytes) -> Iterator[str]:
    """Yield the keys of the first object in a JSON text that may be cut short.

    Objects inside it, and a list around it, are passed over.
    """
    depth = inside = 0
    for match in _TOKEN.finditer(text):
        token = match.group()
        if token in (b"{", b"["):
            depth += 1
            if token == b"{" and not inside:
                inside = depth
        elif token in (b"}", b"]"):
            if depth == inside and token == b"}":
                return
            depth -= 1
        elif depth == inside and match.group(2):
            yield match.group(1).decode(errors="replace")
