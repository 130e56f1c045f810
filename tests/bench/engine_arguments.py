"""Throughput of a CPU engine under our arguments and under vLLM's defaults.

The small random model never stops by itself, so every response has the maximum length. CPU seconds are those of all
processes of the engine; on a laptop it shares two cores with the learner, so they matter as much as the wall clock.
"""

import asyncio
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM
from transformers.utils import logging

from actors import engine as engine_file
from actors.engine import Engine
from conf.schema import ActorSettings

SETTINGS = ActorSettings(max_num_seqs=256, max_prompt_tokens=128, max_completion_tokens=64)
GROUPS, WARM_UP = 128, 32
KINDS = ("vllm", "ours")


def save_model(folder: Path) -> None:
    """Save a random model of the size of the built-in base model."""
    torch.manual_seed(0)
    logging.disable_progress_bar()
    config = Qwen3Config(
        vocab_size=1024, hidden_size=128, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
        head_dim=32, intermediate_size=256, tie_word_embeddings=True, max_position_embeddings=512, eos_token_id=1,
    )  # fmt: skip
    Qwen3ForCausalLM(config).save_pretrained(folder)


def cpu_s() -> float:
    """CPU seconds of this process and its descendants."""
    me = psutil.Process()
    times = [process.cpu_times() for process in (me, *me.children(recursive=True))]
    return sum(time.user + time.system for time in times)


async def measure(engine: Engine, prompt_tokens: int) -> tuple[float, float]:
    """(tokens a second, tokens a CPU second) of `GROUPS` groups, after a warm-up."""
    await engine.start_version(0)
    random = np.random.default_rng(prompt_tokens)
    prompts = [random.integers(2, 1024, prompt_tokens).tolist() for _ in range(WARM_UP + GROUPS)]
    await asyncio.gather(*(engine.generate(prompt, 8, SETTINGS.sampling) for prompt in prompts[:WARM_UP]))
    start, cpu_before = time.perf_counter(), cpu_s()
    groups = await asyncio.gather(*(engine.generate(prompt, 8, SETTINGS.sampling) for prompt in prompts[WARM_UP:]))
    tokens = sum(len(completion.token_ids) for group in groups for completion in group)
    return tokens / (time.perf_counter() - start), tokens / (cpu_s() - cpu_before)


def one(kind: str, folder: Path) -> None:
    """Measure one kind; in a new process, because vLLM reads its environment once."""
    if kind == "vllm":
        engine_file._cpu = lambda settings: {}
    arguments: dict[str, Any] = {"dtype": "float32", "device": "cpu", "transfer_backend": "file"}
    arguments["max_model_tokens"] = SETTINGS.max_model_tokens
    engine = Engine(folder, SETTINGS, stop_token_ids=[], seed=0, **arguments)
    loop = asyncio.new_event_loop()
    for prompt_tokens in (35, 100):
        rate, per_cpu_s = loop.run_until_complete(measure(engine, prompt_tokens))
        print(f"{kind:>18} {prompt_tokens:>18} {rate:>10.0f} {per_cpu_s:>12.0f}", flush=True)
    engine.close()


def main() -> None:
    print(f"{'engine':>18} {'prompt tokens':>18} {'tokens/s':>10} {'a CPU second':>12}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        save_model(Path(folder))
        for kind in KINDS:
            command = [sys.executable, "-m", "tests.bench.engine_arguments", kind, folder]
            subprocess.run(command, check=True, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    one(sys.argv[1], Path(sys.argv[2])) if len(sys.argv) > 1 else main()
