"""Run the crate's tests of its Python boundary, where Python is a shared library."""

import os
import subprocess
import sys
import sysconfig


def main() -> int:
    """Return cargo's exit code; 0 where a test program cannot link to Python."""
    if not sysconfig.get_config_var("Py_ENABLE_SHARED"):
        return 0
    paths = [sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH", "")]
    environment = {
        "PYO3_PYTHON": sys.executable,
        "LD_LIBRARY_PATH": os.pathsep.join(filter(None, paths)),
    }
    command = ["cargo", "test", "--quiet", "--features", "python", "--lib", "py::"]
    done = subprocess.run(command, env={**os.environ, **environment}, check=False)
    return done.returncode


if __name__ == "__main__":
    raise SystemExit(main())
