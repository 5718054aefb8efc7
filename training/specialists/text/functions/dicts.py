"""Functions over dictionaries; the package explains the notation."""

from __future__ import annotations

SOURCE = """
def invert(mapping):
    return {value: key for key, value in mapping.items()}
# The comprehension swaps every key with its value.
? inverts a dictionary | swaps the keys and values of a dictionary
> ({'a': 1},) -> {1: 'a'}
> ({},) -> {}

def merge_dicts(first, second):
    return {**first, **second}
# Where both have a key, the second one wins.
? merges two dictionaries | joins two dictionaries | combines two dictionaries into one
> ({'a': 1}, {'b': 2}) -> {'a': 1, 'b': 2}
> ({'a': 1}, {'a': 2}) -> {'a': 2}

def get_keys(mapping):
    return list(mapping)
# A list made from a dictionary holds its keys.
? returns the keys of a dictionary | returns the keys of a dictionary as a list
? lists the keys of a dictionary
> ({'a': 1},) -> ['a']
> ({},) -> []

def get_values(mapping):
    return list(mapping.values())
# The values method gives the values in order.
? returns the values of a dictionary | returns the values of a dictionary as a list
? lists the values of a dictionary
> ({'a': 1},) -> [1]
> ({},) -> []

def sum_values(mapping):
    return sum(mapping.values())
# It adds up all the values.
? returns the sum of the values of a dictionary | adds up the values of a dictionary
> ({'a': 1, 'b': 2},) -> 3
> ({},) -> 0

def has_key(mapping, key):
    return key in mapping
# The in operator looks among the keys.
? checks whether a dictionary has a key | checks if a key is in a dictionary
> ({'a': 1}, 'a') -> True
> ({}, 'a') -> False

def largest_key(mapping):
    return max(mapping, key=mapping.get)
# With key=mapping.get, max compares the keys by their values.
? returns the key with the largest value | finds the key with the largest value in a dictionary
> ({'a': 1, 'b': 2},) -> 'b'
> ({'x': 0},) -> 'x'

def make_dict(keys, values):
    return dict(zip(keys, values))
# The built-in zip pairs each key with its value.
? makes a dictionary from two lists | turns two lists into a dictionary
? builds a dictionary from keys and values
> (['a'], [1]) -> {'a': 1}
> ([], []) -> {}

def group_by_length(words):
    groups = {}
    for word in words:
        groups.setdefault(len(word), []).append(word)
    return groups
# The setdefault method makes an empty list for each new length.
? groups words by their length | groups a list of words by length
> (['a', 'bb', 'c'],) -> {1: ['a', 'c'], 2: ['bb']}
> ([],) -> {}
"""
