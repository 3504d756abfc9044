"""docs/latency.md shows what the shipped profile has."""

import latency


def test_the_table_is_that_of_the_profile() -> None:
    text = latency.DOCUMENT.read_text(encoding="utf-8")
    assert latency.rendered(text) == text
    assert "| gemm bf16 | 35,742 | 483 | " in text
