"""More knowledge: searches as they are typed, names and titles full of ordinary words and numbers,
quiz clues. See ``templates``."""

# ruff: noqa: SIM905

from __future__ import annotations

import random
import re

from training.router.phrases.slots import drawn

FIRST = (
    "james|mary|robert|linda|michael|susan|david|karen|john|nancy|paul|betty|mark|sandra|"
    "george|donna|steven|ruth|andrew|sharon|brian|amy|edward|anna|ronald|rebecca|anthony|"
    "kathleen|kevin|helen|jason|carl|ryan|ben|eric|walter|priya|chen|yusuf|ingrid|pierre|"
    "giovanni|rosa|dmitri|akira|fatima|olaf|carlos"
).split("|")
LAST = (
    "smith|jones|brown|miller|davis|wilson|moore|taylor|thomas|jackson|white|harris|martin|"
    "clark|lewis|lee|walker|hall|allen|young|king|wright|scott|green|baker|adams|nelson|hill|"
    "campbell|mitchell|roberts|carter|phillips|evans|turner|parker|collins|edwards|stewart|"
    "morris|murphy|cook|rogers|morgan|cooper|reed|bailey|bell|kelly|howard|ward|cox|gray|"
    "watson|brooks|price|wood|ross|bennett|kennedy|lincoln|roosevelt|khan|singh|patel|schmidt|"
    "rossi|tanaka|ivanov|garcia|lopez|murray|stone|fox|marsh"
).split("|")
_TITLE = (
    "love|you|me|the|night|day|heart|world|end|house|river|moon|fire|rain|dark|lost|last|first|"
    "king|queen|secret|garden|winter|summer|wild|blue|red|black|gold|dream|dance|home|road|"
    "dead|life|time|game|tiger|dragon|star|shadow|light|song|girl|boy|man|woman|friend|baby|"
    "only|want|need|know|never|always|say|come|go|back|away|here|one|two|little|big|good|bad|"
    "happy|crazy|lonely|when|if|i|my|your|we|all|every|day|tonight|wish|tell|stop|believe"
).split("|")
NOUNS = (
    "volcano|parliament|treaty|enzyme|fossil|senate|monarchy|desert|glacier|virus|protein|"
    "orbit|comet|reef|colony|canal|dynasty|cathedral|census|tariff|embargo|pension|passport|"
    "currency|inflation|mortgage|dividend|jury|verdict|subpoena|bail|statute|copyright|patent|"
    "vitamin|mineral|vaccine|antibody|artery|tendon|cartilage|membrane|chromosome|allele|"
    "photon|proton|neutron|electron|isotope|alloy|polymer|solvent|catalyst|acid|base|salt|"
    "crystal|magma|basalt|granite|limestone|estuary|delta|fjord|isthmus|peninsula|archipelago|"
    "monsoon|cyclone|tornado|drought|famine|plague|epidemic|feudalism|mercantilism|socialism|"
    "communism|fascism|imperialism|nationalism|secularism|buddhism|hinduism|judaism|islam|"
    "christianity|confucianism|stoicism|existentialism|impressionism|cubism|baroque|gothic|"
    "renaissance|sonnet|haiku|ballad|epic|metaphor|simile|alliteration|irony|satire|fugue|"
    "sonata|symphony|opera|tempo|octave|violin|cello|trumpet|oboe|quarterback|goalkeeper|"
    "wicket|birdie|bishop|rook|pawn|checkmate|marathon|triathlon|javelin|sommelier|barista|"
    "sous-chef|yeast|gluten|saffron|vanilla|cinnamon|caffeine|nicotine|cholesterol|insulin|"
    "adrenaline|melatonin|serotonin|dopamine|collagen|keratin|lichen|fungus|moss|fern|conifer|"
    "orchid|cactus|larva|pupa|marsupial|rodent|primate|amphibian|crustacean|mollusk|arachnid|"
    "nebula|quasar|pulsar|supernova|eclipse|solstice|equinox|meridian|latitude|longitude|"
    "tectonic|seismograph|barometer|thermometer|telescope|microscope|pendulum|turbine|piston|"
    "gearbox|transistor|capacitor|semiconductor|firewall|algorithm|bandwidth|router|satellite|"
    "turret|moat|drawbridge|catapult|guillotine|musket|galleon|submarine|zeppelin|tank|radar|"
    "sonar"
).split("|")
ROLES = (
    "author|singer|director|founder|inventor|owner|coach|captain|governor|mayor|ceo|president|"
    "senator|king|actress|actor|drummer|narrator|composer|host|winner|mother|daughter|voice|"
    "chairman|secretary|minister|ambassador|architect|painter|lead|guitarist|chief|justice|"
    "head|coach|vice|president|first|lady"
).split("|")
_THINGS = (
    "iphone {n}|boeing 7{m}7|windows {n}|galaxy s{n}|season {n}|episode {n}|super bowl {n}|"
    "world war {n}|the {n}th amendment|apollo {n}|route {n}|formula {n}|area {m}|the {m} rule|"
    "blink 182|the {year} olympics|the {year} world cup|the {year} election|the {n}th century|"
    "the $ {m} bill|grade {n}|playstation {n}|fast and furious {n}|toy story {n}|chapter {n}|"
    "the {m} pound note|article {n}|hurricane of {year}|world cup {year}|oscars {year}|"
    "season {n} of {title}|{title} {n}|ncaa {year}|section {m}"
).split("|")
PLACES = (
    "the united states|india|uk|england|canada|south africa|nigeria|texas|california|ohio|"
    "vermont|michigan|scotland|australia|kenya|new york|china|pakistan|europe|mexico|hawaii|"
    "the philippines|germany|ireland|africa|the ocean|north carolina|los angeles|london|boston|"
    "the world|the bible|the human body"
).split("|")


