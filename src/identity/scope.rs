use super::Level;

/// The workspace entry that applies to all workspaces.
pub const EVERYWHERE: &str = "*";

const WORKSPACE: &str = "ws:";
const CLIENT: &str = "cid:";
const CURRENT: &str = "wid:";
const RESERVED: [&str; 3] = [WORKSPACE, CLIENT, CURRENT];

const MAX_CLIENT_ID: usize = 128;

/// What a user may touch, as carried by a token.
///
/// Kept as data. The text form exists only inside tokens: it is read once on arrival and written
/// once at issue, and no element may contain what would read as another element.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// The workspace the token is for.
    pub current_workspace: Option<String>,
    /// Levels by workspace, in order, each workspace once.
    pub workspaces: Vec<(String, Level)>,
    /// The only client id the token is good for.
    pub client_id: Option<String>,
    /// Everything else. A colon in one makes the token a specialised one.
    pub extra_scopes: Vec<String>,
}

/// A scope that cannot be read or must not be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// A workspace name that cannot stand in a scope.
    #[error("Invalid workspace in scope: {0:?}")]
    Workspace(String),
    /// A workspace entry without a known level.
    #[error("Invalid permission in scope: {0:?}")]
    Level(String),
    /// A client id that is not allowed.
    #[error("Invalid client id: {}", .0.escape_debug())]
    ClientId(String),
    /// An extra scope that is not allowed.
    #[error("Invalid extra scope: {0:?}")]
    Extra(String),
    /// An element that may appear once and appears again.
    #[error("Repeated element in scope: {0}")]
    Repeated(&'static str),
}

impl Scope {
    /// A scope for one workspace, which is also the current one.
    pub fn within(workspace: &str, level: Level) -> Scope {
        Scope {
            current_workspace: Some(workspace.to_owned()),
            workspaces: vec![(workspace.to_owned(), level)],
            ..Scope::default()
        }
    }

    /// Gives at least `level` in `workspace`; never takes anything away.
    pub fn grant(&mut self, workspace: &str, level: Level) {
        match self.workspaces.iter_mut().find(|(ws, _)| ws == workspace) {
            Some((_, held)) => *held = level.max(*held),
            None => self.workspaces.push((workspace.to_owned(), level)),
        }
    }

    /// The stronger of the entry for `workspace` and the entry for all workspaces.
    pub fn level_in(&self, workspace: &str) -> Option<Level> {
        self.workspaces
            .iter()
            .filter(|(ws, _)| ws == workspace || ws == EVERYWHERE)
            .map(|&(_, level)| level)
            .max()
    }

    /// Reads the text form. Unknown words become extra scopes.
    pub fn parse(text: &str) -> Result<Scope, ScopeError> {
        let mut scope = Scope::default();
        for word in text.split_whitespace() {
            if let Some(entry) = word.strip_prefix(WORKSPACE) {
                let (workspace, level) = parse_entry(entry)?;
                scope.grant(workspace, level);
            } else if let Some(client_id) = word.strip_prefix(CLIENT) {
                set_once(&mut scope.client_id, client_id, "cid")?;
            } else if let Some(workspace) = word.strip_prefix(CURRENT) {
                set_once(&mut scope.current_workspace, workspace, "wid")?;
            } else {
                scope.extra_scopes.push(word.to_owned());
            }
        }
        Ok(scope)
    }

    /// Writes the text form, or refuses a scope with an element that would read as something else.
    pub fn to_claim(&self) -> Result<String, ScopeError> {
        let mut words = Vec::new();
        for (workspace, level) in &self.workspaces {
            check_workspace(workspace)?;
            words.push(format!("{WORKSPACE}{workspace}#{}", level.letter()));
        }
        if let Some(client_id) = &self.client_id {
            if !is_word(client_id) {
                return Err(ScopeError::ClientId(client_id.clone()));
            }
            words.push(format!("{CLIENT}{client_id}"));
        }
        if let Some(workspace) = &self.current_workspace {
            check_workspace(workspace)?;
            words.push(format!("{CURRENT}{workspace}"));
        }
        for extra in &self.extra_scopes {
            if !is_word(extra) || is_reserved(extra) {
                return Err(ScopeError::Extra(extra.clone()));
            }
            words.push(extra.clone());
        }
        Ok(words.join(" "))
    }
}

