"""What the slots of the router's phrases are filled with."""

# ruff: noqa: E501

from __future__ import annotations

import random
from collections.abc import Callable

_ONES = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def number_word(value: int) -> str:
    """1 to 9999 as it is spoken."""
    if value < 20:
        return _ONES[value - 1]
    if value < 100:
        tens, ones = divmod(value, 10)
        return _TENS[tens - 2] + (f"-{_ONES[ones - 1]}" if ones else "")
    if value < 1000:
        hundreds, rest = divmod(value, 100)
        return f"{_ONES[hundreds - 1]} hundred" + (f" {number_word(rest)}" if rest else "")
    thousands, rest = divmod(value, 1000)
    return f"{number_word(thousands)} thousand" + (f" {number_word(rest)}" if rest else "")


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip().replace("_", " ") for word in text.split() if word.strip())


def _plain(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _lines(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


_DRAWN: dict[str, Callable[[random.Random], str]] = {
    "n": lambda c: str(c.randint(2, 20)),
    "m": lambda c: str(c.randint(10, 99)),
    "k": lambda c: str(c.randint(100, 999)),
    "big": lambda c: c.choice([f"{c.randint(1000, 99999):,}", str(c.randint(1000, 99999))]),
    "dec": lambda c: f"{c.uniform(0.1, 60):.{c.randint(1, 2)}f}",
    "neg": lambda c: str(c.randint(-30, 30)),
    "pct": lambda c: str(
        c.choice([5, 8, 10, 12, 15, 18, 20, 25, 30, 35, 40, 45, 50, 60, 65, 70, 75, 80, 90])
    ),
    "frac": lambda c: c.choice(
        [
            "1/2",
            "1/3",
            "2/3",
            "1/4",
            "3/4",
            "2/5",
            "3/5",
            "5/8",
            "7/10",
            "one half",
            "a third",
            "two-thirds",
            "a quarter",
            "three-quarters",
            "half",
        ]
    ),
    "w": lambda c: number_word(c.randint(2, 20)),
    "ww": lambda c: number_word(
        c.choice([c.randint(2, 99), c.randint(100, 999), c.randint(1000, 5000)])
    ),
    "year": lambda c: str(c.randint(1450, 2023)),
    "num": lambda c: c.choice(
        [
            str(c.randint(2, 99)),
            str(c.randint(2, 99)),
            str(c.randint(100, 5000)),
            f"{c.uniform(0.1, 90):.1f}",
            number_word(c.randint(2, 60)),
        ]
    ),
    "dollars": lambda c: c.choice(
        [
            f"${c.randint(2, 900)}",
            f"${c.uniform(1, 90):.2f}",
            f"{c.randint(2, 90)} dollars",
            f"€{c.randint(2, 90)}",
            f"£{c.randint(2, 90)}",
        ]
    ),
    "x": lambda c: c.choice("xyzxyzabknmt"),
    "v": lambda c: c.choice("pqrstuvwPQRSABCDEF"),
    "letter": lambda c: c.choice("ABCDEFGHJKLMNPQRSTUVWXYZ"),
    "op": lambda c: c.choice(["+", "-", "*", "/", "x", "×", "÷", "+", "-", "*"]),
    "ints": lambda c: ", ".join(str(c.randint(-9, 60)) for _ in range(c.randint(3, 7))),
}

_LISTS: dict[str, tuple[str, ...]] = {
    "name": _words(
        "Tom Maria Aisha Ben Chloe Daniel Elena Farid Grace Hiro Isabel Jamal Karen Liam Mina Noah Olga Pedro Quinn Ravi Sara Tariq Uma Victor Wendy Xavier Yuki Zoe Emma Jack Lucy Oscar Priya Samuel Tina Leo Mark Julie Kevin Hannah George Alice Bob Carol Dave Eve Frank Mrs._Lee Mr._Patel Ms._Gomez Janet Natalia Weng Betty Kylar Toula Carla Josh Wendi James Claire Melanie Marcus Ted Emily Joy Andy"
    ),
    "thing": _words(
        "apples oranges pencils books marbles stickers cookies cupcakes balloons stamps coins candies toys cards eggs flowers chairs tickets bottles shirts shells bananas muffins crayons cars bags boxes trees birds fish rabbits chickens plants pies seats letters pages photos roses beads sandwiches tomatoes potatoes bricks tiles cans jars notebooks erasers puzzles pizzas slices bracelets"
    ),
    "container": _words(
        "basket box bag jar shelf tray crate truck classroom garden drawer bus tank barn freezer library"
    ),
    "pron": _words("he she they he she"),
    "poss": _words("his her their his her"),
    "rel": _words(
        "brother sister friend mother father cousin uncle aunt neighbor teacher grandmother son daughter roommate"
    ),
    "verb_get": _lines(
        "bought, found, collected, baked, picked, made, received, earned, won, ordered, packed, grew, caught, saved"
    ),
    "verb_lose": _lines(
        "gave away, lost, ate, sold, used, broke, threw away, donated, gave his friend, shared, spent, dropped"
    ),
    "group": _words(
        "students children people workers friends players passengers guests campers members"
    ),
    "day": _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday"),
    "month": _words("January March May June August October November December"),
    "country": _lines(
        "France, Brazil, Japan, Kenya, Canada, Egypt, India, Norway, Peru, Mexico, Germany, China, Italy, Turkey, Australia, Spain, Russia, Vietnam, Ghana, Poland, Iceland, Argentina, the Netherlands, South Africa, the United States, Ireland, Thailand, Switzerland, Iran, Cuba, Greece, Portugal, the Philippines, New Zealand, Ethiopia, Sweden"
    ),
    "city": _lines(
        "Paris, Cairo, Lima, Tokyo, Sydney, Toronto, Berlin, Istanbul, Chicago, Mumbai, Lagos, Rome, Vienna, Boston, Seoul, Madrid, Oslo, Dublin, Houston, Venice, Athens, Prague, San Francisco, New Orleans, Cape Town, Buenos Aires, Bangkok, Kyoto"
    ),
    "state": _lines(
        "Texas, Ohio, Florida, Alaska, Maine, Oregon, Hawaii, Georgia, Nevada, Utah, Iowa, Kansas, Vermont, Arizona, Montana, Louisiana, Tennessee, New York, Minnesota, Colorado"
    ),
    "person": _lines(
        "Albert Einstein, Marie Curie, Napoleon, Cleopatra, Leonardo da Vinci, William Shakespeare, Abraham Lincoln, Nelson Mandela, Isaac Newton, Beethoven, Mozart, Julius Caesar, Galileo, Charles Darwin, Queen Victoria, Winston Churchill, Gandhi, Frida Kahlo, Elvis Presley, Michael Jordan, Serena Williams, Neil Armstrong, Amelia Earhart, Socrates, Aristotle, Genghis Khan, Henry VIII, Tom Hanks, Meryl Streep, David Bowie, Beyonce, Lionel Messi, Muhammad Ali, Walt Disney, Vincent van Gogh, Pablo Picasso, George Washington, Thomas Jefferson, Joan of Arc, Alexander the Great, Jane Austen, Charles Dickens, Mark Twain, Marilyn Monroe, Martin Luther King, Barack Obama, Stephen Hawking, Nikola Tesla, Ada Lovelace, Bob Dylan, Freddie Mercury, Johnny Cash, Alfred Hitchcock"
    ),
    "work": _lines(
        "Hamlet, Moby Dick, Pride and Prejudice, War and Peace, The Great Gatsby, The Odyssey, Frankenstein, Don Quixote, The Lord of the Rings, Titanic, The Godfather, Star Wars, Casablanca, Jaws, The Lion King, Friends, Breaking Bad, The Simpsons, Seinfeld, Downton Abbey, Thriller, Bohemian Rhapsody, Imagine, Hotel California, Abbey Road, the Mona Lisa, Guernica, Swan Lake, The Magic Flute, The Nutcracker, To Kill a Mockingbird, Brave New World, Dracula, The Hobbit, Les Miserables, Gone with the Wind, The Matrix, Toy Story, Stranger Things, MASH, Cheers"
    ),
    "animal": _words(
        "lion elephant penguin whale shark eagle owl octopus spider bee ant kangaroo giraffe cheetah horse dolphin frog snake turtle bat wolf camel hummingbird salmon gorilla platypus crocodile zebra"
    ),
    "science": _lines(
        "photosynthesis, gravity, mitosis, osmosis, evolution, electricity, erosion, plate tectonics, nuclear fusion, respiration, magnetism, friction, DNA, RNA, proteins, enzymes, black holes, the greenhouse effect, natural selection, condensation, evaporation, the water cycle, radioactive decay, sound waves, light, the immune system, vaccines, antibiotics, insulin, hormones, chlorophyll, volcanoes, earthquakes, tides, comets, combustion, oxidation, diffusion, convection, refraction, ionic bonds, isotopes, quarks, catalysts, acids, genes, neurons, ecosystems, sedimentary rock, inflation, supply and demand, opportunity cost, federalism, judicial review, habeas corpus, cognitive dissonance, classical conditioning, utilitarianism, the placebo effect"
    ),
    "organ": _lines(
        "the liver, the heart, the kidneys, the pancreas, the spleen, the lungs, the brain, the skin, the stomach, the retina, the thyroid gland, the small intestine, the femur, red blood cells, white blood cells, platelets, mitochondria, the cell membrane, ribosomes, the nucleus"
    ),
    "element": _words(
        "gold iron oxygen carbon helium sodium potassium mercury lead silver copper nitrogen hydrogen chlorine uranium tin calcium neon"
    ),
    "planet": _words("Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune"),
    "event": _lines(
        "World War I, World War II, the American Civil War, the French Revolution, the Battle of Hastings, the fall of the Berlin Wall, the moon landing, the Great Depression, the Cuban Missile Crisis, the Black Death, the Boston Tea Party, the Renaissance, the Industrial Revolution, the Cold War, the Vietnam War, the Russian Revolution, the Battle of Waterloo, the signing of the Magna Carta, the sinking of the Titanic, the Great Fire of London, the Olympic Games, the Treaty of Versailles, the gold rush, the Hundred Years' War, the Spanish Armada, Woodstock, Watergate, D-Day"
    ),
    "invention": _lines(
        "the telephone, the light bulb, the printing press, the steam engine, the airplane, the radio, penicillin, dynamite, the telescope, the World Wide Web, the microwave oven, the bicycle, the zipper, the piano, basketball, paper, the compass, the ballpoint pen, television, the transistor"
    ),
    "landmark": _lines(
        "the Eiffel Tower, the Great Wall, Mount Everest, the Statue of Liberty, the Taj Mahal, Big Ben, the Colosseum, the Nile, the Amazon River, the Grand Canyon, Machu Picchu, Stonehenge, the Golden Gate Bridge, Niagara Falls, the Sahara Desert, Lake Victoria, the Great Barrier Reef, the Suez Canal, Mount Rushmore, the Louvre, Loch Ness, Kilimanjaro, the Dead Sea, the Brooklyn Bridge"
    ),
    "team": _lines(
        "the Lakers, the Yankees, Manchester United, Real Madrid, the Patriots, the Bulls, Brazil, the Red Sox, Liverpool, the Dodgers, the Packers, Barcelona, the Cowboys, the Warriors"
    ),
    "trophy": _lines(
        "the World Cup, the Super Bowl, Wimbledon, the World Series, the Masters, the Tour de France, the Stanley Cup, the NBA Finals, the Champions League, an Academy Award for Best Actress, the Nobel Peace Prize, the Booker Prize, an Oscar, the gold medal in the 100 metres"
    ),
    "food": _lines(
        "pizza, sushi, tacos, curry, ice cream, pasta, chocolate, salad, burgers, cheese, coffee, tea, pancakes, ramen, soup, popcorn, bread, hummus, paella, tofu"
    ),
    "hobby": _lines(
        "hiking, painting, cooking, reading, gardening, fishing, dancing, swimming, playing guitar, photography, knitting, running, camping, yoga, video games, chess, singing, travelling, skiing, baking, watching movies"
    ),
    "pet": _words("dog cat puppy kitten hamster rabbit parrot goldfish"),
    "feeling": _lines(
        "sad, tired, lonely, happy, bored, excited, anxious, stressed, angry, great, nervous, down, hopeful, grateful, overwhelmed, terrible, awesome, sleepy, worried, proud, jealous, fine, sick, hungry"
    ),
    "job": _words(
        "teacher nurse engineer lawyer waiter chef doctor accountant plumber artist student pilot writer farmer baker driver"
    ),
    "lang": _lines(
        "Python, JavaScript, Java, C++, C#, Go, Rust, TypeScript, Ruby, PHP, Swift, Kotlin, Scala, R, Perl, Haskell, bash, C, Lua, MATLAB, python3, py, js"
    ),
    "lib": _lines(
        "pandas, numpy, React, Django, Flask, Spring Boot, jQuery, TensorFlow, PyTorch, Express, Node.js, Angular, Vue, matplotlib, requests, SQLAlchemy, BeautifulSoup, Rails, Laravel, Entity Framework, Pygame, scikit-learn, Hibernate, Redux, Next.js, asyncio"
    ),
    "dtype": _lines(
        "list, string, array, dictionary, tuple, set, linked list, binary tree, matrix, queue, stack, hash map, integer, graph, DataFrame, file, JSON object, vector, heap, list of lists, list of dictionaries, sorted array, 2D array, map, struct, sentence"
    ),
    "fname": _plain(
        "is_prime max_profit count_vowels merge_sorted find_median reverse_words get_total parse_date has_cycle rotate_left common_prefix to_binary flatten compress sum_even remove_dups isPalindrome calcTotal longestRun twoSum validate_email add_items word_freq nth_fib matrix_mult closest_pair"
    ),
    "table": _words(
        "orders customers employees products users sales students invoices payments departments books flights"
    ),
    "column": _plain(
        "name price salary age created_at quantity email department_id country amount status title score"
    ),
    "error": _lines(
        "TypeError: unsupported operand type(s) for +: 'int' and 'str', IndexError: list index out of range, NullPointerException, KeyError: 'id', Segmentation fault (core dumped), undefined is not a function, ModuleNotFoundError: No module named 'foo', Cannot read properties of undefined (reading 'map'), SyntaxError: invalid syntax, ValueError: invalid literal for int(), java.lang.ClassCastException, borrow of moved value, AttributeError: 'NoneType' object has no attribute 'get', expected ';' before '}' token, CORS policy: No 'Access-Control-Allow-Origin' header, ECONNREFUSED, ORA-00942: table or view does not exist, merge conflict in package-lock.json"
    ),
    "length": _lines(
        "inches, feet, miles, yards, meters, centimeters, kilometers, millimeters, metres, kilometres, km, cm, mm, light years, nautical miles, furlongs, fathoms, nanometers"
    ),
    "weight": _lines(
        "pounds, ounces, kilograms, grams, tons, kilos, milligrams, stone, lbs, kg, oz, tonnes, carats, mg"
    ),
    "volume": _lines(
        "cups, gallons, liters, pints, quarts, tablespoons, teaspoons, milliliters, fluid ounces, litres, ml, tbsp, tsp, cubic feet, cubic meters, barrels"
    ),
    "temp": _lines(
        "celsius, fahrenheit, kelvin, degrees celsius, degrees fahrenheit, F, C, °C, °F, centigrade"
    ),
    "time": _lines(
        "seconds, minutes, hours, days, weeks, months, years, milliseconds, decades, fortnights"
    ),
    "area": _lines(
        "acres, hectares, square feet, square meters, square miles, square kilometers, sq ft, sq m"
    ),
    "speed": _lines(
        "mph, km/h, miles per hour, kilometers per hour, knots, meters per second, feet per second, kph"
    ),
    "data": _lines("megabytes, gigabytes, kilobytes, terabytes, bits, bytes, MB, GB, TB, KB"),
    "misc": _lines(
        "joules, calories, kilowatt hours, horsepower, watts, psi, pascals, bar, atmospheres, newtons, radians, degrees, volts, kilojoules, BTUs"
    ),
    "cur": _lines(
        "dollars, euros, pounds, yen, usd, eur, gbp, pesos, rupees, yuan, canadian dollars, swiss francs, us dollars, rubles, won"
    ),
    "adj": _words(
        "kind red cold quiet big round furry smart nice rough green tall happy wise brave honest rich young fast strong lazy heavy bright shy"
    ),
    "kind": _words(
        "cats dogs birds teachers doctors musicians robots wizards dragons engineers mammals reptiles flowers lawyers artists students athletes poets pilots bakers vegetarians actors tigers sailors apples cars rectangles metals"
    ),
    "made": _words(
        "wumpus yumpus zumpus blicket dax florp grimble vorpal snark tove rompus lempus numpus glorp frabble quizzle borogove mimsy blorp zorple"
    ),
    "object": _lines(
        "book, car, shirt, bird, house, fruit, golfer, truck, plate, chair, ball, box, flower, lamp, hat"
    ),
    "colour": _words("red blue green yellow white black purple orange gray brown silver pink"),
    "topic": _lines(
        "the weather, music, movies, football, politics, my family, love, life, the future, space, art, books, my job, school, travel, food, my ex, philosophy, dreams, the news, your day, aliens, fashion, video games, cars"
    ),
}

SLOTS = frozenset((*_DRAWN, *_LISTS))


def drawn(slot: str, chance: random.Random) -> str:
    """A filling. ``slot`` must be in ``SLOTS``."""
    maker = _DRAWN.get(slot)
    return maker(chance) if maker is not None else chance.choice(_LISTS[slot])


def some(slot: str, count: int, chance: random.Random) -> list[str]:
    """``count`` different fillings of a slot that has a list."""
    return chance.sample(_LISTS[slot], count)
