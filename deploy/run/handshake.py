"""The handshake: before anything is sampled, every role looks at its own node, and the first misfit ends the start.

consumes    what the roles find (`deploy.cluster.node_check`)
waits for   their processes, each for at most `deploy.start_timeout_s`
leaves      handshake.json in the run folder, and the nodes on the screen
"""

import secrets
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text

from broker.errors import UsageError
from conf.schema import RunConfig
from deploy.cluster.fleet import ManagedRole
from deploy.cluster.node_check import NodeFacts, NodeNeeds, fingerprints, misfit, model_files, package_versions
from deploy.cluster.placement import RoleKind
from deploy.cluster.shared_folder import FolderState, SharedFolder
from deploy.store.run_folder import RunFolder
from deploy.view.node_table import by_node, node_line, node_table

MOUNT = "put run.root on a disk that every node mounts at the same path"
SHARE_WEIGHTS = (
    "weights.backend=file needs one folder that all nodes see: set weights.folder to one on a shared disk, or "
    "weights.backend=nccl"
)
CLOCK_BOUND_S = 5.0
"""A clock that differs more is named: times in logs and histories cannot be compared then."""


class Handshake:
    """The handshakes of one command; `close` at its end removes what they left in shared folders."""

    def __init__(
        self, folder: RunFolder, console: Console, remove_if_killed: Callable[[str], None] = lambda folder: None
    ) -> None:
        """`remove_if_killed` gets each folder that must go even if this process is killed."""
        self._folder, self._console, self._remove_if_killed = folder, console, remove_if_killed
        self._token = secrets.token_hex(8)
        self._versions = package_versions()
        self._model_files: dict[Path, Mapping[str, str]] = {}
        self._opened: dict[str, SharedFolder] = {}
        self._needs: dict[str, NodeNeeds] = {}
        """By role."""
        self._found: dict[str, dict[str, Any]] = {}
        """Role -> its entry in handshake.json."""
        self._shown: set[str] = set()
        """Nodes that were shown."""

    def needs(self, config: RunConfig, role: str, kind: RoleKind, model_path: Path) -> NodeNeeds:
        """What a role of that kind needs of its node; the driver's files are written to the folders among it."""
        loads_model = kind != "preprocess" or config.learner.kl_coef > 0
        folders = self._folders(config, kind)
        for folder in folders:
            folder.open()
            if folder.name not in self._opened:
                self._opened[folder.name] = folder
                self._remove_if_killed(str(folder.proof))
        self._needs[role] = NodeNeeds(
            driver=socket.gethostname(),
            folders=folders,
            model_name=config.model.path,
            model_path=model_path,
            model_files=self._files_of(model_path) if loads_model else {},
            versions=self._versions,
        )
        return self._needs[role]

    def greet(self, roles: Sequence[ManagedRole], timeout_s: float) -> None:
        """Make the processes of the roles, ask what they find, show and save it.

        Raises UsageError with the first rule that is broken, RoleFailed when a process does not come up.
        """
        for role in roles:
            role.make_process()
        asked = [(role, role.handle.look.remote()) for role in roles]
        facts = []
        for role, call in asked:
            found: NodeFacts = role.receive(call, timeout_s)
            self._require(found)
            facts.append(found)
        offsets = {role.name: _clock_offset_s(role, timeout_s) for role in roles}
        self._save(facts, offsets)
        self._show(facts, offsets)

    def close(self) -> None:
        """Remove the files in the shared folders."""
        for folder in self._opened.values():
            folder.close()

    def _folders(self, config: RunConfig, kind: RoleKind) -> tuple[SharedFolder, ...]:
        named = [("the run folder", self._folder.path, MOUNT)]
        if kind == "learner" and self._folder.checkpoints.is_dir():  # a replay has none
            named.append(("the checkpoint folder", self._folder.checkpoints, MOUNT))
        if kind != "preprocess" and config.weights.backend == "file" and config.weights.folder is not None:
            named.append(("the weights folder", Path(config.weights.folder).expanduser().absolute(), SHARE_WEIGHTS))
        return tuple(SharedFolder(name, path, self._token, remedy) for name, path, remedy in named)

    def _files_of(self, model_path: Path) -> Mapping[str, str]:
        if model_path not in self._model_files:
            self._model_files[model_path] = fingerprints(model_path, model_files(model_path))
        return self._model_files[model_path]

    def _require(self, facts: NodeFacts) -> None:
        """Raises UsageError with the first broken rule; one is that the driver sees the files that the role wrote."""
        needs = self._needs[facts.role]
        broken = misfit(needs, facts)
        if broken is None:
            unseen: dict[str, FolderState] = {
                folder.name: "another" for folder in needs.folders if not folder.answered(facts.role)
            }
            broken = misfit(needs, msgspec.structs.replace(facts, folders=facts.folders | unseen))
        if broken is not None:
            raise UsageError(broken)

    def _save(self, facts: Sequence[NodeFacts], offsets: Mapping[str, float]) -> None:
        for found in facts:
            entry = {**msgspec.to_builtins(found), "clock_offset_s": round(offsets[found.role], 4)}
            self._found[found.role] = entry
        self._folder.save_json(
            self._folder.handshake, {"driver": socket.gethostname(), "roles": list(self._found.values())}
        )

    def _show(self, facts: Sequence[NodeFacts], offsets: Mapping[str, float]) -> None:
        """Show the nodes if one is new."""
        nodes = by_node(facts)
        if not nodes.keys() - self._shown:
            return
        self._shown.update(nodes)
        if len(nodes) == 1:
            self._console.print(f"    {node_line(facts)}", highlight=False, soft_wrap=True)
        else:
            self._console.print(node_table(facts, offsets))
        for roles in nodes.values():
            if abs(offset := offsets[roles[0].role]) > CLOCK_BOUND_S:
                warning = (
                    f": the clock of {roles[0].node} differs from the driver's by {offset:+.1f} s; times in its logs "
                    "and histories cannot be compared with others (set up NTP)"
                )
                self._console.print(Text.assemble(("warning", "yellow"), warning), soft_wrap=True)


def _clock_offset_s(role: ManagedRole, timeout_s: float) -> float:
    """The clock of a role's node minus the driver's, seconds; exact to half the duration of a call."""
    before = time.time()
    theirs: float = role.ask(lambda handle: handle.clock.remote(), timeout_s)
    return theirs - (before + time.time()) / 2