fn parse_entry(entry: &str) -> Result<(&str, Level), ScopeError> {
    let Some((workspace, level)) = entry.rsplit_once('#') else {
        return Err(ScopeError::Level(entry.to_owned()));
    };
    check_workspace(workspace)?;
    let level = level.parse();
    Ok((
        workspace,
        level.map_err(|_| ScopeError::Level(entry.to_owned()))?,
    ))
}

fn set_once(slot: &mut Option<String>, text: &str, name: &'static str) -> Result<(), ScopeError> {
    if slot.is_some() {
        return Err(ScopeError::Repeated(name));
    }
    // A prefix with nothing behind it says nothing.
    *slot = (!text.is_empty()).then(|| text.to_owned());
    Ok(())
}

fn check_workspace(workspace: &str) -> Result<(), ScopeError> {
    if is_word(workspace) && !workspace.contains('#') {
        return Ok(());
    }
    Err(ScopeError::Workspace(workspace.to_owned()))
}

fn is_word(text: &str) -> bool {
    let breaks = |c: char| c.is_whitespace() || c.is_control();
    !text.is_empty() && !text.contains(breaks)
}

fn is_reserved(text: &str) -> bool {
    RESERVED.iter().any(|prefix| text.starts_with(prefix))
}

/// Whether a user may ask for this extra scope: lower-case words, parts separated by colons, and
/// nothing that reads as a workspace or client entry.
pub fn is_extra_scope(text: &str) -> bool {
    let mut parts = text.split(':');
    let head = parts.next().unwrap_or_default();
    is_scope_head(head) && parts.all(is_scope_part) && !is_reserved(text)
}

fn is_scope_head(head: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_' | '-');
    head.starts_with(|c: char| c.is_ascii_lowercase()) && head.chars().all(allowed)
}

fn is_scope_part(part: &str) -> bool {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '/' | '-' | '~' | '%');
    part == "*" || (!part.is_empty() && part.chars().all(allowed))
}

