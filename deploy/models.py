"""Where the weights of a run come from."""

from pathlib import Path

from actors.problems.catalog import BUILTIN
from broker.errors import UsageError
from conf.schema import ModelSettings


def resolve_model(settings: ModelSettings) -> Path:
    """A local Hugging Face folder: the built-in base model (made when needed), the user's folder, or a hub download.

    Raises UsageError when the path is neither, with what was tried.
    """
    if settings.path == BUILTIN:
        from deploy.base_model import ensure_base_model

        return ensure_base_model(settings)
    folder = Path(settings.path).expanduser()
    if folder.is_dir():
        if not any(folder.glob("*.safetensors")):
            raise UsageError(f"model.path={settings.path}: no .safetensors file in that folder; convert the model")
        return folder.resolve()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(settings.path, allow_patterns=["*.safetensors", "*.json", "*.txt", "*.jinja"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise UsageError(
            f"model.path={settings.path} is no local folder, and the hub did not give it: {str(error).splitlines()[0]}"
        ) from error
