"""All families, by ``model_type`` of the language model."""

from .dense import DENSE
from .family import Family
from .gemma import GEMMA
from .hybrid import HYBRID
from .older import OLDER
from .sparse import SPARSE

FAMILIES: dict[str, Family] = {**DENSE, **SPARSE, **HYBRID, **GEMMA, **OLDER}
"""What the language models of each family consist of."""
