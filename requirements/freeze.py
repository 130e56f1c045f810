"""Writes cpu.lock and dev.lock: the requirements of pyproject.toml, pinned to the installed versions.

Run it by `make lock` after changing and installing a dependency. torch is left out because it is installed first, from
an index of the user's choice; torchvision, torchaudio and torchcodec because the default builds are linked with CUDA
and break `import transformers` with a CPU build of torch.
"""

import re
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

HERE = Path(__file__).parent
LEFT_OUT = {"torch", "torchvision", "torchaudio", "torchcodec"}
ONLY_ON = {"intel-openmp": "x86_64", "intel-cmplr-lib-ur": "x86_64"}
"""Package -> the only processor with wheels."""


def normal(name: str) -> str:
    """The normalized name of a package (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(wanted: Iterable[str]) -> dict[str, str]:
    """Name -> pinned line of every package that the requirements need, transitively. Exits if one is missing."""
    pins: dict[str, str] = {}
    waiting = [Requirement(text) for text in wanted]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        requirement = waiting.pop()
        name, extras = normal(requirement.name), frozenset(requirement.extras)
        if (name, extras) in seen:
            continue
        seen.add((name, extras))
        try:
            installed = distribution(requirement.name)
        except PackageNotFoundError:
            if name in LEFT_OUT:
                continue
            raise SystemExit(f"{requirement} is not installed; run pip install {requirement.name!r} first") from None
        marker = f'; platform_machine == "{ONLY_ON[name]}"' if name in ONLY_ON else ""
        pins[name] = f"{installed.metadata['Name']}=={installed.version}{marker}"
        for needed in map(Requirement, installed.requires or []):
            if needed.marker is None or any(needed.marker.evaluate({"extra": e}) for e in ("", *extras)):
                waiting.append(needed)
    return pins


def write(file: str, pins: dict[str, str], without: Iterable[str]) -> None:
    lines = [line for name, line in sorted(pins.items()) if name not in {*LEFT_OUT, *without}]
    header = "# Written by `make lock`. Complete: install it with `pip install --no-deps -r`, after torch.\n"
    (HERE / file).write_text(header + "\n".join(lines) + "\n")
    print(f"{file}: {len(lines)} packages")


if __name__ == "__main__":
    project = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    run = closure([*project["dependencies"], *extras["cpu"]])
    write("cpu.lock", run, without=())
    write("dev.lock", closure(extras["dev"]), without=run)
