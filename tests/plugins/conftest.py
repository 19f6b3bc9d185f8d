"""Airflow puts `plugins/` on the path of its processes; tests of plugins need it there too."""

import sys
from pathlib import Path

PLUGINS = str(Path(__file__).parents[2] / "plugins")
if PLUGINS not in sys.path:
    sys.path.append(PLUGINS)
