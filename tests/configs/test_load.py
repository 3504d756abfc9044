"""A file is read exactly as written, or refused with file, line, key and the way out."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jenga_sim.configs.errors import ConfigError
from jenga_sim.configs.load import gpu_names, load_gpu, load_model, model_names
from jenga_sim.configs.specs import ModelSpec, MoESpec, OverheadSpec

MODELS = Path(__file__).parents[2] / "configs" / "models"

MODEL = """\
name: tiny
source: made up for this test
max_model_len: 4096
num_layers: 5
hidden_size: 64
vocab_size: 1000
params: {total: 2_000, active: 1000}
weights: {dtype: bf16, bytes: 4000}
moe: {experts: 8, top_k: 2}
kinds:
  swa:
    kind: sliding_window
    heads: 4
    kv_heads: 2
    head_dim: 16
    window: 128
  mla: {kind: mla, heads: 4, latent_dim: 36}
  key: {kind: indexer, heads: 2, key_dim: 12}
  gdn: {kind: linear, heads: 4, conv_channels: 2, conv_columns: 3, ssm_elements: 8,
    ssm_dtype: fp32}
layers:
  - {repeat: 2, pattern: [swa, gdn]}
  - pattern: [mla+key]
notes: [a note]
"""

GPU = """\
name: card
source: made up for this test
memory_mib: 1024
memory_bandwidth_gbs: 100.5
flops_tflops: {bf16: 10, fp8: 20}
link_gbs: 32
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "file.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refusal(folder: Path, old: str, new: str) -> str:
    """The message for MODEL with ``old`` replaced, less the folder."""
    assert MODEL.count(old) == 1, f"{old!r} must stand once in MODEL"
    path = write(folder, MODEL.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_model(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_a_file_becomes_the_spec_it_describes(tmp_path: Path) -> None:
    model = load_model(write(tmp_path, MODEL))
    assert (model.name, model.max_model_len, model.num_layers) == ("tiny", 4096, 5)
    assert (model.params_total, model.params_active) == (2000, 1000)
    assert (model.weight_bytes, model.weight_dtype) == (4000, "bf16")
    assert model.moe == MoESpec(experts=8, top_k=2)
    assert not model.tied_embeddings
    assert model.notes == ("a note",)


def test_an_overhead_that_was_observed_says_by_whom(tmp_path: Path) -> None:
    assert load_model(write(tmp_path, MODEL)).overhead is None
    key = "overhead: {bytes: 7000, source: a log}"
    model = load_model(write(tmp_path, MODEL.replace("notes:", f"{key}\nnotes:")))
    assert model.overhead == OverheadSpec(bytes=7000, source="a log")


def test_two_entries_may_share_a_variant_if_their_windows_differ(tmp_path: Path) -> None:
    text = MODEL.replace(
        "kinds:",
        """kinds:
  short: {variant: next, kind: compressor, heads: 1, elements: 4, window: 8, block_size: 2}
  long: {variant: next, kind: compressor, heads: 1, elements: 2, window: 32}""",
    )
    text = text.replace("[mla+key]", "[mla+key+short+long]")
    model = load_model(write(tmp_path, text))
    *_, short, long = model.kv_cache_specs(block_size=16)
    assert (short.variant, short.window, short.block_size, short.entry_bytes) == ("next", 8, 2, 16)
    assert (long.variant, long.window, long.block_size, long.entry_bytes) == ("next", 32, 16, 8)
    assert (model.kv_cache_dtype, short.shape[-1]) == ("bf16", "fp32")

    clash = refusal(tmp_path, "key: {kind: indexer,", "key: {variant: mla, kind: indexer,")
    assert "kinds.key.variant: 'mla' is 'mla' already, of another kind" in clash


def test_layers_follow_the_patterns_in_order(tmp_path: Path) -> None:
    variants = [layer.variant for layer in load_model(write(tmp_path, MODEL)).layers]
    assert variants == ["swa", "gdn", "swa", "gdn", "mla", "key"]


def test_each_kind_keeps_the_bytes_of_its_keys(tmp_path: Path) -> None:
    specs = load_model(write(tmp_path, MODEL)).kv_cache_specs(block_size=16)
    swa, gdn, _, _, mla, key = specs
    assert (swa.kind, swa.window, swa.entry_bytes) == ("sliding_window", 128, 2 * 32 * 2)
    assert (gdn.kind, gdn.state_bytes, gdn.block_size) == ("linear", 6 * 2 + 8 * 4, 4096)
    assert (mla.kind, mla.entry_bytes) == ("mla", 36 * 2)
    assert (key.kind, key.entry_bytes) == ("indexer", 12)


def test_values_may_be_narrower_than_keys(tmp_path: Path) -> None:
    text = MODEL.replace("head_dim: 16\n", "head_dim: 16\n    v_head_dim: 8\n")
    layer = load_model(write(tmp_path, text)).layers[0]
    assert (layer.k_dim, layer.v_dim) == (16, 8)


def test_a_gpu_file_becomes_bytes_and_operations_a_second(tmp_path: Path) -> None:
    gpu = load_gpu(str(write(tmp_path, GPU)))
    assert gpu.memory_bytes == 2**30
    assert gpu.memory_bandwidth == 100.5e9
    assert gpu.flops == {"bf16": 10e12, "fp8": 20e12}
    assert gpu.link_bandwidth == 32e9


PROBLEMS = {
    "unknown key": (
        "    window: 128",
        "    windw: 128",
        16,
        "kinds.swa.windw",
        "did you mean 'window'? K",
    ),
    "unknown key at the top": ("notes:", "note:", 24, "note", "did you mean 'notes'"),
    "unknown key in a section": ("top_k: 2", "topk: 2", 9, "moe.topk", "did you mean 'top_k'"),
    "unknown key in a run": ("repeat: 2", "repeet: 2", 22, "layers[0].repeet", "'repeat'"),
    "duplicate key": (
        "    heads: 4\n",
        "    heads: 4\n    heads: 4\n",
        14,
        "kinds.swa.heads",
        "13",
    ),
    "missing key": ("vocab_size: 1000\n", "", 1, "vocab_size", "is missing; add it"),
    "missing window": ("    window: 128\n", "", 11, "kinds.swa.window", "is missing; add it"),
    "window of a full layer": ("sliding_window", "full", 16, "kinds.swa.window", "unknown key"),
    "missing kind": ("{kind: mla, ", "{", 17, "kinds.mla.kind", "is missing. Known: chunked"),
    "unknown kind": ("sliding_window", "sliding", 12, "kinds.swa.kind", "'sliding_window'"),
    "text for a number": ("hidden_size: 64", "hidden_size: wide", 5, "hidden_size", "not 'wide'"),
    "exponent": ("num_layers: 5", "num_layers: 1e9", 4, "num_layers", "exponent, not '1e9'"),
    "fraction": ("num_layers: 5", "num_layers: 5.0", 4, "num_layers", "integer, not 5.0"),
    "bool for a number": ("num_layers: 5", "num_layers: yes", 4, "num_layers", "not True"),
    "octal": ("num_layers: 5", "num_layers: 017", 4, "num_layers", "decimal digits"),
    "base sixty": ("num_layers: 5", "num_layers: 1:30", 4, "num_layers", "decimal digits"),
    "hexadecimal": ("num_layers: 5", "num_layers: 0x10", 4, "num_layers", "decimal digits"),
    "no number": ("num_layers: 5", "num_layers: .nan", 4, "num_layers", "is no plain number"),
    "null": ("num_layers: 5", "num_layers:", 4, "num_layers", "not empty"),
    "negative": ("hidden_size: 64", "hidden_size: -64", 5, "hidden_size", "not -64"),
    "zero": ("    head_dim: 16", "    head_dim: 0", 15, "kinds.swa.head_dim", "equal to 1, not 0"),
    "absurdly large": ("num_layers: 5", f"num_layers: {10**30}", 4, "num_layers", "10000, not"),
    "endless digits": ("num_layers: 5", f"num_layers: {'9' * 9999}", 4, "num_layers", "digits"),
    "date": ("made up for this test", "2024-13-45", 2, "source", "put text in quotes"),
    "number for a name": ("name: tiny", "name: 5", 1, "name", "valid string, not 5"),
    "empty list": ("[mla+key]", "[]", 23, "layers[1].pattern", "must not be empty"),
    "list for a mapping": ("{experts: 8, top_k: 2}", "[8, 2]", 9, "moe", "a mapping of keys"),
    "unknown dtype": ("dtype: bf16, bytes", "dtype: bf61, bytes", 8, "weights.dtype", "'bf16'"),
    "unknown layer": ("[mla+key]", "[mla+kye]", 23, "layers[1].pattern[0]", "did you mean 'key'"),
    "unused kind": ("[mla+key]", "[mla]", 18, "kinds.key", "is in no pattern of layers"),
    "swapped heads": ("    heads: 4", "    heads: 1", 11, "kinds.swa", "are they swapped?"),
    "state of nothing": (
        "conv_channels: 2, conv_columns: 3, ssm_elements: 8",
        "conv_channels: 0, conv_columns: 0, ssm_elements: 0",
        *(19, "kinds.gdn", "keeps no element"),
    ),
    "split latent": (
        "latent_dim: 36",
        "latent_dim: 36, replicated: no",
        17,
        "kinds.mla.replicated",
        "",
    ),
    "swapped parameters": (
        "active: 1000",
        "active: 3000",
        7,
        "params.active",
        "more than total 2000",
    ),
    "overhead of nobody": (
        "notes: [a note]",
        "overhead: {bytes: 7}",
        24,
        "overhead.source",
        "is missing",
    ),
    "swapped experts": ("top_k: 2", "top_k: 9", 9, "moe.top_k", "more than experts 8"),
    "weights in another unit": ("bytes: 4000", "bytes: 4", 8, "weights.bytes", "0.016 bits"),
    "repeat by mistake": ("repeat: 2", "repeat: 200", 21, "layers", "401 layers"),
    "alias": ("notes: [a note]", "notes: [&a b, *a]", 24, "broken YAML", "aliases"),
    "key that is no text": ("notes:", "16:", 24, "16", "put it in quotes"),
    "tag": ("notes: [a note]", "notes: !!set {a}", 24, "notes", "is no text, number, list or map"),
    "broken YAML": (
        "[mla+key]",
        "[mla+key",
        24,
        "broken YAML near 'notes",
        "expected ',' or ']'",
    ),
    "two documents": ("notes:", "---\nnotes:", 24, "broken YAML", "another document"),
    "escape beyond Unicode": ("tiny", '"\\UFFFFFFFF"', 1, "broken YAML", "Error"),
    "control character": ("a note", "a \x07 note", 24, "broken YAML", "not allowed"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_problem_is_told_with_file_line_and_key(case: str, tmp_path: Path) -> None:
    old, new, line, key, text = PROBLEMS[case]
    message = refusal(tmp_path, old, new)
    assert any(
        told.startswith(f"file.yaml:{line}: {key}") and text in told for told in message.split("\n")
    ), message


def test_all_problems_are_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = (
        MODEL.replace("num_layers: 5", "num_layers: five")
        .replace("    window: 128\n", "")
        .replace("[swa, gdn]", "[swa, gnd]")
        .replace("notes:", "nots:")
    )
    with pytest.raises(ConfigError) as caught:
        load_model(write(tmp_path, text))
    told = [line.split(": ")[0:2] for line in str(caught.value).split("\n")]
    keys = ["num_layers", "kinds.swa.window", "layers[0].pattern[1]", "nots"]
    assert [key for _, key in told] == keys
    lines = [int(place.rpartition(":")[2]) for place, _ in told]
    assert lines == sorted(lines)


def test_a_gpu_without_bf16_or_with_an_unknown_dtype_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"file.yaml:5: flops_tflops.bf16: is missing"):
        load_gpu(write(tmp_path, GPU.replace("bf16", "fp16")))
    with pytest.raises(ConfigError, match=r"file.yaml:5: flops_tflops.fp9: unknown key"):
        load_gpu(write(tmp_path, GPU.replace("fp8", "fp9")))


@pytest.mark.parametrize("value", ["-1", "0", ".inf", ".nan", "1e9", "1.0e+9", "true", "1:30"])
def test_a_bandwidth_is_a_finite_positive_number(value: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"file.yaml:4: memory_bandwidth_gbs: "):
        load_gpu(write(tmp_path, GPU.replace("100.5", value)))


@pytest.mark.parametrize("text", ["", "# only a comment\n", "- a list\n", "text\n", "5\n"])
def test_a_file_that_is_no_mapping_is_refused(text: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"file.yaml:1: the file must be a mapping"):
        load_model(write(tmp_path, text))


def test_deep_nesting_is_refused_not_followed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="broken YAML"):
        load_model(write(tmp_path, "name: " + "[" * 5000))


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.yaml: there is no such file"):
        load_model(tmp_path / "absent.yaml")
    with pytest.raises(ConfigError, match=r"config\.json: there is no such file"):
        load_model(tmp_path)
    with pytest.raises(ConfigError, match="cannot be read"):
        load_model("a\0b.yaml")


@pytest.mark.parametrize("path", ["./nope", "someone/nope-7b"])
def test_a_path_to_nothing_says_where_names_are(path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_model(path)
    expected = f"{path}: there is no such file, and no packaged model of this name. "
    assert str(caught.value) == expected + "`jenga-sim model list` lists all"


def test_an_unknown_name_lists_near_names() -> None:
    with pytest.raises(ConfigError, match="unknown model 'Gemma3-27b'") as caught:
        load_model("Gemma3-27b")
    assert "did you mean 'gemma-3-27b'" in str(caught.value)
    assert "`jenga-sim model list` lists all" in str(caught.value)
    assert len(str(caught.value)) < 250
    with pytest.raises(ConfigError, match="unknown GPU 'h100'; did you mean 'h100-sxm'") as caught:
        load_gpu("h100")
    assert all(name in str(caught.value) for name in gpu_names())


@pytest.mark.parametrize("name", ["", ".", "..", "models", "*", "gemma-3-27b.yml"])
def test_a_name_never_reaches_outside_the_shipped_files(name: str) -> None:
    with pytest.raises(ConfigError):
        load_model(name)


def outcome(path: Path) -> ModelSpec | None:
    """The model of a fuzzed file, or None where it was refused; anything else is a defect."""
    try:
        return load_model(path)
    except ConfigError as error:
        told = str(error)
    assert told.startswith(str(path))
    return None


@pytest.fixture(scope="module")
def fuzz_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "file.yaml"


@given(data=st.binary() | st.text().map(str.encode))
def test_any_bytes_are_refused_politely(fuzz_file: Path, data: bytes) -> None:
    fuzz_file.write_bytes(data)
    assert outcome(fuzz_file) is None


SCRAPS = st.sampled_from(
    [
        "-1",
        "0",
        "true",
        "~",
        "1e9",
        ".nan",
        "''",
        "[]",
        "{}",
        "*a",
        "!!int x",
        "<<",
        ": ",
        "\t",
        "|",
    ]
) | st.text(max_size=8)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A shipped file with a few stretches of text replaced."""
    text = (MODELS / f"{draw(st.sampled_from(model_names()))}.yaml").read_text(encoding="utf-8")
    for _ in range(draw(st.integers(1, 3))):
        start = draw(st.integers(0, len(text)))
        text = text[:start] + draw(SCRAPS) + text[start + draw(st.integers(0, 12)) :]
    return text


@given(text=mutated())
def test_a_damaged_file_is_refused_or_still_makes_sense(fuzz_file: Path, text: str) -> None:
    fuzz_file.write_bytes(text.encode())
    model = outcome(fuzz_file)
    if model is not None:
        assert all(spec.content_bytes > 0 for spec in model.kv_cache_specs(block_size=16))


@given(lines=st.data())
def test_a_file_with_lines_moved_is_refused_or_still_makes_sense(
    fuzz_file: Path, lines: st.DataObject
) -> None:
    shuffled = lines.draw(st.permutations(MODEL.splitlines()))
    kept = shuffled[: lines.draw(st.integers(1, len(shuffled)))]
    fuzz_file.write_text("\n".join(kept), encoding="utf-8")
    outcome(fuzz_file)
