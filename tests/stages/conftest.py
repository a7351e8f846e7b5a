"""Lets the tests of the stages import ``pictures`` from this folder."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))  # --import-mode=importlib leaves pictures.py off the path
