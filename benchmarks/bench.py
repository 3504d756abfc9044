"""Measure the simulator: one JSON line per case, each case in a process of its own.

``bench.py`` runs all of them; ``bench.py chat scale/10k`` a group and a case; ``--list`` names
them. Every other file here is a group of cases, or what they share.
"""

import argparse
import json
import subprocess
import sys
from importlib import import_module

from cases import Case, Effort

SIMULATING = ("chat", "cached", "scale", "shapes", "sample", "stages")
GROUPS = (*SIMULATING, "startup", "reading")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("case", nargs="*", default=GROUPS, help="GROUP or GROUP/CASE.")
    parser.add_argument("--quick", action="store_true", help="A thousandth of it, once.")
    parser.add_argument("--repeat", type=int, default=3, help="Runs, of which the best counts.")
    parser.add_argument("--list", action="store_true", help="Only name the cases.")
    parser.add_argument("--here", action="store_true", help="In this process; one case.")
    given = parser.parse_args()
    cases = {name: case for words in given.case for name, case in _cases(words).items()}
    effort = Effort(given.quick, 1 if given.quick else max(1, given.repeat))
    failed: list[str] = []
    for name, case in cases.items():
        if given.list:
            print(name)
        elif given.here:
            print(json.dumps({"name": name, **case(effort)}), flush=True)
        elif not _alone(name, effort):
            failed.append(name)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


def _cases(words: str) -> dict[str, Case]:
    """The cases of a group, or one of them."""
    group, _, wanted = words.partition("/")
    if group not in GROUPS:
        sys.exit(f"{group} is no group of cases; there are {', '.join(GROUPS)}")
    known: dict[str, Case] = import_module(group).CASES
    if wanted and wanted not in known:
        sys.exit(f"{wanted} is no case of {group}; there are {', '.join(known)}")
    return {f"{group}/{name}": case for name, case in known.items() if wanted in ("", name)}


def _alone(name: str, effort: Effort) -> bool:
    """Measure in a process that has done nothing else, so that its memory is that of the case.

    One before it leaves compiled code on disk: the compiler takes memory, too.
    """
    command = [sys.executable, __file__, name, "--here"]
    if effort.quick:
        return subprocess.run([*command, "--quick"], check=False).returncode == 0
    if name.partition("/")[0] in SIMULATING:
        subprocess.run([*command, "--quick"], check=False, capture_output=True)
    command.append(f"--repeat={effort.repeat}")
    return subprocess.run(command, check=False).returncode == 0


if __name__ == "__main__":
    main()
