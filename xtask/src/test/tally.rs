//! Counting what test programs say of themselves.

/// Tests that passed and failed, and the names of those that failed.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Tally {
    /// Tests that passed.
    pub passed: usize,
    /// Tests, or whole stages, that failed.
    pub failed: usize,
    /// What failed.
    pub failures: Vec<String>,
}

impl Tally {
    /// One failure of something that is not a single test.
    pub fn failure(what: String) -> Tally {
        Tally {
            passed: 0,
            failed: 1,
            failures: vec![what],
        }
    }

    /// The sum of two.
    pub fn plus(mut self, other: &Tally) -> Tally {
        self.passed += other.passed;
        self.failed += other.failed;
        self.failures.extend(other.failures.iter().cloned());
        self
    }
}

/// Reads the output of `cargo test` line by line.
#[derive(Default)]
pub struct Reader {
    tally: Tally,
    /// The test program that runs now, until it has said its result.
    program: Option<String>,
}

impl Reader {
    /// Takes a line.
    pub fn line(&mut self, line: &str) {
        let text = line.trim();
        if let Some(program) = text
            .strip_prefix("Running ")
            .or_else(|| text.strip_prefix("Doc-tests "))
        {
            // A result line is the last thing that a program prints; the one before this died without.
            self.died();
            self.program = Some(program.to_owned());
        } else if let Some(result) = text.strip_prefix("test result: ") {
            self.tally.passed += count(result, " passed");
            self.tally.failed += count(result, " failed");
            self.program = None;
        } else if let Some(name) = text
            .strip_prefix("test ")
            .and_then(|rest| rest.strip_suffix(" ... FAILED"))
        {
            let program = self.program.as_deref().unwrap_or("?");
            self.tally.failures.push(format!("{name} ({program})"));
        }
    }

    /// The counts, after the last line. `ok` is how cargo itself ended.
    pub fn close(mut self, ok: bool) -> Tally {
        self.died();
        if !ok && self.tally.failed == 0 {
            return self
                .tally
                .plus(&Tally::failure("cargo test: see above".to_owned()));
        }
        self.tally
    }

    fn died(&mut self) {
        if let Some(program) = self.program.take() {
            self.tally.failed += 1;
            self.tally
                .failures
                .push(format!("{program}: ended without a result"));
        }
    }
}

/// The number before a word, as in `3 passed; 0 failed; …`.
fn count(result: &str, word: &str) -> usize {
    let before = result.split_once(word).map_or("", |(before, _)| before);
    before
        .rsplit([' ', ';'])
        .next()
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, ok: bool) -> Tally {
        let mut reader = Reader::default();
        text.lines().for_each(|line| reader.line(line));
        reader.close(ok)
    }

    #[test]
    fn sums_over_programs_and_names_failures() {
        let text = "     Running unittests src/lib.rs (target/a)\ntest one ... ok\ntest two ... FAILED\n\
                    test result: FAILED. 12 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.1s\n\
                    \x20  Doc-tests api\ntest result: ok. 2 passed; 0 failed; 0 ignored;\n";
        let tally = read(text, false);
        assert_eq!((tally.passed, tally.failed), (14, 1));
        assert_eq!(tally.failures, ["two (unittests src/lib.rs (target/a))"]);
    }

    #[test]
    fn counts_a_program_that_died() {
        let text = "     Running unittests src/lib.rs (target/a)\ntest one ... ok\n     Running tests/b.rs (target/b)\n\
                    test result: ok. 2 passed; 0 failed;\n";
        let tally = read(text, false);
        assert_eq!((tally.passed, tally.failed), (2, 1));
        assert_eq!(
            tally.failures,
            ["unittests src/lib.rs (target/a): ended without a result"]
        );
    }

    #[test]
    fn counts_a_build_that_failed() {
        assert_eq!(read("error[E0308]: mismatched types\n", false).failed, 1);
        assert_eq!(read("", true), Tally::default());
    }
}
