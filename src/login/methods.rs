//! The methods of `public/hypha-login`; names, parameters and defaults of workspace.md 1.8 and 1.9.

use crate::peer::ServiceSpec;
use crate::peer::schema::{Kind, MethodSpec, Param, Preset, optional, required, with_default};

const KEY: Param = required("key", Kind::Str, "key of the login, from start");
const EVENT: Param = optional("event", Kind::Object, "the HTTP request");
const EXPIRES_IN: Param = optional(
    "expires_in",
    Kind::Int,
    "seconds that a token for the workspace lives; 3600 when not given",
);
const NAME: Param = optional("name", Kind::Str, "name of the user");
const EMAIL: Param = optional("email", Kind::Str, "email of the user");

const fn service(methods: &'static [MethodSpec]) -> ServiceSpec {
    ServiceSpec {
        id: "hypha-login",
        name: "Hypha Login",
        kind: "functions",
        description: "Login service for Hypha",
        methods,
    }
}

/// Without accounts: users bring a token.
pub(super) static SPEC: ServiceSpec = service(&[INDEX, START, CHECK, REPORT, PROFILE, LOGOUT]);

/// With accounts kept by the server.
pub(super) static SPEC_WITH_ACCOUNTS: ServiceSpec = service(&[
    INDEX,
    START,
    CHECK,
    REPORT,
    PROFILE,
    LOGOUT,
    SIGNUP,
    VERIFY_EMAIL,
    RESEND_CODE,
    LOGIN,
    UPDATE_PROFILE,
]);

const INDEX: MethodSpec = MethodSpec {
    name: "index",
    doc: "The login page.",
    params: &[EVENT],
};

const START: MethodSpec = MethodSpec {
    name: "start",
    doc: "Starts a login: the address for the user, and the key to wait for its outcome.",
    params: &[
        optional(
            "workspace",
            Kind::Str,
            "workspace that the token is to be for",
        ),
        EXPIRES_IN,
    ],
};

const CHECK: MethodSpec = MethodSpec {
    name: "check",
    doc: "Waits for the outcome of a login and takes it. Returns the token, or null when the \
          timeout is not above zero and the login is not complete.",
    params: &[
        KEY,
        with_default(
            "timeout",
            Kind::Number,
            Preset::Int(180),
            "seconds to wait; 0 to look only",
        ),
        with_default(
            "profile",
            Kind::Bool,
            Preset::Bool(false),
            "return an object with token, workspace and what is known of the user",
        ),
    ],
};

const REPORT: MethodSpec = MethodSpec {
    name: "report",
    doc: "Completes a login with a token that this server accepts. With a workspace a token for \
          that workspace is made from it.",
    params: &[
        KEY,
        required("token", Kind::Str, "token of the user"),
        optional(
            "workspace",
            Kind::Str,
            "workspace that the token is to be for",
        ),
        EXPIRES_IN,
        EMAIL,
        optional(
            "email_verified",
            Kind::Any,
            "whether the email is the user's",
        ),
        NAME,
        optional("nickname", Kind::Str, "short name of the user"),
        optional("user_id", Kind::Str, "id of the user"),
        optional("picture", Kind::Str, "address of a picture of the user"),
    ],
};

const PROFILE: MethodSpec = MethodSpec {
    name: "profile",
    doc: "Leads to the page on which users see who they are.",
    params: &[EVENT],
};

const LOGOUT: MethodSpec = MethodSpec {
    name: "logout",
    doc: "The address that ends the login of a browser.",
    params: &[optional("config", Kind::Object, "nothing is read from it")],
};

const SIGNUP: MethodSpec = MethodSpec {
    name: "signup",
    doc: "Asks for an account; a code is sent to the email.",
    params: &[
        NAME,
        EMAIL,
        optional("password", Kind::Str, "at least 8 characters"),
    ],
};

const VERIFY_EMAIL: MethodSpec = MethodSpec {
    name: "verify_email",
    doc: "Makes the account that was asked for, with the code from the email.",
    params: &[EMAIL, optional("code", Kind::Str, "six digits")],
};

const RESEND_CODE: MethodSpec = MethodSpec {
    name: "resend_code",
    doc: "Sends a new code; the old one is void.",
    params: &[EMAIL],
};

const LOGIN: MethodSpec = MethodSpec {
    name: "login",
    doc: "Logs in with an account: a token for a day, and the login with this key completed.",
    params: &[
        EMAIL,
        optional("password", Kind::Str, "password of the account"),
        optional(
            "workspace",
            Kind::Str,
            "workspace that the token is to be for; your own when not given",
        ),
        optional("key", Kind::Str, "key of a login to complete"),
    ],
};

const UPDATE_PROFILE: MethodSpec = MethodSpec {
    name: "update_profile",
    doc: "Changes name or password of an account; by its owner, or with its password.",
    params: &[
        NAME,
        optional("current_password", Kind::Str, "the password until now"),
        optional("new_password", Kind::Str, "at least 8 characters"),
        optional(
            "user_email",
            Kind::Str,
            "email of the account; that of the caller when not given",
        ),
    ],
};
