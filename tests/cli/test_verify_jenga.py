"""``jenga-sim verify`` with a recording of Jenga's artifact, which it recognizes by itself."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

GOLDEN = Path(__file__).parents[1] / "golden" / "jenga"
CASE = GOLDEN / "full-docqa-1.case.json"
"""No key of it says whose it is: vLLM could read it as well."""
RECORDING = GOLDEN / "full-docqa-1.golden.json"
Jenga = Callable[..., CompletedProcess[str]]


def test_verify_ends_in_0_if_the_artifact_agrees(jenga: Jenga) -> None:
    done = jenga("verify", CASE, "--golden", RECORDING)
    assert done.returncode == 0
    assert done.stdout == "full-docqa-1: agrees in all 61 steps\n"


def test_verify_ends_in_4_and_names_the_large_pages_that_differ(
    jenga: Jenga, tmp_path: Path
) -> None:
    log = json.loads(RECORDING.read_text())
    log["steps"][7]["free_large"] += 1
    altered = tmp_path / "altered.golden.json"
    altered.write_text(json.dumps(log))
    done = jenga("verify", CASE, "--golden", altered)
    ours = log["steps"][7]["free_large"] - 1
    assert done.returncode == 4
    number = log["steps"][7]["step"]
    assert done.stdout.startswith(f"step {number}: free_large: ours {ours}, golden {ours + 1}\n")
    assert done.stdout.endswith("full-docqa-1: 1 differences\n")


def test_verify_under_the_other_engine_disagrees(jenga: Jenga) -> None:
    done = jenga("verify", CASE, "--golden", RECORDING, "--engine", "vllm")
    assert done.returncode == 4
