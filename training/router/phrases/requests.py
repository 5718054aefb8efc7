"""Requests in forms that give the kind away less: tickets, papers from figures, facts to be fetched,
reports on attacks, science with formulae, calls told in words. See ``templates``."""

# ruff: noqa: E501, SIM905

from __future__ import annotations

import random
import re

_ID = "[ticket|order|case|request|booking|invoice|complaint]"
CHAT_TEMPLATES: tuple[str, ...] = (
    *(
        f"[give me|get|show|show me|can you give me|i need|i want|please send me|what are|tell me] [the|some|] [details|status|information|history|update|notes] [of|on|for|about|regarding] [the|my|] {_ID}[s|] [with|having|] [id|number|no.|#|] <k>[| and <k>|?| please]"
        for _ in range(2)
    ),
    f"[where is|what about|what happened to|any news on|check|close|reopen|cancel|track] [my|the|] {_ID} [ORD<k>|#<big>|number <k>|with id <k>|TKT-<k>|<k>][?|]",
    f"[open|raise|create|file] a [support |new |]{_ID} [for me|about the late delivery|because my screen is broken|]",
    "[i forgot|i lost|i can't remember|reset|change] my [password|pin|username|login]",
    "[show me|what is on|read me] the [menu|specials|wine list|price list][?| please]",
    "[I am|I'm|we're] [hungry|thirsty|cold|bored|looking for a treat|new in town], [what do you recommend|what do you have|any suggestions|where should I go][?|]",
    "[write|plan|draft|make|outline|polish] [a|the|my|] [script|intro|title|outline|caption|shot list] for [my [next|first|travel|cooking] [video|reel|episode|livestream]|a <n> minute [talk|tutorial|vlog|speech|toast]|my channel]",
    "[people|readers|listeners|guests|followers] [switch off|leave|lose interest|unsubscribe] after [the intro|ten seconds|a minute|the first page][|, how do I keep them?|, what should I change?]",
    "[here are|turn|take|sort] [rough|my|these] [bullet points|voice memos|thoughts|scribbles] [from|about] [the board meeting|a workshop|the interview|our trip][ into|, make] [action items|a clear summary|a to-do list|a plan with dates]",
    "[what|which] [stretches|exercises|foods|teas|habits|routines] [help|are good] [with|for|against] [a sore back|stiff shoulders|better sleep|tired eyes|tight hips|stress][?|]",
    "[how do I|how can I|what's the best way to|best way to] [get [coffee|ink|gum|grass stains|candle wax] out of [a shirt|the sofa|my jeans|the rug]|clean a burnt pan|stop a squeaky door|keep cut flowers fresh|fold a fitted sheet|cope with jet lag|say no politely][?|]",
    "[Which|What] is [better|nicer|more fun|your pick], [tea or coffee|beach or mountains|cats or dogs|summer or winter|pancakes or waffles|books or films]?",
    "What are [some|the best|the most effective|a few|good] [ways|tips|strategies|habits|tricks] [to|for] [handle a difficult boss|make new friends|stay positive|cope with change|be more patient|speak in public|save money|get over a breakup|notice that a friend is upset][?|]",
    "How can I [be a better listener|become more disciplined|build my self-esteem|learn to cook|make better decisions|overcome my fears|remember names]?",
    "As [a|an] [wedding planner|race announcer|tour guide|radio host|art critic|royal butler|pirate captain|food critic], [describe the first lap|welcome the guests|narrate a sunset|introduce tonight's show|give a toast].",
    "Write a [restaurant|hotel|theater|album|museum|gadget] review, [describing|discussing|covering] [the food and the service|the atmosphere|the acting|the exhibits] and [the prices|whether you would return].",
    'I want you to act as [a playwright|a stand-up comedian|an interviewer|a storyteller|an advertiser|a rapper|a magician|an essay writer|a debater]. [You will|Your task is to|I will ask you to] [develop a creative script for a film|create a campaign|write lyrics|come up with entertaining stories|take both sides of a debate]. My first [request|sentence|suggestion] is \\"[I need help with a story about courage|Hi|I want a love scene in Paris|Start with the setting and the characters]\\"',
    "You may [eat one meal|visit one place|keep one thing|hear one song] forever. [What do you choose?|What is it?]",
    "[What's|What is|Name] a [place|song|hobby|recipe|game] [that |]you'd [never get tired of|suggest to a friend|try again|show to anyone][?|]",
)

