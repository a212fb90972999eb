use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::super::jwt::Key;
use super::*;

/// Made by the reference server with [`SECRET`], for a child of root.
const FOREIGN: &str = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJodHRwczovL2FtdW4uYWkvIiwic3ViIjoicmVmLXVzZXIiLCJhdWQiOiJodHRwczovL2FtdW4tYWkuZXUuYXV0aDAuY29tL2FwaS92Mi8iLCJpYXQiOjE3OTU1NzA2ODksImV4cCI6MTc5NTU3NDI4OSwic2NvcGUiOiJ3czpsYWIjcncgd3M6KiNyIGNpZDpjMSB3aWQ6bGFiIG9wZW5pZCIsImd0eSI6ImNsaWVudC1jcmVkZW50aWFscyIsImh0dHBzOi8vYW11bi5haS9yb2xlcyI6WyJhZG1pbiJdLCJodHRwczovL2FtdW4uYWkvZW1haWwiOiJhQGIub3JnIiwiaHR0cHM6Ly9hbXVuLmFpL3BhcmVudCI6InJvb3QifQ.uZQQHftslGr5VSbVDLH5t66DHzJhovoBHFz8a7vNVOU";

fn part(json: &Value) -> String {
    URL_SAFE_NO_PAD.encode(json.to_string())
}

/// A token with these claims over the usual ones, null taking a claim out.
fn forged(secret: &str, changes: Value) -> String {
    let mut claims = json!({
        "iss": "https://amun.ai/",
        "sub": "ann",
        "aud": "https://amun-ai.eu.auth0.com/api/v2/",
        "exp": NOW + 100.0,
    });
    let claims = claims.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        claims.insert(name.clone(), value.clone());
    }
    claims.retain(|_, value| !value.is_null());
    Key::new(secret.as_bytes()).seal(claims).unwrap()
}

fn claims_in(token: &str) -> Value {
    let payload = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap()
}

#[test]
fn a_token_of_the_reference_is_accepted() {
    let authority = Authority::new();
    let user = authority.tokens.parse(FOREIGN).unwrap();
    assert_eq!(
        user.to_value().to_json().to_string(),
        r#"{"id":"ref-user","roles":["admin"],"is_anonymous":false,"scope":{"current_workspace":"lab","workspaces":{"lab":"rw","*":"r","ws-user-ref-user":"a"},"client_id":"c1","extra_scopes":["openid"]},"email":"a@b.org","parent":"root","expires_at":1795574289.0,"current_workspace":"lab"}"#
    );
}

#[test]
fn our_token_equals_the_one_of_the_reference_byte_for_byte() {
    let authority = Authority::new();
    authority.pass(1_795_570_689.0 - NOW + 0.7);
    let mut scope = Scope::within("lab", Level::ReadWrite);
    scope.grant(EVERYWHERE, Level::Read);
    scope.client_id = Some("c1".into());
    scope.extra_scopes = vec!["openid".into()];
    let user = UserInfo {
        email: Some("a@b.org".into()),
        parent: Some("root".into()),
        ..UserInfo::with_roles("ref-user", vec!["admin".into()])
    };
    let token = authority.tokens.issue(&user, &scope, 3600.0).unwrap();
    assert_eq!(token, FOREIGN);
}

#[test]
fn bearer_and_blanks_around_a_token_do_not_matter() {
    let authority = Authority::new();
    for token in [
        format!("Bearer {FOREIGN}"),
        format!("  {FOREIGN}\n"),
        format!(" Bearer   {FOREIGN} "),
    ] {
        assert_eq!(authority.tokens.parse(&token).unwrap().id, "ref-user");
    }
}

#[test]
fn the_root_token_makes_root() {
    let authority = Authority::new();
    for token in [
        ROOT_TOKEN.to_owned(),
        format!("Bearer {ROOT_TOKEN}"),
        format!("\t{ROOT_TOKEN} \n"),
        format!("Bearer  {ROOT_TOKEN} "),
    ] {
        let user = authority.tokens.parse(&token).unwrap();
        assert_eq!(user, UserInfo::root());
        assert!(user.allows("any", Level::Admin) && user.expires_at.is_none());
    }
    let almost = format!("{ROOT_TOKEN}x");
    assert_eq!(authority.refusal(&almost), "Error decoding token headers.");
    let without = Authority::with(TokensConfig {
        root_token: None,
        ..Authority::config()
    });
    assert!(without.tokens.parse(ROOT_TOKEN).is_err());
}

#[test]
fn a_weak_root_token_stops_the_start() {
    let store = Store::temporary();
    let config = TokensConfig {
        root_token: Some("letmein".into()),
        ..TokensConfig::default()
    };
    let outcome = Tokens::new(config, Revocations::open(&store).unwrap(), Arc::new(|| NOW));
    assert_eq!(outcome.err(), Some(RootTokenError::TooShort));
}

