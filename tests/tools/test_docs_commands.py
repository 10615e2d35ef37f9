"""Every command that a page shows takes the options that the page gives it."""

import re
import runpy
import shlex
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = [
    REPOSITORY / "README.md",
    REPOSITORY / "data" / "ava" / "README.md",
    *sorted((REPOSITORY / "docs").glob("*.md")),
]


def _commands(page: Path) -> list[str]:
    """Return the page's `python tools/...` commands, in blocks and in the text."""
    text = re.sub(r"\\\n\s*", "", page.read_text(encoding="utf-8"))
    found = re.findall(r"(?:^ {4}|`)python (tools/[^`#\n]*)", text, flags=re.MULTILINE)
    return [command.strip() for command in found]


def _parse(command: str) -> None:
    """Let the command's own parser take its options; an unknown one ends the test."""
    tool, *options = shlex.split(command)
    main = runpy.run_path(str(REPOSITORY / tool))["main"]
    parsed: list[object] = []

    def run_tool(parser, _body, argv):
        parsed.append(parser.parse_args(argv))
        return 0

    main.__globals__["run_tool"] = run_tool
    main(options)
    assert parsed, command


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_options_of_a_page_exist(page):
    for command in _commands(page):
        _parse(command)


def test_the_pages_show_every_tool():
    shown = {command.split()[0] for page in PAGES for command in _commands(page)}
    assert {f"tools/{path.name}" for path in (REPOSITORY / "tools").glob("*.py")} <= shown
