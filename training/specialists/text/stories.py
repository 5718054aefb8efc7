"""Word problems: sentence frames, the plan that solves each, and the numbers put into them."""

from __future__ import annotations

from random import Random

Steps = list[tuple[str, int]]

PEOPLE = (
    ("Tom", "he"), ("Anna", "she"), ("Sam", "he"), ("Maria", "she"), ("Ben", "he"),
    ("Lucy", "she"), ("Omar", "he"), ("Priya", "she"), ("Leo", "he"), ("Nina", "she"),
    ("Jack", "he"), ("Emma", "she"), ("David", "he"), ("Sara", "she"), ("Peter", "he"),
    ("Mia", "she"), ("Alex", "he"), ("Kate", "she"), ("John", "he"), ("Lily", "she"),
    ("Carlos", "he"), ("Mei", "she"), ("Paul", "he"), ("Zoe", "she"), ("Alice", "she"),
    ("Bob", "he"), ("Mary", "she"), ("James", "he"), ("Sophie", "she"), ("Max", "he"),
)  # fmt: skip
THINGS = (
    "apple", "pen", "book", "marble", "coin", "sticker", "card", "cookie", "orange", "pencil",
    "egg", "ball", "stamp", "shell", "toy", "cake", "banana", "flower", "balloon", "sweet",
    "nut", "bead", "button", "photo", "ticket", "bottle", "plum", "lemon", "rock", "key",
    "crayon", "pear", "candle", "cup", "plate", "hat", "doll", "car", "bolt", "seed",
)  # fmt: skip
CONTAINERS = (
    ("box", "boxes"), ("bag", "bags"), ("basket", "baskets"), ("jar", "jars"), ("pack", "packs"),
    ("crate", "crates"), ("packet", "packets"), ("case", "cases"), ("carton", "cartons"),
)  # fmt: skip
SHELVES = (
    ("shelf", "shelves"), ("row", "rows"), ("table", "tables"), ("tray", "trays"),
    ("page", "pages"), ("drawer", "drawers"),
)  # fmt: skip
MONEY = ("dollars", "euros", "coins", "pounds")
PLACES = ("shop", "school", "library", "farm", "market", "garden", "museum", "park", "office")