#[test]
fn what_is_no_token_has_one_text() {
    let authority = Authority::new();
    let not_json = URL_SAFE_NO_PAD.encode("hello");
    let no_algorithm = part(&json!({"typ": "JWT"}));
    for token in [
        "",
        "Bearer ",
        "junk",
        "a.b",
        "a.b.c",
        "....",
        "é.é.é",
        &format!("{not_json}.e30.x"),
        &format!("{no_algorithm}.e30.x"),
    ] {
        assert_eq!(
            authority.refusal(token),
            "Error decoding token headers.",
            "{token}"
        );
    }
}

#[test]
fn other_algorithms_are_refused_by_name() {
    let authority = Authority::new();
    let payload = FOREIGN.split('.').nth(1).unwrap();
    for name in ["RS256", "none", "HS512", "hs256"] {
        let token = format!("{}.{payload}.", part(&json!({"alg": name})));
        assert_eq!(
            authority.refusal(&token),
            format!("Tokens signed with {name:?} are not supported, only HS256")
        );
    }
}

#[test]
fn tampering_breaks_the_signature() {
    let authority = Authority::new();
    let parts: Vec<&str> = FOREIGN.split('.').collect();
    let mut claims = claims_in(FOREIGN);
    claims["scope"] = json!("ws:*#a");
    let header = part(&json!({"alg": "HS256", "kid": "x"}));
    let last = FOREIGN.len() - 1;
    for token in [
        format!("{}.{}.{}", parts[0], part(&claims), parts[2]),
        format!("{header}.{}.{}", parts[1], parts[2]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{}.{}.!!", parts[0], parts[1]),
        // The last digit of 43 carries unused bits; another digit must not pass for it.
        format!("{}V", &FOREIGN[..last]),
        format!("{FOREIGN}="),
        forged("another secret", json!({})),
    ] {
        assert_eq!(
            authority.refusal(&token),
            "Signature verification failed.",
            "{token}"
        );
    }
}

#[test]
fn a_token_ends_at_its_time() {
    let authority = Authority::new();
    let token = authority.token_of(&member(Level::Read));
    authority.pass(3599.9);
    assert_eq!(
        authority.tokens.parse(&token).unwrap().expires_at,
        Some(NOW + 3600.0)
    );
    authority.pass(0.1);
    assert_eq!(
        authority.refusal(&token),
        "The token has expired. Please fetch a new one"
    );
}

#[test]
fn claims_must_be_ours() {
    let authority = Authority::new();
    let refusal = |changes: Value| authority.refusal(&forged(SECRET, changes));
    assert!(authority.tokens.parse(&forged(SECRET, json!({}))).is_ok());
    for audience in [json!("elsewhere"), json!(null), json!(["a", 3]), json!(7)] {
        assert_eq!(refusal(json!({"aud": audience})), "Invalid audience");
    }
    for issuer in [json!("https://evil/"), json!(null), json!(1)] {
        assert_eq!(refusal(json!({"iss": issuer})), "Invalid issuer");
    }
    assert_eq!(
        refusal(json!({"nbf": NOW + 1.0})),
        "The token is not yet valid (nbf)"
    );
    let list = json!({"aud": ["x", "https://amun-ai.eu.auth0.com/api/v2/"], "nbf": NOW});
    assert!(authority.tokens.parse(&forged(SECRET, list)).is_ok());
}

#[test]
fn malformed_claims_are_named() {
    let authority = Authority::new();
    for (claim, value) in [
        ("exp", json!(null)),
        ("exp", json!("soon")),
        ("sub", json!(null)),
        ("sub", json!(7)),
        ("sub", json!("")),
        ("sub", json!("a/b")),
        ("sub", json!("a b")),
        ("sub", json!("*")),
        ("scope", json!(["ws:lab#a"])),
        ("https://amun.ai/roles", json!("admin")),
        ("https://amun.ai/roles", json!([1])),
        ("https://amun.ai/email", json!(1)),
        ("https://amun.ai/parent", json!(true)),
    ] {
        let token = forged(SECRET, json!({claim: value}));
        assert_eq!(
            authority.refusal(&token),
            format!("Invalid token structure: claim '{claim}' is missing or malformed"),
            "{value}"
        );
    }
    let token = forged(SECRET, json!({"scope": "ws:lab"}));
    assert_eq!(
        authority.refusal(&token),
        "Invalid token structure: Invalid permission in scope: \"lab\""
    );
}

#[test]
fn signed_nonsense_is_no_set_of_claims() {
    let authority = Authority::new();
    let signed = format!("{}.{}", part(&json!({"alg": "HS256"})), part(&json!([1])));
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    let algorithm = jsonwebtoken::Algorithm::HS256;
    let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &key, algorithm).unwrap();
    assert_eq!(
        authority.refusal(&format!("{signed}.{signature}")),
        "Error decoding token claims."
    );
}

