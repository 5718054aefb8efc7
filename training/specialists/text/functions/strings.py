"""Functions over strings; the package explains the notation."""

from __future__ import annotations

SOURCE = """
def is_palindrome(text):
    return text == text[::-1]
# A palindrome reads the same backwards, so it equals its own reverse.
? checks whether a string is a palindrome | checks if a string is a palindrome
? tells whether a word is a palindrome | tests whether a string is a palindrome
> ('level',) -> True
> ('ab',) -> False

def reverse_string(text):
    return text[::-1]
# A slice with step -1 walks the string backwards.
? reverses a string | returns a string in reverse | returns a reversed string
? turns a string around
> ('abc',) -> 'cba'
> ('',) -> ''

def count_vowels(text):
    return sum(1 for letter in text.lower() if letter in "aeiou")
# It adds 1 for every letter that is a vowel.
? counts the vowels in a string | returns the number of vowels in a string
? counts how many vowels a string has
> ('Hello',) -> 2
> ('xyz',) -> 0

def remove_vowels(text):
    return "".join(letter for letter in text if letter.lower() not in "aeiou")
# It joins all the letters that are not vowels.
? removes the vowels from a string | removes all vowels from a string
? returns a string without its vowels
> ('Hello',) -> 'Hll'
> ('aeiou',) -> ''

def count_words(text):
    return len(text.split())
# The split method cuts the text at spaces; len counts the words.
? counts the words in a string | counts the words in a text
? returns the number of words in a string
> ('a b c',) -> 3
> ('',) -> 0

def to_upper(text):
    return text.upper()
# The upper method makes every letter a capital.
? converts a string to upper case | makes a string upper case
? returns a string in capital letters
> ('aB',) -> 'AB'
> ('',) -> ''

def to_lower(text):
    return text.lower()
# The lower method makes every letter small.
? converts a string to lower case | makes a string lower case | returns a string in small letters
> ('aB',) -> 'ab'
> ('',) -> ''

def capitalize_words(text):
    return " ".join(word.capitalize() for word in text.split())
# It capitalizes each word and joins them again.
? capitalizes each word in a string | capitalizes every word of a string
? makes the first letter of each word a capital
> ('ab cd',) -> 'Ab Cd'
> ('',) -> ''

def is_anagram(first, second):
    return sorted(first) == sorted(second)
# Two words are anagrams if their sorted letters are the same.
? checks whether two strings are anagrams | checks if two words are anagrams
? tells whether two strings are anagrams of each other
> ('tea', 'eat') -> True
> ('a', 'b') -> False

def count_letter(text, letter):
    return text.count(letter)
# The count method counts how often the letter occurs.
? counts a letter in a string | counts how often a letter occurs in a string
? counts the occurrences of a letter in a string
> ('banana', 'a') -> 3
> ('', 'a') -> 0

def letter_counts(text):
    counts = {}
    for letter in text:
        counts[letter] = counts.get(letter, 0) + 1
    return counts
# The dict holds how often each letter has been seen so far.
? counts each letter in a string | counts how often each letter occurs in a string
? returns the letter frequencies of a string
> ('aab',) -> {'a': 2, 'b': 1}
> ('',) -> {}

def word_counts(text):
    counts = {}
    for word in text.split():
        counts[word] = counts.get(word, 0) + 1
    return counts
# The dict holds how often each word has been seen so far.
? counts each word in a text | counts how often each word occurs in a text
? returns the word frequencies of a text
> ('a b a',) -> {'a': 2, 'b': 1}
> ('',) -> {}

def longest_word(text):
    return max(text.split(), key=len)
# With key=len, max compares the words by their length.
? returns the longest word in a string | finds the longest word in a text
? finds the longest word in a sentence
> ('a bcd ef',) -> 'bcd'
> ('x',) -> 'x'

def remove_spaces(text):
    return text.replace(" ", "")
# The replace method puts nothing in the place of each space.
? removes the spaces from a string | removes all spaces from a string
? returns a string without spaces
> ('a b c',) -> 'abc'
> ('',) -> ''

def split_words(text):
    return text.split()
# The split method cuts the text at spaces.
? splits a string into words | splits a sentence into a list of words
? returns the words of a string as a list
> ('a b',) -> ['a', 'b']
> ('',) -> []

def join_words(words):
    return " ".join(words)
# The join method puts a space between the words.
? joins a list of words with spaces | joins a list of words into a string
? turns a list of words into a sentence
> (['a', 'b'],) -> 'a b'
> ([],) -> ''

def first_letter(text):
    return text[0]
# Index 0 is the first letter.
? returns the first letter of a string | gets the first character of a string
? returns the first character of a string
> ('abc',) -> 'a'
> ('x',) -> 'x'

def starts_with(text, prefix):
    return text.startswith(prefix)
# The startswith method compares the beginning of the text.
? checks whether a string starts with a prefix | checks if a string begins with a prefix
? tells whether a string starts with another string
> ('abc', 'ab') -> True
> ('abc', 'b') -> False

def ends_with(text, suffix):
    return text.endswith(suffix)
# The endswith method compares the end of the text.
? checks whether a string ends with a suffix | checks if a string ends with a suffix
? tells whether a string ends with another string
> ('abc', 'bc') -> True
> ('abc', 'b') -> False

def is_digits(text):
    return text.isdigit()
# The isdigit method is true if every character is a digit.
? checks whether a string contains only digits | checks if a string is made of digits
? tells whether a string is a number
> ('123',) -> True
> ('a1',) -> False

def repeat(text, times):
    return text * times
# Multiplying a string repeats it.
? repeats a string | repeats a string a number of times
? returns a string repeated a number of times
> ('ab', 2) -> 'abab'
> ('a', 0) -> ''

def string_length(text):
    return len(text)
# The built-in len counts the characters.
? returns the length of a string | counts the characters in a string
? returns the number of characters in a string
> ('abc',) -> 3
> ('',) -> 0
"""