_COMPANY = "revenue,net profit,sales volume,operating cost,gross margin,users,market share,online orders,exports,research spending,headcount,cash flow,shipments".split(
    ","
)
_PAPER = "financial analysis report,investment analysis,market report,annual summary,work report,risk assessment,feasibility study,speech for the governor,industry overview,business proposal,legal opinion,news article,press release,product introduction,service agreement,case study,strategy paper,white paper".split(
    ","
)


def _figures(chance: random.Random) -> str:
    """A paper to be written from figures: many numbers, nothing to work out."""
    names = chance.sample(_COMPANY, chance.randint(2, 5))
    first = chance.randint(2012, 2021)
    lines = []
    for number, name in enumerate(names, 1):
        head = name.capitalize() if chance.random() < 0.5 else name
        if chance.random() < 0.4:
            years = "\n".join(
                f"{first + year}: {chance.uniform(1, 900):.{chance.randint(1, 2)}f} {chance.choice(('billion yuan', 'million dollars', 'billion', 'million euros'))}"
                for year in range(chance.randint(2, 4))
            )
            lines.append(f"{number}. {head}\n{years}")
        else:
            lines.append(
                f"{head} {chance.choice(('rose', 'fell', 'grew', 'was up', 'declined'))} {chance.uniform(1, 60):.1f}% "
                + chance.choice(
                    ("year-on-year", "from the previous quarter", f"compared with {first}")
                )
                + f" to {chance.uniform(1, 900):.1f} {chance.choice(('billion yuan', 'million dollars', 'billion', 'thousand units'))}."
            )
    paper = chance.choice(_PAPER)
    ask = chance.choice(
        (
            f"Please write a {paper} based on the data above.",
            f"Based on the following figures, prepare a {paper}.",
            f"Please analyze the changes from {first} to {first + 3} and write a {paper}.",
            f"Draft a {paper} of about {chance.randint(5, 40)}00 words with reference to these materials.",
            f"I need a {paper}. Analyze the trends, compare with competitors and give recommendations.",
            f"Help me write a {paper} covering performance, causes and outlook.",
        )
    )
    parts = [*lines, ask] if chance.random() < 0.4 else [ask, *lines]
    return chance.choice(("\n", "\n\n", " ")).join(parts)


CHAT_GENERATORS = (_figures,)

