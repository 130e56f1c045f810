"""Problems: sources, arms, buckets."""

import math
from collections.abc import Iterator

from conf.names import did_you_mean
from conf.plugins import is_import_path
from conf.rules.rule import Rule, Violation
from conf.schema import RunConfig

ARMS = ("unguided", "guided", "easy", "easier")
BUCKETS = ("hard", "easy", "easier")
BUILTIN = "builtin:tiny"
SOURCES = (BUILTIN, "builtin:stories", "builtin:stories-unseen")
STORY_FAMILIES = ("collection", "bakery", "orchard", "bus", "savings", "library", "farm", "people", "shopping")
MAX_STORY_STEPS = 6
MODELS = (BUILTIN, "builtin:tiny-reader", "builtin:smollm2-135m")
FILE_ENDINGS = (".jsonl", ".json", ".parquet")
DATA_SETS = ("dapo-math-17k", "omni-math", "acereason-math", "aime-2025", "hmmt-2025", "gsm8k", "math-500")
FIELDS = ("statement", "answer", "solution", "id", "level", "bucket", "guidance", "source", "system")


def builtins_exist(config: RunConfig) -> Iterator[Violation]:
    for key, value, known in (
        ("model.path", config.model.path, MODELS),
        ("problems.source", config.problems.source, SOURCES),
    ):
        if not value:
            yield (key,), f"{key} is empty; give a path or {BUILTIN}"
        if value.startswith("builtin:") and value not in known:
            yield (key,), f"{key}={value[:80]} is not built in; valid are {', '.join(known)}"


def problems_have_a_source(config: RunConfig) -> Iterator[Violation]:
    source = config.problems.source
    name, colon, path = source.partition(":")
    if name == "builtin" or (name in DATA_SETS and not colon):
        return
    if name not in DATA_SETS and is_import_path(source):
        return
    file = path if name in DATA_SETS else source
    if not file.endswith(FILE_ENDINGS):
        yield ("problems.source",), (
            f"problems.source={source[:80]} is neither one of {', '.join(SOURCES)}, nor a file that ends in "
            f"{', '.join(FILE_ENDINGS)}, nor one of {', '.join(DATA_SETS)}, nor a function of yours as "
            f"package.module:Name{did_you_mean(name, DATA_SETS)}"
        )


def reading_settings_fit_the_source(config: RunConfig) -> Iterator[Violation]:
    problems = config.problems
    if problems.split is not None and problems.source not in DATA_SETS:
        yield ("problems.split", "problems.source"), (
            f"problems.split={problems.split[:80]} needs a hub data set, and problems.source={problems.source[:80]} "
            "has no splits; set problems.split=null"
        )
    for name, value, none in (("fields", problems.fields, "{}"), ("levels", problems.levels, "null")):
        if value and problems.source in SOURCES:
            yield (f"problems.{name}", "problems.source"), (
                f"problems.{name} applies to the rows of a file, and problems.source={problems.source} has none; "
                f"set problems.{name}={none}"
            )


def stories_can_be_drawn(config: RunConfig) -> Iterator[Violation]:
    steps, families = config.problems.story_steps, config.problems.story_families
    if len(steps) != 2 or not 1 <= steps[0] <= steps[1] <= MAX_STORY_STEPS:
        yield ("problems.story_steps",), (
            f"problems.story_steps={str(steps)[:80]} must be [fewest, most] steps with 1 <= fewest <= most <= "
            f"{MAX_STORY_STEPS}, such as [3, 5]"
        )
    for family in families:
        if family not in STORY_FAMILIES:
            yield ("problems.story_families",), (
                f"problems.story_families contains {family[:80]!r}, the families are {', '.join(STORY_FAMILIES)}"
                f"{did_you_mean(family, STORY_FAMILIES)}"
            )


def fields_are_known(config: RunConfig) -> Iterator[Violation]:
    for name, column in config.problems.fields.items():
        if name not in FIELDS:
            yield ("problems.fields",), (
                f"problems.fields contains {name[:80]!r}, the fields are {', '.join(FIELDS)}"
                f"{did_you_mean(name, FIELDS)}"
            )
        if not column:
            yield ("problems.fields",), f"problems.fields.{name} is empty; name the column, or remove the field"


