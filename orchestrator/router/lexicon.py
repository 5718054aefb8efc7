"""Small closed lists of words that tell the kinds of prompt apart, by what they are and not by what
any one data set says."""

from __future__ import annotations


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_UNITS = _set("""
inch inches in foot feet ft yard yards yd mile miles mi meter meters metre metres m centimeter
centimeters centimetre centimetres cm millimeter millimeters mm kilometer kilometers kilometre
kilometres km pound pounds lb lbs ounce ounces oz gram grams g kg kgs kilo kilos kilogram kilograms
milligram milligrams mg ton tons tonne tonnes stone cup cups pint pints quart quarts gallon gallons
liter liters litre litres ml milliliter milliliters millilitre millilitres tablespoon tablespoons
tbsp teaspoon teaspoons tsp celsius fahrenheit centigrade kelvin degree degrees acre acres hectare
hectares knots mph kph kmh second seconds minute minutes hour hours day days week weeks month months
year years decade decades century centuries fortnight byte bytes kilobytes megabyte megabytes
gigabyte gigabytes terabyte terabytes mb gb kb tb bits joule joules calories kilojoules watt watts
kilowatt kilowatts horsepower psi pascals newtons radians furlong furlongs fathom fathoms barrels
light-year parsecs nanometers nanoseconds milliseconds carats
""")
_NUMBERS = _set("""
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen twenty thirty forty fourty fifty sixty seventy eighty ninety
hundred thousand million billion dozen
""")
_CURRENCIES = _set("""
dollar dollars cents euro euros pound pounds yen usd eur gbp pesos rupees yuan francs rubles won
currency bucks inr cad aud
""")
_LANGUAGES = _set("""
python javascript java typescript rust golang kotlin swift ruby php perl haskell scala bash sql html
css matlab c++ js py react django flask pandas numpy jquery node angular linux git docker excel vba
""")

CLASSES: dict[str, frozenset[str]] = {
    "units": _UNITS - {"in", "m", "g"},
    "convert": _set("convert converts converted converting conversion conversions equal equals"),
    "currencies": _CURRENCIES,
    "numbers": _NUMBERS,
    "arithmetic": _set("""
    plus minus times divided divide multiply multiplied subtract subtracted add added sum product
    quotient difference square squared cubed cube root factorial power percent percentage average
    tip calculate calculator compute mod modulo logarithm log sqrt half double triple total math
    """),
    "wh": _set("what who whom whose when where which why how whats what's who's where's when's"),
    "second": _set("you your yours yourself u ur you're you've you'll youre ya thou"),
    "first": _set("i i'm im my me mine i've i'll i'd we our us ive myself"),
    "third": _set("he she his her him they their them"),
    "chat": _set("""
    hi hello hey howdy yo hiya greetings morning evening thanks thank thx please sorry bye goodbye
    later yes no yeah nope yep ok okay sure lol haha wow oh hmm ah um well feel feeling feelings
    love like hate favorite favourite friend friends joke jokes funny laugh fun happy sad bored
    tired lonely nice cool great awesome talk chat tonight today yesterday tomorrow weekend name
    robot human bot ai assistant meet birthday hobby hobbies pet pets really guess maybe
    """),
    "connectives": _set("""
    if then all every each no none some either neither nor or and not unless only any nobody
    everyone someone something implies therefore hence thus exactly must cannot either both
    """),
    "truth": _set("""
    true false unknown uncertain valid invalid follows conclude concluded conclusion conclusions
    premise premises hypothesis entail entails entailed entailment inferred infer deduce deductively
    statement statements argument assumption assumptions weakens strengthens weaken strengthen
    reasoning logically contradiction contradicts lies liar truth knight knave knights knaves facts
    implied inference author's paragraph passage flaw flawed consistent syllogism following
    """),
    "order": _set("""
    left right leftmost rightmost first second third fourth fifth last before after next above below
    between older younger taller shorter newest oldest finished immediately adjacent opposite
    """),
    "story": _set("""
    bought buys sold sells gave gives has had have left remaining altogether each more fewer than
    costs cost spent spend earns paid pay took takes ate eats made makes collected shared total
    many much per twice average together did does give started walked drove years old
    """),
    "mathematical": _set("""
    equation equations solve simplify expand factor evaluate integer integers prime primes divisor
    divisors divisible multiple multiples triangle circle square rectangle radius diameter perimeter
    area volume angle angles polynomial polynomials derivative integral function fraction fractions
    decimal probability sequence matrix vector vectors real positive negative digits digit sum
    remainder ratio median mean variable variables roots coefficient prove theorem sides length
    parallel perpendicular graph slope intercept coordinates sin cos tan logarithm dx let denote
    """),
    "code": _set("""
    code function method class program script string strings array arrays list lists tuple tuples
    dictionary dict element elements integer int float bool boolean return returns print output
    input loop index indices variable parameter parameters implement algorithm file files database
    table query column columns rows regex error exception bug debug compile api server html import
    def self null none nums substring subarray node nodes tree linked stack queue sort sorted json
    object character characters command directory example constraints test cases lambda integers
    dataframe pattern value values key keys
    """),
    "languages": _LANGUAGES,
    "knowledge": _set("""
    capital president king queen war battle invented invention discovered written wrote born died
    country city river mountain island planet movie film song album band singer actor actress author
    book novel character played plays team season episode won winner championship world history
    century ancient name named called located first largest famous known term process disease
    animal plant species cells energy water earth chemical element blood body organ government law
    language religion population year state county river empire released population define meaning
    """),
    "imperative": _set("""
    write create implement build make generate design find given return determine show print convert
    explain describe fix refactor optimize complete develop edit rewrite sort
    """),
}

# Words that keep their own name in the skeleton: the language's small words, and words of asking.
KEPT = _set("""
a an the of to in on at by for from with into than as about between is are was were be been being am
do does did done have has had can could will would shall should may might must not no yes and or but
if then else so because that this these those there here it its he she they we you i me my your his
her their our him them us what who whom whose when where which why how many much more most less
fewer left long far old tall often each every all some any both either neither none only other
another same such very too also just up down out over under after before now total altogether
following true false unknown uncertain statement conclusion premise premises following argument
write function program return returns given find calculate compute solve convert tell give show
prove let explain define name called first last one's let's what's who's how's i'm you're don't
whats which's plus minus times divided equal equals percent sum times per
""")

SKELETON: dict[str, str] = {
    **dict.fromkeys(_UNITS - {"in"}, "U"),
    **dict.fromkeys(_CURRENCIES, "M"),
    **dict.fromkeys(_LANGUAGES, "L"),
    **dict.fromkeys(_NUMBERS, "#"),
    **{word: word for word in KEPT},
}
