//! Queries of these routes: texts, truth, numbers.

use crate::http::HttpError;

/// The pairs of a query in their order.
pub struct Query {
    pairs: Vec<(String, String)>,
}

impl Query {
    /// Reads a query.
    pub fn of(request: &actix_web::HttpRequest) -> Query {
        let pairs = url::form_urlencoded::parse(request.query_string().as_bytes());
        Query {
            pairs: pairs.into_owned().collect(),
        }
    }

    /// The last value of a key.
    pub fn text(&self, key: &str) -> Option<&str> {
        let mut found = self.pairs.iter().rev().filter(|(name, _)| name == key);
        found.next().map(|(_, value)| value.as_str())
    }

    /// All values of a key.
    pub fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.pairs.iter().filter(move |(name, _)| name == key);
        found.map(|(_, value)| value.as_str())
    }

    /// A truth; false when it is absent.
    ///
    /// # Errors
    /// It is none.
    pub fn flag(&self, key: &str) -> Result<bool, HttpError> {
        Ok(self.opt_flag(key)?.unwrap_or(false))
    }

    /// A truth, if it is there.
    ///
    /// # Errors
    /// It is none.
    pub fn opt_flag(&self, key: &str) -> Result<Option<bool>, HttpError> {
        let Some(text) = self.text(key) else {
            return Ok(None);
        };
        match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" | "y" | "t" => Ok(Some(true)),
            "false" | "0" | "no" | "off" | "n" | "f" => Ok(Some(false)),
            _ => Err(HttpError::Invalid(format!("{key} must be true or false"))),
        }
    }

    /// A number in a range.
    ///
    /// # Errors
    /// It is none, or out of the range.
    pub fn number(&self, key: &str, default: f64, range: (f64, f64)) -> Result<f64, HttpError> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let (least, most) = range;
        let number = text.parse().ok();
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                HttpError::Invalid(format!("{key} must be a number from {least} to {most}"))
            })
    }

    /// A count in a range.
    ///
    /// # Errors
    /// As for [`Query::number`].
    pub fn count(
        &self,
        key: &str,
        default: usize,
        range: (usize, usize),
    ) -> Result<usize, HttpError> {
        let Some(text) = self.text(key) else {
            return Ok(default);
        };
        let (least, most) = range;
        let number = text.parse().ok();
        number
            .filter(|number| (least..=most).contains(number))
            .ok_or_else(|| {
                HttpError::Invalid(format!(
                    "{key} must be a whole number from {least} to {most}"
                ))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use actix_web::test::TestRequest;

    #[test]
    fn queries_are_read() {
        let request = TestRequest::with_uri("/x?a=1&a=2&f=True&n=2.5&b=&file=x%2Fy&file=z");
        let query = Query::of(&request.to_http_request());
        assert_eq!(query.text("a"), Some("2"));
        assert_eq!(query.all("file").collect::<Vec<_>>(), ["x/y", "z"]);
        assert!(query.flag("f").unwrap() && !query.flag("absent").unwrap());
        assert_eq!(query.opt_flag("absent").unwrap(), None);
        assert!(query.flag("b").is_err() && query.flag("a").is_err());
        assert_eq!(query.number("n", 0.0, (0.0, 3.0)).unwrap(), 2.5);
        assert!(query.number("n", 0.0, (0.0, 2.0)).is_err());
        assert_eq!(query.count("a", 9, (1, 5)).unwrap(), 2);
        assert!(query.count("n", 9, (1, 5)).is_err());
        assert_eq!(query.count("absent", 9, (1, 5)).unwrap(), 9);
    }
}
