"""The only file that runs vLLM: token ids in, token ids with their log-probabilities and policy versions out.

`Engine` runs in the process that creates it (a Ray actor); vLLM's core and worker are child processes. A weight
update pauses generation without ending running requests, transfers the weights, stamps the new version and resumes. A
request that was running during updates returns one span per version.
"""

import asyncio
import os
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from actors.engine_watch import EngineWatch
from broker.failpoints import failpoint
from broker.records import FinishReason, WeightAnnouncement
from conf.schema import ActorSettings, Sampling

EMPTY_DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
"""SHA-256 of no bytes. The CPU engine empties a linear weight after packing it, so it cannot be compared."""

CPU_BLOCK_TOKENS = 32
"""KV cache block, the smallest that the CPU kernels accept. The rollouts of a prompt share whole blocks only, and the
default of 128 tokens is longer than most prompts of a small model."""


@dataclass(frozen=True)
class GeneratedRollout:
    """One sampled rollout, not judged yet."""

    token_ids: list[int]
    logprobs: list[float]
    """nats, under the distribution that was sampled from."""
    version_spans: tuple[tuple[int, int], ...]
    """(first token index, policy version), ascending."""
    finish_reason: FinishReason
    prompt_version: int
    """Policy version at submission; keys and values of the prompt are of this version or of newer ones."""


class Engine:
    """vLLM's AsyncLLM, with weight updates during generation."""

    def __init__(
        self,
        model_path: Path,
        settings: ActorSettings,
        *,
        max_model_tokens: int,
        dtype: Literal["float32", "bfloat16"],
        device: Literal["cpu", "cuda"],
        transfer_backend: Literal["file", "nccl"],
        stop_token_ids: Sequence[int],
        seed: int,
    ) -> None:
        """`max_model_tokens`: longest sequence, prompt included, that `generate` may be asked for."""
        _set_environment(settings, device)
        from vllm import AsyncEngineArgs
        from vllm.config import WeightTransferConfig
        from vllm.inputs import TokensPrompt
        from vllm.sampling_params import RequestOutputKind, SamplingParams
        from vllm.v1.engine.async_llm import AsyncLLM

        self._stop_token_ids = list(stop_token_ids)
        self._version = 0
        self._settled = asyncio.Event()
        self._settled.set()
        self._broadcasts = transfer_backend == "nccl"
        self._in_transfer = False
        self._sampling_params, self._tokens_prompt = SamplingParams, TokensPrompt
        self._final_only = RequestOutputKind.FINAL_ONLY
        more = _gpu(settings) if device == "cuda" else _cpu(settings)
        self._llm = AsyncLLM.from_engine_args(
            AsyncEngineArgs(
                model=str(model_path),
                skip_tokenizer_init=True,
                dtype=dtype,
                hf_overrides={"head_dtype": "float32"},
                seed=seed,
                max_model_len=max_model_tokens,
                max_num_seqs=settings.max_num_seqs,
                tensor_parallel_size=settings.tensor_parallel,
                enable_prefix_caching=settings.prefix_cache,
                # Ratios need the log-probabilities of the distribution that was sampled from.
                logprobs_mode="processed_logprobs",
                # The version that sampled a batch must be known before the next batch is scheduled.
                async_scheduling=False,
                # A partial prefill discards a random number. A seeded CPU generator cannot undo that, and vLLM raises.
                enable_chunked_prefill=device == "cuda",
                # Small models gain nothing from compilation on a CPU and start more slowly.
                enforce_eager=device == "cpu",
                weight_transfer_config=WeightTransferConfig(backend=transfer_backend),
                worker_extension_cls="actors.weight_receiver.WeightReceiverExtension",
                disable_log_stats=True,
                generation_config="vllm",
                **more,
            )
        )
        self._watch = EngineWatch(self._llm.engine_core.is_scheduler_paused_async, self._processes)

    @property
    def version(self) -> int:
        """Policy version of the next token."""
        return self._version

    async def generate(
        self, prompt_ids: Sequence[int], num_rollouts: int, sampling: Sampling, seed: int | None = None
    ) -> list[GeneratedRollout]:
        """Samples rollouts of one prompt; they share its KV cache as long as the weights do not change.

        With a seed, the rollouts depend only on the seed and the weights, not on other requests.
        """
        # A request that arrives during an update is sampled with the new weights, so its salt needs their version.
        await self._settled.wait()
        params = self._sampling_params(
            n=num_rollouts,
            seed=seed,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k or 0,
            max_tokens=sampling.max_completion_tokens,
            stop_token_ids=self._stop_token_ids,
            logprobs=0,
            flat_logprobs=True,
            detokenize=False,
            output_kind=self._final_only,
        )
        version = self._version
        prompt = self._tokens_prompt(prompt_token_ids=list(prompt_ids), cache_salt=f"weights-{version}")
        outputs = [output async for output in self._llm.generate(prompt, params, request_id=uuid.uuid4().hex)]
        return [_rollout(completion, version) for completion in sorted(outputs[-1].outputs, key=lambda c: c.index)]

    async def start_version(self, version: int) -> None:
        """Stamps the initial weights with their version; call it before the first `generate`."""
        await self._llm.update_weight_version(str(version))
        self._version = version

    async def init_transfer(self, init_info: Mapping[str, object]) -> None:
        """Joins the learner's transfer group (nccl backend)."""
        from vllm.distributed.weight_transfer.base import WeightTransferInitRequest

        self._in_transfer = True
        await self._llm.init_weight_transfer_engine(WeightTransferInitRequest(init_info=dict(init_info)))

    async def update(self, announcement: WeightAnnouncement, *, timeout_s: float) -> float:
        """Takes over announced weights. Returns the seconds for which running requests were paused.

        Raises TimeoutError after `timeout_s` seconds; the engine is then in an undefined state and must be replaced.
        """
        self._settled.clear()
        self._in_transfer = self._broadcasts
        start = time.perf_counter()
        async with asyncio.timeout(timeout_s):
            # Not `pause_generation`, which also sleeps for 20 ms so that outputs arrive before it returns.
            await self._llm.engine_core.pause_scheduler_async(mode="keep", clear_cache=False)
            failpoint("actor.mid_update")
            update = {"update_info": _update_info(announcement)}
            await self._llm.collective_rpc("take_over_weights", kwargs=update)
            await self._llm.update_weight_version(str(announcement.version))
            self._version = announcement.version
            await self._llm.resume_generation()
        self._in_transfer = False
        self._settled.set()
        return time.perf_counter() - start

    async def checksums(self) -> dict[str, str]:
        """Parameter name -> SHA-256 of its bytes in the first worker, without emptied parameters."""
        per_worker = await self._llm.compute_weight_checksums()
        digests = {name.rsplit(":", 1)[-1]: digest for name, digest in per_worker[0].items()}
        return {name: digest for name, digest in digests.items() if digest != EMPTY_DIGEST}

    async def check(self) -> None:
        """Call it every second. Raises vLLM's error when the engine has died, EngineSilent when it answers no more."""
        await self._llm.check_health()
        await self._watch.check(waits_for_others=self._in_transfer)

    def _processes(self) -> list[int]:
        """Process ids of vLLM's core; its workers are children."""
        manager: Any = self._llm.engine_core.resources.engine_manager
        return [process.pid for process in manager.processes if process.pid is not None]

    def close(self) -> None:
        """Ends vLLM's child processes."""
        self._watch.close()
        self._llm.shutdown()


