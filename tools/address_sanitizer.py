"""Run tests of the transport on an extension that AddressSanitizer watches.

The extension is built and kept under ``target/address``, with a copy of the Python
package around it, so that the one in use stays as it is. What is named on the command
line goes to pytest in place of the tests that are run otherwise.
"""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "target" / "address"
PACKAGES = TARGET / "python"
REPORTS = TARGET / "reports"

# Not there: what mostly waits, or holds the machine to the clock, as all is some times
# slower; an allocation that must fail, of which AddressSanitizer warns; a test of what
# many small allocations take, to each of which it adds; and the worker pools, which
# start many processes and have no native code of their own.
TESTS = (
    "tests/transport",
    "tests/tensors",
    "--ignore=tests/transport/pool",
    "--ignore=tests/transport/test_heartbeats.py",
    "--ignore=tests/transport/test_poller.py",
    "--ignore-glob=*/test_replay*.py",
    "--ignore-glob=*/test_rpc_*.py",
    "--deselect=tests/transport/test_loans.py::"
    "test_loan_that_no_memory_holds_is_a_memory_error",
    "--deselect=tests/transport/test_subscriptions_on_the_wire.py::"
    "test_65536_long_topics_cost_megabytes",
    "-k=not python",
)

# It reads memory that it gave back.
MISTAKE = """
import ctypes
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
address = libc.malloc(64)
libc.free(address)
ctypes.string_at(address, 64)
"""


def main() -> int:
    """Build, and run the tests; return the status to exit with."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pytest_arguments", nargs=argparse.REMAINDER)
    tests = parser.parse_args().pytest_arguments or TESTS
    host = _host()
    runtime = _shared_runtime(host)
    if runtime is None:
        print("skipped: no runtime of AddressSanitizer; it takes cc and ar, or gcc")
        return 0
    _install(_build(host))
    environment = _environment(runtime)
    if not _is_told(environment):
        print("AddressSanitizer does not tell of memory that is used after it is freed")
        return 1
    pytest = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "3"]
    status = subprocess.run(
        [*pytest, *tests], cwd=ROOT, env=environment, check=False
    ).returncode
    reports = sorted(REPORTS.iterdir())
    for report in reports:
        print(report.read_text(errors="replace"))
    return status or bool(reports)


def _host() -> str:
    about = subprocess.check_output(["rustc", "-vV"], text=True)
    return next(
        line.removeprefix("host: ")
        for line in about.splitlines()
        if line.startswith("host: ")
    )


def _shared_runtime(host: str) -> Path | None:
    """Make rustc's runtime a library that can be preloaded, or find that of gcc."""
    sysroot = subprocess.check_output(["rustc", "--print", "sysroot"], text=True)
    libraries = Path(sysroot.strip()) / "lib" / "rustlib" / host / "lib"
    archives = list(libraries.glob("librustc-*_rt.asan.a"))
    if archives and shutil.which("cc") and shutil.which("ar"):
        return _linked(archives[0])
    name = shutil.which("gcc") and subprocess.check_output(
        ["gcc", "-print-file-name=libasan.so"], text=True
    )
    # It prints the bare name of what it does not find.
    return Path(name.strip()) if name and "/" in name else None


def _linked(archive: Path) -> Path:
    """Link all of a static runtime as a shared library.

    Without the part that runs before libraries are loaded, which only a program has:
    a library that is preloaded starts early enough.
    """
    TARGET.mkdir(parents=True, exist_ok=True)
    # NB: what is called libasan.so the runtime takes for that of gcc, and gives up.
    copy, library = TARGET / "runtime.a", TARGET / "runtime.so"
    shutil.copyfile(archive, copy)
    subprocess.run(["ar", "d", copy, "asan_preinit.cpp.o"], check=True)
    whole = ["-Wl,--whole-archive", str(copy), "-Wl,--no-whole-archive"]
    libraries = ["-lpthread", "-ldl", "-lm"]
    command = ["cc", "-shared", "-o", str(library), *whole, *libraries]
    subprocess.run(command, check=True)
    return library


def _build(host: str) -> Path:
    environment = os.environ | {
        "RUSTC_BOOTSTRAP": "1",
        "RUSTFLAGS": "-Zsanitizer=address",
        "CARGO_PROFILE_DEV_DEBUG": "line-tables-only",
        "PYO3_PYTHON": sys.executable,
    }
    features = ["--features", "python,pyo3/extension-module"]
    place = ["--target", host, "--target-dir", str(TARGET)]
    command = ["cargo", "build", "--quiet", "--lib", *features, *place]
    subprocess.run(command, cwd=ROOT, env=environment, check=True)
    return TARGET / host / "debug" / "libbusduct.so"


def _install(extension: Path) -> None:
    shutil.rmtree(PACKAGES, ignore_errors=True)
    leave = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "python", PACKAGES, ignore=leave)
    shutil.copyfile(extension, PACKAGES / "busduct" / "_core.abi3.so")


def _environment(runtime: Path) -> dict[str, str]:
    """Say what a Python needs to run the tests, and to be watched."""
    options = f"detect_leaks=0:allow_addr2line=1:log_path={REPORTS}/report"
    return os.environ | {
        "LD_PRELOAD": str(runtime),
        "ASAN_OPTIONS": options,
        # Python's own allocator would hide what is freed.
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(PACKAGES),
        # Skip no test for want of the extension.
        "CI": "true",
    }


def _is_told(environment: dict[str, str]) -> bool:
    """Make a mistake; return whether it, and only it, is told of."""
    for mistake, is_expected in (("", False), (MISTAKE, True)):
        shutil.rmtree(REPORTS, ignore_errors=True)
        REPORTS.mkdir()
        code = f"import busduct._core\n{mistake}"
        command = [sys.executable, "-c", code]
        subprocess.run(command, env=environment, cwd=ROOT, check=False)
        reports = [report.read_text() for report in REPORTS.iterdir()]
        if any("heap-use-after-free" in text for text in reports) != is_expected:
            return False
    shutil.rmtree(REPORTS)
    REPORTS.mkdir()
    return True


if __name__ == "__main__":
    sys.exit(main())
