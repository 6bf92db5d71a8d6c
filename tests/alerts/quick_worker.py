"""`python -m tests.alerts.quick_worker`: a worker that looks at Temporal every two seconds.

Its gauges are then as fresh as the test that waits for them; everything else is the product's.
"""

import sys

from worker import looks

if __name__ == "__main__":
    looks.EVERY_SECONDS = 2.0
    looks.SELDOM = 1
    from worker.__main__ import main

    sys.exit(main())
