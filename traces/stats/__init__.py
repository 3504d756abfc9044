"""What a trace is like: pure functions from columns to plain figures, and nothing drawn at random.

``ArrivalCounts`` and ``ValueCounts`` take columns in chunks and need little memory for any number
of requests. ``prompt_figures`` takes the block ids of all prompts as runs and writes them out a
chunk at a time.
"""

from .arrivals import ArrivalCounts, ArrivalFigures
from .blocks import Prompts
from .correlation import Correlation
from .counts import Distribution, ValueCounts, distribution
from .lru import LruFigures, lru_figures
from .prefixes import PrefixFigures, PromptFigures, prefix_figures, prompt_figures
from .sessions import SessionFigures

__all__ = [
    "ArrivalCounts",
    "ArrivalFigures",
    "Correlation",
    "Distribution",
    "LruFigures",
    "PrefixFigures",
    "PromptFigures",
    "Prompts",
    "SessionFigures",
    "ValueCounts",
    "distribution",
    "lru_figures",
    "prefix_figures",
    "prompt_figures",
]
