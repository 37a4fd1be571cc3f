//! What makes good objects wrong: tables.

/// A part of a good object (JSON pointer), what it becomes (null: it is taken away), and what is said of it.
pub type Change = (&'static str, &'static str, &'static str);

/// Of a webhook.
pub const HOOKS: &[Change] = &[
    (
        "/name",
        r#""short""#,
        "webhooks[0].name: Invalid value: \"short\": should be a domain with at least three segments separated by dots",
    ),
    (
        "/clientConfig",
        r#"{}"#,
        "exactly one of url or service is required",
    ),
    (
        "/clientConfig/url",
        r#""https://a.example""#,
        "exactly one of url or service is required",
    ),
    (
        "/clientConfig",
        r#"{"url":"http://a.example"}"#,
        "'https' is the only allowed URL scheme",
    ),
    (
        "/clientConfig",
        r#"{"url":"file:///etc/passwd"}"#,
        "'https' is the only allowed URL scheme",
    ),
    (
        "/clientConfig",
        r#"{"url":"https:///path"}"#,
        "host must be provided; desired format: https://host[/path]",
    ),
    (
        "/clientConfig",
        r#"{"url":"https://user:word@a.example"}"#,
        "user information is not permitted in the URL",
    ),
    (
        "/clientConfig",
        r#"{"url":"https://a.example/?a=b"}"#,
        "query parameters are not permitted in the URL",
    ),
    (
        "/clientConfig",
        r##"{"url":"https://a.example/#x"}"##,
        "fragments are not permitted in the URL",
    ),
    ("/clientConfig", r#"{"url":"::"}"#, "clientConfig.url"),
    (
        "/clientConfig/service/name",
        r#""""#,
        "clientConfig.service.name: Required value",
    ),
    (
        "/clientConfig/service/namespace",
        r#""""#,
        "clientConfig.service.namespace: Required value",
    ),
    (
        "/clientConfig/service/path",
        r#""relative""#,
        "must start with a '/'",
    ),
    (
        "/clientConfig/service/path",
        r#""/a//b""#,
        "segment[1] may not be empty",
    ),
    ("/clientConfig/service/port", "0", "port is not valid"),
    ("/clientConfig/service/port", "65536", "port is not valid"),
    (
        "/sideEffects",
        r#""Unknown""#,
        "sideEffects: Unsupported value: \"Unknown\"",
    ),
    ("/sideEffects", "null", "sideEffects: Required value"),
    (
        "/admissionReviewVersions",
        "[]",
        "admissionReviewVersions: Required value",
    ),
    (
        "/admissionReviewVersions",
        r#"["v7"]"#,
        "must include at least one of v1, v1beta1",
    ),
    ("/admissionReviewVersions", r#"["v1","v1"]"#, "duplicate version"),
    (
        "/timeoutSeconds",
        "0",
        "the timeout value must be between 1 and 30 seconds",
    ),
    (
        "/timeoutSeconds",
        "31",
        "the timeout value must be between 1 and 30 seconds",
    ),
    (
        "/failurePolicy",
        r#""Maybe""#,
        "failurePolicy: Unsupported value: \"Maybe\"",
    ),
    (
        "/matchPolicy",
        r#""Any""#,
        "matchPolicy: Unsupported value: \"Any\"",
    ),
    (
        "/reinvocationPolicy",
        r#""Often""#,
        "reinvocationPolicy: Unsupported value: \"Often\"",
    ),
    ("/rules/0/operations", "[]", "rules[0].operations: Required value"),
    (
        "/rules/0/operations",
        r#"["READ"]"#,
        "Unsupported value: \"READ\"",
    ),
    (
        "/rules/0/operations",
        r#"["*","CREATE"]"#,
        "if '*' is present, must not specify other operations",
    ),
    (
        "/rules/0/apiGroups",
        r#"["*","apps"]"#,
        "if '*' is present, must not specify other API groups",
    ),
    (
        "/rules/0/apiVersions",
        "[]",
        "rules[0].apiVersions: Required value",
    ),
    ("/rules/0/resources", "[]", "rules[0].resources: Required value"),
    (
        "/rules/0/resources",
        r#"["*","pods"]"#,
        "if '*' is present, must not specify other resources without subresources",
    ),
    (
        "/rules/0/resources",
        r#"["*/*","pods"]"#,
        "if '*/*' is present, must not specify other resources",
    ),
    (
        "/rules/0/scope",
        r#""Galaxy""#,
        "scope: Unsupported value: \"Galaxy\"",
    ),
    (
        "/namespaceSelector",
        r#"{"matchExpressions":[{"key":"a","operator":"Near"}]}"#,
        "not a valid selector operator",
    ),
    (
        "/objectSelector",
        r#"{"matchExpressions":[{"key":"a","operator":"In"}]}"#,
        "must be specified when `operator` is 'In' or 'NotIn'",
    ),
    (
        "/matchConditions",
        r#"[{"name":"a","expression":"object."}]"#,
        "compilation failed",
    ),
    (
        "/matchConditions",
        r#"[{"name":"a","expression":"1 + 1"}]"#,
        "must evaluate to bool",
    ),
    (
        "/matchConditions",
        r#"[{"name":"a","expression":"true"},{"name":"a","expression":"true"}]"#,
        "Duplicate value: \"a\"",
    ),
    (
        "/matchConditions",
        r#"[{"name":"","expression":"true"}]"#,
        "matchConditions[0].name",
    ),
    (
        "/matchConditions",
        r#"[{"name":"a","expression":""}]"#,
        "matchConditions[0].expression: Required value",
    ),
];

/// Of a validating policy's `spec`.
pub const POLICIES: &[Change] = &[
    (
        "/matchConstraints",
        "null",
        "spec.matchConstraints: Required value",
    ),
    (
        "/matchConstraints/resourceRules",
        "[]",
        "spec.matchConstraints.resourceRules: Required value",
    ),
    (
        "/validations",
        "[]",
        "validations or auditAnnotations must contain at least one item",
    ),
    ("/validations/0/expression", r#""object.""#, "compilation failed"),
    ("/validations/0/expression", r#""1""#, "must evaluate to bool"),
    (
        "/validations/0/expression",
        r#""""#,
        "expression is not specified",
    ),
    (
        "/validations/0/expression",
        r#""nothing.such""#,
        "undeclared reference to 'nothing'",
    ),
    (
        "/validations/0/expression",
        r#""object.data.a.f()""#,
        "undeclared reference to 'f'",
    ),
    (
        "/validations/0/messageExpression",
        r#""1""#,
        "must evaluate to string",
    ),
    (
        "/validations/0/message",
        r#""two\nlines""#,
        "message must not contain line breaks",
    ),
    (
        "/validations/0/reason",
        r#""Whim""#,
        "reason: Unsupported value: \"Whim\"",
    ),
    (
        "/failurePolicy",
        r#""Maybe""#,
        "failurePolicy: Unsupported value: \"Maybe\"",
    ),
    (
        "/paramKind",
        r#"{"apiVersion":"v1"}"#,
        "paramKind.kind: Required value",
    ),
    (
        "/paramKind",
        r#"{"kind":"ConfigMap"}"#,
        "paramKind.apiVersion: Required value",
    ),
    (
        "/paramKind",
        r#"{"apiVersion":"a/b/c","kind":"X"}"#,
        "paramKind.apiVersion: Invalid value",
    ),
    (
        "/variables",
        r#"[{"name":"if","expression":"1"}]"#,
        "name is not a valid CEL identifier",
    ),
    (
        "/variables",
        r#"[{"name":"a","expression":"variables.b"},{"name":"b","expression":"1"}]"#,
        "undefined field 'b'",
    ),
    (
        "/auditAnnotations",
        r#"[{"key":"a","valueExpression":"1"}]"#,
        "must evaluate to one of",
    ),
    (
        "/auditAnnotations",
        r#"[{"key":"not a key","valueExpression":"'x'"}]"#,
        "auditAnnotations[0].key",
    ),
    (
        "/matchConditions",
        r#"[{"name":"a","expression":"params.x"}]"#,
        "undeclared reference to 'params'",
    ),
];

/// Of a mutating policy's `spec`.
pub const MUTATIONS: &[Change] = &[
    ("/mutations", "[]", "mutations must contain at least one item"),
    (
        "/mutations/0/patchType",
        r#""Merge""#,
        "patchType: Unsupported value: \"Merge\"",
    ),
    ("/mutations/0/jsonPatch", "null", "jsonPatch: Required value"),
    ("/mutations/0/jsonPatch/expression", r#""1""#, "must evaluate to"),
    (
        "/mutations/0/jsonPatch/expression",
        r#""object.""#,
        "compilation failed",
    ),
    (
        "/reinvocationPolicy",
        r#""Often""#,
        "reinvocationPolicy: Unsupported value: \"Often\"",
    ),
];

/// Of a validating binding's `spec`.
pub const BINDINGS: &[Change] = &[
    ("/policyName", r#""""#, "spec.policyName: Required value"),
    (
        "/validationActions",
        "[]",
        "spec.validationActions: Required value",
    ),
    (
        "/validationActions",
        r#"["Shout"]"#,
        "Unsupported value: \"Shout\"",
    ),
    (
        "/validationActions",
        r#"["Deny","Deny"]"#,
        "Duplicate value: \"Deny\"",
    ),
    (
        "/validationActions",
        r#"["Deny","Warn"]"#,
        "must not contain both Deny and Warn",
    ),
    (
        "/paramRef",
        r#"{"parameterNotFoundAction":"Deny"}"#,
        "one of name or selector must be specified",
    ),
    (
        "/paramRef",
        r#"{"name":"x","selector":{},"parameterNotFoundAction":"Deny"}"#,
        "name and selector are mutually exclusive",
    ),
    (
        "/paramRef",
        r#"{"name":"x","parameterNotFoundAction":"Shrug"}"#,
        "Unsupported value: \"Shrug\"",
    ),
];

/// Of a certificate signing request's `spec`.
pub const REQUESTS: &[Change] = &[
    ("/request", r#""""#, "spec.request: Invalid value"),
    (
        "/request",
        r#""bm9uZQ==""#,
        "PEM block type must be CERTIFICATE REQUEST",
    ),
    (
        "/request",
        r#""LS0tLS1CRUdJTiBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0KQUFBQQotLS0tLUVORCBDRVJUSUZJQ0FURSBSRVFVRVNULS0tLS0K""#,
        "spec.request: Invalid value",
    ),
    ("/signerName", r#""""#, "spec.signerName: Required value"),
    (
        "/signerName",
        r#""unqualified""#,
        "must be a fully qualified domain and path of the form 'example.com/signer-name'",
    ),
    ("/usages", "[]", "spec.usages: Required value"),
    (
        "/usages",
        r#"["everything"]"#,
        "Unsupported value: \"everything\"",
    ),
    (
        "/usages",
        r#"["client auth","client auth"]"#,
        "Duplicate value: \"client auth\"",
    ),
    (
        "/expirationSeconds",
        "599",
        "may not specify a duration less than 600 seconds (10 minutes)",
    ),
    (
        "/expirationSeconds",
        "-1",
        "may not specify a duration less than 600 seconds (10 minutes)",
    ),
];
