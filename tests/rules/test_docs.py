"""The pages: every link leads somewhere, the README stays short, quoted messages are those of the product."""

import ast
import inspect
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from actors.problems.problem_sources import ProblemSource, read_source
from actors.verification.judge import JudgeFunction, RewardFunction
from conf.load import load
from conf.plugins import PARAMETERS
from conf.plugins import load as load_plugin
from conf.schema import ProblemSettings
from learner.losses.user_loss import LossTokens, PolicyLossFunction
from preprocess.advantages import AdvantageFunction
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


@pytest.fixture
def my_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The Python files of docs/extending.md in the working directory, each block added to the file that it names."""
    for example in examples("python"):
        comment, _, code = example.partition("\n")
        file = tmp_path / comment.removeprefix("# ")
        file.parent.mkdir(exist_ok=True)
        with file.open("a") as written:
            written.write(f"{code}\n\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_project"]:
        del sys.modules[name]


@pytest.mark.usefixtures("my_project")
def test_the_functions_that_are_shown_do_what_they_say() -> None:
    shown = {
        "problems.source": "my_project.checks:sums",
        "verifier.judge": "my_project.checks:last_number",
        "verifier.reward": "my_project.checks:concise",
        "preprocess.advantage": "my_project.checks:rank",
        "learner.policy_loss": "my_project.losses:Clipped",
    }
    assert shown.keys() == PARAMETERS.keys()
    source, judge, reward, advantage, policy_loss = (load_plugin(key, path) for key, path in shown.items())

    found = read_source(ProblemSettings(source=shown["problems.source"]), 7)
    assert (len(found.problems), found.rejected) == (64, [])
    assert all(judge(problem.solution, problem.answer) == "correct" for problem in found.problems)
    assert list(source(7)) == list(source(7)) != list(source(8))
    assert [judge(text, "200") for text in ("about 199", "190", "two hundred")] == ["correct", "wrong", "no_answer"]
    given = [reward("x" * 2000, "", verdict) for verdict in ("correct", "wrong", "no_answer")]
    assert given == [pytest.approx(0.8), 0.0, -0.1]
    assert advantage(np.array([1.0, 0.0, 0.0, 0.0])).tolist() == [0.375, -0.125, -0.125, -0.125]
    ratios = torch.tensor([1.0, 2.0, 8.0, 0.1])
    ones, numbers = torch.ones(4), torch.arange(4)
    losses = policy_loss(LossTokens(-ones, ratios.log(), ones, numbers, numbers, 0.0, 5.0))
    assert losses.tolist() == pytest.approx([1.0, 2.0, 5.0, 0.2])


def test_every_function_that_can_be_brought_is_called_as_its_protocol_says() -> None:
    protocols = {
        "problems.source": ProblemSource,
        "verifier.judge": JudgeFunction,
        "verifier.reward": RewardFunction,
        "preprocess.advantage": AdvantageFunction,
        "learner.policy_loss": PolicyLossFunction,
    }
    for key, protocol in protocols.items():
        _self, *parameters = inspect.signature(protocol.__call__).parameters
        assert tuple(parameters) == PARAMETERS[key]


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
