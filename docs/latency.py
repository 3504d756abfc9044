"""Write the table of docs/latency.md from the profile that it is about."""

import re
from pathlib import Path

from jenga_sim.sim.kernels.profile import ErrorShape, load_profile

DOCUMENT = Path(__file__).with_suffix(".md")


def rendered(text: str) -> str:
    """The document with the errors of the shipped profile of an H100."""
    names = ("kernels", "rows", "shapes", "points", "unseen", "beyond")
    rows = [f"| {' | '.join(names)} |", "|---|" + "---:|" * (len(names) - 1)]
    for fit in load_profile("h100-sxm").fits.values():
        errors = " | ".join(_cell(error) for error in (fit.points, fit.unseen, fit.beyond))
        name = " ".join([fit.op, *fit.tags.values()])
        rows.append(f"| {name} | {fit.rows:,} | {fit.shapes:,} | {errors} |")
    place = re.compile(r"(?<=<!-- h100 -->\n).*?(?=<!-- end -->)", re.DOTALL)
    return place.sub("\n" + "\n".join(rows) + "\n\n", text)


def _cell(error: ErrorShape | None) -> str:
    return "" if error is None else f"{error.median_pct:.1f} / {error.p95_pct:.0f}"


if __name__ == "__main__":
    DOCUMENT.write_text(rendered(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
