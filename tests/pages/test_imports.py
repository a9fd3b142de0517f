"""What the pages import."""

import subprocess
import sys


def test_pages_load_no_torch():
    code = (
        "import sys, pkgutil, importlib, pages\nfor part in pkgutil.walk_packages(pages.__path__, 'pages.'):\n    if "
        "not part.name.startswith('pages.views.'): importlib.import_module(part.name)\nsys.exit(int('torch' in "
        "sys.modules or 'transformers' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == 0
