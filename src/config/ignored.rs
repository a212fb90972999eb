//! Flags of the reference that mean nothing on one node: accepted, with a warning, so that its
//! command lines go on working.

/// How many values a flag takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arity {
    Switch,
    One,
}

use Arity::{One, Switch};

/// Flags of the reference that have no effect here, and what is used instead.
pub static IGNORED_FLAGS: &[(&str, Arity, &str)] = &[
    ("from-env", Switch, "the environment is always read"),
    (
        "enable-s3-for-anonymous-users",
        Switch,
        "who may write to a workspace may store files in it",
    ),
    ("s3-admin-type", One, "no users are made in the S3 server"),
    ("enable-s3-proxy", Switch, "files are served by this server"),
    (
        "start-minio-server",
        Switch,
        "files are kept in the data folder",
    ),
    ("minio-workdir", One, "files are kept in the data folder"),
    ("minio-port", One, "files are kept in the data folder"),
    (
        "minio-console-port",
        One,
        "files are kept in the data folder",
    ),
    ("minio-root-user", One, "files are kept in the data folder"),
    (
        "minio-root-password",
        One,
        "files are kept in the data folder",
    ),
    ("minio-version", One, "files are kept in the data folder"),
    ("mc-version", One, "files are kept in the data folder"),
    (
        "minio-file-system-mode",
        Switch,
        "files are kept in the data folder",
    ),
    ("executable-path", One, "nothing is downloaded"),
    ("cache-dir", One, "everything lives in the data folder"),
    ("redis-uri", One, "the node keeps its state itself"),
    (
        "reset-redis",
        Switch,
        "connections and services are not stored",
    ),
    ("migrate-database", One, "the store migrates itself"),
    ("disable-ssl", Switch, "workers use the URL they are given"),
    ("triton-servers", One, "there is no proxy for Triton"),
    (
        "enable-service-search",
        Switch,
        "service search is not offered",
    ),
    ("ollama-host", One, "service search is not offered"),
    ("openai-base-url", One, "service search is not offered"),
    ("openai-api-key", One, "service search is not offered"),
    ("enable-a2a", Switch, "A2A is not offered"),
    ("enable-k8s-worker", Switch, "workers register themselves"),
    (
        "enable-terminal-worker",
        Switch,
        "the terminal worker is there unless apps.process is false",
    ),
    (
        "interactive",
        Switch,
        "there is no Python shell in this server",
    ),
    (
        "enable-server",
        Switch,
        "there is no Python shell in this server",
    ),
    (
        "enable-admin-terminal",
        Switch,
        "there is no Python prompt in this server",
    ),
];
