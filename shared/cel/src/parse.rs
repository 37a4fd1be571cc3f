//! From words to a tree, by binding powers.

use crate::{
    ast::{Ast, Entry, Field, Id, Kind, Literal},
    issue::Issue,
    macros,
    token::{Token, Word, cut},
};
use std::sync::Arc;

/// Deepest nesting of an expression.
const DEPTH: usize = 250;
/// Longest expression, in characters.
const LENGTH: usize = 100_000;
const START: &str = "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}";
/// Words that no name may be.
pub(crate) const RESERVED: [&str; 17] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
    "void",
    "while",
];

/// Binary operators below `&&`: word, name, power.
const BINARY: [(&str, &str, u8); 11] = [
    ("==", "_==_", 3),
    ("!=", "_!=_", 3),
    ("<", "_<_", 3),
    ("<=", "_<=_", 3),
    (">", "_>_", 3),
    (">=", "_>=_", 3),
    ("+", "_+_", 4),
    ("-", "_-_", 4),
    ("*", "_*_", 5),
    ("/", "_/_", 5),
    ("%", "_%_", 5),
];

pub(crate) struct Parser<'s> {
    pub source: &'s str,
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    pub ast: Ast,
    pub issues: Vec<Issue>,
}

/// Parsing went wrong; the issue is noted.
pub(crate) struct Stopped;
type Parsed<T = Id> = Result<T, Stopped>;

/// Reads `source`.
pub(crate) fn parse(source: &str) -> Result<Ast, Vec<Issue>> {
    let size = source.chars().count();
    if size > LENGTH {
        let message = format!("expression code point size exceeds limit: size: {size}, limit {LENGTH}");
        return Err(vec![Issue::nowhere(message)]);
    }
    let (tokens, issues) = cut(source);
    let mut parser = Parser {
        source,
        tokens,
        next: 0,
        depth: 0,
        ast: Ast::default(),
        issues,
    };
    if let Ok(root) = parser.expression() {
        parser.ast.root = root;
        if parser.peek() != &Word::End {
            let alone = parser
                .tokens
                .get(parser.next + 1)
                .is_some_and(|token| token.word == Word::End);
            let what = if alone { "extraneous" } else { "mismatched" };
            let _stopped = parser.unexpected(what, "<EOF>");
        }
    }
    if parser.issues.is_empty() {
        return Ok(parser.ast);
    }
    parser.issues.sort_by_key(|issue| (issue.line, issue.column));
    Err(parser.issues)
}

