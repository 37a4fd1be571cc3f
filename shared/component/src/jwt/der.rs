//! The few structures of DER that keys are wrapped in (RFC 5280, 5915, 8017).

/// `rsaEncryption` with its NULL, as an AlgorithmIdentifier's content.
const RSA: &[u8] = &[
    0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00,
];
/// `id-ecPublicKey`.
const EC: &[u8] = &[0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OCTET_STRING: u8 = 0x04;

fn tagged(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    let bytes = length.to_be_bytes();
    let bytes = &bytes[bytes.iter().position(|b| *b != 0).unwrap_or(bytes.len() - 1)..];
    if length >= 0x80 {
        // A length of eight bytes at most.
        out.push(0x80 | u8::try_from(bytes.len()).unwrap_or_default());
    }
    out.extend_from_slice(bytes);
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A SubjectPublicKeyInfo of an RSA key, from its PKCS#1 form.
pub(super) fn rsa_spki(pkcs1: &[u8]) -> Vec<u8> {
    let key = tagged(BIT_STRING, &[&[0], pkcs1]);
    tagged(SEQUENCE, &[&tagged(SEQUENCE, &[RSA]), &key])
}

/// A SubjectPublicKeyInfo of an EC key; `curve` is the DER of its name.
pub(super) fn ec_spki(curve: &[u8], point: &[u8]) -> Vec<u8> {
    let key = tagged(BIT_STRING, &[&[0], point]);
    tagged(SEQUENCE, &[&tagged(SEQUENCE, &[EC, curve]), &key])
}

/// The PKCS#1 form of a public RSA key.
pub(super) fn rsa_public(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    tagged(SEQUENCE, &[&unsigned(modulus), &unsigned(exponent)])
}

/// A PKCS#8 form of an EC key in its own form (RFC 5915).
pub(super) fn ec_pkcs8(curve: &[u8], sec1: &[u8]) -> Vec<u8> {
    let version = tagged(INTEGER, &[&[0]]);
    let algorithm = tagged(SEQUENCE, &[EC, curve]);
    tagged(SEQUENCE, &[&version, &algorithm, &tagged(OCTET_STRING, &[sec1])])
}

fn unsigned(number: &[u8]) -> Vec<u8> {
    let start = number
        .iter()
        .position(|b| *b != 0)
        .unwrap_or(number.len().saturating_sub(1));
    let number = &number[start..];
    match number.first() {
        Some(first) if *first >= 0x80 => tagged(INTEGER, &[&[0], number]),
        Some(_) => tagged(INTEGER, &[number]),
        None => tagged(INTEGER, &[&[0]]),
    }
}

/// The two numbers of the PKCS#1 form of a public RSA key, without leading zeroes.
pub(super) fn rsa_numbers(pkcs1: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let (body, rest) = read(pkcs1, SEQUENCE)?;
    let (modulus, more) = read(body, INTEGER)?;
    let (exponent, over) = read(more, INTEGER)?;
    let bare = |number: &[u8]| -> Vec<u8> { number.iter().copied().skip_while(|b| *b == 0).collect() };
    (rest.is_empty() && over.is_empty()).then(|| (bare(modulus), bare(exponent)))
}

/// What stands under `tag`, and what is left.
fn read(text: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = text.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (length, rest) = if *length < 0x80 {
        (usize::from(*length), rest)
    } else {
        let (bytes, rest) = rest.split_at_checked(usize::from(*length & 0x7f))?;
        let length = bytes.iter().try_fold(0_usize, |sum, byte| {
            sum.checked_mul(256)?.checked_add(usize::from(*byte))
        })?;
        (length, rest)
    };
    (*first == tag).then_some(())?;
    rest.split_at_checked(length)
}
