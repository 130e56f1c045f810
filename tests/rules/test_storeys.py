"""The storeys of `deploy`, the rooms inside `actors`, and that no files import each other in a circle."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rules.source import FILES, REPOSITORY, imported_files

STOREYS: tuple[tuple[str, ...], ...] = (
    ("cluster", "statistics"),
    ("store",),
    ("view",),
    ("run",),
    ("stages", "audit", "dashboard", "plan", "report", "sweep"),
    ("loggers",),
    ("jobs",),
    ("commands",),
    ("cli",),
    ("train",),
    ("launcher",),
)
"""Rooms and files of `deploy` from the ground up. A room imports storeys below its own alone."""
FLOOR = {room: floor for floor, rooms in enumerate(STOREYS) for room in rooms}

ACTORS_MAY_IMPORT = {
    "verification": {"verification"},
    "evaluation": {"evaluation"},
    "problems": {"problems", "verification", "evaluation", "prompts"},
}
"""Rooms of `actors` -> rooms and files of `actors`; the files at its root may import all of them."""
MOST_FILES = 25


def room_of(module: str) -> str:
    """`deploy.store.run_view` -> `store`"""
    return module.split(".")[1] if "." in module else ""


def rooms(top: str) -> Iterator[tuple[str, str, int, str]]:
    """(file, its room, line, module imported) for every import inside one top-level room."""
    for file, tree in FILES.items():
        if file.startswith(f"{top}/"):
            room = Path(file).parts[1].removesuffix(".py")
            yield from ((file, room, line, m) for m, line in imported_files(tree) if m.startswith(f"{top}."))


def test_every_room_of_deploy_has_a_floor() -> None:
    assert {Path(file).parts[1].removesuffix(".py") for file in FILES if file.startswith("deploy/")} == {
        *FLOOR, "__init__",
    }  # fmt: skip


def test_only_the_entries_lie_at_the_root_of_deploy() -> None:
    assert {path.name for path in (REPOSITORY / "deploy").glob("*.py")} == {"__init__.py", "cli.py", "train.py"}


@pytest.mark.parametrize("room", [room for room in FLOOR if room not in ("cli", "train")])
def test_a_room_of_deploy_is_small_and_says_what_it_is(room: str) -> None:
    files = [file for file in FILES if file.startswith(f"deploy/{room}/")]
    assert 0 < len(files) <= MOST_FILES
    text = (REPOSITORY / "deploy" / room / "__init__.py").read_text()
    assert "May import" in text


def test_no_room_of_deploy_imports_one_above_it() -> None:
    upward = [
        f"{file}:{line}: {room} must not import {room_of(module)}"
        for file, room, line, module in rooms("deploy")
        if room_of(module) != room and FLOOR[room_of(module)] >= FLOOR[room]
    ]
    assert not upward


def test_the_rooms_of_actors_import_only_those_below() -> None:
    upward = [
        f"{file}:{line}: {room} must not import {room_of(module)}"
        for file, room, line, module in rooms("actors")
        if room in ACTORS_MAY_IMPORT and room_of(module) not in ACTORS_MAY_IMPORT[room]
    ]
    assert not upward


def test_no_two_files_import_each_other() -> None:
    """No circle of any length, imports inside functions included."""
    known = {file.removesuffix(".py").removesuffix("/__init__").replace("/", "."): file for file in FILES}
    below = {
        file: {known[module] for module, _ in imported_files(tree) if module in known} for file, tree in FILES.items()
    }
    done: set[str] = set()

    def visit(file: str, path: tuple[str, ...]) -> None:
        assert file not in path, f"import circle: {' -> '.join((*path[path.index(file) :], file))}"
        if file not in done:
            for other in sorted(below[file]):
                visit(other, (*path, file))
            done.add(file)

    for file in FILES:
        visit(file, ())
