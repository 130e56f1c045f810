"""What all racers share: base model, problems with their guidance, order of the groups, sampling, budget, cores.

    runs/NAME/course.json        what this race is about; a race of other settings needs another NAME
    runs/NAME/problems.jsonl     the problems with the guidance of one search, which all runs use
    runs/NAME/work/              run folders, jobs and logs
    runs/NAME/RACER/seed-N.json  a finished run (`Outcome`)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import msgspec

from actors.problems.jsonl import write_lines
from actors.problems.mixture import Mixture
from broker.errors import UsageError
from broker.records import Problem
from conf.load import load
from conf.schema import RunConfig
from deploy.run.model_prompts import ModelPrompts
from deploy.run.model_source import resolve_model
from tests.race.trl_settings import TrlGroup, TrlJob, TrlSettings

NO_STEP_LIMIT = 1_000_000
"""The budget is in groups; `run.max_steps` must not end a run before."""
SHORT = ("evaluation.samples=1", "evaluation.k=[1]")
"""The measurements before and after training are no part of the race."""


@dataclass(frozen=True)
class Course:
    """The common part of all runs of a race. Nothing is written until `prepare`."""

    folder: Path
    num_groups: int
    """Budget of a run, groups of both arms."""
    words: tuple[str, ...] = ()
    """Settings of pope, KEY=VALUE, for every run. TRL follows those of the model, problems, prompts, arms, sampling and
    verifier."""

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def problems_file(self) -> Path:
        return self.folder / "problems.jsonl"

    @cached_property
    def config(self) -> RunConfig:
        """Shipped settings and `words`."""
        return load(None, self.words)

    @cached_property
    def model(self) -> Path:
        """Folder of the base model, which is made if need be."""
        return resolve_model(self.config.model)

    def prepare(self) -> None:
        """Make the folders and write down what this race is about. Raises UsageError when it was about another."""
        self.work.mkdir(parents=True, exist_ok=True)
        about = msgspec.json.encode({"groups": self.num_groups, "settings": self.words, "model": self.model.name})
        path = self.folder / "course.json"
        if path.exists() and path.read_bytes() != about:
            raise UsageError(
                f"{self.folder} holds a race over {path.read_text()}, this one is over {about.decode()}: "
                "choose another name (NAME=… or --name), or remove that folder"
            )
        path.write_bytes(about)

    def guidance_words(self) -> list[str]:
        """`pope train` that chooses the guidance, under seed 0, and ends after one step."""
        common = [f"run.root={self.work}", "run.name=guidance", "run.seed=0", "run.max_steps=1"]
        return [*self.words, *SHORT, *common]

    def take_problems(self) -> None:
        """Keep the problems of the run that chose their guidance."""
        write_lines(self.problems_file, (self.work / "guidance" / "problems.jsonl").read_bytes().splitlines())

    def pope_words(self, name: str, seed: int) -> list[str]:
        """Settings of a run of pope: problems with guidance, so nothing is searched."""
        budget = [f"run.max_groups={self.num_groups}", f"run.max_steps={NO_STEP_LIMIT}"]
        place = [
            f"problems.source={self.problems_file}",
            f"model.path={self.config.model.path}",
            f"run.root={self.work}",
            f"run.name={name}",
        ]
        return [*self.words, *SHORT, *budget, *place, f"run.seed={seed}"]

    def trl_job(self, settings: TrlSettings, out: Path, seed: int) -> TrlJob:
        """A run of TRL over the groups that a run of pope with this seed claims, in that order."""
        prompts = ModelPrompts.of(self.config, self.model)
        groups = self.work / f"trl-groups-{seed}.jsonl"
        write_lines(groups, [msgspec.json.encode(group) for group in self._trl_groups(prompts, seed)])
        actors, verifier = self.config.actors, self.config.verifier
        return TrlJob(
            model=str(self.model),
            groups=str(groups.absolute()),
            out=str(out.absolute()),
            seed=seed,
            group_size=actors.group_size,
            temperature=actors.temperature,
            max_completion_tokens=actors.max_completion_tokens,
            stop_token_ids=tuple(prompts.stop_ids),
            verifier_workers=verifier.workers,
            verifier_deadline_s=verifier.deadline_s,
            verifier_memory_gib=verifier.memory_gib,
            settings=settings,
        )

    def _trl_groups(self, prompts: ModelPrompts, seed: int) -> Sequence[TrlGroup]:
        decoder = msgspec.json.Decoder(Problem)
        problems = [decoder.decode(line) for line in self.problems_file.read_bytes().splitlines()]
        by_id = {problem.id: problem for problem in problems}
        order = Mixture(problems, self.config.problems.arms, seed)
        groups = []
        for assignment in map(order.assignment, range(self.num_groups)):
            problem, guided = by_id[assignment.problem_id], assignment.arm == "guided"
            text, ids = prompts.builder.text(problem, guided), tuple(prompts.builder.ids(problem, guided))
            groups.append(TrlGroup(arm=assignment.arm, prompt=text, prompt_ids=ids, answer=problem.answer))
        return groups
