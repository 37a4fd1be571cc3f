//! Domain names: in the wire's form, and as keys in which a zone's tree is in order.

/// A domain name in the wire's form (length, label, …, 0), lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<u8>);

impl Name {
    /// From its text; the dot at the end is left out or not. Empty labels are left out; `None` if it is too long.
    pub fn new(text: &str) -> Option<Self> {
        let mut wire = Vec::with_capacity(text.len() + 2);
        for label in text.split('.').filter(|label| !label.is_empty()) {
            let length = u8::try_from(label.len()).ok().filter(|length| *length < 64)?;
            wire.push(length);
            wire.extend(label.bytes().map(|byte| byte.to_ascii_lowercase()));
        }
        wire.push(0);
        (wire.len() <= 255).then_some(Self(wire))
    }

    /// Reads a name without compression at the start of `bytes`; with how many bytes it took.
    pub(crate) fn read(bytes: &[u8]) -> Option<(Self, usize)> {
        let mut at = 0;
        loop {
            match usize::from(*bytes.get(at)?) {
                0 => break,
                length if length < 64 => at += length + 1,
                _ => return None,
            }
        }
        let wire = bytes.get(..=at)?;
        (wire.len() <= 255).then(|| (Self(wire.to_ascii_lowercase()), wire.len()))
    }

    /// The wire's form.
    pub fn wire(&self) -> &[u8] {
        &self.0
    }

    /// Its labels, the leftmost first.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.0.as_slice();
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first()?;
            let (label, after) = after
                .split_at_checked(usize::from(*length))
                .filter(|(label, _)| !label.is_empty())?;
            rest = after;
            Some(label)
        })
    }

    /// The labels from the root on, each ended by a zero byte: what is below a name has its key as prefix.
    pub(crate) fn key(&self) -> Vec<u8> {
        let labels: Vec<&[u8]> = self.labels().collect();
        let mut key = Vec::with_capacity(self.0.len());
        for label in labels.iter().rev() {
            key.extend_from_slice(label);
            key.push(0);
        }
        key
    }

    /// Whether it is `other` or below it.
    pub fn is_within(&self, other: &Name) -> bool {
        self.key().starts_with(&other.key())
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.len() < 2 {
            return f.write_str(".");
        }
        self.labels()
            .try_for_each(|label| write!(f, "{}.", String::from_utf8_lossy(label)))
    }
}
