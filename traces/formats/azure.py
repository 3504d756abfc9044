"""Reader for Azure's public inference traces (github.com/Azure/AzurePublicDataset), CC-BY.

The files of 2023 and 2024 have TIMESTAMP, ContextTokens and GeneratedTokens. The multimodal one of
2025 has NumImages as well: how many, but neither which nor how large. The description of the rows
of 2023 says 11 November; the rows themselves say the 16th.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..columns import NONE, IntColumn, Ragged, offsets_of
from ..problems import Problems
from ..record import IMAGE_COLUMNS
from ..rows import Rows
from ..source import Source
from .cells import Field
from .csv_table import csv_rows, selected
from .format import Format

MAX_IMAGES = 2**10
"""Largest accepted number of images of one request."""

_FIELDS = (
    Field(key="TIMESTAMP", column="arrival_ns", kind="moment"),
    Field(key="ContextTokens", column="input_tokens"),
    Field(key="GeneratedTokens", column="output_tokens"),
    Field(key="NumImages", column="images", optional=True),
)

_NOTE = (
    "every image is taken for another one, of the model's default size; the data set does not say "
    "whether ContextTokens counts their tokens, and they are not added to it"
)


def rows(source: Source, problems: Problems) -> Iterator[Rows]:
    """See ``Format.rows``."""
    has_images = False
    for batch in csv_rows(source.path, _FIELDS, problems):
        counts = batch.integers("images")
        if counts is None:
            yield batch
            continue
        has_images |= bool(counts.any())
        yield _with_images(batch, counts, problems)
    if has_images:
        problems.notes.append(_NOTE)


FORMAT = Format(
    name="azure",
    summary="CSV of Azure 2023, 2024, 2025: TIMESTAMP, ContextTokens, GeneratedTokens, NumImages",
    rows=rows,
    csv_columns=frozenset(("timestamp", "contexttokens", "generatedtokens")),
)


def _with_images(batch: Rows, counts: IntColumn, problems: Problems) -> Rows:
    """Replace a number of images by as many different images of unknown size."""
    wrong = (counts < 0) | (counts > MAX_IMAGES)
    batch.complain(
        wrong,
        problems,
        lambda at: (
            f"{batch.keys['images']}: must be an integer from 0 to {MAX_IMAGES}, is {counts[at]}"
        ),
    )
    batch, counts = selected(batch, ~wrong), counts[~wrong]
    offsets = offsets_of(counts)
    images = np.full((int(offsets[-1]), len(IMAGE_COLUMNS)), NONE, dtype=np.int64)
    images[:, 0] = np.arange(len(images))
    batch.columns["images"] = Ragged(offsets, images)
    owners = np.repeat(batch.numbers, counts).tolist()
    places = (images[:, 0] - np.repeat(offsets[:-1], counts)).tolist()
    batch.image_names = tuple(
        f"{owner}.{place}" for owner, place in zip(owners, places, strict=True)
    )
    return batch
