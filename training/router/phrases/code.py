"""Programming: tasks, stubs with a docstring, contest problems, bugs, queries, tools of the trade.
See ``templates``."""

# ruff: noqa: E501

from __future__ import annotations

import random

from training.router.phrases.slots import drawn

CODE: tuple[str, ...] = tuple(
    line.strip()
    for line in r"""
[Write|Create|Implement|Generate|Give me] a <lang> [function|method|program|script|snippet] [that|to|which] [reverse|reverses|sort|sorts|filter|merge] a <dtype>.
[Write|Implement|Code] a [function|method] [called|named] <fname> [that takes|taking|which accepts] a <dtype> and returns [the largest element|its length|True if it is empty|a new <dtype>].
[Create|Design|Build|Write] a class [called|named|for] [BankAccount|Stack|Queue|Rectangle|LRUCache|Student] [in <lang>|with methods to add and remove items].
Write a [recursive|iterative] [function|solution|algorithm] [for|to compute] [the Fibonacci numbers|factorial|the Tower of Hanoi|binary search|quick sort|depth-first search] [in <lang>|].
[How do I|How can I|how to|What is the best way to|Is there a way to] [sort|reverse|iterate over|concatenate|copy|split|flatten|filter|print] a <dtype> in <lang>[?|]
[How do I|How can I|how to] [read a file line by line|parse JSON|make an HTTP request|connect to a database|read command line arguments|get the current date|generate random numbers] [in|using|with] <lang>[?|]
[how to|] [convert|cast|transform] a <dtype> [to|into] a <dtype> in <lang>
[how to|] remove [duplicates|None values|whitespace|the last element|all zeros] from a <dtype> [in <lang>|]
sort a <dtype> by [the second element|value|key|length] [in <lang>|]
[get|find|check if|count] [the index of|whether a key exists in|occurrences of an item in|the maximum value in] a <dtype> [in <lang>|using <lib>|]
[select|drop|rename|merge|group by|filter] [rows|columns] in a <lib> dataframe [where|by|based on] [<column> is null|<column>|a condition]
Why does [my|this|the following] [code|program|query|function|loop|script] [throw|give me|raise|fail with|return] [an error|`<error>`|None|null|an infinite loop|the wrong output]?
[I'm getting|I get|I keep getting|What does this error mean:|How do I fix] [this error|] <error> [when I run my <lang> code|in <lib>|]
[Fix|Find|Spot|Debug|Correct] the [bug|error|mistake|problem] in [this|the following|my] [code|<lang> function|snippet|program]:\n\ndef <fname>(a, b):\n    return a - b
[Explain|Describe|Tell me|What does] [what this code does|this code do|the output of this program|line by line what happens]:\n\nfor i in range(<n>):\n    print(i * <n>)
What [is|will be] the output of the following [code|<lang> code|program]? [print(<n> // <n>)|x = {{<ints>}}; print(x{{1:3}})|int a = <n>; System.out.println(a++);]
[Refactor|Optimize|Simplify|Rewrite|Clean up|Review|Document] [this|the following|my] [function|code|class|SQL query|loop] [to be faster|to use list comprehension|for readability|in <lang>]
[Translate|Convert|Port|Rewrite] this [<lang>|] [code|function|script] [to|into] <lang>
[Write|Give me|Generate|Add|Create] [unit tests|a test case|pytest tests|docstrings|type hints|comments] for [this|the following|the] [function|class|code]
[Write|Construct|Create|Give me] [a|an] [SQL query|SQL statement|query] to [find|get|list|select|count|delete|update] [all|the|] <table> [where|with|whose] <column> [is greater than <k>|is null|= '<name>'|per <column>]
SELECT <column>, COUNT(*) FROM <table> GROUP BY <column> HAVING COUNT(*) > <n>
select <column> from <table> where <column> = <n> order by <column> desc limit <n>
[Given|Using] the table[s|] <table>(<column>, <column>, <column>) [and <table>(<column>, <column>)|], [write|find] [a query that returns|the SQL for] [the top <n> rows|the average <column> per <column>|duplicates]
What is the difference between [an inner join|a left join] and [an outer join|a union] in SQL?
What is the difference between [let and var|== and ===|a list and a tuple|an interface and an abstract class|a process and a thread|GET and POST|null and undefined|a pointer and a reference|TCP and UDP sockets|shallow and deep copy] [in <lang>|]?
[Explain|What are|How do|what is] [closures|decorators|generators|promises|pointers|templates|generics|async and await|goroutines|list comprehensions|dependency injection|lambda functions|mixins|smart pointers] [in|work in] <lang>[?|]
What is the [time|space] complexity of [merge sort|quicksort|binary search|inserting into a hash table|this algorithm|a nested loop over n elements]?
[Write|Give me|What is] [a|the] [regex|regular expression] [to match|that matches|for validating|to extract] [email addresses|phone numbers|dates|anything between parentheses|hex colours|URLs]
[bash|shell|linux|terminal|command line] [command|script|one-liner] to [find|delete|list|count|rename] [all files|directories|lines|files] [larger than <n>MB|ending in .log|containing a word|modified in the last <n> days]
[Find|List|Delete|Count|Search for|Print|Archive|Copy] all [*.txt|*.c|*.log|.php|regular|hidden|empty] files [under|in] [/tmp|the current directory|/home|the home directory|directory tree /usr] [modified less than <n> days ago|larger than <n>k|and print their names|recursively|with permission 777]
how do i [undo|revert|squash|amend|cherry-pick] [the last commit|my commits|a merge|a pushed commit] in git
git [push|pull|rebase|merge|stash] [rejected|conflict|says detached HEAD|origin master not working]
[How do I|How to] [center a div|make a responsive navbar|style a button|hide an element|align text] [with|in|using] CSS[?|]
[Create|Write|Make|Build] [an HTML|a web] [page|form] with [a table|two buttons|a contact form|a header and footer] [and style it with CSS|]
[Write|Create] a [Dockerfile|Makefile|docker-compose file|CI pipeline|cron job|systemd unit|YAML config|webpack config|package.json] for [a <lang> app|a <lib> project|running tests every night]
docker [build|run|compose] [fails|exits immediately|can't find the file|permission denied] [with <error>|]
[Implement|Write|Design] [a REST API|an endpoint|a GraphQL resolver|a websocket server|a web scraper|a chat bot|a login page|a todo app|a snake game|tic tac toe|a calculator app|a rate limiter|a trie|an LRU cache|a linked list|merge sort|Dijkstra's algorithm|a hash table|a producer consumer queue] [in <lang>|using <lib>|]
[Make|Write] a [simple|small] [<lang>|] [game|app|program|script|tool|bot] that [asks the user for their name|prints the multiplication table|downloads images|renames files|sends an email|guesses a number|plots a graph]
Write a program that [reads|prompts for|takes] [<n> integers|a string|two numbers|a line of input] and [prints|outputs|displays] [the sum|them in reverse order|the largest|whether it is a palindrome].
[Write|Create] a [for|while] loop [in <lang>|] [that prints|to print|which counts] [even numbers|numbers 1 to <m>|each item of a <dtype>]
Edit the following code [so that|to] [it runs faster|it handles errors|it prints the result|it uses recursion].\n\nlet x = <n>;\nconsole.log(x);
Identify the [data structure|design pattern|error|output|type] [used|] in the following code.
Classify the following code as [valid|invalid] [Python|Java|C]: x = {{<ints>}}
Write a [<lib>|] [model|component|route|hook|view|query|unit test|migration] [for|that|to] [user login|showing a list of <table>|uploading files|handling errors]
[Write|Develop|Create] [an algorithm|a method|pseudocode|a code snippet] [to|for|that] [detect a cycle in a linked list|find the shortest path|check if two strings are anagrams|find all permutations|sort numbers without built-in functions|rotate a matrix by 90 degrees]
Given [a|an] [<dtype>|integer array nums|string s|sorted array|m x n grid|list of intervals], [return|find|compute|determine] [the|] [length of the longest substring without repeating characters|indices of two numbers that add up to target|number of islands|minimum number of operations|k-th largest element|maximum sum of a subarray|lowest common ancestor].
You are given [a|an] [array|list] of n integers. [Output|Print|Return] [the number of|the minimum|the maximum] [pairs|subsequences|swaps|inversions] [modulo 10^9+7|such that a_i < a_j|with sum divisible by k].
[Implement|Complete|Finish] the [function|method] [below|<fname>] [so that it|to] [passes the tests|returns the sum|handles empty input].
def <fname>(nums: List{{int}}) -> int:\n    \"\"\"[Return|Find|Compute] the [largest|smallest|most common] [value|element] in the list.\n    >>> <fname>({{<ints>}})\n    <n>\n    \"\"\"
from typing import List\n\n\ndef <fname>(items: List{{str}}, prefix: str) -> List{{str}}:\n    \"\"\" [Filter|Sort|Count|Group] the input list of strings [by a prefix|by length|ignoring case].\n    >>> <fname>({{}}, 'a')\n    {{}}\n    \"\"\"\n
import math\n\ndef <fname>(a, b, c):\n    '''\n    [You're given|Given|Create a function that takes] three [positive |]numbers, [return|check] [True if they form a triangle|their sum|the largest].\n    Examples:\n    <fname>(<n>, <n>, <n>) ➞ <n>\n    '''
public class Main {\n    public static int <fname>(int{{}} a) {\n        // TODO: [return the second largest element|count the even numbers]\n    }\n}
#include <stdio.h>\nint main() {\n    int x = <n>;\n    printf("%d", x);\n    return 0;\n}\nWhat does this print?
function <fname>(arr) {\n  return arr.map(x => x * <n>).filter(Boolean);\n}\n[Explain this.|Is there a shorter way?|Why does it return an empty array?]
fn <fname>(v: &Vec<I32>) -> usize {\n    v.len()\n}\n[How do I make this generic?|Why does the borrow checker complain?]
```\n<fname> = lambda x: x ** <n>\nprint(<fname>(<n>))\n```\n[What does this do?|Rewrite as a normal function.|Fix it.]
```<lang>\nfor (let i = 0; i < <n>; i++) { console.log(i) }\n```\n[why does this print <n> times|make it stop at <n>]
Traceback (most recent call last):\n  File "main.py", line <m>, in <fname>\n<error>
Here is my code: class Node: def __init__(self, val): self.val = val; self.next = None. [How do I insert at the head?|Why is head None?]
I have a [pandas |]dataframe with columns <column>, <column> and <column>. How [do|can] I [compute|get|plot] [the mean <column> per <column>|rows with the max <column>|a pivot table]?
I am [using|working with|new to|trying to use] <lib> [and|but] [I can't figure out how to|it fails to|my code doesn't|I want to] [install it|save the model|pass parameters|return a value from a callback|update the state].
I am trying to [write|build|run] a <lang> [script|app|program] [that|which] [reads a CSV file|logs in to a site|runs every hour] but [nothing happens|it crashes|I get <error>].
My [loop|function|regex|query|test|build|<lib> app] [does not work|is too slow|never ends|returns the wrong value|fails on an empty list]. [What am I doing wrong?|Any ideas?|Here is the code.]
[pip|npm|cargo|maven|apt|conda] install [fails|hangs|gives permission denied|cannot find version] [for <lib>|]
how to install <lib> [on ubuntu|on windows|with pip|in a virtual environment]
[Should I use|Which is faster,|When to use] [a list or a set|recursion or iteration|<lib> or <lib>|<lang> or <lang>] [for|when|to] [looking up items|parsing large files|a web backend]?
[Write|Create|Give me] [a|an] [example|demo|tutorial|minimal example] of [inheritance|polymorphism|multithreading|exception handling|a callback|recursion|file I/O] in <lang>
[Print|Display|Output] [Hello World|the first <m> primes|a pyramid of stars|the current time|a chess board] [in|using] <lang>
[What|Which] [keyword|function|method|operator|module|library] [is used to|does <lang> use to|can I use to] [define a function|catch exceptions|format a string|get the length of a <dtype>|parse XML]?
[Show|List|Find|Return|Display|What are] the <column>[, <column>|] and <column> of [all|every|each] <table> [ordered by <column>|sorted by <column> in descending order|whose <column> is above <k>|that have no <table>|].
[What are|Show] the names of the <table> with [more than <n> <table>|the highest <column>|a <column> below average]?
[Find|Count|Give] the number of [distinct |]<table> [for each|per|grouped by] <column>.
[delete|remove|print|replace|count] all [lines|words|occurrences|rows|files] [containing|matching|starting with|of] [foo|'error'|a pattern|"TODO"] [with|using|in] [sed|awk|grep|vim|notepad++|bash|find|perl]
[add|insert|append|get|drop] [a new axis|a column|a row|the last n elements|every second element|the index] [to|in|from|of] [array `a`|list `lst`|dataframe `df`|numpy array `x`|dictionary `d`]
[check|test|see] if [string `s`|variable x|list `l`|file 'a.txt'] [contains|is|exists|starts with] [a substring|only digits|None|empty|'abc']
Given [a|the] [<dtype>|list|grid|string|set of points|straight line defined by two points|maze as an m*n matrix of 0s and 1s|list of room descriptions], [how can we compute|determine|what is|find] the [sum of the ids|shortest path|orthonormal basis|corrected values|number of steps|ranking of new words]? [The input is|You are given|Return] [a dictionary with keys|a list of|the result as] [strings|integers|a tuple].
What does the [yield|static|volatile|const|async|this|self|super|final|with|lambda|finally|inline|virtual|extends|defer] keyword [do|mean][ in <lang>|]?
What [is|does] [the -> operator|**kwargs|if __name__ == "__main__"|"use strict"|a metaclass|the double colon|@staticmethod|the ?? operator] [mean|do|for|used for][ in <lang>|]?
How [do|can|to] [I |][undo|revert|delete|rename|push|list|check out|squash] [the most recent|a local|a remote|my last|all|the last two] [commit|commits|branch|branches|tag|tags|changes][?|]
[Why|When] is [processing a sorted array faster|my loop slower|a virtual destructor needed|a deep copy needed|this variable undefined|the callback never called|the event fired twice][?|]
x = <n>; x += <n>; [what is x|print(x)|x value?]
a = {{<ints>}}; print(a{{-1}}) [what is printed|output?]
[The|An|My] [attribute|class method|import|constructor|handler|unit test|migration|compiler|linker|IDE] [is not found|raises an error|does not compile|fails silently|gives a warning] when [calling my class|inheriting|running in docker|I add a second file]
<name> has n [books|coins|friends|candies|tasks] and wants to [place|split|arrange|buy] them [so that each group has at most k|with the minimum cost|in increasing order]. [Print|Output|Find] the [least|largest|minimum possible|maximum] [number|sum|cost] [of shelves|]. [n and k are given|The input contains n and q|For each query print the answer].
[Complete|Finish|Implement] the [function|method|solution] that [accepts|takes|receives] a [string parameter|number|list|list of integers], and [reverses each word|returns the sum|removes the vowels|doubles each value].
declare a [variable|constant|2D array|pointer|struct|string] in <lang>
Write code to [swap two variables|read a CSV|check for prime|count words in a file|draw a circle|scrape a web page|train a linear regression] [in <lang>|with <lib>|]
[Convert|Turn] this [for loop|callback|class component|curl command|SQL] into [a list comprehension|async/await|a hook|<lang> requests code|an ORM query]
Generate [a|an] [JSON schema|OpenAPI spec|Terraform file|YAML|XML document|regex|CSS animation|SVG|LaTeX table] for [a user profile|a product list|an S3 bucket|a loading spinner]
[Create|Write] a [stored procedure|trigger|view|table|schema|index] [for|on|to] [the <table> table|log changes|store <table> and <table>] [in MySQL|in PostgreSQL|]
CREATE TABLE <table> (id INT PRIMARY KEY, <column> VARCHAR(<m>)); [Add an index on <column>.|How do I insert a row?|How many columns does it have?]
Assert that <fname>({{<ints>}}) == <n>. Write the function.
Your code should pass these tests: assert <fname>("abc") == "cba" assert <fname>("") == ""
Write a function to [find|count|check|get|remove|calculate] [the n-th|all|the sum of|the frequency of|common|repeated] [elements|characters|tuples|numbers|keys] [in|from|of] [the given|a given|two given] <dtype>s.
Using only [one line|built-in functions|recursion|loops], [reverse|sort|sum|flatten] a <dtype> [in <lang>|].
How would you [test|mock|profile|log|cache|serialize|deploy|debug] [a <lang> function|a database call|a <lib> app|an API client]?
what's a good way to structure a <lib> project
vim: how to [exit|replace all|delete a line|paste]
[chmod|grep|awk|sed|find|tar|curl|ssh] [command to|example to|how to] [print the second column|replace text in a file|extract an archive|copy a folder|list open ports]
Write a [shader|kernel|macro|Verilog module|assembly routine|VBA macro|Excel formula|PowerShell script|Ansible playbook|LaTeX command] [that|to|which] [adds two numbers|copies memory|counts clock cycles|sorts a column]
Predict the [output|return value] of <fname>(<n>, <n>) given the [code|function] below.
Given the following [input|function|code] and [output|arguments], [what is|predict] the [result|missing line]?
Provide [a|an] [implementation|outline|code] for [a blockchain|a neural network from scratch|an event bus|a thread pool|a tokenizer|K-means] in <lang>.
The [function|method] should [accept|take] [two parameters|a <dtype>] and [return|raise] [an integer|a boolean|a ValueError if it is empty].
Add [error handling|logging|pagination|input validation|a timeout|a retry] to this [<lang>|] [code|endpoint|function]
Is it possible to [overload|override|inherit|monkey patch|import] [a function|a constructor|operators|a private method|two modules] in <lang>?
""".splitlines()
    if line.strip()
)