impl Parser<'_> {
    fn token(&self) -> &Token {
        &self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn peek(&self) -> &Word {
        &self.token().word
    }

    fn at(&self) -> usize {
        self.token().at
    }

    fn text(&self) -> &str {
        let token = self.token();
        if token.word == Word::End {
            return "<EOF>";
        }
        &self.source[token.at..token.end]
    }

    fn take(&mut self, op: &str) -> bool {
        let found = matches!(self.peek(), Word::Op(word) if *word == op);
        self.next += usize::from(found);
        found
    }

    fn need(&mut self, op: &str) -> Parsed<()> {
        if self.take(op) {
            return Ok(());
        }
        Err(self.unexpected("mismatched", &format!("'{op}'")))
    }

    fn unexpected(&mut self, what: &str, expected: &str) -> Stopped {
        let message = format!(
            "Syntax error: {what} input '{}' expecting {expected}",
            self.text()
        );
        self.fail(self.at(), message)
    }

    pub fn fail(&mut self, at: usize, message: impl Into<String>) -> Stopped {
        self.issues.push(Issue::new(self.source, at, message));
        Stopped
    }

    /// Runs `inner` one level deeper.
    fn deeper<T>(&mut self, inner: impl FnOnce(&mut Self) -> Parsed<T>) -> Parsed<T> {
        if self.depth >= DEPTH {
            let message = format!("expression recursion limit exceeded: {DEPTH}");
            self.issues = vec![Issue::nowhere(message)];
            return Err(Stopped);
        }
        self.depth += 1;
        let result = inner(self);
        self.depth -= 1;
        result
    }

    fn expression(&mut self) -> Parsed {
        self.deeper(|parser| {
            let condition = parser.logical("||", "_||_")?;
            let at = parser.at();
            if !parser.take("?") {
                return Ok(condition);
            }
            let yes = parser.logical("||", "_||_")?;
            parser.need(":")?;
            let no = parser.expression()?;
            Ok(parser.ast.call(at, "_?_:_", vec![condition, yes, no]))
        })
    }

    /// A chain of `||` or `&&`, as a balanced tree.
    fn logical(&mut self, word: &str, name: &str) -> Parsed {
        let term = |parser: &mut Self| {
            if word == "||" {
                parser.logical("&&", "_&&_")
            } else {
                parser.binary(3)
            }
        };
        let mut terms = vec![term(self)?];
        let mut places = Vec::new();
        loop {
            let at = self.at();
            if !self.take(word) {
                break;
            }
            places.push(at);
            terms.push(term(self)?);
        }
        if places.is_empty() {
            return Ok(terms[0]);
        }
        Ok(self.balance(name, &terms, &places, 0, places.len() - 1))
    }

    fn balance(&mut self, name: &str, terms: &[Id], places: &[usize], low: usize, high: usize) -> Id {
        let middle = (low + high).div_ceil(2);
        let left = if middle == low {
            terms[middle]
        } else {
            self.balance(name, terms, places, low, middle - 1)
        };
        let right = if middle == high {
            terms[middle + 1]
        } else {
            self.balance(name, terms, places, middle + 1, high)
        };
        self.ast.call(places[middle], name, vec![left, right])
    }

    /// What binds at least as strongly as `least`.
    fn binary(&mut self, least: u8) -> Parsed {
        let mut left = self.unary()?;
        let mut steps = 0;
        loop {
            let found = match self.peek() {
                Word::In => Some(("@in", 3)),
                Word::Op(op) => BINARY.iter().find(|row| row.0 == *op).map(|row| (row.1, row.2)),
                _ => None,
            };
            let Some((name, power)) = found.filter(|(_, power)| *power >= least) else {
                return Ok(left);
            };
            let at = self.at();
            self.next += 1;
            let right = self.binary(power + 1)?;
            left = self.ast.call(at, name, vec![left, right]);
            steps += 1;
            self.chain(steps)?;
        }
    }

    /// A chain is as deep a tree as nesting is.
    fn chain(&mut self, steps: usize) -> Parsed<()> {
        if self.depth + steps > DEPTH {
            let message = format!("expression recursion limit exceeded: {DEPTH}");
            self.issues = vec![Issue::nowhere(message)];
            return Err(Stopped);
        }
        Ok(())
    }

    fn unary(&mut self) -> Parsed {
        for (op, name) in [("!", "!_"), ("-", "-_")] {
            let at = self.at();
            let mut count = 0;
            while self.take(op) {
                count += 1;
            }
            if count == 0 {
                continue;
            }
            if op == "-"
                && count % 2 == 1
                && let Word::Literal(literal @ (Literal::Int(_) | Literal::Double(_))) = self.peek()
            {
                let negative = match literal {
                    Literal::Int(value) => Literal::Int(value.checked_neg().unwrap_or(i64::MIN)),
                    Literal::Double(value) => Literal::Double(-value),
                    other => other.clone(),
                };
                self.next += 1;
                let literal = self.ast.add(at, Kind::Literal(negative));
                return self.members(literal);
            }
            let operand = self.deeper(Self::member)?;
            // Two of a kind cancel out.
            return Ok(if count % 2 == 0 {
                operand
            } else {
                self.ast.call(at, name, vec![operand])
            });
        }
        self.member()
    }

    fn member(&mut self) -> Parsed {
        let primary = self.primary()?;
        self.members(primary)
    }

    fn members(&mut self, mut operand: Id) -> Parsed {
        let mut steps = 0;
        loop {
            let at = self.at();
            if self.take(".") {
                let optional = self.take("?");
                operand = self.select(at, operand, optional)?;
            } else if self.take("[") {
                let name = if self.take("?") { "_[?_]" } else { "_[_]" };
                let index = self.expression()?;
                self.need("]")?;
                operand = self.ast.call(at, name, vec![operand, index]);
            } else if self.take("{") {
                let Some(name) = self.qualified(operand) else {
                    self.next -= 1;
                    return Ok(operand);
                };
                let fields = self.fields()?;
                operand = self.ast.add(at, Kind::Struct { name, fields });
            } else {
                return Ok(operand);
            }
            steps += 1;
            self.chain(steps)?;
        }
    }

    fn select(&mut self, at: usize, operand: Id, optional: bool) -> Parsed {
        if !matches!(self.peek(), Word::Ident | Word::Quoted) {
            let message = format!("Syntax error: no viable alternative at input '.{}'", self.text());
            return Err(self.fail(self.at(), message));
        }
        let quoted = self.peek() == &Word::Quoted;
        let text = self.text();
        let field: Arc<str> = text.trim_matches('`').into();
        self.next += 1;
        let open = self.at();
        if !optional && !quoted && self.take("(") {
            let args = self.arguments(")")?;
            return macros::call(self, open, Some(operand), field, args);
        }
        let test = false;
        Ok(self.ast.add(
            at,
            Kind::Select {
                operand,
                field,
                test,
                optional,
            },
        ))
    }

    /// The dotted name that `operand` is.
    fn qualified(&self, operand: Id) -> Option<Arc<str>> {
        match &self.ast.nodes[operand].kind {
            Kind::Ident(name) => Some(name.clone()),
            Kind::Select {
                operand,
                field,
                test: false,
                optional: false,
            } => {
                let before = self.qualified(*operand)?;
                Some(format!("{before}.{field}").into())
            }
            _ => None,
        }
    }

    /// Expressions with commas between, up to `close`.
    fn arguments(&mut self, close: &str) -> Parsed<Vec<Id>> {
        let mut args = Vec::new();
        if self.take(close) {
            return Ok(args);
        }
        loop {
            args.push(self.expression()?);
            if !self.take(",") {
                break;
            }
        }
        self.need(close)?;
        Ok(args)
    }

    fn fields(&mut self) -> Parsed<Vec<Field>> {
        let mut fields = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            if !matches!(self.peek(), Word::Ident | Word::Quoted) {
                return Err(self.unexpected("mismatched", "{'}', ',', '?', IDENTIFIER, ESC_IDENTIFIER}"));
            }
            let name = self.text().trim_matches('`').into();
            self.next += 1;
            let at = self.at();
            self.need(":")?;
            let value = self.expression()?;
            fields.push(Field {
                at,
                name,
                value,
                optional,
            });
            if !self.take(",") {
                self.need("}")?;
                break;
            }
        }
        Ok(fields)
    }

    fn primary(&mut self) -> Parsed {
        let at = self.at();
        let word = self.peek().clone();
        match word {
            Word::Literal(literal) => {
                self.next += 1;
                Ok(self.ast.add(at, Kind::Literal(literal)))
            }
            Word::Ident => self.name(at, ""),
            Word::Op(".") => {
                self.next += 1;
                if self.peek() != &Word::Ident {
                    let message = format!("Syntax error: no viable alternative at input '.{}'", self.text());
                    return Err(self.fail(self.at(), message));
                }
                self.name(at, ".")
            }
            Word::Op("(") => {
                self.next += 1;
                let inner = self.expression()?;
                self.need(")")?;
                Ok(inner)
            }
            Word::Op("[") => {
                self.next += 1;
                self.list(at)
            }
            Word::Op("{") => {
                self.next += 1;
                self.map(at)
            }
            _ => {
                let next = self.tokens.get(self.next + 1).map(|token| &token.word);
                let starts = matches!(next, Some(Word::Literal(_) | Word::Ident));
                let what = if starts && word != Word::End {
                    "extraneous"
                } else {
                    "mismatched"
                };
                Err(self.unexpected(what, START))
            }
        }
    }

    fn name(&mut self, at: usize, dot: &str) -> Parsed {
        let text = self.text();
        let reserved = RESERVED.contains(&text).then(|| text.to_owned());
        let name: Arc<str> = format!("{dot}{text}").into();
        self.next += 1;
        let open = self.at();
        if self.take("(") {
            let args = self.arguments(")")?;
            return macros::call(self, open, None, name, args);
        }
        if let Some(word) = reserved {
            return Err(self.fail(at, format!("reserved identifier: {word}")));
        }
        Ok(self.ast.add(at, Kind::Ident(name)))
    }

    fn list(&mut self, at: usize) -> Parsed {
        let mut items = Vec::new();
        while !self.take("]") {
            let optional = self.take("?");
            items.push((self.expression()?, optional));
            if !self.take(",") {
                self.need("]")?;
                break;
            }
        }
        Ok(self.ast.add(at, Kind::List(items)))
    }

    fn map(&mut self, at: usize) -> Parsed {
        let mut entries = Vec::new();
        while !self.take("}") {
            let optional = self.take("?");
            let key = self.expression()?;
            self.need(":")?;
            let value = self.expression()?;
            entries.push(Entry { key, value, optional });
            if !self.take(",") {
                self.need("}")?;
                break;
            }
        }
        Ok(self.ast.add(at, Kind::Map(entries)))
    }
}
