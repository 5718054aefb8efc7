"""Logic: premises and conclusions, syllogisms, arrangements, liars, arguments. See
``templates``."""

# ruff: noqa: E501

from __future__ import annotations

import random
from itertools import pairwise

from training.router.phrases.slots import drawn, some

LOGIC: tuple[str, ...] = tuple(
    line.strip()
    for line in r"""
All <kind> are <kind>. [Some|All|No] <kind> are <adj>. [Therefore|So|Hence], some <kind> are <adj>. Is this [argument|syllogism|reasoning] [valid|valid or invalid|logically sound]?
[Every|Each] <made> is a <made>. <name> is a <made>. [Is it true or false that|True or false:|Is the following statement true or false?] <name> is [not |]<adj>.
If it [rains|snows], the [match|picnic] is cancelled. The [match|picnic] was not cancelled. Did it [rain|snow]?
If <name> studies, <pron> passes. <name> did not pass. What can [we|you] [conclude|infer|deduce]?
[Given|Assume|Suppose] that all <kind> are <kind> and no <kind> are <kind>, [does it follow that|can we conclude that|is it possible that] some <kind> are <kind>?
Premise 1: All <kind> are <adj>. Premise 2: <name> is [not |]a <kind>. Conclusion: <name> is <adj>. Does the conclusion follow from the premises?
Premises: No <kind> are <kind>. Some <kind> are <kind>. Hypothesis: Some <kind> are not <kind>. [Entailment, contradiction or neutral?|Is the hypothesis entailed?|Answer True, False or Unknown.]
<name> always tells the truth. <name> says <name> lies. Does <name> tell the truth?
<name> [lies|tells the truth]. <name> says <name> [lies|tells the truth]. <name> says <name> [lies|tells the truth]. Does <name> tell the truth?
On an island [of knights and knaves|where knights always tell the truth and knaves always lie], [you meet|there are] <name> and <name>. <name> says: "[We are both knaves|<name> is a knight|At least one of us is a knave]." [Who is what?|What are they?|Which one is a knight?]
A very special island is inhabited only by [sages and fools|angels and devils|saints and sinners|altruists and egoists]. You meet <name> and <name>. <name> claims that <name> is a [sage|fool|devil|saint]. Who is [a sage|which]?
There are three boxes labelled [wrongly|incorrectly]: apples, oranges, and mixed. You may pick one fruit from one box. How can you label all boxes correctly?
You have <n> coins, one of which is lighter. How many weighings do you need to find it?
A man has to get a fox, a chicken and a sack of corn across a river. [How does he do it?|The boat holds only one of them.]
You are in a room with two doors and two guards. One always lies and the other always tells the truth. What single question do you ask?
<name>, <name> and <name> [finished|came] first, second and third in a race. <name> was not first. <name> finished [before|after] <name>. [Who won?|In what order did they finish?]
<name> is taller than <name>. <name> is taller than <name>. Who is the [shortest|tallest]?
<name> is older than <name> but younger than <name>. [Who is the oldest|Is <name> older than <name>]?
Five [houses|people|friends] [in a row|sit in a row]. The <colour> house is to the left of the <colour> one. The <job> lives next to the man who keeps a <pet>. Who owns the <pet>?
Four friends each have a different [pet|job|colour]: <name> does not have the <pet>; the owner of the <pet> is [not <name>|a <job>]. Who has the <pet>?
The following paragraphs each describe a set of [three|five|seven] objects arranged in a fixed order. The statements are logically consistent within each paragraph. In a [golf tournament|antique car show], there were three golfers: <name>, <name>, and <name>. <name> finished above <name>. Options: (A) <name> finished last (B) <name> finished last (C) <name> finished last
On a [shelf|branch|fruit stand], there are [five|three|seven] <object>s: a <colour> one, a <colour> one, a <colour> one. The <colour> <object> is to the [left|right] of the <colour> <object>. The <colour> one is the [leftmost|second from the right|rightmost]. Which is [in the middle|the second from the left]?
Which of the following, if true, [most [weakens|strengthens|seriously undermines|supports]|would most help to explain] the [argument|conclusion|claim|hypothesis] above?
Which one of the following [is an assumption [on which the argument depends|required by the argument]|can be properly inferred from the statements above|most accurately expresses the conclusion|must be true|could be true|cannot be true|must be false]?
The [reasoning|argument] [above |]is flawed because it [assumes that|overlooks the possibility that|confuses] [correlation is causation|what is necessary with what is sufficient|all members are alike].
If the statements above are true, which [one |]of the following must also be true?
[The argument's|The author's|The columnist's] [conclusion|reasoning] [follows logically|depends] [if|on] which one of the following [is assumed|]?
The [pattern of reasoning|flaw] in the argument [above |]is most [similar|closely parallel] to that in which of the following?
[Columnist|Politician|Editor|Scientist|Economist|Critic|Critics|Resident|Advertisement|Historian|Consumer advocate]: [The city|Our mayor|The company|A new study] [claims that|should not|has shown that] [taxes|smoking|traffic|prices] [should be raised|is harmful|will fall], [since|because|for] most [people|voters|drivers] [agree|have not noticed it]. [Therefore|Clearly|Hence|So], [we must act|the plan will fail|it is not needed]. Which of the following [most weakens the argument|is the main point|identifies a flaw]?
"It is not always easy to see who is related to whom. The following argument pertains to this question: First, <name> is [a sister|an ancestor|a friend] of <name>. Second, <name> is [not |]a friend of <name>. Hence, <name> is a friend of <name>." Is the argument deductively valid or invalid?
Is the following argument [deductively |logically |][valid|invalid|sound]? [Whoever|Everyone who] is a <job> is <adj>. <name> is not <adj>. So <name> is not a <job>. Options: - valid - invalid
[P|A] implies [Q|B]. [Q|B] implies R. Not R. What follows about [P|A]?
[p -> q|P → Q|P AND Q|(A ∨ B) → C], [q -> r|¬Q|NOT P|¬C]. [Is p -> r a valid consequence?|What can be concluded about P?|Derive ¬A.|Is the formula satisfiable?]
Is the [formula|statement|proposition] [(p → q) ∧ ¬q → ¬p|p or not p|(A and B) or (not A)|forall x P(x) implies exists x P(x)] a [tautology|contradiction|contingency]?
[Not|not] ( [True|False] ) and ( [True|False] ) or [not |]( [True|False] and [True|False] ) is
not not [True|False] and [True|False] and not [True|False] is
[Translate|Formalize|Write] ["All <kind> are <adj>"|'Some <kind> like no <kind>'|"Unless it rains, we go out"] [in|into] [first-order|propositional|predicate] logic.
Negate the statement: [for every x there is a y greater than x|all <kind> are <adj>|if it rains then I stay home].
What is the contrapositive of "if <name> is <adj> then <name> is a <job>"?
Construct a truth table for [(p ∨ q) ∧ ¬r|p → (q → p)|not (A and B)].
Use a [natural deduction|resolution|proof by contradiction] to show that [¬(p ∧ q) entails ¬p ∨ ¬q|q follows from p and p → q].
What kind of [fallacy|reasoning error] is [this|committed here]: "[Everyone believes it, so it must be true|You can't trust him because he is poor|After I wore these socks we won, so the socks helped]"?
Today, <name> went to the <container>. Between what times could they have gone? We know that: <name> woke up at <n>am. <name> saw <name> at the park from <n>am to <n>pm. The <container> was closed after <n>pm.
<name>, <name>, and <name> are [playing a game|holding a white elephant gift exchange|dancers at a square dance]. At the start, each is holding a [ball|present]: <name> has a <colour> one, <name> has a <colour> one. As the game progresses, pairs swap. First, <name> and <name> swap. Then <name> and <name> swap. At the end, <name> has the
If you follow these instructions, do you return to the starting point? Take <n> steps. Turn around. Take <n> steps. Turn left.
<name> has <n> brothers and each of <poss> brothers has <n> sisters. How many sisters does a brother of <name> have?
<name> has <w> [male|female] friends and she also has <w> [male|female] friends. They all are friends with each other. How many [male|female] friends does <name>'s [male|female] friend have?
Pointing to a photograph, <name> said, "She is the daughter of my grandfather's only son." How is she related to <name>?
If [south-east|north] becomes north [and|,] [north-east|west] becomes west, what does west become?
A is B's [sister|brother|father]. C is B's mother. D is C's father. How is A related to D?
In a certain code, [COMPUTER|TABLE|MONDAY] is written as [RFUVQNPC|UBCMF]. How is [MEDICINE|CHAIR] written in that code?
Find the odd one out: [<animal>, <animal>, <country>, <animal>|triangle, circle, square, line|violin, guitar, drum, cello]
[Statement|Statements]: All <kind> are <kind>. Some <kind> are <kind>. Conclusions: I. Some <kind> are <kind>. II. No <kind> is a <kind>. (A) only I follows (B) only II follows (C) either follows (D) neither follows
[Read|Consider] the [facts|rules|following information] [and decide|below]: if someone is <adj> then they are <adj>. <name> is <adj>. [Is|Must] <name> [be|] <adj>?
Context: <name> is <adj>. <adj> people are <adj>. If someone is <adj> and not <adj> then they are <adj>. Question: <name> is <adj>. [True|Yes] or [false|no] [or unknown|]?
Facts: the <animal> chases the <animal>. the <animal> [likes|needs|sees] the <animal>. Rules: if something chases the <animal> then it is <adj>. Is it [true|certain] that the <animal> is <adj>?
Here are some statements. <name> is either a <job> or a <job>. If <name> is a <job>, then <name> is <adj>. <name> is not <adj>. Is it necessarily true that <name> is a <job>?
[Only|At most|Exactly|At least] one of <name>, <name> and <name> is guilty. If <name> is innocent then so is <name>. Who [is guilty|did it|committed the crime]?
The [police|detective] [knows|has established] that exactly one of four suspects stole the ring. <name>: "<name> did it." <name>: "I didn't do it." Only one of them is [lying|telling the truth]. Who is the thief?
Two statements are given, followed by two conclusions. [Decide|Choose] which of the conclusions [logically follows|definitely follows] from the statements.
[Statement|Paragraph]: [Smoking is the leading cause of cancer|Many people prefer tea to coffee|Prices have gone up again]. Assumption I: [people know it|tea is cheap]. Assumption II: [it can be changed|nobody drinks both]. Which assumption is implicit?
[Some|Most|All|Few|No] [people who|of those who] [exercise|read|vote] are [not |]<adj>. [All|No] <kind> [exercise|read|vote]. [Which of the following must be true?|Which conclusion is correct?|It can be inferred that]
A [committee|schedule|team] of [four|five|six] is to be chosen from [seven|eight] candidates: <letter>, <letter>, <letter>, <letter>, <letter>, and <letter>. If <letter> is selected, <letter> cannot be. <letter> and <letter> must be chosen together. Which one of the following is an acceptable selection?
Six [lectures|runners|films|trucks|workers], <letter>, <letter>, <letter>, <letter>, <letter> and <letter>, are [scheduled|assigned|arranged] [one per day|in a line|to three teams]. <letter> must [come before|be immediately after] <letter>. <letter> cannot be [first|last]. If <letter> is third, [who must be fifth|which of the following could be true|how many orders are possible]?
Natural language inference. Premise: a <job> is [playing|eating|sleeping] [outside|near a <animal>]. Hypothesis: [somebody|nobody] is [outside|asleep]. [Does the premise entail the hypothesis?|Entailed, neutral, or contradicted?]
Solve this [riddle|logic puzzle|puzzle|brain teaser]: [I am taken from a mine and shut in a wooden case|three switches outside control a bulb inside a closed room|a bat and a ball are together in a bag and exactly one is lying].
Determine whether the [conclusion|claim|statement|goal] can be [deduced|derived|proven] from the [given |above |]premises[. Answer yes or no.|.]
Is the statement [self-contradictory|paradoxical|consistent]: "this sentence is false"?
Consider these statements [about themselves|]: 1. At least <n> of these <n> statements are true. 2. At most <n> of these are false. 3. Exactly <n> are true. How many [consistent solutions are there|are true]?
[Using|With] only the [facts|clues] given, [who lives in the <colour> house|which day does <name> work|what did each person order]? Clues: 1. <name> does not like <food>. 2. The person who ordered <food> sits next to <name>. 3. <name> sits [at the end|on the left].
What is a valid conclusion from the following premises? <letter>. (<letter> ∨ <letter>) → <letter>. ¬<letter>.
The following are premises: (P → Q), (R ∧ P), (¬S → ¬Q). What conclusion in propositional logic can be drawn?
""".splitlines()
    if line.strip()
)