def _title(chance: random.Random) -> str:
    return " ".join(chance.choice(_TITLE) for _ in range(chance.randint(2, 5)))


def person(chance: random.Random) -> str:
    return f"{chance.choice(FIRST)} {chance.choice(LAST)}"


def _named(chance: random.Random) -> str:
    """Something with a proper name: a person, a title, a numbered thing, a landmark."""
    draw = chance.random()
    if draw < 0.3:
        return person(chance)
    if draw < 0.6:
        return _title(chance)
    if draw < 0.8:
        return chance.choice(_THINGS).format(
            n=chance.randint(1, 30),
            m=chance.randint(2, 90),
            year=drawn("year", chance),
            title=_title(chance),
        )
    return drawn(
        chance.choice(("landmark", "event", "work", "person", "team", "invention", "planet")),
        chance,
    )


_SEARCHES = """\
who {verb} {it}
who {verb} the song {title}
who {verb} {title} first
who sings {title}
who plays {person} in {title}
who played the {role} in {title}
who is the {role} of {place}
who was the {role} of {it}
who was the {role} of {place} in {year}
who won {it}
who won {thing}
who has the most {plural} in {place}
who came up with the {noun}
who owns {it}
who said {title}
who got {past} in {thing}
who does the voice of {person}
who is {person} based on
who is {person} married to
when did {it} {happen}
when was {it} {past}
when was the last time {it} won
when is {thing}
when does {thing} {happen}
when did the {noun} {happen}
when was the {noun} {past} in {place}
when do {plural} {happen}
where is {it}
where was {title} filmed
where does {it} take place
where did the {noun} come from
where are the {plural} in {place}
where is the {noun} located in {place}
where does the name {person} come from
what is {it}
what is the {noun} of {place}
what is a {noun}
what does {noun} mean
what is the meaning of {noun}
what is the name of the {noun} in {title}
what is the name of {person}'s {role}
what year did {thing} {happen}
what episode of {title} does {person} die
what type of {noun} is {it}
what kind of {noun} is found in {place}
what is the role of the {noun} in {place}
what does the {noun} do in {place}
what is the real name of {person}
what is the average age to {do} in {place}
what is the legal age to {do} in {place}
what are the {plural} of {place}
what percentage of {plural} are in {place}
what is the largest {noun} in {place}
what are the three types of {plural}
how many {plural} are in {place}
how many {plural} does {it} have
how many episodes are in {thing}
how many seasons of {title} are there
how many times has {it} won
how many people live in {place}
how many {plural} in {thing}
how old do you have to be to {do} in {place}
how old do you have to be to {do}
how old is {person}
how much does a {role} make in {place}
how much did {title} make
how long is {thing}
how long does it take to {do}
how far is {place} from {place}
how tall is {person}
how did {person} die in {title}
how are {plural} made
how is a {noun} formed
how do {plural} work
why is {it} called that
why did {person} leave {title}
why do {plural} {happen}
why was the {noun} {past}
do you have to {do} in {place}
can you {do} in {place}
is {it} a true story
is {person} still alive
is there a {noun} in {place}
does {person} die in {title}
did {person} win {thing}
which {noun} is in {place}
which {role} won {thing}
which of the {plural} is the largest
in which {noun} does {it} {happen}
in what {noun} was {person} born
{title} release date
{title} cast
{title} song meaning
the {role} of {title}
{person} {title} lyrics
{thing} release date
{plural} in {place}
list of {plural} in {place}
the first {noun} in {place} was
the {noun} is made up of
{noun} definition
most {plural} in {thing}
first {role} of {place}
{role} in {title} and {title}
meaning of the word {noun}
the term {noun} refers to what
the {noun} that is found in {place} is called
a {noun} that is transmitted by {plural}
what does it mean to be a {noun} in {place}
what state is {it} in
what channel is {title} on
what can you do with {plural}
states that do not allow you to {do}
countries that have a {noun}
best {role} of all time
{person} real name
{noun} vs {noun}
name the {role} of {it}
name two {plural} of {place}
the lyrics to {title}
where can you find {plural}
what happens when you {do}
what do you call someone who studies {plural}
what do you need to {do} in {place}
""".splitlines()
_DO = (
    "vote|drink|get married|drive|own a gun|rent a car|buy cigarettes|get a tattoo|work|"
    "join the army|leave school|adopt a child|become a judge|climb everest|fly a drone|"
    "be president|donate blood|register a car|collect rain water|gamble|fish|retire|"
    "get a passport|become a doctor|be an astronaut"
).split("|")
_HAPPEN = (
    "start|end|come out|begin|happen|take place|close|open|air|die|premiere|become a state|win|"
    "go away|launch|form|occur|change|get back together|leave|migrate|join|move|become legal"
).split("|")
PAST = (
    "built|founded|invented|discovered|written|released|published|abolished|introduced|signed|"
    "made|killed|elected|filmed|born|established|reduced|banned|created|named|eliminated|"
    "voted off|completed|destroyed|opened|traded|formed|crowned"
).split("|")
_VERBS = (
    "wrote|sang|directed|invented|discovered|founded|produced|played|recorded|starred in|won|"
    "painted|built|designed|killed|composed|hosts|owns|voiced|did|sings|narrates|created|"
    "established|signed|lost to|defeated|ran against|succeeded|named"
).split("|")


