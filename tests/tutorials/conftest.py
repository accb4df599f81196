"""Tests of the tutorials import the scripts that make them."""
import os
import sys
from pathlib import Path

TUTORIALS = Path(__file__).parents[2] / "tutorials"
sys.path.insert(0, str(TUTORIALS))
os.environ["JUPYTER_PLATFORM_DIRS"] = "1"           # the new folders of Jupyter; without a word it warns about the old
