//! What the files of the server's start say.

use super::Told;
use crate::{
    admission::{Configuration, Settings},
    encryption::Keyring,
};

/// Configurations of a plugin in an `AdmissionConfiguration`, and what is said of them.
const PLUGINS: &[(&str, &str, &str)] = &[
    ("Nothing", "{}", "unknown plugin: \"Nothing\""),
    ("PodSecurity", "{}", "no kind \"\" is registered for version \"\""),
    (
        "PodSecurity",
        "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: Other}",
        "no kind \"Other\" is registered",
    ),
    (
        "PodSecurity",
        "{apiVersion: pod-security.admission.config.k8s.io/v9, kind: PodSecurityConfiguration}",
        "no kind \"PodSecurityConfiguration\" is registered for version \"pod-security.admission.config.k8s.io/v9\"",
    ),
    (
        "PodSecurity",
        "{PS, defaults: {enforce: strict}}",
        "defaults.enforce: Invalid value: \"strict\"",
    ),
    (
        "PodSecurity",
        "{PS, defaults: {enforce-version: '7'}}",
        "defaults.enforce-version: Invalid value: \"7\"",
    ),
    ("PodSecurity", "{PS, defaults: {warn: 7}}", "invalid type"),
    (
        "PodSecurity",
        "{PS, defaults: {enforce-verison: latest}}",
        "unknown field",
    ),
    (
        "PodSecurity",
        "{PS, default: {enforce: restricted}}",
        "unknown field",
    ),
    (
        "PodSecurity",
        "{PS, exemptions: {namespaces: ['Not A Name']}}",
        "exemptions.namespaces[0]: Invalid value: \"Not A Name\"",
    ),
    (
        "PodSecurity",
        "{PS, exemptions: {namespaces: [a, a]}}",
        "exemptions.namespaces[1]: Duplicate value: \"a\"",
    ),
    (
        "PodSecurity",
        "{PS, exemptions: {usernames: ['']}}",
        "username must not be empty",
    ),
    (
        "PodSecurity",
        "{PS, exemptions: {runtimeClasses: ['*']}}",
        "exemptions.runtimeClasses[0]: Invalid value: \"*\"",
    ),
    ("PodSecurity", "{PS, exemptions: {users: [a]}}", "unknown field"),
    ("EventRateLimit", "{}", "no kind \"\" is registered"),
    (
        "EventRateLimit",
        "{ERL}",
        "limits: Invalid value: []: must not be empty",
    ),
    (
        "EventRateLimit",
        "{ERL, limits: [{type: Planet, qps: 1, burst: 1}]}",
        "limits[0].type: Unsupported value: \"Planet\"",
    ),
    (
        "EventRateLimit",
        "{ERL, limits: [{type: Server, qps: 0, burst: 1}]}",
        "limits[0].qps: Invalid value: 0: must be positive",
    ),
    (
        "EventRateLimit",
        "{ERL, limits: [{type: Server, qps: 1, burst: -1}]}",
        "limits[0].burst: Invalid value: -1: must be positive",
    ),
    (
        "EventRateLimit",
        "{ERL, limits: [{type: User, qps: 1, burst: 1, cacheSize: -1}]}",
        "limits[0].cacheSize: Invalid value: -1: must not be negative",
    ),
    (
        "EventRateLimit",
        "{ERL, limits: [{type: User, qps: many, burst: 1}]}",
        "invalid type",
    ),
    (
        "EventRateLimit",
        "{ERL, limits: [{type: User, qps: 1, burst: 1, cachesize: 1}]}",
        "unknown field",
    ),
    (
        "ResourceQuota",
        "{apiVersion: v1, kind: ResourceQuota}",
        "no kind \"ResourceQuota\" is registered for version \"v1\"",
    ),
    (
        "ResourceQuota",
        "{RQ, limitedResources: [{}]}",
        "limitedResources[0].resource: Required value",
    ),
    ("ResourceQuota", "{RQ, limitedResources: pods}", "invalid type"),
    ("ResourceQuota", "{RQ, limited: []}", "unknown field"),
    ("ImagePolicyWebhook", "{}", "missing field `imagePolicy`"),
    (
        "ImagePolicyWebhook",
        "{imagePolicy: {}}",
        "kubeConfigFile is needed",
    ),
    (
        "ImagePolicyWebhook",
        "{imagePolicy: {kubeConfigFile: /nowhere}}",
        "/nowhere",
    ),
    (
        "ImagePolicyWebhook",
        "{imagePolicy: {kubeConfigFile: /nowhere, allowTTL: -7}}",
        "valid value is between",
    ),
    (
        "ImagePolicyWebhook",
        "{imagePolicy: {kubeConfigFile: /nowhere, defaultAllow: perhaps}}",
        "invalid type",
    ),
    (
        "PodNodeSelector",
        "{podNodeSelectorPluginConfig: {ns: 'a==b==c'}}",
        "invalid selector",
    ),
    (
        "PodNodeSelector",
        "{podNodeSelectorPluginConfig: [a]}",
        "invalid type",
    ),
    (
        "PodTolerationRestriction",
        "{PTR, default: [{key: a, operator: Near}]}",
        "podtolerationrestriction.default[0].operator: Unsupported value: \"Near\"",
    ),
    ("PodTolerationRestriction", "{PTR, defaults: []}", "unknown field"),
    ("MutatingAdmissionWebhook", "{}", "no kind \"\" is registered"),
    (
        "MutatingAdmissionWebhook",
        "{WA, kubeConfigFile: relative/path}",
        "must be an absolute file path",
    ),
    (
        "ValidatingAdmissionWebhook",
        "{WA, kubeConfigFile: /nowhere}",
        "/nowhere",
    ),
    (
        "ValidatingAdmissionWebhook",
        "{WA, kubeconfig: /nowhere}",
        "unknown field",
    ),
];