#[test]
fn a_token_without_scope_has_the_personal_workspace_only() {
    let authority = Authority::new();
    let user = authority.tokens.parse(&forged(SECRET, json!({}))).unwrap();
    let expected = Scope {
        workspaces: vec![("ws-user-ann".into(), Level::Admin)],
        ..Scope::default()
    };
    assert_eq!(user.scope, expected);
    assert_eq!(user.current_workspace, None);
    assert!(user.roles.is_empty() && user.email.is_none() && !user.is_anonymous);
}

#[test]
fn an_empty_email_is_none() {
    let authority = Authority::new();
    let token = forged(SECRET, json!({"https://amun.ai/email": ""}));
    assert_eq!(authority.tokens.parse(&token).unwrap().email, None);
}

#[test]
fn names_of_claims_are_configurable() {
    let config = TokensConfig {
        issuer: "https://lab/".into(),
        audience: "us".into(),
        namespace: "lab:".into(),
        ..Authority::config()
    };
    let authority = Authority::with(config);
    let token = authority.token_of(&member(Level::Read));
    let claims = claims_in(&token);
    assert_eq!(claims["iss"], "https://lab/");
    assert_eq!(claims["aud"], "us");
    assert_eq!(claims["lab:roles"], json!(["user"]));
    assert_eq!(authority.tokens.parse(&token).unwrap().roles, ["user"]);
    assert_eq!(Authority::new().refusal(&token), "Invalid audience");
}

#[test]
fn without_a_secret_each_process_has_its_own() {
    let config = || TokensConfig {
        secret: Some(String::new()),
        ..TokensConfig::default()
    };
    let (one, two) = (Authority::with(config()), Authority::with(config()));
    let token = one.token_of(&member(Level::Read));
    assert!(one.tokens.parse(&token).is_ok());
    assert_eq!(two.refusal(&token), "Signature verification failed.");
}

#[test]
fn a_reconnection_token_is_for_one_client_in_one_workspace() {
    let authority = Authority::new();
    let user = member(Level::Read).acting_in("lab", Some("c1"), false);
    let token = authority.tokens.reconnection(&user, "lab", "c1").unwrap();
    let claims = claims_in(&token);
    assert_eq!(claims["scope"], "ws:lab#r cid:c1 wid:lab");
    assert_eq!(claims["exp"], json!(NOW as i64 + 172_800));
    let parsed = authority.tokens.parse(&token).unwrap();
    assert_eq!(parsed.id, "ann");
    assert!(parsed.check_client("c2").is_err() && parsed.check_workspace("x").is_err());
    assert_eq!(authority.tokens.reconnection_lifetime(), 172_800.0);
    assert!(authority.tokens.reconnection(&user, "a b", "c1").is_err());
}

#[test]
fn anonymous_users_are_fresh_and_can_reconnect() {
    let authority = Authority::new();
    let (one, two) = (
        authority.tokens.anonymous_user(),
        authority.tokens.anonymous_user(),
    );
    assert_ne!(one.id, two.id);
    assert!(one.id.starts_with("anonymouz-") && one.is_anonymous);
    assert_eq!(one.expires_at, Some(NOW + 600.0));
    let workspace = one.personal_workspace();
    let token = authority.tokens.reconnection(&one, &workspace, "c");
    let parsed = authority.tokens.parse(&token.unwrap()).unwrap();
    assert!(parsed.is_anonymous && parsed.allows(&workspace, Level::Admin));
}

#[test]
fn the_handshake_tells_bad_tokens_from_unfit_ones() {
    for error in [
        TokenError::Malformed,
        TokenError::Expired,
        TokenError::Signature,
        TokenError::Claim("sub".into()),
    ] {
        assert!(error.is_bad_token());
    }
    for error in [
        TokenError::Revoked,
        TokenError::Specialised(vec![]),
        TokenError::ClientMismatch("c".into()),
    ] {
        assert!(!error.is_bad_token());
    }
}

#[test]
fn inspecting_is_for_callers_in_the_workspace_of_the_token() {
    let authority = Authority::new();
    let token = authority.token_of(&member(Level::Read));
    let tokens = &authority.tokens;
    assert_eq!(tokens.inspect(&token, "lab").unwrap().id, "ann");
    let refused = |token: &str, workspace: &str| {
        let error = tokens.inspect(token, workspace).unwrap_err();
        assert_eq!(error.class(), "fastapi.exceptions.HTTPException");
        error.to_string()
    };
    assert_eq!(
        refused(&token, "other"),
        "403: Token is not authorized for workspace 'other'"
    );
    assert_eq!(
        refused("junk", "lab"),
        "401: Invalid token structure: Error decoding token claims."
    );
    assert_eq!(
        refused(&forged("other", json!({})), "lab"),
        "401: Signature verification failed."
    );
    assert!(tokens.inspect(ROOT_TOKEN, "ws-user-root").is_ok());
    let free = forged(SECRET, json!({}));
    assert!(tokens.inspect(&free, "anywhere").is_ok());
}