CODE_TEMPLATES: tuple[str, ...] = (
    *(
        "[critique|find weak spots in|audit|review|assess|sketch|rethink|improve] [the architecture of [the [backend|game server|mobile app|billing system]|our monorepo]|how our [modules|queues|data pipelines|microservices] are [layered|wired together]|our [database schema|deployment process|api design|class hierarchy]] [for bottlenecks|for security holes|before we [launch|migrate|rewrite it]|]"
        for _ in range(2)
    ),
    "[figure out|find out|help me see|tell me] why [our|my|the] [importer|worker|login page|cache|build|script|container] [drops messages|hangs|exits with code 1|restarts|returns stale data|is slow][ at random| on every deploy|]",
    "[our|my|the] [endpoint|daemon|server|database|scheduler] [dies|keeps restarting|throws timeouts|runs out of memory|gets slower] [on weekends|once a day|under load|after each release] and [we have no idea where to look|I don't see the reason|the logs show nothing]",
    "[make|have|let|get] [the coding agent|a code assistant|my copilot|the pair programmer] [migrate the modules one by one|write commits like a maintainer|fix the failing tests|plan before it edits files|split the monolith][ without surprises| carefully|]",
    "[turn on|enable|add|set up] [linting|code formatting|null checks|feature flags|continuous deployment|pre-commit hooks] [in small steps|across the repo|for our frontend|]",
    "[explain|interpret|look at|walk me through] my [heap dump|flame graph|stack trace|core dump|build log|lockfile|profiler output] and [say where the time goes|tell me what to fix|point out the cause]",
    "[rest vs grpc|unicast vs multicast|threads vs processes|sql vs nosql|git merge vs rebase|docker vs vm|mutex vs semaphore|json vs yaml], [how do they differ|when do I use which|briefly][?|]",
    *(
        "[Display|Print|Show|Extract|Filter|Delete|Insert|Replace|Count|Sort|Squeeze] [only the <n>th line|all lines|lines|the contents between `[]`|the last field|matching portions|lines numbered <n> to <n>|every occurrence of `x`|words ending with `s`] [from|in|of] [the input file |]`[data|notes|items|log|in|table|words]<n>.txt` [that contain `foo` but not `bar`|for which all of this holds:\\n\\n- `ab` in any case\\n- one of `X` and `Y`|side-by-side with a separator|except for line numbers <n> and <n>|if the previous line starts with a digit|]"
        for _ in range(3)
    ),
    "[What are the three|Name the|What is the order of the] [stages of a request|layers of the network model|steps of compilation|states of a thread]?\\n\\n- A: [Parsing > Linking > Running|Open > Closed > Done]\\n- B: [Pending > Settled > Idle|Running > Parsing]\\n- C: [New > Ready > Running|Closed > Open]",
    "[Every class needs a constructor|All arrays are objects|Strings are mutable|Hoisting applies to let|A closure copies its variables].\\n\\n- A: [true|yes]\\n- B: [false|no]",
    "[Which one is true|What is the value of total|What is logged|What's the output]?\\n\\nconst [cat|user|shape] = {\\n  [size|age|kind]: [<n>|'big']\\n};\\n\\n- A: `[cat.size|undefined]` is not valid\\n- B: `ReferenceError`\\n- C: `[<n>|null]`",
    "Check [whether|if] [docker|git|java|curl|nginx] is [running|up to date|in the path]. [Print 1 if so and 0 otherwise.|Output only true or false.]",
    "[Somewhere|In one of the folders] [there is|I saved] [a script|a config file|a binary] called <fname>. [Find it.|Where is it?|Print its absolute path.]",
    "How many [users|groups|processes|packages|services|cron jobs] are [on|running on|installed on] [this|my] [system|server|machine]?",
)
_GOALS = """\
{verb} the {what} for {obj} '{val}' with {opt} set to {num}
{verb} a {what} named '{val}' using the {obj} '{val2}' and the {opt} {num}
{verb} whether the {what} '{val}' matches the {opt} stored in {obj} '{val2}'
{verb} the value of the {opt} property, given that the default is {num} and {obj} does not define '{val}'
{verb} {obj} '{val}' so that its {opt} is {num} and errors are passed to '{val2}'
{verb} the items in {obj} [{num}, {num2}, {num3}] where '{opt}' equals '{val}'
{verb} a handler for '{val}' that stops after {num} milliseconds if {obj} is empty
{verb} the difference between {what} '{val}' and '{val2}' in {obj} using {opt}
{verb} the point ({num}, {num2}) of {obj} by {num3} degrees around its {opt}
""".splitlines()


def _call(chance: random.Random) -> str:
    """A call of a function, told in words, with names and values in quotes."""
    verbs = "create,update,validate,generate,register,find,compute,resolve,render,parse,set up,configure,determine,initialize,convert,bind,serialize,locate,retrieve,calculate,rotate,filter,schedule,append".split(
        ","
    )
    goal = chance.choice(_GOALS).format(
        verb=chance.choice(verbs),
        what=chance.choice(
            "runtime field,event listener,child node,session,setup script,password hash,template,date range,route,thread pool,cache entry,metadata record,user profile,tooltip,data row,bounding box".split(
                ","
            )
        ),
        obj=chance.choice(
            "the configuration object,a list of records,the request context,the data store,the canvas,the parser,a composite field,the spreadsheet view,the message queue,the DOM element,the plugin,an index".split(
                ","
            )
        ),
        opt=chance.choice(
            "maxItems,timeout,encoding,isVisible,retry count,locale,propagation flag,page size,precision,unit,callback,sort order,parent id,scope,cipher".split(
                ","
            )
        ),
        val=chance.choice(
            "userId,main-menu,onClick,/usr/local/app,2024-02-11,sessionToken,header.png,P@ss1word,mappingContext,saveButton,orderTotal,e3f1a9,AppRoot".split(
                ","
            )
        ),
        val2=chance.choice(
            "handleSave,en-US,backup.db,errorHandler,days,sha256,compositeNode,productList,utf-8,IGNORE".split(
                ","
            )
        ),
        num=chance.randint(1, 500),
        num2=chance.randint(1, 99),
        num3=chance.randint(1, 360),
    )
    lead = chance.choice(
        (
            "Help me ",
            "Help me ",
            "Help me ",
            "How do I ",
            "How can I ",
            "Can I ",
            "I need to ",
            "Please ",
        )
    )
    return lead + goal + chance.choice(("?", "?", ".", ""))


