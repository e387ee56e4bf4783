"""skyctl: Bluesky plans that choose the next pulse from a movie of the sample."""

from pathlib import Path

__version__ = "0.1.0"

# In a checkout `devices`, `models` and `simulators` stand beside this folder, not in it. Python
# started there imports this folder rather than the installed package: let it find them too.
_here = Path(__file__).parent
if not (_here / "devices").exists():
    __path__.append(str(_here.parent))