# Each frame: the plan, worked from left to right, then the wordings that ask for it.
# `c -from` takes the running value away from c.
FRAMES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("a + b", (
        "{N} has {a} {things} and buys {b} more. How many {things} does {he} have now?",
        "{N} has {a} {things}. {He} gets {b} more. How many {things} does {he} have?",
        "{N} had {a} {things} and found {b} more. How many {things} does {he} have in total?",
        "{N} has {a} {things} and {M} has {b} {things}. How many do they have together?",
        "There are {a} {things} in one {box} and {b} in another. How many are there in all?",
        "A {place} had {a} visitors on Monday and {b} on Tuesday. How many visitors came in total?",
        "{N} has {a} {things}. {M} gives {him} {b} more. How many {things} does {N} have now?",
        "{N} spends {a} {money} on food and {b} {money} on books. How much does {he} spend?",
        "{N} reads {a} pages on Monday and {b} pages on Tuesday. How many pages does {he} read?",
        "{N} walks for {a} minutes and then runs for {b} minutes. How many minutes is that?",
        "{N} is {a} years old. How old will {he} be in {b} years?",
        "A {box} holds {a} {things}. {b} {things} are added. How many {things} are in it now?",
    )),
    ("a - b", (
        "{N} has {a} {things} and gives away {b}. How many {things} are left?",
        "{N} has {a} {things} and gives {b} to {M}. How many {things} does {N} have left?",
        "{N} had {a} {things} and lost {b} of them. How many {things} does {he} have now?",
        "There are {a} {things} in a {box}. {N} takes out {b}. How many are left?",
        "{N} has {a} {money} and spends {b}. How much money does {he} have left?",
        "A book has {a} pages. {N} has read {b} of them. How many pages are left?",
        "A {place} has {a} {things} and sells {b}. How many {things} remain?",
        "{N} bakes {a} cakes and sells {b} of them. How many cakes are left?",
        "A bus has {a} people on it. {b} get off. How many people are still on the bus?",
        "{N} has {a} {things} and {M} has {b}. How many more {things} does {N} have than {M}?",
        "{N} needs {a} {money} and has {b}. How much more does {he} need?",
        "A film lasts {a} minutes. {N} has watched {b} minutes. How many minutes are left?",
        "{N} had {a} {things} and ate {b}. How many {things} does {he} have left?",
    )),
    ("a * b", (
        "A {box} holds {a} {things}. How many {things} are in {b} {boxes}?",
        "Each {box} has {a} {things}. How many {things} are there in {b} {boxes}?",
        "One {thing} costs {a} {money}. How much do {b} {things} cost?",
        "A {thing} costs {a} {money}. {N} buys {b} of them. How much does {he} pay?",
        "{N} reads {a} pages a day. How many pages does {he} read in {b} days?",
        "{N} earns {a} {money} an hour. How much does {he} earn in {b} hours?",
        "A train travels {a} km each hour. How far does it go in {b} hours?",
        "{N} saves {a} {money} each week. How much does {he} save in {b} weeks?",
        "There are {a} {things} on each {shelf}. How many {things} are on {b} {shelves}?",
        "{N} has {a} {things}. {M} has {b} times as many. How many {things} does {M} have?",
    )),
    ("b * a", (
        "There are {b} {boxes} with {a} {things} in each. How many {things} are there?",
        "{N} has {b} {boxes} of {a} {things}. How many {things} does {he} have?",
        "{N} buys {b} {things} at {a} {money} each. How much does {he} pay?",
        "There are {b} {shelves} with {a} {things} on each. How many {things} are there in all?",
        "{N} runs {b} laps of {a} metres. How many metres does {he} run?",
    )),
    ("a / b", (
        "{N} shares {a} {things} equally among {b} friends. How many does each friend get?",
        "{a} {things} are packed into {b} {boxes} equally. How many {things} are in each {box}?",
        "{N} has {a} {things} and puts {b} in each {box}. How many {boxes} does {he} need?",
        "{b} {things} cost {a} {money}. How much does one {thing} cost?",
        "{N} reads {a} pages in {b} days, the same each day. How many pages is that a day?",
        "{a} children form {b} equal teams. How many children are in each team?",
        "A rope of {a} metres is cut into {b} equal pieces. How long is each piece?",
        "{N} earns {a} {money} in {b} hours. How much does {he} earn an hour?",
    )),
    ("a + b - c", (
        "{N} has {a} {things}, buys {b} more and gives away {c}. How many are left?",
        "{N} has {a} {things}. {He} finds {b} more and then loses {c}. How many does {he} have?",
        "A bus has {a} people. {b} get on and {c} get off. How many people are on the bus?",
        "{N} has {a} {money}, earns {b} and spends {c}. How much does {he} have now?",
    )),
    ("a - b + c", (
        "{N} has {a} {things}, gives away {b} and then buys {c} more. How many does {he} have now?",
        "A {place} has {a} {things}, sells {b} and gets {c} more. How many does it have now?",
        "{N} has {a} {money}, spends {b} and then earns {c}. How much does {he} have?",
    )),
    ("a - b - c", (
        "{N} has {a} {things}. {He} gives {b} to {M} and eats {c}. How many are left?",
        "{N} has {a} {money}. {He} spends {b} on food and {c} on a book. How much is left?",
    )),
    ("a + b + c", (
        "{N} has {a} {things}, {M} has {b} and {K} has {c}. How many do they have together?",
        "{N} scores {a}, {b} and {c} points in three games. How many points is that in total?",
    )),
    ("a * b + c", (
        "{N} has {b} {boxes} of {a} {things} and {c} loose {things}. How many is that in all?",
        "{N} buys {b} {things} at {a} {money} each and a bag for {c} {money}. What does {he} pay?",
        "A {box} holds {a} {things}. {N} has {b} full {boxes} and {c} more {things}. "
        "How many {things} does {he} have?",
    )),
    ("a * b - c", (
        "{N} buys {b} {boxes} of {a} {things} and gives away {c} {things}. How many are left?",
        "{N} earns {a} {money} a day for {b} days and then spends {c}. How much is left?",
        "There are {b} {shelves} with {a} {things} each. {c} {things} are taken. How many remain?",
    )),
    ("a * b -from c", (
        "{N} has {c} {money} and buys {b} {things} at {a} {money} each. How much is left?",
        "{N} has {c} {things} and fills {b} {boxes} with {a} each. How many {things} are left?",
    )),
    ("a / b + c", (
        "{N} shares {a} {things} equally among {b} friends. {M}, one of them, already had {c}. "
        "How many {things} does {M} have now?",
    )),
    ("a + b / c", (
        "{N} has {a} {things} and {M} has {b}. They share them all equally among {c} friends. "
        "How many does each friend get?",
    )),
    ("a + b * c", (
        "{N} earns {a} {money} in the morning and {b} in the afternoon, every day. "
        "How much does {he} earn in {c} days?",
    )),
    ("a * b / c", (
        "{N} has {b} {boxes} of {a} {things} and shares them equally among {c} friends. "
        "How many {things} does each friend get?",
    )),
    ("a - b / c", (
        "{N} has {a} {things}, keeps {b} and shares the rest equally among {c} friends. "
        "How many does each friend get?",
    )),
    ("a * b + c - d", (
        "{N} has {b} {boxes} of {a} {things}, buys {c} more {things} and gives away {d}. "
        "How many {things} does {he} have?",
    )),
    ("a + b - c / d", (
        "{N} has {a} {things}, gets {b} more, gives away {c} and shares the rest equally among "
        "{d} friends. How many does each friend get?",
    )),
)  # fmt: skip