CODE_GENERATORS = (_call,)

_FETCH = "[Find|Find me|Get|Get me|Look up|Retrieve|Fetch|Search for|Give me|Show me|Find out|Can you find]"
KNOWLEDGE_TEMPLATES: tuple[str, ...] = (
    *(
        f"{_FETCH} [the [biography|birthplace|net worth|age|main works|main contributions|awards|spouse|political party] of <person>|the [population|area|GDP|time zone|official language|highest point|history|crime rate] of [<city>|<country>|<state>]|the [price|rating|release date|manufacturer|size|weight|reviews] of [the card game 'Night Harbor'|the painting 'Blue Door'|an electric guitar|the new phone|<invention>|<landmark>]|the [density|atomic number|uses|freezing point] of [<element>|ethanol|sea water]|the [score|winner|schedule|lineup] of [<team>|<trophy> in <year>]|<n> [major|important|famous] [events|battles|inventions|paintings|treaties] [of|from|in] [the 16th century|<country>|<year>|<event>][, sorted by importance| by date|]|the <n> [largest lakes|oldest churches|best universities|longest rivers] [near <city>|in <country>|less than <m> km from <city>|in the world]|a [recipe for <food>|summary of <work>]|[case law on privacy|court cases about patents in <state>|the law on overtime in <state>|any lawsuits against a large bank]|whether [a man called <name> <name>|my landlord] has [a criminal record|debts] in <state>][.|?|]"
        for _ in range(2)
    ),
    "What [was|is] <person>'s [contribution to science|role|greatest work|full name|theory|view] [in <year>|on <month> <n>, <year>|during <event>|]?",
    "[What|Which] [sort|kind|type] of [cheese|wine|bread|fish|nut|fruit|herb|pasta|tea|spirit] [would you|do you|is] [use in|sprinkle on|find in|drink with|be eating in|used to make] [<food>|a pesto|a mojito|a Greek salad|paella|a martini]?",
    "What [Would You Be Eating|Would You Be Drinking|Do You Get] If You [Were Given|Ordered|Were Served] [Gazpacho|Oolong|Calamari|Escargots|Chianti|Naan|Borscht]?",
    "What do you know about [<person>|<city>|<event>|<planet>|<invention>]?",
    "How much does [<invention>|a <animal>|the newest phone|a blue whale|a bowling ball|a laptop] [weigh|cost]?",
    "[what is|what's] a [furlong|fathom|light year|league|parsec|knot|bushel|baker's dozen|mole in chemistry|decibel][?|]",
    "[Explain how|How does] [a hard drive|memory|a touchscreen|a computer chip|wifi|bluetooth|a search engine|a barcode|an LED|a CPU] [works|work][.|?|]",
    "What's the [history|origin] of [Python|Java|the programming language C|Linux|the internet|the apron|chess|the alphabet][?|]",
    "Is <element> [a noble gas|more reactive than <element>|in the same group as <element>|softer than <element>]?",
    "[Would|Could|Did] [a gladiator|a druid|a samurai|a toddler|a shepherd|a monk|a sailor|an astronaut] [use|need|wear|carry|eat|know|own] [a compass|a sword|a fax machine|a typewriter|honey|a kimono|an abacus]?",
)

