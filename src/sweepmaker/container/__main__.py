"""``python -m sweepmaker.container train`` or ``serve``: the ENTRYPOINT of an image of our own."""

import sys

from sweepmaker.container.supervisor import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