_HEROES = (
    "Polycarp",
    "Alice and Bob",
    "Chef",
    "Monocarp",
    "A wizard",
    "Takahashi",
    "Farmer John",
    "A robot",
    "The mayor of the town",
    "Your friend",
    "An ant",
    "A frog",
)
_STORIES = (
    "has an array {a} of length {n}. In one move, any element may be increased by one",
    "stands at position 0 on a number line and can jump {k} units to the left or to the right",
    "plays a game with n piles of stones. On each turn a player removes at least one stone",
    "wrote down a string s of lowercase English letters and wants to make it a palindrome",
    "has n cities connected by m bidirectional roads. Each road i has a length w_i",
    "wants to buy n gifts. The i-th gift costs c_i coins and has beauty b_i",
    "is given two integers l and r and asks for the number of good numbers between them",
    "draws a grid with n rows and m columns, where '#' is a wall and '.' is an empty cell",
    "has a permutation p of size n and swaps adjacent elements until it is sorted",
    "visits a shop with n items and has a budget of k burles",
)
_ASKS = (
    "Find the minimum number of moves",
    "Print the maximum possible sum",
    "Determine whether it is possible",
    "Calculate the number of ways modulo 998244353",
    "For each query, output the answer",
    "Help them find the length of the shortest path",
    "Your task is to count such pairs",
    "Print YES or NO",
)
_INPUTS = (
    "The first line contains a single integer t (1 ≤ t ≤ 10^4) — the number of test cases.",
    "The first line of the input contains two integers n and m (1 <= n, m <= 2*10^5).",
    "Input is given from Standard Input in the following format:\nN\nA_1 A_2 ... A_N",
    "Each test case consists of one line with a string s (1 ≤ |s| ≤ 100).",
    "The second line contains n space-separated integers a_1, a_2, ..., a_n (-10^9 ≤ a_i ≤ 10^9).",
)


