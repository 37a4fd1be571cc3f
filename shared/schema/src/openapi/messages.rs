//! The messages of gnostic's `openapi.v2` that a Kubernetes document fills: which member of the JSON is which field.

use serde_json::Value;

/// A message.
pub(super) struct Message {
    /// Members by name, with their numbers.
    pub fields: &'static [(&'static str, u32, Shape)],
    /// The list of members of any other name, each a message of its name and value; 0 for none.
    members: (u32, Shape),
    /// The list of vendor extensions; 0 for none.
    extensions: u32,
}

/// Messages have themselves inside: only its members are told.
impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set()
            .entries(self.fields.iter().map(|field| field.0))
            .finish()
    }
}

/// What a member is.
#[derive(Debug)]
pub(super) enum Shape {
    Text,
    Flag,
    Integer,
    Double,
    /// Any value, as text in a message.
    Any,
    Message(&'static Message),
    /// A list.
    Each(&'static Shape),
    /// A message around the value that says by its field what the value is.
    OneOf(&'static [Choice]),
}

/// A field of a message around a value.
#[derive(Debug)]
pub(super) struct Choice {
    /// Whether the value is this one.
    pub takes: fn(&Value) -> bool,
    pub number: u32,
    pub shape: Shape,
}

impl Message {
    /// The list in which a member that is no field goes, and what it is.
    pub fn others(&self, name: &str) -> Option<(u32, &Shape)> {
        match &self.members {
            _ if self.extensions > 0 && name.starts_with("x-") => Some((self.extensions, &Shape::Any)),
            (0, _) => None,
            (number, shape) => Some((*number, shape)),
        }
    }
}

const fn message(fields: &'static [(&'static str, u32, Shape)], extensions: u32) -> Message {
    Message {
        fields,
        members: (0, Shape::Any),
        extensions,
    }
}

const fn members(number: u32, shape: Shape, extensions: u32) -> Message {
    Message {
        fields: &[],
        members: (number, shape),
        extensions,
    }
}

const TEXTS: Shape = Shape::Each(&Shape::Text);

/// The whole document.
pub(super) static DOCUMENT: Message = message(
    &[
        ("swagger", 1, Shape::Text),
        ("info", 2, Shape::Message(&INFO)),
        ("host", 3, Shape::Text),
        ("basePath", 4, Shape::Text),
        ("schemes", 5, TEXTS),
        ("consumes", 6, TEXTS),
        ("produces", 7, TEXTS),
        ("paths", 8, Shape::Message(&PATHS)),
        ("definitions", 9, Shape::Message(&SCHEMAS)),
        ("security", 12, Shape::Each(&Shape::Message(&SECURITY))),
        ("securityDefinitions", 13, Shape::Message(&SECURITY_DEFINITIONS)),
    ],
    16,
);

/// Which of the definitions a client has to meet: of each, the scopes.
static SECURITY: Message = members(
    1,
    Shape::OneOf(&[Choice {
        takes: Value::is_array,
        number: 1,
        shape: TEXTS,
    }]),
    0,
);

static SECURITY_DEFINITIONS: Message = members(
    1,
    Shape::OneOf(&[Choice {
        takes: |_| true,
        number: 2,
        shape: Shape::Message(&API_KEY),
    }]),
    0,
);

static API_KEY: Message = message(
    &[
        ("type", 1, Shape::Text),
        ("name", 2, Shape::Text),
        ("in", 3, Shape::Text),
        ("description", 4, Shape::Text),
    ],
    5,
);

static INFO: Message = message(
    &[
        ("title", 1, Shape::Text),
        ("version", 2, Shape::Text),
        ("description", 3, Shape::Text),
    ],
    7,
);

static PATHS: Message = members(2, Shape::Message(&PATH), 1);

/// A path with its operations.
pub(super) static PATH: Message = message(
    &[
        ("get", 2, Shape::Message(&OPERATION)),
        ("put", 3, Shape::Message(&OPERATION)),
        ("post", 4, Shape::Message(&OPERATION)),
        ("delete", 5, Shape::Message(&OPERATION)),
        ("options", 6, Shape::Message(&OPERATION)),
        ("head", 7, Shape::Message(&OPERATION)),
        ("patch", 8, Shape::Message(&OPERATION)),
        ("parameters", 9, Shape::Each(&PARAMETER)),
    ],
    10,
);

static OPERATION: Message = message(
    &[
        ("tags", 1, TEXTS),
        ("summary", 2, Shape::Text),
        ("description", 3, Shape::Text),
        ("operationId", 5, Shape::Text),
        ("produces", 6, TEXTS),
        ("consumes", 7, TEXTS),
        ("parameters", 8, Shape::Each(&PARAMETER)),
        ("responses", 9, Shape::Message(&RESPONSES)),
        ("schemes", 10, TEXTS),
        ("deprecated", 11, Shape::Flag),
    ],
    13,
);

static PARAMETER: Shape = Shape::OneOf(&[Choice {
    takes: |_| true,
    number: 1,
    shape: Shape::OneOf(&[
        Choice {
            takes: |value| value["in"] == "body",
            number: 1,
            shape: Shape::Message(&BODY),
        },
        Choice {
            takes: |_| true,
            number: 2,
            shape: Shape::OneOf(&[
                Choice {
                    takes: |value| value["in"] == "query",
                    number: 3,
                    shape: Shape::Message(&QUERY_PARAMETER),
                },
                Choice {
                    takes: |value| value["in"] == "path",
                    number: 4,
                    shape: Shape::Message(&PATH_PARAMETER),
                },
                Choice {
                    takes: |value| value["in"] == "header",
                    number: 1,
                    // The messages of both have the same fields.
                    shape: Shape::Message(&PATH_PARAMETER),
                },
            ]),
        },
    ]),
}]);

static BODY: Message = message(
    &[
        ("description", 1, Shape::Text),
        ("name", 2, Shape::Text),
        ("in", 3, Shape::Text),
        ("required", 4, Shape::Flag),
        ("schema", 5, Shape::Message(&SCHEMA)),
    ],
    6,
);

static QUERY_PARAMETER: Message = message(
    &[
        ("required", 1, Shape::Flag),
        ("in", 2, Shape::Text),
        ("description", 3, Shape::Text),
        ("name", 4, Shape::Text),
        ("type", 6, Shape::Text),
        ("format", 7, Shape::Text),
        ("uniqueItems", 20, Shape::Flag),
    ],
    23,
);

static PATH_PARAMETER: Message = message(
    &[
        ("required", 1, Shape::Flag),
        ("in", 2, Shape::Text),
        ("description", 3, Shape::Text),
        ("name", 4, Shape::Text),
        ("type", 5, Shape::Text),
        ("format", 6, Shape::Text),
        ("uniqueItems", 19, Shape::Flag),
    ],
    22,
);

static RESPONSES: Message = members(
    1,
    Shape::OneOf(&[Choice {
        takes: |_| true,
        number: 1,
        shape: Shape::Message(&RESPONSE),
    }]),
    2,
);

static RESPONSE: Message = message(
    &[
        ("description", 1, Shape::Text),
        ("schema", 2, Shape::OneOf(&ONE_SCHEMA)),
    ],
    5,
);

static SCHEMAS: Message = members(1, Shape::Message(&SCHEMA), 0);

/// A schema where the message has room for other things.
static ONE_SCHEMA: [Choice; 1] = [Choice {
    takes: Value::is_object,
    number: 1,
    shape: Shape::Message(&SCHEMA),
}];

static SCHEMA_OR_FLAG: [Choice; 2] = [
    Choice {
        takes: Value::is_object,
        number: 1,
        shape: Shape::Message(&SCHEMA),
    },
    Choice {
        takes: Value::is_boolean,
        number: 2,
        shape: Shape::Flag,
    },
];

static TYPES: [Choice; 2] = [
    Choice {
        takes: Value::is_string,
        number: 1,
        shape: Shape::Text,
    },
    Choice {
        takes: Value::is_array,
        number: 1,
        shape: TEXTS,
    },
];

/// A schema.
pub(super) static SCHEMA: Message = message(
    &[
        ("$ref", 1, Shape::Text),
        ("format", 2, Shape::Text),
        ("title", 3, Shape::Text),
        ("description", 4, Shape::Text),
        ("default", 5, Shape::Any),
        ("multipleOf", 6, Shape::Double),
        ("maximum", 7, Shape::Double),
        ("exclusiveMaximum", 8, Shape::Flag),
        ("minimum", 9, Shape::Double),
        ("exclusiveMinimum", 10, Shape::Flag),
        ("maxLength", 11, Shape::Integer),
        ("minLength", 12, Shape::Integer),
        ("pattern", 13, Shape::Text),
        ("maxItems", 14, Shape::Integer),
        ("minItems", 15, Shape::Integer),
        ("uniqueItems", 16, Shape::Flag),
        ("maxProperties", 17, Shape::Integer),
        ("minProperties", 18, Shape::Integer),
        ("required", 19, TEXTS),
        ("enum", 20, Shape::Each(&Shape::Any)),
        ("additionalProperties", 21, Shape::OneOf(&SCHEMA_OR_FLAG)),
        ("type", 22, Shape::OneOf(&TYPES)),
        ("items", 23, Shape::OneOf(&ONE_SCHEMA)),
        ("allOf", 24, Shape::Each(&Shape::Message(&SCHEMA))),
        ("properties", 25, Shape::Message(&SCHEMAS)),
        ("readOnly", 27, Shape::Flag),
        ("example", 30, Shape::Any),
    ],
    31,
);
