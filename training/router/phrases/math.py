"""Mathematics: stories with numbers, contest and school problems, algebra. See ``templates``."""

# ruff: noqa: E501

from __future__ import annotations

import random

from training.router.phrases.slots import drawn, some

MATH: tuple[str, ...] = tuple(
    line.strip()
    for line in r"""
<name> has <n> <thing>. <pron> <verb_get> <m> more. How many <thing> does <name> have [now|altogether|in total|in all]?
<name> had <m> <thing> and <verb_lose> <n> of them. How many are left?
There are <m> <thing> in a <container>. <name> takes <n> of them out and puts <w> back. How many <thing> are in the <container> now?
A <container> holds <k> <thing>. If <n> <thing> fit in each box, how many boxes are needed?
<name> earns <dollars> an hour and works <n> hours a day, <w> days a week. How much money does <pron> make in <w> weeks?
A shirt costs <dollars> and is on sale for <pct>% off. [What is the sale price?|How much does <name> pay?|How much would <name> save on <w> shirts?]
<name> runs <w> miles every <day> and twice as far on <day>. How many miles does <pron> run in <n> weeks?
A train leaves at <n> a.m. traveling at <m> miles per hour. Another train leaves <w> hours later at <m> mph. [When will they meet?|How long until the second train catches up?]
If <w> workers can build a wall in <n> days, how long would it take <n> workers to build the same wall?
<name> is <n> years older than <name>. In <w> years, <pron> will be twice as old. How old is <name> now?
The sum of <name>'s and <name>'s ages is <m>. <name> is <w> times as old as <name>. How old is each of them?
<name> bought <n> <thing> for <dollars> each and paid with a <dollars> bill. How much change did <pron> [get|receive]?
<frac> of the <k> <group> in a school ride the bus and the rest walk. How many <group> walk [to school|home]?
<name> read <m> pages on <day>, <n> fewer on <day>, and <frac> as many on <day>. How many pages did <name> read [altogether|in total over the three days]?
In a class of <m> <group>, <pct>% are girls. How many boys are there?
The ratio of <thing> to <thing> in a <container> is <n>:<n>. If there are <k> <thing>, how many <thing> are there?
A recipe calls for <n> cups of flour for every <w> cups of sugar. How much flour does <name> need if <pron> uses <n> cups of sugar?
<name> drove <k> miles on <n> gallons of gas. How many miles per gallon did the car get? How much gas is needed for a trip of <k> miles?
A rectangular garden is <n> feet long and <n> feet wide. How much fence is needed to go around it?
A farmer has <m> <animal>s and cows. There are <k> legs in total. How many cows are there?
<name> has <w> times as many <thing> as <name>. Together they have <k>. How many does each have?
Every day, <name> feeds each of <poss> <m> chickens <w> cups of feed in <w> meals. How many cups does <pron> need for the last meal of the day?
<name>'s [phone|water|electric] bill was <dollars> in <month> and rose by <pct> percent in <month>. What was the total for the two months?
A bakery sold <k> <thing> on <day>. That was <m> more than on <day>. How many were sold on both days?
<name> planted <n> rows of <thing> with <n> in each row. <m> of them died. How many <thing> survived?
It takes <name> <n> minutes to walk to school and <w> minutes less to come back. How many minutes does <pron> walk in a <w>-day school week?
<w> friends shared <m> <thing> equally. How many did each friend get and how many were left over?
<name> is saving for a bike that costs <dollars>. <pron> has <dollars> and saves <dollars> each week. After how many weeks can <pron> buy it?
There were <k> <group> on the bus. At the first stop <n> got off and <n> got on. How many <group> are on the bus now?
<name> cut a <n>-foot rope into pieces that are <frac> of a foot long. How many pieces are there?
A tank is filled by one pipe in <n> hours and emptied by another in <n> hours. If both are open, how long does it take to fill the tank?
The average of <w> numbers is <m>. If one more number, <n>, is added, what is the new average?
A store buys <thing> at <dollars> a dozen and sells them at <dollars> each. What is the profit on <n> dozen?
<name> invests <dollars> at <pct>% [simple|compound] interest per year. How much will <pron> have after <w> years?
A man bought an item for <dollars> and sold it at a [gain|loss] of <pct>%. What was the selling price?
If the price of sugar rises by <pct>%, by how much percent must a family reduce its consumption to keep spending the same?
A boat goes <m> km downstream in <w> hours and returns in <n> hours. Find the speed of the stream. Answer choices: A) <n> B) <n> C) <n> D) <n> E) none of these
A and B together can do a piece of work in <n> days, and A alone in <n> days. In how many days can B do it alone? a) <n> b) <n> c) <n> d) <n>
The cost of <n> pens and <n> pencils is <dollars>, while <w> pens cost <dollars>. What is the cost of one pencil? (A) <n> (B) <n> (C) <n> (D) <n> (E) <n>
What is the probability of drawing <w> red balls from a bag with <n> red and <n> blue balls without replacement?
A bag contains <n> red, <n> green and <n> <colour> <thing>. One is drawn at random. What is the [probability|chance] that it is [not|] red?
Two [fair |]dice are rolled. What is the probability that the sum is [greater than|at least|exactly|less than] <n>?
In how many ways can <w> people be seated [around a circular table|in a row] if two of them refuse to sit together?
How many different [three|four|five]-digit numbers can be formed from the digits 1 to <n> [without repetition|if no digit is repeated]?
How many ways are there to choose a committee of <w> from <n> people?
How many subsets of {1, 2, ..., <n>} contain no two consecutive [numbers|integers|elements]?
Find all [real|integer|positive|complex] solutions of <x>^2 - <n><x> + <m> = 0.
Solve for <x>: <n><x> + <m> = <k>
Solve <neg>*<x> + <n>*<v> = <neg>, <n>*<x> - <v> = <m> for <x>.
Solve the [equation|inequality] <n>(<x> - <n>) [=|<|>|>=] <n><x> + <n>.
solve the system: y = <n>x + <n>, <n>x - y = <n>
Let <x>(<x>) = <x>**2 - <n>*<x> + <n>. What is the derivative of <x>(<x>) with respect to <x>?
Suppose <n>*<v> - <n> = <neg>. Let <x> = <v> + <n>. Calculate the [highest common factor|least common multiple] of <x> and <m>.
Find the [first|second|third] derivative of <neg>*<x>**3 + <n>*<x>**2 - <m> with respect to <x>.
Differentiate f(<x>) = <x>^<n> sin(<x>)[.| and evaluate it at 0.]
Evaluate the [definite |]integral of <x>^2 e^(<n><x>) [dx|from 0 to <n>].
Compute \(\int_0^{<n>} x^<n> \, dx\).
Find $\lim_{x \to <n>} \frac{x^2 - <m>}{x - <n>}$.
Let $f(x) = \frac{<n>x + <n>}{x - <n>}$. Find the [domain|range|inverse|value of $f(<n>)$].
What is the [remainder|units digit|last digit] when <n>^<k> is divided by <n>?
Find the [sum|product|number] of all positive [divisors|factors] of <k>.
What is the [greatest common divisor|GCD|least common multiple|LCM|lcm|gcf] of <m> and <k>?
List the prime factors of <k>.
Is <k> a [prime|composite] number?
Expand (<n><x> + <n>)(<x> - <n>).
Factor [completely: |the expression |the quadratic |]<n>x^2 + <m>x - <n>
Simplify [the expression |](<x>^<n> * <x>^<n>) / <x>^<n>.
Simplify $\sqrt{<k>} + \<x>$ [and rationalize the denominator|].
Rewrite the [fraction|expression] <m>/<k> in [lowest terms|simplest form].
Prove that [the square root of <n> is irrational|there are infinitely many primes|the sum of two odd numbers is even|<n>^n - 1 is divisible by <n> for every positive integer n].
Show that for all positive real numbers $a$, $b$, $c$, we have $a^2 + b^2 + c^2 \ge ab + bc + ca$.
In triangle ABC, AB = <n>, BC = <n> and angle B = <m>°. Find [the length of AC|the area of the triangle|the circumradius].
Let $ABC$ be a triangle with $AB = <n>$, $AC = <n>$. The [bisector|median|altitude] from $A$ meets $BC$ at $D$. Find $AD$.
A circle has a radius of <n> cm. What is its [area|circumference|diameter]?
What is the [area|perimeter] of a [rectangle|parallelogram] with sides <n> and <n>?
The [volume|surface area] of a [sphere|cone|cylinder|cube] with [radius|height|side] <n> is what?
A right triangle has legs <n> and <n>. How long is the hypotenuse?
Find the [slope|equation|midpoint] of the line [through|segment joining] (<neg>, <n>) and (<n>, <neg>).
What is the distance between the points (<n>, <neg>) and (<neg>, <n>) [in the coordinate plane|]?
What is the <n>th term of the [arithmetic|geometric] sequence <n>, <n>, <m>, ...?
Find the next [number|term] in the sequence: <ints>
What comes next in the series <ints>, ...?
What is the sum of the first <m> [even|odd|positive|natural] [numbers|integers]?
Convert <pct>% to a fraction [in lowest terms|].
Write [<dec>|<frac>] as a [percent|decimal|fraction].
Find the [mean|median|mode|range|standard deviation|variance] of <ints>.
What is the [median|mean] of this data set: <ints>?
Let $p$ be a prime [number |]such that $p + <n>$ is a perfect square. Find $p$.
Let $a$, $b$, and $c$ be [positive|real|distinct nonzero] [integers|numbers] such that $a + b + c = <m>$ [and $abc = <m>$|]. Find [the maximum value of|all possible values of] $[ab|a^2 + b^2|abc]$.
Find the number of [ordered pairs|integers] $(m, n)$ satisfying $m^2 + n \le <m>$.
Determine all functions $f : \mathbb{R} \to \mathbb{R}$ such that $f(x + y) = f(x) + f(y) + <n>xy$.
Find the smallest positive integer $n$ such that $n! $ is divisible by $<k>$.
Let $S$ be the set of all [positive integers|real numbers] with property that ... Find the [remainder when|number of elements] $S$ is divided by $1000$.
Find the determinant [and inverse |]of the matrix {{{{<n>, <n>}}, {{<n>, <neg>}}}}.
Find the eigenvalues of the <n>x<n> matrix A.
Let G be a group of order <m>. Show that G [has a normal subgroup|is abelian|is cyclic].
Find the order of the factor group Z_<n>/(<<n>>). (A) <n> (B) <n> (C) <n> (D) <n>
Suppose X is a [normal|Poisson|binomial|uniform] random variable with mean <n>. [Find P(X > <n>).|What is its variance?]
What is the [expected value|variance] of the number of heads in <n> flips of a [fair|biased] coin?
Find the general solution of the differential equation y'' + <n>y' + <n>y = 0.
What is [sin|cos|tan]([30|45|60]°)[| in terms of radicals]?
If [sin|cos|tan] θ = <frac>, find [cos|sin|sec] θ.
If <n><x> - <n> = <m>, what is the value of <n><x>?
If a + b = <m> and ab = <n>, what is a^2 + b^2?
The product of two consecutive [even|odd|] integers is <k>. What are they?
A number is <w> more than <frac> of another number. Their sum is <m>. Find the numbers.
Three times a number minus <n> equals <m>. What is the number?
I think of a number, double it and add <n>. The answer is <m>. What was my number?
A company's profit [increased|decreased] by <pct>% in <year> to <dollars> million. What was it before?
A jar has <k> coins, all nickels, dimes and quarters, worth <dollars>. How many dimes are there if there are <w> times as many nickels as quarters?
<name> scored <n>, <n> and <n> on three quizzes. What must <pron> score on the fourth to have an average of <n>?
At a party, everyone shook hands with everyone else. There were <m> handshakes. How many people were there?
How long will it take a car going <m> mph to travel <k> miles?
A [car|cyclist|plane] travels at <m> km/h for <w> hours and then at <m> km/h for <w> hours. What is the average speed?
At what time between <w> and <w> o'clock are the hands of a clock [together|at right angles|opposite]?
What percentage of <k> is <m> if it is first reduced by a fifth?
<name> and <name> split a bill of <dollars> plus a <pct>% tip. How much does each pay?
A cinema charges <dollars> for adults and <dollars> for children. <k> tickets were sold for <dollars>. How many adults came?
<name> paints <frac> of a fence in <w> hours. How long will the whole fence take?
Mike's gym session is <n> minutes of squats, then he jogs for <w> times as long. How many hours does he exercise in a week of <w> sessions?
During <w> baseball games a team had a total of <k> runs. If they scored the same each game, how many runs did they have per game?
There are <w> <animal>s in a barn, <w> more than yesterday; how many were there yesterday?
<name> weighs <k> pounds and loses <n> pounds a month. How much will <pron> weigh in <w> months?
A phone plan costs <dollars> a month plus <dec> cents per text. How many texts can <name> send with <dollars>?
How many more <thing> than <thing> does <name> have if <pron> has <m> <thing> and <n> <thing>?
The lake was <m> feet deep. It evaporated <n> feet a week. How deep is it after <w> weeks, if rain adds <w> feet?
Maximize <n>x + <n>y subject to x + y <= <m>, x >= 0, y >= 0.
How many zeros are at the end of <m>!?
Find the number of trailing zeros in <k> factorial and explain.
What is the base-<n> representation of <k>? Express <k> in base <n>.
What is the domain of f(x) = sqrt(x - <n>) / (x + <n>)?
Graph y = <n>x^2 - <n> and give its vertex.
What is the vertex of the parabola y = x^2 + <n>x - <n>?
Explain how to complete the square for x^2 + <n>x = <m>.
Two angles are supplementary. One is <m> degrees more than the other. Find both angles.
The sides of a triangle are in the ratio <n>:<n>:<n> and its perimeter is <k> cm. Find the longest side.
A ladder <m> feet long leans against a wall with its foot <n> feet away. How high does it reach?
Evaluate: log_2(<k>) + log_2(<n>)
Find x if log base <n> of x is <n>
Which of the following is equal to <frac> of <k>? A. <n> B. <m> C. <m> D. <k>
Calculate prob of picking <n> [r|t|z] and <w> [q|s] when <w> letters picked without replacement from {r: <n>, q: <n>}.
Let m be (<n> - <n>)*<n>/(<neg>). Suppose m*<x> = <n>*<x> - <m>. Is <x> a multiple of <n>?
What is the <n>'th term of <ints>?
Which is smaller: <frac> or <dec>?
Sort <ints> in increasing order.
Collect the terms in <n>*<x> - <m>*<x> + <n>*<x>.
Is <k> [a prime number|prime|divisible by <n>|a perfect square|even or odd|a multiple of <n>]?
Let $f$ be a [continuous|differentiable|convex|bounded] function on [the interval {{0, 1}}|(0, <n>)|$\mathbb{R}$]. [Prove|Show] that there [exists|is] [$c$ with $f(c) = c$|a point where f'(c) = 0].
[Prove|Show] that [every bounded sequence has a convergent subsequence|the sum of two continuous functions is continuous|the sequence (1 + 1/n)^n converges|there is a point c in (a, b) with f'(c) = 0|if n^2 is even then n is even].
[How do you|How to|How do I] [find|work out|calculate|compute] the [slope of a line|area of a trapezoid|inverse of a function|volume of a cone|roots of a quadratic|greatest common factor of two numbers|surface area of a cylinder|probability of two events]?
<name> has <w> more <thing> than <name>. <name> has <w> <thing>. How many <thing> does <name> have?
Each [pack|box|crate] of <thing> [costs|weighs|holds] <m> [dollars|kg|pounds]. If there is a discount of <n> [dollars|] on each, how much [do you have to pay|would it be] for <n> [packs|boxes]?
<w> red apples and two green apples are in the basket. How many are there [altogether|]?
Round <dec><m> to two decimal places.
""".splitlines()
    if line.strip()
)


