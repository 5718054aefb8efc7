"""Plain calculations and conversions of units, as they are typed and spoken. See
``templates``."""

# ruff: noqa: E501

from __future__ import annotations

import random

from training.router.phrases.slots import drawn, some


def _templates(text: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in text.splitlines() if line.strip())


CALCULATOR = _templates(r"""
[what is|what's|whats|calculate|compute|tell me|work out|] <num> [plus|+|added to|and] <num>[?|]
[what is|what's|how much is|what does|calculate|] <num> [minus|-|take away|less] <num>[?|]
[what is|what's|how much is|calculate|] <num> [times|x|*|×|multiplied by] <num>[?|]
[what is|what's|how much is|give me|] <num> [divided by|over|/|÷] <num>[?|]
[hey|ok|please|alexa,|hey google|siri,|] [calculate|compute|add|what is] <num> [plus|+] <num> [please|for me|]
add <num> and <num> [together|]
add <num> to <num>
[can|could] you [add|multiply|sum] <num> [and|by|plus] <num> [for me|please|]?
subtract <num> from <num>
[multiply|times] <num> [by|and|with] <num>
divide <num> by <num>
[what is|what's|calculate|find|how much is|] <pct>[%| percent| per cent] of [$|]<num>[?|]
what's <pct> percent off [of |]<dollars>?
how much is a <pct>[% | percent ]tip on <dollars>[?|]
[calculate|figure out|what's|what would be] the tip on a <dollars> [bill|check|dinner] at <pct> percent
[what|which] percent[age|] of <num> is <num>[?|]
<num> is what percent of <num>
what is the [square root|cube root] of <num>[?|]
[sqrt|square root of|cube root of|root of] <num>
sqrt(<k>)
[what is|what's|] <num> [squared|cubed|to the power of <n>|raised to the <n>th power]
<n> to the power of <n>
[what is|calculate|] <n> factorial
<n>!
what is [the |][sum|product|difference|quotient|average] of <num> and <num>[?|]
what's the average of <num>, <num> and <num>
what is [half|a third|a quarter|one fifth|double|twice|triple] [of |]<num>[?|]
what do you get [if|when] you [multiply|add|divide|subtract] <num> [and|by|from] <num>
[do the math on|do|solve|evaluate|compute|calculate] <num> <op> <num>
<m> <op> <m>
<k><op><m>=
<k> <op> <m> = ?
<dec> <op> <dec>
<m> <op> <m> <op> <n>
(<m> <op> <n>) <op> <n>
<n> * (<m> - <n>) / <n>
what is (<m> <op> <n>) <op> <n>?
what is <m> <op> <n> <op> <n>?
Calculate <dec> <op> <dec>.
Calculate (<m> - <n>) * <dec>[. Give the exact result.|]
[State the final answer to|Give the result of|Compute the value of] [the following arithmetic problem|this calculation|this expression]: <m> <op> <m> <op> <m> =
Evaluate: <neg> + <n> * <m>
Work out <neg> - <neg>.
Total of <m>, <m>, <m> and <m>
sum of <ints>
add up <ints>
Multiply <neg> and <dec>.
Put together <m> and <neg>.
What is <dec> take away <dec>?
Divide <big> by <neg>.
What is the product of <m> and <dec>?
<m> mod <n>
what is the remainder of <k> divided by <n>
[how many times does|how many times will] <n> go into <k>[?|]
log base <n> of <k>
what is the [natural log|log|logarithm|sine|cosine] of <m>
what's sin of <m> degrees
i need to [calculate|know|figure out] <num> [plus|times|minus|divided by] <num>
i want to [divide|multiply] <num> by <num>
[help me|can you help me|please] [with some math|do a calculation|do some arithmetic|calculate something|do math|add numbers]
i have a [math|calculation] [question|problem] for you
[can you|do you know how to] do [math|arithmetic|long division|sums]?
open the calculator [and add <n> and <n>|]
use the calculator
calculator [please|]
how do i [calculate|work out|figure] [a percentage|the average|a discount|sales tax|a <pct> percent tip]
what's the total if i add <dollars> and <dollars> and <dollars>
split <dollars> [between|among] <w> people
what is <dollars> divided by <w>
[if i have|take] <dollars> minus <dollars> [what's left|how much is that]
what's <dollars> plus <pct>% [tax|vat|sales tax]
<dollars> minus <pct>%
increase <num> by <pct>%
[reduce|decrease] <num> by <pct> percent
what is <frac> of <num>
what is <frac> plus <frac>
add <frac> and <frac>
how much do <num> and <num> make
<ww> [plus|minus|times|divided by] <ww>
what is <ww> [plus|minus|times|divided by|multiplied by] <ww>
<w> times <w> equals what
<num> plus <num> is [what|how much]
tell me [the answer to|what] <num> <op> <num> [is|]
please [sum|multiply] the numbers <ints>
what's the result of <k> <op> <m>?
how much is <num> and <num>
give me the answer for <m> <op> <m>
<m>% of <k>
<m> percent of <k>
what does <num> [plus|times|minus|divided by] <num> equal[?|]
is <m> plus <n> equal to <m>
what is the value of <n> to the <n>th power
<n>^<n>
Compute the value of <n>^<neg>. Return your final answer correct to <n> significant figures.
Solve the following multiplication: <k> * <k>. Give only the result as your final answer.
what is 1 plus 1
[can you|will you|could you|please|i need you to] help [me |]with [a math problem|some math|my math|my algebra|some arithmetic|a calculation][?|]
can you do [algebra|math|arithmetic|fractions|percentages|sums]
how [do i|to|can i] [solve|do|work out] [this|a] [math problem|equation|sum|calculation]
what is the area of a <n> [x|by] <n> [room|square|field]
how many square feet is a <n> by <n> [room|lot|garden]
how many times does <n> go into <m>
what is the [average|mean|median] of <ints>
[what's|what is] the [perimeter|volume|area] of a <n> by <n> [box|yard|room]
what are <n> <n>s
Please calculate the following to 12 significant digits: <dec> * <dec> - <dec>
""")

