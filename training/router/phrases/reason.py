"""More of what is reasoned out: orders of events, invented words, tables of things. And mathematics
that is told rather than typeset. See ``templates``."""

# ruff: noqa: E501

from __future__ import annotations

import random

from training.router.phrases.slots import drawn, some

_EVENTS = "|".join(
    """
the parade,the concert,dinner,the storm,the wedding,breakfast,the lecture,the repair,boarding,the exam,
the harvest,registration,the interview,the fire drill,step A,task X,event B,the launch,the first call,
chapter two,the inspection,sunrise,the delivery,the vote,the rehearsal,the meeting,painting,the train
""".replace("\n", "").split(",")
)
_MADE = (
    "glo",
    "bri",
    "tok",
    "fle",
    "zan",
    "mur",
    "pli",
    "dra",
    "wex",
    "quo",
    "sni",
    "vor",
    "jep",
    "lum",
)
_ENDS = ("ks", "ps", "ns", "rts", "nts", "ggs", "zles", "mbs", "lls", "sks")

LOGIC_TEMPLATES: tuple[str, ...] = (
    *(
        f"[{{lead}}][{_EVENTS}] [came|happened|took place|ended|started] [before|after] [{_EVENTS}], and [{_EVENTS}] [came|happened|took place] [before|after] [{_EVENTS}]. [Which came first?|Which happened last?|What was the order?|Put them in order.|Order the events from earliest to latest.|Which came in the middle?]".replace(
            "{lead}", "|Reason carefully: |Think step by step. |Puzzle: "
        )
        for _ in range(2)
    ),
    "<name> [arrived|left|finished|woke up|ate|called] before <name>[. | but after ]<name>[ did the same after <name>.|.] [Who was first?|Who was last?|Who was second?|Give the order.]",
    "<letter> is [older|taller|faster|heavier|richer] than <letter>[;|, and|.] <letter> is [older|taller|faster|heavier|richer] than <letter>. Who is [youngest|tallest|in the middle|the heaviest]?",
    "[Being invited|A valid ticket|Passing the test|Having a key|Oxygen|Rain] is [necessary|sufficient|necessary but not sufficient] for [entering|a certificate|the event|a fire|publication]. [<name> entered.|It did not happen.|<name> has it.] [What can we infer?|What follows?|Can we conclude that <name> qualifies?]",
    "A [door|machine|lamp|alarm|safe] [opens|works|turns on] only if [both switches are on|the code is right and the battery works|the key is turned or the guard agrees]. [The battery is dead|One switch is off|The key is lost]. [Does it open?|What happens?|Is it on?]",
    "[You have|There are] a <n> [liter|gallon] jug and a <n> [liter|gallon] jug [and unlimited water|]. How [can|do] you measure exactly <n> [liters|gallons]?",
    "[Four people|A farmer and his animals|Three missionaries and three cannibals] must cross a [bridge|river] [at night with one torch|in a small boat]. [How can they all get across?|What is the fastest way?]",
    "Here is a table where the first line is a header and each line after it is [an animal|a cow|a player|a plant|a book]:\\nname, age, height (cm), weight (kg)\\n<name>, <n>, <n>, <n>\\n<name>, <n>, <n>, <n>\\n<name>, <n>, <n>, <n>\\n[Which one is the oldest?|How many of them are taller than <n> cm?|What is the name of the last one sorted by alphabetic order?|We now add a line: <name>, <n>, <n>, <n>. Which is the heaviest?]",
    "[On the desk|On the floor|On the shelf|On the table|In the drawer], [there is|you see|I notice] [a bunch of things|several objects|a set of items arranged in a row]: a <colour> <object>, a <colour> <object>, a <colour> <object> and [two|three] <colour> <object>s. [What color is the <object>?|What is the color of the object directly to the right of the <object>?|How many objects are neither <colour> nor <colour>?|If I remove all the <colour> things, how many <object>s remain?|Is the <object> <colour>?]",
    "I have [a|two|three] <object>[s|], a <object>, a <animal>, [four|two] <food>s and a <object>. How many [animals|objects|things to eat|items that are not food] do I have?",
    "[Today is|Yesterday was|Tomorrow is] [<day>|the first day of <year>|Christmas Eve of <year>|<n>/<n>/<year>]. What [day is it|is the date|day of the week is it] [in <n> days|<n> days ago|a week from yesterday|in MM/DD/YYYY a month ago|tomorrow]?",
    "If you follow these instructions, do you return to the starting point? [Always face forward. |]Take <n> steps [left|forward|backward]. [Turn right. |Turn around. |]Take <n> steps [right|forward|backward]. [Turn left. |]Take <n> steps.\\nOptions:\\n- Yes\\n- No",
    "<name>, <name> and <name> are [playing on a team|trading books|swapping gifts]. At the start, <name> has the <colour> one, <name> has the <colour> one and <name> has the <colour> one. Then <name> and <name> swap. What does <name> have at the end?",
)
MATH_TEMPLATES: tuple[str, ...] = (
    "[What are the odds of|What is the probability of|What's the chance of|Find the probability of|Calculate the odds of] [drawing a [heart|king|red card|face card] from a [standard |]deck[ without jokers|]|rolling a sum of <n> with two dice|getting exactly <n> heads in <n> coin flips|two people sharing a birthday|a full house in poker|picking <n> red balls from a bag][?|.]",
    "[Perform|Run|Carry out|Compute] a [chi-squared test|two-sample t-test|linear regression|analysis of variance|hypothesis test] [for independence |]on [the table {{ {{<n>, <n>}}, {{<n>, <n>}} }}|the groups {{<n>, <n>, <n>}} and {{<n>, <n>, <n>}}|these data][.| at the 5% level.]",
    "What is the [R-squared|coefficient of determination|standard deviation|variance|confidence interval|p-value|correlation|expected value] [of the data <n>, <n>, <n> and <n>|for a sample of size <n> with mean <n>|of a binomial variable with n = <n> and p = 0.<n>|when predicting price from size]?",
    "[Calculate|Find|Determine|Compute] the [compound interest|future value|present value|annual growth rate|net present value|monthly payment] [of|on|for] [an investment of|a loan of|a deposit of] $<n>00 [at <n>% per year|with an interest rate of <n>%] [for|over] <n> years[.|, compounded monthly.|, compounded annually.]",
    "[True or false:|Is this statement True or False?|Prove or disprove:|Decide whether it is true:] [every finite group of prime order is cyclic|a continuous function on a closed interval is bounded|there is a simple planar graph with <n> vertices and <n> edges|the rank of a matrix equals that of its transpose|every subgroup of an abelian group is normal|a bounded sequence converges|the sum of two irrational numbers is irrational|each field is an integral domain|a compact subset of a metric space is closed].",
    "[Let|Suppose|Given that] [G is a finite group|V is a vector space|X is a compact space|f is holomorphic on the unit disk|R is a commutative ring|H is a set of permutations|A is a symmetric matrix]. [Which of the following must hold?|How many subgroups can it have?|Show that it has an eigenvalue.|What is the order of its center?|Is it isomorphic to a subgroup of the symmetric group?]",
    "[How many|In how many ways can] [distinct strings of length <n>|ways are there to seat <n> people at a round table|<n> books be arranged on a shelf|committees of <n> be chosen from <n> people|edges does a complete graph on <n> vertices have|spanning trees does the graph have] [have no two equal neighbours|]?",
    "[Find|Calculate|What is] the [area|perimeter|volume|surface area|circumference|diagonal|hypotenuse] of a [triangle|circle|rectangle|cylinder|sphere|trapezoid|cone] with [a base of <n> and a height of <n>|a radius of <n> units|sides <n> and <n>|a diameter of <n> cm][.|?]",
)


