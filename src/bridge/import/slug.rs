//! Names of ours out of free texts.

use std::collections::BTreeSet;

use crate::bridge::config::Name;

/// Room for a number behind it.
const LONGEST: usize = 56;

/// Names given so far, so that none is given twice.
#[derive(Debug, Default)]
pub(super) struct Slugs(BTreeSet<Name>);

impl Slugs {
    /// A name for `title`, or for `fallback` where nothing of the title can stand in a name. It is given neither here
    /// nor in `others`.
    pub(super) fn name_beside(&mut self, title: &str, fallback: &str, others: &mut Self) -> Name {
        let slug = slug(title).or_else(|| slug(fallback)).unwrap_or_else(|| "unnamed".to_owned());
        let numbered = (2..).map(|number| format!("{slug}-{number}"));
        let free = std::iter::once(slug.clone())
            .chain(numbered)
            .filter_map(|candidate| candidate.parse::<Name>().ok())
            .find(|candidate| !self.0.contains(candidate) && !others.0.contains(candidate));
        let name = free.unwrap_or_else(|| unreachable!("a slug with a number is a name"));
        self.0.insert(name.clone());
        others.0.insert(name.clone());
        name
    }
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
