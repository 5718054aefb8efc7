"""Units by the words that people use for them.

Left out are words that mean several things and say not which: ton, barrel, calorie, horsepower,
kilobyte, nm (also nautical miles), and currencies. Months and years convert only among themselves,
since they have no fixed number of days. A gallon without "imperial" is the US one, and the answer
names it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Quantity(StrEnum):
    LENGTH = "length"
    AREA = "area"
    VOLUME = "volume"
    MASS = "mass"
    TIME = "time"
    CALENDAR = "months and years"
    SPEED = "speed"
    TEMPERATURE = "temperature"
    DATA = "data"
    PRESSURE = "pressure"
    ENERGY = "energy"
    FORCE = "force"
    FREQUENCY = "frequency"
    POWER = "power"
    ANGLE = "angle"


@dataclass(frozen=True, slots=True)
class Unit:
    """``pint``: in that library's words. ``one``, ``many``: in ours. ``named``: the plain word may
    mean another unit elsewhere, so that answers say which it was."""

    pint: str
    one: str
    many: str
    quantity: Quantity
    named: bool = False


def _unit(
    pint: str, one: str, quantity: Quantity, words: str, *, many: str = "", named: bool = False
) -> dict[str, Unit]:
    unit = Unit(pint, one, many or f"{one}s", quantity, named)
    return dict.fromkeys((word.strip() for word in words.split(",")), unit)


def _metric(one: str, quantity: Quantity, symbols: str, *, pint: str = "") -> dict[str, Unit]:
    """With the British spelling where the American one ends in -er."""
    words = [one, f"{one}s", *(s.strip() for s in symbols.split(",") if s.strip())]
    if one.endswith("er"):
        words += [f"{one[:-2]}re", f"{one[:-2]}res"]
    many = one if one.endswith("hertz") else ""
    return _unit(pint or one, one, quantity, ",".join(words), many=many)


Q = Quantity
NAMES: dict[str, Unit] = {}
for _quantity, _base, _prefixes in (
    (Q.LENGTH, "meter", {"nano": "", "micro": "micron,microns", "milli": "mm", "centi": "cm",
                         "deci": "dm", "": "m", "kilo": "km"}),
    (Q.VOLUME, "liter", {"milli": "ml", "centi": "cl", "deci": "dl", "": "l", "kilo": ""}),
    (Q.MASS, "gram", {"micro": "μg,mcg,microgramme,microgrammes",
                      "milli": "mg,milligramme,milligrammes", "": "g,gramme,grammes",
                      "kilo": "kg,kgs,kilo,kilos,kilogramme,kilogrammes"}),
    (Q.TIME, "second", {"nano": "ns", "micro": "μs", "milli": "ms,msec"}),
):  # fmt: skip
    for _prefix, _words in _prefixes.items():
        NAMES |= _metric(f"{_prefix}{_base}", _quantity, _words)
NAMES |= _unit("inch", "inch", Q.LENGTH, 'inch,inches,inchs,in,"', many="inches")
NAMES |= _unit("foot", "foot", Q.LENGTH, "foot,feet,ft,'", many="feet")
NAMES |= _unit("yard", "yard", Q.LENGTH, "yard,yards,yd,yds")
NAMES |= _unit("mile", "mile", Q.LENGTH, "mile,miles,mi")
NAMES |= _unit("nautical_mile", "nautical mile", Q.LENGTH, "nautical mile,nautical miles,nmi")
NAMES |= _unit(
    "light_year",
    "light-year",
    Q.LENGTH,
    "light year,light years,lightyear,lightyears,light-year,light-years",
)
NAMES |= _unit("660 * foot", "furlong", Q.LENGTH, "furlong,furlongs")
NAMES |= _unit("ounce", "ounce", Q.MASS, "ounce,ounces,oz,ozs")
NAMES |= _unit("pound", "pound", Q.MASS, "pound,pounds,lb,lbs,lbm")
NAMES |= _unit("stone", "stone", Q.MASS, "stone,stones", many="stone")
NAMES |= _unit(
    "1000 * kilogram", "metric ton", Q.MASS,
    "tonne,tonnes,metric ton,metric tons,metric tonne,metric tonnes",
)  # fmt: skip
for _one, _words in (
    ("teaspoon", "teaspoon,teaspoons,tsp,tsps"),
    ("tablespoon", "tablespoon,tablespoons,tbsp,tbsps"),
    ("cup", "cup,cups"),
    ("pint", "pint,pints,pt,pts"),
    ("quart", "quart,quarts,qt,qts"),
    ("gallon", "gallon,gallons,gal,gals"),
    ("fluid ounce", "fluid ounce,fluid ounces,fl oz,fluid oz"),
):
    _both = f"{_words},{','.join(f'us {w}' for w in _words.split(','))}"
    NAMES |= _unit(_one.replace(" ", "_"), f"US {_one}", Q.VOLUME, _both, named=True)
    if _one in ("pint", "quart", "gallon", "fluid ounce"):
        _imperial = ",".join(f"{k} {w}" for k in ("imperial", "uk") for w in _words.split(","))
        NAMES |= _unit(
            f"imperial_{_one.replace(' ', '_')}",
            f"imperial {_one}",
            Q.VOLUME,
            _imperial,
            named=True,
        )
for _one, _many, _pint, _words in (
    ("inch", "inches", "inch", "inch,inches"),
    ("foot", "feet", "foot", "foot,feet,ft"),
    ("yard", "yards", "yard", "yard,yards"),
    ("mile", "miles", "mile", "mile,miles"),
    ("millimeter", "millimeters", "millimeter", "millimeter,millimeters,mm"),
    ("centimeter", "centimeters", "centimeter", "centimeter,centimeters,centimetre,centimetres,cm"),
    ("meter", "meters", "meter", "meter,meters,metre,metres"),
    ("kilometer", "kilometers", "kilometer", "kilometer,kilometers,kilometre,kilometres,km"),
):
    _square = ",".join(f"{k} {w}" for k in ("square", "sq") for w in _words.split(","))
    NAMES |= _unit(f"{_pint}**2", f"square {_one}", Q.AREA, _square, many=f"square {_many}")
    if _one not in ("mile", "kilometer"):
        _cubic = ",".join(f"{k} {w}" for k in ("cubic", "cu") for w in _words.split(","))
        NAMES |= _unit(f"{_pint}**3", f"cubic {_one}", Q.VOLUME, _cubic, many=f"cubic {_many}")
# The international acre; pint's own is the survey acre, which the US gave up in 2023.
NAMES |= _unit("43560 * foot**2", "acre", Q.AREA, "acre,acres")
NAMES |= _unit("10000 * meter**2", "hectare", Q.AREA, "hectare,hectares")
NAMES |= _unit("second", "second", Q.TIME, "second,seconds,sec,secs")
NAMES |= _unit("minute", "minute", Q.TIME, "minute,minutes,min,mins")
NAMES |= _unit("hour", "hour", Q.TIME, "hour,hours,hr,hrs")
NAMES |= _unit("day", "day", Q.TIME, "day,days")
NAMES |= _unit("week", "week", Q.TIME, "week,weeks")
NAMES |= _unit("14 * day", "fortnight", Q.TIME, "fortnight,fortnights")
NAMES |= _unit("month", "month", Q.CALENDAR, "month,months")
NAMES |= _unit("12 * month", "year", Q.CALENDAR, "year,years,yr,yrs")
NAMES |= _unit("120 * month", "decade", Q.CALENDAR, "decade,decades")
NAMES |= _unit("1200 * month", "century", Q.CALENDAR, "century,centuries", many="centuries")
NAMES |= _unit("12000 * month", "millennium", Q.CALENDAR, "millennium,millennia", many="millennia")
NAMES |= _unit(
    "mile / hour", "mile per hour", Q.SPEED, "mph,miles per hour,mile per hour,miles an hour",
    many="miles per hour",
)  # fmt: skip
NAMES |= _unit(
    "kilometer / hour", "kilometer per hour", Q.SPEED,
    "kph,kmh,km/h,kmph,km per hour,kilometers per hour,kilometres per hour,kilometer per hour,"
    "kilometers an hour,kilometres an hour",
    many="kilometers per hour",
)  # fmt: skip
NAMES |= _unit(
    "meter / second", "meter per second", Q.SPEED,
    "m/s,mps,meters per second,metres per second,meter per second", many="meters per second",
)  # fmt: skip
NAMES |= _unit(
    "foot / second", "foot per second", Q.SPEED, "ft/s,fps,feet per second,foot per second",
    many="feet per second",
)  # fmt: skip
NAMES |= _unit("nautical_mile / hour", "knot", Q.SPEED, "knot,knots")
NAMES |= _unit(
    "degree_Celsius", "°C", Q.TEMPERATURE,
    "celsius,degrees celsius,degree celsius,centigrade,degrees centigrade,°c,c,degrees c,deg c,"
    "celcius,degrees celcius,celsisus",
    many="°C",
)  # fmt: skip
NAMES |= _unit(
    "degree_Fahrenheit", "°F", Q.TEMPERATURE,
    "fahrenheit,degrees fahrenheit,degree fahrenheit,°f,f,degrees f,deg f,farenheit,"
    "degrees farenheit,fahrenheits",
    many="°F",
)  # fmt: skip
NAMES |= _unit("kelvin", "K", Q.TEMPERATURE, "kelvin,kelvins,degrees kelvin,k", many="K")
NAMES |= _unit("bit", "bit", Q.DATA, "bit,bits")
NAMES |= _unit("byte", "byte", Q.DATA, "byte,bytes")
for _one, _symbol in (("kibi", "kib"), ("mebi", "mib"), ("gibi", "gib"), ("tebi", "tib")):
    NAMES |= _unit(f"{_one}byte", f"{_one}byte", Q.DATA, f"{_one}byte,{_one}bytes,{_symbol}")
NAMES |= _metric("pascal", Q.PRESSURE, "pa")
NAMES |= _metric("kilopascal", Q.PRESSURE, "kpa")
NAMES |= _metric("bar", Q.PRESSURE, "")
NAMES |= _unit("standard_atmosphere", "atmosphere", Q.PRESSURE, "atmosphere,atmospheres,atm")
NAMES |= _unit(
    "psi", "pound per square inch", Q.PRESSURE, "psi,pounds per square inch",
    many="pounds per square inch",
)  # fmt: skip
NAMES |= _metric("joule", Q.ENERGY, "")
NAMES |= _metric("kilojoule", Q.ENERGY, "kj")
NAMES |= _metric("watt-hour", Q.ENERGY, "watt hour,watt hours,wh", pint="watt * hour")
NAMES |= _metric(
    "kilowatt-hour", Q.ENERGY, "kilowatt hour,kilowatt hours,kwh", pint="kilowatt * hour"
)
NAMES |= _metric("watt", Q.POWER, "")
NAMES |= _metric("kilowatt", Q.POWER, "kw")
NAMES |= _metric("megawatt", Q.POWER, "")
# Of these by their names alone: of symbols the case tells milli from mega, and is often wrong.
for _quantity, _base, _symbols in (
    (Q.FREQUENCY, "hertz", {"": "hz", "kilo": "khz", "giga": "ghz"}),
    (Q.FORCE, "newton", {}),
    (Q.ENERGY, "electronvolt", {}),
    (Q.PRESSURE, "bar", {"centi": "cbar", "deci": "dbar", "giga": "gbar"}),
    (Q.ENERGY, "joule", {}),
    (Q.POWER, "watt", {}),
):
    for _prefix in (
        *("", "femto", "pico", "nano", "micro", "milli", "centi", "deci", "deca", "hecto", "kilo"),
        *("mega", "giga", "tera", "peta", "exa"),
    ):
        if f"{_prefix}{_base}" not in NAMES:
            NAMES |= _metric(f"{_prefix}{_base}", _quantity, _symbols.get(_prefix, ""))
NAMES |= _unit("gram * standard_gravity", "gram-force", Q.FORCE,
               "gram force,grams force,gram-force", many="grams-force")  # fmt: skip
NAMES |= _unit("foot * pound * standard_gravity", "foot-pound", Q.ENERGY,
               "foot pound,foot pounds,foot-pound,foot-pounds")  # fmt: skip
NAMES |= _unit("133.322387415 * pascal", "mmHg", Q.PRESSURE, "mmhg", many="mmHg")
NAMES |= _unit("10**-28 * meter**2", "barn", Q.AREA, "barn,barns")
NAMES |= _unit("foot**3", "cubic foot", Q.VOLUME, "cuft,cufts,cu ft", many="cubic feet")
NAMES |= _unit("centimeter**2", "square centimeter", Q.AREA, "cm2,cm^2,cm^(2)")
NAMES |= _unit("meter**2", "square meter", Q.AREA, "m2,m^2,m^(2)")
NAMES |= _unit("degree", "degree", Q.ANGLE, "degree,degrees")
NAMES |= _unit("milliradian", "milliradian", Q.ANGLE, "milliradian,milliradians,mrad")
NAMES |= _unit("radian", "radian", Q.ANGLE, "radian,radians,rad")

OUNCE = NAMES["ounce"]
FLUID_OUNCE = NAMES["fluid ounce"]
CELSIUS = NAMES["celsius"]
FAHRENHEIT = NAMES["fahrenheit"]
KELVIN = NAMES["kelvin"]
