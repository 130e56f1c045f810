"""The folder of a finished run, written in a second by the product's own writers from a simulated policy."""

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from actors.evaluation.results import result_of
from actors.problems.mixture import ARM_BUCKET
from actors.prompts import guided_message, unguided_message
from broker.balance import Balance
from broker.connection import Client
from broker.keys import Keys
from broker.ledger import KEPT_OUTCOMES, LedgerRow, Outcome
from broker.metrics import Metrics
from broker.records import Problem, Rollout, RolloutGroup, encode, float32_bytes, int32_bytes
from broker.reports import LearnerStep
from broker.rollout_samples import RolloutSamples
from conf.load import dump, load
from conf.schema import RunConfig
from deploy.store.ledger_file import RunLedger, to_json
from deploy.store.measurements import Measurement
from deploy.store.metric_files import ROOMS, MetricFile, path_of
from deploy.store.rollout_archive import RolloutArchive
from deploy.store.run_folder import RunFolder
from deploy.view.summary import save_samples
from preprocess.report_sums import group_end
from tests.reports import actor_output, learner_step, role_times, weight_sync

GROUP, STEPS, GROUPS, HARD = 8, 24, 240, 10
HOSTILE = "</pre></script><script>alert(1)</script><img src=http://x.example/y>\x1b[31m\u202e & 'q' \"d\""
"""Text that a model or a data set may contain."""
ENDINGS = [
    {"bucket": "hard", "arm": arm, "length_decile": decile, "ended": {"trained": 40, "stale": decile}, "rollouts": 0}
    for arm in ("unguided", "guided")
    for decile in range(1, 11)
]
"""Rows of starvation.json, without the sums that the report computes."""


def synthetic_run(
    client: Client,
    path: Path,
    *,
    seed: int = 0,
    arms: Sequence[str] = ("unguided", "guided"),
    skill: float = 0.9,
    diagnostics: bool = False,
) -> RunFolder:
    """Write a finished run. `skill`: solve rate of the hard problems, without guidance, at the end."""
    run = _Simulation(client, path, seed, arms, skill, diagnostics)
    run.settings()
    run.train()
    run.measure()
    run.end()
    return run.folder


