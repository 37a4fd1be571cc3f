//! What the images are made of: one row a layer, one row an image.

use super::layout::Media;

/// How a layer is made.
pub struct Layer {
    /// Its name in this table.
    pub name: &'static str,
    /// The layer that it stands on, whose packages it does not repeat; empty: none.
    pub on: &'static str,
    /// Debian packages, which come with all that they need.
    pub packages: &'static [&'static str],
    /// Files of ours: path and text.
    pub files: &'static [(&'static str, &'static str)],
    /// Programs of ours.
    pub programs: &'static [(&'static str, &'static str)],
    /// Symbolic links: path and target.
    pub links: &'static [(&'static str, &'static str)],
    /// Folders.
    pub folders: &'static [&'static str],
    /// A command that must succeed inside.
    pub check: &'static [&'static str],
}

const PLAIN: Layer = Layer {
    name: "",
    on: "base",
    packages: &[],
    files: &[],
    programs: &[],
    links: &[],
    folders: &[],
    check: &["true"],
};

/// The layers, those that others stand on first. `base` and `busybox` get some hand work besides.
pub const LAYERS: &[Layer] = &[
    Layer {
        name: "busybox",
        on: "",
        packages: &["busybox-static"],
        // A command of the public image that Debian's lacks.
        programs: &[(
            "bin/printenv",
            "#!/bin/sh\n[ $# = 0 ] && exec env\nfor name; do eval \"echo \\\"\\$$name\\\"\"; done\n",
        )],
        check: &["wget", "--help"],
        ..PLAIN
    },
    Layer {
        name: "pause",
        on: "busybox",
        // The first process of a container ends by a signal only if it has a handler for it.
        programs: &[(
            "pause",
            "#!/bin/sh\ntrap 'exit 0' INT TERM\nsleep infinity &\nwait\n",
        )],
        ..PLAIN
    },
    Layer {
        name: "base",
        on: "",
        // What a Debian image has for a person who looks around in it.
        packages: &[
            "base-files",
            "base-passwd",
            "bash",
            "coreutils",
            "dash",
            "grep",
            "hostname",
            "sed",
        ],
        check: &["sh", "-c", "ls / | grep -q etc && id www-data"],
        ..PLAIN
    },
    Layer {
        name: "nginx",
        // The server, and its module for TCP and UDP streams.
        packages: &["nginx-light", "libnginx-mod-stream"],
        // As in the public image: logs go to the container's output.
        links: &[
            ("var/log/nginx/access.log", "/dev/stdout"),
            ("var/log/nginx/error.log", "/dev/stderr"),
            // Debian's site, which the next layer takes away.
            (
                "etc/nginx/sites-enabled/default",
                "/etc/nginx/sites-available/default",
            ),
        ],
        folders: &["var/lib/nginx"],
        check: &["nginx", "-t", "-c", "/etc/nginx/nginx.conf"],
        ..PLAIN
    },
    Layer {
        name: "nginx-1.14.2",
        on: "nginx",
        files: &[INDEX, SITE, NO_SITE, ("usr/share/nginx/html/version", "1.14.2\n")],
        ..PLAIN
    },
    Layer {
        name: "nginx-1.16.1",
        on: "nginx",
        files: &[INDEX, SITE, NO_SITE, ("usr/share/nginx/html/version", "1.16.1\n")],
        ..PLAIN
    },
    Layer {
        name: "redis",
        packages: &["redis-server", "redis-tools"],
        files: &[("usr/local/etc/redis.conf", include_str!("programs/redis.conf"))],
        links: &[
            ("usr/local/bin/redis-server", "/usr/bin/redis-server"),
            ("usr/local/bin/redis-cli", "/usr/bin/redis-cli"),
        ],
        folders: &["data"],
        check: &["redis-server", "--version"],
        ..PLAIN
    },
    Layer {
        name: "httpd",
        packages: &["apache2-bin", "media-types"],
        files: &[
            (
                "usr/local/apache2/htdocs/index.html",
                "<html><body><h1>It works!</h1></body></html>\n",
            ),
            (
                "usr/local/apache2/conf/httpd.conf",
                include_str!("programs/httpd.conf"),
            ),
        ],
        programs: &[(
            "usr/local/bin/httpd-foreground",
            "#!/bin/sh\nset -e\nrm -f /var/run/httpd.pid\nexec apache2 -DFOREGROUND -f /usr/local/apache2/conf/httpd.conf \"$@\"\n",
        )],
        check: &["apache2", "-v"],
        ..PLAIN
    },
    Layer {
        name: "mariadb",
        packages: &["mariadb-server-core", "mariadb-client-core"],
        files: &[
            (
                "etc/passwd",
                "root:x:0:0:root:/root:/bin/sh\nmysql:x:999:999::/var/lib/mysql:/bin/false\n",
            ),
            ("etc/group", "root:x:0:\nmysql:x:999:\n"),
        ],
        programs: &[(
            "usr/local/bin/docker-entrypoint.sh",
            include_str!("programs/mariadb.sh"),
        )],
        folders: &["var/lib/mysql", "run/mysqld"],
        check: &["mariadbd", "--version"],
        ..PLAIN
    },
    Layer {
        name: "perl",
        packages: &["perl", "perl-base"],
        links: &[("usr/local/bin/perl", "/usr/bin/perl")],
        check: &["perl", "-Mbignum=bpi", "-wle", "print bpi(20)"],
        ..PLAIN
    },
    Layer {
        name: "python",
        packages: &["python3", "python3-pymysql"],
        links: &[
            ("usr/local/bin/python", "/usr/bin/python3"),
            ("usr/local/bin/python3", "/usr/bin/python3"),
        ],
        check: &["python", "-c", "import socket, http.server, pymysql"],
        ..PLAIN
    },
    Layer {
        name: "agnhost",
        on: "python",
        packages: &["bind9-dnsutils", "bind9-host"],
        programs: &[("agnhost", include_str!("programs/agnhost.py"))],
        check: &["python", "-m", "py_compile", "/agnhost"],
        ..PLAIN
    },
    Layer {
        name: "guestbook",
        on: "python",
        programs: &[("guestbook", include_str!("programs/guestbook.py"))],
        check: &["python", "-m", "py_compile", "/guestbook"],
        ..PLAIN
    },
    Layer {
        name: "stress",
        packages: &["stress"],
        check: &["stress", "--version"],
        ..PLAIN
    },
    Layer {
        name: "dnsutils",
        packages: &["bind9-dnsutils", "bind9-host"],
        check: &["dig", "-v"],
        ..PLAIN
    },
];

