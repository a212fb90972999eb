//! The methods of `public/artifact-manager` (artifacts.md 4).

use crate::peer::ServiceSpec;
use crate::peer::schema::{Kind, MethodSpec, Param, Preset, optional, required, with_default};

const ID: Param = required(
    "artifact_id",
    Kind::Any,
    "UUID, workspace/alias, or alias in your workspace",
);

pub(super) static SPEC: ServiceSpec = ServiceSpec {
    id: "artifact-manager",
    name: "Artifact Manager",
    kind: "artifact-manager",
    description: "Files and datasets with manifests, versions and permissions.",
    methods: &[
        MethodSpec {
            name: "create",
            doc: "Makes an artifact.",
            params: &[
                optional("alias", Kind::Any, "alias"),
                optional("artifact_id", Kind::Any, "artifact id"),
                optional("workspace", Kind::Str, "workspace"),
                optional("parent_id", Kind::Str, "parent id"),
                optional("manifest", Kind::Any, "manifest"),
                with_default("type", Kind::Str, Preset::Str("generic"), "type"),
                optional("config", Kind::Any, "config"),
                optional("secrets", Kind::Any, "secrets"),
                optional("version", Kind::Any, "version"),
                optional("comment", Kind::Str, "comment"),
                with_default("overwrite", Kind::Any, Preset::Bool(false), "overwrite"),
                with_default("stage", Kind::Any, Preset::Bool(false), "stage"),
            ],
        },
        MethodSpec {
            name: "edit",
            doc: "Changes an artifact, or its stage.",
            params: &[
                ID,
                optional("manifest", Kind::Any, "manifest"),
                optional("type", Kind::Str, "type"),
                optional("config", Kind::Any, "config"),
                optional("secrets", Kind::Any, "secrets"),
                optional("version", Kind::Any, "version"),
                optional("comment", Kind::Str, "comment"),
                with_default("stage", Kind::Any, Preset::Bool(false), "stage"),
                optional("branch", Kind::Str, "for git storage"),
            ],
        },
        MethodSpec {
            name: "read",
            doc: "An artifact.",
            params: &[
                ID,
                with_default("silent", Kind::Any, Preset::Bool(false), "silent"),
                optional("version", Kind::Any, "version"),
                with_default("stage", Kind::Any, Preset::Bool(false), "stage"),
            ],
        },
        MethodSpec {
            name: "commit",
            doc: "Makes what is staged a version.",
            params: &[
                ID,
                optional("version", Kind::Any, "version"),
                optional("comment", Kind::Str, "comment"),
                optional("branch", Kind::Str, "for git storage"),
            ],
        },
        MethodSpec {
            name: "discard",
            doc: "Drops what is staged.",
            params: &[ID],
        },
        MethodSpec {
            name: "delete",
            doc: "Deletes an artifact or a version.",
            params: &[
                ID,
                with_default(
                    "delete_files",
                    Kind::Any,
                    Preset::Bool(false),
                    "delete files",
                ),
                with_default("recursive", Kind::Any, Preset::Bool(false), "recursive"),
                optional("version", Kind::Any, "version"),
            ],
        },
        MethodSpec {
            name: "duplicate",
            doc: "Copies an artifact.",
            params: &[
                required("source_artifact_id", Kind::Any, "source artifact id"),
                optional("target_alias", Kind::Str, "target alias"),
                optional("target_workspace", Kind::Str, "target workspace"),
                optional("target_parent_id", Kind::Str, "target parent id"),
                with_default("overwrite", Kind::Any, Preset::Bool(false), "overwrite"),
                with_default(
                    "remove_secrets",
                    Kind::Any,
                    Preset::Bool(true),
                    "remove secrets",
                ),
                with_default("stage", Kind::Any, Preset::Bool(false), "stage"),
            ],
        },
        MethodSpec {
            name: "list",
            doc: "What is in a collection or workspace.",
            params: &[
                optional("parent_id", Kind::Str, "parent id"),
                optional("keywords", Kind::Any, "keywords"),
                optional("filters", Kind::Any, "filters"),
                with_default("mode", Kind::Str, Preset::Str("AND"), "mode"),
                with_default("offset", Kind::Any, Preset::Int(0), "offset"),
                with_default("limit", Kind::Any, Preset::Int(100), "limit"),
                optional("order_by", Kind::Str, "order by"),
                with_default("silent", Kind::Any, Preset::Bool(false), "silent"),
                with_default("pagination", Kind::Any, Preset::Bool(false), "pagination"),
                with_default("stage", Kind::Any, Preset::Bool(false), "stage"),
            ],
        },
        MethodSpec {
            name: "search",
            doc: "Artifacts of a collection or workspace.",
            params: &[
                optional("parent_id", Kind::Str, "parent id"),
                optional("keywords", Kind::Any, "keywords"),
                optional("filters", Kind::Any, "filters"),
                with_default("mode", Kind::Str, Preset::Str("AND"), "mode"),
                with_default("offset", Kind::Any, Preset::Int(0), "offset"),
                with_default("limit", Kind::Any, Preset::Int(100), "limit"),
                optional("order_by", Kind::Str, "order by"),
                with_default("pagination", Kind::Any, Preset::Bool(false), "pagination"),
                with_default("stage", Kind::Any, Preset::Bool(false), "stage"),
            ],
        },
        MethodSpec {
            name: "list_files",
            doc: "What is in a folder of an artifact.",
            params: &[
                ID,
                optional("dir_path", Kind::Any, "dir path"),
                with_default("limit", Kind::Int, Preset::Int(1000), "limit"),
                optional("version", Kind::Any, "version"),
                with_default("stage", Kind::Any, Preset::Bool(false), "stage"),
                optional("branch", Kind::Str, "for git storage"),
                with_default(
                    "include_pending",
                    Kind::Any,
                    Preset::Bool(false),
                    "include pending",
                ),
                with_default("offset", Kind::Int, Preset::Int(0), "offset"),
            ],
        },
        MethodSpec {
            name: "put_file",
            doc: "Addresses to put files to.",
            params: &[
                ID,
                required("file_path", Kind::Any, "file path"),
                with_default(
                    "download_weight",
                    Kind::Any,
                    Preset::Int(0),
                    "download weight",
                ),
                optional("use_proxy", Kind::Any, "use proxy"),
                with_default(
                    "use_local_url",
                    Kind::Any,
                    Preset::Bool(false),
                    "use local url",
                ),
                with_default(
                    "expires_in",
                    Kind::Number,
                    Preset::Int(3600),
                    "seconds for which addresses work",
                ),
                optional("branch", Kind::Str, "for git storage"),
            ],
        },
        MethodSpec {
            name: "put_file_start_multipart",
            doc: "Begins an upload in parts.",
            params: &[
                ID,
                required("file_path", Kind::Any, "file path"),
                required("part_count", Kind::Int, "part count"),
                with_default(
                    "download_weight",
                    Kind::Any,
                    Preset::Int(0),
                    "download weight",
                ),
                with_default(
                    "expires_in",
                    Kind::Number,
                    Preset::Int(3600),
                    "seconds for which addresses work",
                ),
                optional("use_proxy", Kind::Any, "use proxy"),
                with_default(
                    "use_local_url",
                    Kind::Any,
                    Preset::Bool(false),
                    "use local url",
                ),
            ],
        },
        MethodSpec {
            name: "put_file_complete_multipart",
            doc: "Ends an upload in parts.",
            params: &[
                ID,
                required("upload_id", Kind::Str, "upload id"),
                required("parts", Kind::List, "parts"),
            ],
        },
        MethodSpec {
            name: "remove_file",
            doc: "Removes a file from the stage.",
            params: &[
                ID,
                required("file_path", Kind::Any, "file path"),
                optional("branch", Kind::Str, "for git storage"),
            ],
        },
        MethodSpec {
            name: "get_file",
            doc: "Addresses to fetch files from.",
            params: &[
                ID,
                required("file_path", Kind::Any, "file path"),
                with_default("silent", Kind::Any, Preset::Bool(false), "silent"),
                optional("version", Kind::Any, "version"),
                with_default("stage", Kind::Any, Preset::Bool(false), "stage"),
                optional("branch", Kind::Str, "for git storage"),
                optional("use_proxy", Kind::Any, "use proxy"),
                with_default(
                    "use_local_url",
                    Kind::Any,
                    Preset::Bool(false),
                    "use local url",
                ),
                with_default(
                    "expires_in",
                    Kind::Number,
                    Preset::Int(3600),
                    "seconds for which addresses work",
                ),
            ],
        },
        MethodSpec {
            name: "read_file",
            doc: "The content of a file.",
            params: &[
                ID,
                required("file_path", Kind::Any, "file path"),
                with_default("format", Kind::Str, Preset::Str("text"), "format"),
                with_default("encoding", Kind::Str, Preset::Str("utf-8"), "encoding"),
                with_default("offset", Kind::Int, Preset::Int(0), "offset"),
                with_default("limit", Kind::Int, Preset::Int(65536), "limit"),
                optional("version", Kind::Any, "version"),
                with_default("stage", Kind::Any, Preset::Bool(false), "stage"),
                optional("branch", Kind::Str, "for git storage"),
            ],
        },
        MethodSpec {
            name: "write_file",
            doc: "Puts a file to the stage.",
            params: &[
                ID,
                required("file_path", Kind::Any, "file path"),
                required("content", Kind::Any, "content"),
                with_default("format", Kind::Str, Preset::Str("text"), "format"),
                with_default("encoding", Kind::Str, Preset::Str("utf-8"), "encoding"),
                optional("branch", Kind::Str, "for git storage"),
            ],
        },
        MethodSpec {
            name: "reset_stats",
            doc: "Sets the counters to 0.",
            params: &[ID],
        },
        MethodSpec {
            name: "get_secret",
            doc: "A secret, or all.",
            params: &[ID, optional("secret_key", Kind::Str, "secret key")],
        },
        MethodSpec {
            name: "set_secret",
            doc: "Sets a secret; null removes it.",
            params: &[
                ID,
                required("secret_key", Kind::Str, "secret key"),
                optional("secret_value", Kind::Any, "secret value"),
            ],
        },
        MethodSpec {
            name: "set_parent",
            doc: "Moves an artifact into another collection.",
            params: &[ID, optional("new_parent_id", Kind::Str, "new parent id")],
        },
        MethodSpec {
            name: "set_download_weight",
            doc: "Sets what a download of a file counts.",
            params: &[
                ID,
                required("file_path", Kind::Any, "file path"),
                required("download_weight", Kind::Number, "download weight"),
            ],
        },
        MethodSpec {
            name: "get_status",
            doc: "What is staged.",
            params: &[ID, optional("branch", Kind::Str, "for git storage")],
        },
        MethodSpec {
            name: "discard_changes",
            doc: "Drops what is staged, if anything is.",
            params: &[ID, optional("branch", Kind::Str, "for git storage")],
        },
        absent("add_vectors", VECTORS),
        absent("search_vectors", VECTORS),
        absent("remove_vectors", VECTORS),
        absent("get_vector", VECTORS),
        absent("list_vectors", VECTORS),
        absent("publish", PUBLISHING),
        absent("create_branch", BRANCHES),
        absent("delete_branch", BRANCHES),
        absent("list_branches", BRANCHES),
        absent("get_diff", BRANCHES),
        absent("create_pr", PULLS),
        absent("get_pr", PULLS),
        absent("list_prs", PULLS),
        absent("update_pr", PULLS),
        absent("close_pr", PULLS),
        absent("merge_pr", PULLS),
        absent("submit_review", PULLS),
        absent("list_reviews", PULLS),
    ],
};

