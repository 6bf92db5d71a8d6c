"""`python -m starter`: the same as `taskflow`."""

import sys

from starter.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
