"""Saves checkpoints atomically, and finds the newest intact one.

    checkpoints/
        LATEST                 name of the newest checkpoint
        step-000100/
            MANIFEST.json      every file with size and SHA-256, step, settings, versions, RNG state of each rank, and
                               whether the policy was healthy, with the state of the watchdog
            config.json, model.safetensors, tokenizer files: a Hugging Face folder, loadable as it is
            state/             DeepSpeed's own files, one set per rank
        step-000125.tmp/       an incomplete save; the next save removes it

DeepSpeed writes in place and names a checkpoint `latest` before all ranks have saved; neither torch nor safetensors
detects a flipped byte. A save therefore writes into a temporary folder, hashes every file, writes the manifest, calls
fsync, renames the folder, calls fsync on its parent, replaces LATEST, and only then removes older checkpoints. Nothing
is loaded from a checkpoint before its manifest has been verified.
"""

import base64
import json
import logging
import os
import shutil
from collections.abc import Callable, Collection, Mapping
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
    sync_and_hash,
    sync_folder,
    verify,
)
from learner.ranks import Ranks

log = logging.getLogger(__name__)

MAX_FAILURES = 3
"""Number of consecutive failed saves that ends training."""
HEADROOM = 1.2
"""Free space that a save needs, as a multiple of the newest checkpoint's size."""
_LIBRARIES = ("torch", "transformers", "deepspeed", "safetensors")


