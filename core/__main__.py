"""`python -m core …`: see `core.cli`."""

import sys

from core.cli.parser import main

sys.exit(main())
