"""`python -m services.ingest gateway` and `python -m services.ingest recorder`."""

from __future__ import annotations

import sys

from services.ingest.bootstrap import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
