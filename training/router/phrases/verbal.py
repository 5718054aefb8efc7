"""Reasoning on words and claims: analogies, the odd one out, arguments of civil service examinations,
arrangements from clues, the calendar. See ``templates``."""

# ruff: noqa: E501, SIM905

from __future__ import annotations

import random
import re

from training.router.phrases.slots import drawn, some

_PAIRS = tuple(
    tuple(pair.split(":"))
    for pair in """\
pen:write key:unlock broom:sweep needle:sew oven:bake brush:paint shovel:dig
wolf:den horse:stable dog:kennel spider:web rabbit:burrow lion:pride fish:school
baker:bread tailor:suit poet:verse chef:meal architect:building carpenter:table composer:symphony
hot:cold brave:cowardly ancient:modern generous:stingy expand:shrink rise:fall victory:defeat
page:chapter petal:flower wheel:bicycle leaf:tree key:piano finger:fist brick:wall
shoe:foot ring:finger scarf:neck hat:head belt:waist helmet:skull
puppy:dog calf:cow kitten:cat lamb:sheep acorn:oak caterpillar:butterfly
thermometer:temperature clock:time scale:weight ruler:length compass:direction
happy:joyful big:huge warm:scorching like:adore breeze:gale drizzle:downpour
doctor:hospital teacher:school judge:court pilot:cockpit sailor:ship farmer:field
museum:paintings bakery:cakes aquarium:fish vineyard:grapes garage:cars wardrobe:clothes
""".split()
)
_SETS = tuple(
    tuple(line.split(","))
    for line in """\
apple,pear,plum,grape,mango,peach
carrot,onion,cabbage,spinach,radish,leek
wrench,pliers,chisel,screwdriver,drill,mallet
piano,violin,trumpet,flute,cello,clarinet
rose,tulip,daisy,orchid,violet,lily
eagle,sparrow,owl,heron,robin,finch
cod,tuna,herring,perch,pike,carp
run,jog,sprint,dash,race,gallop
giggle,chuckle,laugh,cackle,snicker,chortle
copper,iron,silver,zinc,tin,nickel
Monday,Tuesday,Friday,Sunday,Saturday,Thursday
circle,oval,hexagon,rhombus,sphere,trapezoid
nurse,surgeon,dentist,pharmacist,midwife,paramedic
cotton,wool,silk,linen,nylon,velvet
3,5,7,11,13,17
4,8,16,24,36,64
car,bus,tram,truck,van,taxi
coat,jacket,sweater,vest,cardigan,blazer
""".splitlines()
)


def _analogy(chance: random.Random) -> str:
    if chance.random() < 0.3:  # of letters
        size = chance.randint(2, 4)
        step = chance.randint(-3, 4) or 1
        one, two = (
            "".join(chance.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(size)) for _ in "ab"
        )
        if chance.random() < 0.4:
            coded = one[::-1]
        else:
            coded = "".join(chr((ord(c) - 65 + step) % 26 + 65) for c in one)
        if chance.random() < 0.2:
            one, coded, two = one[0], coded[0], two[0]
        pair, third = (one, coded), two
    else:
        first, other = chance.sample(_PAIRS, 2)
        pair, third = (first[0], first[1]), other[0]
    end = chance.choice(("", "?", " ...", "…", " …", " ___", ":", " what?", " which word?", " ?"))
    form = chance.choice(
        (
            "{0} is to {1} as {2} is to{e}",
            "{0} is to {1} as {2} is to{e}",
            "{0} is to {1} as {2} is to{e}",
            "{0} : {1} :: {2} :{e}",
            "{0}:{1} = {2}:{e}",
            "{0} to {1} is like {2} to{e}",
            "if {0} is to {1}, then {2} is to{e}",
        )
    )
    text = form.format(*pair, third, e=end)
    text = text[0].upper() + text[1:]
    lead = chance.choice(
        (
            "",
            "",
            "",
            "",
            "Solve the analogy. ",
            "Analogy: ",
            "Fill in the blank. ",
            "Finish the comparison: ",
        )
    )
    return lead + text


def _odd(chance: random.Random) -> str:
    one, two = chance.sample(_SETS, 2)
    words = [*chance.sample(one, chance.randint(3, 4)), chance.choice(two)]
    chance.shuffle(words)
    if chance.random() < 0.6:
        words = [word.capitalize() for word in words]
    listed = ", ".join(words)
    form = chance.choice(
        (
            "Which [word|one|item|of these|shape|number] does not belong? {0}",
            "Which [word |one |]doesn't belong: {0}?",
            "Find the odd one out: {0}",
            "[Odd one out|Which is the odd one out]: {0}?",
            "Which [word|one] is different from the others: {0}",
            "Three of these are alike. Which is not? {0}",
            "{0}. Which one does not fit, and why?",
            "Pick the word that does not belong with the others. {0}",
            "What is the odd one out among {0}?",
        )
    )
    form = re.sub(r"\[([^\]]*)\]", lambda found: chance.choice(found[1].split("|")), form)
    return form.format(listed)


