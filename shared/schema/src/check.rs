//! One walk over JSON text that finds what upstream's strict decoding finds: text that is not JSON, values of a wrong type,
//! unknown fields and duplicate fields, in upstream's words, paths and order (sigs.k8s.io/json).

use std::{borrow::Cow, collections::HashSet, fmt, ops::Range};

use base64::{
    Engine as _, alphabet,
    engine::{GeneralPurpose, general_purpose::PAD},
};

use crate::{
    syntax::{Cursor, SyntaxError, quote},
    table::{Shape, ShapeRef, TypeRef},
    time,
};

/// How deep objects and lists may be nested, as upstream.
pub const MAX_DEPTH: usize = 10_000;
/// How many findings are kept, as upstream.
const MAX_FINDINGS: usize = 100;
/// How many times a finding is looked at; the same may come again and again, and its path may be long.
const MAX_LOOKS: usize = 1_000;

/// What strict field validation refuses and `Warn` warns of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Finding {
    /// The type has no such field; its path.
    Unknown(String),
    /// The field came before; its path.
    Duplicate(String),
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(path) => write!(f, "unknown field {}", quote(path)),
            Self::Duplicate(path) => write!(f, "duplicate field {}", quote(path)),
        }
    }
}

/// Findings in the order of the text, each once; one `Display` text of a finding is the text of one `Warning` header.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(pub Vec<Finding>);

impl Findings {
    /// Paths of unknown fields.
    pub fn unknown(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter(|f| matches!(f, Finding::Unknown(_)))
            .map(Finding::path)
            .collect()
    }

    /// Paths of duplicate fields.
    pub fn duplicate(&self) -> Vec<&str> {
        self.0
            .iter()
            .filter(|f| matches!(f, Finding::Duplicate(_)))
            .map(Finding::path)
            .collect()
    }

    /// Upstream's `strict decoding error: …`; None without findings.
    pub fn strict_error(&self) -> Option<String> {
        let texts: Vec<String> = self.0.iter().map(Finding::to_string).collect();
        (!texts.is_empty()).then(|| format!("strict decoding error: {}", texts.join(", ")))
    }
}

impl Finding {
    /// Where: such as `spec.template.spec.containers[0].imagePullPolcy`.
    pub fn path(&self) -> &str {
        match self {
            Self::Unknown(path) | Self::Duplicate(path) => path,
        }
    }
}

/// Upstream could not decode the text. The message goes behind `KIND in version "V" cannot be handled as a KIND: `.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TypeError {
    /// Not JSON.
    #[error(transparent)]
    Syntax(#[from] SyntaxError),
    /// JSON, but with a value of a wrong type or form.
    #[error("{0}")]
    Value(String),
}

/// Walks `json` as a value of type `ty`.
///
/// # Errors
/// Text that is no JSON, nested deeper than [`MAX_DEPTH`] or not UTF-8; else the first value that upstream cannot decode.
pub fn check(json: &[u8], ty: TypeRef) -> Result<Findings, TypeError> {
    walk(json, Target::Shape(Shape::Struct(ty)))
}

/// Walks `json` as any value: finds duplicate fields only. For patches and custom resources.
///
/// # Errors
/// As [`check`].
pub fn check_untyped(json: &[u8]) -> Result<Findings, TypeError> {
    walk(json, Target::Any)
}

fn walk(json: &[u8], target: Target) -> Result<Findings, TypeError> {
    let mut walker = Walker {
        cursor: Cursor::new(json)?,
        ..Walker::default()
    };
    walker.run(target)?;
    match walker.fatal.or(walker.wrong) {
        Some(text) => Err(TypeError::Value(text)),
        None => Ok(walker.findings),
    }
}

/// What a value is decoded into.
#[derive(Clone, Copy)]
enum Target {
    Shape(Shape),
    /// Anything; duplicate fields count.
    Any,
    /// Anything, not looked into: unknown fields, raw extensions, values of a wrong type.
    Skip,
}

