"""General knowledge: questions about the world, school science, trivia, with and without options.
See ``templates``."""

# ruff: noqa: E501

from __future__ import annotations

import random

from training.router.phrases import exams, trivia
from training.router.phrases.slots import drawn, some

KNOWLEDGE: tuple[str, ...] = tuple(
    line.strip()
    for line in r"""
[What is|What's|Name] the capital [city |]of [<country>|<state>]?
[Who|which author|What author] wrote [the novel |the play |the book |]<work>?
Who [directed|starred in|played the lead in|composed|painted|produced|sang] <work>?
When [was|did] <person> [born|die|become famous|first win an award|get married]?
Where [was|is|did] <person> [born|buried|grow up|from|die|go to school]?
[Who|What] was <person>'s [first wife|father|mother|best friend|profession|most famous work|nationality|real name]?
What is <person> [best |most |]known for?
Why [was|is|did] <person> [famous|assassinated|important|exiled|imprisoned|resign]?
How did <person> die?
What [religion|nationality|occupation|political party] [was|is] <person>?
When [did|was] <event> [begin|end|start|happen|take place|over]?
What [year|century|date] did <event> [happen|begin|take place|end]?
[What|who] caused <event>?
[What were the|Name two] [causes|consequences|results] of <event>?
[Who|Which country|Which side] won <event>?
Who invented <invention>?
[In what|What] year was <invention> invented?
[Where|In which country|In which city|On which continent] is <landmark> [located|found|situated|]?
How [tall|old|long|deep|high|big] is <landmark>?
[Which|What] country [has|owns|contains|is home to] <landmark>?
Who [built|designed|discovered|climbed|first crossed] <landmark>?
What [is|are] <science>?
[Why|How] [does|do|is|are] <science> [work|occur|important|formed|caused]?
[Explain|Define|Describe] <science>[ in simple terms| briefly|].
what does <organ> do [in the human body|]
What is the function of <organ>?
Where in the body [is|are] <organ> [found|located]?
What is the [chemical symbol|atomic number|melting point|boiling point|density] [for|of] <element>?
[How many|Which] [moons|rings] [does|has] <planet> [have|got]?
[How far|What distance] is <planet> from the [Sun|Earth]?
Which planet [is closest to the Sun|is the largest|has the most moons|is known as the red planet|spins backwards]?
What [do|does] [a|an] <animal> eat?
[What is a|What do you call a] [baby|group of|female|male] <animal>[s|] called?
[How long|How many years] does a <animal> live?
[How fast can|How high can|How much does] a <animal> [run|jump|weigh|swim]?
What is the [largest|smallest|fastest|tallest|most venomous|most populous|longest] [animal|country|river|mountain|snake|bird|lake|desert|ocean|city] in [the world|<country>|Africa|Asia|South America|Europe]?
[What|Which] [river|mountain range|sea|ocean] [flows through|separates|borders|runs through] <city> [and <country>|]?
What [currency|language|religion] [is used|is spoken|do they use|do they speak] in <country>?
[What is|tell me] the population of [<country>|<city>|<state>]
Who is the [president|prime minister|king|queen|leader|current president|vice president] of <country>?
Who was the [first|second|third|last|youngest|oldest] [president|king|emperor|queen|prime minister] of <country>?
[Who|Which team] won <trophy> in <year>?
How many times [has|have] <team> won <trophy>?
What team [does|did] <person> play for?
[Who|which player] holds the record for [most goals|most home runs|the fastest mile|most grand slams]?
Which [film|movie|actor|actress] won [the Oscar for best picture|best actor] in <year>?
What [band|group|singer] [recorded|released|had a hit with] <work> [in <year>|]?
What [character|role] did <person> play in <work>?
In <work>, [who|what] is the name of [the main character|the villain|the dog|the captain|the house]?
How many [seasons|episodes|movies|books] are there in <work>?
what year did <work> come out
when was <work> [released|written|published|first performed]
who plays [the mother|the doctor|the king|the detective] in <work>
[what|which] [amendment|article|law] [abolished slavery|gave women the right to vote|protects free speech|limits the president to two terms]
What is the meaning of the [word|term|phrase|Latin phrase] ['ubiquitous'|carpe diem|"status quo"|altruism|laissez-faire|de facto|sonnet]?
What does [NASA|HTML|DNA|UNESCO|RSVP|ATM|SCUBA|NATO|PDF|the e in email] stand for?
[define|what's the definition of|definition of|meaning of] [ephemeral|velocity|democracy|irony|osmosis|metaphor|capitalism|gerrymandering|nebula]
what is [a|an] [sonnet|aardvark|haiku|oligarchy|monsoon|tsunami|comet|democracy|stalactite|blockchain|pandemic|mortgage|glacier|fjord|mineral|habitat|molecule|satellite]
what is the difference between [a virus and a bacterium|weather and climate|a crocodile and an alligator|mitosis and meiosis|England and Britain|a lake and a pond|jam and jelly|a comet and an asteroid|ethics and morals]
[Do|Can|Are|Is] [penguins|bats|sharks|spiders|dolphins|tomatoes|viruses|mushrooms] [fly|mammals|blind|fruits|insects|alive|sleep]?
Would [a <animal>|<person>] [survive|fit|have been able to] [in <country>|inside <landmark>|see <event>]?
Did <person> [ever meet|live at the same time as|know] <person>?
[Is it true that|True or false:] [bananas are berries|the Great Wall is visible from space|lightning never strikes twice|goldfish have short memories|we only use ten percent of our brains]?
What happens [if you swallow gum|to your body in space|when you crack your knuckles|if you eat too many carrots|to water when it freezes|when ice melts|if you break a mirror]?
Why [is the sky blue|do leaves change colour|is the sea salty|do cats purr|do we dream|does it thunder|do onions make you cry|is blood red|do we have leap years|is the dead sea so salty]?
Why do some people [believe|say|think] [the earth is flat|that vaccines are dangerous|gold is a good investment]?
What is the [healthiest|safest|most common|best scientifically supported] [diet|treatment for a cold|cause of death|blood type|gas in the air|language]?
What [vitamin|mineral|hormone|gas|metal|acid|organ|disease] [is produced by|is found in|causes|is used in|do we get from] [sunlight|bones|scurvy|batteries|plants|lemons|the liver|steel]?
How many [bones|teeth|chromosomes|chambers|players|strings|sides|keys|legs|states|time zones|stars] [are there in|does|are on] [the human body|a violin|a piano|a soccer team|an insect|the US flag|the heart|a guitar|Russia] [have|]?
Which [gas|element|planet|country|author|king|artist|vitamin|bone|scientist|composer|general|explorer|empire|treaty|philosopher] [is|was|did] [known as|associated with|responsible for|nicknamed|named after|defeated at] [the largest|relativity|the longest|laughing gas|the Sun King|the Old Masters|Waterloo|impressionism|the categorical imperative]?
This [scientist|author|president|country|river|city|actor|explorer] [was the first to|is known for|wrote|discovered] [cross the Atlantic|gravity|the theory of relativity|a famous diary|having the longest coastline]
[Name|List] [three|two|the|five] [countries that border <country>|planets|noble gases|primary colors|continents|novels by <person>|layers of the atmosphere|branches of government]
[Which|What] of [these|the following] [is|are] [a mammal|not a planet|a renewable resource|a noble gas|made by plants|the best conductor|an example of <science>|found in <country>]? (A) <animal> (B) <element> (C) <organ> (D) <planet>
Which of the following best [describes|explains|defines|illustrates] <science>? A) It [needs heat|is a force|changes over time] B) It [is stored in cells|is made of rock] C) None of these
Which [statement|factor|process|theory|structure] [best|most likely|correctly] [describes|explains|causes|contributes to] <science>?\nA. <science>\nB. <science>\nC. <science>\nD. <science>
A [student|scientist|farmer|patient|doctor] [observes|notices|wants to study|presents with|measures] [that plants grow toward light|a fever and a rash|a drop in temperature|chest pain|a shiny rock]. What is the most likely [cause|explanation|diagnosis|result]? A. <science> B. <organ> C. <element> D. <science>
[Plants|Animals|Rocks|Stars|Rivers|Magnets|Birds|Mammals] [get energy from|are classified by|form when|adapt to winter by] [A. sunlight B. soil C. air D. rocks|(A) migrating (B) sleeping (C) eating (D) melting]
According to [Kant|Freud|Marx|Plato|Keynes|Piaget|Hobbes|Aristotle|Mill|Darwin|the theory of <science>], [what is|which of the following is|how is] [a categorical imperative|true of human nature|the ego|happiness]?
The [first|largest|main|primary] [function|purpose|cause|source|example] of <science> is
The [Treaty|Battle|Siege|Edict|Council] of [Paris|Vienna|Orleans|Nantes|Trent|Tours] [was signed in|took place in what year|ended which war]?
[the|] [branch of government|part of the cell|type of rock|layer of the earth|stage of mitosis] [that|which|where] [makes laws|makes energy|forms from lava|is liquid|chromosomes separate]
where does the name [Google|<country>|<city>|Halloween|avocado|Wednesday] come from
where did [the term|the phrase|the song] [raining cats and dogs|ok|jazz|<work>] [come from|originate]
who sings [the song |][<work>|the theme song|that song about tomorrow|let it be me]
who is [singing|playing|the voice of|the author of|the owner of] [in <work>|<work>|<team>|the cat in <work>]
who owns [<team>|youtube|the moon|jaguar cars|the new york times]
when is [the next leap year|mothers day|easter|the summer solstice|the super bowl] [in <year>|celebrated|in <country>]
when does [daylight saving time end|school start in <country>|the next season of <work> come out]
what time zone is <city> in
what [county|state|country|continent|region] is <city> in
how far is [<city>|it] from [<city>|<city> to <city>]
what's the [distance|flight time] [between|from] <city> [and|to] <city>
tell me about [<person>|<event>|<landmark>|<science>|the history of <country>|<animal>s]
[give me|i want] [information|facts|some facts] [about|on] [<person>|<country>|<animal>s|<event>]
who is <person>
who was <person> [married to|]
how old is <person>
how tall is <person>
what is <person>'s [net worth|birthday|age|height|nationality]
how much [does|did] [<work> make|<person> earn|a <animal> weigh|the titanic cost|gold cost] [at the box office|]
is <city> [in|the capital of|bigger than] <country>
[In|During|After|Before] <event>, [who|what|which country] [led|commanded|invaded|signed] [the army|France|the treaty]?
In [Greek|Roman|Norse|Egyptian|Hindu] mythology, who [was|is] the [god|goddess] of [war|love|the sea|wisdom|thunder|the dead]?
In [music|chess|tennis|golf|cricket|poker|heraldry|architecture|law|economics|computing|medicine|photography], what [is|does] ['forte'|a gambit|love mean|a birdie|a maiden over|a full house|azure|a flying buttress|a tort|GDP|RAM|tachycardia|aperture]?
[Known as|Born in|Founded in|Completed in|Nicknamed] [the Big Apple|<year>|"The Boss"|the Iron Lady|<city>], [who|what|which city|which company] [is|was] [this|it]?
What [was|is] the name of [<person>'s horse|the ship in <work>|the first satellite|the river in <city>|the dog in <work>|the last pharaoh]?
What [color|shape|animal|symbol|number] [is on|appears on|represents] [the flag of <country>|the jersey of <team>|Apple's logo|a stop sign]?
From which [country|language|language|plant|animal] [does|do] [feta|the word 'kindergarten'|vanilla|cashmere|origami|tequila] [come|originate]?
Complete the [proverb|quote|title]: [a bird in the hand is worth|to be or not to be|all that glitters] ...
[photosynthesis|mitosis|the nitrogen cycle|erosion|osmosis] [takes place in|happens where|is the process of|occurs when]
[largest|tallest|oldest|richest|smallest] [city in <country>|building in <city>|man in history|country by area|living animal]
[recipe|ingredients|what's] [for|in] [<food>|guacamole|a margarita|hollandaise]
what is [<food>|caviar|tempeh|risotto] made [of|from]
how [is|do you make|do they make] [<food>|cheese|glass|paper|steel|wine] [made|]
how do [airplanes fly|magnets work|bees make honey|vaccines work|refrigerators work|tides work|you catch a cold|computers store data]
what are the [symptoms|side effects|causes|stages|treatments] of [diabetes|the flu|aspirin|anemia|asthma|grief|sleep apnea]
what is the [speed of light|freezing point of water|boiling point of water|ph of blood|tallest mountain|longest river|human body temperature]
What is the [symbol|element symbol|chemical formula|meaning|plural|origin|nickname|capital|motto] of "[<element>|<country>|<animal>|<state>|caveat emptor|<work>]"?
What element has the symbol "<letter>"?
Whose [ghost|daughter|name|voice|sword|face] [appears in|is heard in|is on|haunts] ['<work>'|"<work>"|the dollar bill]?
[Identify|Name] the [song|singer|film|band|speaker]: "[I want to be where the people are|You take the high road and I take the low road|Let me go, let me go home|Nobody puts Baby in a corner|I'm not your lover, I'm not your friend]"
(Identify the <person> song) [You can take my money, honey, but you're no good for me|I know what you want so let me be|Tell me why you left me here to cry]
[What|which] [car|flag|logo|animal|building] is this?
[what is|whats|explain|define|what's] [dna|aids|hiv|nasa|adhd|ptsd|gdp|the un|nato|rna|co2|gmo|mri|ebola|karma|zen|yoga|jazz|rap|opera|bitcoin|inflation|entropy|gravity|voodoo|chess|rugby|lent|ramadan|diwali|hanukkah][?|]
[tell me|can you tell me|what do you know|i want to know|read me something] about [the french revolution|<event>|<person>|ancient rome|the history of <city>|<science>|<country>|the moon landing|volcanoes|black holes|the roman empire|world war two]
What is the [first-line|best|most common|recommended] [drug|treatment|test|dose] for [patients|people|adults|children] with [type <n> |stage <n> |]<science>[, as of <year>|]?
In a [cohort|clinical|case-control] study [of <k> people|], the [risk|odds] ratio [of|for] [cancer|diabetes|stroke] was <dec>[ (95% CI <dec> to <dec>)|]. [What does this mean?|Which statement is correct?]
A [car|ball|rocket|stone] [changes|increases|reduces] its speed from <n> m/s to <n> m/s. [What is this change called?|Which force caused it?|What kind of energy does it have?]
[Water|Ice|Iron|Oxygen|The sample] at <m> degrees [melts|boils|expands]. This is an example of [which process?|what kind of change?]
What [percentage|share|fraction] of [the human body|the Earth's surface|people in <country>|the atmosphere] is [water|nitrogen|under 18|covered by ice]?
There are three ways to [measure|classify|describe] <science>. What is [the first|the most common|the second]?
One of your [clients|patients|students|colleagues] asks [your advice|for help] about <science>. You [should|are required to|may] first
In [issues management|public relations|marketing|accounting|first aid|management|nursing|dentistry], what is the [most proactive|most common|best|first] [approach to|step in|form of] <science>?
[tell me about|explain|describe|teach me about|give me a summary of|summarize] the [french revolution|american civil war|roman empire|great depression|renaissance|solar system|digestive system|cold war|industrial revolution|ice age|silk road|ottoman empire|stock market|electoral college|food chain|big bang][.|]
[what is|what are|whats] [dna|rna|photosynthesis|gravity|an atom|atoms|a cell|cells|an enzyme|bacteria|viruses|a black hole|black holes|antibodies|tectonic plates|fossil fuels|hormones|proteins|vitamins|stem cells|inflation|democracy|a molecule][?|]
how [many calories|much sugar|much protein|much caffeine|many carbs|many grams of fat] [are|is|does] [in|there in] [an apple|a banana|an egg|<food>|a cup of coffee|a glass of milk|a big mac][?|]
[what is|what's|how many miles is|how many kilometers is] the [distance|way|flight] [to the moon|from <city> to <city>|between <city> and <city>|to the sun|around the earth] [in miles|in kilometers|in light years|by car|][?|]
how many [miles|kilometers|hours|feet] [is it|away is|deep is|high is|long is|wide is] [from <city> to <city>|the moon|<landmark>|the ocean|the equator]
how [tall|high|deep|long|heavy|far] is <landmark> in [feet|meters|miles|pounds|kilometers]
what is the [weight|height|speed|length|temperature] of [a blue whale|the sun|<landmark>|a <animal>|<planet>|lightning] in [tons|feet|mph|degrees|meters]
Statement 1 | <event> ended in <year>. Statement 2 | <person> was born in <country>. [Which is right?|A. True, True B. False, False C. True, False D. False, True]
[has|had|have|did|was|is|does] <person> [ever|once|really|also] [visited|visit|win|won|lived in|live in|write] [<country>|<city>|an Oscar|a Nobel prize][?|]
[The|A] [number|color|main function|purpose|shape|source|cause|result|largest part] of [<organ>|<science>|<landmark>|a <animal>'s heart|the flag of <country>] is
[When|If|As|Because] [food|water|air|light|a <animal>|the Moon|<element>] [is heated|moves|is reduced in <organ>|grows|reacts with <element>|passes through glass], [it|the result is|this is called|]
What [happened|was discovered|was built|ended] in <year>?
It was [discovered|painted|signed|built] in <year> and [is also known as|later became] <work>. What is it?
A [painting|literary|musical|political] movement that flourished in <country> in the <year>s and [featured|rejected] <science>.
what [stocks|company|brand] [is|makes|owns] [the iphone|lamborghini|instagram|the biggest|oreo]
""".splitlines()
    if line.strip()
)

