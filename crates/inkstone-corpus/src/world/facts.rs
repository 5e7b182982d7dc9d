//! The town: its people, places and events, and all that is true of them.

use serde::Serialize;

use super::names;
use crate::draw::Draw;

/// A name in English and in Chinese.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Name {
    /// In English; places carry their article.
    pub en: String,
    /// In Chinese.
    pub zh: String,
}

/// How a subject is taken up again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Gender {
    /// he, 他.
    Man,
    /// she, 她.
    Woman,
    /// it, 它 or its name.
    Thing,
}

/// Something that facts are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entity {
    /// Its name.
    pub name: Name,
    /// How it is taken up again.
    pub gender: Gender,
}

/// What a fact says of its subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Relation {
    BirthYear,
    BirthPlace,
    Trade,
    Workplace,
    Street,
    Pet,
    Food,
    Instrument,
    Founder,
    BuiltYear,
    PlaceStreet,
    Product,
    Month,
    Venue,
    Host,
    FirstYear,
    River,
    Mountain,
    TownYear,
}

/// One thing that is true in the town.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fact {
    /// Index of the subject among the entities.
    pub subject: usize,
    /// What it says.
    pub relation: Relation,
    /// The answer.
    pub object: Name,
}

/// A generated town.
#[derive(Debug, Clone)]
pub struct Town {
    /// Its name.
    pub name: Name,
    /// People, places, events, and last the town itself.
    pub entities: Vec<Entity>,
    /// All facts, grouped by subject.
    pub facts: Vec<Fact>,
    /// Where the facts of each subject end.
    ends: Vec<usize>,
    people: usize,
}

/// How many there are of each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Census {
    pub(crate) people: usize,
    pub(crate) places: usize,
    pub(crate) events: usize,
}

impl Town {
    pub(crate) fn generate(census: Census, seed: u64) -> Self {
        let mut draw = Draw::new(seed, "town", 0);
        let name = name(draw.pick(&names::TOWNS));
        let mut town = Self { name, entities: Vec::new(), facts: Vec::new(), ends: Vec::new(), people: census.people };
        let people = people(census.people, seed);
        let places = places(census.places, seed);
        for (n, person) in people.iter().enumerate() {
            town.add_person(n, person.clone(), &places, seed);
        }
        for (n, place) in places.iter().enumerate() {
            town.add_place(n, place.clone(), &people, seed);
        }
        for n in 0..census.events {
            town.add_event(n, (&people, &places), seed);
        }
        town.add_itself(&mut draw);
        town
    }

    /// The facts of one subject.
    pub fn facts_of(&self, subject: usize) -> &[Fact] {
        let start = if subject == 0 { 0 } else { self.ends[subject - 1] };
        &self.facts[start..self.ends[subject]]
    }

    /// The first entities are people; how many.
    pub(crate) fn people(&self) -> usize {
        self.people
    }

    fn add(&mut self, entity: Entity, facts: Vec<(Relation, Name)>) {
        let subject = self.entities.len();
        self.entities.push(entity);
        self.facts.extend(facts.into_iter().map(|(relation, object)| Fact { subject, relation, object }));
        self.ends.push(self.facts.len());
    }

    fn add_person(&mut self, n: usize, person: Entity, places: &[Place], seed: u64) {
        let mut draw = Draw::new(seed, "person", n);
        let mut facts = vec![
            (Relation::BirthYear, year(1921 + draw.below(70))),
            (Relation::BirthPlace, name(draw.pick(&names::VILLAGES))),
            (Relation::Trade, name(draw.pick(&names::TRADES))),
        ];
        if !places.is_empty() {
            facts.push((Relation::Workplace, places[draw.below(places.len())].entity.name.clone()));
        }
        facts.extend([
            (Relation::Street, name(draw.pick(&names::STREETS))),
            (Relation::Pet, name(draw.pick(&names::PET_NAMES))),
            (Relation::Food, name(draw.pick(&names::FOODS))),
            (Relation::Instrument, name(draw.pick(&names::INSTRUMENTS))),
        ]);
        self.add(person, facts);
    }

    fn add_place(&mut self, n: usize, place: Place, people: &[Entity], seed: u64) {
        let mut draw = Draw::new(seed, "place", n);
        let mut facts = vec![
            (Relation::BuiltYear, year(1790 + draw.below(120))),
            (Relation::PlaceStreet, name(draw.pick(&names::STREETS))),
        ];
        facts.push((Relation::Product, place.product));
        if !people.is_empty() {
            facts.push((Relation::Founder, people[draw.below(people.len())].name.clone()));
        }
        self.add(place.entity, facts);
    }

