"""Renders the page from its contents and pictures. It is self-contained, and every value in it is escaped.

Text of a model or a data set may be hostile: the template escapes every value, control characters are shown as text
(`conf/plain.py`), and the page's content security policy allows only the one script whose hash it names.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from conf.plain import plain, plain_lines
from deploy.report.contents import Contents
from deploy.report.problem_rows import ArmHistory
from deploy.report.scores import cell, columns

TEMPLATE = Path(__file__).parent / "template"
SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 110, 22, 2
"""Pixels."""


def render(contents: Contents, pictures: Mapping[str, bytes]) -> str:
    """The page as HTML. `pictures`: name of a figure -> SVG."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"plain": plain, "plain_lines": plain_lines}
    script = (TEMPLATE / "page.js").read_text(encoding="utf-8")
    heads = columns(contents.table)
    return environment.get_template("page.html.j2").render(
        contents=contents,
        heads=[f"{name} pass@{k}" for name, k in heads],
        table=[(row.label, [cell(row, head) for head in heads]) for row in contents.table],
        pictures={name: base64.b64encode(svg).decode() for name, svg in pictures.items()},
        spark=spark,
        spark_width=SPARK_WIDTH,
        spark_height=SPARK_HEIGHT,
        style=(TEMPLATE / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def spark(history: ArmHistory, steps: int) -> str:
    """The points of an SVG polyline: success of each group over the steps of the run, 0 at the bottom, 1 at the top."""
    return " ".join(_coordinates(step / max(1, steps), share) for step, share in _at_least_two(history.points))


def _at_least_two(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """A single point becomes a short line, because a polyline of one point is invisible."""
    return [*points, (points[0][0] + 1, points[0][1])] if len(points) == 1 else points


def _coordinates(across: float, up: float) -> str:
    x = SPARK_MARGIN + min(1.0, across) * (SPARK_WIDTH - 2 * SPARK_MARGIN)
    y = SPARK_HEIGHT - SPARK_MARGIN - up * (SPARK_HEIGHT - 2 * SPARK_MARGIN)
    return f"{x:.1f},{y:.1f}"
