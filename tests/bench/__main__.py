"""`make bench`: P1 to P7 side by side, each a ratio that this run measured, and the table of all.

    make bench                               P2 to P7, 6 to 7 minutes on two idle cores
    make bench ARGS=--asynchrony             P1 too, two complete runs (5 minutes more)
    make bench ARGS="--only P3 P7"           some of them
    make bench ARGS=--detail                 also speed of records and broker, and the engine under vLLM's own arguments

What is compared is measured in pairs that alternate, so that other work on the machine meets both. Results are written
to runs/bench/bench.json. Nothing fails when a target is missed: the table says so.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from tests.bench.actor import actor
from tests.bench.asynchrony import asynchrony
from tests.bench.crowd import crowd
from tests.bench.logprobs import logprobs
from tests.bench.measure import Measure
from tests.bench.packing import packing
from tests.bench.shared_prompts import shared_prompts
from tests.bench.transport import transport

MEASUREMENTS: dict[str, tuple[tuple[str, ...], Callable[[], list[Measure]]]] = {
    "actor and weight sync": (("P2", "P6"), actor),
    "stream and ring": (("P3",), transport),
    "packing": (("P4",), packing),
    "shared prompts": (("P4",), shared_prompts),
    "log-probabilities": (("P5",), logprobs),
    "broker": (("P7",), crowd),
    "asynchrony": (("P1",), asynchrony),
}
"""Title -> (names of its measures, how to take them)."""
OUT = Path("runs/bench/bench.json")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__.partition("\n")[0])
    parser.add_argument("--asynchrony", action="store_true", help="measure P1, too")
    parser.add_argument("--only", nargs="+", metavar="P", help="measure these")
    parser.add_argument("--detail", action="store_true", help="print more of broker and engine")
    parser.add_argument("--out", type=Path, default=OUT, metavar="FILE")
    options = parser.parse_args()
    console = Console()
    wanted = set(options.only or ["P2", "P3", "P4", "P5", "P6", "P7"]) | ({"P1"} if options.asynchrony else set())
    load_before, started = os.getloadavg()[0], time.monotonic()
    measures: list[Measure] = []
    for title, (names, take) in MEASUREMENTS.items():
        if wanted & set(names):
            began = time.monotonic()
            measures += take()
            console.print(f"  {title} ({time.monotonic() - began:.0f} s)", highlight=False)
    measures.sort(key=lambda measure: measure.name)
    console.print(table(measures))
    console.print(
        f"  {os.cpu_count()} cores, load {load_before:.1f} before; {time.monotonic() - started:.0f} s; {options.out}",
        highlight=False,
    )
    save(measures, options.out, load_before)
    if options.detail:
        for module in ("records_and_broker", "engine_arguments"):
            subprocess.run([sys.executable, "-m", f"tests.bench.{module}"], check=True)


def table(measures: list[Measure]) -> Table:
    shown = Table(title="ratios of this run; median [smallest, largest] of its pairs", title_justify="left")
    for name, justify in (("", "left"), ("what", "left"), ("ratio", "right"), ("target", "left"), ("", "left")):
        shown.add_column(name, justify="right" if justify == "right" else "left")
    for each in measures:
        verdict = {True: "met", False: "[bold]missed[/bold]", None: "-"}[each.met]
        spread = f"\n\\[{each.low:.3g}, {each.high:.3g}]" if each.low != each.high else ""
        shown.add_row(
            each.name, f"{each.what}\n[dim]{each.detail}[/dim]", f"{each.ratio:.3g}{spread}", each.target, verdict
        )
    return shown


def save(measures: list[Measure], path: Path, load_before: float) -> None:
    """Writes the measures with the machine they are of."""
    machine = {"cores": os.cpu_count(), "load_before": load_before, "unix_s": round(time.time())}
    rows = [msgspec.to_builtins(each) | {"met": each.met} for each in measures]
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine, "measures": rows}
    path.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=2) + b"\n")


if __name__ == "__main__":
    main()
