"""Verdict and reward of a response, by `verifier.judge` and `verifier.reward`.

Functions of the user run in child processes with the limits of the built-in verifier: a deadline in CPU time, a memory
limit, no network, no other process. What fails there (an exception, a deadline, a wrong result) is the verdict `crash`
or `timeout`: the rollout is not judged, has no reward, and is counted.
"""

import json
import logging
from typing import Any, Literal, Protocol

import msgspec

from actors.verification.exact_match import exact_match
from actors.verification.rewards import binary_reward
from actors.verification.thoughts import DEFAULT_THOUGHTS, Thoughts, after_last_thought
from actors.verification.verifier import GROWTH, VerifierPool
from actors.verification.verifier_lane import Failure, VerifierLane
from actors.verification.verifier_workers import PLUGINS, ForkServer
from broker.records import Verdict
from conf.plugins import is_import_path, load
from conf.schema import VerifierSettings

log = logging.getLogger(__name__)

MAX_TOLD = 20
"""Number of different errors of the user's functions that an actor logs; all are counted as verdicts."""


class JudgeFunction(Protocol):
    """`verifier.judge=package.module:Name`, called once for every response."""

    def __call__(self, response: str, answer: str) -> Literal["correct", "wrong", "no_answer", "unparsable"]:
        """`response`: the text after the last thought; a response that was cut inside one is `no_answer` without a
        call. `answer`: the reference answer of the problem, as it is written in its row."""


class RewardFunction(Protocol):
    """`verifier.reward=package.module:Name`, called once for every response that was judged."""

    def __call__(self, response: str, answer: str, verdict: str) -> float:
        """A finite number. `response`: the whole text, thoughts included. `verdict`: of the verifier, as above."""


class Judge:
    """The verifier of one actor, used from one event loop. Its processes end at `close` or with this process."""

    def __init__(self, settings: VerifierSettings, thoughts: Thoughts = DEFAULT_THOUGHTS) -> None:
        """Raises ConfigError if a function of the user cannot be loaded."""
        self._settings, self._thoughts = settings, thoughts
        named = {"verifier.judge": settings.judge, "verifier.reward": settings.reward}
        plugins = {key: path for key, path in named.items() if is_import_path(path)}
        self._plugins = PluginPool(settings, plugins) if plugins else None
        self._math = VerifierPool(settings, thoughts) if settings.judge == "math" else None

    async def judge(self, text: str, reference: str) -> Verdict:
        """The verdict on a response. Raises VerifierUnavailable."""
        if self._math is not None:
            return await self._math.judge(text, reference)
        if self._settings.judge == "exact_match":
            return exact_match(text, reference, self._thoughts)
        response = after_last_thought(text, self._thoughts)
        if response is None:
            return "no_answer"
        assert self._plugins is not None
        reply = await self._plugins.call("verifier.judge", response, reference)
        verdict: Verdict = reply if isinstance(reply, str) else msgspec.convert(reply.value, Verdict)
        return verdict

    async def reward(self, text: str, reference: str, verdict: Verdict) -> tuple[Verdict, float | None]:
        """(verdict, reward) of a judged response. If the user's function fails, the response counts as not judged."""
        reward = binary_reward(verdict)
        if reward is None or self._settings.reward == "binary":
            return verdict, reward
        assert self._plugins is not None
        reply = await self._plugins.call("verifier.reward", text, reference, verdict)
        return (reply, None) if isinstance(reply, str) else (verdict, msgspec.convert(reply.value, float))

    def close(self) -> None:
        """Kills all processes. Responses that are being judged get `timeout` or `crash`."""
        for pool in (self._math, self._plugins):
            if pool is not None:
                pool.close()


class Returned(msgspec.Struct, frozen=True):
    """What a function of the user returned, or the error that it raised."""

    value: Any = None
    error: str | None = None


class PluginPool:
    """Calls functions of the user in worker processes."""

    def __init__(self, settings: VerifierSettings, paths: dict[str, str]) -> None:
        """`paths`: setting -> import path. Raises ConfigError."""
        for key, path in paths.items():
            load(key, path)  # here, because the error of a child process would only be in its log
        self._paths = paths
        self._told: set[str] = set()
        self._fork_server = ForkServer(int(settings.memory_gib * 2**30), PLUGINS, json.dumps(paths))
        self._lane = VerifierLane(
            self._fork_server, base=settings.workers, most=GROWTH * settings.workers, deadline_s=settings.deadline_s
        )

    async def call(self, key: str, *arguments: str) -> Returned | Failure:
        """What the function of a setting returned, checked by `plugin_process`; or how it failed, which is logged."""
        reply = await self._lane.ask([key, *arguments])
        if isinstance(reply, str):
            cause = "exceeded verifier.deadline_s" if reply == "timeout" else "ended its process or needs more memory"
            self._tell(f"{key}={self._paths[key]} {cause}")
            return reply
        returned = msgspec.json.decode(reply, type=Returned)
        if returned.error is not None:
            self._tell(f"{key}={self._paths[key]} failed: {returned.error}")
            return "crash"
        return returned

    def close(self) -> None:
        self._lane.close()
        self._fork_server.close()

    def _tell(self, failure: str) -> None:
        if failure not in self._told and len(self._told) < MAX_TOLD:
            self._told.add(failure)
            log.error("%s; the rollout is not judged. The same failure is not logged again", failure)
