//! The values of a row.

/// A value.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Value {
    /// Nothing.
    #[default]
    Null,
    /// A whole number.
    Integer(i64),
    /// Any number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

impl Value {
    /// The whole number; of nothing, 0.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(number) => Some(*number),
            Self::Null => Some(0),
            _ => None,
        }
    }

    /// The bytes of text or bytes; of nothing, none.
    pub fn bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Text(text) => Some(text.as_bytes()),
            Self::Blob(bytes) => Some(bytes),
            Self::Null => Some(&[]),
            _ => None,
        }
    }
}

/// A number of one to nine bytes, and what follows.
pub fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, byte) in bytes.iter().enumerate().take(8) {
        number = number << 7 | u64::from(byte & 0x7f);
        if *byte < 0x80 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    let last = bytes.get(8)?;
    Some((number << 8 | u64::from(*last), &bytes[9..]))
}

/// Reads a row.
pub struct Cursor<'a> {
    kinds: &'a [u8],
    body: &'a [u8],
}

impl<'a> Cursor<'a> {
    /// Of the bytes of a row.
    pub fn new(payload: &'a [u8]) -> Option<Self> {
        let (length, after) = varint(payload)?;
        let length = usize::try_from(length).ok()?;
        let kinds = after.get(..length.checked_sub(payload.len() - after.len())?)?;
        Some(Self {
            kinds,
            body: payload.get(length..)?,
        })
    }

    /// Its values.
    pub fn values(mut self) -> Option<Vec<Value>> {
        let mut values = Vec::new();
        while !self.kinds.is_empty() {
            let (kind, rest) = varint(self.kinds)?;
            self.kinds = rest;
            values.push(self.value(kind)?);
        }
        Some(values)
    }

    fn value(&mut self, kind: u64) -> Option<Value> {
        Some(match kind {
            0 => Value::Null,
            1..=4 => self.integer(kind as usize)?,
            5 => self.integer(6)?,
            6 => self.integer(8)?,
            7 => Value::Real(f64::from_be_bytes(self.take(8)?.try_into().ok()?)),
            8 => Value::Integer(0),
            9 => Value::Integer(1),
            10 | 11 => return None,
            _ => {
                let bytes = self.take((kind - 12) / 2)?.to_vec();
                match kind % 2 {
                    0 => Value::Blob(bytes),
                    _ => Value::Text(String::from_utf8(bytes).ok()?),
                }
            }
        })
    }

    fn integer(&mut self, length: usize) -> Option<Value> {
        let bytes = self.take(length as u64)?;
        let first = i64::from(bytes[0] as i8);
        let number = bytes[1..]
            .iter()
            .fold(first, |number, byte| number << 8 | i64::from(*byte));
        Some(Value::Integer(number))
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (part, rest) = self.body.split_at_checked(usize::try_from(length).ok()?)?;
        self.body = rest;
        Some(part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_length_are_read() {
        assert_eq!(varint(&[0x7f, 1]), Some((0x7f, &[1][..])));
        assert_eq!(varint(&[0x81, 0x00]), Some((0x80, &[][..])));
        assert_eq!(varint(&[0xff; 9]), Some((u64::MAX, &[][..])));
        assert_eq!(varint(&[0xff; 8]), None);
        assert_eq!(varint(&[]), None);
        let row = [
            8, 0, 1, 2, 5, 8, 9, 15, 0xff, 0x01, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, b'a',
        ];
        let values = Cursor::new(&row).and_then(Cursor::values).unwrap();
        let numbers: Vec<_> = values.iter().filter_map(Value::integer).collect();
        assert_eq!(numbers, [0, -1, 258, -2, 0, 1]);
        assert_eq!(values[6], Value::Text("a".to_owned()));
    }
}