_ACTORS = "Crimson Jackal,SILENT HERON,APT-71,Frost Lynx,MUDDY OTTER,Team Obsidian,Granite Typhoon,CIPHER MOTH,Night Weasel".split(
    ","
)
_MALWARE = "the loader,the RedSpore ransomware,a reverse shell,the GLASSPIPE backdoor,the stealer,the malicious DLL,the dropper,the wiper,the webshell,the PowerShell script,the implant,the Java downloader,update.bat,the browser extension".split(
    ","
)
_THREAT = """\
Which tool did {a} deploy first after phishing its victims?
How could a security team notice {m} early on a Mac?
Which controls would slow down {a} the most when it spreads {m}?
What role does {m} play in the operations of {a}?
Which tactics of the ATT&CK matrix does the activity of {a} cover?
What do the domains contacted by {m} have in common?
How does {m} obtain the key for encrypting documents?
In which folder did {a} hide {m}?
Which flaw in {m} would let victims recover their data?
How did the number of {m} samples change during {y}?
How does {m} survive a reboot, according to the vendor's report?
Which indicator of compromise points to {a} rather than another group?
""".splitlines()
_MEASURES = """\
Watching {x} for unusual child processes
Blocking traffic to {x} at the firewall
Hardware tokens for administrators
It derives the key from {x}
It copies itself to {x} and registers a service
A library is loaded from {x} and decoded in memory
Disabling {x} and restoring from backups
Lateral movement over SMB with stolen credentials
Exfiltration through {x} overnight
Phishing with a document that runs {x}
The numbers rose until autumn
A weak random generator in the code
""".splitlines()
_PLACES = "~/Library/LaunchAgents,/opt/app/www/help.php,C:\\Windows\\Temp,the registry Run key,config.json,PowerShell,/var/tmp/.cache,netsvc.bin,a reverse proxy,JavaScript in the browser,cmd.exe,the Java runtime,DNS tunnelling,package.json".split(
    ","
)


def _threat(chance: random.Random) -> str:
    """What a report on an attack says: choices full of paths and names of programs, no program."""
    text = chance.choice(_THREAT).format(
        a=chance.choice(_ACTORS), m=chance.choice(_MALWARE), y=chance.randint(2015, 2025)
    )
    count = chance.choice(("", "", " Choose two.", " Select all that apply.", " Pick 3."))
    text += count
    if chance.random() < 0.85:
        mark = chance.choice(("{}) ", "{}. ", "({}) "))
        chosen = chance.sample(_MEASURES, chance.choice((4, 5)))
        text += "".join(
            "\n" + mark.format(letter) + each.format(x=chance.choice(_PLACES))
            for letter, each in zip("ABCDE", chosen, strict=False)
        )
    return text


_SCIENCE = """\
The {q} of {s} at {n} K is closest to
Which expression gives the {q} of {s}?
Given that the {q} of {s} is ${x} \\times 10^{{{n}}}$, which species is present in excess at equilibrium?
When {s} reacts with excess $\\mathrm{{HBr}}$, the major product is
The reaction $\\mathrm{{{a}}} \\rightarrow \\mathrm{{{b}}}$ is an example of
In the spectrum of {s}, the line at $\\lambda = {n}00$ nm is caused by
A star with the same {q} as the Sun would appear in which region of the diagram?
For {s}, the correct relation between entropy and {q} is
In a cross of $AaBb \\times aabb$, offspring of {s} show a ratio of
Which statement about the {q} of {s} is correct?
The synthesis of {s} needs a catalyst because its {q} is
The crystal structure of {s} with lattice constant $a = 0.{n}$ nm is
According to the standard, the {q} of a beam made of {s} shall not exceed
"""
_QUANTITIES = "activation energy,molar mass,$K_a$,solubility product,dipole moment,binding energy,luminosity,diffusion coefficient,refractive index,enthalpy of formation,oxidation state,band gap,osmotic pressure,yield strength,vapour pressure".split(
    ","
)
_STUFFS = (
    "$\\mathrm{{CH_3COOH}}$,sodium chloride,hemoglobin,$\\mathrm{{Fe_2O_3}}$,a white dwarf,cyclohexene,the enzyme,an aluminium alloy,2-methylpropene,barium hydroxide,the hydrogen atom,a muon,concrete,naphthalene,the yeast strain".replace(
        "{{", "{"
    )
    .replace("}}", "}")
    .split(",")
)
_OPTIONS = "${x}$,${x} \\times 10^{{{n}}}$,{x} kJ/mol,$\\Delta G < 0$,{s},the {q} increases,$\\mathrm{{H_2O}}$ and {s},both of these,{n}:{m},$\\frac{{{n}}}{{{m}}}$".split(
    ","
)