UNITS = _templates(r"""
[convert|change|turn] <num> <length> [to|into|in] <length>
[convert|change|please convert] <num> <weight> [to|into|in] <weight>
[convert|turn|translate] <num> <volume> [to|into|in] <volume>
convert <num> <temp> [to|into] <temp>
convert <num> <data> to <data>
convert <num> <area> [to|into] <area>
convert <num> <speed> [to|into] <speed>
convert <num> <misc> to <misc>
convert <length> to <length>
convert <weight> [to|into] <weight>
[how many|how much] <length> [are|is] [in|there in|equal to] [a|<num>|an|one] <length>[?|]
how many <weight> [are|are there|] in [a|<num>|one] <weight>[?|]
how many <volume> [are in|in|make|equal|make up|per] [a|<num>|one] <volume>[?|]
how many <time> [are|are there|] in [a|<num>|one] <time>[?|]
how many <data> in a <data>
how many <area> [are|] in [an|<num>|one] <area>[?|]
how many <misc> is <num> <misc>
[what is|what's|whats] <num> <temp> in <temp>[?|]
[what is|what's|whats] <num> <length> in <length>[?|]
[what is|what's|how much is] <num> <weight> in <weight>[?|]
[what is|what's|how much is] <num> <volume> in <volume>[?|]
what's <num> <speed> in <speed>
what is <num> <area> in <area>
<num> <length> [in|to|into|=] [? |]<length>
<num> <weight> [in|to|into|=] <weight>
<num> <volume> [in|to|into|=] <volume>
<num> <temp> [in|to|into|=] <temp>
<num> <time> [in|to|into] <time>
<m>[cm|km|kg|mm|ml|lbs|lb|oz|ft|mi|g|mph] [to|in|into] [inches|miles|lbs|feet|cups|kg|grams|km|meters|ounces]
<n>'<n>" in [cm|meters|centimeters]
<n> [feet|ft|foot] <n> [inches|in] [in|to] [cm|meters|centimeters]
i [need|want] to [convert|know] <num> <length> [to|in] <length>
i'm trying to convert <num> <weight> to <weight>
how do [i|you|we] [convert|change|go from|get from] <length> [to|into] <length>[?|]
how do [i|you] convert <temp> [to|into] <temp>[?|]
how [do|can] [i|you] convert <volume> to <volume>
what [is|are] the [conversion|conversion rate|conversion factor] [for|from|between|of] <weight> [to|and|into] <weight>
what's the formula [to convert|for converting] <temp> to <temp>
[can|could] you [convert|change|tell me] <num> <volume> [to|in] <volume> [please|for me|]
[could|would] you [please |]tell me how many <length> [are in|make] <num> <length>?
tell me how many <weight> are in a <weight>
tell me the number of <time> in <num> <time>
[if|suppose] [something|it|a box|a fish|he] [is|weighs] <num> <weight>, [what is that|how much is that|how heavy is that] in <weight>?
if it's <m> [degrees|°|] [F|fahrenheit|C|celsius] [outside|], what is that in [C|celsius|F|fahrenheit]?
if i [am|run] <n> <length>, how many <length> is that
which is [longer|bigger|heavier|more], <num> <length> or <num> <length>
which weighs more, <num> <weight> or <num> <weight>?
is <num> <volume> more than <num> <volume>
how [long|far|tall] is <num> <length> in <length>[?|]
how [big|large] is <num> <area> in <area>
how [hot|cold] is <m> <temp> in <temp>
how fast is <m> <speed> in <speed>
how much does <num> <weight> weigh in <weight>
how much [is|are] <num> <volume> of [water|milk|flour|butter] in <volume>
<num> <weight> equals how many <weight>
<num> <length> is how many <length>
<num> <volume> is equal to how many <volume>[?|]
what would <num> <weight> be in <weight>
what do <num> <length> come to in <length>
give me <num> <length> in <length>
show <num> <temp> in <temp>
express <num> <speed> in <speed>
[metric|imperial] [equivalent|conversion] of <num> <length>
what's the metric equivalent of <num> <weight>
<num> <weight> in metric
what is the difference between <weight> and <weight>
number of <volume> in a <volume>
number of <time> in a <time>
<length> to <length>
<weight> to <weight> [conversion|converter|]
<temp> to <temp> [conversion|formula|]
how many [seconds|minutes] [are|] in [an hour|a day|a week|a year|a leap year]
how many [days|weeks|hours] are [there |]in [a year|<w> months|<n> years|a month|a fortnight|a decade]
how many [inches|feet|yards] [are |]in a [foot|yard|mile]
how many [ounces|cups|pints|quarts] [are |]in a [pound|quart|gallon|pint|liter]
how many [teaspoons|tablespoons] [are |]in a [cup|tablespoon|quarter cup]
how many cups is <num> [ounces|ml|grams] of [rice|flour|sugar]
unit conversion <num> <length> <length>
i need a unit conversion
can you [do|help with] unit conversions
can you convert [units|measurements] [for me|]
convert [usd|dollars] to [euros|yen|pounds]
[convert|exchange|change] <num> <cur> [to|into|in] <cur>
[what is|what's|how much is] <num> <cur> in <cur>[?|]
<num> <cur> [to|in] <cur>
how many <cur> [are in|is|can i get for] [a|<num>] <cur>
what is the exchange rate [between|from|of|for] <cur> [and|to] <cur>[?|]
[alexa|hey|ok google|siri|please|hey computer], [convert|how many] <num> <length> [in|to] <length>
what is the weight of <num> <weight> in <weight>
my [height|dog's weight] is <n> [feet|pounds], what's that in [meters|kilos]
what's a [mile|kilometer|pound|gallon|stone|yard|acre|hectare|knot] in [kilometers|miles|kilograms|liters|pounds|feet|square meters|mph]
how [much|many] is a [dozen|gross|score|fortnight|furlong|fathom|bushel|peck|league]
oven temperature <k> fahrenheit in celsius
set <m> degrees celsius as fahrenheit
measure <num> <volume> in <volume>
a [mile|pound|gallon|ton] is how many [km|grams|liters|kg]
what unit is bigger, a [mile|kilogram|quart] or a [kilometer|pound|liter]
""")


