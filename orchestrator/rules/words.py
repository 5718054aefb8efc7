"""Words that a redacted prompt may keep: the language's function words, and the words that tell one
kind of work from another. No names, no places, nothing that says whose prompt it is."""

from __future__ import annotations

_FUNCTION = """
a about above across after again against ago all almost along already also although always am among
an and another any anybody anyone anything anyway anywhere are aren't around as at away back be
because been before behind being below beside besides between beyond both but by can can't cannot
could couldn't did didn't do does doesn't doing don't done down during each either else enough even
ever every everybody everyone everything everywhere except far few first for from further get gets
getting give given gives go goes going gone got had hadn't has hasn't have haven't having he he's
her here here's hers herself him himself his how how's however i i'd i'll i'm i've if im in inside
instead into is isn't it it's its itself just keep kind last later least less let let's like long
lot made make makes making many may maybe me might mine more moreover most much must my myself near
need needs neither never new next no nobody none nor not nothing now nowhere of off often oh ok okay
old on once one one's only onto or other others otherwise our ours ourselves out outside over own
per perhaps please possible put quite rather really same second see several shall she she's should
shouldn't since so some somebody someone something sometimes somewhere soon still such suppose sure
take takes than thank thanks that that's the their theirs them themselves then there there's
therefore these they they're they've thing things third this those though through thus till to
together too toward towards two under unless until unto up upon us use used uses using usually very
via want wants was wasn't way ways we we'd we'll we're we've well were weren't what what's whatever
when whenever where where's wherever whether which whichever while who who's whoever whole whom
whose why why's will with within without won't would wouldn't yes yet you you'd you'll you're you've
your yours yourself yourselves
"""

_ASKING = """
according add age alternative amount analyse analyze answer answers appears apply argue arrange ask
asked assume based become begin best better billion bit build bullet calculate case cases catch
change changed check choose chosen clear collection combine common compare complete compose
comprehensive compute conclude conclusion condition conditions consider consists contain contains
convert correct correctly cost costs could count create creates decide decrease define definition
demonstrate derive describe design detail details determine develop difference different difficult
discuss display divide double draft draw each easy edit effect eight either eleven email end english
equal equals error errors essay estimate evaluate even exact exactly example examples exists expand
explain explanation express expression extract fact facts false fewer fill final find finds five fix
follow following follows form formal format formula found four french full generate german good
great group guess half hard help hence higher hint hundred idea ideas identify implement important
improve include includes incorrect increase information initially input instruction instructions
interpret introduce involves italian item items join kinds know known knows label language large
larger largest learn left length letter letters level life limit line lines list lists little logic
logical longer longest look lower main manage manually match math mathematics maths maximum mean
meaning means measure method million minimum minute miss missing modify multiple name names
necessary nine note number numbers obtain occur odd open operation operations opposite option
options order original outline output overview pair pairs paragraph part parts pattern people
perform person phrase piece place plan point points polish premise premises present prevent previous
print probably problem problems produce program programs proof proofread proper property prove
provide provided purpose quarter question questions quick quickly raise range rank read reason
reasoning reasons recommend reduce refer relation remain remaining remove repeat rephrase replace
report represent require required respond response result results return returns reverse review
revise rewrite right role rule rules run runs sample say says search select sentence sentences
separate sequence set seven short shorter show shown shows similar simple simplify single six size
sketch small smaller smallest solution solutions solve sort sound sounds spanish specific specify
split start state statement statements step steps story structure style subject suggest suggestion
suggestions sum summarise summarize summary support table talk task tell ten term terms test text
think third thousand three time times title tone topic total translate triple true try turn twelve
twice type types understand unique unknown useful valid value values variable variables various
verify version word words work works worth write writes writing written wrong zero
"""

_MATH = """
acute altogether angle angles apples area areas arithmetic average axis base bigger bought bounded
boxes buy buys calculus center cents chance circle circles circumference coefficient coefficients
coin column composite cone congruent consecutive constant coordinate coordinates coprime cos cube
cubed cubic curve cylinder decimal degree degrees denominator derivative derivatives determinant
deviation diagonal diameter dice die differ differentiate digit digits dimension dimensions distance
distinct divided divides divisible division divisor divisors dollar dollars domain each earn earned
earns eaten eigenvalue eigenvalues ellipse equation equations equivalent exponent exponential factor
factorial factors fraction fractions friend friends function functions gave geometric geometry gives
graph greater greatest had height hexagon hyperbola hypotenuse identity imaginary inequality
infinite infinity integer integers integral integrals integrate intercept interest intersect
intersection interval inverse irrational left leg linear log logarithm matrix median minus mod mode
modulo money more multiple multiples multiplied multiply natural negative nonnegative numerator
origin paid parabola parallel parallelogram pay pays pentagon percent percentage perimeter
permutation permutations perpendicular pi plane plus polygon polynomial polynomials positive power
price prime primes prism probability product profit pyramid quadratic quadrilateral quotient radian
radians radical radii radius random rate ratio ratios real rectangle rectangles rectangular
remainder rhombus root roots round rounded row rows scalar segment semicircle series share shared
side sides sin slope sold solid spend spends spent sphere square squared squares standard students
subset subtract surface symmetric tan tangent teacher theorem tickets trapezoid triangle triangles
trigonometric uniform variance vector vectors velocity vertex vertical vertices volume width
"""