class Checkpoints:
    """The checkpoints of one run. `save` and `newest` are collectives: all ranks must call them."""

    def __init__(self, folder: Path, ranks: Ranks, *, keep: int, settings: dict[str, Any]) -> None:
        """`settings`: what a checkpoint depends on; stored in the manifest and compared when training resumes."""
        self._folder, self._ranks, self._keep, self._settings = folder, ranks, keep, settings
        self._failed_in_a_row = 0
        self.failures = 0
        """Number of saves that failed."""

    def save(
        self,
        step: int,
        write: Callable[[Path], None],
        confirm: Callable[[], None] = lambda: None,
        *,
        facts: Mapping[str, Any] | None = None,
        also_keep: Collection[int] = (),
    ) -> bool:
        """Saves a checkpoint; each rank's `write(folder)` writes its files. False: it failed, training continues.

        `facts`: further entries of the manifest. `also_keep`: steps whose checkpoints are not removed, however old.
        Rank 0 calls `confirm` before the checkpoint is renamed to its final name; its exceptions propagate. Raises
        CheckpointError at the `MAX_FAILURES`th consecutive failure.
        """
        final = self.folder_of(step)
        scratch = final.with_name(final.name + ".tmp")
        stages: tuple[Callable[[], None], ...] = (
            lambda: self._prepare(scratch),
            lambda: _write_files(scratch, write),
            lambda: self._hash_own_files(scratch),
            lambda: self._publish(step, scratch, final, confirm, facts or {}, also_keep),
        )
        for stage in stages:
            if reason := self._attempt(stage):
                return self._failed(step, scratch, reason)
        self._failed_in_a_row = 0
        return True

    def newest(self) -> Checkpoint | None:
        """The newest intact checkpoint, None if there is none. Damaged ones are skipped with a warning.

        Raises CheckpointError when it was written with another number of ranks, ZeRO stage or dtype.
        """
        checkpoint = find_newest_valid(self._folder) if self._ranks.first else None
        step = self._ranks.from_first(-1 if checkpoint is None else checkpoint.step)
        if step < 0:
            return None
        if checkpoint is None:
            checkpoint = Checkpoint(self.folder_of(step), read_manifest(self.folder_of(step)))
        self._require_compatible(checkpoint)
        return checkpoint

    def at(self, step: int) -> Checkpoint:
        """The checkpoint of a step, whose files the caller has verified.

        Raises CheckpointError when it was written with another number of ranks, ZeRO stage or dtype.
        """
        checkpoint = Checkpoint(self.folder_of(step), read_manifest(self.folder_of(step)))
        self._require_compatible(checkpoint)
        return checkpoint

    def intact(self, step: int) -> Checkpoint:
        """The checkpoint of a step, verified; a collective. Raises CheckpointError on all ranks if it is damaged."""
        damage = None
        if self._ranks.first:
            try:
                verify(self.folder_of(step))
            except CheckpointError as error:
                damage = str(error)
        if self._ranks.any(damage is not None):
            raise CheckpointError(damage or f"rank 0 found the checkpoint of step {step} damaged")
        return self.at(step)

    def folder_of(self, step: int) -> Path:
        """Folder of the checkpoint of a step, whether it exists or not."""
        return folder_of(self._folder, step)

    def kept_steps(self) -> list[int]:
        """Steps of the checkpoints on disk, ascending."""
        return sorted(step for step, _ in candidates(self._folder))

    def restore_rng(self, checkpoint: Checkpoint) -> None:
        """Restores the random state of this rank."""
        state = base64.b64decode(checkpoint.manifest["rng"][self._ranks.rank])
        torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8))

    def _attempt(self, stage: Callable[[], None]) -> str | None:
        """Runs a stage on this rank. Returns why it failed, here or on another rank; None when all ranks succeeded."""
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

    def _hash_own_files(self, scratch: Path) -> None:
        """Syncs and hashes this rank's share of the files; writes the digests to a file for rank 0."""
        ours = _files(scratch)[self._ranks.rank :: self._ranks.world_size]
        entries = {str(f.relative_to(scratch)): {"bytes": f.stat().st_size, "sha256": sync_and_hash(f)} for f in ours}
        hashed = {
            "files": entries,
            "rng": base64.b64encode(torch.get_rng_state().numpy().tobytes()).decode(),
        }
        _rank_file(scratch, self._ranks.rank).write_text(json.dumps(hashed))
        failpoint("checkpoint.sealed")

    def _publish(
        self,
        step: int,
        scratch: Path,
        final: Path,
        confirm: Callable[[], None],
        facts: Mapping[str, Any],
        also_keep: Collection[int],
    ) -> None:
        if not self._ranks.first:
            return
        hashed = []
        for rank in range(self._ranks.world_size):
            file = _rank_file(scratch, rank)
            hashed.append(json.loads(file.read_text()))
            file.unlink()
        manifest: dict[str, Any] = {
            "format": FORMAT,
            "step": step,
            "world_size": self._ranks.world_size,
            "settings": self._settings,
            "settings_sha256": digest_of(self._settings),
            "versions": {name: version(name) for name in _LIBRARIES},
            "rng": [part["rng"] for part in hashed],
            "files": dict(sorted((name, entry) for part in hashed for name, entry in part["files"].items())),
            **facts,
        }
        manifest["sha256"] = digest_of(manifest)
        (scratch / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        sync_and_hash(scratch / MANIFEST)
        for folder in (*(p for p in scratch.rglob("*") if p.is_dir()), scratch):
            sync_folder(folder)
        failpoint("checkpoint.manifest")
        confirm()
        if final.exists():
            shutil.rmtree(final)  # the step was trained again; the weights are the same
        os.rename(scratch, final)
        sync_folder(self._folder)
        failpoint("checkpoint.renamed")
        pointer = self._folder / (LATEST + ".tmp")
        pointer.write_text(final.name + "\n")
        sync_and_hash(pointer)
        os.replace(pointer, self._folder / LATEST)
        sync_folder(self._folder)
        failpoint("checkpoint.pointed")
        # A checkpoint of a higher step is a damaged one, from before training resumed at an older one.
        current = sorted((s, folder) for s, folder in candidates(self._folder) if s <= step)
        kept = {folder for _, folder in current[-self._keep :]}
        kept |= {folder for s, folder in current if s in also_keep}
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
        log.warning("%s; training continues", message)
        return False

    def _require_compatible(self, checkpoint: Checkpoint) -> None:
        """Raises CheckpointError when this run cannot load the checkpoint; warns of other settings and libraries."""
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
        if self._ranks.first:
            for name, before in sorted(manifest["versions"].items()):
                if name in _LIBRARIES and (now := version(name)) != before:
                    log.warning(
                        "%s was written with %s %s, this run has %s: steps that are trained again may differ",
                        checkpoint.folder.name, name, before, now,
                    )  # fmt: skip


def _write_files(scratch: Path, write: Callable[[Path], None]) -> None:
    failpoint("checkpoint.begun")
    write(scratch)
    failpoint("checkpoint.written")


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("sealed-by-rank-"))


def _rank_file(scratch: Path, rank: int) -> Path:
    return scratch / f"sealed-by-rank-{rank}.json"
