"""TensorBoard: event files in the folder."""

import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from conf.load import dump
from conf.schema import RunConfig


class TensorBoard:
    """Every number is a scalar; the settings are a text."""

    def __init__(self, files: Any, run: str) -> None:
        self._files, self.run = files, run

    def write(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self._files.add_scalar(name, value, step)
        self._files.flush()

    def close(self) -> None:
        self._files.close()


def open_writer(config: RunConfig, folder: Path, run: str, *, resumed: bool) -> TensorBoard:
    # The usual name of a file is the second in which it is opened: one opened in the same second would be overwritten.
    files = SummaryWriter(str(folder), filename_suffix=f".{secrets.token_hex(4)}")
    if not resumed:
        files.add_text("settings", f"```yaml\n{dump(config)}```")
    return TensorBoard(files, run)
