//! Values of options that cannot be used.

use std::str::FromStr;

use super::super::hosts::HostPattern;
use super::{BrowserOptions, OptionError, PERMISSIONS, bad};

/// Most pixels of a side of the viewport.
const MAX_SIDE: u32 = 16384;

impl BrowserOptions {
    /// Looks for values that cannot be used.
    ///
    /// # Errors
    /// The first one found.
    pub fn check(&self) -> Result<(), OptionError> {
        self.check_display()?;
        self.check_place()?;
        self.check_network()
    }

    fn check_display(&self) -> Result<(), OptionError> {
        for (key, side) in [
            ("viewport_width", self.viewport_width),
            ("viewport_height", self.viewport_height),
        ] {
            if !(1..=MAX_SIDE).contains(&side) {
                return Err(bad(
                    key,
                    &format!("must be from 1 to {MAX_SIDE} pixels, not {side}"),
                ));
            }
        }
        if !(0.1..=10.0).contains(&self.device_scale_factor) {
            return Err(bad(
                "device_scale_factor",
                &format!("must be from 0.1 to 10, not {}", self.device_scale_factor),
            ));
        }
        one_of(
            "color_scheme",
            &self.color_scheme,
            &["", "dark", "light", "no-preference", "null"],
        )?;
        one_of(
            "reduced_motion",
            &self.reduced_motion,
            &["", "reduce", "no-preference", "null"],
        )?;
        let known = |name: &&String| {
            !name.is_empty() && !PERMISSIONS.iter().any(|(known, _)| known == name)
        };
        match self.permissions.iter().find(known) {
            Some(name) => Err(bad("permissions", &format!("does not know '{name}'"))),
            None => Ok(()),
        }
    }

    fn check_place(&self) -> Result<(), OptionError> {
        let tag = |part: &str| {
            (1..=8).contains(&part.len()) && part.chars().all(|c| c.is_ascii_alphanumeric())
        };
        if !self.locale.is_empty() && !self.locale.split(['-', '_']).all(tag) {
            return Err(bad(
                "locale",
                &format!(
                    "must be a language tag such as fr-FR, not '{}'",
                    self.locale
                ),
            ));
        }
        if !self.timezone_id.is_empty() && chrono_tz::Tz::from_str(&self.timezone_id).is_err() {
            return Err(bad(
                "timezone_id",
                &format!(
                    "must be a time zone such as Europe/Paris, not '{}'",
                    self.timezone_id
                ),
            ));
        }
        let degrees = [
            (
                "geolocation_latitude",
                self.geolocation_latitude,
                -90.0..=90.0,
            ),
            (
                "geolocation_longitude",
                self.geolocation_longitude,
                -180.0..=180.0,
            ),
            (
                "geolocation_accuracy",
                self.geolocation_accuracy,
                0.0..=f64::MAX,
            ),
        ];
        for (key, value, range) in degrees {
            if let Some(number) = value.0.filter(|number| !range.contains(number)) {
                return Err(bad(
                    key,
                    &format!(
                        "must be from {} to {}, not {number}",
                        range.start(),
                        range.end()
                    ),
                ));
            }
        }
        match (self.geolocation_latitude.0, self.geolocation_longitude.0) {
            (Some(_), None) => Err(bad(
                "geolocation_longitude",
                "is missing beside the latitude",
            )),
            (None, Some(_)) => Err(bad(
                "geolocation_latitude",
                "is missing beside the longitude",
            )),
            _ => Ok(()),
        }
    }

    fn check_network(&self) -> Result<(), OptionError> {
        if self.http_username.is_empty() != self.http_password.is_empty() {
            let missing = if self.http_username.is_empty() {
                "http_username"
            } else {
                "http_password"
            };
            return Err(bad(
                missing,
                "is missing: user name and password go together",
            ));
        }
        for (name, value) in &self.extra_http_headers.0 {
            let good = actix_web::http::header::HeaderName::from_str(name).is_ok()
                && actix_web::http::header::HeaderValue::from_str(value).is_ok();
            if !good {
                return Err(bad(
                    "extra_http_headers",
                    &format!("holds a header that cannot be sent: '{name}'"),
                ));
            }
        }
        let web = |text: &str| {
            url::Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        if !self.base_url.is_empty() && !web(&self.base_url) {
            return Err(bad(
                "base_url",
                &format!("must be an http or https URL, not '{}'", self.base_url),
            ));
        }
        for host in &self.allowed_hosts {
            host.parse::<HostPattern>()
                .map_err(|error| bad("allowed_hosts", &error.to_string()))?;
        }
        if !(self.time_s >= 0.0 && self.time_s.is_finite()) {
            return Err(bad(
                "time_s",
                &format!("must be 0 or more seconds, not {}", self.time_s),
            ));
        }
        const OURS: [&str; 3] = ["--remote-debugging", "--user-data-dir", "--headless"];
        let odd =
            |arg: &&String| !arg.starts_with("--") || OURS.iter().any(|own| arg.starts_with(own));
        match self.launch_args.iter().find(odd) {
            Some(arg) => Err(bad("launch_args", &format!("cannot hold '{arg}'"))),
            None => Ok(()),
        }
    }
}

fn one_of(key: &'static str, value: &str, choices: &[&str]) -> Result<(), OptionError> {
    if choices.contains(&value) {
        return Ok(());
    }
    let choices: Vec<&str> = choices
        .iter()
        .copied()
        .filter(|choice| !choice.is_empty())
        .collect();
    Err(bad(
        key,
        &format!("must be one of {}, not '{value}'", choices.join(", ")),
    ))
}
