use super::*;
use crate::map;
use crate::wire::{Map, Value};

fn request(permission: Level) -> TokenRequest {
    TokenRequest {
        permission,
        ..TokenRequest::default()
    }
}

impl Authority {
    /// The user that a generated token makes.
    fn child(&self, caller: &UserInfo, request: TokenRequest) -> UserInfo {
        let token = self.tokens.generate(caller, "lab", request).unwrap();
        self.tokens.parse(&token).unwrap()
    }

    fn no_child(&self, caller: &UserInfo, request: TokenRequest) -> IdentityError {
        self.tokens.generate(caller, "lab", request).unwrap_err()
    }
}

fn administrator() -> UserInfo {
    UserInfo {
        scope: Scope::within("lab", Level::Admin),
        ..UserInfo::with_roles("boss", vec!["admin".into(), "user".into()])
    }
}

#[test]
fn a_child_never_has_more_than_its_caller() {
    let authority = Authority::new();
    let levels = [Level::Read, Level::ReadWrite, Level::Admin];
    for held in levels {
        for wanted in levels {
            let child = authority.child(&member(held), request(wanted));
            assert_eq!(child.level_in("lab"), Some(held.min(wanted)));
            assert_eq!(child.level_in("other"), None);
        }
    }
}

#[test]
fn a_caller_without_a_level_makes_nothing() {
    let authority = Authority::new();
    let elsewhere = TokenRequest {
        workspace: Some("other".into()),
        ..TokenRequest::default()
    };
    let error = authority.no_child(&member(Level::Admin), elsewhere);
    assert_eq!(
        error.to_string(),
        "You do not have any permission for workspace: other"
    );
    assert_eq!(error.class(), "PermissionError");
}

#[test]
fn a_weak_entry_for_everywhere_does_not_hide_the_stronger_one() {
    let authority = Authority::new();
    let mut caller = member(Level::Admin);
    caller.scope.grant(EVERYWHERE, Level::Read);
    let child = authority.child(&caller, request(Level::Admin));
    assert_eq!(child.level_in("lab"), Some(Level::Admin));
    assert_eq!(child.level_in("other"), None);
}

#[test]
fn who_may_generate() {
    let check = |level, owner| check_may_generate(&member(level), "lab", owner);
    assert!(check(Level::Admin, false).is_ok());
    assert!(check(Level::Read, true).is_ok());
    for level in [Level::Read, Level::ReadWrite] {
        assert_eq!(
            check(level, false).unwrap_err().to_string(),
            "Only admin can generate token."
        );
    }
    assert_eq!(
        check_may_generate(&member(Level::Admin), "my-ws", false)
            .unwrap_err()
            .to_string(),
        "You do not have any permission for workspace: my-ws"
    );
}

#[test]
fn the_default_child_reads_and_writes_for_an_hour() {
    let authority = Authority::new();
    let child = authority.child(&member(Level::Admin), TokenRequest::default());
    assert_eq!(child.level_in("lab"), Some(Level::ReadWrite));
    assert_eq!(child.expires_at, Some(NOW + 3600.0));
    assert_eq!(child.current_workspace.as_deref(), Some("lab"));
    assert_eq!(child.parent.as_deref(), Some("ann"));
    assert_eq!(child.email.as_deref(), Some("ann@lab.org"));
    assert_eq!(child.roles, ["user"]);
    assert_ne!(child.id, "ann");
    let sibling = authority.child(&member(Level::Admin), TokenRequest::default());
    assert_ne!(child.id, sibling.id);
}

#[test]
fn a_grandchild_has_the_first_ancestor_as_parent() {
    let authority = Authority::new();
    let child = authority.child(&member(Level::Admin), request(Level::Admin));
    let grandchild = authority.child(&child, TokenRequest::default());
    assert_eq!(grandchild.parent.as_deref(), Some("ann"));
    assert_eq!(grandchild.effective_id(), "ann");
}

#[test]
fn the_admin_role_is_not_inherited() {
    let authority = Authority::new();
    let child = authority.child(&administrator(), request(Level::Admin));
    assert_eq!(child.roles, ["user"]);
    let child = child.acting_in("lab", Some("c"), false);
    assert_eq!(child.level_in("other"), None);
    let root = UserInfo::root();
    let child = authority.child(&root, request(Level::Admin));
    assert!(child.roles.is_empty() && !child.is_root());
    assert_eq!(child.level_in("lab"), Some(Level::Admin));
    assert_eq!(child.level_in("other"), None);
}

#[test]
fn an_anonymous_caller_has_anonymous_children() {
    let authority = Authority::new();
    let caller = authority.tokens.anonymous_user();
    let workspace = caller.personal_workspace();
    let token = authority
        .tokens
        .generate(&caller, &workspace, TokenRequest::default());
    let child = authority.tokens.parse(&token.unwrap()).unwrap();
    assert!(child.is_anonymous);
    assert_eq!(child.level_in(&workspace), Some(Level::ReadWrite));
}

#[test]
fn everywhere_is_for_root_on_request() {
    let authority = Authority::new();
    let everywhere = || TokenRequest {
        workspace: Some(EVERYWHERE.into()),
        ..TokenRequest::default()
    };
    let child = authority.child(&UserInfo::root(), everywhere());
    assert_eq!(child.level_in("any"), Some(Level::ReadWrite));
    assert_eq!(child.scope.current_workspace, None);
    let boss = administrator().acting_in("lab", None, false);
    assert!(boss.allows("any", Level::Admin));
    for caller in [boss, child, member(Level::Admin)] {
        assert!(matches!(
            authority.no_child(&caller, everywhere()),
            IdentityError::NoPermission(_)
        ));
    }
}

