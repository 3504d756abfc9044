"""Every format: recognised as itself, and written as our own without loss."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from jenga_sim.cli import cli
from jenga_sim.traces import Reading, Trace, read_trace, write_trace
from jenga_sim.traces.catalogue import FORMATS
from tests.traces.data import real
from tests.traces.samples import SAMPLES
from tests.traces.strategies import assert_same

REAL = {
    "mooncake/conversation_trace.jsonl": "mooncake",
    "mooncake/synthetic_trace.jsonl": "mooncake",
    "azure-llm-2023/AzureLLMInferenceTrace_code.csv": "azure",
    "azure-llm-2023/AzureLLMInferenceTrace_conv.csv": "azure",
    "vidur/arxiv_summarization_stats_llama2_tokenizer_filtered_v2.csv": "lengths",
    "vidur/splitwise_conv.csv": "lengths",
    "etalon/bwb_stats_llama2_tokenizer_filtered_v2.csv": "lengths",
    "weka-claude-code/sessions-head.rle.jsonl.gz": "weka",
    "weka-claude-code/sessions": "weka",
    "tracelab/tracelab_derived_example.jsonl": "tracelab",
    "tracelab/tracelab_sanitized_example.jsonl": "tracelab",
    "opentelemetry/otel_simple_chain.json": "otel",
    "opentelemetry/otel_fan_in_dependencies.json": "otel",
    "opentelemetry/otel_prefix_sharing_example.json": "otel",
    "servegen/reason/deepseek-r1": "servegen",
    "servegen/multimodal/mm-image": "servegen",
    "fixtures/azure_lmm_handmade.csv": "azure",
    "fixtures/bailian_handmade.jsonl": "bailian",
    "fixtures/burstgpt_handmade.csv": "burstgpt",
    "../real_runs/RTX4090/Llama-3.1-8B/vllm/requests.jsonl": "vllm-run",
    "../real_runs/RTXPRO6000/Llama-3.1-8B/vllm/requests.jsonl": "vllm-run",
}
"""Published files, and what was made after the documents of files that are not at hand."""

FACTS = ("block_size", "hash_tail", "hash_scope", "tokenizer", "time_quantum_ms")
MORE_FACTS = ("source", "licence", "shared_prefix_tokens")

WITHOUT_LOOKS = {"mapped"}
"""Formats that no file shows by itself."""


def assert_survives_writing(trace: Trace, folder: Path) -> None:
    """Fail unless a trace is read from JSONL, plain and packed, as it was written."""
    plain, packed = folder / "out.jsonl", folder / "packed.jsonl.gz"
    write_trace(trace, plain)
    write_trace(trace, packed)

    assert gzip.decompress(packed.read_bytes()) == plain.read_bytes()
    one, other = read_trace(plain), read_trace(packed)
    assert_same(one, trace)
    for name in (*FACTS, *MORE_FACTS):
        facts = [getattr(each.meta, name) for each in (trace, one, other)]
        assert facts[1:] == facts[:1] * 2, name
    assert one.meta.format in ("jenga", "mooncake")
    assert one.meta.skipped_lines == one.meta.sorted_lines == 0
    assert other.meta.skipped_lines == other.meta.sorted_lines == 0

    write_trace(other, folder / "again.jsonl")
    assert (folder / "again.jsonl").read_bytes() == plain.read_bytes()


def test_every_format_has_a_sample() -> None:
    assert SAMPLES.keys() == FORMATS.keys()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_small_file_survives_writing(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    trace = sample.open(sample.write(tmp_path)).whole()

    assert trace.meta.skipped_lines == 0
    (tmp_path / "out").mkdir()
    assert_survives_writing(trace, tmp_path / "out")


@pytest.mark.parametrize("name", REAL)
def test_a_published_file_survives_writing(tmp_path: Path, name: str) -> None:
    assert_survives_writing(read_trace(real(name)), tmp_path)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_small_file_is_recognised_and_forcing_its_format_changes_nothing(
    tmp_path: Path, name: str
) -> None:
    sample = SAMPLES[name]
    path = sample.write(tmp_path)

    assert name in WITHOUT_LOOKS or Reading(path).format.name == name
    seen, forced = sample.open(path), sample.open(path, name)
    assert seen.format.name == forced.format.name == name
    one, other = seen.whole(), forced.whole()
    assert_same(one, other)
    assert one.meta == other.meta


@pytest.mark.parametrize("name", REAL)
def test_a_published_file_is_recognised_and_forcing_its_format_changes_nothing(name: str) -> None:
    path = real(name)

    seen, forced = read_trace(path), read_trace(f"{REAL[name]}:{path}")

    assert seen.meta.format == REAL[name]
    assert seen.meta == forced.meta
    assert_same(seen, forced)


@pytest.mark.parametrize("name", [name for name in SAMPLES if not SAMPLES[name].is_folder])
def test_a_packed_file_is_the_same_trace(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    path = sample.write(tmp_path)
    packed = path.with_name(f"{path.name}.gz")
    packed.write_bytes(gzip.compress(sample.content))

    one, other = sample.open(path).whole(), sample.open(packed).whole()

    assert one.meta.format == other.meta.format == name
    assert_same(one, other)


@pytest.mark.parametrize("name", SAMPLES)
def test_parts_have_the_requests_of_the_whole(tmp_path: Path, name: str) -> None:
    sample = SAMPLES[name]
    path = sample.write(tmp_path)

    whole = sample.open(path).whole()
    parts = list(sample.open(path).parts())

    def lengths(traces: list[Trace]) -> list[Any]:
        names = [name for trace in traces for name in trace.request_ids]
        inputs = [tokens for trace in traces for tokens in trace.input_tokens.tolist()]
        outputs = [tokens for trace in traces for tokens in trace.output_tokens.tolist()]
        return sorted(zip(names, inputs, outputs, strict=True))

    assert lengths(parts) == lengths([whole])


def test_the_verb_converts_as_the_functions_do(tmp_path: Path) -> None:
    path = SAMPLES["azure"].write(tmp_path)
    done = CliRunner().invoke(cli, ["trace", "convert", str(path), str(tmp_path / "verb.jsonl")])
    write_trace(read_trace(path), tmp_path / "function.jsonl")

    assert done.exit_code == 0, done.output
    written = [(tmp_path / f"{name}.jsonl").read_bytes() for name in ("verb", "function")]
    assert written[0] == written[1]
    assert_same(read_trace(tmp_path / "verb.jsonl"), read_trace(path))
