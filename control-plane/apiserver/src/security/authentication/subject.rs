//! Whom a certificate names. A name that cannot be read is no certificate's: left out, it would make its holder somebody
//! else.

use x509_parser::{
    asn1_rs::Tag,
    der_parser::{oid, oid::Oid},
    x509::{AttributeTypeAndValue, X509Name},
};

/// The names in a subject.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Subject {
    /// The common name; of several the last, as Go takes it.
    pub name: String,
    /// Organizations.
    pub groups: Vec<String>,
    /// UIDs of Kubernetes.
    pub uids: Vec<String>,
}

impl Subject {
    /// Reads a name.
    ///
    /// # Errors
    /// One of its parts is no text, or of a kind of text that Go does not read.
    pub fn read(name: &X509Name<'_>) -> Result<Self, String> {
        let (common, organization): (Oid<'_>, Oid<'_>) = (oid!(2.5.4.3), oid!(2.5.4.10));
        let uid = oid!(1.3.6.1.4.1.57683.2);
        let mut subject = Self::default();
        for attribute in name.iter_attributes() {
            let text = text(attribute)
                .map_err(|why| format!("x509: invalid RDNSequence: invalid attribute value: {why}"))?;
            match attribute.attr_type() {
                of if *of == common => subject.name = text,
                of if *of == organization => subject.groups.push(text),
                of if *of == uid => subject.uids.push(text),
                _ => {}
            }
        }
        Ok(subject)
    }
}

fn text(attribute: &AttributeTypeAndValue<'_>) -> Result<String, String> {
    let value = attribute.attr_value();
    let data: &[u8] = value.data;
    let utf8 = || String::from_utf8(data.to_vec()).map_err(|_| "invalid UTF-8 string".to_owned());
    let checked = |what: &str, good: fn(&u8) -> bool| match data.iter().all(good) {
        true => utf8(),
        false => Err(format!("invalid {what}")),
    };
    match value.tag() {
        Tag::Utf8String => utf8(),
        Tag::PrintableString => checked("PrintableString", printable),
        Tag::NumericString => checked("NumericString", |byte| byte.is_ascii_digit() || *byte == b' '),
        Tag::Ia5String => checked("IA5String", u8::is_ascii),
        // Beyond ASCII nobody agrees on what it says.
        Tag::T61String => checked("T61String", u8::is_ascii),
        Tag::BmpString => bmp(data),
        tag => Err(format!("unsupported string type: {}", tag.0)),
    }
}

/// As Go has it, which takes `*` and `&` as well.
fn printable(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(byte)
}