/// An object or list that is open.
struct Frame {
    target: Target,
    object: bool,
    first: bool,
    /// The inside of the key of the member that is read, and whether it holds escapes.
    key: (Range<usize>, bool),
    /// The index of the element that is read.
    index: usize,
    /// Fields of a struct that came.
    seen: u128,
    /// Which frame it is, for the keys of maps that came.
    number: u32,
}

#[derive(Default)]
struct Walker<'a> {
    cursor: Cursor<'a>,
    frames: Vec<Frame>,
    opened: u32,
    keys: HashSet<(u32, Cow<'a, str>)>,
    findings: Findings,
    looks: usize,
    /// The first value of a wrong type.
    wrong: Option<String>,
    /// The first value that a decoder of its own refused: upstream reports it before any other.
    fatal: Option<String>,
}

impl<'a> Walker<'a> {
    fn run(&mut self, target: Target) -> Result<(), SyntaxError> {
        self.value(target)?;
        while let Some(frame) = self.frames.last_mut() {
            let first = std::mem::replace(&mut frame.first, false);
            if frame.object {
                self.member(first)?
            } else {
                self.element(first)?
            }
        }
        if self.cursor.next_word().is_some() {
            return Err(self.cursor.complain("after top-level value"));
        }
        Ok(())
    }

    /// Reads on in an open object: one member or its end.
    fn member(&mut self, first: bool) -> Result<(), SyntaxError> {
        match self.cursor.next_word() {
            Some(b'}') => {
                self.close();
                return Ok(());
            }
            Some(b',') if !first => self.cursor.at += 1,
            _ if first => {}
            _ => return Err(self.cursor.complain("after object key:value pair")),
        }
        if self.cursor.next_word() != Some(b'"') {
            return Err(self.cursor.complain("looking for beginning of object key string"));
        }
        let key = self.cursor.string()?;
        self.cursor.expect(b':', "after object key")?;
        let target = self.enter(key);
        self.value(target)
    }

    /// Reads on in an open list: one element or its end.
    fn element(&mut self, first: bool) -> Result<(), SyntaxError> {
        match self.cursor.next_word() {
            Some(b']') => {
                self.close();
                return Ok(());
            }
            Some(b',') if !first => self.cursor.at += 1,
            _ if first => {}
            _ => return Err(self.cursor.complain("after array element")),
        }
        let mut target = Target::Skip;
        if let Some(frame) = self.frames.last_mut() {
            frame.index += usize::from(!first);
            target = match frame.target {
                Target::Shape(Shape::List(element)) => Target::Shape(element.get()),
                other => other,
            };
        }
        self.value(target)
    }

    fn close(&mut self) {
        self.cursor.at += 1;
        self.frames.pop();
    }

    /// Notes the key of a member, and gives what its value is decoded into.
    fn enter(&mut self, key: (Range<usize>, bool)) -> Target {
        let name = self.key(&key);
        let Some(frame) = self.frames.last_mut() else {
            return Target::Skip;
        };
        frame.key = key;
        let number = frame.number;
        match frame.target {
            Target::Shape(Shape::Struct(ty)) => match ty.field(&name) {
                Some((place, field)) => {
                    let bit = 1 << place;
                    let duplicate = frame.seen & bit != 0;
                    frame.seen |= bit;
                    if duplicate {
                        self.find(Finding::Duplicate);
                    }
                    Target::Shape(field.shape)
                }
                None => {
                    self.find(Finding::Unknown);
                    Target::Skip
                }
            },
            Target::Shape(Shape::Map(element)) => {
                self.note(number, name);
                Target::Shape(element.get())
            }
            Target::Any => {
                self.note(number, name);
                Target::Any
            }
            _ => Target::Skip,
        }
    }

    /// Notes the key of a map.
    fn note(&mut self, frame: u32, name: Cow<'a, str>) {
        if !self.keys.insert((frame, name)) {
            self.find(Finding::Duplicate);
        }
    }

