"""``python -m sweepmaker.serving.server --model-dir DIR``: the server alone, without Hydra."""

import os
import sys

from sweepmaker.config.errors import UserError
from sweepmaker.serving import server
from sweepmaker.serving.server.settings import Settings


def main(words: list[str]) -> int:
    """Serve; the exit code."""
    try:
        server.run(Settings.read(words, os.environ))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
