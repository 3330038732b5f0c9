//! Names of ours out of free texts.

use std::collections::{BTreeSet, HashMap};

use crate::bridge::config::Name;

/// Room for a number behind it.
const LONGEST: usize = 56;

/// Names given so far, so that none is given twice.
#[derive(Debug, Default)]
pub(super) struct Slugs {
    given: BTreeSet<Name>,
    /// The number behind the next one of a slug that was wanted before: a file may hold thousands of one name.
    next_numbers: HashMap<String, u64>,
}

impl Slugs {
    /// A name for `title`, or for `fallback` where nothing of the title can stand in a name. It is given neither here
    /// nor in `others`.
    pub(super) fn name_beside(&mut self, title: &str, fallback: &str, others: &mut Self) -> Name {
        let slug = slug(title).or_else(|| slug(fallback)).unwrap_or_else(|| "unnamed".to_owned());
        let first = self.next_numbers.get(&slug).copied().unwrap_or(1);
        let (number, name) = (first..)
            .filter_map(|number| Some((number, numbered(&slug, number).parse::<Name>().ok()?)))
            .find(|(_, candidate)| !self.given.contains(candidate) && !others.given.contains(candidate))
            .unwrap_or_else(|| unreachable!("a slug with a number is a name"));
        self.next_numbers.insert(slug, number + 1);
        self.given.insert(name.clone());
        others.given.insert(name.clone());
        name
    }
}

/// The first of a slug goes without.
fn numbered(slug: &str, number: u64) -> String {
    if number == 1 { slug.to_owned() } else { format!("{slug}-{number}") }
}

/// Letters without their accents, digits, `_`; hyphens for the rest.
fn slug(text: &str) -> Option<String> {
    let mut slug = String::new();
    for c in text.chars() {
        match plain(c) {
            Some(letters) => slug.push_str(letters),
            None if c.is_ascii_alphanumeric() || c == '_' => slug.push(c),
            None if slug.ends_with('-') || slug.is_empty() => {}
            None => slug.push('-'),
        }
        if slug.len() >= LONGEST {
            break;
        }
    }
    slug.truncate(LONGEST);
    let slug = slug.trim_end_matches('-');
    (!slug.is_empty()).then(|| slug.to_owned())
}

/// The letters that stand for one of Latin-1 and the Baltic and Slavic alphabets.
fn plain(c: char) -> Option<&'static str> {
    Some(match c {
        'à' | 'á' | 'â' | 'ã' | 'å' | 'ą' | 'ā' => "a",
        'À' | 'Á' | 'Â' | 'Ã' | 'Å' | 'Ą' | 'Ā' => "A",
        'ä' | 'æ' => "ae",
        'Ä' | 'Æ' => "Ae",
        'ç' | 'ć' | 'č' => "c",
        'Ç' | 'Ć' | 'Č' => "C",
        'ď' | 'đ' => "d",
        'è' | 'é' | 'ê' | 'ë' | 'ę' | 'ė' | 'ē' | 'ě' => "e",
        'È' | 'É' | 'Ê' | 'Ë' | 'Ę' | 'Ė' | 'Ē' | 'Ě' => "E",
        'ģ' => "g",
        'ì' | 'í' | 'î' | 'ï' | 'į' | 'ī' => "i",
        'Ì' | 'Í' | 'Î' | 'Ï' | 'Į' | 'Ī' => "I",
        'ķ' => "k",
        'ł' | 'ļ' => "l",
        'Ł' | 'Ļ' => "L",
        'ñ' | 'ń' | 'ň' | 'ņ' => "n",
        'ò' | 'ó' | 'ô' | 'õ' | 'ø' => "o",
        'Ò' | 'Ó' | 'Ô' | 'Õ' | 'Ø' => "O",
        'ö' | 'œ' => "oe",
        'Ö' => "Oe",
        'ř' => "r",
        'ś' | 'š' => "s",
        'Ś' | 'Š' => "S",
        'ß' => "ss",
        'ť' => "t",
        'ù' | 'ú' | 'û' | 'ų' | 'ū' | 'ů' => "u",
        'Ù' | 'Ú' | 'Û' | 'Ų' | 'Ū' => "U",
        'ü' => "ue",
        'Ü' => "Ue",
        'ý' => "y",
        'ź' | 'ż' | 'ž' => "z",
        'Ź' | 'Ż' | 'Ž' => "Z",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_legal_and_given_once() {
        let mut slugs = Slugs::default();
        let mut name = |title: &str| slugs.name_beside(title, "device-7", &mut Slugs::default()).to_string();
        assert_eq!(name("Main meter (T1)"), "Main-meter-T1");
        assert_eq!(name("Main meter: T1"), "Main-meter-T1-2");
        assert_eq!(name("Įvadas Nr.1 – šilumos"), "Ivadas-Nr-1-silumos");
        assert_eq!(name("  "), "device-7");
        assert_eq!(name("电表"), "device-7-2");
        assert_eq!(name(&"x".repeat(300)), "x".repeat(56));
    }
}