    /// Keeps a finding about the member that is read.
    fn find(&mut self, finding: fn(String) -> Finding) {
        self.looks += 1;
        if self.looks <= MAX_LOOKS && self.findings.0.len() < MAX_FINDINGS {
            let finding = finding(self.path());
            if !self.findings.0.contains(&finding) {
                self.findings.0.push(finding);
            }
        }
    }

    fn key(&self, key: &(Range<usize>, bool)) -> Cow<'a, str> {
        let (range, escaped) = key;
        if !escaped {
            return Cow::Borrowed(&self.cursor.text[range.clone()]);
        }
        let quoted = range.start - 1..range.end + 1;
        api::scan::text(self.cursor.text.as_bytes(), quoted).unwrap_or_default()
    }

    /// The path of the value that is read.
    fn path(&self) -> String {
        let mut path = String::new();
        for frame in &self.frames {
            if frame.object {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&self.key(&frame.key));
            } else {
                path.push_str(&format!("[{}]", frame.index));
            }
        }
        path
    }

    fn value(&mut self, target: Target) -> Result<(), SyntaxError> {
        match self.cursor.next_word() {
            Some(b'{') => self.open(target, true),
            Some(b'[') => self.open(target, false),
            Some(b'"') => {
                let text = self.cursor.string()?;
                self.string(target, &text);
                Ok(())
            }
            Some(b'n') => self.cursor.word("null"),
            Some(b't') => self.boolean(target, "true"),
            Some(b'f') => self.boolean(target, "false"),
            Some(b'-' | b'0'..=b'9') => {
                let text = self.cursor.number()?;
                self.number(target, text);
                Ok(())
            }
            _ => Err(self.cursor.complain("looking for beginning of value")),
        }
    }

    fn open(&mut self, target: Target, object: bool) -> Result<(), SyntaxError> {
        if self.frames.len() >= MAX_DEPTH {
            return Err(self.cursor.complain("exceeded max depth"));
        }
        let target = match target {
            Target::Any | Target::Skip => target,
            Target::Shape(Shape::Struct(_) | Shape::Map(_)) if object => target,
            Target::Shape(Shape::List(_)) if !object => target,
            Target::Shape(Shape::Raw) => Target::Skip,
            Target::Shape(shape) => {
                self.mismatch(shape, if object { "object" } else { "array" });
                Target::Skip
            }
        };
        self.cursor.at += 1;
        self.opened += 1;
        let number = self.opened;
        self.frames.push(Frame {
            target,
            object,
            first: true,
            key: (0..0, false),
            index: 0,
            seen: 0,
            number,
        });
        Ok(())
    }

    fn boolean(&mut self, target: Target, word: &str) -> Result<(), SyntaxError> {
        self.cursor.word(word)?;
        match target {
            Target::Any | Target::Skip | Target::Shape(Shape::Bool | Shape::Raw) => {}
            Target::Shape(shape) => self.mismatch(shape, "bool"),
        }
        Ok(())
    }

    fn string(&mut self, target: Target, text: &(Range<usize>, bool)) {
        let Target::Shape(shape) = target else { return };
        match shape {
            Shape::String | Shape::IntOrString | Shape::Raw => {}
            Shape::Quantity => {
                let text = self.key(text);
                self.quantity(text.trim());
            }
            Shape::Time | Shape::MicroTime => {
                if let Some(complaint) = time::complaint(&self.key(text), shape == Shape::MicroTime) {
                    self.refuse(complaint);
                }
            }
            Shape::Bytes => {
                if let Some(complaint) = base64_complaint(&self.key(text)) {
                    self.wrong.get_or_insert(complaint);
                }
            }
            shape => self.mismatch(shape, "string"),
        }
    }

    fn number(&mut self, target: Target, text: &str) {
        let fits = match target {
            Target::Skip => true,
            Target::Any | Target::Shape(Shape::Float) => text.parse().is_ok_and(f64::is_finite),
            Target::Shape(Shape::Int32 | Shape::IntOrString) => text.parse::<i32>().is_ok(),
            Target::Shape(Shape::Int64) => text.parse::<i64>().is_ok(),
            Target::Shape(Shape::Quantity) => return self.quantity(text),
            Target::Shape(Shape::Raw) => true,
            Target::Shape(shape) => return self.mismatch(shape, "number"),
        };
        if !fits {
            let shape = if let Target::Shape(shape) = target {
                shape
            } else {
                Shape::Float
            };
            self.mismatch(shape, &format!("number {text}"));
        }
    }

    fn quantity(&mut self, text: &str) {
        if let Err(error) = text.parse::<api::Quantity>() {
            self.refuse(error.to_string());
        }
    }

    /// A decoder of its own refused the value.
    fn refuse(&mut self, complaint: String) {
        self.fatal.get_or_insert(complaint);
    }

    /// A value of kind `value` stands where `shape` is wanted.
    fn mismatch(&mut self, shape: Shape, value: &str) {
        match shape {
            Shape::Quantity => self.quantity(value),
            Shape::IntOrString => self.fatal_mismatch("int32", value),
            Shape::Time | Shape::MicroTime => self.fatal_mismatch("string", value),
            shape if self.wrong.is_none() => self.wrong = Some(self.cannot(value, &go_type(shape))),
            _ => {}
        }
    }

    fn fatal_mismatch(&mut self, go_type: &str, value: &str) {
        if self.fatal.is_none() {
            self.fatal = Some(self.cannot(value, go_type));
        }
    }

    /// Go's text about a value of a wrong type: the innermost struct, and the names of the fields down to the value.
    fn cannot(&self, value: &str, go_type: &str) -> String {
        let mut inside = None;
        let mut names = Vec::new();
        for frame in &self.frames {
            if let Target::Shape(Shape::Struct(ty)) = frame.target {
                inside = Some(ty.struct_name());
                names.push(self.key(&frame.key));
            }
        }
        match inside {
            Some(name) => {
                let path = names.join(".");
                format!("json: cannot unmarshal {value} into Go struct field {name}.{path} of type {go_type}")
            }
            None => format!("json: cannot unmarshal {value} into Go value of type {go_type}"),
        }
    }
}