def _contest(chance: random.Random) -> str:
    """A story, what to print, the format of input and output, limits, an example."""
    story = chance.choice(_STORIES).format(a="a", n=chance.randint(3, 9), k=chance.randint(2, 9))
    text = f"{chance.choice(_HEROES)} {story}. {chance.choice(_ASKS)}."
    heading = chance.choice(("-----Input-----", "Input", "### Input Format", "Input:", ""))
    parts = [text, f"{heading}\n{' '.join(chance.sample(_INPUTS, chance.randint(1, 2)))}".strip()]
    if chance.random() < 0.7:
        out = chance.choice(("-----Output-----", "Output", "### Output Format", "Output:"))
        parts.append(
            f"{out}\nPrint {chance.choice(['one integer', 'the answer', 'a single line', 'YES or NO'])}."
        )
    if chance.random() < 0.5:
        parts.append(
            f"{chance.choice(['Constraints', 'Note', 'Limits'])}\n1 ≤ n ≤ {10 ** chance.randint(2, 6)}"
        )
    if chance.random() < 0.7:
        sample = chance.choice(
            ("-----Example-----\nInput", "Sample Input 1", "Examples\n\nInput", "Example:\nInput")
        )
        parts.append(
            f"{sample}\n{chance.randint(1, 9)}\n{drawn('ints', chance).replace(',', '')}\n\nOutput\n{chance.randint(0, 50)}"
        )
    return "\n\n".join(parts)