/// Two bytes a letter, perhaps with a zero at the end.
fn bmp(data: &[u8]) -> Result<String, String> {
    let invalid = || "invalid BMPString".to_owned();
    let (pairs, []) = data.as_chunks::<2>() else {
        return Err(invalid());
    };
    let pairs = pairs.strip_suffix(&[[0, 0]]).unwrap_or(pairs);
    let letters = pairs
        .iter()
        .map(|pair| char::from_u32(u32::from(u16::from_be_bytes(*pair))));
    letters.collect::<Option<String>>().ok_or_else(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_parser::prelude::{FromDer, X509Name};

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let body = parts.concat();
        let length = u8::try_from(body.len()).unwrap();
        assert!(length < 0x80);
        [&[tag, length], &body[..]].concat()
    }

    const COMMON: &[u8] = &[6, 3, 0x55, 4, 3];
    const ORGANIZATION: &[u8] = &[6, 3, 0x55, 4, 10];
    const UNIT: &[u8] = &[6, 3, 0x55, 4, 11];

    fn read(attributes: &[(&[u8], u8, &[u8])]) -> Result<Subject, String> {
        let sets: Vec<Vec<u8>> = attributes
            .iter()
            .map(|(of, tag, value)| der(0x31, &[&der(0x30, &[of, &der(*tag, &[value])])]))
            .collect();
        let sets: Vec<&[u8]> = sets.iter().map(Vec::as_slice).collect();
        let name = der(0x30, &sets);
        let (rest, name) = X509Name::from_der(&name).map_err(|error| error.to_string())?;
        assert!(rest.is_empty());
        Subject::read(&name)
    }

    const UTF8: u8 = 12;
    const NUMERIC: u8 = 18;
    const PRINTABLE: u8 = 19;
    const T61: u8 = 20;
    const VIDEOTEX: u8 = 21;
    const IA5: u8 = 22;
    const VISIBLE: u8 = 26;
    const GENERAL: u8 = 27;
    const UNIVERSAL: u8 = 28;
    const BMP: u8 = 30;

    /// What each kind of text says, or why it is refused. The same value as a user, as a group and as what is neither: it
    /// is never another's and never left out.
    #[test]
    fn names_in_certificates_are_read_as_go_reads_them_or_refused() {
        let cases: &[(u8, &[u8], Result<&str, &str>)] = &[
            (UTF8, b"ann", Ok("ann")),
            (UTF8, "j\u{fc}rgen".as_bytes(), Ok("j\u{fc}rgen")),
            (UTF8, b"ann\0", Ok("ann\0")),
            (UTF8, b"adm\xffin", Err("invalid UTF-8 string")),
            (UTF8, b"admin\xc0\x80", Err("invalid UTF-8 string")),
            (UTF8, b"\xed\xa0\x80", Err("invalid UTF-8 string")),
            (PRINTABLE, b"system:masters", Ok("system:masters")),
            (PRINTABLE, b"*&", Ok("*&")),
            (PRINTABLE, b"ann@x", Err("invalid PrintableString")),
            (PRINTABLE, b"\xe9", Err("invalid PrintableString")),
            (NUMERIC, b"12 3", Ok("12 3")),
            (NUMERIC, b"12a", Err("invalid NumericString")),
            (IA5, b"ann@x", Ok("ann@x")),
            (IA5, b"\xc3\xa9", Err("invalid IA5String")),
            (T61, b"ann", Ok("ann")),
            (T61, b"j\xfcrgen", Err("invalid T61String")),
            (BMP, b"\0a\0n\0n", Ok("ann")),
            (BMP, b"\0a\0\0", Ok("a")),
            (BMP, b"\x20\xac", Ok("\u{20ac}")),
            (BMP, b"\0a\0", Err("invalid BMPString")),
            (BMP, b"\xd8\0\xdc\0", Err("invalid BMPString")),
            (UNIVERSAL, b"\0\0\0a", Err("unsupported string type: 28")),
            (VISIBLE, b"ann", Err("unsupported string type: 26")),
            (GENERAL, b"ann", Err("unsupported string type: 27")),
            (VIDEOTEX, b"ann", Err("unsupported string type: 21")),
            (2, b"\x07", Err("unsupported string type: 2")),
            (4, b"ann", Err("unsupported string type: 4")),
            (5, b"", Err("unsupported string type: 5")),
            (0x30, b"", Err("unsupported string type: 16")),
        ];
        crate::security::stories::bad_input::counted("names in certificates", cases.len() * 3);
        for (tag, value, says) in cases {
            for place in [COMMON, ORGANIZATION, UNIT] {
                let known: (&[u8], u8, &[u8]) = (COMMON, UTF8, b"bob");
                let read = read(&[known, (place, *tag, value)]);
                let wanted = says.map(|text| {
                    let name = if place == COMMON { text } else { "bob" };
                    let groups = (place == ORGANIZATION).then(|| text.to_owned());
                    Subject {
                        name: name.to_owned(),
                        groups: groups.into_iter().collect(),
                        uids: Vec::new(),
                    }
                });
                let wanted = wanted
                    .map_err(|why| format!("x509: invalid RDNSequence: invalid attribute value: {why}"));
                assert_eq!(read, wanted, "{tag} {value:?}");
            }
        }
    }

    #[test]
    fn of_several_common_names_the_last_counts() {
        let names: &[(&[u8], u8, &[u8])] = &[(COMMON, UTF8, b"admin"), (COMMON, UTF8, b"ann")];
        assert_eq!(read(names).unwrap().name, "ann");
        let emptied: &[(&[u8], u8, &[u8])] = &[(COMMON, UTF8, b"admin"), (COMMON, UTF8, b"")];
        assert_eq!(read(emptied).unwrap().name, "");
        let groups: &[(&[u8], u8, &[u8])] = &[(ORGANIZATION, UTF8, b"a"), (ORGANIZATION, PRINTABLE, b"b")];
        assert_eq!(read(groups).unwrap().groups, ["a", "b"]);
    }
}
