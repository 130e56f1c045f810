"""The pages: every link leads somewhere, the README stays short, quoted messages are those of the product."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conf.load import load
from tests.rules.source import FILES, REPOSITORY

PAGES = sorted([*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").glob("*.md")])
README_LINES = 150
LINK = re.compile(r"\[[^\]\[]*\]\(([^()\s]+)\)")
CODE_BLOCK = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`[^`\n]*`")
FILE_NAME = re.compile(
    r"`((?:actors|broker|conf|deploy|docs|learner|preprocess|requirements|tests)/[\w./*-]*(?:/|\.\w+))`"
)
SHORTEST = 6
"""Characters of a piece of a message that tell something."""


def text_of(page: Path) -> str:
    """A page without its blocks of code."""
    return CODE_BLOCK.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Names of a page's headings, as hosts of Git repositories make them."""
    headings = re.findall(r"^#+ +(.+?) *$", text_of(page), re.MULTILINE)
    plain = (re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower() for heading in headings)
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in LINK.findall(CODE.sub("", text_of(page))):
        if link.startswith(("https://", "mailto:")):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{link}: no such file"
        assert target.is_relative_to(REPOSITORY), f"{link}: outside the repository"
        if anchor:
            assert anchor in anchors(target), f"{link}: no such heading, there are {sorted(anchors(target))}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_file_that_is_named_is_there(page: Path) -> None:
    missing = [name for name in FILE_NAME.findall(text_of(page)) if not list(REPOSITORY.glob(name.rstrip("/")))]
    assert not missing


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    readme = REPOSITORY / "README.md"
    assert len(readme.read_text().splitlines()) <= README_LINES
    linked = {(REPOSITORY / link.partition("#")[0]).resolve() for link in LINK.findall(text_of(readme))}
    assert set((REPOSITORY / "docs").glob("*.md")) <= linked


def test_the_version_is_the_same_everywhere() -> None:
    version = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
    assert f"\nversion: {version}\n" in (REPOSITORY / "CITATION.cff").read_text()
    assert f"\n## {version}\n" in (REPOSITORY / "CHANGELOG.md").read_text()


def examples(language: str) -> list[str]:
    """The blocks of code of docs/extending.md in one language."""
    page = (REPOSITORY / "docs" / "extending.md").read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", page, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("example", examples("yaml"))
def test_the_settings_files_that_are_shown_can_be_loaded(tmp_path: Path, example: str) -> None:
    file = tmp_path / "example.yaml"
    file.write_text(example)
    for hardware in ("cpu", "node8"):
        load(file, [f"hardware={hardware}"])


def test_the_advantage_that_is_shown_is_centred_and_orders_rollouts() -> None:
    (example,) = examples("python")
    namespace: dict[str, Any] = {"Array": np.ndarray}
    exec(compile(example, "docs/extending.md", "exec"), namespace)  # noqa: S102  our own page
    advantages = namespace["rank"](np.array([1.0, 0.0, 0.0, 0.0]))
    assert advantages.tolist() == [0.375, -0.125, -0.125, -0.125]


def messages() -> Iterator[str]:
    """Every string of the product, with an ellipsis for each value that is put in."""
    for tree in FILES.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr):
                yield "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value


def test_quoted_messages_are_those_of_the_product() -> None:
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text()
    known = list(messages())
    strange = []
    for quoted in re.findall(r"^\| `([^`]+)`", page, re.MULTILINE):
        pieces = [re.escape(piece.strip()) for piece in quoted.split("…") if len(piece.strip()) >= SHORTEST]
        assert pieces, f"{quoted}: too short to be looked for"
        pattern = re.compile(".*".join(pieces), re.DOTALL)
        if not any(pattern.search(message) for message in known):
            strange.append(quoted)
    assert not strange, f"docs/troubleshooting.md quotes what nobody says: {strange}"
