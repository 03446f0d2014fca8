"""`python -m vrouter` is `vrouter`."""

import sys

from vrouter.cli.main import main

sys.exit(main())