def _invented(chance: random.Random) -> str:
    """Syllogisms on words that mean nothing: only the form counts."""
    one, two, three, four = (
        start + chance.choice("aeiou") + chance.choice(_ENDS) for start in chance.sample(_MADE, 4)
    )
    if chance.random() < 0.3:
        one, two, three, four = (word.capitalize() for word in (one, two, three, four))
    premises = [
        f"{chance.choice(('All', 'Some', 'No', 'Most'))} {one} are {two}",
        f"{chance.choice(('all', 'some', 'no'))} {two} are {three}",
    ]
    if chance.random() < 0.3:
        premises.append(f"{chance.choice(('all', 'some', 'no'))} {three} are {four}")
    link = chance.choice((" and ", ". ", ", and ", "; "))
    if link == ". ":
        premises = [part[0].upper() + part[1:] for part in premises]
    last = three if len(premises) == 2 else four
    said = link.join(premises)
    if chance.random() < 0.5:
        said = "If " + said[0].lower() + said[1:]
    end = ". " if not said.startswith("If ") else ", "
    ask = chance.choice(
        (
            f"are all {one} {last}?",
            f"are some {one} definitely {last}?",
            f"does it follow that some {one} are {last}?",
            f"can a {one[:-1]} be a {last[:-1]}?",
            "what follows?",
            "what must be true?",
            "which statement must be true?",
            f"can we conclude that no {last} are {one}? Explain your reasoning.",
            f"what can we conclude about {one} and {last}?",
        )
    )
    ask = ask if end == ", " else ask[0].upper() + ask[1:]
    lead = chance.choice(
        ("", "", "", "Logic question: ", "Reason step by step: ", "Is this valid? ")
    )
    return lead + said + end + ask


def _states(chance: random.Random) -> str:
    """A little world, what is where in it, and what can be done."""
    things, places = some("object", 3, chance), some("container", 3, chance)
    mover = chance.choice(("robot", "truck", "crane", "ferry", "elevator", "rover"))
    told = ". ".join(
        f"{thing.capitalize()} {chance.choice('abcxyz')} is {chance.choice(('at', 'in', 'on'))} the {place}"
        for thing, place in zip(things, places, strict=True)
    )
    return (
        f"A {mover} can carry one {things[0]} at a time between {drawn('w', chance)} places. {told}. "
        + f"The {mover} is empty. "
        + chance.choice(
            (
                f"Which of the following actions can be done next? A. pick up the {things[1]} B. drop the {things[0]} C. move to the {places[2]}",
                f"Is it possible to reach a state where the {things[0]} is in the {places[1]}?",
                "What is the shortest plan that brings everything to the same place?",
                f"Is the action 'load the {things[2]}' applicable now?",
                f"Which facts hold after the {mover} moves to the {places[0]}?",
            )
        )
    )


LOGIC_GENERATORS = (_invented, _invented, _states)