_PAIRS = ("length", "weight", "volume", "temp", "time", "area", "speed", "data", "misc", "cur")


def _conversion(chance: random.Random) -> str:
    """Any amount from one unit to another, in one of the ways that people ask for it."""
    kind = chance.choices(_PAIRS, weights=(5, 5, 5, 4, 2, 2, 2, 2, 2, 2))[0]
    one, two = some(kind, 2, chance)
    amount = chance.choice((drawn("num", chance), drawn("dec", chance), drawn("big", chance)))
    return chance.choice(
        (
            f"convert {amount} {one} to {two}",
            f"Convert {amount} {one} into {two}.",
            f"How many {two} are in {amount} {one}?",
            f"how many {two} is {amount} {one}",
            f"What is {amount} {one} in {two}?",
            f"what's {amount} {one} in {two}",
            f"{amount} {one} to {two}",
            f"{amount} {one} in {two}?",
            f"how much is {amount} {one} in {two}",
            f"{amount} {one} equals how many {two}",
            f"can you tell me what {amount} {one} is in {two}",
            f"What is {amount} {one} converted to {two}?",
            f"How many {two} are there in {amount} {one}?",
            f"Convert {amount} {one} to {two} and round to two decimals.",
            f"change {amount} {one} into {two} for me",
            f"i have {amount} {one}, how many {two} is that?",
        )
    )


def _sum(chance: random.Random) -> str:
    """An expression of two to four numbers, bare or asked for."""
    signs = chance.choice(("+ - * /", "+ -", "* /", "x ÷", "plus minus times", "plus minus times"))
    parts = [_number(chance)]
    for _ in range(chance.randint(1, 3)):
        parts += [chance.choice(signs.split()), _number(chance)]
    gap = "" if chance.random() < 0.2 and signs[0] != "p" else " "
    text = gap.join(parts)
    return chance.choice(
        (
            text,
            f"{text} =",
            f"{text} = ?",
            f"what is {text}",
            f"What is {text}?",
            f"What's {text}?",
            f"Calculate {text}.",
            f"calculate {text}",
            f"Evaluate {text}.",
            f"how much is {text}",
            f"compute {text} please",
            f"can you tell me what {text} is",
            f"Please solve {text}",
            f"hey what's {text}",
        )
    )


def _number(chance: random.Random) -> str:
    draw = chance.random()
    if draw < 0.5:
        return str(chance.randint(1, 99))
    if draw < 0.7:
        return str(chance.randint(100, 9999))
    if draw < 0.85:
        return drawn("dec", chance)
    return drawn("ww", chance)


CALCULATOR_GENERATORS = (_sum,)
UNITS_GENERATORS = (_conversion,)
