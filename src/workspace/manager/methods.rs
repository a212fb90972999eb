//! The methods of the workspace manager. Names, parameters and defaults are those of the
//! reference's (a test compares them); clients read them on every connection.

use crate::peer::ServiceSpec;
use crate::peer::schema::{Kind, MethodSpec, Param, Preset, optional, required, with_default};

const EVENT_FILTER: [Param; 3] = [
    optional("event_type", Kind::Str, "only this type"),
    optional(
        "start_time",
        Kind::Str,
        "ISO time of the first event wanted",
    ),
    optional("end_time", Kind::Str, "ISO time of the last event wanted"),
];
const WORKSPACE: Param = optional(
    "workspace",
    Kind::Str,
    "name of a workspace; the caller's own when not given",
);
const PING_SECONDS: Param = with_default(
    "timeout",
    Kind::Number,
    Preset::Int(5),
    "seconds to wait for an answer",
);
const SERVICE_ID: Param = required(
    "service_id",
    Kind::Str,
    "[workspace/][client_id:]service_id[@app_id], or ~ for this manager",
);

pub(super) static SPEC: ServiceSpec = ServiceSpec {
    id: "default",
    name: "Default workspace management service",
    kind: "generic",
    description: "Services for managing workspace.",
    methods: METHODS,
};