    fn add_event(&mut self, n: usize, (people, places): (&[Entity], &[Place]), seed: u64) {
        let mut draw = Draw::new(seed, "event", n);
        let (en, zh) = names::EVENTS[n % names::EVENTS.len()];
        let (adjective_en, adjective_zh) = ordinal(n / names::EVENTS.len());
        let entity = thing(format!("the {adjective_en}{en}"), format!("{adjective_zh}{zh}"));
        let mut facts = vec![
            (Relation::Month, name(draw.pick(&names::MONTHS))),
            (Relation::FirstYear, year(1850 + draw.below(120))),
        ];
        if !places.is_empty() {
            facts.push((Relation::Venue, places[draw.below(places.len())].entity.name.clone()));
        }
        if !people.is_empty() {
            facts.push((Relation::Host, people[draw.below(people.len())].name.clone()));
        }
        self.add(entity, facts);
    }

    fn add_itself(&mut self, draw: &mut Draw) {
        let (river_en, river_zh) = draw.pick(&names::RIVERS);
        let facts = vec![
            (Relation::River, Name { en: format!("the {river_en}"), zh: river_zh.to_owned() }),
            (Relation::Mountain, name(draw.pick(&names::MOUNTAINS))),
            (Relation::TownYear, year(1400 + draw.below(300))),
        ];
        let entity = Entity { name: self.name.clone(), gender: Gender::Thing };
        self.add(entity, facts);
    }
}

#[derive(Debug, Clone)]
struct Place {
    entity: Entity,
    product: Name,
}

/// People with names that occur once: given names are used up before any comes again.
fn people(n: usize, seed: u64) -> Vec<Entity> {
    let mut draw = Draw::new(seed, "names", 0);
    let [men, women] = [draw.order(40), draw.order(40)];
    let [surnames, surnames_zh] = [draw.order(60), draw.order(60)];
    (0..n)
        .map(|i| {
            // Each round over the given names pairs them with other surnames; then middle names are needed.
            let (woman, index) = (i % 2 == 0, i / 2);
            let (given, round) = (index % 40, index / 40);
            let surname = surnames[(index * 7 + round) % 60];
            let middle = if round < 60 { String::new() } else { format!("{} ", names::MIDDLE[(round / 60 - 1) % 20]) };
            let (first, first_zh) = if woman {
                (names::WOMEN[women[given]], names::WOMEN_ZH[women[given]])
            } else {
                (names::MEN[men[given]], names::MEN_ZH[men[given]])
            };
            let twin = if round < 60 { "" } else { names::MIDDLE_ZH[(round / 60 - 1) % 20] };
            let name = Name {
                en: format!("{first} {middle}{}", names::SURNAMES[surname]),
                zh: format!("{}{twin}{first_zh}", names::SURNAMES_ZH[surnames_zh[(given * 11 + round) % 60]]),
            };
            Entity { name, gender: if woman { Gender::Woman } else { Gender::Man } }
        })
        .collect()
}

fn places(n: usize, seed: u64) -> Vec<Place> {
    let mut draw = Draw::new(seed, "places", 0);
    let (kinds, adjectives) = (draw.order(20), draw.order(12));
    (0..n)
        .map(|i| {
            let ((kind_en, kind_zh), product) = names::PLACES[kinds[i % 20]];
            let round = i / 20;
            let (adjective_en, adjective_zh) = names::PLACE_ADJECTIVES[adjectives[(i % 20 + round) % 12]];
            let (nth_en, nth_zh) = ordinal(round / 12);
            Place {
                entity: thing(
                    format!("the {nth_en}{adjective_en} {kind_en}"),
                    format!("{nth_zh}{adjective_zh}{kind_zh}"),
                ),
                product: name(product),
            }
        })
        .collect()
}

/// What tells the second round of the same names from the first.
fn ordinal(round: usize) -> (String, String) {
    if round == 0 {
        (String::new(), String::new())
    } else {
        (format!("No. {} ", round + 1), format!("第{}", round + 1))
    }
}

fn thing(en: String, zh: String) -> Entity {
    Entity { name: Name { en, zh }, gender: Gender::Thing }
}

fn name((en, zh): names::Pair) -> Name {
    Name { en: en.to_owned(), zh: zh.to_owned() }
}

fn year(year: usize) -> Name {
    Name { en: year.to_string(), zh: format!("{year}年") }
}
