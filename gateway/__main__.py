"""`python -m gateway --config gateway.yaml`."""

import sys

from .main import main

sys.exit(main())
