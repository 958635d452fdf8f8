"""`python -m enclave --config node.yaml`."""

import sys

from .main import main

sys.exit(main())