def _rules(chance: random.Random) -> str:
    """Facts about people and made-up kinds, rules, and a question of truth."""
    people = some("name", 3, chance)
    style = chance.randrange(3)
    lines: list[str] = []
    if style == 0:
        chain = some("made", chance.randint(3, 7), chance)
        for one, two in pairwise(chain):
            lines.append(
                chance.choice(
                    (
                        f"Every {one} is a {two}.",
                        f"Each {one} is a {two}.",
                        f"{one.capitalize()}es are {two}es.",
                        f"All {one}es are {two}es.",
                    )
                )
            )
            if chance.random() < 0.4:
                lines.append(
                    f"{two.capitalize()}es are {chance.choice(['', 'not '])}{drawn('adj', chance)}."
                )
        lines.append(f"{people[0]} is a {chain[0]}.")
        claim = f"{people[0]} is {chance.choice(['', 'not '])}{drawn('adj', chance)}."
    elif style == 1:
        for person in people:
            for _ in range(chance.randint(1, 3)):
                lines.append(
                    f"{person} is {chance.choice(['', '', 'not '])}{drawn('adj', chance)}."
                )
        for _ in range(chance.randint(2, 5)):
            one, two, three = some("adj", 3, chance)
            lines.append(
                chance.choice(
                    (
                        f"If someone is {one} and {two} then they are {three}.",
                        f"All {one}, {two} people are {three}.",
                        f"{one.capitalize()} things are {three}.",
                        f"If {people[0]} is {one}, {people[0]} is {two}.",
                        f"Nobody who is {one} is {two}.",
                        f"{people[1]} being {one} implies that {people[2]} is {two}.",
                    )
                )
            )
        claim = f"{chance.choice(people)} is {chance.choice(['', 'not '])}{drawn('adj', chance)}."
    else:
        kinds = some("kind", 4, chance)
        lines = [
            f"{chance.choice(['All', 'Some', 'No', 'Most'])} {one} {chance.choice(['are', 'like', 'know', 'admire'])} {two}."
            for one, two in pairwise(kinds)
        ]
        lines.append(
            f"{people[0]} is {chance.choice(['a', 'not a', 'either a'])} {kinds[0]}{chance.choice(['', ' or a ' + kinds[1]])}."
        )
        lines.append(
            f"{people[0]} {chance.choice(['works in', 'comes from', 'has visited'])} {drawn('city', chance)}."
        )
        claim = chance.choice(
            (
                f"{people[0]} is a {kinds[-1]}.",
                f"Some {kinds[0]} are not {kinds[-1]}.",
                f"If {people[0]} is a {kinds[2]}, then {people[0]} is a {kinds[1]}.",
            )
        )
        if chance.random() < 0.5:
            chance.shuffle(lines)
    facts = chance.choice((" ", " ", "\n")).join(lines)
    return chance.choice(
        (
            f"{facts}\nIs the following statement true, false, or unknown? {claim}",
            f"{facts} True or false: {claim}",
            f'{facts} Is the statement "{claim}" true or false?',
            f"Premises: {facts}\nConclusion: {claim}\nDoes the conclusion follow?",
            f"Given the facts: {facts} Can we conclude that {claim}",
            f"{facts}\n\nQuestion: {claim} Answer with True, False, or Uncertain.",
            f"Context: {facts}\nHypothesis: {claim}\nIs the hypothesis entailed, contradicted or neither?",
            f"{facts}\nProve or disprove: {claim}",
            f"{facts} Based on this, {claim} Options:\nA) True\nB) False\nC) Uncertain",
            f"Assume the following. {facts} Then is it the case that {claim}",
        )
    )