def canary(expected: Mapping[str, str], actual: Mapping[str, str]) -> list[str]:
    """Names of the parameters whose checksum in the engine, `actual`, differs from the learner's, `expected`.

    Parameters that are in only one of the two are not compared. No common parameter at all is a mismatch.
    """
    common = expected.keys() & actual.keys()
    if not common:
        return ["(no parameter in common)"]
    return sorted(name for name in common if expected[name] != actual[name])


def _gpu(settings: ActorSettings) -> dict[str, Any]:
    """Engine arguments on a GPU."""
    return {"gpu_memory_utilization": settings.gpu_memory_utilization}


def _cpu(settings: ActorSettings) -> dict[str, Any]:
    """Engine arguments on a CPU.

    By default vLLM starts the CPU worker in a separate process, and core and worker poll each other without sleeping,
    which wastes a CPU core. Here the worker runs in the process of vLLM's core.
    """
    from vllm.v1.executor.uniproc_executor import UniProcExecutor

    from actors.cpu_kernels import PRIORITY

    executor = {"distributed_executor_backend": UniProcExecutor} if settings.tensor_parallel == 1 else {}
    # The class: vLLM would override the name of the executor.
    return {"block_size": CPU_BLOCK_TOKENS, "ir_op_priority": PRIORITY, **executor}


def _update_info(announcement: WeightAnnouncement) -> dict[str, object]:
    if announcement.backend == "file":
        return {"path": announcement.path}
    names, dtypes, shapes = zip(*announcement.tensors, strict=True)
    return {"names": list(names), "dtype_names": list(dtypes), "shapes": [list(shape) for shape in shapes]}


def _rollout(completion: object, prompt_version: int) -> GeneratedRollout:
    """Converts vLLM's CompletionOutput."""
    token_ids = list(completion.token_ids)  # type: ignore[attr-defined]
    logprobs = np.minimum(completion.logprobs.logprobs, 0.0).tolist()  # type: ignore[attr-defined]
    assert len(logprobs) == len(token_ids), "vLLM returned different numbers of log-probabilities and tokens"
    spans = tuple((span.start, int(span.version)) for span in completion.weight_versions)  # type: ignore[attr-defined]
    finish: FinishReason = "stop" if completion.finish_reason == "stop" else "length"  # type: ignore[attr-defined]
    return GeneratedRollout(token_ids, logprobs, spans, finish, prompt_version)


def _set_environment(settings: ActorSettings, device: str) -> None:
    """Sets the variables that vLLM reads when it is first imported."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")
    if device == "cpu":
        os.environ["VLLM_CPU_KVCACHE_SPACE"] = str(settings.kv_cache_gib)
        os.environ["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        os.environ["OMP_NUM_THREADS"] = str(settings.threads)
