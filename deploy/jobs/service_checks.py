"""What `pope doctor` checks by trying it: Redis, Ray, the model hub."""

import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from broker.connection import connect
from conf.model_facts import facts_of
from conf.schema import RunConfig
from deploy.cluster.placement import demands
from deploy.cluster.ray_session import ray_session
from deploy.cluster.redis_server import EmbeddedRedis
from deploy.cluster.reservation import Reservation
from deploy.jobs.findings import Finding
from deploy.store.run_redis import external_urls

HUB = "https://huggingface.co"
HUB_TIMEOUT_S = 5.0
OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def redis_answers(config: RunConfig) -> list[Finding]:
    """The server of `broker.url`, or an embedded one that is started in a temporary folder."""
    if config.broker.url is not None:
        return [_answer(external_urls(config)("driver"), "the server of broker.url", config)]
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis", max_memory_gib=0.1) as server:
        return [_answer(server.url, "the embedded server", config)]


def _answer(url: str, which: str, config: RunConfig) -> Finding:
    with closing(connect(url, client_name="doctor", timeout_s=config.broker.connect_timeout_s)) as client:
        start = time.monotonic()
        client.ping()
        return Finding("redis", "ok", f"{which} answers in {1e3 * (time.monotonic() - start):.1f} ms")


def ray_starts(config: RunConfig) -> list[Finding]:
    """A local Ray, or the cluster of $RAY_ADDRESS, with room for every role that others do not hold at present."""
    start = time.monotonic()
    needed = demands(config)
    at_once = replace(config, deploy=replace(config.deploy, admission_timeout_s=0.0))
    with ray_session(at_once, [needed], Reservation("doctor"), tell=lambda line: None):
        which = "the cluster of $RAY_ADDRESS answers" if "RAY_ADDRESS" in os.environ else "starts"
        return [Finding("ray", "ok", f"{which} in {time.monotonic() - start:.1f} s, with room for {len(needed)} roles")]


def hub_answers(config: RunConfig) -> list[Finding]:
    """The hub, which a model or a data set that is not on this machine comes from."""
    model = config.model.path
    here = model.startswith("builtin:") or Path(model).expanduser().is_dir() or facts_of(model).source.endswith("json")
    missing = "" if here else f", and model.path={model} is not on this machine"
    remedy = "" if here else "name a folder in model.path, or fetch the model once where the network is"
    if offline := next((name for name in OFFLINE if os.environ.get(name, "0").lower() not in ("", "0", "false")), None):
        return [Finding("model hub", "ok" if here else "failed", f"{offline} is set{missing}", remedy)]
    address = os.environ.get("HF_ENDPOINT", HUB)
    try:
        with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=HUB_TIMEOUT_S):
            return [Finding("model hub", "ok", f"{address} answers")]
    except urllib.error.HTTPError:  # an answer
        return [Finding("model hub", "ok", f"{address} answers")]
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        detail = f"{address} does not answer ({reason}){missing}"
        remedy = remedy or "HF_HUB_OFFLINE=1 says that this is meant"
        return [Finding("model hub", "warning" if here else "failed", detail, remedy)]


SERVICE_CHECKS: dict[str, Callable[[RunConfig], list[Finding]]] = {
    "redis": redis_answers,
    "ray": ray_starts,
    "model hub": hub_answers,
}
"""What is checked -> the check."""