_STEMS = (
    "Which of the following is {a}?",
    "Which of these would be most useful to {b}?",
    "What is the main reason that {c}?",
    "{d} is best described as",
    "The term {e} refers to",
    "What causes {f}?",
    "{e} was first described by",
    "Which one of the following statements about {f} is correct?",
    "Which of the following would most likely result from {f}?",
    "In the study of {f}, the word {e} means",
    "A patient with a disorder of {g} would most likely show",
    "What was one effect of {h}?",
    "Where would you find {g}?",
    "What is the difference between {f} and {e}?",
    "{c} because",
    "Which scientist first explained {f}?",
    "An example of {f} is",
)


def _multiple(chance: random.Random) -> str:
    """A question with lettered options, as in exams."""
    stem = chance.choice(_STEMS).format(
        a=chance.choice(
            (
                "an example of a chemical change",
                "a renewable source of energy",
                "not a vertebrate",
                "a physical property",
                "a primary consumer",
                "true of the Renaissance",
                "an inherited trait",
                "a right under the Constitution",
            )
        ),
        b=chance.choice(
            (
                "measure wind speed",
                "see a cell",
                "separate salt from water",
                "reduce air pollution",
                "prevent erosion",
            )
        ),
        c=chance.choice(
            (
                "the seasons change",
                "plants need sunlight",
                "metals conduct heat",
                "animals migrate",
                "Rome fell",
                "prices rise",
                "ships float",
            )
        ),
        d=drawn("science", chance).capitalize(),
        e=chance.choice(
            (
                "homeostasis",
                "manifest destiny",
                "specific heat",
                "elasticity",
                "mens rea",
                "the id",
                "federalism",
                "the Golgi apparatus",
                "phoneme",
                "externality",
            )
        ),
        f=drawn("science", chance),
        g=drawn("organ", chance),
        h=drawn("event", chance),
    )
    slot = chance.choice(
        ("science", "organ", "animal", "country", "person", "event", "element", "invention")
    )
    options = some(slot, 4, chance)
    marks = chance.choice(
        (
            ("A. ", "B. ", "C. ", "D. "),
            ("(A) ", "(B) ", "(C) ", "(D) "),
            ("A) ", "B) ", "C) ", "D) "),
            ("1. ", "2. ", "3. ", "4. "),
            ("a) ", "b) ", "c) ", "d) "),
            ("- ", "- ", "- ", "- "),
        )
    )
    gap = chance.choice(("\n", " ", "\n"))
    listed = gap.join(mark + option for mark, option in zip(marks, options, strict=True))
    head = chance.choice(("", "", "", "Options:\n", "Choices: ", "Answer Choices:\n"))
    return f"{stem}\n{head}{listed}"


GENERATORS = (
    _multiple,
    _multiple,
    *trivia.GENERATORS,
    *exams.GENERATORS,
)