def _story(chance: random.Random) -> str:
    """A few sentences of amounts that change hands, then a question."""
    one, two = some("name", 2, chance)
    thing, other = some("thing", 2, chance)
    first = f"{chance.randint(3, 90)}"
    openings = (
        f"{one} has {first} {thing}.",
        f"{one} started the week with {first} {thing} and {chance.randint(2, 40)} {other}.",
        f"On {drawn('day', chance)}, {one} {drawn('verb_get', chance)} {first} {thing}.",
        f"A {drawn('container', chance)} has {first} {thing} in it.",
        f"{one} and {two} went to the market with {drawn('dollars', chance)}.",
        f"{one}'s {drawn('rel', chance)} gave {'him' if chance.random() < 0.5 else 'her'} {first} {thing}.",
        f"There are {first} {drawn('group', chance)} at a camp.",
        f"A {drawn('job', chance)} makes {first} {thing} each {drawn('day', chance)}.",
        f"{one} sells {thing} for {drawn('dollars', chance)} each.",
    )
    middles = (
        f"{two} has {drawn('frac', chance)} as many as {one}.",
        f"{one} then {drawn('verb_lose', chance)} {chance.randint(2, 20)} of them.",
        f"{two} {drawn('verb_get', chance)} {drawn('w', chance)} times as many.",
        f"The next day, {one} {drawn('verb_get', chance)} {chance.randint(2, 30)} more {thing}.",
        f"If {two} takes {drawn('pct', chance)}% of them,",
        f"Each of them costs {drawn('dollars', chance)}.",
        f"{one} puts them into {chance.randint(2, 9)} equal groups.",
        f"{drawn('frac', chance).capitalize()} of the {thing} are {drawn('colour', chance)} and the rest are {drawn('colour', chance)}.",
        f"It takes {chance.randint(2, 50)} minutes to make {drawn('w', chance)} of them.",
        f"After that there were {chance.randint(2, 12)} fewer {thing} than {other}.",
    )
    questions = (
        f"How many {thing} does {one} have {chance.choice(['left', 'now', 'in all', 'altogether', 'at the end'])}?",
        f"How much {chance.choice(['money', 'did it cost', 'did they spend', 'more does he need'])} {chance.choice(['in total', 'altogether', 'does each get', 'is left'])}?",
        f"How many more {thing} does {two} have than {one}?",
        f"What is the total number of {thing}?",
        f"How many {thing} did {two} have to begin with?",
        f"What fraction of the {thing} is left?",
        f"How many {thing} are {drawn('colour', chance)}?",
        f"What is the average number of {thing} per day?",
        f"Calculate the total cost of {chance.randint(2, 20)} {thing}.",
        f"How long does it take {one} to make {chance.randint(10, 90)} {thing}?",
    )
    parts = [chance.choice(openings), *chance.sample(middles, chance.randint(1, 3))]
    return " ".join((*parts, chance.choice(questions)))


