"""Families of stories about one amount that changes: what a person collects, picks and saves."""

from actors.problems.stories.changes import Ending, Groups, Scene

COLLECTION = Scene(
    name="collection",
    things=("marbles", "stickers", "shells", "stamps", "buttons", "beads", "picture cards", "coins", "pebbles"),
    start=(
        "{Name} has {n} {things}.",
        "There are {n} {things} in {Name}'s collection.",
        "{Name} owns {n} {things}.",
        "{Name} starts a collection with {n} {things}.",
    ),
    start_groups=(
        Groups(
            "{Name} buys {k} packs of {things} with {n} in each pack.", "the {k} packs hold {k} * {n} = {p} {things}"
        ),
        Groups(
            "{Name} has {k} jars, and there are {n} {things} in every jar.",
            "the {k} jars hold {k} * {n} = {p} {things}",
        ),
        Groups("{Name} keeps {things} in {k} bags of {n} each.", "the {k} bags hold {k} * {n} = {p} {things}"),
    ),
    gain=(
        "{he} finds {n} more {things}",
        "{he} gets {n} {things} as a present",
        "{he} wins {n} {things} in a game",
        "{he} buys {n} {things} at a market",
    ),
    lose=(
        "{he} loses {n} of the {things}",
        "{he} gives {n} {things} to a friend",
        "{he} sells {n} {things}",
        "{he} swaps {n} {things} for a book",
    ),
    gain_groups=(
        Groups("{he} buys {k} bags with {n} {things} in each", "the new bags hold {k} * {n} = {p} {things}"),
        Groups("{he} gets {n} {things} from each of {k} friends", "the friends bring {k} * {n} = {p} {things}"),
    ),
    lose_groups=(
        Groups("{he} gives {n} {things} to each of {k} cousins", "the cousins get {k} * {n} = {p} {things}"),
        Groups("{he} glues {n} {things} on each of {k} postcards", "the postcards take {k} * {n} = {p} {things}"),
    ),
    double=("on {his} birthday {he} gets as many {things} as {he} already has",),
    halve=("{he} gives half of {his} {things} to a school",),
    asked=(
        "How many {things} does {Name} have now?",
        "How many {things} does {Name} have at the end?",
        "Find the number of {things} that {Name} has now.",
    ),
    endings=(
        Ending(
            "share",
            "{Name} puts all of the {things} into {k} boxes, the same number into each.",
            "How many {things} are in each box?",
            "each box gets {a} / {k} = {b} {things}",
        ),
        Ending(
            "missing",
            "",
            "How many more {things} does {Name} need to have {k} {things}?",
            "to have {k}, {he} needs {k} - {a} = {b} more {things}",
        ),
    ),
    asides=(
        "{His} oldest book has {d} pages.",
        "The table in {his} room is {d} inches wide.",
        "{Name} lives at number {d} in a quiet street.",
        "{His} school has {d} classrooms.",
    ),
)

ORCHARD = Scene(
    name="orchard",
    things=("apples", "pears", "plums", "peaches", "oranges", "lemons", "cherries"),
    start=(
        "{Name} picks {n} {things}.",
        "{Name} has a basket with {n} {things}.",
        "There are {n} {things} in {Name}'s kitchen.",
    ),
    start_groups=(
        Groups("{Name} picks {n} {things} from each of {k} trees.", "from the {k} trees come {k} * {n} = {p} {things}"),
        Groups("{Name} fills {k} baskets with {n} {things} each.", "the baskets hold {k} * {n} = {p} {things}"),
    ),
    gain=("{he} picks {n} more {things}", "{he} buys {n} {things} in a shop", "{he} gets {n} {things} from a neighbor"),
    lose=(
        "{he} eats {n} of the {things}",
        "{he} throws {n} bad {things} away",
        "{he} uses {n} {things} for a cake",
        "{he} gives {n} {things} to a horse",
    ),
    gain_groups=(
        Groups("{he} picks {n} {things} from each of {k} small trees", "the small trees give {k} * {n} = {p} {things}"),
        Groups("{he} buys {k} bags of {n} {things} each", "the bags hold {k} * {n} = {p} {things}"),
    ),
    lose_groups=(
        Groups("{he} makes {k} jars of jam with {n} {things} in each", "the jam takes {k} * {n} = {p} {things}"),
        Groups("{he} gives {n} {things} to each of {k} children", "the children get {k} * {n} = {p} {things}"),
        Groups("for {k} days {he} eats {n} {things} a day", "in {k} days {he} eats {k} * {n} = {p} {things}"),
    ),
    halve=("{he} gives half of the {things} to a friend",),
    asked=(
        "How many {things} does {Name} have now?",
        "How many {things} are there at the end?",
        "How many {things} does {he} have in the end?",
    ),
    endings=(
        Ending(
            "share",
            "{Name} shares all of these {things} equally among {k} people.",
            "How many {things} does each of them get?",
            "each of them gets {a} / {k} = {b} {things}",
        ),
        Ending(
            "sell",
            "{Name} sells all of these {things} for {k} cents each.",
            "How many cents does {he} get for them?",
            "for these {he} gets {a} * {k} = {b} cents",
        ),
    ),
    asides=(
        "The tallest tree is {d} feet high.",
        "The garden is {d} years old.",
        "It rained for {d} minutes that day.",
    ),
)

SAVINGS = Scene(
    name="savings",
    things=("dollars",),
    start=("{Name} has {n} dollars.", "There are {n} dollars in {Name}'s money box.", "{Name} has saved {n} dollars."),
    start_groups=(
        Groups("{Name} saves {n} dollars a week for {k} weeks.", "in {k} weeks {he} saves {k} * {n} = {p} dollars"),
        Groups("{Name} works for {k} hours and gets {n} dollars an hour.", "the work brings {k} * {n} = {p} dollars"),
    ),
    gain=(
        "{he} earns {n} dollars for washing a car",
        "{he} gets {n} dollars from an uncle",
        "{he} finds {n} dollars in an old coat",
        "{he} sells a toy for {n} dollars",
    ),
    lose=(
        "{he} buys a book for {n} dollars",
        "{he} spends {n} dollars on lunch",
        "{he} pays {n} dollars for a ticket",
        "{he} gives {n} dollars to a friend",
    ),
    gain_groups=(
        Groups("{he} walks {k} dogs and gets {n} dollars for each dog", "the dogs bring {k} * {n} = {p} dollars"),
        Groups("{he} sells {k} drawings for {n} dollars each", "the drawings bring {k} * {n} = {p} dollars"),
    ),
    lose_groups=(
        Groups("{he} buys {k} pens for {n} dollars each", "the pens cost {k} * {n} = {p} dollars"),
        Groups("{he} buys {k} tickets for {n} dollars each", "the tickets cost {k} * {n} = {p} dollars"),
    ),
    double=("{his} grandmother doubles {his} money",),
    halve=("{he} spends half of {his} money",),
    asked=(
        "How many dollars does {Name} have now?",
        "How much money, in dollars, does {Name} have left in the end?",
        "How many dollars does {he} have at the end?",
    ),
    endings=(
        Ending(
            "missing",
            "{Name} wants to buy a game that costs {k} dollars.",
            "How many more dollars does {he} need?",
            "for the game {he} needs {k} - {a} = {b} more dollars",
        ),
    ),
    asides=("The money box is {d} centimeters high.", "{Name} has {d} classmates.", "{His} house has {d} windows."),
)