const INDEX: (&str, &str) = (
    "usr/share/nginx/html/index.html",
    "<!DOCTYPE html>\n<html>\n<head>\n<title>Welcome to nginx!</title>\n</head>\n<body>\n\
     <h1>Welcome to nginx!</h1>\n</body>\n</html>\n",
);

const NO_SITE: (&str, &str) = ("etc/nginx/sites-enabled/.wh.default", "");

const SITE: (&str, &str) = (
    "etc/nginx/conf.d/default.conf",
    "server {\n    listen 80;\n    server_name localhost;\n    location / {\n        \
     root /usr/share/nginx/html;\n        index index.html;\n    }\n}\n",
);

/// An image.
pub struct Recipe {
    /// Names: repository in the registry, tags.
    pub names: &'static [(&'static str, &'static [&'static str])],
    /// The topmost layer.
    pub layer: &'static str,
    /// Entry point and command.
    pub entrypoint: &'static [&'static str],
    /// Its arguments.
    pub cmd: &'static [&'static str],
    /// `NAME=value`, beside `PATH`.
    pub env: &'static [&'static str],
    /// Exposed ports, as `80/tcp`.
    pub ports: &'static [&'static str],
    /// The signal that ends it in order.
    pub stop_signal: Option<&'static str>,
    /// Working directory.
    pub directory: &'static str,
    /// The family of its media types.
    pub media: Media,
}

const USUAL: Recipe = Recipe {
    names: &[],
    layer: "",
    entrypoint: &[],
    cmd: &[],
    env: &[],
    ports: &[],
    stop_signal: None,
    directory: "",
    media: Media::Oci,
};

const NGINX: &[&str] = &["nginx", "-g", "daemon off;"];

