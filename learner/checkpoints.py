"""Checkpoints that are whole or absent, and that say so.

    checkpoints/
        LATEST                 name of the newest
        step-000100/
            MANIFEST.json      every file with size and SHA-256, step, settings, versions, RNG state of each rank
            config.json, model.safetensors, tokenizer files: a Hugging Face folder, loadable as it is
            state/             DeepSpeed's own files, one set a rank
        step-000125.tmp/       a save that was cut off; removed by the next one

DeepSpeed writes in place and names a checkpoint `latest` before all ranks have saved; neither torch nor safetensors
notices a flipped byte. So: write into a temporary folder, hash every file, write the manifest, fsync, rename, fsync
the parent, move LATEST, and only then remove older ones. A load trusts nothing whose manifest it has not verified.
"""

import base64
import json
import logging
import os
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from broker.failpoints import failpoint
from learner.manifest import (
    FORMAT,
    LATEST,
    MANIFEST,
    Checkpoint,
    CheckpointError,
    candidates,
    digest_of,
    find_newest_valid,
    folder_of,
    read_manifest,
    seal,
    sync_folder,
)
from learner.ranks import Ranks

log = logging.getLogger(__name__)

MAX_FAILURES = 3
"""Saves that may fail in a row before training ends."""
HEADROOM = 1.2
"""Free space needed for a save, as a multiple of the newest checkpoint's size."""
_LIBRARIES = ("torch", "transformers", "deepspeed", "safetensors")


