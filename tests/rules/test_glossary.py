"""Public names use the words of docs/glossary.md: the ones its last column rules out are part of none."""

import ast
import re
from collections.abc import Iterator

from tests.rules.source import FILES, REPOSITORY

GLOSSARY = REPOSITORY / "docs" / "glossary.md"

DIALECT = {
    "whereabouts", "withheld", "making", "joining", "beside", "outline", "doubts", "born", "bury", "nurse", "nursery",
    "crop", "harvest", "hopeless", "borne", "kin", "deed", "deeds",
}  # fmt: skip
"""Words of earlier names that only their author could read."""


def rows() -> Iterator[tuple[str, str, str]]:
    """(term, meaning, words not used for it) of every row of the glossary's tables."""
    for line in GLOSSARY.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if len(cells) == 3 and cells[0] != "term" and not set(cells[0]) <= {"-"}:
            yield cells[0], cells[1], cells[2]


def words(name: str) -> set[str]:
    """`read_groupLocations` -> {"read", "group", "locations"}"""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}


def public_names(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(name, line) of every public class, function, parameter and annotated attribute."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node.name, node.lineno
            if not isinstance(node, ast.ClassDef):
                arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                yield from ((argument.arg, argument.lineno) for argument in arguments)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name | ast.Attribute):
            name = node.target.id if isinstance(node.target, ast.Name) else node.target.attr
            if not name.startswith("_"):
                yield name, node.lineno


def test_every_term_has_one_row_and_a_meaning() -> None:
    terms = [term for term, _, _ in rows()]
    assert len(terms) > 40
    assert len(set(terms)) == len(terms)
    assert all(meaning.endswith((".", ")")) for _, meaning, _ in rows())


def test_the_words_of_a_name_are_split() -> None:
    assert words("read_GroupLocations") == {"read", "group", "locations"}
    assert words("KLPenalty") == {"kl", "penalty"}


def test_public_names_use_the_words_of_the_glossary() -> None:
    excluded = {word.strip(): term for term, _, others in rows() for word in others.split(",") if word.strip()}
    excluded |= dict.fromkeys(DIALECT, "a plain name")
    found = [
        f"{file}:{line}: {name}: say {excluded[word]}, not {word}"
        for file, tree in FILES.items()
        for name, line in (*public_names(tree), (file.rsplit("/", 1)[1].removesuffix(".py"), 1))
        for word in sorted(words(name) & excluded.keys())
    ]
    assert not found, "\n".join(found)
