//! The Huffman code of RFC 7541, appendix B. It is canonical: the lengths of the codes and the order of the bytes say all.

/// The codes by length: their bits, and the bytes that they stand for, in the order of the codes.
const ROWS: &[(u32, &[u8])] = &[
    (5, b"012aceiost"),
    (6, b" %-./3456789=A_bdfghlmnpru"),
    (7, b":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, b"&*,;XZ"),
    (10, b"!\"()?"),
    (11, b"'+|"),
    (12, b"#>"),
    (13, b"\0$@[]~"),
    (14, b"^}"),
    (15, b"<`{"),
    (19, b"\\\xc3\xd0"),
    (20, b"\x80\x82\x83\xa2\xb8\xc2\xe0\xe2"),
    (21, b"\x99\xa1\xa7\xac\xb0\xb1\xb3\xd1\xd8\xd9\xe3\xe5\xe6"),
    (22, b"\x81\x84\x85\x86\x88\x92\x9a\x9c\xa0\xa3\xa4\xa9\xaa\xad\xb2\xb5\xb9\xba\xbb\xbd\xbe\xc4\xc6\xe4\xe8\xe9"),
    (23, b"\x01\x87\x89\x8a\x8b\x8c\x8d\x8f\x93\x95\x96\x97\x98\x9b\x9d\x9e\xa5\xa6\xa8\xae\xaf\xb4\xb6\xb7\xbc\xbf\xc5\xe7\xef"),
    (24, b"\x09\x8e\x90\x91\x94\x9f\xab\xce\xd7\xe1\xec\xed"),
    (25, b"\xc7\xcf\xea\xeb"),
    (26, b"\xc0\xc1\xc8\xc9\xca\xcd\xd2\xd5\xda\xdb\xee\xf0\xf2\xf3\xff"),
    (27, b"\xcb\xcc\xd3\xd4\xd6\xdd\xde\xdf\xf1\xf4\xf5\xf6\xf7\xf8\xfa\xfb\xfc\xfd\xfe"),
    (28, b"\x02\x03\x04\x05\x06\x07\x08\x0b\x0c\x0e\x0f\x10\x11\x12\x13\x14\x15\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f\x7f\xdc\xf9"),
    (30, b"\x0a\x0d\x16"),
];
/// Bits of the longest code.
const LONGEST: u32 = 30;

/// By the next eight bits: the byte, and the length of its code; 0: the code is longer.
static SHORT: [(u8, u8); 256] = short();

const fn short() -> [(u8, u8); 256] {
    let mut table = [(0, 0); 256];
    let (mut row, mut at) = (0, 0);
    while ROWS[row].0 <= 8 {
        let (length, bytes) = ROWS[row];
        let mut byte = 0;
        while byte < bytes.len() {
            let mut copies = 1 << (8 - length);
            while copies > 0 {
                table[at] = (bytes[byte], length as u8);
                at += 1;
                copies -= 1;
            }
            byte += 1;
        }
        row += 1;
    }
    table
}

/// The byte whose code begins these bits, which are the highest of the number, and how long the code is.
fn next(bits: u64) -> Option<(u8, u32)> {
    let (byte, length) = SHORT[(bits >> 56) as usize];
    if length > 0 {
        return Some((byte, u32::from(length)));
    }
    let (mut first, mut before) = (0u64, 0);
    for (length, bytes) in ROWS {
        first <<= length - before;
        before = *length;
        let place = (bits >> (64 - length)).wrapping_sub(first);
        if let Some(byte) = usize::try_from(place).ok().and_then(|place| bytes.get(place)) {
            return Some((*byte, *length));
        }
        first += bytes.len() as u64;
    }
    None
}

/// Appends what a text stands for. None: it is no text of this code.
pub fn decode(text: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let (mut bits, mut have, mut rest) = (0u64, 0, text.iter());
    loop {
        while have <= 64 - 8
            && let Some(byte) = rest.next()
        {
            bits |= u64::from(*byte) << (56 - have);
            have += 8;
        }
        match next(bits) {
            Some((byte, length)) if length <= have => {
                out.push(byte);
                bits <<= length;
                have -= length;
            }
            // What is left is the beginning of the code that ends a text, less than a byte of it.
            _ => {
                let ones = bits.leading_ones();
                return (have < 8 && ones == have && LONGEST > have).then_some(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(byte: u8) -> (u32, u32) {
        let (mut first, mut before) = (0, 0);
        for (length, bytes) in ROWS {
            first <<= length - before;
            before = *length;
            if let Some(place) = bytes.iter().position(|known| *known == byte) {
                return (first + place as u32, *length);
            }
            first += bytes.len() as u32;
        }
        panic!("{byte} has no code");
    }

    fn encode(text: &[u8]) -> Vec<u8> {
        let mut bits = String::new();
        for byte in text {
            let (code, length) = code(*byte);
            bits += &format!("{code:0width$b}", width = length as usize);
        }
        while !bits.len().is_multiple_of(8) {
            bits.push('1');
        }
        let bytes = bits.as_bytes().chunks(8);
        bytes
            .map(|bits| u8::from_str_radix(std::str::from_utf8(bits).unwrap(), 2).unwrap())
            .collect()
    }

    #[test]
    fn every_byte_comes_back_in_all_neighbourhoods() {
        for one in 0..=255 {
            for other in [b'a', 0, b'\n', one] {
                let text = [one, other, one, b'5', other];
                let mut out = Vec::new();
                decode(&encode(&text), &mut out).unwrap();
                assert_eq!(out, text);
            }
        }
    }

    #[test]
    fn texts_that_end_otherwise_are_refused() {
        let cut: &[&[u8]] = &[
            // Eight bits of padding, padding of zeros, the code that ends a text, and part of a long code.
            &[0x1f, 0xff],
            &[0b0001_1000],
            &[0xff, 0xff, 0xff, 0xff],
            &[0xff, 0xff],
        ];
        for text in cut {
            assert_eq!(decode(text, &mut Vec::new()), None, "{text:x?}");
        }
        assert_eq!(decode(&[], &mut Vec::new()), Some(()));
    }
}
