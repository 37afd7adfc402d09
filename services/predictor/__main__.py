"""`python -m services.predictor`."""

import sys

from services.predictor.bootstrap import main

if __name__ == "__main__":
    sys.exit(main())
