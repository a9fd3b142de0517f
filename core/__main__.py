"""`python -m core …` is the command `molsway …`: see `core.cli`."""

import sys

from core.cli.parser import main

sys.exit(main())
