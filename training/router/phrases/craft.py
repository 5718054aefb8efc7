"""The craft around source text: concepts, machines, files and trouble. See ``templates``."""

# ruff: noqa: E501

from __future__ import annotations

import random

_TERMS = "|".join(
    """
a closure,hoisting,a promise,event bubbling,event delegation,currying,memoization,a callback,a generator,
a decorator,a mutex,a semaphore,a deadlock,a race condition,garbage collection,reference counting,
tree shaking,lazy loading,a service worker,local storage,a cookie,a session,CORS,the same-origin policy,
a REST API,GraphQL,a webhook,a JWT,OAuth,a primary key,a foreign key,database normalization,an index scan,
a left join,a transaction,ACID,sharding,a stored procedure,a view,an ORM,a migration,a pure function,
a higher order function,an arrow function,recursion,tail recursion,dynamic programming,a binary heap,
a hash map,a trie,a linked list,a stack overflow,big O notation,polymorphism,inheritance,encapsulation,
an abstract class,an interface,a singleton,dependency injection,the observer pattern,a microservice,
a container,a Dockerfile,a Kubernetes pod,an ingress,a load balancer,a reverse proxy,a message queue,
continuous integration,a unit test,a mock,code coverage,a merge conflict,git rebase,a pull request,
a pointer,a memory leak,a segmentation fault,undefined behaviour,the heap,the event loop,async await,
a thread pool,a coroutine,type inference,generics,a union type,a lambda expression,a list comprehension,
a virtual environment,a linter,a transpiler,a polyfill,a bundler,the virtual DOM,a React hook,a prop,
a CSS selector,flexbox,a media query,responsive design,server side rendering,a regular expression,
strict mode,a symbol table,an abstract syntax tree,just-in-time compilation,a null pointer,an enum,
a namespace,a module,a macro,operator overloading,a constructor,a destructor,a template class,an iterator,
middleware,a cron job,a daemon,an environment variable,a symlink,a file descriptor,a socket,a web socket,
rate limiting,caching,a CDN,idempotency,eventual consistency,blue-green deployment,a feature flag,
technical debt,the typeof operator,the spread operator,NaN,undefined,the this keyword,a prototype,
a first class function,shadow DOM,a data class,duck typing,monkey patching,the global interpreter lock,
a DataFrame,a pivot query,an event handler,serialization,a checksum,base64 encoding,a subnet mask,DNS
""".replace("\n", "").split(",")
)
_PAIRS = "|".join(
    """
let and var,null and undefined,== and ===,call and apply,slice and splice,a process and a thread,
a list and a tuple,TCP and UDP,GET and POST,an interface and an abstract class,a stack and a queue,
git merge and git rebase,a class and an object,SQL and NoSQL,an inner join and an outer join,
local storage and session storage,compile time and run time,concurrency and parallelism,PUT and PATCH,
shallow copy and deep copy,char and varchar,a pointer and a reference,map and forEach,Docker and a VM,
authentication and authorization,HTTP and HTTPS,monolith and microservices,a library and a framework,
window and document,an array and a linked list,delete and truncate,static and dynamic typing,
public and protected,final and finally,String and StringBuilder,useEffect and useMemo,rest and spread,
a set and a dictionary,sync and async,WHERE and HAVING,UNION and UNION ALL,unit and integration tests
""".replace("\n", "").split(",")
)
_LANG = "Python|JavaScript|Java|C++|Go|Rust|TypeScript|C#|Kotlin|Ruby|PHP|Swift|bash|SQL|React|Node"
_DOES = "|".join(
    """
check whether a string contains a substring,check if a key exists in an object,trim a string,
redirect to a new page,validate an email,get the current url,delete a cookie,parse a JSON string,
read a file line by line,sort by two keys,merge two dictionaries,generate random integers,reverse a list,
make the first letter uppercase,loop over the rows,convert a string to an int,catch an exception,
declare a constant,pass a function as an argument,compare two dates,remove duplicates from an array,
make an asynchronous HTTP request,connect to a database,create a thread,flatten a nested list,
submit a form,clone an object,handle errors,add an element to the DOM,format a date,split a string,
detect a mobile browser,write to a log file,empty an array,count words,deep copy an object,find the max,
unsubscribe from an event,set a default value,run a query with parameters,cancel a request,mock a module
""".replace("\n", "").split(",")
)
_PATHS = "|".join(
    """
/etc,/var/log,/home,/root,/usr/bin,/tmp,the current directory,my home directory,/opt/app,~/projects,
/srv/data,this folder,the system,/usr/local,/proc,all subdirectories,/testbed
""".replace("\n", "").split(",")
)
_FILES = "|".join(
    """
hidden files,empty files,.txt files,files larger than 10MB,python files,symbolic links,directories,
log files,files modified in the last 24 hours,executable files,files owned by root,lines,csv files,
files whose name starts with a letter,duplicate files,files containing the word error,java files,images
""".replace("\n", "").split(",")
)