def _poly(chance: random.Random) -> str:
    letter = chance.choice("xyzabtn")
    terms = " + ".join(
        f"{chance.randint(2, 19)}{chance.choice(['', '*'])}{letter}{chance.choice(['', '^2', '**3', '^4'])}"
        for _ in range(chance.randint(2, 4))
    ).replace("+ 1", chance.choice(["- 1", "+ 1"]))
    value = chance.randint(-40, 90)
    return chance.choice(
        (
            f"{chance.choice(['Solve', 'Find', 'Determine', 'What are'])} {chance.choice(['the roots of', 'for ' + letter + ':', 'all ' + letter + ' such that', 'the real value(s) of ' + letter + ' in'])} {terms} = {value}",
            f"{chance.choice(['Expand', 'Simplify', 'Factor', 'Differentiate', 'Integrate', 'Evaluate at ' + letter + ' = 3:', 'Calculate the indefinite integral:', 'Find the derivative of', 'Calculate the following:'])} {terms}",
            f"Calculate the product of the following: ({terms})({letter} - {chance.randint(2, 9)})",
            f"${terms} = {value}$, what is ${letter}$?",
            f"If f({letter}) = {terms}, what is f({chance.randint(-5, 9)})?",
        )
    )


GENERATORS = (_story, _story, _poly)