/// A method of the reference that this server answers with `NotImplementedError`.
const fn absent(name: &'static str, params: &'static [Param]) -> MethodSpec {
    MethodSpec {
        name,
        doc: "Not implemented by this server.",
        params,
    }
}

/// Why a method is not implemented; none for those that are.
pub(super) fn missing(method: &str) -> Option<&'static str> {
    Some(match method {
        "add_vectors" | "search_vectors" | "remove_vectors" | "get_vector" | "list_vectors" => {
            "This server has no vector collections."
        }
        "publish" => "This server does not publish to Zenodo.",
        "create_branch" | "delete_branch" | "list_branches" | "get_diff" | "create_pr"
        | "get_pr" | "list_prs" | "update_pr" | "close_pr" | "merge_pr" | "submit_review"
        | "list_reviews" => "This server has no git storage.",
        _ => return None,
    })
}

const VECTORS: &[Param] = &[
    ID,
    optional("vectors", Kind::Any, "vectors"),
    optional("update", Kind::Any, "update"),
    optional("query", Kind::Any, "query"),
    optional("ids", Kind::Any, "ids"),
    optional("id", Kind::Any, "id"),
    optional("filters", Kind::Any, "filters"),
    optional("limit", Kind::Any, "limit"),
    optional("offset", Kind::Any, "offset"),
    optional("return_fields", Kind::Any, "return fields"),
    optional("order_by", Kind::Any, "order by"),
    optional("pagination", Kind::Any, "pagination"),
];

const PUBLISHING: &[Param] = &[
    ID,
    optional("to", Kind::Any, "to"),
    optional("metadata", Kind::Any, "metadata"),
];

const BRANCHES: &[Param] = &[
    ID,
    optional("branch", Kind::Any, "branch"),
    optional("source", Kind::Any, "source"),
    optional("base", Kind::Any, "base"),
    optional("head", Kind::Any, "head"),
    optional("include_content", Kind::Any, "include content"),
    optional("path_filter", Kind::Any, "path filter"),
];

const PULLS: &[Param] = &[
    ID,
    optional("pr_number", Kind::Any, "pr number"),
    optional("title", Kind::Any, "title"),
    optional("description", Kind::Any, "description"),
    optional("source_branch", Kind::Any, "source branch"),
    optional("target_branch", Kind::Any, "target branch"),
    optional("status", Kind::Any, "status"),
    optional("limit", Kind::Any, "limit"),
    optional("offset", Kind::Any, "offset"),
    optional("comment", Kind::Any, "comment"),
    optional("merge_strategy", Kind::Any, "merge strategy"),
    optional("delete_branch", Kind::Any, "delete branch"),
    optional("verdict", Kind::Any, "verdict"),
];
