//! The login page. It needs nothing from elsewhere: style and script are in it, and its script may
//! talk to this server alone.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tera::{Context, Tera};
use thiserror::Error;

use crate::map;
use crate::wire::Map;

const TEMPLATE: &str = include_str!("../../templates/login/index.html");
const STYLE: &str = include_str!("../../templates/login/style.css");
const SCRIPT: &str = include_str!("../../templates/login/login.js");
const NAME: &str = "login.html";

/// The page's template does not render.
#[derive(Debug, Error)]
#[error("the login page: {0}")]
pub struct PageError(#[from] tera::Error);

/// The page, ready to be rendered.
pub struct Page {
    tera: Tera,
    context: Context,
}

impl Page {
    /// A page that offers accounts or, without them, asks for a token only.
    ///
    /// # Errors
    /// The template is broken.
    pub fn new(accounts: bool) -> Result<Self, PageError> {
        let mut tera = Tera::default();
        tera.add_raw_template(NAME, TEMPLATE)?;
        let mut context = Context::new();
        context.insert("accounts", &accounts);
        context.insert("style", STYLE);
        context.insert("script", SCRIPT);
        let page = Page { tera, context };
        page.render()?;
        Ok(page)
    }

    /// The page as the answer to a request (http.md 5.4).
    ///
    /// # Errors
    /// The template is broken.
    pub fn render(&self) -> Result<Map, PageError> {
        let nonce = URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>());
        let mut context = self.context.clone();
        context.insert("nonce", &nonce);
        let html = self.tera.render(NAME, &context)?;
        // Programs show the page in a frame of theirs, so frames are not forbidden; the script
        // offers no stored login there.
        let policy = format!(
            "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; \
             connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'"
        );
        Ok(map! {
            "status" => 200,
            "headers" => map! {
                "Content-Type" => "text/html; charset=utf-8",
                "Content-Security-Policy" => policy,
                "Cache-Control" => "no-store",
                // The key is in the address.
                "Referrer-Policy" => "no-referrer",
                "X-Content-Type-Options" => "nosniff",
            },
            "body" => html,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rendering_has_a_nonce_of_its_own_and_nothing_from_elsewhere() {
        for accounts in [false, true] {
            let page = Page::new(accounts).unwrap();
            let (one, two) = (page.render().unwrap(), page.render().unwrap());
            let policy = |page: &Map| {
                let headers = page.get("headers").unwrap().as_map().unwrap();
                headers
                    .get_str("Content-Security-Policy")
                    .unwrap()
                    .to_owned()
            };
            assert_ne!(policy(&one), policy(&two));
            let body = one.get_str("body").unwrap();
            assert!(!body.contains("https://") && !body.contains("http://"));
            assert_eq!(body.contains("id=\"sign-up\""), accounts);
        }
    }
}
