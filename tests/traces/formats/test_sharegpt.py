"""ShareGPT: ``[{id, conversations: [{from, value}]}]``, as ShareGPT_V3_unfiltered has it.

That is the file that ShareGPTDataset of vLLM 0.33.0 (vllm/benchmarks/datasets) reads.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import TraceError
from jenga_sim.traces import Trace, read_trace
from tests.traces.formats.damage import damaged_bytes, damaged_json, read_or_refuse


def talk(name: str | None, *turns: tuple[str, str]) -> dict[str, Any]:
    messages = [{"from": sender, "value": value} for sender, value in turns]
    return {"conversations": messages} | ({} if name is None else {"id": name})


def read(tmp_path: Path, *talks: Any, **options: Any) -> Trace:
    path = tmp_path / "sharegpt.json"
    path.write_text(json.dumps(list(talks)))
    return read_trace(path, **options)


def test_each_answer_is_a_request_with_everything_before_it(tmp_path: Path) -> None:
    # "human\n" + 33 letters + "\n" are 40 bytes; "gpt\n" + 15 letters + "\n" are 20.
    trace = read(
        tmp_path,
        talk("a", ("human", "x" * 33), ("gpt", "y" * 15), ("human", "z" * 33), ("gpt", "w")),
    )

    assert trace.meta.format == "sharegpt"
    assert trace.input_tokens.tolist() == [10, 25]
    assert trace.output_tokens.tolist() == [3, 1]
    assert any("4 bytes of UTF-8" in note for note in trace.meta.notes)


def test_turns_come_after_the_one_before_and_have_no_time_of_their_own(tmp_path: Path) -> None:
    trace = read(
        tmp_path,
        talk("a", ("human", "1"), ("gpt", "2"), ("human", "3"), ("gpt", "4")),
        talk("b", ("human", "5"), ("gpt", "6")),
    )

    assert trace.arrival_ns.tolist() == [0, 0, 0]
    assert trace.untimed is not None
    assert trace.untimed.tolist() == [0, 1, 0]
    assert trace.after is not None
    assert [trace.after.rows(at)[:, 0].tolist() for at in range(3)] == [[], [0], []]
    assert trace.session is not None
    assert [trace.session.word(at) for at in range(3)] == ["a", "a", "b"]
    assert trace.turn is not None
    assert trace.turn.tolist() == [0, 1, 0]
    assert any("arrivals are not known" in note for note in trace.meta.notes)


def test_a_turn_has_the_blocks_of_the_turn_before_it(tmp_path: Path) -> None:
    trace = read(
        tmp_path, talk("a", ("human", "x" * 200), ("gpt", "y" * 200), ("human", "z"), ("gpt", "w"))
    )

    first, second = trace.hash_ids(0).tolist(), trace.hash_ids(1).tolist()
    assert len(first) == trace.input_tokens[0] // 16 == 3
    assert second[:3] == first


@given(lengths=st.lists(st.integers(0, 300), min_size=2, max_size=6), block_size=st.integers(1, 20))
def test_prompts_of_any_length_have_an_id_for_every_full_block(
    lengths: list[int], block_size: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    turns = [(("human", "gpt")[at % 2], "x" * length) for at, length in enumerate(lengths)]

    trace = read(tmp_path_factory.mktemp("talk"), talk("a", *turns), block_size=block_size)

    assert len(trace) == len(lengths) // 2
    assert [len(trace.hash_ids(at)) for at in range(len(trace))] == [
        tokens // block_size for tokens in trace.input_tokens.tolist()
    ]


def test_equal_questions_of_two_conversations_share_blocks(tmp_path: Path) -> None:
    text = "x" * 200
    trace = read(
        tmp_path, talk("a", ("human", text), ("gpt", "1")), talk("b", ("human", text), ("gpt", "2"))
    )

    assert trace.hash_ids(0).tolist() == trace.hash_ids(1).tolist() == [0, 1, 2]


def test_the_block_size_may_be_another_one(tmp_path: Path) -> None:
    trace = read(tmp_path, talk("a", ("human", "x" * 200), ("gpt", "1")), block_size=8)

    assert trace.block_size == 8
    assert len(trace.hash_ids(0)) == trace.input_tokens[0] // 8 == 6


def test_the_sidecars_block_size_counts_too(tmp_path: Path) -> None:
    (tmp_path / "sharegpt.meta.json").write_text('{"block_size": 32}')

    trace = read(tmp_path, talk("a", ("human", "x" * 200), ("gpt", "1")))

    assert len(trace.hash_ids(0)) == trace.input_tokens[0] // 32 == 1


def test_an_answer_at_the_beginning_is_only_context(tmp_path: Path) -> None:
    trace = read(tmp_path, talk("a", ("gpt", "x" * 35), ("human", "y"), ("gpt", "z")))

    assert trace.input_tokens.tolist() == [12]
    assert any(note.startswith("1 answers stand at the beginning") for note in trace.meta.notes)


def test_conversations_without_an_answer_are_left_out_and_counted(tmp_path: Path) -> None:
    trace = read(tmp_path, talk("a", ("human", "1")), talk("b", ("human", "1"), ("gpt", "2")))

    assert len(trace) == 1
    assert any(note.startswith("1 conversations have no") for note in trace.meta.notes)


def test_roles_and_contents_by_the_names_of_openai_are_read(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "x" * 34}, {"role": "assistant", "content": "y"}]

    assert read(tmp_path, {"conversations": messages}).input_tokens.tolist() == [10]


def test_a_conversation_per_line_is_read_too(tmp_path: Path) -> None:
    path = tmp_path / "talks.jsonl"
    talks = (talk("a", ("human", "1"), ("gpt", "2")), talk(None, ("human", "1"), ("gpt", "2")))
    path.write_text("\n".join(map(json.dumps, talks)))

    trace = read_trace(path)

    assert trace.session is not None
    assert [trace.session.word(at) for at in range(2)] == ["a", "2"]


def test_conversations_of_one_name_are_different_sessions(tmp_path: Path) -> None:
    one = talk("a", ("human", "1"), ("gpt", "2"))

    trace = read(tmp_path, one, one)

    assert trace.session is not None
    assert len(set(trace.session.names)) == 2


def test_a_bad_conversation_is_named_by_its_place_and_key(tmp_path: Path) -> None:
    good = talk("a", ("human", "1"), ("gpt", "2"))
    bad = {"id": "b", "conversations": [{"from": "human", "value": 3}]}

    with pytest.raises(TraceError) as error:
        read(tmp_path, good, bad)

    assert str(error.value) == (
        f"{tmp_path / 'sharegpt.json'}: [1]: conversations[0].value: must be a text or null, is 3"
    )


def test_a_bad_conversation_can_be_skipped_and_is_counted(tmp_path: Path) -> None:
    trace = read(
        tmp_path, {"conversations": 3}, talk("a", ("human", "1"), ("gpt", "2")), on_bad_line="skip"
    )

    assert len(trace) == 1
    assert trace.meta.skipped_lines == 1


class Words:
    """A tokenizer in the manner of the package tokenizers: a token per word."""

    @staticmethod
    def from_file(path: str) -> Words:
        if not Path(path).is_file():
            raise Exception("No such file")
        return Words()

    def encode(self, text: str, add_special_tokens: bool) -> Any:
        assert not add_special_tokens
        return SimpleNamespace(ids=[sum(word.encode()) for word in text.split()])


def test_a_tokenizer_counts_tokens_if_one_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", SimpleNamespace(Tokenizer=Words))
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_text("{}")
    question = " ".join(["word"] * 31)

    trace = read(
        tmp_path, talk("a", ("human", question), ("gpt", "a b c")), tokenizer=str(tokenizer)
    )

    assert trace.input_tokens.tolist() == [32]
    assert trace.output_tokens.tolist() == [3]
    assert len(trace.hash_ids(0)) == 2
    assert not any("estimated" in note for note in trace.meta.notes)


def test_a_file_that_is_no_tokenizer_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", SimpleNamespace(Tokenizer=Words))

    with pytest.raises(TraceError, match=r"nowhere.json: is no tokenizer.json: No such file"):
        read(tmp_path, talk("a", ("human", "1"), ("gpt", "2")), tokenizer="nowhere.json")


def test_without_the_package_its_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)

    with pytest.raises(TraceError, match=r"pip install 'jenga-sim\[text\]'"):
        read(tmp_path, talk("a", ("human", "1"), ("gpt", "2")), tokenizer="t.json")


@given(data=st.data())
def test_damaged_conversations_are_read_or_refused(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    good = [talk("a", ("human", "1"), ("gpt", "2")), talk(None, ("system", "3"), ("gpt", "4"))]
    path = tmp_path_factory.mktemp("damage") / "sharegpt.json"
    path.write_bytes(data.draw(damaged_json(good) | damaged_bytes(json.dumps(good).encode())))

    for on_bad_line in ("error", "skip"):
        read_or_refuse(path, "sharegpt", on_bad_line)