_VERBS = (
    "Return",
    "Check if",
    "Find",
    "Given a list, return",
    "Write a function that takes a string and returns",
    "Calculate",
    "Count",
    "Create",
    "Remove",
    "It should return",
    "Convert",
)
_WHATS = (
    "the number of vowels in the string",
    "every other element",
    "the sum of squares of the numbers",
    "two numbers are closer than a threshold",
    "the n-th number of the sequence",
    "a sorted copy",
    "the string encoded with a shift of four",
    "the largest prime factor",
    "brackets are balanced",
    "only the positive numbers",
    "elements that appear more than once",
    "the decimal in binary form",
    "the longest word; if several, the first",
    "the list rotated by k",
    "the median of the elements",
    "a dictionary of letter counts",
    "whether the matrix is symmetric",
    "an interleaved list",
)


def _stub(chance: random.Random) -> str:
    """A signature with a docstring and examples, to be completed."""
    name = drawn("fname", chance)
    args = chance.choice(
        ("n", "lst", "s: str", "numbers: List[int]", "a, b", "x: int, y: int", "text", "arr, k")
    )
    returns = chance.choice(("", " -> int", " -> bool", " -> List[int]", " -> str"))
    quote = chance.choice(('"""', "'''"))
    what = f"{chance.choice(_VERBS)} {chance.choice(_WHATS)}."
    if chance.random() < 0.5:
        what += f"\n    {chance.choice(['Note:', 'If', 'For example,', 'You can assume', 'Constraints:'])} {chance.choice(_WHATS)}."
    example = f"{name}({chance.choice([drawn('n', chance), '[' + drawn('ints', chance) + ']', repr('abc')])})"
    shown = chance.choice(
        (
            f">>> {example}\n    {chance.randint(0, 20)}",
            f"{example} == {chance.randint(0, 20)}",
            f"Examples:\n    {example} => True",
            "",
        )
    )
    head = chance.choice(
        (
            "",
            "",
            "from typing import List\n\n\n",
            "import math\n\n",
            "def helper(x):\n    return x + 1\n\n\n",
            "Complete this function:\n\n",
            "Complete the following code:\n```python\n",
        )
    )
    return f"{head}def {name}({args}){returns}:\n    {quote} {what}\n    {shown}\n    {quote}\n"


GENERATORS = (_contest, _stub, _stub)