/// A shape as Go prints the type. Upstream's named texts (such as `v1.Protocol`) are not in the table: they print as string.
fn go_type(shape: Shape) -> Cow<'static, str> {
    let of = |start: &str, element: ShapeRef| Cow::Owned(format!("{start}{}", go_type(element.get())));
    match shape {
        Shape::String => "string".into(),
        Shape::Int32 => "int32".into(),
        Shape::Int64 => "int64".into(),
        Shape::Bool => "bool".into(),
        Shape::Float => "float64".into(),
        Shape::Quantity => "resource.Quantity".into(),
        Shape::IntOrString => "intstr.IntOrString".into(),
        Shape::Time => "v1.Time".into(),
        Shape::MicroTime => "v1.MicroTime".into(),
        Shape::Bytes => "[]uint8".into(),
        Shape::Raw => "interface {}".into(),
        Shape::Struct(ty) => ty.go_name().into(),
        Shape::List(element) => of("[]", element),
        Shape::Map(element) if element.get() == Shape::Quantity => "v1.ResourceList".into(),
        Shape::Map(element) => of("map[string]", element),
    }
}

/// Go's complaint about text that is not standard base64; line ends are passed over.
fn base64_complaint(text: &str) -> Option<String> {
    const ENGINE: GeneralPurpose =
        GeneralPurpose::new(&alphabet::STANDARD, PAD.with_decode_allow_trailing_bits(true));
    let decoded = if text.contains(['\r', '\n']) {
        ENGINE.decode(text.replace(['\r', '\n'], ""))
    } else {
        ENGINE.decode(text)
    };
    let at = match decoded {
        Ok(_) => return None,
        Err(base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _)) => at,
        Err(_) => text.len() / 4 * 4,
    };
    Some(format!("illegal base64 data at input byte {at}"))
}

#[cfg(test)]
mod tests;
