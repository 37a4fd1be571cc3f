//! Rules for probes and lifecycle hooks.

use crate::{meta, names};
use api::{field, field::Error};
use k8s_openapi::{
    api::core::v1::{Container, HTTPGetAction, Probe},
    apimachinery::pkg::util::intstr::IntOrString,
};

const NOT_NEGATIVE: &str = "must be greater than or equal to 0";

/// Rules for the probes and hooks of the container at `path`.
pub(super) fn validate(container: &Container, path: &str, errors: &mut Vec<Error>) {
    let probes = [
        ("livenessProbe", &container.liveness_probe, true),
        ("readinessProbe", &container.readiness_probe, false),
        ("startupProbe", &container.startup_probe, true),
    ];
    for (name, probe, once) in probes {
        let Some(probe) = probe else { continue };
        let path = field::child(path, name);
        self::probe(probe, &path, errors);
        let grace = probe.termination_grace_period_seconds;
        let grace_path = field::child(&path, "terminationGracePeriodSeconds");
        if grace.is_some_and(|seconds| seconds <= 0) {
            errors.push(Error::invalid(&grace_path, grace, "must be greater than 0"));
        }
        if grace.is_some() && name == "readinessProbe" {
            errors.push(Error::invalid(
                &grace_path,
                grace,
                "must not be set for readinessProbes",
            ));
        }
        if once && probe.success_threshold.is_some_and(|threshold| threshold != 1) {
            errors.push(Error::invalid(
                field::child(&path, "successThreshold"),
                probe.success_threshold,
                "must be 1",
            ));
        }
    }
    let Some(lifecycle) = &container.lifecycle else {
        return;
    };
    for (name, handler) in [
        ("postStart", &lifecycle.post_start),
        ("preStop", &lifecycle.pre_stop),
    ] {
        let Some(handler) = handler else { continue };
        let path = field::child(&field::child(path, "lifecycle"), name);
        let command = handler
            .exec
            .as_ref()
            .map(|exec| exec.command.as_deref().unwrap_or_default());
        let tcp = handler.tcp_socket.as_ref().map(|tcp| &tcp.port);
        let others = [("sleep", handler.sleep.is_some())];
        handlers(command, handler.http_get.as_ref(), tcp, &others, &path, errors);
    }
}

fn probe(probe: &Probe, path: &str, errors: &mut Vec<Error>) {
    let command = probe
        .exec
        .as_ref()
        .map(|exec| exec.command.as_deref().unwrap_or_default());
    let tcp = probe.tcp_socket.as_ref().map(|tcp| &tcp.port);
    handlers(
        command,
        probe.http_get.as_ref(),
        tcp,
        &[("grpc", probe.grpc.is_some())],
        path,
        errors,
    );
    if let Some(grpc) = &probe.grpc {
        let at = field::child(&field::child(path, "grpc"), "port");
        meta::invalid(errors, &at, grpc.port, names::port_number(grpc.port));
    }
    let numbers = [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ];
    for (name, number) in numbers {
        if number.is_some_and(|number| number < 0) {
            errors.push(Error::invalid(field::child(path, name), number, NOT_NEGATIVE));
        }
    }
}

fn handlers(
    command: Option<&[String]>,
    http: Option<&HTTPGetAction>,
    tcp: Option<&IntOrString>,
    others: &[(&str, bool)],
    path: &str,
    errors: &mut Vec<Error>,
) {
    let first = [
        ("exec", command.is_some()),
        ("httpGet", http.is_some()),
        ("tcpSocket", tcp.is_some()),
    ];
    let set = first.iter().chain(others).filter(|(_, set)| *set);
    for (name, _) in set.clone().skip(1) {
        errors.push(Error::forbidden(
            field::child(path, name),
            "may not specify more than 1 handler type",
        ));
    }
    if set.count() == 0 {
        errors.push(Error::required(path, "must specify a handler type"));
    }
    let at = |handler: &str, name: &str| field::child(&field::child(path, handler), name);
    if command.is_some_and(<[String]>::is_empty) {
        errors.push(Error::required(at("exec", "command"), ""));
    }
    if let Some(http) = http {
        if http.path.as_deref().unwrap_or_default().is_empty() {
            errors.push(Error::required(at("httpGet", "path"), ""));
        }
        port_or_name(&http.port, &at("httpGet", "port"), errors);
        let scheme = http.scheme.as_deref().unwrap_or_default();
        if !["HTTP", "HTTPS"].contains(&scheme) {
            errors.push(Error::not_supported(
                at("httpGet", "scheme"),
                scheme,
                &["HTTP", "HTTPS"],
            ));
        }
    }
    if let Some(port) = tcp {
        port_or_name(port, &at("tcpSocket", "port"), errors);
    }
}

fn port_or_name(port: &IntOrString, path: &str, errors: &mut Vec<Error>) {
    match port {
        IntOrString::Int(number) => meta::invalid(errors, path, number, names::port_number(*number)),
        IntOrString::String(name) => meta::invalid(errors, path, name, names::port_name(name)),
    }
}
