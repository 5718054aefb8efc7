"""Small facts for the chat specialist: what it may know, and nothing else."""

from __future__ import annotations

CAPITALS = {
    "France": "Paris", "Germany": "Berlin", "Italy": "Rome", "Spain": "Madrid",
    "Portugal": "Lisbon", "the United Kingdom": "London", "England": "London",
    "Ireland": "Dublin", "Scotland": "Edinburgh", "Norway": "Oslo", "Sweden": "Stockholm",
    "Denmark": "Copenhagen", "Finland": "Helsinki", "Iceland": "Reykjavík", "Poland": "Warsaw",
    "Austria": "Vienna", "Switzerland": "Bern", "Belgium": "Brussels",
    "the Netherlands": "Amsterdam", "Greece": "Athens", "Turkey": "Ankara", "Russia": "Moscow",
    "Ukraine": "Kyiv", "Hungary": "Budapest", "the Czech Republic": "Prague",
    "Romania": "Bucharest", "Bulgaria": "Sofia", "Serbia": "Belgrade", "Croatia": "Zagreb",
    "the United States": "Washington, D.C.", "Canada": "Ottawa", "Mexico": "Mexico City",
    "Brazil": "Brasília", "Argentina": "Buenos Aires", "Chile": "Santiago", "Peru": "Lima",
    "Colombia": "Bogotá", "Cuba": "Havana", "Paraguay": "Asunción", "Costa Rica": "San José",
    "Japan": "Tokyo", "China": "Beijing", "South Korea": "Seoul", "India": "New Delhi",
    "Thailand": "Bangkok", "Vietnam": "Hanoi", "Indonesia": "Jakarta", "Nepal": "Kathmandu",
    "Australia": "Canberra", "New Zealand": "Wellington", "Egypt": "Cairo", "Kenya": "Nairobi",
    "Nigeria": "Abuja", "Morocco": "Rabat", "Ethiopia": "Addis Ababa", "Ghana": "Accra",
    "Cameroon": "Yaoundé", "Iran": "Tehran", "Iraq": "Baghdad",
}  # fmt: skip
PLANETS = ("Mercury", "Venus", "Earth", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August",
          "September", "October", "November", "December")  # fmt: skip
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth",
            "ninth", "tenth", "eleventh", "twelfth")  # fmt: skip
NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
           "ten", "eleven", "twelve")  # fmt: skip
COLOURS = {
    "grass": "green", "the sky": "blue", "snow": "white", "a banana": "yellow", "coal": "black",
    "a lemon": "yellow", "blood": "red", "a carrot": "orange", "milk": "white", "the sun": "yellow",
    "a tomato": "red", "chocolate": "brown", "a raven": "black", "a flamingo": "pink",
    "a ruby": "red", "an emerald": "green", "a sapphire": "blue", "a strawberry": "red",
    "a frog": "green", "the night": "black",
}  # fmt: skip
MIXES = {
    ("red", "yellow"): "orange", ("blue", "yellow"): "green", ("red", "blue"): "purple",
    ("red", "white"): "pink", ("black", "white"): "grey",
}  # fmt: skip
SOUNDS = {
    "dog": "Woof!", "cat": "Meow!", "cow": "Moo!", "sheep": "Baa!", "duck": "Quack!",
    "horse": "Neigh!", "pig": "Oink!", "lion": "Roar!", "frog": "Ribbit!", "owl": "Hoot!",
    "bee": "Buzz!", "snake": "Hiss!", "mouse": "Squeak!", "rooster": "Cock-a-doodle-doo!",
}  # fmt: skip
YOUNG = {
    "dog": "puppy", "cat": "kitten", "cow": "calf", "sheep": "lamb", "horse": "foal",
    "pig": "piglet", "lion": "cub", "bear": "cub", "frog": "tadpole", "duck": "duckling",
    "goose": "gosling", "chicken": "chick", "deer": "fawn", "goat": "kid", "kangaroo": "joey",
    "swan": "cygnet", "owl": "owlet", "eagle": "eaglet", "fox": "cub", "elephant": "calf",
}  # fmt: skip
LEGS = {
    "dog": 4, "cat": 4, "spider": 8, "bird": 2, "ant": 6, "bee": 6, "horse": 4, "snake": 0,
    "fish": 0, "chicken": 2, "butterfly": 6, "human": 2, "cow": 4, "crab": 10, "kangaroo": 2,
}  # fmt: skip
OPPOSITES = {
    "hot": "cold", "big": "small", "up": "down", "left": "right", "day": "night", "fast": "slow",
    "happy": "sad", "open": "closed", "old": "young", "light": "dark", "wet": "dry",
    "high": "low", "hard": "soft", "full": "empty", "early": "late", "good": "bad",
    "rich": "poor", "loud": "quiet", "north": "south", "east": "west", "long": "short",
    "heavy": "light", "black": "white", "yes": "no", "true": "false", "inside": "outside",
}  # fmt: skip
GREEK = (("alpha", "α"), ("beta", "β"), ("gamma", "γ"), ("delta", "δ"), ("epsilon", "ε"),
         ("lambda", "λ"), ("mu", "μ"), ("pi", "π"), ("sigma", "σ"), ("omega", "ω"))  # fmt: skip
