"""Functions over lists; the package explains the notation."""

from __future__ import annotations

SOURCE = """
def sum_list(numbers):
    return sum(numbers)
# The built-in sum adds up all the numbers in the list.
? returns the sum of a list of numbers | returns the sum of a list
? adds up all the numbers in a list | sums a list of numbers | calculates the total of a list
> ([1, 2, 3],) -> 6
> ([],) -> 0

def product(numbers):
    result = 1
    for number in numbers:
        result *= number
    return result
# It starts from 1 and multiplies every number in.
? returns the product of a list of numbers | multiplies all the numbers in a list
? returns the product of a list
> ([2, 3, 4],) -> 24
> ([],) -> 1

def largest(numbers):
    return max(numbers)
# The built-in max finds the largest number.
? returns the largest number in a list | finds the maximum of a list
? returns the maximum of a list | finds the biggest number in a list
> ([3, 9, 2],) -> 9
> ([-1, -4],) -> -1

def smallest(numbers):
    return min(numbers)
# The built-in min finds the smallest number.
? returns the smallest number in a list | finds the minimum of a list
? returns the minimum of a list | finds the lowest number in a list
> ([3, 9, 2],) -> 2
> ([-1, -4],) -> -4

def average(numbers):
    return sum(numbers) / len(numbers)
# It divides the sum of the numbers by how many there are.
? returns the average of a list of numbers | calculates the mean of a list
? computes the average of a list | returns the mean of a list of numbers
> ([1, 2, 3],) -> 2.0
> ([5, 6],) -> 5.5

def median(numbers):
    ordered = sorted(numbers)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2
# It sorts the numbers and takes the middle one, or the mean of the middle two.
? returns the median of a list of numbers | finds the median of a list
? calculates the median of a list
> ([3, 1, 2],) -> 2
> ([4, 1, 2, 3],) -> 2.5

def count_items(items):
    return len(items)
# The built-in len gives the number of items.
? returns the length of a list | counts the items in a list
? returns the number of items in a list
> ([1, 2],) -> 2
> ([],) -> 0

def reverse_list(items):
    return items[::-1]
# A slice with step -1 walks the list backwards.
? reverses a list | returns a list in reverse order | returns a reversed list
? turns a list around
> ([1, 2, 3],) -> [3, 2, 1]
> ([],) -> []

def sort_list(items):
    return sorted(items)
# The built-in sorted returns a new list in ascending order.
? sorts a list | sorts a list in ascending order | returns a sorted list | sorts a list of numbers
> ([3, 1, 2],) -> [1, 2, 3]
> ([],) -> []

def sort_descending(items):
    return sorted(items, reverse=True)
# With reverse=True, sorted puts the largest item first.
? sorts a list in descending order | sorts a list from largest to smallest
? sorts a list in reverse order
> ([3, 1, 2],) -> [3, 2, 1]
> ([],) -> []

def unique(items):
    return list(dict.fromkeys(items))
# A dict keeps each key once and in order, so duplicates fall out.
? removes duplicates from a list | returns the unique items of a list
? returns a list without duplicates
> ([1, 2, 1, 3],) -> [1, 2, 3]
> ([],) -> []

def has_duplicates(items):
    return len(set(items)) < len(items)
# A set drops duplicates, so it is smaller if there were any.
? checks whether a list has duplicates | checks if a list contains duplicates
? tells whether a list has repeated items
> ([1, 2, 1],) -> True
> ([1, 2],) -> False

def flatten(lists):
    return [item for inner in lists for item in inner]
# The two loops in the comprehension walk each inner list in turn.
? flattens a list of lists | turns a list of lists into one list | flattens a nested list
> ([[1], [2, 3]],) -> [1, 2, 3]
> ([],) -> []

def first_item(items):
    return items[0]
# Index 0 is the first item.
? returns the first item of a list | gets the first element of a list
? returns the first element of a list
> ([7, 8],) -> 7
> (['a'],) -> 'a'

def last_item(items):
    return items[-1]
# Index -1 is the last item.
? returns the last item of a list | gets the last element of a list
? returns the last element of a list
> ([7, 8],) -> 8
> (['a'],) -> 'a'

def is_empty(items):
    return len(items) == 0
# An empty list has length 0.
? checks whether a list is empty | checks if a list is empty | tells whether a list has no items
> ([],) -> True
> ([1],) -> False

def is_sorted(items):
    return items == sorted(items)
# The list is sorted if sorting it changes nothing.
? checks whether a list is sorted | checks if a list is sorted
? tells whether a list is in ascending order
> ([1, 2, 3],) -> True
> ([2, 1],) -> False

def contains(items, item):
    return item in items
# The in operator looks for the item in the list.
? checks whether an item is in a list | checks if a list contains an item
? tells whether a list contains a value
> ([1, 2], 2) -> True
> ([1, 2], 3) -> False

def count_item(items, item):
    return items.count(item)
# The count method counts the items equal to the given one.
? counts how often an item occurs in a list | counts the occurrences of an item in a list
? returns how many times an item appears in a list
> ([1, 2, 1], 1) -> 2
> ([], 1) -> 0

def find_index(items, item):
    for index, value in enumerate(items):
        if value == item:
            return index
    return -1
# It returns the position of the first match, or -1 if there is none.
? finds the index of an item in a list | returns the index of an item in a list
? searches a list for an item and returns its index
> ([5, 6], 6) -> 1
> ([5], 1) -> -1

def chunk(items, size):
    return [items[i:i + size] for i in range(0, len(items), size)]
# It slices the list every size items; the last chunk may be shorter.
? splits a list into chunks | splits a list into chunks of a given size
? divides a list into chunks
> ([1, 2, 3], 2) -> [[1, 2], [3]]
> ([], 2) -> []

def rotate(items, steps):
    if not items:
        return []
    steps %= len(items)
    return items[steps:] + items[:steps]
# It cuts the list and puts the first part at the end.
? rotates a list to the left | rotates a list by a number of steps | rotates a list
> ([1, 2, 3], 1) -> [2, 3, 1]
> ([], 1) -> []

def second_largest(numbers):
    return sorted(set(numbers))[-2]
# It drops duplicates, sorts, and takes the second from the end.
? returns the second largest number in a list | finds the second largest number
? finds the second largest value in a list
> ([3, 9, 2],) -> 3
> ([5, 5, 4],) -> 4

def merge_lists(first, second):
    return first + second
# The plus operator joins two lists.
? joins two lists | concatenates two lists | merges two lists into one
> ([1], [2]) -> [1, 2]
> ([], []) -> []

def common_items(first, second):
    return [item for item in first if item in second]
# It keeps the items of the first list that are also in the second.
? returns the common items of two lists | finds the items that two lists have in common
? returns the intersection of two lists
> ([1, 2, 3], [2, 3, 4]) -> [2, 3]
> ([1], [2]) -> []

def pair_up(first, second):
    return list(zip(first, second))
# The built-in zip takes one item from each list at a time.
? pairs up the items of two lists | zips two lists together
? combines two lists into a list of pairs
> ([1, 2], [3, 4]) -> [(1, 3), (2, 4)]
> ([], []) -> []

def running_total(numbers):
    totals = []
    total = 0
    for number in numbers:
        total += number
        totals.append(total)
    return totals
# It appends the total so far after each number.
? returns the running total of a list | computes the cumulative sum of a list
? returns the running sums of a list of numbers
> ([1, 2, 3],) -> [1, 3, 6]
> ([],) -> []
"""