TEMPLATES: tuple[str, ...] = (
    *(
        f"[What is|What's|Explain|Explain to me|Define|What do you know about|When would you use|Why do you need|What is the purpose of|What is the use of|What are the benefits of|Give an example of|Tell me about|What are the pros and cons of|What do you mean by] [{_TERMS}] [ in [{_LANG}]| in programming| in web development| in simple terms||][?|]"
        for _ in range(7)
    ),
    *(
        f"[What is the difference between|Difference between|What's the main difference between|Compare|Explain the difference between] [{_PAIRS}] [in [{_LANG}]|][?|]"
        for _ in range(3)
    ),
    f"[How do you|How do I|How to|How can I|What is the way to|In [{_LANG}], how do you|Best way to] [{_DOES}] [in [{_LANG}]|with [{_LANG}]|without a library|][?|]",
    f"[What are|List|Name] the [different types of|three states of|main rules of|lifecycle methods of|built-in types of|advantages of] [{_LANG}|promises|joins|indexes|locks|streams|HTTP methods|hooks|modules|exceptions|scopes][?|]",
    f"[Is|Can] [{_LANG}] [compiled or interpreted|a case-sensitive language|statically typed|single threaded|pass by value|be used for mobile apps|do multithreading]?",
    *(
        f"[How many|Count the|List all|List the|Find all|Find|Show|Print|Delete|Count|Tell me the number of] [{_FILES}] [are there |exist |] [in|under|inside] [{_PATHS}][?|.| recursively.| and its subfolders.| sorted by size.|, excluding hidden ones.]"
        for _ in range(2)
    ),
    f"[Tell me|Show|Print|Display|What is|Find out|I'd like to know] [the number of CPUs|how much disk space is used by [{_PATHS}]|the size of [{_PATHS}]|the ip address of this machine|which process uses port <n>|my linux kernel version|the free memory|how many users are logged in|the current shell|the groups on this system|the uptime][?|.]",
    "[Print|Display|Show|Extract|Replace|Delete|Sort|Filter|Join|Change|Append] [the first <n> lines|the last line|lines with the word 'fatal'|all words of five letters|the second column|duplicate lines|every second line|digits|blank lines|matching parts] [of|from|in|for] [the file `in.txt`|`table.txt`|the given csv|data.log|a.txt and b.txt|the file][.|]",
    f"[Change the permissions of|Compress|Rename|Copy|Move|Archive|Set the owner of|Search] [{_FILES}] [in|under] [{_PATHS}] [recursively|to a backup folder|so that only I can read them|with today's date|]",
    "[Why can't I|I can't|How do I] [use sudo|ssh into my server|install this package|mount the drive|start the container|connect to postgres|push to the remote|open the port|find the executable in my path][?|.| Help me fix it.]",
    "[our|my|the|production] [service|api|app|build|pipeline|website|server|deploy|cron job|test suite|batch job|worker] [keeps crashing|answers with 503|restarts by itself|times out|got slower this week|leaks memory|fails only in CI|returns 404|works locally but not in staging][.|, why?|, where do I look first?|, help me debug it|]",
    "[this|my|the|our] [oracle|sql|mysql|mongo] query [is slow|takes <n> seconds|locks the table|returns duplicates][, how can I tune it?|, what's wrong?|]",
    "[refactor|review|modularize|document|write tests for|optimize|port|simplify|find the bug in] [the parser|this script|the repository|this class|a legacy service|my pull request|the data layer][ one file at a time| with comments|]",
    "[review|design|diagram] [the schema|our plugin system|the deployment|the caching layer|the login flow][ for ten thousand users|]",
    "[set up|configure|deploy|help me build|create] [a CI pipeline|nginx as a reverse proxy|docker compose for postgres and redis|a kubernetes cluster|a webhook|terraform for my project|eslint|a monorepo][?|.|]",
    "[call|wrap|mock|version|secure] [a REST endpoint|the payment service|a third-party sdk] [with authentication|in the tests|behind a gateway|in [Go|Python|Node]][.|?|]",
    "[when should i denormalize|is goto always bad|are global variables bad style|should I learn Rust or Go|which is faster, a list or a set]?",
    '[What\'s the output|What does this print|What happens when we run this|What will be logged|Which one is true]?\\n\\n[let a = <n>;\\nconsole.log(a++ + ++a);|const x = {{1, 2, 3}};\\nx{{5}} = 9;\\nconsole.log(x.length);|var y = "<n>" + 2;\\nconsole.log(typeof y);|print({{i*i for i in range(4)}})|int *p = NULL;\\nprintf("%d", *p);]',
    'What would be the result of [\'4\' * 2|"5" - 2|true + 1|typeof null|{{}} == false|0.1 + 0.2 === 0.3|parseInt("12px")|!!""][?|]',
)