def story(rng: Random) -> tuple[str, int, Steps]:
    """A question, the number its plan starts from, and the steps of the plan."""
    plan, wordings = rng.choices(FRAMES, weights=[2 + len(wordings) for _, wordings in FRAMES])[0]
    words = plan.split()
    signs, letters = words[1::2], words[0::2]
    while True:
        values = _draw(rng, signs, letters)
        steps = [(sign, values[letter]) for sign, letter in zip(signs, letters[1:], strict=True)]
        if _sound(values[letters[0]], steps):
            question = _fill(rng, rng.choice(wordings), values)
            return question, values[letters[0]], steps


def _draw(rng: Random, signs: list[str], letters: list[str]) -> dict[str, int]:
    """Numbers for each letter; factors and divisors have one digit."""
    top = rng.choice((20, 60, 99, 99, 400, 999))
    values = {letter: rng.randint(2, top) for letter in letters}
    for sign, letter in zip(signs, letters[1:], strict=True):
        if sign in "*/" and letter != "a":
            values[letter] = rng.randint(2, 9)
    if letters[0] == "b":
        values["b"] = rng.randint(2, 9)
    if signs[0] in ("*", "-from"):
        values["a"] = rng.randint(2, rng.choice((12, 30, 99)))
    if signs[0] == "/":
        values["a"] = values["b"] * rng.randint(2, rng.choice((12, 30, 99)))
    return values


def _sound(value: int, steps: Steps) -> bool:
    """Whether every intermediate result is whole, positive and has at most four digits."""
    for sign, other in steps:
        if sign in "*/" and (value > 999 or (sign == "/" and value % other)):
            return False
        value = apply(value, sign, other)
        if not 0 < value <= 9999:
            return False
    return True


def apply(value: int, sign: str, other: int) -> int:
    """One step of a plan in plain integers."""
    match sign:
        case "+":
            return value + other
        case "-":
            return value - other
        case "*":
            return value * other
        case "/":
            return value // other
        case "-from":
            return other - value
    raise ValueError(f"no such step: {sign}")


def _fill(rng: Random, wording: str, values: dict[str, int]) -> str:
    (name, he), (second, _), (third, _) = rng.sample(PEOPLE, 3)
    thing = rng.choice(THINGS)
    box, boxes = rng.choice(CONTAINERS)
    shelf, shelves = rng.choice(SHELVES)
    return wording.format(
        **values, N=name, M=second, K=third, he=he, He=he.capitalize(),
        him="him" if he == "he" else "her", thing=thing, things=thing + "s", box=box, boxes=boxes,
        shelf=shelf, shelves=shelves, money=rng.choice(MONEY), place=rng.choice(PLACES),
    )  # fmt: skip
