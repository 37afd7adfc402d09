"""`python -m services.ingest gateway`, the same with `recorder`, and with `bridge`."""

from __future__ import annotations

import sys

from services.ingest.bootstrap import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
