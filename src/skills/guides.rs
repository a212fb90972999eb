//! The guides: how to do one kind of thing on this server.

use serde::Serialize;

/// A guide; its text is a template.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Guide {
    /// Name of its file under `GUIDE/`.
    pub file: &'static str,
    /// What it is about.
    pub about: &'static str,
}

pub static GUIDES: [Guide; 7] = [
    Guide {
        file: "services.md",
        about: "Register services, call them, describe them with schemas",
    },
    Guide {
        file: "auth.md",
        about: "Tokens, permissions, visibility of services",
    },
    Guide {
        file: "http.md",
        about: "Call services with plain HTTP: arguments, streams, errors",
    },
    Guide {
        file: "apps.md",
        about: "Install apps that start on demand and come back after a crash",
    },
    Guide {
        file: "workers.md",
        about: "Run app types of your own with a worker",
    },
    Guide {
        file: "asgi-apps.md",
        about: "Serve an ASGI application such as FastAPI under a URL",
    },
    Guide {
        file: "serverless-functions.md",
        about: "Serve functions under URLs",
    },
];

/// The guide in a file.
pub fn guide(file: &str) -> Option<Guide> {
    GUIDES.iter().find(|guide| guide.file == file).copied()
}