#[test]
fn lifetimes_are_positive_and_at_most_a_year() {
    let authority = Authority::new();
    let lasting = |expires_in| TokenRequest {
        expires_in,
        ..TokenRequest::default()
    };
    let caller = member(Level::Admin);
    for expires_in in [0.0, -1.0, f64::NAN, f64::NEG_INFINITY] {
        let error = authority.no_child(&caller, lasting(expires_in));
        assert_eq!(error.to_string(), "expires_in should be greater than 0");
        assert_eq!(error.class(), "AssertionError");
    }
    let year = 365.0 * 86_400.0;
    for expires_in in [year, 10.0 * year, f64::INFINITY] {
        let child = authority.child(&caller, lasting(expires_in));
        assert_eq!(child.expires_at, Some(NOW + year));
    }
    let child = authority.child(&UserInfo::root(), lasting(10.0 * year));
    assert_eq!(child.expires_at, Some(NOW + 10.0 * year));
    assert!(
        authority
            .child(&UserInfo::root(), lasting(f64::INFINITY))
            .expires_at
            .is_some()
    );
    let child = authority.child(&caller, lasting(0.2));
    assert_eq!(child.expires_at, Some(NOW + 1.0));
}

#[test]
fn an_email_is_for_administrators_to_set() {
    let authority = Authority::new();
    let with = |email: &str| TokenRequest {
        email: Some(email.into()),
        ..TokenRequest::default()
    };
    let error = authority.no_child(&member(Level::Admin), with("eve@lab.org"));
    assert_eq!(
        error.to_string(),
        "Only callers with the 'admin' role may set TokenConfig.email"
    );
    assert_eq!(error.class(), "PermissionError");
    let child = authority.child(&administrator(), with("eve@lab.org"));
    assert_eq!(child.email.as_deref(), Some("eve@lab.org"));
    for email in [
        "",
        "eve",
        "@lab.org",
        "eve@",
        "eve@lab",
        "e ve@lab.org",
        "a@b@c.org",
        "a@b..c",
    ] {
        let error = authority.no_child(&administrator(), with(email));
        assert!(matches!(error, IdentityError::Email(_)), "{email}");
    }
}

#[test]
fn a_pinned_child_is_for_one_client() {
    let authority = Authority::new();
    let pinned = |id: &str| TokenRequest {
        client_id: Some(id.into()),
        ..TokenRequest::default()
    };
    let child = authority.child(&member(Level::Admin), pinned("locked-1"));
    assert!(child.check_client("locked-1").is_ok());
    assert!(child.check_client("other").is_err());
    for id in ["", "a b", "a/b", "x ws:*#a", "a:b"] {
        let error = authority.no_child(&member(Level::Admin), pinned(id));
        assert_eq!(error.to_string(), format!("Invalid client id: {id}"));
    }
}

#[test]
fn extra_scopes_cannot_smuggle_permissions() {
    let authority = Authority::new();
    let with = |scope: &str| TokenRequest {
        extra_scopes: vec![scope.into()],
        ..TokenRequest::default()
    };
    let child = authority.child(&member(Level::Admin), with("file:download"));
    assert!(child.check_general_use().is_err());
    for scope in ["ws:*#a", "x ws:*#a", "cid:c", "wid:other", "", "Upper"] {
        let error = authority.no_child(&member(Level::Admin), with(scope));
        assert!(matches!(error, IdentityError::Scope(_)), "{scope}");
        assert_eq!(error.class(), "ValueError");
    }
    let hostile = TokenRequest {
        workspace: Some("lab#a wid:x".into()),
        ..TokenRequest::default()
    };
    assert!(
        authority
            .tokens
            .generate(&UserInfo::root(), "lab", hostile)
            .is_err()
    );
}

#[test]
fn requests_are_read_from_maps() {
    assert_eq!(
        TokenRequest::from_value(&Value::Nil).unwrap(),
        TokenRequest::default()
    );
    let read = |map: Map| TokenRequest::from_value(&Value::Map(map));
    assert_eq!(read(map! {}).unwrap(), TokenRequest::default());
    let full = read(map! {
        "expires_in" => 60,
        "workspace" => "w",
        "permission" => "admin",
        "extra_scopes" => vec!["file:download"],
        "client_id" => "c",
        "email" => "a@b.org",
        "unknown" => true,
    })
    .unwrap();
    let expected = TokenRequest {
        expires_in: 60.0,
        workspace: Some("w".into()),
        permission: Level::Admin,
        extra_scopes: vec!["file:download".into()],
        client_id: Some("c".into()),
        email: Some("a@b.org".into()),
    };
    assert_eq!(full, expected);
    assert_eq!(full.workspace_or("lab"), "w");
    let error = read(map! { "permission" => "x" }).unwrap_err();
    assert_eq!(
        error.to_string().lines().last(),
        Some(
            "  String should match pattern '^(read|read_write|admin)$' \
             [type=string_pattern_mismatch, input_value='x', input_type=str]"
        )
    );
    assert!(read(map! { "permission" => "rw" }).is_err());
    let error = read(map! { "expires_in" => "long" }).unwrap_err();
    assert_eq!(error.to_string(), "expires_in should be float, not str");
    assert!(TokenRequest::from_value(&Value::from("x")).is_err());
}
