//! Texts of the town: entries, letters, notes, dialogues, diaries, lists, verse and sums, composed of clauses.

use super::facts::{Fact, Town};
use super::names;
use super::tongue::{Tongue, capitalised, question};
use crate::draw::Draw;

/// A kind of text with its share of all texts, in percent.
const KINDS: [(&str, usize); 8] = [
    ("entry", 34),
    ("letter", 14),
    ("news", 14),
    ("dialogue", 14),
    ("diary", 10),
    ("list", 5),
    ("verse", 3),
    ("sums", 6),
];

/// Writes texts about a town in one language. Every fact comes up again before any comes up more often.
pub(crate) struct Writer<'a> {
    town: &'a Town,
    tongue: &'static Tongue,
    seed: u64,
    deck: Vec<usize>,
    rounds: usize,
    subjects: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(town: &'a Town, tongue: &'static Tongue, seed: u64) -> Self {
        Self { town, tongue, seed, deck: Vec::new(), rounds: 0, subjects: 0 }
    }

    /// The `index`-th text with its kind.
    pub(crate) fn text(&mut self, index: usize) -> (&'static str, String) {
        let mut draw = Draw::new(self.seed, self.tongue.code, index);
        let mut share = draw.below(100);
        let kind = KINDS.iter().find(|(_, percent)| {
            let hit = share < *percent;
            share = share.saturating_sub(*percent);
            hit
        });
        let kind = kind.map_or("entry", |(kind, _)| kind);
        let text = match kind {
            "letter" => self.letter(&mut draw),
            "news" => self.news(&mut draw),
            "dialogue" => self.dialogue(&mut draw),
            "diary" => self.diary(&mut draw),
            "list" => self.list(&mut draw),
            "verse" => self.verse(&mut draw),
            "sums" => self.sums(&mut draw),
            _ => self.entry(&mut draw),
        };
        (kind, text)
    }

    /// All that is known of one subject, in some order.
    fn entry(&mut self, draw: &mut Draw) -> String {
        let subject = self.subjects % self.town.entities.len();
        self.subjects += 1;
        let facts = self.town.facts_of(subject);
        let facts: Vec<&Fact> = draw.order(facts.len()).into_iter().map(|n| &facts[n]).collect();
        self.about(&facts, draw)
    }

    fn letter(&mut self, draw: &mut Draw) -> String {
        let (to, from) = (self.anybody(draw), self.anybody(draw));
        let sign = |text: &str| {
            text.replace("{X}", &to).replace("{Y}", &from).replace("{T}", self.tongue.say(&self.town.name))
        };
        let (greeting, close) = (sign(draw.pick(self.tongue.letters[0])), sign(draw.pick(self.tongue.letters[1])));
        let body = self.several(draw);
        format!("{greeting}{}{body}\n{close}", self.tongue.space)
    }

    fn news(&mut self, draw: &mut Draw) -> String {
        let headline = draw.pick(self.tongue.headlines).replace("{T}", self.tongue.say(&self.town.name));
        format!("{headline}\n{}", self.several(draw))
    }

    fn diary(&mut self, draw: &mut Draw) -> String {
        let month = draw.pick(&names::MONTHS);
        let month = if self.tongue.code == "en" { month.0 } else { month.1 };
        let date = draw.pick(self.tongue.diary).replace("{M}", month).replace("{D}", &(1 + draw.below(28)).to_string());
        format!("{date}{}{}{}{}", self.tongue.space, self.weather(draw), self.tongue.space, self.several(draw))
    }

    /// Two voices that ask and answer.
    fn dialogue(&mut self, draw: &mut Draw) -> String {
        let (a, b) = (self.anybody(draw), self.anybody(draw));
        let colon = if self.tongue.code == "en" { ": " } else { "：" };
        let turns = 2 + draw.below(3);
        let mut lines = Vec::new();
        for _ in 0..turns {
            let fact = self.next_fact();
            let subject = &self.town.entities[fact.subject];
            let asked = question(self.tongue, draw.pick(self.tongue.phrases(fact.relation).questions), fact, subject);
            lines.push(format!("{a}{colon}{asked}"));
            lines.push(format!("{b}{colon}{}", self.tongue.sentence(&self.clause(fact, draw, false))));
        }
        lines.join("\n")
    }

    /// One relation for several subjects.
    fn list(&mut self, draw: &mut Draw) -> String {
        let relation = self.next_fact().relation;
        let same: Vec<&Fact> = self.town.facts.iter().filter(|fact| fact.relation == relation).collect();
        let pattern = draw.pick(self.tongue.phrases(relation).statements);
        let order = draw.order(same.len());
        let lines = order.into_iter().take(8).map(|n| {
            let fact = same[n];
            self.tongue.sentence(&self.tongue.fill(pattern, &self.town.entities[fact.subject], &fact.object))
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Four lines: two of weather around two of facts.
    fn verse(&mut self, draw: &mut Draw) -> String {
        let facts = [self.next_fact(), self.next_fact()];
        let [one, two] = facts.map(|fact| capitalised(&self.clause(fact, draw, false)));
        [self.weather(draw), one, two, self.weather(draw)].join("\n")
    }

    fn sums(&mut self, draw: &mut Draw) -> String {
        let (a, b, who) = (2 + draw.below(48), 2 + draw.below(48), self.anybody(draw));
        let goods = draw.pick(&names::PLACES).1;
        let mut texts = if self.tongue.code == "en" {
            let goods = goods.0;
            vec![
                format!(
                    "{who} counted {a} baskets of {goods} in the morning and {b} in the afternoon. {a} plus {b} is {}.",
                    a + b
                ),
                format!("{a} + {b} = {}. So {who} wrote {} into the book.", a + b, a + b),
                format!("Of {} boxes of {goods}, {who} sold {a}. {} minus {a} is {b}.", a + b, a + b),
            ]
        } else {
            let goods = goods.1;
            vec![
                format!("{who}上午数了{a}篮{goods}，下午数了{b}篮。{a}加{b}等于{}。", a + b),
                format!("{a} + {b} = {}。{who}在账本上记下{}。", a + b, a + b),
                format!("{}箱{goods}，{who}卖掉了{a}箱。{}减{a}等于{b}。", a + b, a + b),
            ]
        };
        texts.swap_remove(draw.below(3))
    }

    /// A few facts about whatever is next in the deck, with weather between them now and then.
    fn several(&mut self, draw: &mut Draw) -> String {
        let mut sentences = Vec::new();
        for _ in 0..4 + draw.below(4) {
            let fact = self.next_fact();
            sentences.push(self.framed(&self.clause(fact, draw, false), draw));
            if draw.chance(15) {
                sentences.push(self.weather(draw));
            }
        }
        sentences.join(self.tongue.space)
    }

    /// Sentences about one subject; after the first, mostly with a pronoun, sometimes two facts in one.
    fn about(&self, facts: &[&Fact], draw: &mut Draw) -> String {
        let mut sentences = Vec::new();
        let mut rest = facts;
        while let Some((fact, others)) = rest.split_first() {
            rest = others;
            let again = !sentences.is_empty() && draw.chance(60);
            let mut clause = self.clause(fact, draw, again);
            if let (true, Some((second, others))) = (draw.chance(35), rest.split_first()) {
                rest = others;
                clause = format!("{clause}{}{}", draw.pick(self.tongue.connectives), self.clause(second, draw, true));
            }
            sentences.push(self.framed(&clause, draw));
        }
        sentences.join(self.tongue.space)
    }

    fn clause(&self, fact: &Fact, draw: &mut Draw, again: bool) -> String {
        let subject = &self.town.entities[fact.subject];
        let pattern = draw.pick(self.tongue.phrases(fact.relation).statements);
        if again {
            self.tongue.fill_again(pattern, subject, &fact.object)
        } else {
            self.tongue.fill(pattern, subject, &fact.object)
        }
    }

    fn framed(&self, clause: &str, draw: &mut Draw) -> String {
        let (opener, ending) = (draw.pick(self.tongue.openers), draw.pick(self.tongue.endings));
        self.tongue.sentence(&format!("{opener}{clause}{ending}"))
    }

    fn weather(&self, draw: &mut Draw) -> String {
        let [begin, middle, end] = self.tongue.weather.map(|parts| draw.pick(parts));
        format!("{begin}{}{middle}{}{end}", self.tongue.space, self.tongue.space)
    }

    fn anybody(&self, draw: &mut Draw) -> String {
        let people = self.town.people();
        let pick = if people == 0 { self.town.entities.len() - 1 } else { draw.below(people) };
        self.tongue.say(&self.town.entities[pick].name).to_owned()
    }

    fn next_fact(&mut self) -> &'a Fact {
        if self.deck.is_empty() {
            self.deck = Draw::new(self.seed, "deck", self.rounds).order(self.town.facts.len());
            self.rounds += 1;
        }
        let next = self.deck.pop().unwrap_or(0);
        &self.town.facts[next]
    }
}
