"""``jenga-sim model show``, ``list`` and ``diff``: a model in, its memory out, without a trace."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from jenga_sim.configs.load import load_model, model_names
from jenga_sim.policies.presets import PRESETS
from tests.configs.hf_cases import CASES, GEMMA3

Jenga = Callable[..., CompletedProcess[str]]
Golden = Callable[[str, str], None]

ROOT = Path(__file__).parents[2]
FILES = Path(os.environ.get("JENGA_SIM_DATA", ROOT / ".." / "shared" / "data")) / "hf_configs"
EXPECTED = FILES / "expected.json"
REAL: dict[str, Any] = json.loads(EXPECTED.read_text()) if EXPECTED.is_file() else {}
GEMMA = ("model", "show", "gemma-3-27b", "--gpu", "h100-sxm", "--tp", "2")


def shown(jenga: Jenga, *arguments: str | Path) -> dict[str, Any]:
    done = jenga("model", "show", *arguments, "--format", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def config(folder: Path, case: str = "gemma-3-27b by pattern", **changes: Any) -> Path:
    path = folder / "config.json"
    content = {"vocab_size": 262208, **CASES[case][0], **changes}
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def refused(done: CompletedProcess[str]) -> str:
    assert done.returncode == 2
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return " ".join(done.stderr.split())


def test_tables_of_a_window_model(jenga: Jenga, golden: Golden) -> None:
    done = jenga(*GEMMA)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()
    golden("model-show-gemma", done.stdout)


def test_tables_of_a_model_with_states_that_explode(jenga: Jenga, golden: Golden) -> None:
    done = jenga("model", "show", "bamba-9b", "--gpu", "h100-sxm", "--at", "1k,1M")
    golden("model-show-bamba", done.stdout)
    assert "lcm, lcm-frugal" in done.stdout
    assert "Use --policy lcm-blocks" in done.stdout


def test_the_list_names_every_packaged_model(jenga: Jenga, golden: Golden) -> None:
    done = jenga("model", "list")
    golden("model-list", done.stdout)
    rows = json.loads(jenga("model", "list", "--format", "json").stdout)
    assert [row["name"] for row in rows] == list(model_names())
    mamba = json.loads(jenga("model", "list", "MAMBA2", "--format", "json").stdout)
    assert all("mamba2" in row["caches"] for row in mamba)
    assert 0 < len(mamba) < len(rows)


def test_a_difference_is_shown_side_by_side(jenga: Jenga, golden: Golden) -> None:
    golden("model-diff", jenga("model", "diff", "gemma-2-27b", "gemma-3-27b").stdout)
    found = json.loads(
        jenga("model", "diff", "gemma-2-27b", "gemma-3-27b", "--format", "json").stdout
    )
    assert found["facts"]["num_layers"] == [46, 62]
    assert found["caches"]["swa(1024)"][0] is None
    assert found["caches"]["swa(1024)"][1]["layers"] == 52
    assert not found["same_caches"]


def test_a_model_does_not_differ_from_itself(jenga: Jenga, tmp_path: Path) -> None:
    same = jenga("model", "diff", "gemma-3-27b", str(config(tmp_path)), "--format", "json")
    assert json.loads(same.stdout)["same_caches"]
    assert "the caches are the same" in jenga("model", "diff", "qwen3-32b", "qwen3-32b").stdout


def test_a_config_file_gives_what_the_packaged_model_gives(jenga: Jenga, tmp_path: Path) -> None:
    path = config(tmp_path)
    packaged, read = shown(jenga, "gemma-3-27b"), shown(jenga, path)
    for key in ("types", "shared_layers", "kv_bytes_at", "num_layers"):
        assert read[key] == packaged[key]
    assert read["deployment"]["pages"] == packaged["deployment"]["pages"]
    assert shown(jenga, tmp_path)["types"] == read["types"]


def test_json_has_the_caches_and_every_policy(jenga: Jenga) -> None:
    card = shown(jenga, "gemma-3-27b", "--gpu", "h100-sxm", "--tp", "2")
    assert card["types"][0] == {
        "kind": "swa",
        "role": "kv",
        "layers": 52,
        "bytes_per_token_bf16": 8192,
        "bytes_per_token_fp8": 4096,
        "window": 1024,
        "tokens_per_entry": 1,
        "conv_state": 0,
        "ssm_state": 0,
        "ssm_dtype": None,
    }
    assert list(card["kv_bytes_at"]) == ["1024", "8192", "32768", "131072"]
    deployment = card["deployment"]
    assert [each["policy"] for each in deployment["policies"]] == list(PRESETS)
    for each in deployment["policies"]:
        for tokens, at in each["at"].items():
            assert at["held_bytes"] >= at["needed_bytes"] == card["kv_bytes_at"][tokens] // 2
            assert at["waste"] == pytest.approx(1 - at["needed_bytes"] / at["held_bytes"], abs=1e-6)
    assert deployment["vllm"]["block_size"] == 16


@pytest.mark.parametrize("name", sorted(REAL) or ["none"])
def test_real_files_are_shown_as_expected(jenga: Jenga, name: str) -> None:
    if not REAL:
        pytest.skip(f"no reference file {EXPECTED}")
    card = shown(jenga, FILES / name / "config.json")
    for key in ("types", "shared_layers", "kv_bytes_at"):
        assert card[key] == REAL[name][key]
    deployment = card["deployment"]
    assert deployment["pool"] if "pool" in deployment else deployment["kv_pool"]
    assert deployment["problem"] is None or deployment["policies"]


def test_without_a_number_of_gpus_the_fewest_that_do_are_taken(jenga: Jenga) -> None:
    counts = {
        name: shown(jenga, name, "--gpu", "h100-sxm")["deployment"]["tensor_parallel_size"]
        for name in ("llama-3.1-8b", "llama-3.1-70b", "deepseek-v3")
    }
    assert counts == {"llama-3.1-8b": 1, "llama-3.1-70b": 4, "deepseek-v3": 16}


def test_a_model_that_does_not_fit_is_shown_all_the_same(jenga: Jenga) -> None:
    card = shown(jenga, "llama-3.1-70b", "--gpu", "h100-sxm", "--tp", "1")
    assert card["kv_bytes_at"]["1024"] == 1024 * 327_680
    assert card["deployment"]["kv_pool"] is None
    assert "does not fit 1 x h100-sxm" in card["warnings"][0]
    done = jenga("model", "show", "llama-3.1-70b", "--gpu", "h100-sxm", "--tp", "1")
    assert done.returncode == 0
    assert "warning: llama-3.1-70b does not fit" in done.stdout


def test_too_few_slots_for_states_are_told(jenga: Jenga) -> None:
    """With CUDA graphs vLLM needs a block per sequence and stops when there are fewer."""
    card = shown(jenga, "nemotron-h-56b", "--gpu", "h100-sxm", "--tp", "2")
    vllm = card["deployment"]["vllm"]
    assert vllm["state_slots"] == vllm["num_blocks"] < vllm["max_num_seqs"] == 1024
    assert vllm["short_of_slots"]
    slots = f"{vllm['state_slots']:,}"
    assert any(f"Lower --max-num-seqs to {slots}" in text for text in card["warnings"])
    fewer = shown(jenga, "nemotron-h-56b", "--gpu", "h100-sxm", "--tp", "2", "--max-num-seqs", "64")
    assert not fewer["deployment"]["vllm"]["short_of_slots"]


def test_a_pasted_line_sets_the_engine_and_options_win(jenga: Jenga) -> None:
    line = "vllm serve openai/gpt-oss-120b -tp 2 --max-num-seqs 300 --max-model-len 64K --port 80"
    done = jenga("model", "show", "--vllm-args", line, "--gpu", "h100-sxm", "--format", "json")
    card = json.loads(done.stdout)
    assert card["name"] == "gpt-oss-120b"
    assert card["deployment"]["tensor_parallel_size"] == 2
    assert card["deployment"]["max_model_len"] == 65536
    assert card["deployment"]["vllm"]["max_num_seqs"] == 300
    assert "not used here: --port" in done.stderr
    other = shown(jenga, "gpt-oss-20b", "--vllm-args", line, "--gpu", "h100-sxm", "--tp", "1")
    assert (other["name"], other["deployment"]["tensor_parallel_size"]) == ("gpt-oss-20b", 1)


def test_a_line_without_prefix_caching_means_whole_states(jenga: Jenga) -> None:
    options = ("qwen3-next-80b", "--tp", "1", "--gpu", "h200-sxm", "--kv-cache-memory", "40GiB")
    cached = shown(jenga, *options)
    plain = shown(jenga, *options, "--vllm-args", "--no-enable-prefix-caching")
    views = [card["deployment"]["vllm"] for card in (cached, plain)]
    assert [view["block_size"] for view in views] == [576, 544]
    assert views[0]["max_concurrency"] < views[1]["max_concurrency"]


@pytest.mark.parametrize("columns", ["80", "40"])
@pytest.mark.parametrize("name", ["qwen3-next-80b", "nemotron-h-56b", "deepseek-v4-pro"])
def test_no_figure_is_cut_in_a_narrow_terminal(
    jenga: Jenga, monkeypatch: pytest.MonkeyPatch, columns: str, name: str
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    options = ("--gpu", "h100-sxm", "--tp", "4", "--policy", "vllm")
    text = jenga("model", "show", name, *options).stdout
    lines = text.splitlines()
    assert "\u2026" not in text
    if columns == "80" and "v4" not in name:
        assert "Held by one request (waste)" in lines
        assert max(map(len, lines[: lines.index("Held by one request (waste)")])) <= 80


def test_columns_says_how_wide_plain_output_is(
    jenga: Jenga, monkeypatch: pytest.MonkeyPatch
) -> None:
    for columns, width in (("60", 60), ("150", 150), ("", 100), ("0", 100), ("wide", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        lines = jenga(*GEMMA, "--policy", "vllm").stdout.splitlines()
        text = [line for line in lines if not line.startswith("|")]
        assert width - 15 < max(map(len, text)) <= width


def test_the_dtype_of_states_counts_everywhere(jenga: Jenga) -> None:
    options = ("falcon-h1-7b", "--gpu", "h100-sxm", "--at", "1k", "--mamba-ssm-cache-dtype")
    bf16, fp32, auto = (shown(jenga, *options, name) for name in ("bfloat16", "float32", "auto"))
    states = [card["types"][-1] for card in (bf16, fp32)]
    assert [each["ssm_dtype"] for each in states] == ["bf16", "fp32"]
    assert states[1]["ssm_state"] == 2 * states[0]["ssm_state"]
    for card in (bf16, fp32):
        needed = card["deployment"]["policies"][0]["at"]["1024"]["needed_bytes"]
        assert needed == card["kv_bytes_at"]["1024"]
    text = jenga("model", "show", *options, "bfloat16").stdout
    other = jenga("model", "show", *options, "float32").stdout
    needs = [line for shown in (text, other) for line in shown.splitlines() if "needs" in line]
    assert needs[0] != needs[1]
    assert auto["types"] == shown(jenga, *options[:-1])["types"]


def test_no_length_beyond_the_positions_is_advised(jenga: Jenga) -> None:
    options = ("llama-3.1-8b", "--gpu", "h100-sxm", "--tp", "1", "--at", "1k")
    card = shown(jenga, *options, "--max-model-len", "1000000")
    assert card["deployment"]["vllm"]["longest_model_len"] == 131_072
    beyond, refusal = card["warnings"]
    assert "1,000,000 is beyond the model's 131,072 positions" in beyond
    assert "lower max_model_len: up to 131,072 fits" in refusal
    assert shown(jenga, *options)["warnings"] == []


def test_stages_share_the_layers(jenga: Jenga) -> None:
    line = "-tp 2 -pp 4"
    card = shown(jenga, "llama-3.1-70b", "--vllm-args", line, "--gpu", "h100-sxm")
    deployment = card["deployment"]
    assert deployment["pipeline_parallel_size"] == 4
    first, last = deployment["layers"]
    assert last - first + 1 == 20
    at = deployment["policies"][0]["at"]["1024"]
    assert at["needed_bytes"] == card["kv_bytes_at"]["1024"] // 2 // 4


def test_a_draft_takes_its_share_of_the_pool(jenga: Jenga) -> None:
    draft = '{"model": "llama-3.1-8b", "num_speculative_tokens": 4}'
    card = shown(jenga, "llama-3.1-70b", "--speculative-config", draft, "--gpu", "h100-sxm")
    assert [each["kind"] for each in card["types"]] == ["full", "draft.full"]
    assert card["name"] == "llama-3.1-70b+llama-3.1-8b"
    line = f"vllm serve meta-llama/Llama-3.1-70B --speculative-config '{draft}'"
    again = shown(jenga, "llama-3.1-70b", "--vllm-args", line, "--gpu", "h100-sxm")
    assert again["types"] == card["types"]


def test_images_are_counted(jenga: Jenga) -> None:
    images = ("--image", "560x560", "--image", "2000x2000")
    card = shown(jenga, "llama-3.2-11b-vision", *images, "--gpu", "h100-sxm")
    small, large = card["images"]
    assert (small["tokens"], large["tokens"], large["where"]) == (1601, 6404, "cross")
    assert large["cross_bytes"] == 6404 * 32_768
    text = refused(jenga("model", "show", "llama-3.1-8b", "--image", "10x10"))
    assert "llama-3.1-8b takes no images" in text


def test_images_beside_the_text_take_their_share(jenga: Jenga) -> None:
    options = ("llama-3.2-11b-vision", "--gpu", "h100-sxm", "--at", "1k", "--policy", "paged")
    plain, one, two = (
        shown(jenga, *options, *images)["deployment"]["policies"][0]
        for images in ((), ("--image", "1120x1120"), ("--image", "1120x1120") * 2)
    )
    needed = [each["at"]["1024"]["needed_bytes"] for each in (plain, one, two)]
    assert [size - needed[0] for size in needed] == [0, 6404 * 32_768, 2 * 6404 * 32_768]
    held = [each["at"]["1024"]["held_bytes"] for each in (plain, one, two)]
    assert held[0] < held[1] < held[2]
    at_once = [each["at"]["1024"]["concurrency"] for each in (plain, one, two)]
    assert at_once[0] > at_once[1] > at_once[2] > 0
    assert plain["longest_tokens"] > one["longest_tokens"] > two["longest_tokens"]
    text = jenga("model", "show", *options, "--image", "1120x1120").stdout
    assert "each request holds 6,404 tokens of images beside its text" in text


def test_images_among_the_text_are_part_of_the_lengths(jenga: Jenga) -> None:
    options = ("gemma-3-27b", "--gpu", "h100-sxm", "--tp", "2", "--at", "1k")
    plain, image = (shown(jenga, *options, *more) for more in ((), ("--image", "896x896")))
    assert plain["deployment"] == image["deployment"]
    text = jenga("model", "show", *options, "--image", "896x896").stdout
    assert "the lengths below include their tokens" in text


def test_there_are_no_prefix_hashes_without_prefix_caching(jenga: Jenga) -> None:
    options = ("qwen3-next-80b", "--gpu", "h200-sxm", "--tp", "2")
    for verb, words in (("show", "prefix hashes of"), ("groups", "prefix hash ")):
        assert words in jenga("model", verb, *options).stdout
        assert words not in jenga("model", verb, *options, "--no-enable-prefix-caching").stdout


def test_yaml_can_be_read_again(jenga: Jenga, tmp_path: Path) -> None:
    done = jenga("model", "show", str(config(tmp_path)), "--format", "yaml")
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "mine.yaml").write_text(done.stdout, encoding="utf-8")
    packaged = load_model("gemma-3-27b")
    assert load_model(tmp_path / "mine.yaml").layers == packaged.layers


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("model", "show"), "Missing argument 'MODEL|FILE'"),
        (("model", "show", "gema-3-27b"), "did you mean 'gemma-3-27b'"),
        (("model", "show", "no/such-model"), "no/such-model"),
        (("model", "show", "gemma-3-27b", "--gpuu", "x"), "Did you mean one of: '--gpu'"),
        (("model", "show", "gemma-3-27b", "--at", "1q"), "'1q' is no number of tokens"),
        (("model", "show", "gemma-3-27b", "--at", "0"), "'0' is no number of tokens"),
        (("model", "show", "gemma-3-27b", "--image", "big"), "write width x height"),
        (("model", "show", "gemma-3-27b", "--policy", "lmc"), "Did you mean 'lcm'"),
        (("model", "show", "gemma-3-27b", "--tp", "5"), "cannot share 32 attention heads"),
        (("model", "show", "gemma-3-27b", "--vllm-args", "-tp x"), "--vllm-args"),
        (("model", "show", "gemma-3-27b", "--speculative-config", "x"), "no JSON"),
        (
            ("model", "show", "gemma-3-27b", "--speculative-config", "{}"),
            "num_speculative_tokens: is missing",
        ),
        (("model", "list", "nothing-like-it"), "no packaged model has 'nothing-like-it'"),
        (("model", "diff", "gemma-3-27b"), "Missing argument"),
    ],
)
def test_what_is_wrong_is_told_with_the_way_out(
    jenga: Jenga, arguments: tuple[str, ...], text: str
) -> None:
    assert text in refused(jenga(*arguments))


def test_a_broken_config_is_told_with_line_and_key(jenga: Jenga, tmp_path: Path) -> None:
    text = refused(jenga("model", "show", config(tmp_path, head_dim="wide")))
    assert 'config.json:1: head_dim: must be a whole number, not "wide"' in text
    (tmp_path / "config.json").write_text(json.dumps(GEMMA3)[:50], encoding="utf-8")
    assert "is the download complete?" in refused(jenga("model", "show", tmp_path))


def test_groups_take_a_config_and_a_case_alike(jenga: Jenga, tmp_path: Path) -> None:
    options = ("--gpu", "h100-sxm", "--tp", "2", "--kv-cache-memory", "40GiB", "--format", "json")
    packaged = json.loads(jenga("model", "groups", "gemma-3-27b", *options).stdout)
    read = json.loads(jenga("model", "groups", config(tmp_path), *options).stdout)
    assert read["groups"] == packaged["groups"]


def test_nothing_heavy_is_imported() -> None:
    """Start-up is most of the time that the answer takes.

    Whoever asks a policy what fits needs the compiler of its functions.
    """
    code = (
        "import sys; from jenga_sim.cli import cli; "
        "cli.main(['model', 'show', 'gemma-3-27b', '--gpu', 'h100-sxm'], standalone_mode=False); "
        "heavy = {'pandas', 'simpy', 'matplotlib', 'torch', 'jinja2'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stderr.strip() == "[]"
