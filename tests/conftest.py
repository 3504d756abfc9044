"""Random tests draw the same examples everywhere, unless more of them are asked for."""

import os

from hypothesis import settings

settings.register_profile("alike", derandomize=True, database=None, deadline=None)
if os.environ.get("JENGA_SIM_EXAMPLES_FACTOR", "1") == "1":
    settings.load_profile("alike")
