"""Runs in Prometheus' text format; `grafana/pope.json` draws these metrics."""

from collections.abc import Iterable, Iterator

from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from deploy.dashboard.run_sources import Source
from deploy.dashboard.views import Live

CONTENT_TYPE = CONTENT_TYPE_LATEST


def exposition(sources: Iterable[Source]) -> bytes:
    """The body of `/metrics`: the newest numbers of every run."""
    registry = CollectorRegistry()
    registry.register(_Runs({source.name: source.model.live(source.away) for source in sources}))
    return generate_latest(registry)


class _Runs(Collector):
    def __init__(self, runs: dict[str, Live]) -> None:
        self._runs = runs

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("pope_redis_up", "1 while the run's Redis answers.", labels=["run"])
        step = GaugeMetricFamily("pope_step", "Newest trained optimizer step.", labels=["run"])
        groups = CounterMetricFamily("pope_groups", "Groups by outcome.", labels=["run", "end", "reason"])
        issued = CounterMetricFamily("pope_groups_issued", "Groups the feed issued.", labels=["run"])
        flight = GaugeMetricFamily("pope_groups_in_flight", "Groups in flight, by place.", labels=["run", "place"])
        holds = GaugeMetricFamily("pope_books_close", "1 while the balance of groups holds.", labels=["run"])
        ring = GaugeMetricFamily("pope_ring_samples", "Slots of the ring in use.", labels=["run"])
        tokens = CounterMetricFamily("pope_tokens", "Tokens written, by kind.", labels=["run", "kind"])
        newest = GaugeMetricFamily("pope_newest", "Newest value of a column of the step table.", labels=["run", "what"])
        by_arm = GaugeMetricFamily("pope_arm", "As pope_newest, by arm.", labels=["run", "what", "arm"])
        silence = GaugeMetricFamily("pope_role_silence_seconds", "Since the last heartbeat.", labels=["run", "role"])
        times = GaugeMetricFamily(
            "pope_role_time_share", "Share of the newest minute, by phase.", labels=["run", "kind", "phase"]
        )
        memory = GaugeMetricFamily("pope_role_memory_bytes", "Resident memory of a role.", labels=["run", "role"])
        alerts = GaugeMetricFamily("pope_alerts", "Current alerts, by level.", labels=["run", "level"])
        for run, live in self._runs.items():
            balance = live.balance
            up.add_metric([run], live.state != "away")
            step.add_metric([run], live.step)
            issued.add_metric([run], balance.issued)
            for end, reason, count in _ends(live):
                groups.add_metric([run, end, reason], count)
            for place, count in balance.in_flight.items():
                flight.add_metric([run, place], count)
            holds.add_metric([run], balance.holds)
            ring.add_metric([run], sum(slot.samples for slot in live.ring))
            for kind in ("prompt", "completion"):
                tokens.add_metric([run, kind], balance.totals[f"{kind}_tokens"])
            for column, value in live.headline.items():
                what, slash, arm = column.partition("/")
                if value is not None and slash:
                    by_arm.add_metric([run, what, arm], value)
                elif value is not None:
                    newest.add_metric([run, what], value)
            for role in live.roles:
                silence.add_metric([run, role.name], role.silence_s)
            for kind, phases in live.times.items():
                for phase, share in phases.items():
                    times.add_metric([run, kind, phase], share)
            for role_name, mib in live.memory_mib.items():
                memory.add_metric([run, role_name], mib * 2**20)
            for level in ("warning", "critical"):
                alerts.add_metric([run, level], sum(alert.level == level for alert in live.alerts))
        yield from (up, step, issued, groups, flight, holds, ring, tokens, newest, by_arm)
        yield from (silence, times, memory, alerts)


def _ends(live: Live) -> Iterator[tuple[str, str, int]]:
    """(end, reason, groups) of all that are no longer in flight."""
    balance = live.balance
    yield "trained", "", balance.trained
    yield "replaced", "", balance.replaced
    yield "stale", "", balance.stale
    yield from (("filtered", reason, count) for reason, count in balance.filtered.items())
    yield from (("failed", reason, count) for reason, count in balance.failed.items())