class Checkpoints:
    """The checkpoints of one run. `save` and `newest` are collectives: all ranks call them together."""

    def __init__(self, folder: Path, ranks: Ranks, *, keep: int, settings: dict[str, Any]) -> None:
        """`settings`: what a checkpoint depends on; kept in the manifest and compared at a resume."""
        self._folder, self._ranks, self._keep, self._settings = folder, ranks, keep, settings
        self._failed_in_a_row = 0
        self.failures = 0
        """Saves that failed so far."""

    def save(self, step: int, write: Callable[[Path], None], confirm: Callable[[], None] = lambda: None) -> bool:
        """Save step `step`; each rank's `write(folder)` puts its files there. False: it failed, training goes on.
        Rank 0 calls `confirm` before the checkpoint takes its place; what it raises rises.

        Raises CheckpointError at the third failure in a row.
        """
        final = self.folder_of(step)
        scratch = final.with_name(final.name + ".tmp")
        stages: tuple[Callable[[], None], ...] = (
            lambda: self._prepare(scratch),
            lambda: _fill(scratch, write),
            lambda: self._seal_own_files(scratch),
            lambda: self._publish(step, scratch, final, confirm),
        )
        for stage in stages:
            if reason := self._attempt(stage):
                return self._failed(step, scratch, reason)
        self._failed_in_a_row = 0
        return True

    def newest(self) -> Checkpoint | None:
        """The newest checkpoint that is intact; damaged ones are named in a warning and passed over."""
        found = find_newest_valid(self._folder) if self._ranks.first else None
        step = self._ranks.from_first(-1 if found is None else found.step)
        if step < 0:
            return None
        if found is None:
            found = Checkpoint(self.folder_of(step), read_manifest(self.folder_of(step)))
        self._refuse_unfit(found)
        return found

    def at(self, step: int) -> Checkpoint:
        """The checkpoint of a step; its files were verified before. Raises CheckpointError when it does not fit."""
        found = Checkpoint(self.folder_of(step), read_manifest(self.folder_of(step)))
        self._refuse_unfit(found)
        return found

    def folder_of(self, step: int) -> Path:
        """Where the checkpoint of a step is, or would be."""
        return folder_of(self._folder, step)

    def kept_steps(self) -> list[int]:
        """Steps of the checkpoints on disk, ascending."""
        return sorted(step for step, _ in candidates(self._folder))

    def restore_rng(self, checkpoint: Checkpoint) -> None:
        """Set this rank's random state to what it was."""
        state = base64.b64decode(checkpoint.manifest["rng"][self._ranks.rank])
        torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))

    def _attempt(self, stage: Callable[[], None]) -> str | None:
        """Run a stage on this rank. Returns why it failed here or on another rank; None when it held everywhere."""
        reason = None
        try:
            stage()
        except (OSError, RuntimeError) as error:  # torch reports a full disk as RuntimeError
            reason = f"{type(error).__name__}: {error}".splitlines()[0]
        if self._ranks.any(reason is not None):
            return reason or "another rank failed"
        return None

    def _prepare(self, scratch: Path) -> None:
        if not self._ranks.first:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for leftover in self._folder.glob("step-*.tmp"):
            shutil.rmtree(leftover)
        newest = max(candidates(self._folder), default=None)
        if newest is not None:
            needed = HEADROOM * sum(f.stat().st_size for f in newest[1].rglob("*") if f.is_file())
            free = shutil.disk_usage(self._folder).free
            if free < needed:
                raise OSError(f"{free / 2**20:.1f} MiB free, a checkpoint needs {needed / 2**20:.1f} MiB")
        scratch.mkdir()

    def _seal_own_files(self, scratch: Path) -> None:
        """Hash and sync this rank's share of the files; the digests travel to rank 0 in a file of their own."""
        ours = _files(scratch)[self._ranks.rank :: self._ranks.world_size]
        sealed = {
            "files": {str(f.relative_to(scratch)): {"bytes": f.stat().st_size, "sha256": seal(f)} for f in ours},
            "rng": base64.b64encode(torch.get_rng_state().numpy().tobytes()).decode(),
        }
        _rank_file(scratch, self._ranks.rank).write_text(json.dumps(sealed))
        failpoint("checkpoint.sealed")

    def _publish(self, step: int, scratch: Path, final: Path, confirm: Callable[[], None]) -> None:
        if not self._ranks.first:
            return
        sealed = []
        for rank in range(self._ranks.world_size):
            file = _rank_file(scratch, rank)
            sealed.append(json.loads(file.read_text()))
            file.unlink()
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "step": step,
            "world_size": self._ranks.world_size,
            "settings": self._settings,
            "settings_sha256": digest_of(self._settings),
            "versions": {name: version(name) for name in _LIBRARIES},
            "rng": [part["rng"] for part in sealed],
            "files": dict(sorted((name, entry) for part in sealed for name, entry in part["files"].items())),
        }
        manifest["sha256"] = digest_of(manifest)
        (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        seal(scratch / MANIFEST)
        for folder in (*(p for p in scratch.rglob("*") if p.is_dir()), scratch):
            sync_folder(folder)
        failpoint("checkpoint.manifest")
        confirm()
        if final.exists():
            shutil.rmtree(final)  # a replayed step: the same weights, written again
        os.rename(scratch, final)
        sync_folder(self._folder)
        failpoint("checkpoint.renamed")
        pointer = self._folder / (LATEST + ".tmp")
        pointer.write_text(final.name + "\n")
        seal(pointer)
        os.replace(pointer, self._folder / LATEST)
        sync_folder(self._folder)
        failpoint("checkpoint.pointed")
        # A higher step than this one belongs to a lineage that was given up, because its checkpoint was damaged.
        lineage = sorted((s, folder) for s, folder in candidates(self._folder) if s <= step)
        kept = {folder for _, folder in lineage[-self._keep :]}
        for _, folder in candidates(self._folder):
            if folder not in kept:
                shutil.rmtree(folder)

    def _failed(self, step: int, scratch: Path, reason: str) -> bool:
        self.failures += 1
        self._failed_in_a_row += 1
        if self._ranks.first:
            shutil.rmtree(scratch, ignore_errors=True)
        message = f"checkpoint of step {step} in {self._folder} was not saved ({reason})"
        if self._failed_in_a_row >= MAX_FAILURES:
            raise CheckpointError(f"{message}; {MAX_FAILURES} failures in a row")
        log.warning("%s; training goes on", message)
        return False

    def _refuse_unfit(self, checkpoint: Checkpoint) -> None:
        manifest = checkpoint.manifest
        ours = {**self._settings, "learner.num_ranks": self._ranks.world_size}
        theirs = {**manifest["settings"], "learner.num_ranks": manifest["world_size"]}
        for name in ("learner.num_ranks", "learner.zero_stage", "model.dtype"):
            if name in ours and ours[name] != theirs.get(name):
                raise CheckpointError(
                    f"{checkpoint.folder.name} was written with {name}={theirs.get(name)}, this run has {ours[name]}; "
                    "resume with the same, or start a new run with model.path set to that folder"
                )
        changed = sorted(name for name in ours if ours[name] != theirs.get(name))
        if changed and self._ranks.first:
            log.warning("settings changed since %s: %s", checkpoint.folder.name, ", ".join(changed))


def _fill(scratch: Path, write: Callable[[Path], None]) -> None:
    failpoint("checkpoint.begun")
    write(scratch)
    failpoint("checkpoint.written")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("sealed-by-rank-"))


def _rank_file(scratch: Path, rank: int) -> Path:
    return scratch / f"sealed-by-rank-{rank}.json"
