"""`pope publish`: a checkpoint of a run as a Hugging Face folder that transformers and vLLM load.

model.safetensors       the weights, compared with the checkpoint's manifest
config.json, tokenizer  of the base model, as the checkpoint has them
generation_config.json  all tokens that end a response, and the sampling of the evaluation
README.md               the model card (`deploy/view/model_card.py`)
pope.json               run, step, digest of the weights, and every setting that decides what is learned
LICENSE*, NOTICE*       of the base model
"""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fnmatch import fnmatch
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console

from actors.evaluation.results import Result
from broker.errors import UsageError
from conf.load import load
from conf.schema import RunConfig
from deploy.run.hub_upload import push as push_to_hub
from deploy.run.model_prompts import ModelPrompts
from deploy.store.measurements import Measurement
from deploy.store.run_folder import RunFolder
from deploy.view.evaluation_tables import read_reports
from deploy.view.model_card import Published, card, public_name
from learner.manifest import WEIGHTS, CheckpointError, find_newest_valid, folder_of, sync_and_hash, verify

FILES = (
    WEIGHTS, "config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
    "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt", "*.model",
    "chat_template.jinja", "chat_template.json", "preprocessor_config.json", "LICENSE*", "NOTICE*",
)  # fmt: skip
"""Files of a checkpoint that are published; a base model's folder may hold others, which are nobody's business."""
SETTINGS = ("problems", "prompts", "guidance", "actors", "verifier", "preprocess", "learner", "sft", "evaluation")
"""Sections of settings that decide what is learned; the others tell of machines."""
PROVENANCE = "pope.json"
INITIAL = ("before", "sft")
"""Measurements of the base model and of the fine-tuned one; others are of a step."""


@dataclass(frozen=True)
class _Source:
    """The folder whose weights are published."""

    folder: Path
    step: int | None
    """None: the result of fine-tuning."""


def publish(
    run: Path,
    console: Console,
    *,
    out: Path | None = None,
    step: int | None = None,
    reports: Sequence[Path] = (),
    licence: str | None = None,
    repository: str | None = None,
    public: bool = False,
) -> Path:
    """Write the folder (default: RUN/published), and push it to `repository` if one is named. Returns the folder.

    `step`: None takes the newest intact checkpoint. `reports`: report.json files of `pope eval`, shown in the card.
    `licence`: of the base model, where its files do not tell. Raises UsageError for invalid input, PushFailed.
    """
    folder = RunFolder(run.expanduser().resolve())
    if not folder.settings.exists():
        raise UsageError(f"{run} holds no settings.yaml; name the folder of a run")
    config = load(folder.settings)
    source = _source(folder, step)
    published = _published(folder, config, source, reports, licence)
    target = (out.expanduser().resolve() if out else folder.path / "published")
    _check_target(target)
    _write(target, source, published)
    console.print(f"  {published.config.run.name}, {_origin(source)}: {target}", soft_wrap=True)
    if published.licence is None:
        console.print(f"  the licence of {published.base} is not known here; --license ID puts it into the card")
    if repository is not None:
        console.print(f"  {push_to_hub(target, repository, public=public, message=_origin(source))}", soft_wrap=True)
    return target


def _source(folder: RunFolder, step: int | None) -> _Source:
    """Raises UsageError when the run has no such checkpoint, or a damaged one."""
    if step is not None:
        wanted = folder_of(folder.checkpoints, step)
        try:
            verify(wanted)
        except CheckpointError as error:
            held = ", ".join(sorted(path.name for path in folder.checkpoints.glob("step-*"))) or "none"
            raise UsageError(f"--step {step}: {error}; the run holds {held}") from error
        return _Source(wanted, step)
    if (newest := find_newest_valid(folder.checkpoints)) is not None:
        return _Source(newest.folder, newest.step)
    if (tuned := folder.sft / "model").is_dir():
        return _Source(tuned, None)
    raise UsageError(f"{folder.path} holds no intact checkpoint; publish a run that has saved one")


def _published(
    folder: RunFolder, config: RunConfig, source: _Source, reports: Sequence[Path], licence: str | None
) -> Published:
    return Published(
        config=config,
        step=source.step,
        base=public_name(config.model.path),
        licence=licence or _licence_of(source.folder, config.model.path),
        problems=folder.load_problems() if folder.problems.exists() else [],
        guidance=json.loads(folder.guidance.read_bytes()) if folder.guidance.exists() else None,
        measured=_measured(folder, source),
        reports=read_reports(reports),
        version=_own_version(),
    )


