"""Every block of code in README and docs: Python runs, commands are ones that there are.

In a Markdown file, `<!--- invisible-code-block: python … -->` sets up what a block needs, and
`<!--- skip: next -->` lets one be.
"""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import typer
from sybil import Document
from sybil.parsers.markdown import (
    ClearNamespaceParser,
    CodeBlockParser,
    PythonCodeBlockParser,
    SkipParser,
)

from skyctl.cli import app

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
SLOW = {"torque.md", "movie-sets.md"}


def check_shell(example):
    """Each line is a command that there is, with options that it has."""
    lines = example.parsed.replace("\\\n", " ").splitlines()
    for line in lines:
        for command in shlex.split(line, comments=True) and line.split("#")[0].split("&&"):
            check_command(shlex.split(command))


def check_command(words):
    while words and "=" in words[0]:  # of the environment
        words = words[1:]
    if words[0] == "eval":  # of what a command prints: "$(skyctl …)"
        words = shlex.split(words[1].removeprefix("$(").removesuffix(")"))
    if words[0] == "skyctl":
        check_options(typer.main.get_command(app), words[1:], None)
    elif words[0] == "make":
        targets = re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert {word for word in words[1:] if "=" not in word} <= set(targets), words
    elif words[:2] == ["pip", "install"]:
        extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
        named = set(",".join(re.findall(r"\[(.*?)\]", " ".join(words))).split(","))
        assert named - {""} <= set(extras["optional-dependencies"]), words
        assert all((ROOT / word).is_dir() for word in words if word.startswith("./")), words
    else:
        assert words[0] in ("start-re-manager", "cd", "python", "export"), words


def check_options(command, words, parent):
    """Raises a usage error for a command or option that there is not."""
    words = [re.sub("^(TIME|FILE|N|D)$", "1", word) for word in words]
    context = command.make_context(command.name, words, parent=parent)
    if hasattr(command, "resolve_command"):
        _, sub, rest = command.resolve_command(context, context._protected_args + context.args)
        check_options(sub, rest, context)


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(
            page,
            id=str(page.relative_to(ROOT)),
            marks=[pytest.mark.slow] if page.name in SLOW else [],
        )
        for page in PAGES
    ],
)
def test_the_blocks_of_a_page_work(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parsers = [
        PythonCodeBlockParser(),
        CodeBlockParser("sh", check_shell),
        SkipParser(),
        ClearNamespaceParser(),
    ]
    document = Document.parse(str(page), *parsers)
    for example in document.examples():
        example.evaluate()
