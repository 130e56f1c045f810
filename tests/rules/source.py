"""The product's source as syntax trees."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
ROOMS = ("conf", "broker", "actors", "preprocess", "learner", "deploy")

FILES = {
    str(path.relative_to(REPOSITORY)): ast.parse(path.read_text(), filename=str(path))
    for room in ROOMS
    for path in sorted((REPOSITORY / room).rglob("*.py"))
}
"""`broker/ring.py` -> its tree."""


@cache
def imports() -> list[tuple[str, str, int]]:
    """(file, module, line) of every import of the product, inside functions too: a lazy import is an import."""
    found: list[tuple[str, str, int]] = []
    for file, tree in FILES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                found += ((file, name.name, node.lineno) for name in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{file}:{node.lineno}: imports are absolute here"
                found.append((file, node.module or "", node.lineno))
    return found


def imported_files(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """As `imports`, and for `from a import b` both `a` and `a.b`: b may be a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((name.name, node.lineno) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield from ((name, node.lineno) for name in (module, *(f"{module}.{n.name}" for n in node.names)))


@cache
def calls() -> list[tuple[str, str, ast.Call]]:
    """(file, `a.b.c`, call) of every call of a plain dotted name in the product."""
    return [(file, name, call) for file, tree in FILES.items() for name, call in called(tree)]


def called(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """(`a.b.c`, call) of every call of a plain dotted name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node
