"""The page: contents and pictures through the template, everything escaped, nothing from elsewhere.

What a model or a data set wrote may be hostile. The template escapes every value, control characters come in as text
(`conf/plain.py`), and the page's own policy lets run only the one script whose hash it names.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from conf.plain import plain, plain_lines
from deploy.report.contents import Contents
from deploy.report.problem_rows import Course
from deploy.report.scores import cell, columns

TEMPLATE = Path(__file__).parent / "template"
SPARK_WIDTH, SPARK_HEIGHT, SPARK_MARGIN = 110, 22, 2
"""Pixels."""


def render(contents: Contents, pictures: Mapping[str, bytes]) -> str:
    """HTML. `pictures`: name of a figure -> SVG."""
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


def spark(course: Course, steps: int) -> str:
    """The points of a polyline: success of the groups over the steps of the run, 0 at the bottom and 1 at the top."""
    return " ".join(_place(step / max(1, steps), share) for step, share in _held(course.points))


def _held(points: Sequence[tuple[int, float]]) -> Sequence[tuple[int, float]]:
    """A single point as a short stroke, which a polyline needs to be seen."""
    return [*points, (points[0][0] + 1, points[0][1])] if len(points) == 1 else points


def _place(across: float, up: float) -> str:
    x = SPARK_MARGIN + min(1.0, across) * (SPARK_WIDTH - 2 * SPARK_MARGIN)
    y = SPARK_HEIGHT - SPARK_MARGIN - up * (SPARK_HEIGHT - 2 * SPARK_MARGIN)
    return f"{x:.1f},{y:.1f}"
