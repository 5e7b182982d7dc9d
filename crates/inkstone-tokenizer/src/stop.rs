//! Strings that end a text, met as it comes.

/// Holds text back while it may be the beginning of a stop string.
#[derive(Debug, Clone, Default)]
pub struct StopStrings {
    stop: Vec<String>,
    held: String,
    met: Option<usize>,
}

impl StopStrings {
    /// Ends a text before any of `stop`; empty strings are none.
    pub fn new(stop: &[String]) -> Self {
        let stop = stop.iter().filter(|stop| !stop.is_empty()).cloned().collect();
        Self { stop, held: String::new(), met: None }
    }

    /// The text that is safe to show, and whether a stop string was met behind it.
    pub fn push(&mut self, piece: &str) -> (String, bool) {
        self.held.push_str(piece);
        let places = self.stop.iter().enumerate();
        let met = places.filter_map(|(n, stop)| Some((self.held.find(stop.as_str())?, n))).min();
        if let Some((at, n)) = met {
            self.held.truncate(at);
            self.met = Some(n);
            return (std::mem::take(&mut self.held), true);
        }
        let safe = self.held.len() - self.longest_beginning();
        let rest = self.held.split_off(safe);
        (std::mem::replace(&mut self.held, rest), false)
    }

    /// The one that was met.
    pub fn met(&self) -> Option<&str> {
        self.met.map(|n| self.stop[n].as_str())
    }

    /// What was held back, when nothing follows.
    pub fn rest(&mut self) -> String {
        std::mem::take(&mut self.held)
    }

    /// Bytes at the end that may become a stop string.
    fn longest_beginning(&self) -> usize {
        let begins = |stop: &String, n: usize| stop.is_char_boundary(n) && self.held.ends_with(&stop[..n]);
        self.stop.iter().filter_map(|stop| (1..stop.len()).rev().find(|&n| begins(stop, n))).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::StopStrings;

    #[test]
    fn stop_strings_are_found_across_pieces_and_never_shown() {
        let mut stopper = StopStrings::new(&["\n\n".to_owned(), "砚台".to_owned()]);
        assert_eq!(stopper.push("a\n"), ("a".into(), false));
        assert_eq!(stopper.push("b砚"), ("\nb".into(), false));
        assert_eq!(stopper.push("x"), ("砚x".into(), false));
        assert_eq!(stopper.push("y砚"), ("y".into(), false));
        assert_eq!(stopper.push("台z"), (String::new(), true));
        assert_eq!(stopper.met(), Some("砚台"));
    }
}