_CODE = """
algorithm algorithms api app argument arguments array arrays assert async await backend bash binary
boolean branch browser buffer bug bugs byte bytes c cache call calls char character characters class
classes cli client code codes coding command commands comment commit compile compiler component
concatenate config constructor container contiguous convert cpp crash csharp css csv data database
dataframe debug decode decorator def default delete dependency deploy dict dictionaries dictionary
docker docstring element elements elif else empty encode endpoint enum exception exceptions execute
export fetch field file files filter flag flask float folder for framework frontend git given go
golang graph handler hash hashmap header heap html http implementation import index indices inherit
inheritance init insert install instance int integer integers interface iterate iterator java
javascript json key keys kotlin lambda library linked linux list lists loop loops lowercase map
memory merge method methods module modules mutex nested node node.js nodejs null num nums object
objects operator operators optimize overflow package palindrome pandas parameter parameters parse
parser path php pipeline pointer pop print printf private process programming push py pytest python
python3 pytorch query queue react recursion recursive refactor regex repository request requests
return returns reverse ruby runtime rust schema scope script scripts self server shell snippet
socket sorted source sql stack static stdin stdout str string strings struct subarray subsequence
substring substrings swap swift switch syntax target test tests thread threads throw token tokens
traceback traverse tree trie tuple tuples typescript undefined unit update uppercase url user users
var vector void webpage website while xml yaml
"""

_KNOWLEDGE = """
actor album ancient animal animals artist author band bank battle biggest biology bird birthplace
body book books border born called capital cause causes cell cells century character chemical
chemistry church cities city climate club coach college color colour company composer continent
countries country created culture currency date day days death deep denomination die died director
discovered disease dynasty earth east economy elected element emperor empire event events famous
father film films flag flower food football founded founder game games genre god gold government
governor group health highest historical history home human invented inventor island king lake
landmark language largest law leader leader's league led live lived lives located location longest
main medicine member members metal minister month months moon mother mountain movie movies museum
music musical nation national nationality native north novel ocean official oldest olympic
organization painted painter painting party peace period philosopher physics planet plant plays poem
poet politician popular population president prime prize queen record region religion religious
river role ruled scientist sea season sing singer song songs south species spoken sport stadium star
state states story sun symbol tallest team television temple theory title town treaty tv university
village war wars water west what winner won world year years
"""

_LOGIC = """
adjacent affirm ally argument assumption because cannot clue clues consistent constraint constraints
contradiction contradicts deduce deduction determine entail entails everyone exactly follows
hypothesis implies inconsistent infer inference inferred knave knaves knight knights liar lie lies
lying neither only possible premise premises proposition puzzle puzzles riddle schedule scheduled
seat seated seats some suspect suspects syllogism true truth truthful truthfully uncertain
"""

_CHAT = """
afraid ai alone angry anxious appreciate assistant bad birthday bored boring bot bye chat cheer cool
cry day dear depressed dream evening excited fantastic favorite favourite feel feeling feelings
feels fine fun funny glad goodbye goodnight happy hate hello hey hi hope hug human humor joke jokes
laugh listen lonely love marry mood morning nice night pleasure robot sad sing sleep sleepy smart
sorry stressed sweet talking tired today tomorrow tonight weather weekend welcome wish wonderful
worried yesterday
"""

_UNITS = """
acre acres amp amps bar bit bits byte bytes calorie calories carat celsius centimeter centimeters
centimetre centimetres cm conversion cup cups days decade degree dozen fahrenheit feet fluid foot ft
furlong gallon gallons gb gigabyte gigabytes gram grams hectare hectares hour hours hz inch inches
joule joules kelvin kg kilo kilobyte kilobytes kilogram kilograms kilometer kilometers kilometre
kilometres km knot knots lb lbs liter liters litre litres mb megabyte megabytes meter meters metre
metres metric mg microgram mile miles milligram milligrams milliliter milliliters millimeter
millimeters millisecond milliseconds minutes ml mm month months mph nautical newton ounce ounces oz
pascal pint pints pound pounds psi quart quarts seconds speed stone tablespoon tablespoons teaspoon
teaspoons temperature terabyte terabytes ton tonne tonnes tons unit units volt volts watt watts week
weeks weigh weighs weight yard yards
"""

KEPT = frozenset(
    " ".join((_FUNCTION, _ASKING, _MATH, _CODE, _KNOWLEDGE, _LOGIC, _CHAT, _UNITS)).split()
)
