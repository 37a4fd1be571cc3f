//! Hashes of templates, as parts of names.

/// FNV-1a over some texts and the count of collisions, in letters that names may hold.
pub(crate) fn hash<'a>(texts: impl IntoIterator<Item = &'a str>, collisions: i32) -> String {
    const LETTERS: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let count = if collisions > 0 {
        collisions.to_string()
    } else {
        String::new()
    };
    let bytes = texts.into_iter().flat_map(str::bytes).chain(count.bytes());
    let hash = bytes.fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let digits = hash.to_string();
    digits
        .bytes()
        .map(|digit| char::from(LETTERS[usize::from(digit) % LETTERS.len()]))
        .collect()
}
