//! The paths of printer columns, in kubectl's dialect of JSONPath.

use super::Instance;
use serde_json::Value;
use std::iter::Peekable;
use std::str::Chars;

/// A path, such as `.status.conditions[?(@.type=="Ready")].status`.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    /// Any of these.
    Union(Vec<Step>),
    Index(i64),
    Slice(Option<i64>, Option<i64>, i64),
    All,
    /// The value and all in it.
    Deep,
    Filter(Box<Operand>, Option<(Comparison, Box<Operand>)>),
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(JsonPath),
    Value(Value),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

type Text<'a> = Peekable<Chars<'a>>;

impl JsonPath {
    /// Reads a path; `None`: it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let mut text = text.trim().chars().peekable();
        let steps = steps(&mut text)?;
        text.next().is_none().then_some(Self(steps))
    }

    /// The first value there is, as a text.
    pub fn text(&self, object: &Instance) -> Option<String> {
        match self.find(object.value()).into_iter().next()? {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            other => Some(other.to_string()),
        }
    }

    /// The first value there is, if it is a text.
    pub fn string(&self, object: &Instance) -> Option<String> {
        let found = self.find(object.value()).into_iter().next()?;
        found.as_str().map(str::to_owned)
    }

    /// The first value there is, if it is a number, without its fraction.
    pub fn integer(&self, object: &Instance) -> Option<i64> {
        let found = self.find(object.value()).into_iter().next()?;
        found
            .as_i64()
            .or_else(|| found.as_f64().map(|float| float as i64))
    }

    /// The first value there is, if it is a number.
    pub fn number(&self, object: &Instance) -> Option<f64> {
        self.find(object.value()).into_iter().next()?.as_f64()
    }

    /// The first value there is, if it is yes or no.
    pub fn boolean(&self, object: &Instance) -> Option<bool> {
        self.find(object.value()).into_iter().next()?.as_bool()
    }

    fn find<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        self.0.iter().fold(vec![value], |values, step| {
            values.into_iter().flat_map(|value| step.take(value)).collect()
        })
    }
}

impl Step {
    fn take<'a>(&self, value: &'a Value) -> Vec<&'a Value> {
        let items = || value.as_array().map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::Union(steps) => steps.iter().flat_map(|step| step.take(value)).collect(),
            Self::Index(index) => {
                let items = items();
                let place = if *index < 0 {
                    items.len() as i64 + index
                } else {
                    *index
                };
                usize::try_from(place)
                    .ok()
                    .and_then(|at| items.get(at))
                    .into_iter()
                    .collect()
            }
            Self::Slice(from, to, step) => {
                let size = items().len() as i64;
                let place = |at: i64| (if at < 0 { size + at } else { at }).clamp(0, size) as usize;
                let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(size)));
                let step = usize::try_from(*step).unwrap_or(1).max(1);
                items().iter().take(to).skip(from).step_by(step).collect()
            }
            Self::All => match value {
                Value::Object(members) => members.values().collect(),
                _ => items().iter().collect(),
            },
            Self::Deep => {
                let mut all = vec![value];
                all.extend(
                    Self::All
                        .take(value)
                        .into_iter()
                        .flat_map(|inner| self.take(inner)),
                );
                all
            }
            Self::Filter(left, test) => items()
                .iter()
                .filter(|item| holds(left, test.as_ref(), item))
                .collect(),
        }
    }
}

fn holds(left: &Operand, test: Option<&(Comparison, Box<Operand>)>, item: &Value) -> bool {
    let value = |operand: &Operand| match operand {
        Operand::Path(path) => path.find(item).first().map(|value| (*value).clone()),
        Operand::Value(value) => Some(value.clone()),
    };
    let Some((comparison, right)) = test else {
        return value(left).is_some();
    };
    let (Some(left), Some(right)) = (value(left), value(right)) else {
        return false;
    };
    let order = match (&left, &right) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (a, b) => a.as_f64().zip(b.as_f64()).and_then(|(a, b)| a.partial_cmp(&b)),
    };
    match comparison {
        Comparison::Equal => left == right || order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::NotEqual => left != right && !order.is_some_and(std::cmp::Ordering::is_eq),
        Comparison::Less => order.is_some_and(std::cmp::Ordering::is_lt),
        Comparison::LessOrEqual => order.is_some_and(std::cmp::Ordering::is_le),
        Comparison::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
        Comparison::GreaterOrEqual => order.is_some_and(std::cmp::Ordering::is_ge),
    }
}

fn steps(text: &mut Text<'_>) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    if matches!(text.peek(), Some('$' | '@')) {
        text.next();
    } else if text.peek().is_some_and(|c| c.is_alphanumeric() || *c == '_') {
        steps.push(Step::Field(name(text)));
    }
    loop {
        match text.peek() {
            Some('.') => {
                text.next();
                if text.next_if_eq(&'.').is_some() {
                    steps.push(Step::Deep);
                }
                match text.peek() {
                    Some('*') => {
                        text.next();
                        steps.push(Step::All);
                    }
                    // `.` alone is the value itself.
                    Some('[') | None => {}
                    Some(_) => match name(text) {
                        name if name.is_empty() => return None,
                        name => steps.push(Step::Field(name)),
                    },
                }
            }
            Some('[') => {
                text.next();
                steps.push(bracket(text)?);
            }
            _ => return Some(steps),
        }
    }
}

