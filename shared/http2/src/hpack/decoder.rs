//! Blocks of headers as they come.

use super::{
    huffman,
    table::{Table, USUAL},
};

/// A block that is none; the connection cannot go on.
#[derive(Debug, PartialEq, Eq)]
pub struct Broken;

/// Reads the blocks of a connection, in their order.
#[derive(Default)]
pub struct Decoder {
    table: Table,
    name: Vec<u8>,
    value: Vec<u8>,
}

impl Decoder {
    /// Tells the fields of a block.
    pub fn decode(&mut self, block: &[u8], mut tell: impl FnMut(&[u8], &[u8])) -> Result<(), Broken> {
        let Self { table, name, value } = self;
        let (mut rest, mut begun) = (block, false);
        while let Some(first) = rest.first().copied() {
            if first >= 0x80 {
                let index = number(&mut rest, 7)?;
                let (name, value) = table.get(index).ok_or(Broken)?;
                tell(name, value);
                begun = true;
                continue;
            }
            if (0x20..0x40).contains(&first) {
                let most = number(&mut rest, 5)?;
                // It is said before the first field, and is not larger than what this side allows.
                if begun || most > USUAL {
                    return Err(Broken);
                }
                table.resize(most);
                continue;
            }
            begun = true;
            let kept = first >= 0x40;
            let index = number(&mut rest, if kept { 6 } else { 4 })?;
            name.clear();
            value.clear();
            match index {
                0 => text(&mut rest, name)?,
                index => name.extend_from_slice(table.get(index).ok_or(Broken)?.0),
            }
            text(&mut rest, value)?;
            tell(name, value);
            if kept {
                table.add(name, value);
            }
        }
        Ok(())
    }

    /// How often blocks have changed what later ones mean.
    pub fn changes(&self) -> u64 {
        self.table.changes()
    }

    #[cfg(test)]
    fn size(&self) -> usize {
        self.table.size()
    }
}

/// A number that begins in the lowest `bits` of a byte.
fn number(rest: &mut &[u8], bits: u32) -> Result<usize, Broken> {
    let most = (1 << bits) - 1;
    let mut number = usize::from(byte(rest)?) & most;
    if number < most {
        return Ok(number);
    }
    for shift in (0..28).step_by(7) {
        let byte = byte(rest)?;
        number += usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(Broken)
}

fn byte(rest: &mut &[u8]) -> Result<u8, Broken> {
    let (first, after) = rest.split_first().ok_or(Broken)?;
    *rest = after;
    Ok(*first)
}

/// Appends a text: whether it is Huffman's code, its length, and its bytes.
fn text(rest: &mut &[u8], out: &mut Vec<u8>) -> Result<(), Broken> {
    let huffman = rest.first().is_some_and(|first| *first >= 0x80);
    let length = number(rest, 7)?;
    let (text, after) = rest.split_at_checked(length).ok_or(Broken)?;
    *rest = after;
    if huffman {
        return huffman::decode(text, out).ok_or(Broken);
    }
    out.extend_from_slice(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        let hex: Vec<char> = hex.chars().filter(|c| !c.is_whitespace()).collect();
        let pairs = hex.chunks(2).map(|pair| pair.iter().collect::<String>());
        pairs.map(|pair| u8::from_str_radix(&pair, 16).unwrap()).collect()
    }

    fn fields(decoder: &mut Decoder, block: &str) -> String {
        let mut out = String::new();
        let tell = |name: &[u8], value: &[u8]| {
            let (name, value) = (String::from_utf8_lossy(name), String::from_utf8_lossy(value));
            out += &format!("{name}={value}\n");
        };
        decoder.decode(&bytes(block), tell).unwrap();
        out
    }

    #[test]
    fn numbers_as_in_appendix_c_1() {
        let read = |hex: &str, bits| number(&mut &bytes(hex)[..], bits);
        assert_eq!(read("0a", 5), Ok(10));
        assert_eq!(read("1f9a0a", 5), Ok(1337));
        assert_eq!(read("2a", 8), Ok(42));
        assert_eq!(read("1f9a", 5), Err(Broken));
        assert_eq!(read("1fffffffffff7f", 5), Err(Broken));
    }

    #[test]
    fn fields_as_in_appendix_c_2() {
        let of = |block| fields(&mut Decoder::default(), block);
        assert_eq!(
            of("400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572"),
            "custom-key=custom-header\n"
        );
        assert_eq!(of("040c 2f73 616d 706c 652f 7061 7468"), ":path=/sample/path\n");
        assert_eq!(
            of("1008 7061 7373 776f 7264 0673 6563 7265 74"),
            "password=secret\n"
        );
        assert_eq!(of("82"), ":method=GET\n");
    }

    const ASKED: [&str; 3] = [
        ":method=GET\n:scheme=http\n:path=/\n:authority=www.example.com\n",
        ":method=GET\n:scheme=http\n:path=/\n:authority=www.example.com\ncache-control=no-cache\n",
        ":method=GET\n:scheme=https\n:path=/index.html\n:authority=www.example.com\ncustom-key=custom-value\n",
    ];

    #[test]
    fn requests_as_in_appendix_c_3_and_c_4() {
        let plain = [
            "8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "8286 84be 5808 6e6f 2d63 6163 6865",
            "8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65",
        ];
        let short = [
            "8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff",
            "8286 84be 5886 a8eb 1064 9cbf",
            "8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf",
        ];
        for blocks in [plain, short] {
            let mut decoder = Decoder::default();
            for ((block, asked), size) in blocks.iter().zip(ASKED).zip([57, 110, 164]) {
                assert_eq!(fields(&mut decoder, block), asked);
                assert_eq!(decoder.size(), size);
            }
        }
    }

    #[test]
    fn answers_with_evictions_as_in_appendix_c_5_and_c_6() {
        let plain = [
            "4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3120 \
             474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d",
            "4803 3330 37c1 c0bf",
            "88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970 7738 \
             666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61 6765 3d33 \
             3630 303b 2076 6572 7369 6f6e 3d31",
        ];
        let short = [
            "4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad 1718 \
             63c7 8f0b 97c8 e9ae 82ae 43d3",
            "4883 640e ffc1 c0bf",
            "88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2 e6c7 \
             b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07",
        ];
        let first =
            "cache-control=private\ndate=Mon, 21 Oct 2013 20:13:21 GMT\nlocation=https://www.example.com\n";
        let said = [
            format!(":status=302\n{first}"),
            format!(":status=307\n{first}"),
            ":status=200\ncache-control=private\ndate=Mon, 21 Oct 2013 20:13:22 GMT\nlocation=https://www.example.com\n\
             content-encoding=gzip\nset-cookie=foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1\n"
                .to_owned(),
        ];
        for blocks in [plain, short] {
            let mut decoder = Decoder::default();
            decoder.table.resize(256);
            for ((block, said), size) in blocks.iter().zip(&said).zip([222, 222, 215]) {
                assert_eq!(&fields(&mut decoder, block), said);
                assert_eq!(decoder.size(), size);
            }
        }
    }

    #[test]
    fn blocks_that_are_none_are_refused() {
        let refused = [
            ("80", "no field has the number 0"),
            ("be", "a number that nothing has"),
            ("ff", "a number that is cut"),
            ("8220", "a size after a field"),
            ("3fe21f", "a size over what is allowed"),
            ("4005 6162", "a text that is cut"),
            ("4181 00", "a text that is none of Huffman's"),
        ];
        for (block, why) in refused {
            let decoded = Decoder::default().decode(&bytes(block), |_, _| {});
            assert_eq!(decoded, Err(Broken), "{why}");
        }
    }
}