def levels_are_an_interval(config: RunConfig) -> Iterator[Violation]:
    levels = config.problems.levels
    if levels is not None and (len(levels) != 2 or not levels[0] <= levels[1] or not all(map(math.isfinite, levels))):
        yield ("problems.levels",), (
            f"problems.levels={str(levels)[:80]} must be [lowest, highest], such as [5, 10]; null takes all levels"
        )


def arms_are_drawable(config: RunConfig) -> Iterator[Violation]:
    key, arms = ("problems.arms",), config.problems.arms
    for arm, weight in arms.items():
        if arm not in ARMS:
            yield key, f"problems.arms contains {arm[:80]!r}, the arms are {', '.join(ARMS)}{did_you_mean(arm, ARMS)}"
        if not 0 <= weight <= 1000:
            yield key, f"problems.arms.{arm}={weight} is outside the weights 0 to 1000; 0 leaves the arm out"
    if not any(arms.values()):
        yield key, f"problems.arms={arms} draws nothing; set the weight of one of {', '.join(ARMS)} to at least 1"
    for arm, count in (("easy", config.problems.num_easy), ("easier", config.problems.num_easier)):
        if arms.get(arm) and config.problems.source in SOURCES and count == 0:
            yield (f"problems.num_{arm}", "problems.arms"), (
                f"problems.num_{arm}=0 leaves no problem for the arm {arm} (weight {arms[arm]}); raise it, "
                f"or set problems.arms.{arm}=0"
            )


def limits_are_positive(config: RunConfig) -> Iterator[Violation]:
    for bucket, count in config.problems.limit.items():
        if bucket not in BUCKETS:
            yield ("problems.limit",), (
                f"problems.limit contains {bucket[:80]!r}, the buckets are {', '.join(BUCKETS)}"
                f"{did_you_mean(bucket, BUCKETS)}"
            )
        if count < 1:
            yield ("problems.limit",), (
                f"problems.limit.{bucket}={count} leaves no problem; set it to 1 or more, or the weight of the arm to 0"
            )


def oracle_style_needs_the_builtin_domain(config: RunConfig) -> Iterator[Violation]:
    style, source = config.problems.oracle_style, config.problems.source
    if style != "model" and source != BUILTIN:
        yield ("problems.oracle_style", "problems.source"), (
            f"problems.oracle_style={style} applies to the solutions of {BUILTIN}, and "
            f"problems.source={source[:80]} has its own; set problems.oracle_style=model"
        )


def adaptive_sampling_rates_the_policy(config: RunConfig) -> Iterator[Violation]:
    if config.problems.sampling == "adaptive" and config.actors.oracle_member:
        yield ("problems.sampling", "actors.oracle_member"), (
            "problems.sampling=adaptive rates problems by the rollouts of the policy alone, and with "
            "actors.oracle_member=true a group without a success has a gradient, too; set problems.sampling=uniform"
        )


def buckets_do_not_overlap(config: RunConfig) -> Iterator[Violation]:
    key, buckets = ("mining.buckets",), config.mining.buckets
    if not buckets:
        yield key, f"mining.buckets is empty; name at least one of {', '.join(BUCKETS)}, such as hard: [0, 0]"
    above, below = -1.0, ""
    for name, interval in sorted(buckets.items(), key=lambda item: item[1]):
        if name not in BUCKETS:
            known = f"the buckets are {', '.join(BUCKETS)}{did_you_mean(name, BUCKETS)}"
            yield key, f"mining.buckets contains {name[:80]!r}, {known}"
        if len(interval) != 2 or not 0 <= interval[0] <= interval[1] <= 1:
            yield key, (
                f"mining.buckets.{name}={interval} is not an interval of solve rates; write [low, high] with "
                "0 <= low <= high <= 1"
            )
            return
        if interval[0] <= above:
            yield key, (
                f"mining.buckets.{name}={interval} overlaps {below}, and a solve rate must be in one bucket at most; "
                f"raise its lower end above {above:g}"
            )
        above, below = interval[1], name


RULES: tuple[Rule, ...] = (
    builtins_exist,
    buckets_do_not_overlap,
    problems_have_a_source,
    fields_are_known,
    levels_are_an_interval,
    reading_settings_fit_the_source,
    stories_can_be_drawn,
    arms_are_drawable,
    limits_are_positive,
    oracle_style_needs_the_builtin_domain,
    adaptive_sampling_rates_the_policy,
)
