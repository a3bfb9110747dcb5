"""Find mlcommons/endpoints, whose code is no part of this repository."""

import os
import sys
from pathlib import Path

from driver import skip

VARIABLE = "BUSDUCT_ENDPOINTS_SRC"


def add_to_path() -> None:
    """Let `inference_endpoint` be imported; else tell the runner why it cannot be."""
    path = os.environ.get(VARIABLE)
    if not path:
        skip(f"{VARIABLE} is not set (the src directory of an mlcommons/endpoints)")
    if not (Path(path) / "inference_endpoint").is_dir():
        skip(f"{VARIABLE} is {path}, which has no inference_endpoint")
    if sys.version_info < (3, 12):
        skip("mlcommons/endpoints needs Python 3.12")
    sys.path.insert(0, path)
