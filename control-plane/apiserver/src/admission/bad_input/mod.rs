//! Bad input, a table: what webhooks answer and patch, what users configure, and what files say that cannot be gone by.
//! Each is refused in upstream's words, nothing of it is let through, and the server lives on.
#![expect(clippy::disallowed_types, reason = "what is refused is written down as JSON")]

mod changes;
mod files;
mod objects;
mod webhooks;

pub(super) use webhooks::answer;

/// So many cases are told at least.
const LEAST: usize = 150;

/// What became of each case: how many there were, and those that went otherwise than they should.
#[derive(Default)]
struct Told {
    cases: usize,
    wrong: Vec<String>,
}

impl Told {
    /// A case that must end with `code` and a message that has `words`.
    fn case(&mut self, of: &str, wanted: (u16, &str), got: (u16, &str)) {
        self.cases += 1;
        if wanted.0 != got.0 || !got.1.contains(wanted.1) {
            let ((code, words), (got, said)) = (wanted, got);
            self.wrong
                .push(format!("{of}\n  wanted {code} {words}\n  got    {got} {said}"));
        }
    }

    /// Something that must be so after a case.
    fn holds(&mut self, of: &str, holds: bool) {
        if !holds {
            self.wrong.push(of.to_owned());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn bad_admission() {
    let mut told = Told::default();
    webhooks::tell(&mut told).await;
    objects::tell(&mut told).await;
    files::tell(&mut told);
    assert!(told.wrong.is_empty(), "{}", told.wrong.join("\n"));
    assert!(told.cases >= LEAST, "{} cases", told.cases);
}
