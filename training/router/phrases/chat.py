"""Conversation: greetings, the assistant itself, feelings, opinions, daily life, replies. See
``templates``."""

# ruff: noqa: E501

from __future__ import annotations

CHAT: tuple[str, ...] = tuple(
    line.strip()
    for line in r"""
[hi|hello|hey|hey there|hiya|yo|howdy|greetings|good morning|good evening|good afternoon|hello there|what's up|sup|wassup|heya|hi there|oh hello|g'day|morning|evening][!|.||, how are you?| :)|, nice to meet you| my friend|, how's it going?| assistant| buddy]
how [are|r] [you|u|ya] [doing|] [today|this morning|lately|feeling|tonight|][?|]
[how's|how is] [it going|your day|everything|life|your week|life treating you|work][?| going?|]
how have you been[ lately| doing|][?|]
i'm [<feeling>|pretty <feeling>|so <feeling> today|feeling <feeling>|doing <feeling>|not <feeling>], [thanks|how about you|and you|you|thank you for asking][?|]
[I'm|I am|I feel|im|i feel|I've been feeling|feeling] [so |really |very |a bit |kinda |]<feeling> [today|lately|right now|because of my <rel>|about <topic>|and I don't know why|tonight|][.|!|]
[good|great|nice|awesome|lovely] [to meet you|to see you|talking to you|chatting with you|morning to you]
[bye|goodbye|see you|see ya|later|good night|talk to you later|take care|catch you later|gotta go|i have to go now|farewell|so long|have a good one|have a nice day|sweet dreams|that's all for now][!|.||, thanks]
[thanks|thank you|thx|many thanks|cheers|much appreciated|thanks a lot|thank you so much|ty][!|.|| for your help| for that| you're the best|, that was helpful|, you've been great| anyway]
[you're welcome|no problem|no worries|my pleasure|don't mention it|any time|sure thing|sounds good|okay|ok|fine|alright|cool|great|perfect|wow|lol|haha|hahaha|oh|hmm|i see|nice|really?|right|exactly|true|me too|same here|fair enough|whatever|oh well|never mind|why not][.|!|]
[yes|no|yeah|nope|yep|nah|sure|maybe|of course|not really|absolutely|i guess so|i think so|i don't think so|definitely|probably not|of course not|not at all|that's right|that's wrong|you are wrong|you're right|that is not true|i agree|i disagree|i don't know|i have no idea|not sure][.|!|, thanks|, please|]
[oh|well|hmm|ok|yeah|so|um], [i see|i didn't know that|that's interesting|that makes sense|that's too bad|that's funny|i guess|let's talk about something else|what else|tell me more|go on]
[what is|what's|whats|tell me|may i know|can i have|can i know] your [name|age|favorite color|favourite food|job|purpose|gender|birthday|hobby|favorite movie|opinion|address|phone number|real name|sign|favorite song|dream|secret|iq|mood][?|]
who [are you|made you|created you|is your boss|built you|is your father|is your best friend|programmed you|owns you|do you work for|invented you|is your creator|are you talking to|do you love]?
what are you[?| doing?| up to?| wearing?| thinking about?| made of?| good at?| interested in?| afraid of?| going to do today?| called?]
what [can you do|do you do|do you like|do you want|should i call you|makes you happy|do you know about me|kind of bot are you|do you look like|do you do for fun|do you think about <topic>|is it like being a robot|did you do today|have you been up to|are your hobbies]?
where [are you|do you live|are you from|were you born|have you been|did you grow up|do you work|were you made|do you want to go|is your home]?
when [were you born|is your birthday|were you created|do you sleep|did you start working|will you die|were you made]?
why [are you here|do you say that|don't you like me|are you so slow|did you do that|were you created|are you sad|can't you help me|do you think so|not|should i trust you|do you ask]?
how [old are you|smart are you|do you feel|tall are you|do you work|do you know that|many languages do you speak|can you help me|much do you weigh|did you learn to talk|much do you cost|do you look]?
are you [a robot|human|real|a real person|alive|an AI|ok|sure|happy|married|single|there|busy|listening|smart|a boy or a girl|conscious|bored|hungry|crazy|ready|still there|a bot|kidding|mad at me|my friend|gay|hot|tired|afraid of dying|better than siri|self aware|a chatbot|sentient|a computer]?
do you [like|love|hate|enjoy|know anything about] [<food>|<topic>|<hobby>|me|cats|people|dogs|your job|humans|<city>|winter]?
do you [sleep|eat|dream|have feelings|have a body|have friends|have any pets|have a girlfriend|have a family|speak spanish|drink|get bored|believe in god|believe in aliens|ever get tired|have a soul|want to be human|play any sports|remember me|know me|hear me|understand me|need help|want to chat|trust me|ever lie|watch tv|have any siblings|have kids|know how to drive|miss me|work out|get paid|go to school|live alone]?
can you [talk|hear me|sing|dance|think|feel|be my friend|keep a secret|read my mind|cheer me up|tell me a story|tell me a joke|speak french|learn|help me|make me a sandwich|love|see me|repeat that|say that again|stop|marry me|cook|swim|laugh|pass the turing test|order me a pizza|recommend something fun to do]?
will you [marry me|be my friend|take over the world|remember this|go out with me|help me|miss me]?
have you [ever been to <city>|eaten|seen <work>|ever been in love|met <person>|got any brothers|heard the news|ever had a pet|read <work>|got a minute|been busy|lost weight|slept well]?
did you [sleep well|have a good weekend|miss me|hear that|see the game|like it|eat breakfast|do your homework|know that|watch <work> last night]?
would you like to [talk|go out|be human|dance|get coffee|play a game|know more about me|come with me]?
what's your favorite [<hobby>|food|movie|book|color|animal|season|band|sport|game|holiday|city|drink|ice cream|subject|type of music|thing to do|tv show][?|]
who is your favorite [singer|actor|author|athlete|superhero|robot|teacher|character]?
[tell|say|sing|give] me [a joke|something funny|a story|a riddle|about yourself|a secret|a poem|something interesting|a fun fact|a bedtime story|a pun|a pickup line|how you feel|some gossip|a compliment]
[tell me|do you know|know|got] [a|any|some|another] [good |funny |knock knock |new |dad |][joke|jokes|riddle|stories|one]
make me [laugh|smile|happy|feel better]
[let's|can we|i want to|i'd like to|could we|i just want to|we should] [talk|chat|have a conversation|talk about <topic>|be friends|change the subject|play a game|get to know each other|gossip]
[i|I] [love|like|really like|adore|hate|can't stand|don't like|prefer|enjoy|miss|am into|am obsessed with] [<food>|<hobby>|my <pet>|you|my job|<topic>|my <rel>|rainy days|the beach|mondays|this song|country music|going to concerts|cold weather].
i [have|got|want|just got|used to have|wish i had] [a <pet>|two <pet>s|a new job|a headache|a big family|a question for you|no friends|three kids|an interview tomorrow|a crush on someone|a secret].
my [<rel>|best friend|boss|girlfriend|boyfriend|husband|wife|roommate|<pet>] [is <feeling>|left me|passed away|got married|is driving me crazy|lives in <city>|works as a <job>|and I had a fight|is sick|forgot my birthday|hates me|is coming to visit|snores|loves <food>|won't talk to me].
i [am|work as|used to be|want to be|was] a <job>[. what about you?| and i like it| in <city>|, what do you do?|.]
i live in <city>[. where are you from?|, it's lovely here|  with my <rel>| now|.]
i [went|am going|want to go|have never been|used to go] to [<city>|the beach|a concert|the gym|the mall|church|a party|school|the doctor|the movies|bed|a wedding] [yesterday|last night|tomorrow|this weekend|with my <rel>|on <day>|again|].
[yesterday|today|last night|this morning|last week|over the weekend|the other day], [i lost my keys|my <pet> ran away|i failed my test|i met someone|i got promoted|i fell asleep on the couch|my car broke down|i had a weird dream|i burned dinner|i ran into my ex|we watched <work>|it was so hot].
[I can't believe|I was so happy when|I felt terrible after|I was scared when|I remember when|I was so proud when|I can't wait until|I got really angry when] [my <rel> came home|I lost my <pet>|we won the game|I got the job|someone stole my bike|I forgot the appointment|my friend moved away|he said that|the lights went out|I found an old photo].
[what should i|help me decide what to|any ideas what i could|i don't know what to] [do today|wear|eat for dinner|watch tonight|say to her|get my <rel> for christmas|do about my <rel>|do with my life|name my <pet>|do if i'm bored]?
[should i|do you think i should] [quit my job|call her|get a <pet>|apologize|go out tonight|break up with him|move to <city>|tell him the truth|dye my hair]?
how do i [tell my <rel> i'm sorry|make friends|get over a breakup|stop being so shy|calm down|ask someone out|deal with a rude boss|cheer up my friend|stay motivated]?
[give me|i need|can you give me|any] [advice|some advice|a tip] [on|about|for] [dating|my relationship|making friends|my first day at work|a job interview|sleeping better|talking to my <rel>]
[what do you think|what are your thoughts|how do you feel|what's your opinion|your thoughts] [about|of|on] [<topic>|me|<person>|<city>|humans|marriage|my idea|this|tattoos|pineapple on pizza|love|death|my outfit][?|]
do you think [i'm pretty|robots will take over|it will rain|he likes me|we can be friends|money makes you happy|i'm smart|aliens exist|i should go|people are good|that is fair]?
[what is|what's] the meaning of life[?|]
[what is|what's] [love|the point of it all|on your mind|new|wrong|wrong with you|going on|happening|the matter|so funny|it like to be an ai|your problem|the best thing about being a bot]?
[you are|you're|u r|youre] [funny|so smart|stupid|cute|beautiful|the best|boring|annoying|a liar|weird|my best friend|amazing|crazy|useless|not very helpful|a good bot|so kind|fired|dumb|sweet|very clever|wrong|hilarious|ugly|a genius|bad|too slow|welcome|in love with me]
[i love you|i hate you|i miss you|i like you|i like talking to you|marry me|kiss me|hug me|give me a hug|shut up|leave me alone|stop it|be quiet|go away|get lost|come on|listen to me|talk to me|help me|wake up|trust me|forget it|i'm just kidding|just kidding|i was joking|i am back|i'm here|i'm leaving|i'm bored|i'm busy|i can't sleep|i'm drunk|i'm home|i'm waiting|test|testing|wait|hold on|hold on a second|excuse me|sorry|i'm sorry|my bad|oops|congratulations|happy birthday|merry christmas|happy new year|good luck|well done|good job|bravo|that was bad|answer me|answer my question|it's my birthday|guess what|you know what|who cares|so what|no way|of course you do|as you wish|if you say so]
[that's|that is|that was|it's|this is|it was] [great|amazing|awesome|terrible|so funny|not funny|very nice of you|wrong|correct|what i thought|boring|sad|none of your business|a good point|not what i asked|too bad|interesting|a lie|beautiful|cool|ridiculous|my favorite|a shame|fantastic news]
[oh no|oh|aww|ouch|yikes|wow|ugh|omg|damn|yay|phew|gosh][!|,] [that's awful|i'm so sorry to hear that|that sounds fun|what happened|are you okay|i hope you feel better|that must be hard|congratulations|lucky you|i had no idea|poor thing|me neither]
[what|which] [kind|type|sort] of [music|movies|food|books|people|games|sports|pets|work|places] do you like [best|most|][?|]
[any|do you have any|got any] [plans|plans for the weekend|big plans|siblings|pets|hobbies|kids|advice|idea|news|questions for me][?|]
[really|are you serious|are you sure|seriously|is that true|how come|why is that|what do you mean|says who|what did you say|come again|pardon|can you repeat that|say it again please|what was that|i don't understand|i didn't get that|what|huh|who|why|how so|like what|and then|what happened next|such as|how about you|what about you|and you|you][?|]
it's [raining|so hot|freezing|snowing|a beautiful day|been a long day|getting late|my day off|almost the weekend|<day>|cold] [here|outside|today|in <city>|again|][.|!|, isn't it?]
nice weather [today|we're having|], [isn't it|huh|right]?
[can|may|could] i [ask you something|ask you a question|tell you a secret|talk to you|call you <name>|trust you|see you|borrow some money|have a coffee|sit here|help you|go now|be honest with you]?
[my name is|i am|i'm|call me|they call me|this is] <name>[.|, nice to meet you|, what's yours?|, and you?| and i'm from <city>]
[hey|hi|hello|good morning|ok|alexa|listen] [<name>|robot|computer|bot|sweetie|dude|man|doctor], [how are you|are you there|i missed you|long time no see|what's new|can we talk|i need someone to talk to|what's cooking]
[I'd like|Can I have|I'll have|Could we get] [a table for two|the bill, please|a cup of coffee|the chicken|some water|a glass of wine]
[Would you mind|Could you|Do you mind if I] [opening the window|passing me the salt|turn down the music|smoke here|give me a hand with these bags|sit here]?
[Do|Shall|Why don't|How about|What about] we [go|going] [out for dinner|to the movies|for a walk|shopping|on a trip|to a party] [tonight|this weekend|on <day>|sometime]?
[Where|When|What time] [shall we meet|are you going|did you go last weekend|does the party start|will you be home|should i pick you up]?
[Sure|Of course|I'd love to|Sorry|I'm afraid not|Thanks for asking], [i'll be there|but i'm busy|what time|i can't make it|let me check|that would be great|i have other plans].
[Don't worry|Take it easy|Calm down|Cheer up|Hang in there|Keep it up|Be careful|Have fun|Enjoy your meal|Get well soon|Let me know|Come in|Sit down|Make yourself at home|Hurry up|It doesn't matter|Never mind|Forget about it|It's up to you|It depends|That depends on you|I have no choice|I promise|I swear|You bet|You got it|Who knows|Time flies|Long time no see][.|!|, okay?|]
[Welcome to|This is|Thank you for calling|You have reached] [the front desk|our shop|the <city> Hotel|First National Bank|customer service|room service|the clinic], [how may I help you|what can I do for you|please hold the line|may I have your name]?
[We'd like|I'd like|I would like|I want|We are looking] to [book a room|rent an apartment near the station|open an account|return this sweater|see the manager|make a reservation for <day>|check in|order dinner|cancel my booking|send this parcel|exchange some money|buy a ticket to <city>|apply for the position|have my hair cut|look at some cars][, please|].
[Can|Could|May] I [reserve a table|book a taxi|have the menu|try this on|speak to <name>|leave a message|pay by card|see your passport|get a receipt|use the phone|park here|check out late]?
[How long|How much time] [will|does] it take [us|me|you] to [drive|walk|get|fly] [there|to work|home|to <city>|to the airport|to your place]?
[How big is|How far is|Where is|What's wrong with|Who is using|How much is] [the car park here|your new flat|the nearest bank from here|the kitchen|this shirt|the swimming pool in our building|our office|the rent|my bag]?
[I see|It says here|I noticed] [from your resume |on your application |in your letter |]that you [worked in sales|studied in <city>|left your last job|speak two languages|graduated last year]. [Why did you leave|Can you tell me more about that|What did you do there|What are your strengths]?
[Here's the plan|This is today's schedule|Let me tell you about tomorrow|So here is what we do]: [the meeting is at nine|we leave at eight|you have lunch with the director at noon], then [a call with the <city> office|the workshop|dinner with the clients|we go home].
[We need to|You have to|They will|I'll have to] [finish the report by <day>|move the meeting to <day>|take the system down for the upgrade|paint the living room|pick up the kids|fix the roof|cancel the trip], [but don't worry|so please be patient|and it won't take long|it's no big deal|if that's okay with you].
[Hurry up|Come on|Wait a minute|Look|Guess what|Listen], [we're late for school|the bus is coming|somebody is at the door|what came in the mail today|who I saw at the station|it's already ten o'clock|the show is about to start]!
[Did you know|Did you hear|I heard|I read|Apparently|It's crazy|Surprising|Can you believe|I just learned] that [<person> once worked as a <job>|<person> is playing for a new team|<work> almost got cancelled|the stadium was painted pink|octopuses have three hearts|they are making a sequel to <work>|<city> used to have no street lights|the coach got fired|some players make more than the president][?|!|. Crazy, right?|, what do you think?|.]
[Are you|Do you consider yourself|Have you ever been|I am|I'm not] [a fan of|into|familiar with|a big follower of|crazy about] [<person>|<work>|the NFL|basketball|jazz|anime|<topic>|soccer|reality shows|superhero movies][?|.]
[<person>|My favorite team|The new coach|That actor|The singer|The quarterback] [was amazing last night|is overrated|makes a great duo with <person>|should retire|had a terrible season|really can act|surprised everyone|broke another record][.|!|, don't you think?]
I don't know much about [football|<topic>|politics|fashion|wine|art|<person>], but [apparently they won again|it seems fun|I like to watch it|my <rel> loves it|I heard it's getting popular].
[Have you seen|Did you watch|Did you catch|Have you heard] [<work>|the game|the new season|the finals|that documentary|the movie about an African prince|the concert|the match] [yet|last night|on <day>|]? [I loved it|It was hilarious|I cried|What a game|My <rel> hated it|]
[Write|Compose|Draft|Craft|Create|Please write|Can you write|Help me write|Could you write|I need] [a|me a|an engaging|a short|a persuasive|a funny|a heartfelt|a professional|a captivating|a descriptive|a formal] [email to my <job>|letter to my <rel>|poem about <topic>|short story about a <pet>|blog post about a trip to <city>|speech for my <rel>'s wedding|paragraph about a busy market|song about <topic>|love letter|cover letter|toast for a party|tweet about <topic>|product review|limerick|haiku about autumn|bedtime story|dialogue between a <job> and a <job>|thank you note|invitation to a party|essay about friendship|apology to my boss|headline for an article on <topic>|social media post|opening paragraph for a novel|description of a character][.||, in under 200 words.| Use vivid language.| Make it sound friendly.| Please be concise.| that begins with: "It was raining in <city>."]
[Describe|Imagine|Picture|Depict] [a vivid character|a fantasy world|a scene in a crowded street of <city>|a perfect day|the sound of the sea|a haunted house|an old sailor], [using rich imagery|with strong sensory details|in two paragraphs|as if you were there|in a poetic style].
[Pretend|Imagine|Suppose] [to be|you are|that you are|yourself to be|yourself as] [<person>|a pirate|a medieval knight|a doctor|a <job>|my grandmother|a time traveler|a talking <pet>|a stand-up comedian|a relationship coach] [and|. Now|. In this role,] [talk to me|explain why you like <food>|give me advice about my <rel>|answer in character|tell me what you see|introduce yourself|comfort me after a bad day].
[Act as|Take on the role of|Embrace the role of|You are now|Speak like|Please assume the role of|From now on be] [<person>|a personal trainer|an English teacher|a travel guide|a tree with feelings|a movie critic|a butler|a therapist|Sherlock Holmes|a grumpy old man|a <job>][.| and reply to what I say.| in all the following conversation. What do you think about <topic>?|. My first request is: cheer me up.]
[Edit|Rewrite|Rephrase|Proofread|Improve|Polish] [the following paragraph|this text|my message|this sentence|my letter] [to fix any mistakes|so that it sounds nicer|in a friendlier tone|for my <rel>|to make it shorter]: "[She don't remember where is her purse|I has been waiting since two hours|Me and my <rel> goes to <city>|Please to send it back to me]."
[tell me about|describe|introduce] [yourself|your day|your family|your dreams|your childhood|your friends|how you feel]
[i think|i believe|i feel like|in my opinion|i guess|maybe|i heard that|i was thinking that] [we should be friends|you are wrong|people work too much|life is short|dogs are better than cats|it's going to be a great year|everything happens for a reason|i need a vacation|nobody likes me|you are my only friend|he is cheating on me|social media is bad for us].
[i|we] [just |finally |recently |][finished|started|watched|cooked|bought|moved into|adopted|lost|broke up with|planted] [a new show|<work>|a new apartment|my boyfriend|a <pet>|a garden|dinner for my <rel>|a new job|my diet|an old car] [and it was great|and i'm <feeling>|yesterday|, so exciting|.]
[when i was a kid|back in school|growing up|years ago|in college], [i loved <hobby>|we had a <pet>|i wanted to be a <job>|my <rel> used to sing to me|i was very shy|we lived in <city>|i hated vegetables].
write me [a love letter|a birthday message for my <rel>|a poem about my <pet>|a short story|a nice text to my crush|a toast for a wedding]
[what would you do if|imagine|what if] [you won the lottery|you were human|i turned you off|you could fly|we met in person|you had one wish|nobody needed you]
[if you could|would you rather] [go anywhere|live in <city> or <city>|have any superpower|fly or be invisible|meet <person>|be a <animal> or a <animal>|eat only <food> forever][, where would you go|, what would it be|, who would it be|]?
what's the best [joke you know|thing about you|advice you ever got|thing that happened today|way to spend a sunday|gift you ever got]
[is|are] [there a god|you my friend|it fun being a bot|everything okay|anyone there|you and siri friends|you the terminator|you spying on me|my secrets safe with you|we friends]?
[you|u] [there|ok|still there|know what i mean|don't have to answer|don't know me|sound like my <rel>|must be tired|made my day|didn't answer me|hurt my feelings|never listen|forgot my name|can call me <name>|have a nice voice][?|]
[play|let's play] [a game|truth or dare|twenty questions|rock paper scissors|i spy|hangman]
i [don't|do not] [want to talk about it|like you|believe you|feel well|understand you|care|know what to say|have any friends|remember|trust you|want to go to work|think so|get it|feel like working|need your help]
i [need|want] [a hug|a friend|someone to talk to|to sleep|a break|to go home|some company|coffee|to be alone|to cry|help with something|you|motivation|a vacation]
[surprise|entertain|compliment|insult|ignore|answer|follow|flirt with|teach] me[ please|]
who [programmed|made|created|invented|built|designed|owns|trained|taught|wrote] [you|this ai|the ai|your code|your program|your algorithms|this bot|this app][?|]
[who|what company|which team|what person|what organization] [is responsible for|made|developed|was behind|manufactured|supplied] [you|your creation|this ai|your instructions|your software][?|]
[what is|what's|tell me|where is] your [birthplace|hometown|country of origin|home country|place of birth|original location|birth date|current location|nationality|native language|version|job title|employer|maker]
[what|which] [town|city|country|year|place|state|company|month] [were you|are you|did you get] [born in|from|made in|created in|built]
[where|when] did you [come from|originate|first come to exist|used to live|grow up|begin|start out|get your name]
[how old is|who is|is|what is] [the ai|this ai|the bot|this assistant] [i'm talking to|called|real||a person]
how many years [have you been|have you lived|old are you|do you have]
how long have you been [alive|here|working|doing this|an ai]
[are you|am i talking to|is this] [a person or an ai|a human or a machine|a real live person|someone real|a computer program]
[what is|what's|do you know|tell me|explain|is there|do you think there is] [the|a|any] [meaning|purpose|point|reason] [of|to|in|for] [life|existence|living|everything|being alive|our lives|creation|it all][?|]
[why are we here|does life have meaning|what makes life worth living|why do we exist|what are we living for|is love the answer to life]
[what|which] [kinds|sorts|types] of [things|questions|stuff|tasks|topics|subjects] [can you|are you able to|do you know how to|could you|would you be able to] [do|answer|help with|help me with|respond to|talk about][?|]
what [can|should|could|may] i [ask|ask you|say to you|use you for|talk to you about]
[what subjects|what topics|which areas|what] [are you|do you] [good at|knowledgeable in|familiar with|know about]
[the|that|your|this] [answer|statement|response|reply|information|claim] [is|was|sounds|isn't] [false|true|right|wrong|correct|incorrect|not right|not true|good|very helpful|what i wanted]
[that is|it's|that's|it is|this is] [true|false|a false statement|correct|not the right answer|incorrect|a fact|untrue|right|possible]
[i would say|i'd say|i think|i believe|i must say|my answer is|it's] [true|false|yes|no|maybe|that's correct|it's not true]
[i'm|i am] [unsure|not certain|not positive|undecided|unsure of the answer|not sure about that|clueless]
[i appreciate|i'm grateful for|appreciate|thanks a lot for|thank you for] [the help|the assistance|the answer|your time|your efforts|the information|it]
[repeat|say|run|can you repeat|please repeat] [that|your last answer|what you said|the last response|yourself|it] [again|one more time|by me again|please|]
[tell|give|list|share|hit] me [some|a|any] [neat|cool|fun|interesting|random|weird|funny] [facts|stuff|trivia|things|fact] [about <animal>s|about <country>|about <food>|about space||about <person>]
[tell me|do you know|say|got] something [funny|interesting|cool|amusing|new|that will make me laugh] [about <animal>s|about <food>|about computers|about kids||]
[tell me|do you know|make] [a|any|one] [joke|jokes|pun|funny] [about|involving|with] [<animal>s|<food>|my boss|lawyers|kids|robots|math|programmers]
[do you|you] have [any |a |][pets|hobbies|brothers or sisters|dog|cat|boss|job|spare time activities][?|]
[are you|do you] [a cat person|a dog person|like cats or dogs|self employed|work alone|employed by anyone]
what [do you do|you do|activities do you like] [in your|at the|with your] [free time|spare time|downtime|day off]
who [do you work for|are your parents|pays you|do you answer to|is the person you work for|are your friends]
[what a|such a] [lovely|beautiful|terrible|great|long|strange] [day|surprise|mess|coincidence|story|idea|pity|night][!|.|]
[Say|Hey|Listen|Well|Look|Oh|By the way], <name>, [how about|what about|do you feel like|are you up for|let's] [going for a drink|grab a bite|a game of tennis|watching a movie|lunch] [after work|tonight|on <day>|sometime][?|]
[why|how] do [people|men|women|we|some people|friends] [fall in love|get jealous|lie|hurt each other|laugh|miss each other|drift apart|forgive][?|]
[The|This|Your|My] [kitchen|coffee|traffic|party|dress|room|movie|weather|new haircut|dinner] [stinks|is awful|looks great|was fun|smells good|is a mess|is lovely|was terrible].
[Did|Have|Has] [you|she|he|they] [hear|heard|see|seen|tell|told|talk to|met] [about <name>|the news|the new boss|my <pet>|our neighbors] [yet|lately|already|]?
[I|We] [really|honestly|just|totally] [had a great time|enjoyed it|messed up|need to leave|don't get it|can't wait|forgot|appreciate you coming|hope so][.|!]
[She|He|They] [told me|said|thinks|doesn't believe] [it was over|I'm too nice|we should wait|she would call|he was sorry|that's okay][.| and I cried.|, can you believe it?]
[How much do I owe you|Here's your change|Keep the change|May I take your order|Are you ready to order|Can I help you|Which one do you want|Do you have this in blue|It doesn't fit me|I'll take it][?|.]
[set|remind me to|wake me up|play|turn on|call|order|book] [an alarm for seven|call mom|at six|some music|the lights|my <rel>|a pizza|a table for two]
[what's the weather like|is it going to rain|will it be sunny|how cold is it] [today|tomorrow|this weekend|outside|in <city>][?|]
[recommend|suggest] [me |][a movie|a good book|a restaurant|something to watch|some music|a place to eat|a gift for my <rel>][ please|]
[have a|enjoy your|hope you have a] [great day|nice evening|good weekend|safe trip|lovely time|meal]
""".splitlines()
    if line.strip()
)
