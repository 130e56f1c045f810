"""`problems.source=builtin:stories`: draws stories of every family in equal numbers.

They are a pure function of the settings and the seed. `builtin:stories-unseen` draws other stories: none has the
calculations of a story of builtin:stories under other names. Ids are readable: story4-s0-0003 has 4 steps and seed 0;
unseen4-s0-0003 is an unseen one.
"""

import itertools
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

from actors.problems.stories.changes import change_story
from actors.problems.stories.people import NAME as PEOPLE
from actors.problems.stories.people import people_story
from actors.problems.stories.scenes_at_home import COLLECTION, ORCHARD, SAVINGS
from actors.problems.stories.scenes_in_town import BAKERY, BUS, FARM, LIBRARY
from actors.problems.stories.shopping import NAME as SHOPPING
from actors.problems.stories.shopping import shopping_story
from actors.problems.stories.story import LARGEST, Story, Unsuitable
from broker.errors import UsageError
from broker.records import Bucket, Problem
from conf.schema import ProblemSettings

SOURCE, UNSEEN = "builtin:stories", "builtin:stories-unseen"
EASY_STEPS, EASIER_STEPS = (2, 2), (1, 1)
MAX_TRIES = 10_000
"""Draws without a new story after which there are held to be no more."""

_SCENES = (COLLECTION, BAKERY, ORCHARD, BUS, SAVINGS, LIBRARY, FARM)
FAMILIES: dict[str, Callable[[int, random.Random], Story]] = {
    **{scene.name: partial(change_story, scene) for scene in _SCENES},
    PEOPLE: people_story,
    SHOPPING: shopping_story,
}
"""Family -> what draws a story with a number of steps. Drawing raises Unsuitable when the numbers do not fit."""


def training_problems(settings: ProblemSettings, seed: int) -> list[Problem]:
    """The stories of the settings: the hard ones, and those of the easy buckets with an arm of positive weight."""
    low, high = settings.story_steps
    wanted: list[tuple[Bucket, int, tuple[int, int]]] = [("hard", settings.num_hard, (low, high))]
    if settings.arms.get("easy", 0):
        wanted.append(("easy", settings.num_easy, EASY_STEPS))
    if settings.arms.get("easier", 0):
        wanted.append(("easier", settings.num_easier, EASIER_STEPS))
    unseen = settings.source == UNSEEN
    return [
        problem
        for bucket, count, steps in wanted
        for problem in _records(
            draw_stories(settings.story_families, steps, count, seed, unseen=unseen, largest=settings.story_largest),
            seed, bucket, unseen,
        )
    ]


def held_out_problems(settings: ProblemSettings, seed: int, count: int) -> list[Problem]:
    """`count` unseen hard stories."""
    low, high = settings.story_steps
    stories = draw_stories(
        settings.story_families, (low, high), count, seed, unseen=True, largest=settings.story_largest
    )
    return _records(stories, seed, "hard", True)


def draw_stories(
    families: Sequence[str], steps: tuple[int, int], count: int, seed: int, *, unseen: bool, largest: int = LARGEST
) -> list[Story]:
    """`count` stories that all differ in what is calculated, over families and numbers of steps in turn.

    `families`: empty is all. `largest`: of the numbers that are calculated with. Raises UsageError when there are not
    enough.
    """
    rng = random.Random(f"stories/{steps}/{unseen}/{seed}")

    def suits(story: Story) -> bool:
        return story.is_unseen == unseen and story.key not in stories and story.largest <= largest

    turns = itertools.cycle(itertools.product(range(steps[0], steps[1] + 1), families or FAMILIES))
    stories: dict[str, Story] = {}
    while len(stories) < count:
        num_steps, family = next(turns)
        story = _new_story(family, num_steps, suits, rng)
        if story is None:
            raise UsageError(
                f"problems.source={SOURCE}: after {len(stories)} stories there is no further one of the family "
                f"{family} with {num_steps} steps and numbers up to {largest}; lower problems.num_hard, num_easy or "
                "num_easier, or raise problems.story_largest or problems.story_steps"
            )
        stories[story.key] = story
    return list(stories.values())


def _new_story(family: str, num_steps: int, suits: Callable[[Story], bool], rng: random.Random) -> Story | None:
    for _ in range(MAX_TRIES):
        with suppress(Unsuitable):
            story = FAMILIES[family](num_steps, rng)
            if suits(story):
                return story
    return None


def _records(stories: Sequence[Story], seed: int, bucket: Bucket, unseen: bool) -> list[Problem]:
    stem = "unseen" if unseen else "story"
    return [
        Problem(
            id=f"{stem}{len(story.steps)}-s{seed}-{index:04d}", statement=story.statement, answer=str(story.answer),
            solution=story.solution, bucket=bucket, source=UNSEEN if unseen else SOURCE,
        )
        for index, story in enumerate(stories)
    ]
