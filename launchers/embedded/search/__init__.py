"""Which hyperparameters a tuning job tries next, and which trials it cuts short.

Nothing here knows of a server or a file, and everything follows from the spec and the order of the
calls: whoever plays the same calls again has the same search again.
"""

from launchers.embedded.search.search import Search
from launchers.embedded.search.spec import Earlier, Range, Spec

__all__ = ["Earlier", "Range", "Search", "Spec"]
