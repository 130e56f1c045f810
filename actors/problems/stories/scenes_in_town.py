"""Families of stories about one amount that changes: a bakery, a bus, a library, a farm."""

from actors.problems.stories.changes import Ending, Groups, Scene

BAKERY = Scene(
    name="bakery",
    things=("muffins", "rolls", "cookies", "buns", "pies", "pretzels"),
    start=(
        "{Name} bakes {n} {things} in the morning.",
        "There are {n} {things} in {Name}'s bakery.",
        "{Name} opens a bakery with {n} {things}.",
    ),
    start_groups=(
        Groups(
            "{Name} bakes {k} trays of {things} with {n} on each tray.", "on the {k} trays are {k} * {n} = {p} {things}"
        ),
        Groups(
            "In {Name}'s bakery there are {k} baskets with {n} {things} in each.",
            "the baskets hold {k} * {n} = {p} {things}",
        ),
    ),
    gain=(
        "{he} bakes {n} more {things}",
        "a helper brings {n} more {things}",
        "{he} takes {n} more {things} out of the oven",
    ),
    lose=(
        "{he} sells {n} {things}",
        "{n} of the {things} fall on the floor and are thrown away",
        "a hungry dog eats {n} of the {things}",
        "{he} gives {n} {things} to a neighbor",
    ),
    gain_groups=(
        Groups("{he} bakes {k} more trays of {n} {things} each", "the new trays hold {k} * {n} = {p} {things}"),
    ),
    lose_groups=(
        Groups("{k} customers buy {n} {things} each", "the customers buy {k} * {n} = {p} {things}"),
        Groups("{he} sells {k} bags with {n} {things} in each", "the bags hold {k} * {n} = {p} {things}"),
    ),
    halve=("{he} sells half of the {things}",),
    asked=(
        "How many {things} are in the bakery now?",
        "How many {things} are there at the end?",
        "How many {things} does {Name} have now?",
    ),
    endings=(
        Ending(
            "sell",
            "{Name} sells all of the {things} that are there for {k} dollars each.",
            "How many dollars does {he} get for them?",
            "for these {he} gets {a} * {k} = {b} dollars",
        ),
        Ending(
            "share",
            "{Name} packs all of the {things} that are there into {k} boxes, the same number into each.",
            "How many {things} are in each box?",
            "each box gets {a} / {k} = {b} {things}",
        ),
    ),
    asides=(
        "The oven is {d} years old.",
        "A bag of flour costs {d} dollars.",
        "The bakery opened {d} years ago.",
        "{Name} used {d} cups of milk last week.",
    ),
    links=("", "then ", "later, ", "at noon, ", "after that, ", "in the afternoon, "),
)

BUS = Scene(
    name="bus",
    things=("passengers", "people"),
    start=(
        "A bus leaves the station with {n} {things}.",
        "There are {n} {things} on a bus.",
        "A bus starts its trip with {n} {things}.",
    ),
    start_groups=(
        Groups(
            "A bus has {k} rows of seats, and {n} {things} sit in every row.",
            "in the rows sit {k} * {n} = {p} {things}",
        ),
        Groups(
            "At the station {k} groups of {n} {things} each get on an empty bus.",
            "the groups are {k} * {n} = {p} {things}",
        ),
    ),
    gain=("{n} {things} get on", "{n} more {things} get on"),
    lose=("{n} {things} get off", "{n} of the {things} leave the bus"),
    gain_groups=(
        Groups("{k} groups of {n} {things} each get on", "the groups that get on are {k} * {n} = {p} {things}"),
    ),
    lose_groups=(
        Groups("{k} groups of {n} {things} each get off", "the groups that get off are {k} * {n} = {p} {things}"),
    ),
    halve=("half of the {things} get off",),
    asked=(
        "How many {things} are on the bus now?",
        "How many {things} are on the bus after that?",
        "Find the number of {things} on the bus now.",
    ),
    endings=(
        Ending(
            "share",
            "Then all of the {things} on the bus change to {k} small boats, the same number to each boat.",
            "How many {things} are in each boat?",
            "each boat carries {a} / {k} = {b} {things}",
        ),
    ),
    asides=(
        "The bus has {d} windows.",
        "The driver has worked there for {d} years.",
        "The trip takes {d} minutes.",
        "A ticket costs {d} dollars.",
    ),
    links=(
        "at the first stop ",
        "at the bridge ",
        "at the market ",
        "at the school ",
        "at the park ",
        "at the library ",
    ),
    starts=(6, 30),
)

