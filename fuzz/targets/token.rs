//! Tokens of service accounts: a token, or its three parts before they are put in base64.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|token: &str| {
    let _ = component::jwt::unverified_issuer(token);
});