def _formulae(chance: random.Random) -> str:
    """Chemistry, biology and the like with formulae and choices: known rather than worked out."""

    def filled(text: str) -> str:
        return text.format(
            q=chance.choice(_QUANTITIES),
            s=chance.choice(_STUFFS),
            n=chance.randint(2, 90),
            m=chance.randint(1, 9),
            x=f"{chance.uniform(0.1, 40):.{chance.randint(1, 2)}f}",
            a=chance.choice(("2 Fe + O_2", "N_2 + 3H_2", "C_2H_4 + HCl", "CaCO_3")),
            b=chance.choice(("2 FeO", "2 NH_3", "C_2H_5Cl", "CaO + CO_2")),
        )

    text = filled(chance.choice(_SCIENCE.splitlines()))
    mark = chance.choice(("{}. ", "{}) ", "({}) "))
    chosen = chance.sample(_OPTIONS, chance.choice((4, 5, 8)))
    return text + "".join(
        "\n" + mark.format(letter) + filled(each)
        for letter, each in zip("ABCDEFGH", chosen, strict=False)
    )


KNOWLEDGE_GENERATORS = (_threat, _formulae)

MATH_TEMPLATES: tuple[str, ...] = (
    "[Does there exist|Is there|Can there be|Does] [a convex solid with exactly <n> edges|a polynomial with integer coefficients such that p(<n>) = <n> and p(<n>) = <n>|a convex polygon with exactly <n> acute angles|a power of 2 whose digits can be rearranged into another power of 2|an infinite set of points no three on a line with integer distances]?",
    "[On|Consider] an [n x n|<n> x <n>|m by n] [chess board|grid|table of numbers], [find the number of ways to tile it with dominoes|in how many ways can one go from corner to corner|what is the largest number of squares that can be coloured with no two adjacent|show that some row has an even sum], as an expression [of|in] n.",
    "For [integers|positive integers|real numbers|primes] a, b, c[, d|], [if a+b is divisible by c, is a^3+b^3 too?|is a^2+b^2+c^2 at least ab+bc+ca?|when is (a+b)(b+c)(c+a) = 8abc?|if abc = 1, what is the least value of a+b+c?]",
    "What is the [smallest|largest|least|greatest|minimum|maximum] [value of [(a+b)/c|x^2+y^2|ab+bc+ca|abs(x-y)+abs(y-z)] [for x, y, z > 0|when a+b+c = <n>]|n such that n! ends in <n> zeros|number of terms that can be equal]?",
    "[Can|Could] n[+<n>|^2+1|!] be [prime for every n|a perfect cube|divisible by <k>|the sum of two consecutive squares] [for some n|for infinitely many n|]?",
    "[Each|Every] [point of the plane|edge of a complete graph on <n> vertices|natural number] is coloured [red or blue|with one of <n> colours]. [Prove|Show] that [there are two points of the same colour at distance 1|some triangle has one colour|a+b=c has a solution in one colour].",
    "A [train|shift|concert] of <n> hours and <m> minutes [begins at 8:15|is over at 23:10]. At what time does it [end|begin]?",
    "[Suppose|Let] f be a [function|polynomial|real-valued function] [such that f(x+y) = f(x)+f(y)|with f(f(n)) = n+<n>|of degree <n> with f(k) = 1/k for k = 1..<n>]. [Find f(<m>).|What values can f(1) take?|Is such an f possible?]",
)