LIBRARY = Scene(
    name="library",
    things=("books", "comics", "magazines"),
    start=(
        "A class library has {n} {things}.",
        "A school library begins with {n} {things}.",
        "A small library owns {n} {things}.",
    ),
    start_groups=(
        Groups("A library has {k} shelves with {n} {things} on each.", "on the shelves are {k} * {n} = {p} {things}"),
        Groups("{k} boxes with {n} {things} each arrive at a new library.", "the boxes hold {k} * {n} = {p} {things}"),
    ),
    gain=("the teacher brings {n} more {things}", "{n} {things} are returned", "the library gets {n} new {things}"),
    lose=("{n} {things} are lost", "a teacher borrows {n} {things}", "the library gives {n} old {things} away"),
    gain_groups=(Groups("{k} families bring {n} {things} each", "the families bring {k} * {n} = {p} {things}"),),
    lose_groups=(
        Groups("{k} children borrow {n} {things} each", "the children borrow {k} * {n} = {p} {things}"),
        Groups("{k} classes borrow {n} {things} each", "the classes borrow {k} * {n} = {p} {things}"),
    ),
    halve=("half of the {things} go to another school",),
    asked=("How many {things} are in the library now?", "How many {things} does the library have at the end?"),
    endings=(
        Ending(
            "share",
            "All of these {things} are put on {k} tables, the same number on each.",
            "How many {things} are on each table?",
            "each table gets {a} / {k} = {b} {things}",
        ),
        Ending(
            "missing",
            "The library would like to have {k} {things}.",
            "How many more {things} does it need?",
            "it needs {k} - {a} = {b} more {things}",
        ),
    ),
    asides=(
        "The library is open for {d} hours a week.",
        "The longest shelf is {d} feet long.",
        "There are {d} chairs in the room.",
    ),
    links=("", "on Monday, ", "then ", "on Tuesday, ", "after that, ", "a week later, "),
)

FARM = Scene(
    name="farm",
    things=("chickens", "ducks", "sheep", "goats", "rabbits"),
    start=(
        "{Name} has {n} {things} on a farm.",
        "There are {n} {things} on {Name}'s farm.",
        "A farm has {n} {things}, and {Name} looks after them.",
    ),
    start_groups=(
        Groups("{Name} has {k} barns with {n} {things} in each.", "in the barns are {k} * {n} = {p} {things}"),
        Groups(
            "On {Name}'s farm there are {k} fields, and {n} {things} live in each of them.",
            "in the fields live {k} * {n} = {p} {things}",
        ),
    ),
    gain=("{n} {things} are born", "{he} buys {n} {things}", "{he} gets {n} {things} from another farm"),
    lose=("{he} sells {n} {things}", "{n} of the {things} run away", "{he} gives {n} {things} to a cousin"),
    gain_groups=(
        Groups("a truck brings {k} cages with {n} {things} in each", "the cages hold {k} * {n} = {p} {things}"),
    ),
    lose_groups=(Groups("{k} neighbors buy {n} {things} each", "the neighbors buy {k} * {n} = {p} {things}"),),
    double=("the number of {things} doubles",),
    halve=("{he} sells half of the {things}",),
    asked=("How many {things} are on the farm now?", "How many {things} does {Name} look after now?"),
    endings=(
        Ending(
            "share",
            "{Name} puts all of the {things} into {k} pens, the same number into each.",
            "How many {things} are in each pen?",
            "each pen gets {a} / {k} = {b} {things}",
        ),
    ),
    asides=(
        "The farm is {d} miles from the town.",
        "The barn door is {d} years old.",
        "{Name} has a tractor with {d} lights.",
    ),
    links=("", "in spring, ", "then ", "in summer, ", "after that, ", "a month later, "),
)