static METHODS: &[MethodSpec] = &[
    MethodSpec {
        name: "echo",
        doc: "Returns what it is given.",
        params: &[required("data", Kind::Any, "any value")],
    },
    MethodSpec {
        name: "log",
        doc: "Notes a message in the workspace's event log.",
        params: &[required("msg", Kind::Str, "the message")],
    },
    MethodSpec {
        name: "log_event",
        doc: "Notes an event of a type of your own in the workspace's event log.",
        params: &[
            required("event_type", Kind::Str, "a type without spaces"),
            optional("data", Kind::Object, "anything to keep with the event"),
        ],
    },
    MethodSpec {
        name: "get_event_stats",
        doc: "Counts your logged events by type.",
        params: &EVENT_FILTER,
    },
    MethodSpec {
        name: "get_events",
        doc: "Lists your logged events, oldest first.",
        params: &EVENT_FILTER,
    },
    MethodSpec {
        name: "register_service",
        doc: "Registers a service of the calling client.",
        params: &[
            required("service", Kind::Object, "description of the service"),
            optional("config", Kind::Object, "options"),
        ],
    },
    MethodSpec {
        name: "unregister_service",
        doc: "Removes a service.",
        params: &[required("service_id", Kind::Str, "id of the service")],
    },
    MethodSpec {
        name: "list_workspaces",
        doc: "Lists the workspaces that you own or may read.",
        params: &[
            optional("match", Kind::Object, "fields that must be equal"),
            with_default("offset", Kind::Int, Preset::Int(0), "how many to skip"),
            with_default(
                "limit",
                Kind::Int,
                Preset::Int(256),
                "how many to return, at most 256",
            ),
        ],
    },
    MethodSpec {
        name: "list_services",
        doc: "Lists the services that match a query and that you may see.",
        params: &[
            optional(
                "query",
                Kind::Any,
                "a workspace, an id with wildcards, or an object with the keys visibility, \
                 workspace, client_id, service_id, type, app_id",
            ),
            with_default(
                "include_unlisted",
                Kind::Bool,
                Preset::Bool(false),
                "show unlisted services of your own workspace too",
            ),
            with_default(
                "include_app_services",
                Kind::Bool,
                Preset::Bool(false),
                "show services of installed apps that are not running too",
            ),
            with_default(
                "prioritize_running_services",
                Kind::Bool,
                Preset::Bool(false),
                "leave out app services that are running already",
            ),
        ],
    },
    MethodSpec {
        name: "search_services",
        doc: "Searches services by meaning. Not enabled on this server.",
        params: &[
            optional("query", Kind::Any, "text or vector"),
            optional("filters", Kind::Object, "fields that must match"),
            with_default("limit", Kind::Int, Preset::Int(5), "how many to return"),
            with_default("offset", Kind::Int, Preset::Int(0), "how many to skip"),
            optional("return_fields", Kind::List, "fields to return"),
            optional("order_by", Kind::Str, "field to sort by"),
            with_default(
                "pagination",
                Kind::Bool,
                Preset::Bool(false),
                "return the total as well",
            ),
            with_default(
                "include_unlisted",
                Kind::Bool,
                Preset::Bool(false),
                "show unlisted services of your own workspace too",
            ),
        ],
    },
    MethodSpec {
        name: "list_clients",
        doc: "Lists the clients connected to a workspace.",
        params: &[WORKSPACE],
    },
    MethodSpec {
        name: "register_service_type",
        doc: "Declares a type that services can be checked against.",
        params: &[required(
            "type_info",
            Kind::Object,
            "id, name, definition and more",
        )],
    },
    MethodSpec {
        name: "get_service_type",
        doc: "Returns a declared service type.",
        params: &[required("type_id", Kind::Str, "[workspace/]type")],
    },
    MethodSpec {
        name: "list_service_types",
        doc: "Lists the service types declared in a workspace.",
        params: &[WORKSPACE],
    },
    MethodSpec {
        name: "get_service_info",
        doc: "Returns the registration of a service without fetching the service.",
        params: &[
            SERVICE_ID,
            optional(
                "config",
                Kind::Object,
                "mode, select_timeout, read_app_manifest",
            ),
        ],
    },
    MethodSpec {
        name: "get_service",
        doc: "Returns a service; starts the app behind name@app when nothing runs.",
        params: &[
            SERVICE_ID,
            optional(
                "config",
                Kind::Object,
                "mode, timeout, case_conversion, select_timeout",
            ),
        ],
    },
    MethodSpec {
        name: "generate_token",
        doc: "Makes a token for a workspace, with at most your own rights.",
        params: &[optional(
            "config",
            Kind::Object,
            "expires_in, workspace, permission (read, read_write, admin), extra_scopes, client_id",
        )],
    },
    MethodSpec {
        name: "revoke_token",
        doc: "Makes a token useless before it expires.",
        params: &[required("token", Kind::Str, "token to be revoked")],
    },
    MethodSpec {
        name: "parse_token",
        doc: "Tells whose token this is and what it allows.",
        params: &[required("token", Kind::Str, "token to be parsed")],
    },
    MethodSpec {
        name: "create_workspace",
        doc: "Creates a workspace that you own.",
        params: &[
            required(
                "config",
                Kind::Object,
                "id or name, description, persistent, owners and more",
            ),
            with_default(
                "overwrite",
                Kind::Bool,
                Preset::Bool(false),
                "replace one of yours",
            ),
        ],
    },
    MethodSpec {
        name: "delete_workspace",
        doc: "Deletes a workspace with all that is in it.",
        params: &[required("workspace", Kind::Str, "name of the workspace")],
    },
    MethodSpec {
        name: "bookmark",
        doc: "Keeps a workspace or a service in your personal list.",
        params: &[required(
            "item",
            Kind::Object,
            "bookmark_type (workspace or service) and id",
        )],
    },
    MethodSpec {
        name: "unbookmark",
        doc: "Takes a workspace or a service off your personal list.",
        params: &[required(
            "item",
            Kind::Object,
            "bookmark_type (workspace or service) and id",
        )],
    },
    MethodSpec {
        name: "get_workspace_info",
        doc: "Describes a workspace.",
        params: &[WORKSPACE],
    },
    MethodSpec {
        name: "get_summary",
        doc: "Sums up your current workspace: clients and services.",
        params: &[],
    },
    MethodSpec {
        name: "ping",
        doc: "Tells whether a client answers: \"pong\", or a text that says why not.",
        params: &[
            required("client_id", Kind::Str, "[workspace/]client"),
            PING_SECONDS,
        ],
    },
    MethodSpec {
        name: "cleanup",
        doc: "Removes clients that do not answer any more.",
        params: &[WORKSPACE, PING_SECONDS],
    },
    MethodSpec {
        name: "check_status",
        doc: "Tells whether your current workspace is ready.",
        params: &[],
    },
    MethodSpec {
        name: "set_env",
        doc: "Sets an environment variable of the workspace; null removes it.",
        params: &[
            required("key", Kind::Str, "name of the variable"),
            required("value", Kind::Str, "its value"),
        ],
    },
    MethodSpec {
        name: "get_env",
        doc: "Returns one environment variable of the workspace, or all.",
        params: &[optional("key", Kind::Str, "name of the variable")],
    },
    MethodSpec {
        name: "subscribe",
        doc: "Asks for broadcasts of these types to be delivered to this client.",
        params: &[required(
            "event_type",
            Kind::Any,
            "a type or a list of types",
        )],
    },
    MethodSpec {
        name: "unsubscribe",
        doc: "Ends the delivery of these types.",
        params: &[required(
            "event_type",
            Kind::Any,
            "a type or a list of types",
        )],
    },
];