_APTITUDE = """\
a tank has two taps that fill it in {n} and {m} hours , and both are opened together . the tank is full in
the average age of {n} players is {m} . when the captain leaves , the average falls by 1 . the captain's age is
{n} % of the voters stayed at home and the winner had {k} votes more . how many voters are on the list ?
a car covers {k} km in {n} hours . at what speed must it return to be back {n} minutes earlier ?
the ratio of milk to water in a can is {n} : {m} . after {n} litres are taken out , the ratio is
a seller marks goods {m} % above cost and allows a discount of {n} % . his gain per cent is
the simple interest on a sum for {n} years at {m} % is rs . {k} . the sum is
two trains of {k} m each run in opposite directions at {m} km / hr . they pass each other in
{n} men finish a wall in {m} days . if {n} more men join , the days needed will be
a man sells a chair for rs . {k} and loses {n} % . for how much should he sell it to gain {n} % ?
the sum of three consecutive odd numbers is {k} . the largest is
out of {k} marked fish in a pond , {n} of {m} caught later carried the mark . the number of fish is about
if x : y = {n} : {m} and x + y = {k} , then y equals
the length of a hall is {n} m more than its breadth and its area is {k} sq m . find the breadth .
Let f(x) = {n}x^2 - {m}. The value of f(f(1)) is
If $\\log_{n} x = {m}$, then $x$ is
"""


def _aptitude(chance: random.Random) -> str:
    """Of tests of arithmetic with choices below, as often without capitals as with."""
    n, m, k = chance.randint(2, 30), chance.randint(5, 90), chance.randint(100, 4000)
    text = chance.choice(_APTITUDE.splitlines()).format(n=n, m=m, k=k)
    if chance.random() < 0.5:
        text = text.replace(" ,", ",").replace(" .", ".").replace(" ?", "?").replace(" : ", ":")
        text = text[0].upper() + text[1:]
    unit = chance.choice(("", "", "", " hours", " %", " km", " kg", " days", " years", " m"))
    mark = chance.choice(("{}. ", "{}) ", "({}) ", "({})"))
    near = chance.randint(2, 400)
    values = [f"{near + chance.randint(1, 90) * step}{unit}" for step in range(5)]
    if chance.random() < 0.3:
        values[-1] = "none of these"
    return text + "".join(
        "\n" + mark.format(letter) + value
        for letter, value in zip("ABCDE", values[: chance.choice((4, 5, 5))], strict=False)
    )


MATH_GENERATORS = (_aptitude,)


def _chain(chance: random.Random) -> str:
    """A longer calculation and a sentence around it; nothing stands for a number."""
    fraction = chance.random() < 0.2
    parts = []
    for _ in range(chance.randint(2, 6)):
        whole = chance.choice(
            (chance.randint(1, 20), chance.randint(10, 999), chance.randint(1000, 99999))
        )
        number = f"{whole}/{chance.randint(2, 30)}" if fraction else str(whole)
        if not fraction and chance.random() < 0.15:
            number += f".{chance.randint(1, 99)}"
        if chance.random() < 0.12:
            number = f"-{number}" if chance.random() < 0.5 else f"(-{number})"
        if chance.random() < 0.1:
            number += chance.choice(("^2", "^3", "**2", "²"))
        parts.append(number)
    text = parts[0]
    for part in parts[1:]:
        if chance.random() < 0.2:
            text = f"({text})"
        text += chance.choice((" + ", " - ", " * ", " / ", " × ", "+", "-", " x ")) + part
    ask = chance.choice(
        (
            "Calculate {0}.",
            "Compute {0}",
            "Evaluate the following expression: {0}",
            "Work this out and give only the number: {0}",
            "Find the value of {0}.",
            "What is the [exact|numerical] value of {0}?",
            "Simplify {0} to a single number",
            "Give the result as a [fraction|decimal|whole number]: {0}",
            "Please solve the arithmetic: {0} = ?",
            "The answer to {0} is",
            "{0} =",
            "What do you get for {0}?",
            "Perform the [multiplication|division|calculation|addition]: {0}. Respond with the number.",
            "Find the [gcd|greatest common divisor|lcm|least common multiple] of {1} and {2}",
            "What remains when {1} is divided by {2}?",
            "Divide {1} by {2}. Give the [quotient|remainder].",
            "Round {1} / {2} to two decimals.",
            "What is {1} mod {2}?",
        )
    )
    ask = re.sub(r"\[([^\]]*)\]", lambda found: chance.choice(found[1].split("|")), ask)
    return ask.format(text, chance.randint(20, 9999), chance.randint(2, 99))


CALCULATOR_GENERATORS = (_chain,)
