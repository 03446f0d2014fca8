"""`python -m vrouter` is `vrouter`."""

import sys

from vrouter.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
