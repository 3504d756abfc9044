from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.traces.formats.text_blocks import Chain, TextBlocks
from jenga_sim.traces.formats.text_sizes import sizes

TEXTS = st.lists(st.text(alphabet="ab", max_size=40).map(str.encode), min_size=1, max_size=6)


def expanded(runs: list[tuple[int, int]]) -> list[int]:
    return [first + step for first, length in runs for step in range(length)]


@given(texts=TEXTS, block_bytes=st.integers(1, 9))
def test_two_texts_share_ids_exactly_as_far_as_they_are_equal(
    texts: list[bytes], block_bytes: int
) -> None:
    blocks = TextBlocks(block_bytes)
    ids = [expanded(blocks.runs(text, len(text) // block_bytes)) for text in texts]

    for text, own in zip(texts, ids, strict=True):
        assert len(own) == len(set(own)) == len(text) // block_bytes
        for other, others in zip(texts, ids, strict=True):
            equal = 0
            while text[: (equal + 1) * block_bytes] == other[: (equal + 1) * block_bytes] and (
                equal < min(len(own), len(others))
            ):
                equal += 1
            assert len(set(own) & set(others)) == equal
            assert own[:equal] == others[:equal]


@given(pieces=TEXTS, block_bytes=st.integers(1, 9))
def test_a_text_that_grows_has_the_ids_of_the_whole_text(
    pieces: list[bytes], block_bytes: int
) -> None:
    blocks = TextBlocks(block_bytes)
    chain = Chain(blocks)

    for piece in pieces:
        chain.extend(piece)

    whole = b"".join(pieces)
    assert chain.bytes == len(whole)
    assert expanded(chain.runs) == expanded(blocks.runs(whole, len(whole) // block_bytes))


def test_new_text_is_one_run() -> None:
    assert TextBlocks(2).runs(b"abcdef", 3) == [(0, 3)]


def test_blocks_of_unknown_text_are_shared_by_equal_texts_only() -> None:
    blocks = TextBlocks(2)

    one, same, longer, other = (
        expanded(blocks.runs(text, count))
        for text, count in ((b"abc", 3), (b"abc", 3), (b"abc", 4), (b"abd", 3))
    )

    assert one == same
    assert [len(set(one) & set(ids)) for ids in (longer, other)] == [1, 1]


def test_lengths_that_are_missing_fit_those_that_are_known() -> None:
    # 60 bytes are 20 tokens, so a token is 3 bytes and a block of 4 tokens is 12.
    measured = sizes([b"x" * 60, b"x" * 31], [b"", b"y" * 4], [20, None], [None, None], 4)

    assert measured.inputs == [20, 10]
    assert measured.outputs == [0, 1]
    assert [expanded(runs) for runs in measured.runs] == [[0, 1, 2, 3, 4], [0, 1]]


def test_prompts_without_text_have_no_ids() -> None:
    measured = sizes([b""], [b""], [100], [7], 16)

    assert measured.inputs == [100]
    assert measured.outputs == [7]
    assert measured.runs == [[]]
