//! The methods of `public/s3-storage`.

use crate::peer::ServiceSpec;
use crate::peer::schema::{Kind, MethodSpec, Param, Preset, optional, required, with_default};

const FILES: Param = required(
    "file_path",
    Kind::Any,
    "path in the workspace, or a list of paths",
);
const PROXY: Param = optional(
    "use_proxy",
    Kind::Bool,
    "false for an address of the storage itself, where it has such",
);
const LOCAL: Param = with_default(
    "use_local_url",
    Kind::Any,
    Preset::Bool(false),
    "true for an address that only programs beside the server can use",
);
const EXPIRES: Param = with_default(
    "expires_in",
    Kind::Number,
    Preset::Int(3600),
    "seconds for which the address works, at most 604800",
);

pub(super) static SPEC: ServiceSpec = ServiceSpec {
    id: "s3-storage",
    name: "S3 Storage Service",
    kind: "generic",
    description: "Files of a workspace: listing, addresses to upload and download, removal.",
    methods: &[
        MethodSpec {
            name: "list_files",
            doc: "What is in a folder of the workspace: files and folders, in the order of names.",
            params: &[
                with_default("path", Kind::Str, Preset::Str(""), "the folder"),
                with_default(
                    "max_length",
                    Kind::Int,
                    Preset::Int(1000),
                    "the most that are returned, at most 10000",
                ),
                with_default(
                    "offset",
                    Kind::Int,
                    Preset::Int(0),
                    "how many are left out first",
                ),
            ],
        },
        MethodSpec {
            name: "put_file",
            doc: "The address to upload a file to with an HTTP PUT; for a list of paths a map of \
                  addresses.",
            params: &[
                FILES,
                PROXY,
                LOCAL,
                EXPIRES,
                optional(
                    "ttl",
                    Kind::Any,
                    "seconds after which the uploaded file is removed, one or a list of them",
                ),
            ],
        },
        MethodSpec {
            name: "get_file",
            doc: "The address to download a file from; for a list of paths a map of addresses.",
            params: &[FILES, PROXY, LOCAL, EXPIRES],
        },
        MethodSpec {
            name: "put_file_start_multipart",
            doc: "Begins an upload in parts; its id, and an address for each part.",
            params: &[
                required("file_path", Kind::Str, "path in the workspace"),
                required("part_count", Kind::Int, "how many parts, at most 10000"),
                EXPIRES,
                optional(
                    "ttl",
                    Kind::Int,
                    "seconds after which the file is removed again",
                ),
            ],
        },
        MethodSpec {
            name: "put_file_complete_multipart",
            doc: "Ends an upload in parts: the file appears.",
            params: &[
                required(
                    "upload_id",
                    Kind::Str,
                    "the id that the upload was begun with",
                ),
                required(
                    "parts",
                    Kind::List,
                    "for each part its part_number and the etag that came with it",
                ),
            ],
        },
        MethodSpec {
            name: "remove_file",
            doc: "Removes a file, or a folder with all that is in it.",
            params: &[required("path", Kind::Str, "the file or folder")],
        },
        MethodSpec {
            name: "delete_file",
            doc: "Removes a file; remove_file does the same.",
            params: &[required("path", Kind::Str, "the file")],
        },
        MethodSpec {
            name: "delete_directory",
            doc: "Removes a folder with all that is in it; remove_file does the same.",
            params: &[required(
                "path",
                Kind::Str,
                "the folder, with a slash at its end",
            )],
        },
        MethodSpec {
            name: "generate_presigned_url",
            doc: "An address of a file; put_file and get_file do the same.",
            params: &[
                required("path", Kind::Str, "path in the workspace"),
                with_default(
                    "client_method",
                    Kind::Str,
                    Preset::Str("get_object"),
                    "get_object or put_object",
                ),
                with_default(
                    "expiration",
                    Kind::Number,
                    Preset::Int(3600),
                    "seconds for which the address works",
                ),
            ],
        },
    ],
};
