"""Modules of the user, whose functions settings name by import path."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


@contextmanager
def user_module(folder: Path, name: str, text: str) -> Iterator[None]:
    """`folder/name.py` can be named in settings, and `folder` is the working directory, for as long as this lasts."""
    (folder / f"{name}.py").write_text(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "path", list(sys.path))  # loading a function adds the working directory
        yield
    sys.modules.pop(name, None)