HELLOS = {
    "French": "Bonjour", "Spanish": "¡Hola", "German": "Hallo", "Italian": "Ciao",
    "Portuguese": "Olá", "Japanese": "こんにちは", "Greek": "Γειά σου", "Russian": "Привет",
    "Chinese": "你好", "Korean": "안녕하세요", "Swedish": "Hej", "Turkish": "Merhaba",
    "Polish": "Cześć", "Vietnamese": "Xin chào", "Hungarian": "Szia",
}  # fmt: skip
EMOJI = {
    "a smile": "😀", "a heart": "❤️", "a cat": "🐱", "a dog": "🐶", "a rocket": "🚀",
    "the sun": "☀️", "a tree": "🌳", "a star": "⭐", "fire": "🔥", "a cake": "🎂",
}  # fmt: skip
SINGLE = (
    ("How many days are in a week?", "There are seven days in a week."),
    ("How many months are in a year?", "There are twelve months in a year."),
    ("How many hours are in a day?", "There are 24 hours in a day."),
    ("How many minutes are in an hour?", "There are 60 minutes in an hour."),
    ("How many seconds are in a minute?", "There are 60 seconds in a minute."),
    ("How many days are in a year?", "A year has 365 days, and a leap year has 366."),
    ("How many planets are there?", "There are eight planets in the solar system."),
    ("How many continents are there?", "There are seven continents."),
    ("What is the largest planet?", "Jupiter is the largest planet."),
    ("What is the smallest planet?", "Mercury is the smallest planet."),
    ("What is the largest ocean?", "The Pacific is the largest ocean."),
    ("What is the highest mountain?", "Mount Everest is the highest mountain."),
    ("What is the largest animal?", "The blue whale is the largest animal."),
    ("What is the fastest land animal?", "The cheetah is the fastest land animal."),
    ("What is the tallest animal?", "The giraffe is the tallest animal."),
    ("What is water made of?", "Water is made of hydrogen and oxygen: H₂O."),
    ("What do bees make?", "Bees make honey."),
    ("What do cows drink?", "Cows drink water."),
    ("What do plants need?", "Plants need light, water and air."),
    ("What is ice?", "Ice is frozen water."),
    ("What is the sun?", "The sun is a star."),
    ("What is the moon?", "The moon goes around the Earth."),
    ("At what temperature does water boil?", "Water boils at 100 °C."),
    ("At what temperature does water freeze?", "Water freezes at 0 °C."),
    ("What are the primary colours?", "The primary colours are red, yellow and blue."),
    ("What are the seasons?", "The seasons are spring, summer, autumn and winter."),
    ("What is a café?", "A café is a place to drink coffee and eat something small."),
    ("What is the first letter of the alphabet?", "The first letter of the alphabet is A."),
    ("What is the last letter of the alphabet?", "The last letter of the alphabet is Z."),
    ("How many letters are in the alphabet?", "The English alphabet has 26 letters."),
    ("What is the value of pi?", "π is about 3.14159."),
    ("Who wrote Romeo and Juliet?", "William Shakespeare wrote Romeo and Juliet."),
    ("Who painted the Mona Lisa?", "Leonardo da Vinci painted the Mona Lisa."),
    ("Where do fish live?", "Fish live in water."),
    ("Where do penguins live?", "Penguins live in the far south."),
    ("Where do polar bears live?", "Polar bears live in the Arctic."),
)
