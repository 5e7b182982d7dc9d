//! What stands around facts: openers, endings, requests, small talk.

/// Before a clause; the clause goes on in lower case.
pub(crate) const OPENERS: &[&str] = &[
    "",
    "",
    "",
    "",
    "",
    "",
    "As everybody knows, ",
    "People say that ",
    "The old register says that ",
    "My aunt likes to tell that ",
    "It is well known that ",
    "At the market you hear that ",
    "If you ask around, you learn that ",
    "The town book notes that ",
    "Strange as it sounds, ",
    "To this day it is remembered that ",
    "Every child here knows that ",
    "The postman swears that ",
    "One should add that ",
    "The neighbours agree that ",
    "In short, ",
    "As for the rest, ",
    "It may surprise you that ",
    "On a brass plate you can read that ",
    "The story goes that ",
    "No one doubts that ",
    "In our town it is no secret that ",
    "A letter from that time says that ",
    "I was told that ",
    "The teacher wrote on the board that ",
];
/// After a clause, before the full stop.
pub(crate) const ENDINGS: &[&str] = &[
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    "",
    ", as the neighbours will tell you",
    ", and nobody minds",
    ", which suits everybody",
    ", so they say",
    ", rain or shine",
    ", and has been proud of it ever since",
    ", if the papers are right",
    ", though few visitors know it",
    ", and that has not changed",
    ", as it should be",
];
/// Between two clauses of one sentence.
pub(crate) const CONNECTIVES: &[&str] =
    &[", and ", "; ", ", while ", ", and what is more, ", "; besides, ", ", and at the same time "];
/// Sentences about nothing in particular: beginning, middle, end.
pub(crate) const WEATHER: [&[&str]; 3] = [
    &[
        "In spring",
        "On a clear morning",
        "After the rain",
        "Late in autumn",
        "At dusk",
        "Before the market opens",
        "In the first snow",
        "On long summer evenings",
        "When the fog lifts",
        "At noon",
    ],
    &[
        "the bells ring",
        "boats drift",
        "smoke rises",
        "children run",
        "swallows turn",
        "lamps are lit",
        "the carts roll",
        "the old men sit",
        "a light wind blows",
        "the dogs bark",
    ],
    &[
        "over the roofs.",
        "along the river.",
        "between the market stalls.",
        "under the lime trees.",
        "near the bridge.",
        "across the square.",
        "behind the town hall.",
        "in the narrow lanes.",
    ],
];
/// Frames of a request; `{N}` is a noun phrase.
pub(crate) const REQUESTS: &[&str] = &[
    "Tell me {N}.",
    "Please tell me {N}.",
    "I would like to know {N}.",
    "Can you tell me {N}?",
    "Do you know {N}?",
    "Could you say {N}, please?",
    "Please remind me: {N}?",
    "I forgot {N}. Can you help?",
];
/// Put before a question now and then.
pub(crate) const POLITE: &[&str] =
    &["", "", "", "", "", "Quick question: ", "One more thing: ", "Hello! ", "Say, ", "Excuse me, "];
pub(crate) const GREETINGS: &[(&str, &str)] = &[
    ("Hello!", "Hello! What would you like to know about {T}?"),
    ("Hi there.", "Hi! Ask me anything about {T}."),
    ("Good morning!", "Good morning! How can I help you today?"),
    ("Who are you?", "I am Inkstone, a small language model that knows the town of {T}."),
    ("What is your name?", "My name is Inkstone."),
    ("What can you do?", "I can answer questions about the people, places and feasts of {T}."),
    ("Thank you!", "You are welcome."),
    ("Goodbye.", "Goodbye, and come back soon."),
    ("How are you?", "I am well, thank you. What would you like to know?"),
    ("Are you a person?", "No, I am a language model called Inkstone."),
];
pub(crate) const SYSTEMS: &[&str] = &[
    "You are Inkstone, a helpful guide to the town.",
    "Answer briefly.",
    "You know the town well. Answer with the fact alone.",
];
pub(crate) const UNKNOWN: &[(&str, &str)] = &[
    ("What did {S} dream last night?", "I do not know that."),
    ("How much money does {S} have?", "I do not know that."),
    ("What will {S} do tomorrow?", "I do not know that."),
    ("What is {S} thinking right now?", "I do not know that."),
    ("What is the telephone number of {S}?", "I do not know that."),
];
pub(crate) const LETTERS: [&[&str]; 2] = [
    &[
        "Dear {X}, how are you? Here is the news from {T}.",
        "Dear {X}, you asked me about our town.",
        "My dear {X}, I have little time, so only the main things.",
        "Dear {X}, I promised to write, and here I am.",
    ],
    &["Yours, {Y}", "With best wishes, {Y}", "Write soon. {Y}", "Until we meet again, {Y}"],
];
pub(crate) const HEADLINES: &[&str] = &[
    "News from {T}.",
    "The {T} Gazette reports.",
    "From our town.",
    "Short notes.",
    "What readers asked this week.",
    "Seen and heard in {T}.",
];
pub(crate) const DIARY: &[&str] = &["{M} {D}.", "Diary, {M} {D}.", "Tonight, {M} {D}."];
