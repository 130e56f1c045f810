"""`pope watch`: the most important numbers of a run in a terminal of at least 80 x 24, by the same model as the page.

Text of models and data sets is shown plain, without markup and control characters.
"""

import time

from rich.console import Console, Group, RenderableType
from rich.live import Live as Redrawn
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from conf.plain import plain
from deploy.dashboard.broadcast import TICK_S
from deploy.dashboard.run_sources import Source
from deploy.dashboard.views import Live
from deploy.run.progress import duration, percent
from deploy.statistics.transfer import explain
from deploy.view.palette import ARMS

BLOCKS = " ▁▂▃▄▅▆▇█"
STATE_STYLES = {"live": "green", "ended": "dim", "away": "red", "waiting": "yellow"}
NARROW = 78
RING_WIDTH = 64
RATE_S = 1.0
SHOWN_FACTS = {
    "ess": ("ESS", ".3f", ""),
    "mfu": ("MFU", ".1%", ""),
    "stall_ms": ("sync stall", ".0f", " ms"),
    "written_per_s": ("written", ",.0f", " tokens/s"),
}
"""Column of the step table -> its name, format and unit."""
CURVE_POINTS = 24


def watch(source: Source, console: Console, *, once: bool) -> None:
    """Show a run until it has ended or Ctrl-C; `once` prints the state once."""
    source.open()
    try:
        if once or not console.is_terminal:
            if source.model.live().state == "live":  # a rate needs two readings
                time.sleep(RATE_S)
                _refresh(source)
            console.print(render(source, console.width))
            return
        with Redrawn(render(source, console.width), console=console, auto_refresh=False) as shown:
            while not source.model.over and source.model.live().ended is None:
                time.sleep(TICK_S)
                _refresh(source)
                shown.update(render(source, console.width), refresh=True)
    finally:
        source.close()


def _refresh(source: Source) -> None:
    if (snapshot := source.read()) is not None:
        source.apply(snapshot)


def render(source: Source, width: int) -> RenderableType:
    """The state of a run in at most 23 lines. `width`: of the terminal, columns."""
    live = source.model.live(source.away)
    width = min(max(width, NARROW + 2), 120) - 2
    bar = Table.grid()  # a bar alone does not end its line
    bar.add_row(ProgressBar(total=1.0, completed=live.share_done, width=width))
    return Group(
        _title(live),
        bar,
        _pipeline(live),
        _ring(live),
        _learning(source, live),
        _facts(live),
        *_bottleneck(live, width),
        *_roles(live),
        *_alerts(live, width),
        _newest(live, width),
    )


def spark(values: list[float | None], top: float | None = None) -> str:
    """Numbers as a line of blocks from 0 to `top` (None: the largest); a gap stands for None."""
    known = [value for value in values if value is not None]
    high = top or max(known, default=0.0) or 1.0
    scale = len(BLOCKS) - 1
    return "".join(" " if v is None else BLOCKS[max(1, min(scale, round(v / high * scale)))] for v in values)


def _title(live: Live) -> Text:
    title = Text.assemble(
        (plain(live.run), "bold"),
        "  ",
        (live.state, STATE_STYLES[live.state]),
        f"  step {live.step}/{live.max_steps}  groups {live.balance.issued}",
        f"/{live.balance.limit}" if live.balance.limit else "",
    )
    if live.ended:
        title.append(f"  {plain(live.ended)}", "dim")
    elif live.eta_s is not None:
        title.append(f"  {duration(live.eta_s)} left", "dim")
    title.truncate(NARROW)
    return title


def _pipeline(live: Live) -> Text:
    """The arrows with their rates and the queues between them, in the order a group passes them."""
    rate = {arrow.name: "-" if arrow.per_s is None else f"{arrow.per_s:.1f}/s" for arrow in live.arrows}
    depth = {queue.name: queue.depth for queue in live.queues}
    age = {queue.name: f" {queue.age}" if queue.age else "" for queue in live.queues}
    return Text.assemble(
        ("feed ", "dim"), f"─{rate['claim']}→ ", ("actors ", "bold"), f"{depth['leased']} ",
        f"─{rate['publish']}→ ", ("stream ", "bold"), f"{depth['stream']}{age['stream']} ",
        f"─{rate['put']}→ ", ("ring ", "bold"), f"{depth['ring']}{age['ring']}\n",
        ("     ", ""), f"ring ─{rate['train']}→ ", ("learner ", "bold"), f"{depth['taken']} ",
        f"─{rate['weights']}→ ", ("actors", "bold"), ("   filtered ", "dim"), rate["filter"],
        ("  replaced ", "dim"), rate["replace"],
    )  # fmt: skip


