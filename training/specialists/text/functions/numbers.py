"""Functions over numbers; the package explains the notation."""

from __future__ import annotations

SOURCE = """
def is_even(number):
    return number % 2 == 0
# An even number leaves no remainder when divided by 2.
? checks whether a number is even | checks if a number is even | tells whether a number is even
> (4,) -> True
> (3,) -> False

def is_odd(number):
    return number % 2 == 1
# An odd number leaves the remainder 1 when divided by 2.
? checks whether a number is odd | checks if a number is odd | tells whether a number is odd
> (4,) -> False
> (3,) -> True

def is_prime(number):
    if number < 2:
        return False
    for divisor in range(2, int(number ** 0.5) + 1):
        if number % divisor == 0:
            return False
    return True
# It tries every divisor up to the square root.
? checks whether a number is prime | checks if a number is prime
? tells whether a number is a prime | tests whether a number is prime
> (7,) -> True
> (9,) -> False
> (1,) -> False

def factorial(n):
    if n <= 1:
        return 1
    return n * factorial(n - 1)
# It calls itself with a smaller number until it reaches 1.
? returns the factorial of a number | calculates the factorial of a number
? computes the factorial of n
> (5,) -> 120
> (0,) -> 1

def fibonacci(n):
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
# Each step moves on to the next pair of Fibonacci numbers.
? returns the nth Fibonacci number | calculates the nth Fibonacci number
? computes the Fibonacci number of n
> (7,) -> 13
> (0,) -> 0

def fibonacci_list(n):
    numbers = []
    a, b = 0, 1
    for _ in range(n):
        numbers.append(a)
        a, b = b, a + b
    return numbers
# It appends one Fibonacci number in each step.
? returns the first n Fibonacci numbers | returns a list of the first n Fibonacci numbers
? lists the first n Fibonacci numbers
> (5,) -> [0, 1, 1, 2, 3]
> (0,) -> []

def gcd(a, b):
    while b:
        a, b = b, a % b
    return a
# This is Euclid's algorithm.
? returns the greatest common divisor of two numbers
? finds the greatest common divisor of two numbers | calculates the gcd of two numbers
> (12, 18) -> 6
> (7, 3) -> 1

def lcm(a, b):
    x, y = a, b
    while y:
        x, y = y, x % y
    return a * b // x
# It divides the product by the greatest common divisor.
? returns the least common multiple of two numbers
? finds the least common multiple of two numbers | calculates the lcm of two numbers
> (4, 6) -> 12
> (3, 5) -> 15

def add(a, b):
    return a + b
# The plus operator adds the two numbers.
? adds two numbers | returns the sum of two numbers
> (2, 3) -> 5
> (-1, 1) -> 0

def subtract(a, b):
    return a - b
# The minus operator takes the second number away.
? subtracts two numbers | returns the difference of two numbers
> (2, 3) -> -1
> (5, 1) -> 4

def multiply(a, b):
    return a * b
# The star operator multiplies the two numbers.
? multiplies two numbers | returns the product of two numbers
> (2, 3) -> 6
> (-1, 1) -> -1

def divide(a, b):
    if b == 0:
        return None
    return a / b
# It returns None rather than divide by zero.
? divides two numbers | returns the quotient of two numbers
> (6, 3) -> 2.0
> (5, 0) -> None

def larger(a, b):
    return a if a > b else b
# It compares the two numbers and returns the larger.
? returns the larger of two numbers | returns the maximum of two numbers
? finds the bigger of two numbers
> (2, 3) -> 3
> (3, 2) -> 3

def smaller(a, b):
    return a if a < b else b
# It compares the two numbers and returns the smaller.
? returns the smaller of two numbers | returns the minimum of two numbers
? finds the lower of two numbers
> (2, 3) -> 2
> (3, 2) -> 2

def absolute(number):
    return -number if number < 0 else number
# It turns the sign of a negative number.
? returns the absolute value of a number | calculates the absolute value of a number
> (-3,) -> 3
> (3,) -> 3

def square(number):
    return number * number
# It multiplies the number by itself.
? returns the square of a number | squares a number | calculates the square of a number
> (3,) -> 9
> (-2,) -> 4

def cube(number):
    return number ** 3
# It raises the number to the third power.
? returns the cube of a number | cubes a number | calculates the cube of a number
> (3,) -> 27
> (-2,) -> -8

def power(base, exponent):
    return base ** exponent
# The double star operator raises to a power.
? raises a number to a power | calculates the power of a number
? returns a number raised to an exponent
> (2, 5) -> 32
> (3, 0) -> 1

def sum_digits(number):
    return sum(int(digit) for digit in str(number))
# It turns the number into text and adds up its digits.
? returns the sum of the digits of a number | adds up the digits of a number
? sums the digits of a number
> (123,) -> 6
> (0,) -> 0

def count_digits(number):
    return len(str(abs(number)))
# It turns the number into text and counts the characters.
? counts the digits of a number | returns the number of digits of a number
> (123,) -> 3
> (-5,) -> 1

def divisors(number):
    return [d for d in range(1, number + 1) if number % d == 0]
# It keeps every number that divides without remainder.
? returns the divisors of a number | lists all divisors of a number
? finds the divisors of a number
> (6,) -> [1, 2, 3, 6]
> (1,) -> [1]

def primes_up_to(limit):
    primes = []
    for number in range(2, limit + 1):
        if all(number % prime for prime in primes):
            primes.append(number)
    return primes
# A number is prime if no smaller prime divides it.
? returns all primes up to a limit | lists the prime numbers up to n
? finds all primes up to a number
> (10,) -> [2, 3, 5, 7]
> (1,) -> []

def is_leap_year(year):
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
# Every fourth year is a leap year, but centuries only if 400 divides them.
? checks whether a year is a leap year | checks if a year is a leap year
? tells whether a year is a leap year
> (2024,) -> True
> (1900,) -> False
> (2000,) -> True

def to_fahrenheit(celsius):
    return celsius * 9 / 5 + 32
# It scales by 9/5 and adds 32.
? converts Celsius to Fahrenheit | converts a temperature from Celsius to Fahrenheit
> (100,) -> 212.0
> (0,) -> 32.0

def to_celsius(fahrenheit):
    return (fahrenheit - 32) * 5 / 9
# It takes away 32 and scales by 5/9.
? converts Fahrenheit to Celsius | converts a temperature from Fahrenheit to Celsius
> (212,) -> 100.0
> (32,) -> 0.0

def clamp(value, low, high):
    return max(low, min(value, high))
# It keeps the value between low and high.
? clamps a number between two limits | limits a number to a range | clamps a value to a range
> (5, 0, 3) -> 3
> (-1, 0, 3) -> 0

def sum_to(n):
    return n * (n + 1) // 2
# This is Gauss's formula for 1 + 2 + ... + n.
? returns the sum of the numbers from 1 to n | adds up all numbers from 1 to n
> (4,) -> 10
> (100,) -> 5050

def fizzbuzz(n):
    if n % 15 == 0:
        return "FizzBuzz"
    if n % 3 == 0:
        return "Fizz"
    if n % 5 == 0:
        return "Buzz"
    return str(n)
# Multiples of both 3 and 5 come first, because they would match the other rules too.
? solves FizzBuzz | returns the FizzBuzz word for a number | plays FizzBuzz for a number
> (15,) -> 'FizzBuzz'
> (4,) -> '4'
> (9,) -> 'Fizz'
> (10,) -> 'Buzz'

def circle_area(radius):
    return 3.141592653589793 * radius ** 2
# The area is pi times the radius squared.
? calculates the area of a circle | returns the area of a circle
> (1,) -> 3.141592653589793
> (0,) -> 0.0

def rectangle_area(width, height):
    return width * height
# The area is the width times the height.
? calculates the area of a rectangle | returns the area of a rectangle
> (2, 3) -> 6
> (1, 1) -> 1

def is_positive(number):
    return number > 0
# A positive number is greater than 0.
? checks whether a number is positive | checks if a number is positive
? tells whether a number is positive
> (4,) -> True
> (-3,) -> False

def is_negative(number):
    return number < 0
# A negative number is less than 0.
? checks whether a number is negative | checks if a number is negative
? tells whether a number is negative
> (4,) -> False
> (-3,) -> True

def countdown(n):
    return list(range(n, 0, -1))
# A range with step -1 counts down.
? returns a list that counts down from n to 1 | counts down from n to 1
> (3,) -> [3, 2, 1]
> (0,) -> []

def to_binary(number):
    return format(number, "b")
# The format code b writes a number in binary.
? converts a number to binary | returns the binary form of a number
> (5,) -> '101'
> (0,) -> '0'
"""
