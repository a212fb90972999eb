//! The methods of the `server-apps` service. Names, parameters and defaults of server-apps.md 1.

use crate::peer::ServiceSpec;
use crate::peer::schema::{Kind, MethodSpec, Param, Preset, optional, required, with_default};

const APP: Param = required("app_id", Kind::Str, "id of the app, also as workspace/id");
const SESSION: Param = required(
    "session_id",
    Kind::Str,
    "id of the session, workspace/client_id",
);
const TIMEOUT: Param = optional("timeout", Kind::Number, "seconds for the whole start");
const VERSION: Param = optional(
    "version",
    Kind::Str,
    "label of a version; the current one when not given",
);
const WAIT: Param = optional(
    "wait_for_service",
    Kind::Any,
    "service to wait for; default when not given, false to wait for nothing",
);
const INACTIVE: Param = optional(
    "stop_after_inactive",
    Kind::Number,
    "seconds without use after which the session stops; 0 means never",
);
const PROGRESS: Param = optional(
    "progress_callback",
    Kind::Any,
    "called with progress messages",
);
const EXTRA: Param = optional("additional_kwargs", Kind::Object, "passed on to the worker");
const WORKER: Param = optional("worker_id", Kind::Str, "id of the worker to use");
const WORKER_MODE: Param = optional(
    "worker_selection_mode",
    Kind::Str,
    "random, first, last, exact or min_load",
);
const STAGE: Param = with_default(
    "stage",
    Kind::Bool,
    Preset::Bool(false),
    "use the staged version",
);

const WORKSPACE: Param = optional(
    "workspace",
    Kind::Str,
    "workspace to look into; the current one when not given",
);
const FILE_PATH: Param = required("file_path", Kind::Str, "path of the file");
const FILE_PARAMS: &[Param] = &[
    APP,
    FILE_PATH,
    with_default(
        "format",
        Kind::Str,
        Preset::Str("text"),
        "text, json or binary (base64)",
    ),
    VERSION,
    STAGE,
];
const START_PARAMS: &[Param] = &[
    APP,
    TIMEOUT,
    VERSION,
    WAIT,
    INACTIVE,
    STAGE,
    PROGRESS,
    EXTRA,
    WORKER,
    WORKER_MODE,
];

pub(super) static SPEC: ServiceSpec = ServiceSpec {
    id: "server-apps",
    name: "Server Apps",
    kind: "server-apps",
    description: "Installs, starts and watches serverless apps.",
    methods: METHODS,
};

