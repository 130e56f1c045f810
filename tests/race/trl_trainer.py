"""One run of TRL's GRPOTrainer: `python -m tests.race.trl_trainer JOB.json`, by the interpreter of .race-venv.

Reads a `TrlJob`, trains on its groups in their order, and writes a line for each group at the moment its rewards are
known. Rewards come from the verifier of pope on the text that pope would judge. Nothing is evaluated, saved or logged.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec
import torch
import transformers
import trl
from datasets import Dataset

from actors.stop_tokens import completion_text
from actors.verification.rewards import binary_reward
from actors.verification.verifier import VerifierPool
from conf.schema import VerifierSettings
from tests.race.trl_settings import TrlGroup, TrlJob, TrlLine


def main(path: Path) -> None:
    job = msgspec.json.decode(path.read_bytes(), type=TrlJob)
    transformers.utils.logging.set_verbosity_error()
    torch.set_num_threads(job.settings.threads or len(os.sched_getaffinity(0)))
    tokenizer = transformers.AutoTokenizer.from_pretrained(job.model)
    decoder = msgspec.json.Decoder(TrlGroup)
    groups = [decoder.decode(line) for line in Path(job.groups).read_bytes().splitlines()]
    _check_prompts(tokenizer, groups)
    # As float32, as pope trains it. The attention is torch's own scaled dot product, the fastest one on a CPU.
    model = transformers.AutoModelForCausalLM.from_pretrained(job.model, dtype=torch.float32)
    model.generation_config.eos_token_id = list(job.stop_token_ids)
    with open(job.out, "wb", buffering=0) as out, tempfile.TemporaryDirectory() as scratch:
        judge = Judge(job, tokenizer, out)
        trainer = trl.GRPOTrainer(
            model=model,
            reward_funcs=judge.rewards,
            args=_config(job, len(groups), scratch),
            train_dataset=Dataset.from_list([{"prompt": g.prompt, "arm": g.arm, "answer": g.answer} for g in groups]),
            processing_class=tokenizer,
            callbacks=[Clock(out)],
        )
        try:
            trainer.train()
        finally:
            judge.close()


def _config(job: TrlJob, num_groups: int, scratch: str) -> trl.GRPOConfig:
    settings = job.settings
    return trl.GRPOConfig(
        output_dir=scratch,
        seed=job.seed,
        # The batch. One micro-batch a step: 64 sequences of this model fit, and several passes are slower.
        num_generations=job.group_size,
        per_device_train_batch_size=settings.groups_per_step * job.group_size,
        gradient_accumulation_steps=1,
        steps_per_generation=settings.steps_per_generation,
        num_iterations=1,  # each rollout is trained once, as in pope
        max_steps=num_groups // settings.groups_per_step,
        shuffle_dataset=False,  # the groups are in pope's order already
        # Sampling, as pope samples. HF generate: the one generator of TRL that needs no GPU and no server.
        temperature=job.temperature,
        top_p=1.0,
        top_k=0,
        max_completion_length=job.max_completion_tokens,
        use_vllm=False,
        # The objective.
        loss_type=settings.loss_type,
        scale_rewards=settings.scale_rewards,
        epsilon=settings.epsilon,
        epsilon_high=settings.epsilon_high,
        beta=0.0,  # no KL penalty and so no second model, as in pope
        # The optimizer. Fused: the fastest AdamW of torch on a CPU.
        optim="adamw_torch_fused",
        learning_rate=settings.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=settings.warmup_steps,
        adam_beta2=settings.adam_beta2,
        weight_decay=0.0,
        max_grad_norm=settings.gradient_clip,
        # Arithmetic: float32 on the CPU, without recomputation (the default saves memory and costs a forward pass).
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        # Nothing beside training.
        report_to="none",
        disable_tqdm=True,
        eval_strategy="no",
        save_strategy="no",
        logging_strategy="no",
        log_completions=False,
        dataloader_num_workers=0,
        dataloader_pin_memory=False,
    )


class Clock(transformers.TrainerCallback):
    """Writes when training began: directly before the first batch is generated."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out

    def on_step_begin(self, args: Any, state: Any, control: Any, **more: Any) -> None:
        if state.global_step == 0:
            _write(self._out, TrlLine(at=time.time(), version=trl.__version__))


class Judge:
    """The reward function: the verdicts of pope's verifier, and a line for each group."""

    def __init__(self, job: TrlJob, tokenizer: Any, out: IO[bytes]) -> None:
        self._job, self._tokenizer, self._out = job, tokenizer, out
        self._loop = asyncio.new_event_loop()
        self._pool = VerifierPool(
            VerifierSettings(
                workers=job.verifier_workers, deadline_s=job.verifier_deadline_s, memory_gib=job.verifier_memory_gib
            )
        )

    def rewards(
        self, prompts: Sequence[str], completion_ids: Sequence[Sequence[int]], arm: Sequence[str],
        answer: Sequence[str], **more: Any,
    ) -> list[float | None]:  # fmt: skip
        stop_ids = self._job.stop_token_ids
        texts = [completion_text(self._tokenizer, ids, stop_ids) for ids in completion_ids]
        verdicts = self._loop.run_until_complete(self._judge(texts, answer))
        now, size = time.time(), self._job.group_size
        for start in range(0, len(verdicts), size):
            assert len(set(prompts[start : start + size])) == 1, "a group has rollouts of one prompt"
            successes = verdicts[start : start + size].count("correct")
            _write(self._out, TrlLine(at=now, arm=arm[start], successes=successes, rollouts=size))
        return [binary_reward(verdict) for verdict in verdicts]

    async def _judge(self, texts: Sequence[str], answers: Sequence[str]) -> list[Any]:
        return await asyncio.gather(*(self._pool.judge(text, ref) for text, ref in zip(texts, answers, strict=True)))

    def close(self) -> None:
        self._pool.close()
        self._loop.close()


def _check_prompts(tokenizer: Any, groups: Sequence[TrlGroup]) -> None:
    """TRL tokenizes the text itself: it must come to the tokens that pope samples from."""
    for prompt, ids in {group.prompt: group.prompt_ids for group in groups}.items():
        if tuple(tokenizer(text=prompt)["input_ids"]) != ids:
            raise SystemExit(f"TRL reads other tokens than pope in the prompt {prompt[:60]!r}")


def _write(out: IO[bytes], line: TrlLine) -> None:
    out.write(msgspec.json.encode(line) + b"\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