_SUBJECTS = """
the city's new bus line,a fitness plan,online schooling,a tax on sugar,the harvest of a province,
electric cars,a survey of graduates,a ban on plastic bags,the sales of a paper,remote work,
a new fertilizer,the sleep of office workers,the price of houses,a museum's visitors,young drivers,
cooking classes,the number of foreign students,a vaccine trial,old trees in the park,the local dialect
""".replace("\n", "").split(",")
_SAYS = """\
Some people think that {0} harms {1}.
A recent report found that {0} has grown faster than {1}.
Experts therefore believe that {0} is the main reason for the decline of {1}.
Compared with ten years ago, {0} is far more common.
However, those who support {0} also spend more on {1}.
Since {0} became popular, complaints about {1} have fallen by a third.
Only when {0} is improved can {1} be protected.
In a trial, the group with {0} did better than the group without.
So anyone who cares for {1} must also accept {0}.
Although {0} is expensive, it does not affect {1}.
It follows that {0} cannot be the cause of {1}.
""".splitlines()
_TASKS = """\
Which of the following, if true, can best weaken the above argument?
Which of the following can most strengthen the conclusion?
Which of the following is an assumption of the above?
Which of the following must be assumed to reach the conclusion?
Which of the following can be derived from the above?
From this we can infer which of the following?
Which of the following best refutes the experts' view?
Based on the above statements, which of the following must be false?
Which of the following, if correct, would best explain the contradiction?
The above statement is based on which of the following premises?
Which of the following is the most similar to the reasoning above?
Which of the following questions the opinion of the article?
""".splitlines()


def _argument(chance: random.Random) -> str:
    """A passage with a claim, a task on its reasoning, choices."""

    def line() -> str:
        text = chance.choice(_SAYS).format(*chance.sample(_SUBJECTS, 2))
        return text[0].upper() + text[1:]

    told = chance.choice((" ", "")).join(line() for _ in range(chance.randint(2, 4)))
    text = f"{told}{chance.choice((' ', chr(10)))}{chance.choice(_TASKS)}"
    if chance.random() < 0.75:
        mark = chance.choice(("{}.", "{}. ", "({}) ", "{}) "))
        between = chance.choice(("\n", "\n", " "))
        text += "".join(between + mark.format(letter) + line() for letter in "ABCD")
    return text


_CLUES = """\
{a} is next to {b}
{a} is east of {b} and west of {c}
{a} did not go on {day}
{a} comes before {b}
either {a} or {c} is the winner
{a} is neither {x} nor {y}
at least one of {a} and {b} is {x}
if {a} is {x}, then {b} is {y}
{c} sits opposite {a}
the {x} one is to the left of {b}
{b} and {c} do not work together
only one of the statements is true
""".splitlines()


def _arranged(chance: random.Random) -> str:
    """Who or what goes where, from clues."""
    count = chance.choice(("three", "four", "five", "six", "seven"))
    what = chance.choice(
        (
            "stations along a railway",
            "colleagues in an office",
            "teams in a tournament",
            "students at a round table",
            "shops on a street",
            "areas of a new district",
            "guests in a row of seats",
            "candidates for a post",
            "patients with appointments",
            "books on a shelf",
            "runners in a race",
        )
    )

    def clue() -> str:
        a, b, c = some("name", 3, chance)
        x, y = some("colour", 2, chance)
        text = chance.choice(_CLUES).format(a=a, b=b, c=c, x=x, y=y, day=drawn("day", chance))
        return text[0].upper() + text[1:]

    numbered = chance.random() < 0.5
    clues = [
        (f"({n}) " if numbered else "") + clue() + chance.choice((".", ";"))
        for n in range(1, chance.randint(3, 6))
    ]
    ask = chance.choice(
        (
            "Which of the following can be derived?",
            "Based on the above statements, which of the following must be true?",
            "So who is first?",
            "Which of the following is a possible order?",
            "If only one statement is true, which of the following is correct?",
            "Who sits in the middle?",
            "In what order are they?",
            "How long does the fastest schedule take, and in what order?",
        )
    )
    known = chance.choice(("It is known that: ", "", "The following is known. ", "We know that "))
    text = f"There are {count} {what}. {known}{' '.join(clues)} {ask}"
    if chance.random() < 0.5:
        text += "".join(f"\n{letter}.{clue()}" for letter in "ABCD")
    return text


LOGIC_GENERATORS = (_analogy, _analogy, _odd, _argument, _argument, _arranged)
LOGIC_TEMPLATES: tuple[str, ...] = (
    "[If|Suppose|Given that] [today|yesterday|tomorrow|the 1st] is <day>, what day [is it|will it be|was it|of the week is] [<k> days later|in <n> days|<n> days ago|after <m> days][?|]",
    "[What is|What was|Give] the date [<n> days ago|one week from today|tomorrow|a month ago|yesterday] [in MM/DD/YYYY|][?|]  [Today is <month> <n>, <year>.|It was their anniversary today, <month> <n>, <year>.|The meeting of <month> <n> was moved by two days.]",
    "[You have|You must do|I have to finish|There are] [three|four] [jobs|dishes|loads|errands] that take <n>, <n> and <n> minutes [and|but only] [two|one] [machines|burners|helpers|ovens]. [How soon can all be done?|In what order should they be done?|How do I schedule them?]",
    "What [comes next|letter comes next|is the next term|is missing] [in the series|in the sequence|in this pattern|]: [A, C, F, J|Z, X, V, T|B2, D4, F6|AZ, BY, CX|<n>, <n>, <n>, <n>|J, F, M, A|2, 6, 12, 20], [?|...|___]",
)
