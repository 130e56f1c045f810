"""The model of a run: its folder, from the built-in recipe, a local path or the hub, and its tokenizer."""

from pathlib import Path
from typing import Any

from broker.errors import UsageError
from conf.schema import ModelSettings
from deploy.run import smollm2
from deploy.run.weight_files import require_safetensors

TOKENIZER_FILES = ["*.json", "*.txt", "*.jinja"]
"""Files of a hub repository that are downloaded beside the weights."""
TERMS = ["README.md", "LICENSE*", "NOTICE*"]
"""The licence, which goes with what is trained from the model (`pope publish`)."""


def resolve_model(settings: ModelSettings) -> Path:
    """A local Hugging Face folder: a built-in model (made when needed), the user's folder, or a hub download.

    Raises UsageError when `model.path` names none of these, or no weights that can be trained.
    """
    if settings.path == smollm2.PATH:
        return smollm2.ensure_smollm2(settings)
    if settings.path.startswith("builtin:"):  # conf/rules has checked the name
        from deploy.run.base_model import ensure_base_model

        return ensure_base_model(settings)
    local = Path(settings.path).expanduser()
    folder = local.resolve() if local.exists() else _downloaded(settings, ["*.safetensors", *TOKENIZER_FILES, *TERMS])
    require_safetensors(folder, settings.path)
    return folder


def tokenizer_folder(settings: ModelSettings) -> Path:
    """A local folder with the tokenizer of a model that is not built in: the user's folder, or a hub download.

    Raises UsageError when `model.path` names neither.
    """
    folder = Path(settings.path).expanduser()
    return folder if folder.is_dir() else _downloaded(settings, TOKENIZER_FILES)


def _downloaded(settings: ModelSettings, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(settings.path, allow_patterns=patterns))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UsageError(
            f"model.path={settings.path} is no local folder and cannot be loaded from the hub: "
            f"{str(error).splitlines()[0]}"
        ) from error


def load_tokenizer(model_path: Path) -> Any:
    """The tokenizer of a model's folder. No code of the folder is run."""
    if (model_path / "recipe.json").exists():  # a model made here; importing AutoTokenizer takes seconds
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast.from_pretrained(model_path)
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(model_path, trust_remote_code=False)