/// The images, under the names that the documentation of Kubernetes uses. What stands for a program that Debian does not
/// have (agnhost, the guestbook's front) is a small one of ours.
pub const RECIPES: &[Recipe] = &[
    Recipe {
        names: &[("library/nginx", &["1.14.2"])],
        layer: "nginx-1.14.2",
        cmd: NGINX,
        env: &["NGINX_VERSION=1.14.2"],
        ports: &["80/tcp"],
        stop_signal: Some("SIGTERM"),
        media: Media::Docker,
        ..USUAL
    },
    Recipe {
        names: &[
            ("library/nginx", &["1.16.1", "1.19", "latest"]),
            ("nginx-slim", &["0.21", "0.24", "0.8"]),
        ],
        layer: "nginx-1.16.1",
        cmd: NGINX,
        env: &["NGINX_VERSION=1.16.1"],
        ports: &["80/tcp"],
        stop_signal: Some("SIGTERM"),
        media: Media::Docker,
        ..USUAL
    },
    Recipe {
        names: &[
            ("library/busybox", &["1.28", "1.36", "latest"]),
            ("library/bash", &["5", "latest"]),
            ("library/alpine", &["3", "latest"]),
            ("busybox", &["1.24", "1.27.2", "latest"]),
        ],
        layer: "busybox",
        cmd: &["sh"],
        ..USUAL
    },
    Recipe {
        names: &[
            ("pause", &["2.0", "3.1", "3.8", "3.10"]),
            ("fluentd_elasticsearch/fluentd", &["v2.6.0", "v5.0.1"]),
        ],
        layer: "pause",
        entrypoint: &["/pause"],
        ..USUAL
    },
    Recipe {
        names: &[("library/redis", &["5.0.4", "6.0.5", "7.0", "8.0.2", "latest"])],
        layer: "redis",
        cmd: &["redis-server", "/usr/local/etc/redis.conf"],
        ports: &["6379/tcp"],
        directory: "/data",
        ..USUAL
    },
    Recipe {
        names: &[("library/httpd", &["2.4", "latest"])],
        layer: "httpd",
        cmd: &["httpd-foreground"],
        ports: &["80/tcp"],
        stop_signal: Some("SIGWINCH"),
        directory: "/usr/local/apache2",
        ..USUAL
    },
    Recipe {
        names: &[
            ("library/mariadb", &["10.11", "latest"]),
            ("library/mysql", &["5.6", "5.7", "8.0", "9"]),
        ],
        layer: "mariadb",
        entrypoint: &["docker-entrypoint.sh"],
        ports: &["3306/tcp"],
        ..USUAL
    },
    Recipe {
        names: &[("library/perl", &["5.34", "5.34.0", "latest"])],
        layer: "perl",
        cmd: &["perl", "-de0"],
        ..USUAL
    },
    Recipe {
        names: &[("library/python", &["3", "latest"])],
        layer: "python",
        cmd: &["python3"],
        ..USUAL
    },
    Recipe {
        names: &[("e2e-test-images/agnhost", &["2.36", "2.39", "2.40", "2.53"])],
        layer: "agnhost",
        entrypoint: &["/agnhost"],
        cmd: &["pause"],
        ..USUAL
    },
    Recipe {
        names: &[("goproxy", &["0.1"])],
        layer: "agnhost",
        entrypoint: &["/agnhost"],
        cmd: &["netexec"],
        ..USUAL
    },
    Recipe {
        names: &[("serve_hostname", &["latest"])],
        layer: "agnhost",
        entrypoint: &["/agnhost"],
        cmd: &["serve-hostname"],
        ..USUAL
    },
    Recipe {
        names: &[("google-samples/gb-frontend", &["v5"])],
        layer: "guestbook",
        cmd: &["/guestbook"],
        ports: &["80/tcp"],
        ..USUAL
    },
    Recipe {
        names: &[("polinux/stress", &["latest"])],
        layer: "stress",
        cmd: &["stress", "--help"],
        ..USUAL
    },
    Recipe {
        names: &[("e2e-test-images/jessie-dnsutils", &["1.3", "1.7"])],
        layer: "dnsutils",
        cmd: &["bash"],
        ..USUAL
    },
];