/// Whether a client may call itself this. Characters that have a meaning in service ids and
/// addresses are left out.
pub fn is_client_id(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '|' | '-');
    (1..=MAX_CLIENT_ID).contains(&text.len()) && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_text_form_has_a_fixed_order() {
        let mut scope = Scope::within("lab-one", Level::ReadWrite);
        scope.grant("*", Level::Read);
        scope.client_id = Some("locked-1".into());
        scope.extra_scopes = vec!["openid".into(), "file:download".into()];
        let text = scope.to_claim().unwrap();
        assert_eq!(
            text,
            "ws:lab-one#rw ws:*#r cid:locked-1 wid:lab-one openid file:download"
        );
        assert_eq!(Scope::parse(&text), Ok(scope));
    }

    #[test]
    fn an_empty_text_is_an_empty_scope() {
        assert_eq!(Scope::parse(""), Ok(Scope::default()));
        assert_eq!(Scope::parse("  cid: wid: "), Ok(Scope::default()));
        assert_eq!(Scope::default().to_claim().unwrap(), "");
    }

    #[test]
    fn malformed_entries_are_refused() {
        for text in ["ws:lab", "ws:lab#x", "ws:#r", "ws:a#b#r"] {
            assert!(Scope::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            Scope::parse("cid:a cid:b"),
            Err(ScopeError::Repeated("cid"))
        );
        assert_eq!(
            Scope::parse("wid:a wid:b"),
            Err(ScopeError::Repeated("wid"))
        );
    }

    #[test]
    fn an_entry_for_everywhere_never_hides_a_stronger_one() {
        for text in ["ws:*#r ws:lab#a", "ws:lab#a ws:*#r"] {
            let scope = Scope::parse(text).unwrap();
            assert_eq!(scope.level_in("lab"), Some(Level::Admin));
            assert_eq!(scope.level_in("other"), Some(Level::Read));
        }
        let scope = Scope::parse("ws:lab#r ws:*#a").unwrap();
        assert_eq!(scope.level_in("lab"), Some(Level::Admin));
        assert_eq!(
            Scope::parse("ws:lab#r").unwrap().level_in("la"),
            None,
            "no match by prefix"
        );
    }

    #[test]
    fn no_element_can_pose_as_another() {
        let hostile = [
            "a b",
            "x ws:*#a",
            "x\tws:*#a",
            "x\u{a0}ws:*#a",
            "ws:*#a",
            "cid:x",
            "wid:x",
            "",
        ];
        for text in hostile {
            let scope = Scope {
                extra_scopes: vec![text.to_owned()],
                ..Scope::default()
            };
            assert!(scope.to_claim().is_err(), "{text:?}");
            assert!(!is_extra_scope(text), "{text:?}");
        }
        for text in ["a b", "x ws:*#a", "", "x\n"] {
            let scope = Scope {
                client_id: Some(text.to_owned()),
                ..Scope::default()
            };
            assert!(scope.to_claim().is_err(), "{text:?}");
            assert!(!is_client_id(text), "{text:?}");
        }
        for text in ["a#a wid:b", "a#a", "a b", ""] {
            assert!(
                Scope::within(text, Level::Read).to_claim().is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn extra_scopes_follow_a_grammar() {
        for text in [
            "openid",
            "file:download",
            "a.b_c-d:X/y:0",
            "read:a",
            "get_file:a/b:d%2F~e",
            "put_file:a:*",
        ] {
            assert!(is_extra_scope(text), "{text}");
        }
        for text in ["Openid", "1a", "a:", ":a", "a::b", "a:b*", "é", "a:é"] {
            assert!(!is_extra_scope(text), "{text}");
        }
    }

    #[test]
    fn client_ids_follow_a_grammar() {
        let longest = "x".repeat(128);
        for text in ["a", "pytest_1", "auth0|5f.a-b", "0", longest.as_str()] {
            assert!(is_client_id(text), "{text}");
        }
        let too_long = "x".repeat(129);
        for text in ["", "a/b", "a:b", "a@b", "*", "a b", "é", too_long.as_str()] {
            assert!(!is_client_id(text), "{text}");
        }
    }

    fn level() -> impl Strategy<Value = Level> {
        prop_oneof![
            Just(Level::Read),
            Just(Level::ReadWrite),
            Just(Level::Admin)
        ]
    }

    /// Any text at all, with a lean towards the ones that matter here.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            "[a-z0-9*#: -]{0,12}",
            "(ws|cid|wid):[a-z#*]{0,5}",
            "[a-z][a-z0-9.-]{0,8}(:[A-Za-z/]{1,5}){0,2}",
            any::<String>(),
        ]
    }

    fn scope() -> impl Strategy<Value = Scope> {
        (
            proptest::option::of(text()),
            proptest::collection::vec((text(), level()), 0..4),
            proptest::option::of(text()),
            proptest::collection::vec(text(), 0..4),
        )
            .prop_map(|(current, granted, client_id, extra_scopes)| {
                let mut scope = Scope {
                    current_workspace: current,
                    client_id,
                    extra_scopes,
                    ..Scope::default()
                };
                for (workspace, level) in granted {
                    scope.grant(&workspace, level);
                }
                scope
            })
    }

    fn plain_scope() -> impl Strategy<Value = Scope> {
        let name = || "[a-z0-9][a-z0-9|_-]{0,12}";
        let extra = "[a-z][a-z0-9._-]{0,6}(:[A-Za-z0-9._/-]{1,6}){0,2}"
            .prop_filter("reserved", |text| is_extra_scope(text));
        (
            proptest::option::of(name()),
            proptest::collection::vec((name(), level()), 0..4),
            proptest::option::of(name()),
            proptest::collection::vec(extra, 0..4),
        )
            .prop_map(|(current, granted, client_id, extra_scopes)| {
                let mut scope = Scope {
                    current_workspace: current,
                    client_id,
                    extra_scopes,
                    ..Scope::default()
                };
                for (workspace, level) in granted {
                    scope.grant(&workspace, level);
                }
                scope
            })
    }

    proptest! {
        #[test]
        fn what_can_be_written_reads_back_the_same(scope in scope()) {
            if let Ok(text) = scope.to_claim() {
                prop_assert_eq!(Scope::parse(&text), Ok(scope));
            }
        }

        #[test]
        fn ordinary_scopes_can_be_written_and_read(scope in plain_scope()) {
            let text = scope.to_claim().unwrap();
            prop_assert_eq!(Scope::parse(&text), Ok(scope));
        }

        #[test]
        fn reading_never_panics_and_settles(text in text()) {
            if let Ok(scope) = Scope::parse(&text)
                && let Ok(again) = scope.to_claim()
            {
                prop_assert_eq!(Scope::parse(&again), Ok(scope));
            }
        }
    }
}
