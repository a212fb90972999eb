//! The methods of `admin-utils`. Names, parameters and defaults are the reference's.

use crate::peer::ServiceSpec;
use crate::peer::schema::{Kind, MethodSpec, Param, Preset, required, with_default};

const USER: Param = required("user_id", Kind::Str, "id of the user");
const ADDRESS: Param = required(
    "ip",
    Kind::Str,
    "an address, or a range such as 192.0.2.0/24",
);
const DURATION: Param = with_default(
    "duration",
    Kind::Number,
    Preset::Int(3600),
    "seconds the block lasts; 0 means 30 days",
);
const REASON: Param = with_default(
    "reason",
    Kind::Str,
    Preset::Str(""),
    "why; the blocked party is told",
);

pub(super) static SPEC: ServiceSpec = ServiceSpec {
    id: "admin-utils",
    name: "Admin Utilities",
    kind: "generic",
    description: "What administrators do to a running server.",
    methods: METHODS,
};

static METHODS: &[MethodSpec] = &[
    MethodSpec {
        name: "list_servers",
        doc: "Lists the ids of the running servers.",
        params: &[],
    },
    MethodSpec {
        name: "kickout_client",
        doc: "Closes the connection of a client.",
        params: &[
            required("workspace", Kind::Str, "workspace of the client"),
            required("client_id", Kind::Str, "id of the client"),
            with_default("code", Kind::Int, Preset::Int(1000), "WebSocket close code"),
            with_default(
                "reason",
                Kind::Str,
                Preset::Str("Admin requested disconnect"),
                "the client is told",
            ),
        ],
    },
    MethodSpec {
        name: "list_workspaces",
        doc: "Lists all workspaces of the server.",
        params: &[],
    },
    MethodSpec {
        name: "unload_workspace",
        doc: "Unloads a workspace without clients at once; one with clients stays.",
        params: &[
            required("workspace", Kind::Str, "name of the workspace"),
            with_default(
                "wait",
                Kind::Bool,
                Preset::Bool(false),
                "wait until it is unloaded",
            ),
            with_default("timeout", Kind::Number, Preset::Int(10), "seconds to wait"),
        ],
    },
    MethodSpec {
        name: "get_metrics",
        doc: "Returns counts of connections and events.",
        params: &[],
    },
    MethodSpec {
        name: "block_user",
        doc: "Keeps a user and their child tokens out, and closes their connections.",
        params: &[USER, DURATION, REASON],
    },
    MethodSpec {
        name: "unblock_user",
        doc: "Lets a blocked user in again.",
        params: &[USER],
    },
    MethodSpec {
        name: "block_ip",
        doc: "Keeps an address or a range out, and closes its connections.",
        params: &[ADDRESS, DURATION, REASON],
    },
    MethodSpec {
        name: "unblock_ip",
        doc: "Lets a blocked address or range in again.",
        params: &[ADDRESS],
    },
    MethodSpec {
        name: "list_blocked",
        doc: "Lists who is blocked, why, and for how many more seconds.",
        params: &[],
    },
    MethodSpec {
        name: "get_resource_usage",
        doc: "Returns what users, workspaces and clients use of their limits.",
        params: &[],
    },
];