class _Simulation:
    def __init__(
        self, client: Client, path: Path, seed: int, arms: Sequence[str], skill: float, diagnostics: bool
    ) -> None:
        path.mkdir(parents=True)
        self.folder = RunFolder(path)
        self.config = configured(seed, arms)
        self._arms, self._skill, self._diagnostics = arms, skill, diagnostics
        self._random = random.Random(f"{path.name}/{seed}")
        self._client, self._keys = client, Keys(f"{self.config.run.name}-{self._random.random()}")
        self._metrics = Metrics(client, self._keys)
        self._tokenizer = byte_tokenizer()
        self._outcomes: dict[tuple[str, str], list[Outcome]] = {}
        self._kept = 0
        self.problems = [_problem(number, "hard") for number in range(HARD)]
        self.problems += [_problem(number, "easy") for number in range(HARD // 2)]

    def settings(self) -> None:
        self.folder.metrics.mkdir()
        self.folder.settings.write_text(dump(self.config))
        self.folder.save_problems(self.problems)
        checkpoint = self.folder.checkpoints / f"step-{STEPS:06d}"
        checkpoint.mkdir(parents=True)
        self._tokenizer.save(str(checkpoint / "tokenizer.json"))

    def train(self) -> None:
        for group_id in range(GROUPS):
            step, arm = group_id * STEPS // GROUPS, self._arms[group_id % len(self._arms)]
            bucket = [problem for problem in self.problems if problem.bucket == ARM_BUCKET[arm]]
            group = self._group(bucket[group_id // len(self._arms) % len(bucket)], arm, step, group_id)
            kept = 0 < group.num_successes < GROUP
            self._kept += kept
            self._metrics.report(group_end(group, "kept" if kept else "zero_advantage", step))
            tokens = group.num_completion_tokens
            self._metrics.report(actor_output(step, groups=1, tokens=tokens))
            outcome = Outcome(step, group.num_successes, GROUP)
            self._outcomes.setdefault((group.problem_id, arm), []).append(outcome)
        for step in range(1, STEPS + 1):
            self._metrics.report(weight_sync(step, stall_ms=100.0 + step))
            self._metrics.report(self._step(step))
            self._metrics.report(role_times("learner-0", wait_input=4.0, work=5.0, other=1.0))
            self._metrics.report(role_times("actor-0", work=9.0, weights=1.0))

    def measure(self) -> None:
        measured = Measurement({})
        for when, step in (("before", 0), ("after", STEPS)):
            for arm in ("unguided", "guided") if "guided" in self._arms else ("unguided",):
                hard = [problem for problem in self.problems if problem.bucket == "hard"]
                groups = [self._group(problem, arm, step, number) for number, problem in enumerate(hard)]
                archive = RolloutArchive(self.folder.sampling / f"{when}-{arm}-0123abcd")
                archive.add([(group, encode(group)) for group in groups], "hard")
                archive.close()
                results = [result_of(group.problem_id, "hard", group.rollouts) for group in groups]
                measured.results.setdefault(when, {})[arm] = results
        measured.save(self.folder.measurements)

    def end(self) -> None:
        rows = tuple(_row(*key, outcomes) for key, outcomes in sorted(self._outcomes.items()))
        for room in ROOMS:
            MetricFile(path_of(self.folder.metrics, room), self._metrics).follow()
        save_samples(RolloutSamples(self._client, self._keys), self.folder.samples)
        balance = Balance(
            issued=GROUPS,
            trained=self._kept,
            filtered={"zero_advantage": GROUPS - self._kept},
            replaced=0,
            stale=0,
            failed={},
            in_flight={},
            trained_samples=GROUP * self._kept,
            ring_samples=0,
            committed=STEPS,
            taken=STEPS,
            limit=GROUPS,
            totals={},
        )
        self.folder.save_json(self.folder.balance, balance)
        self.folder.save_json(self.folder.summary, {"ended": f"run.max_steps={STEPS} reached", "train_s": 12.0})
        if self._diagnostics:
            self.folder.save_json(self.folder.starvation, ENDINGS)
            results = Measurement.load(self.folder.measurements).results
            self.folder.save_json(self.folder.evaluations, {STEPS: results["after"]["unguided"], STEPS + 1: []})
        self.folder.save_bytes(self.folder.ledger, to_json(RunLedger(self.config.run.name, STEPS, rows)))

    def _group(self, problem: Problem, arm: str, step: int, group_id: int) -> RolloutGroup:
        if arm == "guided":
            prompt, rate = guided_message(problem.statement, problem.guidance or "", "default"), 0.1
        else:
            prompt, rate = unguided_message(problem.statement), 0.0 if problem.bucket == "hard" else 0.4
        rate += (self._skill - rate) * step / STEPS
        rewards = [float(self._random.random() < rate) for _ in range(GROUP)]
        return RolloutGroup(
            group_id=group_id,
            problem_id=problem.id,
            arm=arm,
            bucket=problem.bucket,
            actor="actor-0",
            prompt_ids=int32_bytes(self._tokenizer.encode(prompt).ids),
            rollouts=tuple(self._completion(reward, step) for reward in rewards),
        )

    def _completion(self, reward: float, step: int) -> Rollout:
        ids = self._tokenizer.encode(f"{HOSTILE} {'right' if reward else 'wrong'}").ids
        return Rollout(
            token_ids=int32_bytes(ids),
            logprobs=float32_bytes([-0.5] * len(ids)),
            version_spans=((0, step),),
            finish_reason="stop",
            verdict="correct" if reward else "wrong",
            reward=reward,
        )

    def _step(self, step: int) -> LearnerStep:
        report = learner_step(
            step, tokens=1000, entropy=0.2 - step / 200, lag_mean=1.0, lag_histogram={0: 200, 1: 600, 2: 200}, ess=0.99,
            clip_share=0.01, completion_tokens_mean=40.0,
        )  # fmt: skip
        if not self._diagnostics:
            return report
        share = step / (2 * STEPS)
        return msgspec.structs.replace(
            report,
            advantage_share={"hard/unguided": share, "hard/guided": 1 - share},
            token_share={"hard/unguided": 0.5, "hard/guided": 0.5},
            gradient_cosine={"hard/easy": 0.5 - step / STEPS},
        )


def configured(seed: int, arms: Sequence[str]) -> RunConfig:
    config = load(None, [f"run.seed={seed}", "run.name=synthetic", "broker.connect_timeout_s=0.3"])
    return replace(config, problems=replace(config.problems, arms=dict.fromkeys(arms, 1)))


def byte_tokenizer() -> Tokenizer:
    """A tokenizer with one token for each byte: decoding restores any text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=256, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([], trainer)
    return tokenizer


def _problem(number: int, bucket: Any) -> Problem:
    return Problem(
        id=f"{bucket}<b>{number}",
        statement=f"{HOSTILE} What is {number}?",
        answer="1",
        bucket=bucket,
        source="synthetic",
        solution=f"<i>step {number}</i>\nthe rest",
        guidance=f"<i>step {number}</i>" if bucket == "hard" else None,
    )


def _row(problem_id: str, arm: str, outcomes: Sequence[Outcome]) -> LedgerRow:
    solved = [outcome.step for outcome in outcomes if outcome.successes]
    return LedgerRow(
        problem_id,
        arm,
        attempts=sum(outcome.judged for outcome in outcomes),
        successes=sum(outcome.successes for outcome in outcomes),
        first_solve_step=min(solved, default=None),
        last=tuple(outcomes[-KEPT_OUTCOMES:]),
    )
