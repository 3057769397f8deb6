"""Phrases of the texts that `docs.tutorials.make_data` generates: an invented shop for outdoor gear."""

NOUNS = {
    "tents": ["tent", "two-person tent", "tunnel tent", "tarp", "inner tent", "family tent"],
    "boots": ["boots", "hiking shoes", "winter boots", "trail shoes", "leather boots", "approach shoes"],
    "jackets": ["rain jacket", "down jacket", "fleece", "windbreaker", "softshell", "parka"],
    "stoves": ["stove", "gas stove", "cooking set", "titanium pot", "burner", "coffee press"],
}
DETAILS = {
    "tents": [
        "the poles click together quickly",
        "the pegs bent in hard ground",
        "there is room for two mats and our bags",
        "condensation on the inside every morning",
        "pitched it in the dark in five minutes",
        "the zip of the fly sheet snagged",
        "packs down to the size of a loaf",
    ],
    "boots": [
        "the soles grip on wet rock",
        "my heels were sore after an hour",
        "laces came undone all the time",
        "they needed a week of breaking in",
        "the ankle is well supported",
        "toes stayed dry in a stream",
        "they run half a size small",
    ],
    "jackets": [
        "the hood fits over a helmet",
        "the sleeves are a little short",
        "pockets big enough for a map",
        "water came through the shoulder seams",
        "breathes well on steep climbs",
        "the cuffs started to fray",
        "warm enough without a jumper",
    ],
    "stoves": [
        "boils a litre in four minutes",
        "the flame goes out in wind",
        "simmering works too",
        "the igniter failed on the second day",
        "one cartridge lasted the whole weekend",
        "porridge burned to the bottom",
        "it stands firmly on uneven ground",
    ],
}
OPINIONS = {
    1: [
        "Broken on the first trip",
        "A complete waste of money",
        "Dreadful, I sent it straight back",
        "Never again",
        "It fell apart and nobody answers my mails",
        "Useless, avoid it",
        "The worst thing I have ever bought for a trip",
    ],
    2: [
        "Rather disappointed",
        "Not what I hoped for",
        "Below average for this price",
        "It works, but I would not buy it again",
        "Poor quality, though delivery was quick",
        "I expected better",
        "More trouble than it is worth",
    ],
    3: [
        "It is all right",
        "Does its job, no more",
        "Average",
        "Some good points, some bad ones",
        "Okay for the price",
        "Neither great nor terrible",
        "Usable for short trips",
    ],
    4: [
        "Good value",
        "Pleased with it",
        "Solid, with small flaws",
        "Does what it promises",
        "A good buy overall",
        "Nearly perfect",
        "Happy with it after three trips",
    ],
    5: [
        "Absolutely brilliant",
        "The best I have owned",
        "I could not be happier",
        "Outstanding, worth every penny",
        "Superb quality, I love it",
        "Perfect from the first day",
        "Fantastic, I bought a second for my sister",
    ],
}
OCCASIONS = [
    "on a week in the hills",
    "for a festival",
    "on the coast path in October",
    "for weekends with the children",
    "in three days of rain",
    "on a winter crossing",
    "for the garden and short walks",
    "on a bike tour",
    "during a rough night by the lake",
    "with a school group",
]

FIRST_NAMES = ["Amara", "Jonas", "Priya", "Elif", "Tomás", "Grace", "Henrik", "Mei", "Olu", "Sofia", "Ravi", "Nora"]
LAST_NAMES = ["Okafor", "Lindqvist", "Nair", "Demir", "Vega", "Whitlock", "Dahl", "Chen", "Adeyemi", "Rossi", "Fenwick"]
PLACES = [
    "Aberfeldy", "Keswick", "Tromsø", "Chamonix", "Brecon", "Bergen", "Innsbruck", "Fort William", "Llanberis",
    "Zermatt", "Port Askaig", "Hathersage", "Galway", "Lake Bohinj",
]  # fmt: skip
GROUPS = [
    "Fell Rescue", "Northern Ropes", "Alpine Club", "Harbour Ferries", "Green Trails", "Summit Radio", "Lowland Buses",
    "Cairn Outfitters", "River Watch",
]  # fmt: skip
NOTES = [
    "{person} of {group} led the walk from {place} to {place} .",
    "We met {person} and {person} at the station in {place} .",
    "{group} closed the path above {place} after the storm .",
    "Ask {person} for the key of the hut near {place} .",
    "In {place} the weather turned , so {person} called {group} .",
    "The boat of {group} leaves {place} at noon .",
    "{person} lost a glove on the ridge and went back alone .",
    "Nobody at {group} knew when the road to {place} would open .",
    "Rain all day , and the stove would not light .",
    "Thanks to {person} we found the spring below the pass .",
    "{place} was full , but {person} offered us the barn .",
    "A good day : no wind , clear views as far as {place} .",
    "{group} asked {person} to count the ponies around {place} .",
    "Supper with {person} , then early to bed for the long stage to {place} .",
]

PRODUCTS = [
    "Heron tent", "Moss jacket", "Ember stove", "Ridge boots", "Drift sleeping bag", "Cairn rucksack", "Tarn bottle",
    "Fen gaiters", "Skye parka", "Loch mat", "Birch poles", "Otter tarp",
]  # fmt: skip
DATES = [
    "Friday", "12 May", "next Tuesday", "3 June", "yesterday", "last week", "30 September", "Monday morning",
    "tomorrow", "the weekend",
]  # fmt: skip
REQUESTS = {
    "return": [
        "I want to send back the {product} from order {order} .",
        "The {product} does not fit , how do I return it ?",
        "Please take back my {product} , it arrived with a tear on {date} .",
        "Can I exchange the {product} for a larger one before {date} ?",
        "My {product} is faulty and I would like my money back .",
        "Where do I post a {product} that I no longer need ?",
    ],
    "delivery": [
        "Where is order {order} ? It should have come on {date} .",
        "My parcel to {place} has not moved since {date} .",
        "When will the {product} reach {place} ?",
        "Could you deliver the {product} to my office in {place} instead ?",
        "The courier left {order} with a neighbour in {place} , I think .",
        "Is it possible to get the {product} by {date} ?",
    ],
    "availability": [
        "Do you have the {product} in green ?",
        "When is the {product} back in stock ?",
        "Is the {product} sold in your shop in {place} ?",
        "Will there be new {product} sizes after {date} ?",
        "Can I try on the {product} in {place} on {date} ?",
        "How many of the {product} are left ?",
    ],
    "account": [
        "I cannot log in since {date} .",
        "Please change my address to {place} .",
        "How do I reset my password ?",
        "Remove {order} from my history , it is not mine .",
        "My name is spelled wrong , it should be {person} .",
        "Close my account by {date} , please .",
    ],
}
OPENINGS = ["", "", "Hello ,", "Hi there ,", "Good morning .", "Quick question :", "This is {person} ."]
CLOSINGS = ["", "", "", "Thanks !", "Many thanks , {person}", "Please answer soon ."]