_TOPICS = (
    "the new tax",
    "regular exercise",
    "the bridge",
    "organic food",
    "the museum",
    "electric cars",
    "the vaccine",
    "remote work",
    "the old theatre",
    "a four-day week",
    "the drug",
    "fish oil",
    "fast reading",
    "the reservoir",
    "advertising",
)
_EVIDENCE = (
    "A recent survey found that most people who favour {t} live near a city.",
    "Over the past {n} years, spending on {t} has doubled while complaints have not fallen.",
    "Scientists have long held that {t} has no effect on children.",
    "Some members of the council say that {t} should be given up, but their reasons are weak.",
    "In towns that have tried {t}, the number of accidents dropped.",
    "{T} cannot succeed unless the public supports it.",
    "Everyone who knows about {t} agrees that it costs too much.",
    "No company that depends on {t} has made a profit this year.",
    "Either {t} will be approved or the company will leave.",
)
_CLAIMS = (
    "Therefore, {t} is responsible for the change.",
    "So it is clear that {t} ought to be encouraged.",
    "Hence, those who oppose {t} must be mistaken.",
    "It follows that {t} is not needed at all.",
    "Thus anyone who wants to save money should choose {t}.",
    "Consequently, the plan for {t} will probably fail.",
)
_QUESTIONS = (
    "Which of the following, if true, most seriously weakens the argument?",
    "Which one of the following, if true, most strengthens the argument above?",
    "The argument depends on which of the following assumptions?",
    "Which of the following can be inferred from the passage?",
    "The reasoning in the argument is most vulnerable to criticism on the grounds that it",
    "Which one of the following best expresses the main conclusion?",
    "If the statements above are true, which of the following must be true?",
    "Which of the following is closest to the reasoning in the passage?",
    "Which of the following can best explain the apparent contradiction?",
    "According to the above definition, which of the following belongs to it?",
    "Which one of the following describes the author's technique of reasoning?",
)


