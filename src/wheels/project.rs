//! Projects and their wheels, as an index names them.

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// Longest name that is looked for.
const MAX_NAME: usize = 100;

/// The name of a project in its one canonical spelling (PEP 503), which is safe as the name of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProjectName(String);

impl ProjectName {
    /// Reads a name; none if it cannot be one.
    pub fn parse(text: &str) -> Option<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        let ends = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
        if text.len() > MAX_NAME
            || !text.chars().all(fits)
            || !ends(text.chars().next())
            || !ends(text.chars().last())
        {
            return None;
        }
        let parts: Vec<String> = text
            .split(['-', '_', '.'])
            .filter(|part| !part.is_empty())
            .map(str::to_ascii_lowercase)
            .collect();
        Some(Self(parts.join("-")))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One wheel that may run in a page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WheelFile {
    pub filename: String,
    /// Where the upstream index has it.
    pub url: String,
    /// Of its contents, in lower case hex digits.
    pub sha256: String,
    pub size: Option<u64>,
    pub requires_python: Option<String>,
    /// Why it should not be used any more: a text or true.
    pub yanked: Json,
}

/// The wheels of a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Project {
    pub name: String,
    pub files: Vec<WheelFile>,
}

impl Project {
    /// Reads an upstream answer (PEP 691), which came from `address`. Files without a hash are left out, as are all that
    /// do not run in a page.
    pub fn from_upstream(answer: &Json, address: &url::Url) -> Option<Self> {
        let file = |file: &Json| {
            let filename = file["filename"]
                .as_str()
                .filter(|name| runs_in_page(name))?;
            let sha256 = file["hashes"]["sha256"]
                .as_str()
                .filter(|hash| is_hash(hash))?;
            Some(WheelFile {
                filename: filename.to_owned(),
                url: address.join(file["url"].as_str()?).ok()?.into(),
                sha256: sha256.to_ascii_lowercase(),
                size: file["size"].as_u64(),
                requires_python: file["requires-python"].as_str().map(str::to_owned),
                yanked: file["yanked"].clone(),
            })
        };
        Some(Self {
            name: answer["name"].as_str()?.to_owned(),
            files: answer["files"]
                .as_array()?
                .iter()
                .filter_map(file)
                .collect(),
        })
    }

    /// The wheel of that name.
    pub fn file(&self, filename: &str) -> Option<&WheelFile> {
        self.files.iter().find(|file| file.filename == filename)
    }

    /// As pages read it (PEP 691), with the files below the address `files`.
    pub fn answer(&self, files: &str) -> Json {
        let file = |file: &WheelFile| {
            let mut entry = json!({
                "filename": file.filename,
                "url": format!("{files}/{}", file.filename),
                "hashes": { "sha256": file.sha256 },
            });
            if let Some(size) = file.size {
                entry["size"] = size.into();
            }
            if let Some(python) = &file.requires_python {
                entry["requires-python"] = python.as_str().into();
            }
            if !file.yanked.is_null() {
                entry["yanked"] = file.yanked.clone();
            }
            entry
        };
        json!({
            "meta": { "api-version": "1.0" },
            "name": self.name,
            "files": self.files.iter().map(file).collect::<Vec<_>>(),
        })
    }
}

/// Whether Pyodide could load a file: a wheel in pure Python, or one for WebAssembly.
fn runs_in_page(filename: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || "-_.+!".contains(c);
    let Some(stem) = filename
        .strip_suffix(".whl")
        .filter(|stem| stem.chars().all(safe) && !stem.starts_with('.'))
    else {
        return false;
    };
    let mut tags = stem.rsplit('-');
    let (platform, abi, python) = (tags.next(), tags.next(), tags.next());
    let pure = platform == Some("any") && abi == Some("none");
    let python3 = python.is_some_and(|tags| tags.split('.').any(|tag| tag.starts_with("py3")));
    (pure && python3) || platform.is_some_and(|platform| platform.ends_with("wasm32"))
}

fn is_hash(text: &str) -> bool {
    text.len() == 64 && text.chars().all(|c| c.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_spelling() {
        let name = |text| ProjectName::parse(text).map(|name| name.0);
        assert_eq!(
            name("Typing_Extensions").as_deref(),
            Some("typing-extensions")
        );
        assert_eq!(name("a.-_b").as_deref(), Some("a-b"));
        for bad in ["", "..", "a/b", "-a", "a-", "ä", &"a".repeat(101)] {
            assert_eq!(name(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_what_runs_in_a_page_counts() {
        for good in [
            "a-1-py3-none-any.whl",
            "a-1-py2.py3-none-any.whl",
            "a-1-py314-none-any.whl",
            "a-1-1-py3-none-any.whl",
            "a-1-cp314-cp314-pyemscripten_2026_0_wasm32.whl",
            "a-1+b-cp312-cp312-pyodide_2024_0_wasm32.whl",
        ] {
            assert!(runs_in_page(good), "{good}");
        }
        for bad in [
            "a-1.tar.gz",
            "a-1-py2-none-any.whl",
            "a-1-cp314-cp314-manylinux_2_17_x86_64.whl",
            "../a-1-py3-none-any.whl",
            ".whl",
        ] {
            assert!(!runs_in_page(bad), "{bad}");
        }
    }

    #[test]
    fn answers_lead_to_this_server() {
        let hash = "A".repeat(64);
        let upstream = json!({"name": "a", "files": [
            {"filename": "a-1-py3-none-any.whl", "url": "../../files/a-1-py3-none-any.whl", "hashes": {"sha256": hash}, "requires-python": ">=3.8", "size": 3, "yanked": "bad"},
            {"filename": "a-2-py3-none-any.whl", "url": "x", "hashes": {"md5": "1"}},
            {"filename": "a-2.zip", "url": "x", "hashes": {"sha256": hash}},
        ]});
        let address = url::Url::parse("https://index.example/simple/a/").unwrap();
        let project = Project::from_upstream(&upstream, &address).unwrap();
        assert_eq!(project.files.len(), 1);
        assert_eq!(
            project.files[0].url,
            "https://index.example/files/a-1-py3-none-any.whl"
        );
        let answer = project.answer("http://here/files/a");
        assert_eq!(
            answer["files"],
            json!([{"filename": "a-1-py3-none-any.whl", "url": "http://here/files/a/a-1-py3-none-any.whl",
                "hashes": {"sha256": hash.to_lowercase()}, "size": 3, "requires-python": ">=3.8", "yanked": "bad"}])
        );
        assert!(Project::from_upstream(&json!({"files": []}), &address).is_none());
    }
}
