//! The methods of `public/queue`.

use crate::peer::ServiceSpec;
use crate::peer::schema::{Kind, MethodSpec, Param, Preset, required, with_default};

const QUEUE: Param = required(
    "queue_name",
    Kind::Str,
    "name of a queue in your workspace: up to 128 letters, digits, hyphens, underscores and dots",
);

pub(super) static SPEC: ServiceSpec = ServiceSpec {
    id: "queue",
    name: "Task Queue Service",
    kind: "generic",
    description: "Queues of tasks within a workspace, first in, first out.",
    methods: &[
        MethodSpec {
            name: "push",
            doc: "Puts a task at the end of a queue.",
            params: &[
                QUEUE,
                required("task", Kind::Object, "an object that JSON can hold"),
            ],
        },
        MethodSpec {
            name: "pop",
            doc: "Takes the first task out of a queue, waiting for one if need be; null when none \
                  came in time.",
            params: &[
                QUEUE,
                with_default(
                    "timeout",
                    Kind::Number,
                    Preset::Int(30),
                    "seconds to wait, at most 300; 0 to look only",
                ),
            ],
        },
        MethodSpec {
            name: "get_length",
            doc: "The number of tasks in a queue.",
            params: &[QUEUE],
        },
        MethodSpec {
            name: "peek",
            doc: "The first tasks of a queue, which stay in it.",
            params: &[
                QUEUE,
                with_default(
                    "n",
                    Kind::Int,
                    Preset::Int(1),
                    "how many to return, at most 100",
                ),
            ],
        },
    ],
};