def _argument(chance: random.Random) -> str:
    """A short argument and a question about it, now and then with options."""
    topic = chance.choice(_TOPICS)
    parts = [
        text.format(t=topic, T=topic.capitalize(), n=chance.randint(2, 30))
        for text in chance.sample(_EVIDENCE, chance.randint(1, 3))
    ]
    if chance.random() < 0.8:
        parts.append(chance.choice(_CLAIMS).format(t=topic))
    if chance.random() < 0.25:
        parts[0] = (
            f"{chance.choice(['Editorial', 'Economist', 'Mayor', 'Researcher', 'Letter', 'Manager'])}: {parts[0]}"
        )
    text = f"{' '.join(parts)}{chance.choice([' ', chr(10)])}{chance.choice(_QUESTIONS)}"
    if chance.random() < 0.6:
        marks = chance.choice(
            (
                ("A. ", "B. ", "C. ", "D. "),
                ("(A) ", "(B) ", "(C) ", "(D) "),
                ("A)", "B)", "C)", "D)"),
                ("", "", "", ""),
            )
        )
        options = [
            choice.format(t=chance.choice(_TOPICS), T=topic.capitalize(), n=3)
            for choice in chance.sample((*_EVIDENCE, *_CLAIMS), 4)
        ]
        text += "".join(f"\n{mark}{option}" for mark, option in zip(marks, options, strict=True))
    return text


