"""Pushes a folder to the Hugging Face hub."""

from pathlib import Path

from broker.errors import PopeError, UsageError


class PushFailed(PopeError):
    """The hub did not take the folder, which is complete on this machine."""


def push(folder: Path, repository: str, *, public: bool, message: str) -> str:
    """Upload the folder as one commit; a repository that does not exist is made, private unless `public`.

    Returns its URL. Raises UsageError for an invalid name, PushFailed when the hub cannot be reached or refuses.
    """
    from huggingface_hub import HfApi, errors

    hub = HfApi(library_name="pope-rl")
    try:
        created = hub.create_repo(repository, private=not public, exist_ok=True)
        hub.upload_folder(repo_id=created.repo_id, folder_path=folder, commit_message=message)
    except errors.HFValidationError as error:
        raise UsageError(f"--push {repository}: {_first_line(error)}; write it as OWNER/NAME") from error
    except errors.OfflineModeIsEnabled as error:
        raise _failed(folder, repository, "HF_HUB_OFFLINE is set; unset it") from error
    except (errors.LocalTokenNotFoundError, errors.HfHubHTTPError) as error:
        status = error.response.status_code if isinstance(error, errors.HfHubHTTPError) else 401
        remedy = "; log in with `hf auth login`, or set HF_TOKEN to a token that may write there"
        reason = f"the hub refuses ({_first_line(error)}){remedy if status < 500 else ''}"
        raise _failed(folder, repository, reason) from error
    except (errors.HTTPError, OSError) as error:  # type: ignore[attr-defined]  # of the client that the hub uses
        reason = f"the hub cannot be reached ({_first_line(error)}); check the network"
        raise _failed(folder, repository, reason) from error
    return str(created)


def _failed(folder: Path, repository: str, reason: str) -> PushFailed:
    return PushFailed(
        f"--push {repository}: {reason}. The folder {folder} is complete; the same command pushes it, and so does "
        f"hf upload {repository} {folder}"
    )


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