def _ring(live: Live) -> Text:
    """The ring as a bar, a character for every few slots, coloured by arm; digits are lags in optimizer steps."""
    slots = [group for group in live.ring for _ in range(group.samples)]
    bar = Text("ring ", "dim")
    per_character = max(1, -(-live.ring_capacity // RING_WIDTH))
    for start in range(0, live.ring_capacity, per_character):
        if start < len(slots):
            group = slots[start]
            bar.append(str(min(group.lag, 9)), f"bold {ARMS.get(group.arm, 'white')} reverse")
        else:
            bar.append("·", "dim")
    bar.append(f" {len(slots)}/{live.ring_capacity}")
    return bar


def _learning(source: Source, live: Live) -> Table:
    """Curves over the whole run, each with its newest value."""
    steps = source.model.steps.rows
    table = Table.grid(padding=(0, 2))
    for arm in sorted(live.recent):
        style = ARMS.get(arm, "")
        curve = spark(_curve(steps, f"success/{arm}"), top=1.0)
        table.add_row(Text(f"success {arm}", "dim"), Text(curve, style), percent(live.recent[arm]))
        if live.num_hard and (solved := live.headline.get(f"solved/{arm}")) is not None:
            curve = spark(_curve(steps, f"solved/{arm}"), top=live.num_hard)
            table.add_row(Text(f"solved {arm}", "dim"), Text(curve, style), f"{solved:.0f} of {live.num_hard} hard")
    for column, unit in (("entropy", "nats per token"), ("lag_mean", "steps of lag")):
        if (value := live.headline.get(column)) is not None:
            curve = spark(_curve(steps, column))
            table.add_row(Text(column.split("_")[0], "dim"), curve, f"{value:.3f} {unit}")
    return table


def _curve(steps: dict[int, dict[str, float]], column: str) -> list[float | None]:
    """A column over the whole run: means over equal numbers of steps."""
    known = sorted(steps)
    size = max(1, -(-len(known) // CURVE_POINTS))
    curve: list[float | None] = []
    for start in range(0, len(known), size):
        values = [steps[s][column] for s in known[start : start + size] if column in steps[s]]
        curve.append(sum(values) / len(values) if values else None)
    return curve


def _facts(live: Live) -> Text:
    newest, balance = live.headline, live.balance
    lost = {
        "filtered": sum(balance.filtered.values()), "replaced": balance.replaced, "stale": balance.stale,
        "failed": sum(balance.failed.values()), "in flight": sum(balance.in_flight.values()),
    }  # fmt: skip
    facts = Text()
    for column, (name, form, unit) in SHOWN_FACTS.items():
        if (value := newest.get(column)) is not None:
            facts.append(f"{name} ", "dim").append(f"{value:{form}}{unit}  ")
    facts.append("\ngroups ", "dim").append(f"{balance.issued} = {balance.trained} trained")
    facts.append("".join(f" + {count} {name}" for name, count in lost.items() if count))
    facts.append("" if balance.holds else "  THE BALANCE DOES NOT HOLD", "bold red")
    if live.transfer is not None:
        transferred = Text(explain(live.transfer))
        transferred.truncate(NARROW, overflow="ellipsis")
        facts.append("\n").append_text(transferred)
    return facts


def _bottleneck(live: Live, width: int) -> list[Text]:
    """What holds the run up, in one line; nothing when nothing stands out."""
    if live.bottleneck is None:
        return []
    text = Text.assemble(("bottleneck ", "dim"), live.bottleneck)
    text.truncate(width, overflow="ellipsis")
    return [text]


def _roles(live: Live) -> list[Text]:
    if live.ended:
        return []
    words = Text("roles ", "dim")
    for role in live.roles:
        words.append(f"{plain(role.name)} ", "bold red" if role.late else "green")
        health = "" if role.health in ("", "healthy") else f"{plain(role.health)} "
        words.append(health, "yellow").append(f"{role.silence_s:.0f} s  ", "dim")
    return [words]


def _alerts(live: Live, width: int) -> list[Text]:
    shown = []
    for alert in live.alerts[:3]:
        style = "bold red" if alert.level == "critical" else "yellow"
        text = Text.assemble((f"! {alert.title}: ", style), plain(alert.detail))
        text.truncate(width, overflow="ellipsis")
        shown.append(text)
    return shown


def _newest(live: Live, width: int) -> Text:
    """The newest rollout, in one line."""
    if not live.rollouts:
        return Text("no rollout yet", "dim")
    newest = live.rollouts[0]
    style = "green" if newest.verdict == "correct" else "red" if newest.verdict == "wrong" else "yellow"
    text = Text.assemble((f"{plain(newest.arm)} ", ARMS.get(newest.arm, "")), (f"{plain(newest.verdict)} ", style))
    text.append(f"{plain(newest.problem, width)} {plain(newest.text, width)}")
    text.truncate(width, overflow="ellipsis")
    return text
