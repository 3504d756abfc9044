"""Jenga's pool, but no call takes a large page for what fits empty small pages.

Our own. Jenga (SOSP 2025, section 4) gives a request a new large page although others' large pages
have room, so that pages of a request lie together. An admission counts that room, though: where a
prompt is computed in chunks, its first chunk takes large pages that the admission left for its last
one. So a call here may use only as many large pages as empty small ones are lacking.
"""

from .lcm import LCMCarving


class FrugalLCMCarving(LCMCarving):
    """``LCMCarving`` whose calls use no large page for what fits the empty small ones."""

    frugal = True