def _measured(folder: RunFolder, source: _Source) -> Mapping[str, Mapping[str, Sequence[Result]]]:
    """The measurements of the model that the run began with, and those of the published weights."""
    taken = Measurement.load(folder.measurements).results
    trained = {
        when: {arm: results for arm, results in arms.items() if {r.policy_version for r in results} == {source.step}}
        for when, arms in taken.items()
        if when not in INITIAL
    }
    return {when: arms for when, arms in taken.items() if when in INITIAL} | trained


def _licence_of(checkpoint: Path, model_path: str) -> str | None:
    """From the card of the base model, which lies in every checkpoint; None if there is none, or it names none."""
    if model_path.startswith("builtin:"):
        return "apache-2.0"
    base_card = checkpoint / "README.md"
    text = base_card.read_text(encoding="utf-8", errors="replace") if base_card.is_file() else ""
    if not text.startswith("---"):  # no metadata
        return None
    from huggingface_hub import ModelCard

    try:
        data = ModelCard(text, ignore_metadata_errors=True).data
    except ValueError:  # metadata that is no mapping
        return None
    name = data.get("license_name") or data.get("license")
    return None if name is None else str(name)


def _check_target(target: Path) -> None:
    """Raises UsageError unless the folder is absent, empty, or an earlier result of this command."""
    if target.is_file():
        raise UsageError(f"--out {target} is a file; name a folder")
    if target.is_dir() and any(target.iterdir()) and not (target / PROVENANCE).is_file():
        raise UsageError(f"--out {target} holds other files; name a new folder, or an earlier result of pope publish")


def _write(target: Path, source: _Source, published: Published) -> None:
    """The folder appears, or replaces an earlier one, when it is complete."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    except OSError as error:
        raise UsageError(f"--out {target}: {error.strerror}; name a folder that can be written") from error
    try:
        for file in _files(source.folder):
            shutil.copyfile(file, scratch / file.name)
        stop_ids = ModelPrompts.of(published.config, source.folder).stop_ids
        _write_json(scratch / "generation_config.json", _generation(scratch, published.config, stop_ids))
        _write_json(scratch / PROVENANCE, _provenance(scratch, source, published))
        (scratch / "README.md").write_text(card(published), encoding="utf-8")
        scratch.chmod(0o755)
        if target.is_dir():
            shutil.rmtree(target)
        os.rename(scratch, target)
    except OSError as error:
        raise UsageError(f"--out {target}: {error.strerror}; make room, or name another folder") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _files(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.iterdir()):
        if file.is_file() and any(fnmatch(file.name, pattern) for pattern in FILES):
            yield file


def _generation(folder: Path, config: RunConfig, stop_ids: Sequence[int]) -> dict[str, Any]:
    """The base model's, with the ends and the sampling of the run's evaluations. top_k 0: from all tokens."""
    file, sampling = folder / "generation_config.json", config.evaluation_sampling
    base = json.loads(file.read_bytes()) if file.exists() else {}
    base.pop("_from_model_config", None)  # with it transformers would replace these values by its own
    chosen = {"temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k or 0}
    return {**base, "do_sample": True, **chosen, "eos_token_id": list(stop_ids)}


def _provenance(folder: Path, source: _Source, published: Published) -> dict[str, Any]:
    settings = {name: asdict(getattr(published.config, name)) for name in SETTINGS}
    settings["problems"]["source"] = public_name(published.config.problems.source)
    settings["sft"]["data"] = public_name(published.config.sft.data)
    return {
        "pope_rl": published.version,
        "run": published.config.run.name,
        "seed": published.config.run.seed,
        "step": source.step,
        "base_model": published.base,
        "base_licence": published.licence,
        "weights_sha256": sync_and_hash(folder / WEIGHTS),
        "settings": settings,
    }


def _write_json(path: Path, value: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _origin(source: _Source) -> str:
    return "fine-tuned model" if source.step is None else f"step {source.step}"


def _own_version() -> str:
    try:
        return version("pope-rl")
    except PackageNotFoundError:  # a working copy that was shipped by ray job submit
        return "from a working copy"