static METHODS: &[MethodSpec] = &[
    MethodSpec {
        name: "install",
        doc: "Installs an app from source, files or both, after a trial start.",
        params: &[
            optional(
                "source",
                Kind::Str,
                "code, an XML app, an HTML page or a URL",
            ),
            optional("manifest", Kind::Object, "name, type, version and more"),
            optional("app_id", Kind::Str, "id of the app; made up when not given"),
            optional("config", Kind::Object, "old name of manifest"),
            optional(
                "files",
                Kind::List,
                "files as {path, content, format: text, json or base64}",
            ),
            INACTIVE,
            WAIT,
            optional(
                "workspace",
                Kind::Str,
                "workspace to install into; the current one when not given",
            ),
            with_default(
                "overwrite",
                Kind::Bool,
                Preset::Bool(false),
                "replace an app of this id",
            ),
            TIMEOUT,
            optional("version", Kind::Str, "label of the version"),
            with_default(
                "stage",
                Kind::Bool,
                Preset::Bool(false),
                "leave it staged, without a trial start",
            ),
            PROGRESS,
            EXTRA,
            WORKER,
            WORKER_MODE,
            optional(
                "artifact_id",
                Kind::Str,
                "app to copy instead of source and files",
            ),
        ],
    },
    MethodSpec {
        name: "uninstall",
        doc: "Removes an app and stops its sessions.",
        params: &[APP],
    },
    MethodSpec {
        name: "start",
        doc: "Starts an app, or returns the session that runs already.",
        params: START_PARAMS,
    },
    MethodSpec {
        name: "launch",
        doc: "The same as start.",
        params: START_PARAMS,
    },
    MethodSpec {
        name: "stop",
        doc: "Stops a session.",
        params: &[
            SESSION,
            with_default(
                "raise_exception",
                Kind::Bool,
                Preset::Bool(true),
                "fail for an unknown session",
            ),
        ],
    },
    MethodSpec {
        name: "stop_all",
        doc: "Stops all sessions of an app, or of the workspace; returns their ids.",
        params: &[optional("app_id", Kind::Str, "only of this app"), WORKSPACE],
    },
    MethodSpec {
        name: "restart",
        doc: "Stops a session and starts its app again; returns the new session.",
        params: &[SESSION],
    },
    MethodSpec {
        name: "edit_app",
        doc: "Stages changes of an app's manifest for commit_app; switching it off or on counts at once.",
        params: &[
            APP,
            optional("manifest", Kind::Object, "fields to change"),
            optional("disabled", Kind::Bool, "true to switch the app off"),
            optional(
                "autoscaling_config",
                Kind::Object,
                "new autoscaling settings; an empty dict for none",
            ),
            optional(
                "autoscaling_manifest",
                Kind::Object,
                "another name of autoscaling_config",
            ),
            optional(
                "startup_config",
                Kind::Object,
                "new defaults of starts; an empty dict for none",
            ),
        ],
    },
    MethodSpec {
        name: "commit_app",
        doc: "Tries what is staged and makes it the current version; returns its manifest.",
        params: &[
            APP,
            TIMEOUT,
            optional("version", Kind::Str, "label of the version"),
            INACTIVE,
            WAIT,
            EXTRA,
            PROGRESS,
            WORKER,
        ],
    },
    MethodSpec {
        name: "edit_file",
        doc: "Stages a file of an app for commit_app.",
        params: &[
            APP,
            FILE_PATH,
            required(
                "file_content",
                Kind::Any,
                "text, bytes, or a dict or list for JSON",
            ),
            optional("format", Kind::Str, "text, json or base64"),
        ],
    },
    MethodSpec {
        name: "remove_file",
        doc: "Stages the removal of a file of an app for commit_app.",
        params: &[APP, FILE_PATH],
    },
    MethodSpec {
        name: "list_versions",
        doc: "Lists the committed versions of an app, oldest first.",
        params: &[APP],
    },
    MethodSpec {
        name: "rollback",
        doc: "Makes another committed version the current one; returns its label.",
        params: &[
            APP,
            optional(
                "version",
                Kind::Str,
                "label; the version before the current one when not given",
            ),
        ],
    },
    MethodSpec {
        name: "publish",
        doc: "Copies an app into a collection, from which others can install it.",
        params: &[
            APP,
            required(
                "collection_id",
                Kind::Str,
                "workspace/alias of the collection",
            ),
            optional(
                "new_app_id",
                Kind::Str,
                "id of the copy; the same when not given",
            ),
            with_default(
                "overwrite",
                Kind::Bool,
                Preset::Bool(false),
                "replace an app of this id",
            ),
            with_default(
                "remove_secrets",
                Kind::Bool,
                Preset::Bool(true),
                "leave config.secrets out",
            ),
            with_default(
                "stage",
                Kind::Bool,
                Preset::Bool(false),
                "leave the copy staged",
            ),
        ],
    },
    MethodSpec {
        name: "edit_worker",
        doc: "Switches a worker off, which ends its sessions, or on.",
        params: &[
            required("worker_id", Kind::Str, "workspace/client:service"),
            optional("disabled", Kind::Bool, "true to switch it off"),
        ],
    },
    MethodSpec {
        name: "list_apps",
        doc: "Lists the installed apps of the current workspace.",
        params: &[
            optional("app_type", Kind::Str, "only of this type"),
            optional(
                "keywords",
                Kind::Any,
                "only those whose id, name, description or tags hold all of these",
            ),
            with_default(
                "include_staged",
                Kind::Bool,
                Preset::Bool(false),
                "also those that were never committed",
            ),
            WORKSPACE,
        ],
    },
    MethodSpec {
        name: "list_running",
        doc: "Lists the running sessions of the current workspace.",
        params: &[WORKSPACE],
    },
    MethodSpec {
        name: "list_sessions",
        doc: "Lists sessions with their state, restarts and history.",
        params: &[
            optional("app_id", Kind::Str, "only of this app"),
            with_default(
                "include_stopped",
                Kind::Bool,
                Preset::Bool(false),
                "also those that ended",
            ),
            WORKSPACE,
        ],
    },
    MethodSpec {
        name: "list_workers",
        doc: "Lists the workers that may run apps of the current workspace.",
        params: &[
            optional("app_type", Kind::Str, "only those for this type"),
            WORKSPACE,
        ],
    },
    MethodSpec {
        name: "get_server_status",
        doc: "Tells how much there is and runs in the current workspace.",
        params: &[WORKSPACE],
    },
    MethodSpec {
        name: "get_logs",
        doc: "Returns what a session logged.",
        params: &[
            SESSION,
            optional("type", Kind::Str, "only this kind"),
            with_default("offset", Kind::Int, Preset::Int(0), "how many to skip"),
            optional("limit", Kind::Int, "how many to return"),
        ],
    },
    MethodSpec {
        name: "tail_logs",
        doc: "Follows the log of a session until it ends: a generator of {type, content}, or calls of a callback.",
        params: &[
            SESSION,
            optional("callback", Kind::Any, "called with each line"),
            optional("type", Kind::Str, "only this kind"),
        ],
    },
    MethodSpec {
        name: "get_app_info",
        doc: "Returns the record of an app.",
        params: &[APP, VERSION, STAGE],
    },
    MethodSpec {
        name: "list_files",
        doc: "Lists the files of an app: one level of folders, or all.",
        params: &[
            APP,
            optional("path", Kind::Str, "folder; the top when not given"),
            with_default("recursive", Kind::Bool, Preset::Bool(false), "all levels"),
            VERSION,
            STAGE,
        ],
    },
    MethodSpec {
        name: "read_file",
        doc: "Returns a file of an app.",
        params: FILE_PARAMS,
    },
    MethodSpec {
        name: "get_file_content",
        doc: "The same as read_file.",
        params: FILE_PARAMS,
    },
    MethodSpec {
        name: "get_session_info",
        doc: "Returns a session with its state, restarts and history.",
        params: &[SESSION],
    },
    MethodSpec {
        name: "execute",
        doc: "Runs code in a session.",
        params: &[
            SESSION,
            required("script", Kind::Str, "the code"),
            optional(
                "config",
                Kind::Object,
                "timeout in seconds and more, by worker",
            ),
            PROGRESS,
        ],
    },
    MethodSpec {
        name: "take_screenshot",
        doc: "Takes a picture of a session that has a page.",
        params: &[
            SESSION,
            with_default("format", Kind::Str, Preset::Str("png"), "png or jpeg"),
            with_default(
                "full_page",
                Kind::Bool,
                Preset::Bool(false),
                "the whole page, not only what a window of its size shows",
            ),
        ],
    },
    MethodSpec {
        name: "get_autoscaling_status",
        doc: "Shows the load of an app's sessions, and what its autoscaler did and why.",
        params: &[APP],
    },
    MethodSpec {
        name: "validate_app_manifest",
        doc: "Checks a manifest and says what could be better.",
        params: &[required("manifest", Kind::Object, "the manifest")],
    },
];
