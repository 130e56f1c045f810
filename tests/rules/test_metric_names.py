"""A metric has one name on the wire, and one file that knows it."""

import ast

import msgspec

from broker.reports import KINDS
from tests.rules.source import FILES

HOME = "broker/reports.py"
NAMES = {field.encode_name for kind in KINDS for field in msgspec.structs.fields(kind) if "/" in field.encode_name}
BEGINNINGS = tuple({name.partition("*")[0] for name in NAMES if "*" in name} - {"reward/", "preprocess/"})
"""Of the names with a key in them. Two are common words: `reward/ARM` is a column of the step table, too."""


def texts(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, text) of every string, those inside f-strings included; docstrings are left out."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = {
        id(statement.value)
        for node in ast.walk(tree)
        if isinstance(node, documented)
        for statement in node.body
        if isinstance(statement, ast.Expr)
    }
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docs
    ]


def test_there_are_names_to_look_for() -> None:
    assert len(NAMES) > 40
    assert {"entropy/mean", "sync/version", "preprocess/*/judged"} <= NAMES


def test_no_other_file_of_the_product_knows_a_wire_name() -> None:
    whole = {name for name in NAMES if "*" not in name}
    named = [
        f"{file}:{line}: {text}"
        for file, tree in FILES.items()
        if file != HOME
        for line, text in texts(tree)
        if text in whole or text.startswith(BEGINNINGS)
    ]
    assert not named
