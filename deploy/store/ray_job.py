"""What `ray job submit` does to the folders of a run: it works in a temporary copy of the submitted folder."""

import os
from pathlib import Path

from broker.errors import UsageError

_JOB_VARIABLE = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Environment variable that Ray sets for the entry point of a job, and for nothing else."""
_UPLOADS = "working_dir_files"
"""Ray's folder of uploaded working folders; each is named by the hash of its content."""


def require_lasting_root(root: str) -> None:
    """Raises UsageError in a Ray job whose `run.root` is relative, or inside the uploaded copy of the working folder.

    The results would lie under the hash of the upload: out of sight, on one node, and not there for a resume after any
    change of the code.
    """
    if _JOB_VARIABLE not in os.environ:
        return
    path = Path(root).expanduser()
    if path.is_absolute() and _UPLOADS not in path.resolve().parts:
        return
    place = "is relative" if not path.is_absolute() else "is in the uploaded copy"
    raise UsageError(
        f"run.root={root} {place}, and a Ray job works in a temporary copy of its working folder, so that the results "
        "would be left there: name an absolute folder that every node reaches, such as run.root=/shared/runs"
    )