_NAMES = [
    "User",
    "Order",
    "Session",
    "Chart",
    "Report",
    "Payment",
    "Layer",
    "Widget",
    "Query",
    "Event",
    "Image",
    "Cache",
    "Token",
    "Matrix",
    "Graph",
    "Page",
    "Router",
    "Sensor",
    "Message",
    "Vector",
    "Index",
]
_SUFFIXES = [
    "Manager",
    "Controller",
    "Factory",
    "Service",
    "Handler",
    "Builder",
    "Client",
    "View",
    "Parser",
    "Component",
    "Provider",
    "Repository",
    "Renderer",
    "Stream",
]
_CALLS = [
    "init",
    "create",
    "load",
    "update",
    "render",
    "validate",
    "parse",
    "fetch",
    "resolve",
    "connect",
    "dispatch",
    "register",
    "transform",
]


def _api(chance: random.Random) -> str:
    """What is asked of a named class or function, as developers talk of them."""
    name = chance.choice(_NAMES) + chance.choice(_SUFFIXES)
    call = f"{chance.choice(_CALLS)}{chance.choice(_NAMES)}"
    lower = name[0].lower() + name[1:]
    return chance.choice(
        (
            "How do I create an instance of `{name}` with the {what} set to {value}?",
            "Can I generate a `{name}` using the `{call}` method for the {what} '{value}'?",
            "Help me call `{call}` on the `{lower}` with {what} {value} and a timeout of {n} milliseconds.",
            "How can I use `{call}` to update the {what} for the given {lower}?",
            "Initialize the `{name}` class with {what} '{value}' and enable {what2}.",
            "What does {name}.{call}() return when the {what} is missing?",
            "Write a wrapper for {call} that retries {n} times and logs the {what}.",
            "How to override the `{call}` function in {name} to handle the {what}?",
        )
    ).format(
        name=name,
        lower=lower,
        call=call,
        n=chance.randint(2, 5000),
        value=chance.choice(
            ("admin", "main.cfg", "utf-8", "userId", "/api/v2", "true", "#fff", "42")
        ),
        what=chance.choice(
            (
                "encoding",
                "file path",
                "user ID",
                "callback",
                "buffer size",
                "schema",
                "event name",
                "locale",
            )
        ),
        what2=chance.choice(("caching", "verbose logging", "strict mode", "compression")),
    )


GENERATORS = (_api,)