def _order(chance: random.Random) -> str:
    """Things or people in an order, from clues."""
    count = chance.choice((3, 5, 7))
    thing = drawn("object", chance)
    people = chance.random() < 0.5
    names = (
        some("name", count, chance)
        if people
        else [f"the {colour} {thing}" for colour in some("colour", count, chance)]
    )
    relations = (
        "is to the left of",
        "is to the right of",
        "is older than",
        "is newer than",
        "costs more than",
        "finished above",
        "finished below",
        "is next to",
        "sits opposite",
        "is immediately before",
        "is heavier than",
    )
    clues = [
        f"{one} {chance.choice(relations)} {two}".capitalize() + "."
        for one, two in (chance.sample(names, 2) for _ in range(count - 1))
    ]
    if chance.random() < 0.4:
        clues = [f"{number}. {clue}" for number, clue in enumerate(clues, 1)]
    intro = chance.choice(
        (
            f"There are {count} {thing}s: {', '.join(names)}.",
            f"{', '.join(names)} are in a line.",
            f"{count} friends live in {count} houses, each of a different colour.",
            f"A group of {count} people sit around a table: {', '.join(names)}.",
            "",
        )
    )
    question = chance.choice(
        (
            f"Which is the {chance.choice(['leftmost', 'newest', 'cheapest', 'second from the left'])}?",
            f"Who {chance.choice(['finished last', 'is in the middle', 'is the oldest', 'owns the ' + drawn('pet', chance)])}?",
            f"What is the name of the person who lives in house {chance.randint(1, 4)}?",
            "Options: "
            + " ".join(
                f"({letter}) {name} is last" for letter, name in zip("ABCDEFG", names, strict=False)
            ),
            f"Is {names[0]} {chance.choice(['before', 'older than', 'left of'])} {names[1]}?",
        )
    )
    return f"{intro} {' '.join(clues)} {question}".strip()


GENERATORS = (_rules, _argument, _order)