def _search(chance: random.Random) -> str:
    """A question as it is put to a search engine, lower case more often than not."""
    noun = chance.choice(NOUNS)
    text = chance.choice(_SEARCHES).format(
        verb=chance.choice(_VERBS),
        it=_named(chance),
        title=_title(chance),
        person=person(chance),
        role=chance.choice(ROLES),
        place=chance.choice(PLACES),
        thing=chance.choice(_THINGS).format(
            n=chance.randint(1, 30),
            m=chance.randint(2, 90),
            year=drawn("year", chance),
            title=_title(chance),
        ),
        year=drawn("year", chance),
        noun=noun,
        plural=f"{chance.choice(NOUNS)}s",
        happen=chance.choice(_HAPPEN),
        past=chance.choice(PAST),
        do=chance.choice(_DO),
    )
    draw = chance.random()
    if draw < 0.6:
        return text.lower()
    if draw < 0.8:
        return text[:1].upper() + text[1:] + "?"
    return text.title().replace("'S", "'s") + "?" if draw < 0.9 else text[:1].upper() + text[1:]


_CLUES = """\
What {noun} of {place} was {past} in {year} by {person}?
In the film "{title}", which {role} {verb} the {noun}?
Which {noun}, {past} in {year}, is also known as "{title}"?
After a {n}-{m} win against this team (in {year}), {person} said what?
Identify the song: "{title}, {title}, and {title}"
This {role}, born in {place}, {verb} "{title}".
{n} years ago today, which {role} set a record for most {plural} in one {noun}?
{person} was {role} of which {noun} from {year} to {year}?
In what {noun} is {person} said to be hiding in {title}?
What was the name of the {noun} on which {person} and {person} met in {year}?
Before the {year} {noun}, which {role} had {past} {n} {plural}?
({place}) What is the only {noun} that is {past} with a {noun}?
Which {role} was {past} by {person} at the age of {n}?
True/False: {person} was {past} in {place} in {year}.
{Noun} was {past} by which {role}?
The {noun} {title} is found in which {noun}?
What is the {n}th letter of the Greek alphabet?
Which is the only {noun} in {place} to have {n} {plural}?
"{title}" is the motto of which {noun}?
What element, symbol {letter}, is used in {plural}?
""".splitlines()


_SLOT = re.compile(r"\{(title|person|place|year|noun)\}")


def _clue(chance: random.Random) -> str:
    """A quiz question full of names."""
    text = chance.choice(_CLUES)
    while found := _SLOT.search(text):
        match found[1]:
            case "title":
                made = _title(chance).title()
            case "person":
                made = person(chance).title()
            case "place":
                made = chance.choice(PLACES).title()
            case "year":
                made = drawn("year", chance)
            case _:
                made = chance.choice(NOUNS)
        text = text[: found.start()] + made + text[found.end() :]
    return text.format(
        role=chance.choice(ROLES),
        past=chance.choice(PAST),
        verb=chance.choice(_VERBS),
        plural=f"{chance.choice(NOUNS)}s",
        n=chance.randint(2, 60),
        m=chance.randint(2, 60),
        Noun=chance.choice(NOUNS).title(),
        letter=drawn("letter", chance),
    )


GENERATORS = (_search, _search, _search, _clue, _clue)
