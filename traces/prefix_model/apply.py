"""Hash ids for traces without them, by a model that is named."""

from __future__ import annotations

from dataclasses import replace

from ...configs.errors import TraceError
from ..generate.draw import Draw
from ..limits import check_block_size
from ..record import Trace
from ..text import shown
from ..words import parse
from .hit import WantedHit
from .model import PrefixModel, ideal_token_hit
from .sessions import SessionChains
from .shared import NoPrefixes, SharedPrompts
from .split import RecordedSplit
from .tree import PathsOf

MODELS = {kind.NAME: kind for kind in (NoPrefixes, SharedPrompts, SessionChains, RecordedSplit)}
"""Models with keys, by name; ``hit:SHARE`` and ``tree:FILE`` come beside them."""


def parse_prefix_model(text: str) -> PrefixModel:
    """Read ``none``, ``shared:k=8,len=1000``, ``sessions``, ``split``, ``tree:FILE``, ``hit:0.37``.

    Raises:
        TraceError: The name or a key is unknown, or a value is out of range.
    """
    name, _, rest = text.partition(":")
    if name == "tree":
        if not rest:
            raise TraceError("prefix model tree: must name a trace with hash ids, as in tree:FILE")
        return PathsOf(rest)
    if name == "hit":
        try:
            return WantedHit(float(rest))
        except ValueError:
            raise TraceError(
                f"prefix model hit: must be a share from 0 to 1, as in hit:0.4, is '{shown(rest)}'"
            ) from None
    if name not in MODELS:
        known = ", ".join((*MODELS, "tree:FILE", "hit:SHARE"))
        raise TraceError(f"prefix model '{shown(name)}': is unknown; known are {known}")
    return parse(text, MODELS, "prefix model")


def apply_prefix_model(trace: Trace, words: str, seed: int = 0, block_size: int = 16) -> Trace:
    """Return the trace with hash ids that a model makes up, in place of any that it has.

    Ids stand for full blocks. A note in ``meta`` says which model it was and which ideal hit came
    out, and so does ``meta.source``, which a written trace keeps.

    Args:
        trace: Requests in order of arrival.
        words: The model, see ``parse_prefix_model``.
        seed: Seed of its random numbers.
        block_size: Tokens per id.

    Raises:
        TraceError: The words are wrong, or the trace lacks what the model goes by.
    """
    check_block_size(block_size)
    model = parse_prefix_model(words)
    made = model.applied(trace, Draw(seed).child("prefix model"), block_size)
    replaced = ("the trace's own ids are not used",) if trace.has_hashes else ()
    modelled = replace(trace, hash_runs=made.runs).with_meta(
        block_size=block_size, hash_tail="floor", hash_scope="global"
    )
    if made.hit_blocks is None:
        hit = ideal_token_hit(modelled)
    else:
        hit = made.hit_blocks * block_size / int(trace.input_tokens.sum())
    says = f"prefix model {words}: ideal token hit {hit:.4f} (a model, not measured)"
    note = "; ".join((says, *made.remarks, *replaced))
    source = "; ".join(filter(None, (trace.meta.source, note)))
    return modelled.with_meta(notes=(*trace.meta.notes, note), source=source)
