"""The wheel holds one top-level package, and works beside distributions that ship a `conf` of their own."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cluster.import_path import put_rooms_first, shadowing_packages
from tests.rules.source import REPOSITORY, ROOMS

VERSION = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["version"]
FOREIGN = "OWNER = 'another distribution'"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what the wheel is made of: nothing is built in the repository."""
    folder = tmp_path_factory.mktemp("neighbours") / "checkout"
    folder.mkdir()
    for room in ROOMS:
        shutil.copytree(REPOSITORY / room, folder / room, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / file, folder)
    return folder


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(checkout, source)
    pip(sys.executable, "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", str(folder), str(source))
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def foreign_wheels(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two other distributions, with a top-level `conf` and a top-level `deploy`."""
    folder = tmp_path_factory.mktemp("foreign")
    return [foreign_wheel(folder, name) for name in ("conf", "deploy")]


def foreign_wheel(folder: Path, package: str) -> Path:
    """The wheel of `foreign-PACKAGE`."""
    info = f"foreign_{package}-1.0.dist-info"
    files = {
        f"{package}/__init__.py": FOREIGN,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: foreign-{package}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    path = folder / f"foreign_{package}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
        archive.writestr(f"{info}/RECORD", "".join(f"{name},,\n" for name in (*files, f"{info}/RECORD")))
    return path


class Environment:
    """A virtual environment without pip that sees the dependencies of this interpreter, but not this project."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder)
        self.python = folder / "bin" / "python"
        self._pope = folder / "bin" / "pope"
        # A .pth file adds a folder without reading the .pth files in it: an editable install there stays unseen.
        self._dependencies = next(folder.glob("lib/*/site-packages")) / "dependencies.pth"
        self._link()

    def pip(self, command: str, *words: str) -> None:
        """While pip runs, the dependencies are out of its sight: it must not find this project among them."""
        self._dependencies.unlink()
        pip(str(self.python), command, *words)
        self._link()

    def dry_run(self, folder: Path) -> str:
        """What `pope train --dry-run` prints in a folder."""
        return run([str(self._pope), "train", "--dry-run"], folder)

    def owner(self, package: str) -> str:
        """Whose package a program imports by this name."""
        return run([str(self.python), "-P", "-c", f"import {package}; print({package}.OWNER)"], REPOSITORY).strip()

    def _link(self) -> None:
        self._dependencies.write_text(sysconfig.get_path("purelib") + "\n")


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[Environment]:
    folder = tmp_path / "environment"
    yield Environment(folder)
    shutil.rmtree(folder)


def pip(python: str, *words: str) -> None:
    run([sys.executable, "-m", "pip", "--python", python, "--disable-pip-version-check", *words], REPOSITORY)


def run(command: list[str], folder: Path, **variables: str) -> str:
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")}
    result = subprocess.run(
        command, cwd=folder, env=environment | variables, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_the_wheel_holds_one_package_and_every_file_of_the_rooms(checkout: Path, wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in names} == {"pope_rl", f"pope_rl-{VERSION}.dist-info"}
    assert {"pope_rl/__init__.py", "pope_rl/py.typed", f"pope_rl-{VERSION}.dist-info/licenses/LICENSE"} <= names
    for room in ROOMS:
        files = {str(path.relative_to(checkout)) for path in (checkout / room).rglob("*") if path.is_file()}
        assert files == {
            name.removeprefix("pope_rl/rooms/") for name in names if name.startswith(f"pope_rl/rooms/{room}/")
        }


def test_the_wheel_does_not_conflict_with_another_conf(
    tmp_path: Path, environment: Environment, wheel: Path, foreign_wheels: list[Path]
) -> None:
    environment.pip("install", "--no-deps", "--no-index", "--no-compile", str(wheel), *map(str, foreign_wheels))
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "__init__.py").write_text(FOREIGN)
    settings = environment.dry_run(tmp_path)
    assert "max_steps: 250" in settings
    assert environment.owner("conf") == environment.owner("deploy") == "another distribution"
    environment.pip("uninstall", "--yes", "foreign-conf")
    assert environment.dry_run(tmp_path) == settings
    environment.pip("uninstall", "--yes", "pope-rl")
    assert environment.owner("deploy") == "another distribution"


def test_the_training_entry_works_in_a_checkout_beside_a_folder_called_conf(checkout: Path) -> None:
    neighbour = checkout.parent / "conf"
    neighbour.mkdir(exist_ok=True)
    (neighbour / "__init__.py").write_text("raise ImportError('the neighbour was imported')")
    command = [sys.executable, "-m", "deploy.train", "--dry-run"]
    assert "max_steps: 250" in run(command, checkout, PYTHONPATH=str(checkout.parent))


def test_processes_that_a_command_starts_find_the_rooms_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", ["/elsewhere", str(REPOSITORY), "/last"])
    monkeypatch.setenv("PYTHONPATH", f"/elsewhere{os.pathsep}{REPOSITORY}")
    for _ in range(2):
        put_rooms_first()
        assert sys.path == [str(REPOSITORY), "/elsewhere", "/last"]
        assert os.environ["PYTHONPATH"] == f"{REPOSITORY}{os.pathsep}/elsewhere"


def test_a_folder_that_would_hide_a_room_from_the_workers_is_named(tmp_path: Path) -> None:
    assert shadowing_packages(REPOSITORY) == []
    (tmp_path / "conf").mkdir()
    assert shadowing_packages(tmp_path) == []  # a folder without __init__.py shadows nothing
    (tmp_path / "conf" / "__init__.py").touch()
    assert shadowing_packages(tmp_path) == [tmp_path / "conf"]