/// A field's name; a backslash takes the next character as it is.
fn name(text: &mut Text<'_>) -> String {
    let mut name = String::new();
    while let Some(c) = text.next_if(|c| !".[]()!=<>, \t\"'".contains(*c)) {
        match c {
            '\\' => name.extend(text.next()),
            c => name.push(c),
        }
    }
    name
}

fn spaces(text: &mut Text<'_>) {
    while text.next_if(|c| c.is_whitespace()).is_some() {}
}

fn bracket(text: &mut Text<'_>) -> Option<Step> {
    spaces(text);
    if text.next_if_eq(&'?').is_some() {
        return filter(text);
    }
    let mut parts = Vec::new();
    loop {
        spaces(text);
        parts.push(match text.peek()? {
            '*' => {
                text.next();
                Step::All
            }
            '\'' | '"' => Step::Field(quoted(text)?),
            _ => numbers(text)?,
        });
        spaces(text);
        match text.next()? {
            ',' => {}
            ']' if parts.len() == 1 => return parts.pop(),
            ']' => return Some(Step::Union(parts)),
            _ => return None,
        }
    }
}

fn numbers(text: &mut Text<'_>) -> Option<Step> {
    let mut given = String::new();
    while let Some(c) = text.next_if(|c| c.is_ascii_digit() || "-:".contains(*c)) {
        given.push(c);
    }
    let number = |part: &str| match part {
        "" => Some(None),
        part => part.parse().ok().map(Some),
    };
    match given.split(':').collect::<Vec<_>>().as_slice() {
        [index] => Some(Step::Index(index.parse().ok()?)),
        [from, to] => Some(Step::Slice(number(from)?, number(to)?, 1)),
        [from, to, step] => Some(Step::Slice(
            number(from)?,
            number(to)?,
            number(step)?.unwrap_or(1),
        )),
        _ => None,
    }
}

fn quoted(text: &mut Text<'_>) -> Option<String> {
    let quote = text.next()?;
    let mut inside = String::new();
    loop {
        match text.next()? {
            '\\' => inside.push(text.next()?),
            c if c == quote => return Some(inside),
            c => inside.push(c),
        }
    }
}

fn filter(text: &mut Text<'_>) -> Option<Step> {
    text.next_if_eq(&'(')?;
    let left = operand(text)?;
    spaces(text);
    let comparison = match text.peek()? {
        ')' => None,
        _ => Some(comparison(text)?),
    };
    let right = comparison
        .map(|comparison| Some((comparison, Box::new(operand(text)?))))
        .map_or(Some(None), |right| right.map(Some))?;
    spaces(text);
    text.next_if_eq(&')')?;
    spaces(text);
    text.next_if_eq(&']')?;
    Some(Step::Filter(Box::new(left), right))
}

fn comparison(text: &mut Text<'_>) -> Option<Comparison> {
    let (first, same) = (text.next()?, text.next_if_eq(&'=').is_some());
    match (first, same) {
        ('=', true) => Some(Comparison::Equal),
        ('!', true) => Some(Comparison::NotEqual),
        ('<', true) => Some(Comparison::LessOrEqual),
        ('<', false) => Some(Comparison::Less),
        ('>', true) => Some(Comparison::GreaterOrEqual),
        ('>', false) => Some(Comparison::Greater),
        _ => None,
    }
}

fn operand(text: &mut Text<'_>) -> Option<Operand> {
    spaces(text);
    match text.peek()? {
        '@' | '.' | '$' => Some(Operand::Path(JsonPath(steps(text)?))),
        '\'' | '"' => Some(Operand::Value(quoted(text)?.into())),
        _ => {
            let mut word = String::new();
            while let Some(c) = text.next_if(|c| c.is_alphanumeric() || ".-+".contains(*c)) {
                word.push(c);
            }
            serde_json::from_str(&word).ok().map(Operand::Value)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: &str = r#"{"metadata":{"annotations":{"a.b/c":"x"}},
        "spec":{"ports":[{"name":"a","port":1},{"name":"b","port":2}],"on":true,"share":0.5},
        "status":{"conditions":[{"type":"Ready","status":"False"},{"type":"Synced","status":"True"}]}}"#;

    fn text(path: &str) -> String {
        let object = Instance::parse(OBJECT.as_bytes()).unwrap();
        let path = JsonPath::parse(path).unwrap_or_else(|| panic!("{path} is a path"));
        path.text(&object).unwrap_or_else(|| "-".to_owned())
    }

    #[test]
    fn paths_are_read_as_kubectl_reads_them() {
        for (path, found) in [
            (".spec.ports[0].name", "a"),
            (".spec.ports[-1].name", "b"),
            (".spec.ports[*].port", "1"),
            (".spec.ports[1:].port", "2"),
            (".spec['on']", "true"),
            (".spec.share", "0.5"),
            (".spec.ports", r#"[{"name":"a","port":1},{"name":"b","port":2}]"#),
            (r".metadata.annotations.a\.b/c", "x"),
            (".metadata.annotations['a.b/c']", "x"),
            (r#".status.conditions[?(@.type=="Synced")].status"#, "True"),
            (".status.conditions[?(@.type == 'Ready')].status", "False"),
            (".spec.ports[?(@.port > 1)].name", "b"),
            ("..port", "1"),
            (".status.none", "-"),
            (".spec.ports[7].name", "-"),
        ] {
            assert_eq!(text(path), found, "{path}");
        }
        for path in [".spec[", ".spec.ports[?(@.a=1)]", ".spec[x]"] {
            assert_eq!(JsonPath::parse(path), None, "{path}");
        }
    }
}
