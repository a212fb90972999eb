use super::*;

#[test]
fn a_revoked_token_is_refused_everywhere_and_after_a_restart() {
    let authority = Authority::new();
    let token = authority.token_of(&member(Level::Admin));
    let hash = authority.tokens.revoke(&format!("Bearer {token}")).unwrap();
    assert_eq!(hash, TokenHash::of(&token));
    assert_eq!(authority.refusal(&token), "Token has been revoked");
    assert_eq!(
        authority
            .tokens
            .inspect(&token, "lab")
            .unwrap_err()
            .to_string(),
        "401: Token has been revoked"
    );
    // Once more is no error.
    authority.tokens.revoke(&token).unwrap();
    let restarted = Authority::over(authority.store.clone(), Authority::config());
    assert_eq!(restarted.refusal(&token), "Token has been revoked");
}

#[test]
fn other_tokens_of_the_same_user_live_on() {
    let authority = Authority::new();
    let one = authority.token_of(&member(Level::Admin));
    authority.pass(1.0);
    let two = authority.token_of(&member(Level::Admin));
    authority.tokens.revoke(&one).unwrap();
    assert!(authority.tokens.parse(&two).is_ok());
}

#[test]
fn revoking_a_token_also_ends_reconnecting_with_it() {
    let authority = Authority::new();
    let token = authority.token_of(&member(Level::Admin));
    let user = authority.tokens.parse(&token).unwrap();
    assert_eq!(user.origin, Some(TokenHash::of(&token)));
    let first = authority.tokens.reconnection(&user, "lab", "c").unwrap();
    let again = authority.tokens.parse(&first).unwrap();
    assert_eq!(again.origin, user.origin);
    // A connection that was taken up again hands the origin on.
    let second = authority.tokens.reconnection(&again, "lab", "c").unwrap();
    assert!(authority.tokens.parse(&second).is_ok());
    authority.tokens.revoke(&token).unwrap();
    for derived in [&first, &second] {
        assert_eq!(authority.refusal(derived), "Token has been revoked");
    }
    // The token itself is over before those: its revocation must still be known then.
    authority.pass(4000.0);
    assert_eq!(authority.tokens.sweep().unwrap(), 0);
    assert_eq!(authority.refusal(&first), "Token has been revoked");
    assert!(authority.tokens.is_revoked(&again));
    authority.pass(3.0 * 86_400.0);
    assert_eq!(authority.tokens.sweep().unwrap(), 1);
    assert!(!authority.tokens.is_revoked(&again));
}

#[test]
fn what_cannot_be_revoked_says_why() {
    let authority = Authority::new();
    let refused = |token: &str| authority.tokens.revoke(token).unwrap_err();
    assert_eq!(
        refused("junk").to_string(),
        "Invalid token: Error decoding token headers."
    );
    let other = Authority::with(TokensConfig {
        secret: Some("another secret".into()),
        ..Authority::config()
    });
    assert_eq!(
        refused(&other.token_of(&member(Level::Read))).to_string(),
        "Invalid token: Signature verification failed."
    );
    let root = refused(&format!(" Bearer {ROOT_TOKEN}"));
    assert!(matches!(root, IdentityError::RootToken));
    assert_eq!(root.class(), "ValueError");
    assert!(authority.tokens.parse(ROOT_TOKEN).is_ok());
    let old = authority.token_of(&member(Level::Read));
    authority.pass(3600.0);
    assert_eq!(refused(&old).to_string(), "Token has already expired");
}