const KINDS: [(&str, &str); 5] = [
    (
        "{PS",
        "{apiVersion: pod-security.admission.config.k8s.io/v1, kind: PodSecurityConfiguration",
    ),
    (
        "{ERL",
        "{apiVersion: eventratelimit.admission.k8s.io/v1alpha1, kind: Configuration",
    ),
    (
        "{RQ",
        "{apiVersion: apiserver.config.k8s.io/v1, kind: ResourceQuotaConfiguration",
    ),
    (
        "{PTR",
        "{apiVersion: podtolerationrestriction.admission.k8s.io/v1alpha1, kind: Configuration",
    ),
    (
        "{WA",
        "{apiVersion: apiserver.config.k8s.io/v1, kind: WebhookAdmissionConfiguration",
    ),
];

/// Whole files.
const FILES: &[(&str, &str)] = &[
    ("", ""),
    ("{", ""),
    ("[]", "invalid length 0"),
    ("kind: AdmissionConfiguration", "missing field `apiVersion`"),
    (
        "{apiVersion: v1, kind: AdmissionConfiguration}",
        "no kind \"AdmissionConfiguration\" is registered for version \"v1\"",
    ),
    (
        "{apiVersion: apiserver.config.k8s.io/v1, kind: Admission}",
        "no kind \"Admission\" is registered",
    ),
    (
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugin: []}",
        "unknown field `plugin`",
    ),
    (
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{}]}",
        "missing field `name`",
    ),
    (
        "{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{name: PodSecurity, path: /nowhere}]}",
        "no such file",
    ),
];

/// Flags: plugins on, plugins off.
const FLAGS: &[(&[&str], &[&str], &str)] = &[
    (
        &["Nothing"],
        &[],
        "enable-admission-plugins plugin \"Nothing\" is unknown",
    ),
    (
        &[],
        &["podsecurity"],
        "disable-admission-plugins plugin \"podsecurity\" is unknown",
    ),
    (
        &["PodSecurity"],
        &["PodSecurity"],
        "PodSecurity in enable-admission-plugins and disable-admission-plugins overlapped",
    ),
    (&[""], &[], "enable-admission-plugins plugin \"\" is unknown"),
    (&["ImagePolicyWebhook"], &[], "kubeConfigFile is needed"),
];

/// `resources` of an `EncryptionConfiguration`; more of them are in the stories of encryption.
const SEALS: &[(&str, &str)] = &[
    ("secrets", "invalid type"),
    (
        "[{resources: secrets, providers: [{identity: {}}]}]",
        "invalid type",
    ),
    (
        "[{resources: [secrets], providers: [{rot13: {}}]}]",
        "unknown field `rot13`",
    ),
    (
        "[{resources: [secrets], providers: [{secretbox: {keys: [{name: a, secret: c2hvcnQ=}]}}]}]",
        "secret is not of the expected length, got 5, expected one of [32]",
    ),
    (
        "[{resources: [secrets], providers: [{aescbc: {keys: [{name: a}, {name: a}]}}]}]",
        "",
    ),
    (
        "[{resources: [secrets], providers: [{kms: {apiVersion: v2, name: a, endpoint: 'unix:'}}]}]",
        "",
    ),
    (
        "[{resources: [secrets], providers: [{kms: {apiVersion: v2, name: a, endpoint: 'tcp://127.0.0.1:1'}}]}]",
        "unsupported scheme \"tcp\" for KMS provider",
    ),
];

pub(super) fn tell(told: &mut Told) {
    for (plugin, configuration, words) in PLUGINS {
        let mut text = (*configuration).to_owned();
        for (short, long) in KINDS {
            text = text.replace(short, long);
        }
        file(
            told,
            &format!(
                "{{apiVersion: apiserver.config.k8s.io/v1, kind: AdmissionConfiguration, plugins: [{{name: {plugin}, configuration: {text}}}]}}"
            ),
            words,
        );
    }
    for (text, words) in FILES {
        file(told, text, words);
    }
    for (enable, disable, words) in FLAGS {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let settings = Settings {
            enable: names(enable),
            disable: names(disable),
            ..Settings::default()
        };
        refused(
            told,
            &format!("{enable:?} {disable:?}"),
            words,
            settings.check().err(),
        );
    }
    for (resources, words) in SEALS {
        let text = format!(
            "{{apiVersion: apiserver.config.k8s.io/v1, kind: EncryptionConfiguration, resources: {resources}}}"
        );
        let parsed = Keyring::parse(text.as_bytes()).err();
        refused(told, &text, words, parsed.map(|error| error.to_string()));
    }
}

fn file(told: &mut Told, text: &str, words: &str) {
    let parsed = Configuration::parse(text, |_| Err("no such file".to_owned()));
    refused(told, text, words, parsed.err());
}

/// Files have no code: one that is taken has 200.
fn refused(told: &mut Told, of: &str, words: &str, error: Option<String>) {
    let code = if error.is_some() { 400 } else { 200 };
    told.case(of, (400, words), (code, &error.unwrap_or_default()));
}
