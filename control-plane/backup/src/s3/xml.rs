//! The little of XML that S3's answers need: elements by name, without attributes that matter.

/// The texts of all elements of this name, in order.
pub fn all<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(&open) {
        let Some((inner, after)) = after.split_once(&close) else {
            break;
        };
        found.push(inner);
        rest = after;
    }
    found
}

/// The text of the first element of this name, as it is meant.
pub fn text(of: &str, name: &str) -> Option<String> {
    all(of, name).first().map(|inner| unescape(inner))
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let Some((name, after)) = after.split_once(';') else {
            out.push('&');
            rest = after;
            continue;
        };
        let number = match name.strip_prefix("#x") {
            Some(digits) => u32::from_str_radix(digits, 16).ok(),
            None => name.strip_prefix('#').and_then(|digits| digits.parse().ok()),
        };
        let named = [
            ("lt", '<'),
            ("gt", '>'),
            ("amp", '&'),
            ("quot", '"'),
            ("apos", '\''),
        ];
        let named = named.into_iter().find(|(known, _)| *known == name);
        let meant = named
            .map(|(_, meant)| meant)
            .or_else(|| number.and_then(char::from_u32));
        match meant {
            Some(meant) => out.push(meant),
            None => out.push_str(&format!("&{name};")),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_found_and_mean_what_they_say() {
        let answer =
            "<L><C><Key>a&amp;b</Key><Size>1</Size></C><C><Key>&#x3c;&#62;&quot;&no;&</Key></C><C><Key>cut";
        assert_eq!(all(answer, "C").len(), 2);
        let keys = all(answer, "C").into_iter().map(|one| text(one, "Key").unwrap());
        assert_eq!(keys.collect::<Vec<_>>(), ["a&b", "<>\"&no;&"]);
        assert_eq!(text(answer, "Size").as_deref(), Some("1"));
        assert_eq!(text(answer, "Nothing"), None);
    }
}
