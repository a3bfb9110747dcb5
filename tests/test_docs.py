"""What the documentation says is so: snippets run, links lead on, tests exist."""

import __future__

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

from busduct.statistics import ContextStatistics

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\(([^)\s]+)\)")
POINTER = re.compile(r'docs/wire\.md,\s+(?://!\s*)?((?:"[^"]+"(?:, | and )?)+)')
TEST_ID = re.compile(r"`(tests/[\w/]+\.(?:py|rs))::(\w+)`")
CVE = re.compile(r"^\| (CVE-\d{4}-\d{4,}) \|", re.MULTILINE)


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path) -> Iterator[tuple[str, str, str]]:
    """Yield each fenced block's language, its text, and what the next one holds."""
    found = FENCE.findall(page.read_text())
    for index, (language, text) in enumerate(found):
        follower = found[index + 1] if index + 1 < len(found) else ("", "")
        yield language, text, follower[1] if follower[0] == "text" else ""


RUNNABLE = [
    pytest.param(text, printed, id=f"{name_of(page)}-{index}")
    for page in PAGES
    for index, (language, text, printed) in enumerate(blocks(page))
    if language == "python run"
]


@pytest.mark.parametrize(("code", "printed"), RUNNABLE)
def test_snippet_prints_what_the_page_says(
    backend: ModuleType, code: str, printed: str, tmp_path: Path
) -> None:
    # NB: a directory of its own, and short enough for the path of a socket.
    ran = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
        env={**os.environ, "BUSDUCT_BACKEND": backend.BACKEND},
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == printed


def test_each_pattern_has_a_snippet_that_runs() -> None:
    for page in (ROOT / "docs" / "patterns").glob("*.md"):
        languages = [language for language, _, _ in blocks(page)]
        assert page.name == "options.md" or "python run" in languages, page


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_snippet_is_python(page: Path) -> None:
    for language, text, _ in blocks(page):
        if language.split(" ")[0] == "python":
            compile(
                text,
                name_of(page),
                "exec",
                flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
                | __future__.annotations.compiler_flag,
            )


@cache
def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
    return {text.replace(" ", "-") for text in plain}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text())
    for target in LINK.findall(text):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), target
        assert not anchor or anchor in anchors(there), target


def test_index_names_every_page() -> None:
    index = ROOT / "docs" / "README.md"
    linked = {
        (index.parent / target).resolve() for target in LINK.findall(index.read_text())
    }
    pages = {page for page in (ROOT / "docs").rglob("*.md") if page != index}
    assert {page for page in pages if page.parent.name != "decisions"} <= linked


def keywords_of(function: str) -> dict[str, str]:
    """Return the keywords of a function in the stub, and their defaults."""
    stub = ast.parse((ROOT / "python/busduct/_core.pyi").read_text())
    for node in ast.walk(stub):
        if isinstance(node, ast.FunctionDef) and node.name == function:
            names = [argument.arg for argument in node.args.kwonlyargs]
            defaults = [ast.literal_eval(d) for d in node.args.kw_defaults if d]
            return dict(zip(names, map(repr, defaults), strict=True))
    raise AssertionError


def test_options_are_described_with_their_defaults() -> None:
    page = (ROOT / "docs" / "patterns" / "options.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| `([^`]+)`", page, re.MULTILINE)
    assert dict(rows) == keywords_of("socket")


def test_options_of_a_context_are_described_with_their_defaults() -> None:
    page = (ROOT / "docs" / "patterns" / "options.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", page, re.MULTILINE)
    assert dict(rows) == keywords_of("__new__")


def test_statistics_of_a_context_are_described() -> None:
    page = (ROOT / "docs" / "patterns" / "options.md").read_text()
    described = re.findall(r"^\| `(\w*shm_\w+)` \| [^`]", page, re.MULTILINE)
    assert described == [field.name for field in fields(ContextStatistics)]


def test_code_points_at_sections_that_there_are() -> None:
    headings = re.findall(
        r"^#+ (.*)$", (ROOT / "docs/wire.md").read_text(), re.MULTILINE
    )
    sources = [*(ROOT / "rust").rglob("*.rs"), *(ROOT / "python").rglob("*.py")]
    pointers = [
        section
        for source in sources
        for pointer in POINTER.findall(source.read_text())
        for section in re.findall(r'"([^"]+)"', pointer)
    ]
    assert set(pointers) <= set(headings)
    described = {"Greeting", "Frames", "Commands", "Heartbeats", "Subscriptions"}
    assert described | {"Envelopes", "Keys", "Records", "RPC"} <= set(pointers)


@cache
def functions_of(path: str) -> set[str]:
    """Return the names of a file's functions."""
    return set(re.findall(r"\b(?:def|fn) (\w+)\(", (ROOT / path).read_text()))


def test_tests_that_security_names_exist() -> None:
    named = TEST_ID.findall((ROOT / "SECURITY.md").read_text())
    assert len(named) > 40
    missing = [
        f"{path}::{test}" for path, test in named if test not in functions_of(path)
    ]
    assert missing == []


def test_every_threat_names_a_test_or_says_that_none_covers_it() -> None:
    rows = [
        line
        for line in (ROOT / "SECURITY.md").read_text().splitlines()
        if line.startswith("| ")
        and not line.startswith(("| ---", "| who |", "| what |", "| CVE |"))
    ]
    assert len(rows) > 40
    uncovered = [
        row for row in rows if not TEST_ID.search(row) and "not covered" not in row
    ]
    assert uncovered == []


def test_each_cve_is_listed_once() -> None:
    listed = CVE.findall((ROOT / "SECURITY.md").read_text())
    assert len(listed) == len(set(listed)) > 15
