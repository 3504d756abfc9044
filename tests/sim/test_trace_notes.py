"""What a run says about its trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from jenga_sim import TraceError, read_trace, run
from jenga_sim.configs.replay import ReplayConfig


def written(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(line + "\n" for line in lines))
    return path


def warnings_of(path: Path, policy: str = "vllm", model: str = "llama-3.1-8b") -> str:
    return "\n".join(run(path, model=model, policy=policy).summary["warnings"])


def test_images_are_counted_by_their_tokens_alone(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"timestamp": 0, "input_length": 600, "output_length": 5, '
        '"images": [{"hash": "cat", "tokens": 400}, {"hash": "dog"}]}',
    )

    assert "the trace has 2 images: their tokens count as far as input_length" in warnings_of(path)


def test_a_trace_without_ids_names_the_way_out(tmp_path: Path) -> None:
    path = written(tmp_path, '{"timestamp": 0, "input_length": 600, "output_length": 5}')

    assert "no prefix is shared; --prefix-model makes some up" in warnings_of(path)


def test_what_hangs_on_ends_of_prompts_is_said_where_windows_need_it(tmp_path: Path) -> None:
    # The second prompt goes on from the first: 1,024 of 3,000 tokens in all can be hit.
    path = written(
        tmp_path,
        '{"timestamp": 0, "input_length": 1200, "output_length": 5, "hash_ids": [1, 2, 3]}',
        '{"timestamp": 9000, "input_length": 1800, "output_length": 5, "hash_ids": [1, 2, 4, 5]}',
    )
    words = (
        "34.1% of the prompt tokens (of an ideal hit of 34.1%) continue an earlier prompt whose "
        "end is known to 512 tokens only"
    )

    assert words in warnings_of(path, model="gemma-3-27b")
    assert words not in warnings_of(path, model="llama-3.1-8b")


def test_only_what_continues_a_prompt_hangs_on_its_end(tmp_path: Path) -> None:
    # Twelve prompts share their first block only, and part there: no end of a prompt is hit.
    lines = (
        f'{{"timestamp": {9000 * i}, "input_length": 1024, "output_length": 5, '
        f'"hash_ids": [0, {i + 1}]}}'
        for i in range(12)
    )

    assert "0.0% of the prompt tokens (of an ideal hit of 45.8%)" in warnings_of(
        written(tmp_path, *lines), model="gemma-3-27b"
    )


def test_requests_without_a_time_need_those_before_them(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"timestamp": 0, "input_length": 600, "output_length": 5, "request_id": "a"}',
        '{"after": ["a"], "input_length": 700, "output_length": 5}',
    )

    with pytest.raises(TraceError, match="1 requests have no timestamp, only after: use --replay"):
        run(path, model="llama-3.1-8b")
    result = run(path, model="llama-3.1-8b", replay=ReplayConfig("session"))
    assert result.summary["completed"] == 2


def test_a_trace_of_sessions_is_read_with_their_names(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '{"timestamp": 0, "input_length": 600, "output_length": 5, "session_id": "s"}',
        '{"timestamp": 1, "input_length": 700, "output_length": 5, "session_id": "s"}',
    )

    frame = run(read_trace(path), model="llama-3.1-8b", replay=ReplayConfig("session")).requests

    assert frame["session_id"].tolist() == ["s", "s"]
    end = frame["arrival_ms"][0] + frame["e2el_ms"][0]
    assert frame["arrival_ms"][1] == pytest.approx(end)
