"""`python -m snncc` is the script `snncc`."""

import sys

from .cli import main

sys.exit(main())
