//! How the files may go wrong, and by which problem each of it is to be found.

/// What is there, what it is made, and what one of the problems then says.
pub(crate) type Break = (&'static str, &'static str, &'static str);

/// Of the overlay `single`.
pub(crate) const OVERLAY: &[Break] = &[
    ("name: MESHER_ADMIN_LISTEN", "name: MESHER_ADMIN", "has no variable MESHER_ADMIN"),
    ("MESHER_LOG_FORMAT: json", "MESHER_LOG_FORMAT: xml", "--log-format of mesher-org cannot be xml"),
    ("MESHER_SHUTDOWN_GRACE: 25s", "MESHER_SHUTDOWN_GRACE: 40s", "--shutdown-grace is Some(40s)"),
    ("MESHER_DATABASE_WAIT: 60s", "MESHER_DATABASE_WAIT: 120s", "may wait for its database"),
    ("value: 0.0.0.0:50051", "value: 127.0.0.1:50051", "mesher-org does not listen on port 50051"),
    ("value: 0.0.0.0:50051", "value: 0.0.0.0:50061", "--listen is port 50061, which is not declared"),
    ("containerPort: 50052", "containerPort: 50062", "mesher-project does not listen on port 50062"),
    ("- mesher-issue", "- mesher-isue", "`mesher-isue` is no binary"),
    ("- migrate\n", "- migrat\n", "`mesher migrat --help` fails"),
    ("- mesher-issue", "- mesher-issue\n        - --verbose", "mesher-issue has no flag --verbose"),
    ("http://mesher-issue:50055", "http://mesher-isue:50055", "which is no Service"),
    ("http://mesher-issue:50055", "http://mesher-issue:50054", "which is no Service"),
    ("http://mesher-issue:50055", "http://mesher-org:50051", "--issue-address is http://mesher-org:50051"),
    ("port: 50053\n    targetPort: grpc", "port: 50053\n    targetPort: rpc", "has no port Name(\"rpc\")"),
    (
        "port: 50054\n    targetPort: grpc",
        "port: 80\n    targetPort: grpc",
        "Service mesher-writer: is headless",
    ),
    ("- port: 50055", "- port: 50056", "keep Deployment mesher-gateway out of port 50055"),
    ("    - port: grpc", "    - port: 50051", "keep Deployment mesher-gateway out of port 50052"),
    (
        "name: default-deny",
        "name: open\nspec:\n  podSelector: {}\n  policyTypes: [Egress]\n  egress: [{}]\n---\n\
         kind: NetworkPolicy\nmetadata:\n  name: deny",
        "let Deployment mesher-gateway into port 5432",
    ),
    ("    - port: admin", "    - port: grpc", "let monitoring into port 50051"),
    (
        "kubernetes.io/metadata.name: monitoring",
        "kubernetes.io/metadata.name: default",
        "let another namespace into port 51051",
    ),
    (
        "prometheus.io/port: \"51054\"",
        "prometheus.io/port: \"51055\"",
        "StatefulSet mesher-writer: Prometheus",
    ),
    ("path: /readyz", "path: /ready", "the readiness probe asks /ready"),
    ("startupProbe:", "startedProbe:", "there is no startup probe"),
    ("enableServiceLinks: false", "enableServiceLinks: true", "adds variables that begin with MESHER_"),
    ("serviceAccountName: mesher-user", "serviceAccountName: user", "there is no ServiceAccount user"),
    ("key: user-database-url", "key: migrate-database-url", "Deployment mesher-user: has the secrets"),
    ("image: mesher:", "image: mesher:9", "the image is mesher:9"),
    ("MESHER_INSECURE: \"true\"", "MESHER_INSECURE: \"false\"", "--listen is refused in plain text"),
    (
        "MESHER_INSECURE: \"true\"",
        "MESHER_INSECURE: \"false\"",
        "http://mesher-org:50051 is refused in plain text",
    ),
    ("volumeClaimTemplates:", "withoutVolumes:", "StatefulSet mesher-writer: --log-dir is Some("),
    ("mountPath: /var/lib/mesher\n", "mountPath: /var/lib/mesher-log\n", "is in no place to keep a log"),
    (
        "          name: log\n",
        "          name: log\n          readOnly: true\n",
        "is in no place to keep a log",
    ),
    ("fsGroup: 65532", "fsGroup: 0", "its volumes are the group's Some(0)"),
    ("whenDeleted: Retain", "whenDeleted: Delete", "what is in its volumes is lost"),
];

/// Of the overlay `cluster`.
pub(crate) const CLUSTER: &[Break] = &[
    (
        "    kind: Deployment\n    name: mesher-gateway",
        "    kind: Deployment\n    name: gateway",
        "there is no Deployment gateway",
    ),
    (
        "  maxUnavailable: 1\n  selector:\n    matchLabels:\n      app.kubernetes.io/component: org",
        "  selector:\n    matchLabels:\n      app.kubernetes.io/component: or",
        "PodDisruptionBudget mesher-org",
    ),
    ("- port: 5432", "- port: 5433", "out of port 5432 of the world"),
];

/// Of the Dockerfile.
pub(crate) const IMAGE: &[Break] = &[
    ("mesher-project mesher-user", "mesher-user", "not {\"mesher\""),
    (" 50055", " 50056", "it exposes"),
    ("MESHER_GATEWAY_LISTEN", "MESHER_GATEWAY", "has no variable MESHER_GATEWAY"),
    ("ENTRYPOINT [\"mesher\"]", "ENTRYPOINT [\"mesherd\"]", "`mesherd` is no binary"),
    ("FROM rust:1.95", "FROM rust:1.80", "it is built with 1.80"),
    ("MESHER_LOG_DIR=/var/lib/mesher/log", "MESHER_LOG=info", "--log-dir is None"),
    ("--chown=65532:65532", "--chown=0:0", "is in no place to keep a log"),
    ("USER 65532:65532", "USER 1000:1000", "is in no place to keep a log"),
    ("ARG VERSION=", "ARG VERSION=9", "its version is 9"),
    ("ENV MESHER_REVISION=", "ENV MESHER_REV=", "take None for their revision"),
];

/// Of the compose file.
pub(crate) const COMPOSE: &[Break] = &[
    ("MESHER_INSECURE: \"true\"", "MESHER_INSECURE: \"false\"", "--org-listen is refused in plain text"),
    ("MESHER_WRITER_LISTEN", "MESHER_WRITTER_LISTEN", "has no variable MESHER_WRITTER_LISTEN"),
    ("MESHER_ORG_LISTEN: 0.0.0.0", "MESHER_ORG_LISTEN: 127.0.0.1", "does not listen on port 50051"),
    ("127.0.0.1:8080:8080", "0.0.0.0:8080:8080", "is open to other machines"),
    ("127.0.0.1:8080:8080", "127.0.0.1:8080:8088", "does not listen on port 8088"),
    ("@postgres:", "@database:", "\"database\") is not within reach"),
    ("[front, database]", "[front]", "is not within reach"),
    ("      migrate:\n", "      migration:\n", "there is no migration"),
    ("stop_grace_period: 40s", "stop_grace_period: 20s", "is killed after 20s"),
    ("- log:/var/lib/mesher", "- /tmp:/var/lib/mesher", "is in no place to keep a log"),
    ("- log:/var/lib/mesher", "- log:/var/lib/mesher:ro", "is in no place to keep a log"),
    ("  log:\n", "", "is in no place to keep a log"),
    ("- postgres:/", "- log:/", "the volume log of the log is not its alone"),
    ("[migrate]", "[migrate, --dry-run]", "has no flag --dry-run"),
];

/// Of the overlay `cluster-tls`.
pub(crate) const CLUSTER_TLS: &[Break] = &[
    (
        "https://mesher-org:50051",
        "http://mesher-org:50051",
        "http://mesher-org:50051 is refused in plain text",
    ),
    ("https://mesher-org:50051", "http://mesher-org:50051", "mesher-org serves with TLS: true"),
    (
        "name: MESHER_UPSTREAM_TLS_CA",
        "name: MESHER_UPSTREAM_CA",
        "nobody vouches for https://mesher-org:50051",
    ),
    ("name: MESHER_TLS_CLIENT_CA", "name: MESHER_CLIENT_CA", "has no variable MESHER_CLIENT_CA"),
    ("MESHER_TLS_CERT: ", "MESHER_TLS_CRT: ", "--listen is refused in plain text"),
    (
        "secretName: mesher-user-tls",
        "secretName: mesher-org-tls",
        "Deployment mesher-user: --tls-cert /etc/mesher/tls/tls.crt is in no mount",
    ),
    (
        "mountPath: /etc/mesher/tls",
        "mountPath: /etc/mesher/certs",
        "--tls-key /etc/mesher/tls/tls.key is in no mount of the Secret",
    ),
];
